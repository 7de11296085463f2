//! The ledger's file: making it, opening it, and whether its form is this version's.
//!
//! It knows the file and the schema, and nothing of what stands in the rows.

use super::OpenError;
use rusqlite::{Connection, OpenFlags};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

const LEDGER: &str = include_str!("../../migrations/sqlite/0001_ledger.sql");
/// The version of the schema, as the file's `user_version`.
const VERSION: i64 = 1;
/// Says that a SQLite file is a ledger of Hotcake: the letters `HotL`.
const APPLICATION: i64 = 0x486f_744c;
/// Pages of one checkpoint: 16 MiB of WAL, so that few commits carry one.
pub(super) const CHECKPOINT_PAGES: i64 = 4_000;

/// Page cache of the writer.
pub(super) const CACHE_KIB: i64 = 8_192;

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// The file's write-ahead log.
pub(super) fn wal_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// Makes the file if there is none; refuses one that is no ledger.
pub(super) fn ensure(path: &Path) -> Result<(), OpenError> {
    let io = |what: &str, e: std::io::Error| OpenError::of(path, format!("{what}: {e}"), "check the path and its permissions");
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => {
            return Err(OpenError::of(path, "it is not a file".into(), "name a file, or a path where there is none"));
        }
        Ok(meta) if meta.len() == 0 => {
            return Err(OpenError::of(path, "the file is empty, and a ledger never is: its content was lost".into(), RESTORE));
        }
        Ok(_) => {
            let mut head = [0; 16];
            let mut file = fs::File::open(path).map_err(|e| io("the file cannot be opened", e))?;
            let read = std::io::Read::read(&mut file, &mut head).map_err(|e| io("the file cannot be read", e))?;
            if head[..read] != *b"SQLite format 3\0" {
                return Err(OpenError::of(path, "the file is not a SQLite database".into(), RESTORE));
            }
            return Ok(());
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(io("the file cannot be looked at", e)),
    }
    if fs::metadata(wal_of(path)).is_ok_and(|meta| meta.len() > 0) {
        return Err(OpenError::of(path, "the file is gone, but its write-ahead log (-wal) is there".into(), RESTORE));
    }
    // Made under another name and then renamed: a crash leaves no half ledger behind.
    let made = beside(path, ".new");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(&made, suffix));
    }
    create(&made).map_err(|e| OpenError::of(path, format!("it cannot be made: {e}"), "check the directory's permissions and space"))?;
    fs::rename(&made, path).map_err(|e| io("it cannot be renamed into place", e))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(|e| io("its directory cannot be synced", e))
}

/// What to do about a damaged ledger.
pub(super) const RESTORE: &str = "put a good copy of the file (with its -wal) in its place, or move it away to begin an empty ledger";

fn create(path: &Path) -> Result<(), rusqlite::Error> {
    let sql = Connection::open(path)?;
    sql.query_row("pragma journal_mode = wal", [], |_| Ok(()))?;
    sql.execute_batch(&format!(
        "pragma synchronous = full; begin; {LEDGER} pragma application_id = {APPLICATION}; pragma user_version = {VERSION}; commit;"
    ))?;
    sql.close().map_err(|(_, e)| e)
}

/// The connection that writes.
pub(super) fn open_writer(path: &Path) -> Result<Connection, rusqlite::Error> {
    let sql = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    settle(&sql, CACHE_KIB)?;
    sql.query_row("pragma journal_mode = wal", [], |_| Ok(()))?;
    sql.execute_batch("pragma synchronous = full")?;
    sql.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(sql)
}

/// A connection that reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let sql = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    settle(&sql, CACHE_KIB / 2)?;
    Ok(sql)
}

fn settle(sql: &Connection, cache_kib: i64) -> Result<(), rusqlite::Error> {
    sql.busy_timeout(std::time::Duration::from_secs(5))?;
    sql.set_prepared_statement_cache_capacity(64);
    sql.pragma_update(None, "cache_size", -cache_kib)?;
    // A file that somebody else has touched gets no functions of ours called from its schema.
    sql.execute_batch("pragma temp_store = memory; pragma trusted_schema = off; pragma cell_size_check = on;")
}

/// Whether the schema is this version's, word by word.
pub(super) fn check(sql: &Connection, path: &Path) -> Result<(), OpenError> {
    let number = |name: &str| sql.pragma_query_value(None, name, |r| r.get::<_, i64>(0)).map_err(|e| OpenError::damaged(path, &e));
    if number("application_id")? != APPLICATION {
        return Err(OpenError::of(path, "the file is a SQLite database, but not a ledger of Hotcake".into(), RESTORE));
    }
    let version = number("user_version")?;
    if version > VERSION {
        let what = format!("its schema has version {version}, and this program knows versions up to {VERSION}");
        return Err(OpenError::of(path, what, "start the newer Hotcake that wrote it"));
    }
    if version < VERSION {
        return Err(OpenError::of(path, format!("its schema has version {version}, which never was"), RESTORE));
    }
    let fresh = Connection::open_in_memory().and_then(|fresh| {
        fresh.execute_batch(LEDGER)?;
        tables(&fresh)
    });
    let expected = fresh.map_err(|e| OpenError::damaged(path, &e))?;
    let found = tables(sql).map_err(|e| OpenError::damaged(path, &e))?;
    if let Some((name, _)) = expected.iter().find(|entry| !found.contains(entry)) {
        return Err(OpenError::of(path, format!("the schema of table `{name}` is not what version {VERSION} made"), RESTORE));
    }
    if found.len() != expected.len() {
        return Err(OpenError::of(path, "its schema holds tables or indexes that no version made".into(), RESTORE));
    }
    Ok(())
}

/// Every object's table and text.
fn tables(sql: &Connection) -> Result<Vec<(String, String)>, rusqlite::Error> {
    let mut statement =
        sql.prepare("select tbl_name, type || ' ' || name || ' ' || coalesce(sql, '') from sqlite_schema order by type, name")?;
    statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect()
}

/// SQLite's own check of the structure: of all tables, and of the indexes of the small ones.
pub(super) fn check_structure(sql: &Connection, path: &Path) -> Result<(), OpenError> {
    for check in
        ["pragma quick_check(1)", "pragma integrity_check(sales)", "pragma integrity_check(movements)", "pragma integrity_check(meta)"]
    {
        let found = sql.query_row(check, [], |r| r.get::<_, String>(0)).map_err(|e| OpenError::damaged(path, &e))?;
        if found != "ok" {
            return Err(OpenError::of(path, format!("SQLite's check of its structure says: {}", found.replace('\n', " ")), RESTORE));
        }
    }
    Ok(())
}
