//! Folding the write-ahead log into the file beside the writer, by a thread and a connection of their own.
//!
//! A checkpoint of a full log takes tens of milliseconds, and inside a commit everybody who buys would wait for it. So most
//! pages are copied here, every so many commits; what the writer's own checkpoint finds left when the log is full is
//! little. Nothing depends on this: without it commits are only slower now and then. It knows no rows.

use rusqlite::Connection;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Commits from one folding to the next: each copies the pages that every commit writes once more.
const COMMITS: u32 = 128;

/// Tells the folding thread now and then that there is something to fold.
pub(super) struct Folding {
    /// `None` only while it is being dropped.
    word: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    commits: u32,
}

impl Folding {
    /// Starts the thread on a connection that can write.
    pub(super) fn start(sql: Connection) -> std::io::Result<Self> {
        let (word, words) = sync_channel(1);
        let thread = thread::Builder::new().name("ledger-fold".into()).spawn(move || fold(&sql, &words))?;
        Ok(Self { word: Some(word), thread: Some(thread), commits: 0 })
    }

    /// A transaction was committed.
    pub(super) fn committed(&mut self) {
        self.commits += 1;
        if self.commits >= COMMITS
            && let Some(word) = &self.word
        {
            self.commits = 0;
            // A word that waits already says the same.
            let _ = word.try_send(());
        }
    }
}

impl Drop for Folding {
    /// Comes back when the thread has let go of the file.
    fn drop(&mut self) {
        self.word = None;
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported by itself, and nothing depends on it.
            let _ = thread.join();
        }
    }
}

fn fold(sql: &Connection, words: &Receiver<()>) {
    while words.recv().is_ok() {
        // Passive: it waits for nobody and nobody waits for it. What it could not do is done the next time, or by the writer.
        let _ = sql.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()));
    }
}
