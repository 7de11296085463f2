//! Why the ledger could not be opened, read or written. It knows sentences, and nothing of what to do next in the program.

use super::schema;
use std::fmt;
use std::path::Path;

/// Why something could not be read or written, for a sentence in a [`Fault`].
pub(super) enum Failure {
    /// SQLite said no.
    Sql(rusqlite::Error),
    /// The rows are not what they must be.
    Broken(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(error) => error.fmt(f),
            Self::Broken(what) => f.write_str(what),
        }
    }
}

/// Why a ledger cannot be opened: a sentence that names the file, what is wrong with it (the table, if it is one), and
/// what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenError {
    pub(super) what: String,
}

impl OpenError {
    pub(super) fn of(path: &Path, what: String, next: &str) -> Self {
        Self { what: format!("the ledger {} cannot be opened: {what}; {next}", path.display()) }
    }

    pub(super) fn damaged(path: &Path, error: &dyn fmt::Display) -> Self {
        Self::of(path, error.to_string(), schema::RESTORE)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for OpenError {}
