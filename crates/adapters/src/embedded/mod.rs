//! What an installation without servers stands on: a queue on SQLite, the data directory, the machine's clock.
//!
//! Knows files and threads; knows neither the protocol nor the ledger. The modules in reading order:

pub mod directory;
pub mod clock;
pub mod queue;
pub mod log;
mod file;

pub use clock::SystemClock;
pub use directory::Directory;
pub use queue::{EmbeddedQueue, QueueSettings};

use std::fmt;

/// Why an embedded store was not opened: one or two sentences that name the file and the next step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenError(String);

impl OpenError {
    /// The sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}
