//! Files that appear whole or not at all, and the first look at a file that should be a database.
//!
//! Knows nothing of what is in the database.

use super::OpenError;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// `path` with `suffix` after its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes `path` hold these bytes: after a crash it holds the old ones or the new ones.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = beside(path, ".new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    appear(&new, path)
}

/// Gives a finished file its name, durably.
pub(super) fn appear(new: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::rename(new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// Whether there is a database at `path` (`false`: nothing is there). What is there and is none is refused. Must be
/// called before the database is opened: closing a file lets go of all locks that this process has on it.
pub(super) fn is_database(path: &Path) -> Result<bool, OpenError> {
    let shown = path.display();
    let next = "Restore it from a backup, or move it away if what was in it may be lost.";
    let refuse = |what: &str| Err(OpenError::new(format!("{shown} {what}. {next}")));
    let mut head = [0; 16];
    match File::open(path).and_then(|mut file| file.read_exact(&mut head)) {
        Ok(()) if head == *b"SQLite format 3\0" => Ok(true),
        Ok(()) => refuse("is not a database"),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => match std::fs::metadata(path) {
            Ok(found) if found.len() == 0 => refuse("is empty, though there was a database in it"),
            Ok(_) | Err(_) => refuse("is too short to be a database"),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // The log of a database that is gone holds what the database did not.
            let log = beside(path, "-wal");
            match std::fs::metadata(&log) {
                Ok(found) if found.len() > 0 => refuse(&format!("is missing, but its log {} is there", log.display())),
                Ok(_) | Err(_) => Ok(false),
            }
        }
        Err(e) => refuse(&format!("cannot be read: {e}")),
    }
}
