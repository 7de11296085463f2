//! The queue's rows. One connection, one table of messages that are not done, one of parked ones, a few numbers.
//!
//! Every row carries a checksum, so that damage is found when the file is opened. Knows nothing of delivery or time.

use super::memory::{Change, Hints, Id};
use crate::embedded::{OpenError, file, log};
use rusqlite::{Connection, OptionalExtension as _, Row, ffi, params};
use sale::ports::{Half, Parked};
use sale::words::Time;
use std::path::{Path, PathBuf};

/// `HCq` and a version of the tables, in the file's head.
const APPLICATION: i64 = 0x4843_7100;
const VERSION: i64 = 1;
/// Ids are reserved in blocks, so that none is used twice although rows are deleted, and few transactions say so.
const BLOCK: Id = 65_536;
/// Pages of the log at which a commit folds it into the file: 16 MiB, so that few commits do.
const CHECKPOINT_PAGES: i64 = 4_000;
/// Page cache.
const CACHE_KIB: i64 = 8_192;
/// Where a half's row and a committed one differ. Two words that no flipped bit turns into each other, of one length: a
/// commit then rewrites its row in place, which needs no room on a full disk.
const HALF: &str = "half";
const COMMITTED: &str = "sent";

const TABLES: &str = "
    create table message (id integer primary key, state text not null, batch blob not null, tag text not null, crc integer not null, body blob not null) strict;
    create table parked (id integer primary key, batch blob not null, tag text not null, crc integer not null, reason text not null, at integer not null, body blob not null) strict;
    create table meta (name text primary key, value integer not null, crc integer not null) strict, without rowid;
";

#[derive(Debug)]
pub(super) struct Disk {
    connection: Connection,
    path: PathBuf,
    next: Id,
    reserved: Id,
    reserved_before: Id,
}

/// What the file held when it was opened.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) halves: Vec<(Id, Vec<u8>)>,
    pub(super) committed: Vec<(Id, Vec<u8>)>,
    pub(super) parked: u64,
    pub(super) witness: Option<u64>,
}

/// A statement failed.
pub(super) type Failed = rusqlite::Error;

impl Disk {
    /// Opens the file, or makes it, and reads all that is in it.
    pub(super) fn open(path: &Path, file_max_bytes: u64) -> Result<(Self, Found), OpenError> {
        if !file::is_database(path)? {
            create(path).map_err(|e| {
                refuse(path, &format!("cannot be made: {e}"), "Free some space or mend the directory's rights, then start again.")
            })?;
        }
        log::check(path)?;
        let connection = Connection::open(path).map_err(|e| unreadable(path, &e))?;
        let mut disk = Self { connection, path: path.to_owned(), next: 0, reserved: 0, reserved_before: 0 };
        disk.configure(file_max_bytes).map_err(|e| unreadable(path, &e))?;
        disk.examine()?;
        let found = disk.read()?;
        Ok((disk, found))
    }

    fn configure(&self, file_max_bytes: u64) -> Result<(), Failed> {
        let c = &self.connection;
        // Nobody else may have the file, so there is nobody to wait for; the log's index then stays in memory.
        c.busy_timeout(std::time::Duration::ZERO)?;
        c.pragma_update(None, "locking_mode", "exclusive")?;
        c.pragma_update(None, "journal_mode", "wal")?;
        c.pragma_update(None, "synchronous", "full")?;
        // The log is folded into the file in idle moments; this is for a load that never lets up.
        c.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        c.pragma_update(None, "cache_size", -CACHE_KIB)?;
        c.set_prepared_statement_cache_capacity(32);
        let page: u64 = c.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))?.unsigned_abs().max(512);
        // The pragma answers with a row.
        c.pragma_update_and_check(None, "max_page_count", i64::try_from(file_max_bytes / page).unwrap_or(i64::MAX), |_| Ok(()))
    }

    /// Refuses what is not a sound queue of this version.
    fn examine(&self) -> Result<(), OpenError> {
        let pragma =
            |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(|e| unreadable(&self.path, &e));
        let (application, version) = (pragma("application_id")?, pragma("user_version")?);
        if application != APPLICATION {
            return Err(refuse(&self.path, "is a database, but not a queue of hotcake", "Name another file for the queue."));
        }
        if version != VERSION {
            let what = format!("was written by another version of hotcake (tables {version}; this one reads {VERSION})");
            return Err(refuse(&self.path, &what, "Start the version that wrote it."));
        }
        let sound: String =
            self.connection.query_row("pragma quick_check(1)", [], |row| row.get(0)).map_err(|e| unreadable(&self.path, &e))?;
        if sound != "ok" {
            return Err(damaged(&self.path, &format!("SQLite says: {sound}")));
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Found, OpenError> {
        let mut found = Found::default();
        self.read_messages(&mut found)?;
        self.read_parked(&mut found)?;
        found.witness = self.meta("witness")?.map(i64::unsigned_abs);
        self.next = self.meta("ids")?.ok_or_else(|| damaged(&self.path, "its table meta lacks the row ids"))?;
        self.reserved = self.next;
        Ok(found)
    }

    fn read_messages(&self, found: &mut Found) -> Result<(), OpenError> {
        let failed = |e| unreadable(&self.path, &e);
        let mut rows = self.connection.prepare("select id, state, batch, tag, crc, body from message order by id").map_err(failed)?;
        let mut rows = rows.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let id: Id = row.get(0).map_err(failed)?;
            let stored = Stored::read(row, [2, 3, 4, 5]).map_err(failed)?;
            let state: String = row.get(1).map_err(failed)?;
            let list = match state.as_str() {
                HALF => &mut found.halves,
                COMMITTED => &mut found.committed,
                _ => return Err(damaged(&self.path, &format!("row {id} of its table message has the state {state:?}"))),
            };
            if stored.crc != stored.checksum(id, None) {
                return Err(damaged(&self.path, &format!("the checksum of row {id} of its table message is wrong")));
            }
            list.push((id, stored.body));
        }
        Ok(())
    }

    fn read_parked(&self, found: &mut Found) -> Result<(), OpenError> {
        let failed = |e| unreadable(&self.path, &e);
        let mut rows = self.connection.prepare("select id, batch, tag, crc, body, reason, at from parked").map_err(failed)?;
        let mut rows = rows.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let id: Id = row.get(0).map_err(failed)?;
            let (reason, at): (String, i64) = row.get(5).and_then(|reason| Ok((reason, row.get(6)?))).map_err(failed)?;
            let stored = Stored::read(row, [1, 2, 3, 4]).map_err(failed)?;
            if stored.crc != stored.checksum(id, Some((&reason, at))) {
                return Err(damaged(&self.path, &format!("the checksum of row {id} of its table parked is wrong")));
            }
            found.parked += 1;
        }
        Ok(())
    }

    fn meta(&self, name: &str) -> Result<Option<i64>, OpenError> {
        let row = self
            .connection
            .query_row("select value, crc from meta where name = ?", [name], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?)));
        match row.optional().map_err(|e| unreadable(&self.path, &e))? {
            None => Ok(None),
            Some((value, crc)) if crc == meta_checksum(name, value) => Ok(Some(value)),
            Some(_) => Err(damaged(&self.path, &format!("the checksum of row {name} of its table meta is wrong"))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    // --- inside a transaction

    pub(super) fn begin(&mut self) -> Result<(), Failed> {
        self.reserved_before = self.reserved;
        self.run("begin immediate")
    }

    pub(super) fn commit(&mut self) -> Result<(), Failed> {
        self.run("commit")
    }

    /// Undoes what was begun. Whether that is sure.
    pub(super) fn roll_back(&mut self) -> bool {
        self.reserved = self.reserved_before;
        self.connection.is_autocommit() || self.run("rollback").is_ok()
    }

    /// Whether this failure of a commit says that the log cannot hold the commit's mark.
    pub(super) fn wrote_no_commit(failure: &Failed) -> bool {
        matches!(failure.sqlite_error().map(|e| e.extended_code), Some(ffi::SQLITE_FULL | ffi::SQLITE_IOERR_WRITE))
    }

    pub(super) fn hints(&mut self, hints: &Hints) -> Result<(), Failed> {
        // First what makes room.
        let mut gone: Option<(Id, Id)> = None;
        for id in hints.changes.iter().filter(|(_, change)| **change == Change::Gone).map(|(&id, _)| id) {
            gone = match gone {
                Some((first, last)) if last + 1 == id => Some((first, id)),
                run => {
                    self.delete(run)?;
                    Some((id, id))
                }
            };
        }
        self.delete(gone)?;
        for (id, _) in hints.changes.iter().filter(|(_, change)| **change == Change::Committed) {
            self.connection.prepare_cached("update message set state = ?2 where id = ?1")?.execute(params![id, COMMITTED])?;
        }
        match hints.witness {
            Some(seq) => self.set_meta("witness", i64::try_from(seq).unwrap_or(i64::MAX)),
            None => Ok(()),
        }
    }

    /// Deletes a run of messages; ids that have no row are passed over.
    fn delete(&mut self, run: Option<(Id, Id)>) -> Result<(), Failed> {
        let Some((first, last)) = run else { return Ok(()) };
        self.connection.prepare_cached("delete from message where id between ? and ?")?.execute(params![first, last])?;
        Ok(())
    }

    /// Stores a half message.
    pub(super) fn prepare(&mut self, half: &Half) -> Result<Id, Failed> {
        let id = self.next_id()?;
        self.insert(id, HALF, &half.batch.to_bytes(), &half.tag, &half.body)?;
        Ok(id)
    }

    /// Moves a committed message among the parked ones. `false`: there is none.
    pub(super) fn park(&mut self, id: Id, reason: &str, at: Time) -> Result<bool, Failed> {
        let sql = "delete from message where id = ? and state = ? returning batch, tag, crc, body";
        let stored =
            self.connection.prepare_cached(sql)?.query_row(params![id, COMMITTED], |row| Stored::read(row, [0, 1, 2, 3])).optional()?;
        let Some(stored) = stored else { return Ok(false) };
        let parked = self.next_id()?;
        let crc = stored.checksum(parked, Some((reason, at.0)));
        let sql = "insert into parked (id, batch, tag, crc, reason, at, body) values (?, ?, ?, ?, ?, ?, ?)";
        self.connection.prepare_cached(sql)?.execute(params![parked, stored.batch, stored.tag, crc, reason, at.0, stored.body])?;
        Ok(true)
    }

    /// Makes a parked message a committed one, with a new id. `None`: no such message is parked.
    pub(super) fn replay(&mut self, parked: Id) -> Result<Option<(Id, Vec<u8>)>, Failed> {
        let sql = "delete from parked where id = ? returning batch, tag, crc, body";
        let stored = self.connection.prepare_cached(sql)?.query_row([parked], |row| Stored::read(row, [0, 1, 2, 3])).optional()?;
        let Some(stored) = stored else { return Ok(None) };
        let id = self.next_id()?;
        self.insert(id, COMMITTED, &stored.batch, &stored.tag, &stored.body)?;
        Ok(Some((id, stored.body)))
    }

    fn insert(&mut self, id: Id, state: &str, batch: &[u8], tag: &str, body: &[u8]) -> Result<(), Failed> {
        let crc = checksum(id, batch, tag, body, None);
        let sql = "insert into message (id, state, batch, tag, crc, body) values (?, ?, ?, ?, ?, ?)";
        self.connection.prepare_cached(sql)?.execute(params![id, state, batch, tag, crc, body])?;
        Ok(())
    }

    /// The next id. Should the transaction be rolled back, the id is skipped; the reservation is made again.
    fn next_id(&mut self) -> Result<Id, Failed> {
        let id = self.next + 1;
        if id > self.reserved {
            self.set_meta("ids", id + BLOCK)?;
            self.reserved = id + BLOCK;
        }
        self.next = id;
        Ok(id)
    }

    fn set_meta(&mut self, name: &str, value: i64) -> Result<(), Failed> {
        let sql = "insert into meta (name, value, crc) values (?1, ?2, ?3) on conflict (name) do update set value = ?2, crc = ?3";
        self.connection.prepare_cached(sql)?.execute(params![name, value, meta_checksum(name, value)])?;
        Ok(())
    }

    // --- outside one

    pub(super) fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, Failed> {
        let mut rows = self.connection.prepare_cached("select id, body, reason, at from parked where id > ? order by id limit ?")?;
        let rows = rows.query_map(params![i64::try_from(after).unwrap_or(i64::MAX), i64::try_from(max).unwrap_or(i64::MAX)], |row| {
            Ok(Parked { id: row.get::<_, Id>(0)?.unsigned_abs(), body: row.get(1)?, reason: row.get(2)?, at: Time(row.get(3)?) })
        })?;
        rows.collect()
    }

    /// Writes the log to its full size once, and leaves nothing in it that counts.
    pub(super) fn pregrow(&mut self) -> Result<(), Failed> {
        // What does not fit the page cache is spilled into the log, and then rolled back: the log keeps its length.
        let bytes = (CHECKPOINT_PAGES * 4 + CACHE_KIB) * 1_024;
        self.run("begin immediate")?;
        let grown = self.connection.execute_batch(&format!("create table pregrow (x); insert into pregrow values (zeroblob({bytes}))"));
        // A full disk has rolled back by itself: then this fails too, and the first error is the one to tell.
        let undone = self.run("rollback");
        grown.and(undone)
    }

    /// Folds the log into the file, so that the next write begins it anew. Trying is enough: it is only longer otherwise.
    pub(super) fn fold_log(&mut self) {
        let _ =
            self.connection.prepare_cached("pragma wal_checkpoint(passive)").and_then(|mut statement| statement.query_row([], |_| Ok(())));
    }

    fn run(&self, sql: &str) -> Result<(), Failed> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// Makes the file under another name first: half a file never stands where the queue's should.
fn create(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let new = file::beside(path, ".new");
    for suffix in [".new", ".new-journal", ".new-wal"] {
        match std::fs::remove_file(file::beside(path, suffix)) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
    }
    let connection = Connection::open(&new)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch(&format!("begin immediate; {TABLES} commit"))?;
    connection.execute("insert into meta (name, value, crc) values ('ids', 0, ?)", [meta_checksum("ids", 0)])?;
    connection.close().map_err(|(_, e)| e)?;
    file::appear(&new, path)?;
    Ok(())
}

/// What every stored message has.
struct Stored {
    batch: Vec<u8>,
    tag: String,
    crc: u32,
    body: Vec<u8>,
}

impl Stored {
    fn read(row: &Row<'_>, at: [usize; 4]) -> Result<Self, Failed> {
        Ok(Self { batch: row.get(at[0])?, tag: row.get(at[1])?, crc: row.get(at[2])?, body: row.get(at[3])? })
    }

    fn checksum(&self, id: Id, parked: Option<(&str, i64)>) -> u32 {
        checksum(id, &self.batch, &self.tag, &self.body, parked)
    }
}

/// Over all that a row says, but for the state, which changes and guards itself. Each part's length stands before it.
fn checksum(id: Id, batch: &[u8], tag: &str, body: &[u8], parked: Option<(&str, i64)>) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&id.to_be_bytes());
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(batch);
    part(tag.as_bytes());
    part(body);
    if let Some((reason, at)) = parked {
        part(reason.as_bytes());
        part(&at.to_be_bytes());
    }
    hash.finalize()
}

fn meta_checksum(name: &str, value: i64) -> u32 {
    checksum(value, &[], name, &[], None)
}

fn refuse(path: &Path, what: &str, next: &str) -> OpenError {
    OpenError::new(format!("the queue {} {what}. {next}", path.display()))
}

fn unreadable(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            refuse(path, "is open in another process", "Stop that process first.")
        }
        _ => damaged(path, &error.to_string()),
    }
}

fn damaged(path: &Path, what: &str) -> OpenError {
    let next = "Restore the data directory from one backup; or, if the purchases that were on their way may be lost, move the queue's files away and start with an empty queue.";
    refuse(path, &format!("is damaged: {what}"), next)
}
