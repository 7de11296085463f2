//! The queue on SQLite: transactional messages for one machine.
//!
//! A half message is on disk, synced, before `prepare` answers. What follows (settlements, acknowledgements) changes the
//! memory at once and reaches the disk with the next half message's transaction, or by itself a few milliseconds later:
//! the port allows such hints to be lost. Half messages are never dropped: they are checked back for ever.
//! Knows nothing of batches, gates or ledgers; bodies are any bytes.

mod memory;
mod disk;
mod writer;

use super::{OpenError, clock};
use async_trait::async_trait;
use disk::Disk;
use memory::{Micros, Shelf, Times, half_of, parse};
use sale::ports::{Backlog, Check, Fault, Half, Handle, Message, Parked, Queue, Receipt, Verdict};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use writer::{Desk, Job};

/// Longest reason of a parked message that is kept, in bytes.
const REASON_MAX: usize = 1_024;

/// The queue's times and limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueSettings {
    /// Age at which a half message that nobody settled is checked back for the first time.
    pub check_after_ms: u64,
    /// From one check of a half message to the next.
    pub check_every_ms: u64,
    /// How long a delivered message stays away from other receivers.
    pub invisible_ms: u64,
    /// How long a settlement or an acknowledgement may wait for a transaction to ride in.
    pub hint_after_ms: u64,
    /// Most half messages that nobody settled; above it, `prepare` refuses.
    pub halves_max: usize,
    /// Most messages, half and committed, that are not done; above it, `prepare` refuses.
    pub messages_max: usize,
    /// Most bytes of their bodies, which are kept in memory; above it, `prepare` refuses.
    pub bytes_max: usize,
    /// Largest body.
    pub body_max: usize,
    /// Most messages put aside; above it, `park` refuses.
    pub parked_max: u64,
    /// Most calls that wait for one transaction.
    pub jobs_max: usize,
    /// Largest size of the file, without its log.
    pub file_max_bytes: u64,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            check_after_ms: 6_000,
            check_every_ms: 6_000,
            invisible_ms: 30_000,
            hint_after_ms: 5,
            halves_max: 10_000,
            messages_max: 100_000,
            bytes_max: 256 << 20,
            body_max: 4 << 20,
            parked_max: 100_000,
            jobs_max: 1_024,
            file_max_bytes: 4 << 30,
        }
    }
}

/// The embedded queue. Dropping it writes what waits and closes the file.
#[derive(Debug)]
pub struct EmbeddedQueue {
    desk: Arc<Desk>,
    settings: QueueSettings,
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedQueue {
    /// Opens the queue's file, or makes it. Damage is refused. Halves that nobody settled are checked back at once: who
    /// prepared them is gone.
    pub fn open(path: &Path, settings: QueueSettings) -> Result<Self, OpenError> {
        let (disk, found) = Disk::open(path, settings.file_max_bytes)?;
        let us = |ms: u64| ms.saturating_mul(1_000).min(Micros::MAX / 4);
        // A time of nothing would let a waiter run in circles.
        let times = Times {
            check_after: us(settings.check_after_ms.max(1)),
            check_every: us(settings.check_every_ms.max(1)),
            invisible: us(settings.invisible_ms.max(1)),
        };
        let mut shelf = Shelf::new(times, found.witness, found.parked);
        for (id, body) in found.halves {
            shelf.prepared(id, body, 0);
        }
        for (id, body) in found.committed {
            shelf.committed(id, body);
        }
        let desk = Arc::new(Desk::new(shelf, times.check_after, us(settings.hint_after_ms)));
        let own = Arc::clone(&desk);
        let thread = std::thread::Builder::new().name("queue".into()).spawn(move || own.run(disk)).map_err(|e| {
            OpenError::new(format!("the thread of the queue {} cannot be started: {e}. Allow this user more threads.", path.display()))
        })?;
        Ok(Self { desk, settings, path: path.to_owned(), thread: Some(thread) })
    }

    /// Transactions since the file was opened: what waits together is committed together.
    pub fn commits(&self) -> u64 {
        self.desk.commits.load(Ordering::Relaxed)
    }

    /// Writes the log to its full size once, so that no commit of a rush has to make the file longer. Changes nothing else.
    ///
    /// # Errors
    /// The disk has no room for it.
    pub async fn pregrow(&self) -> Result<(), Fault> {
        self.ask(|_| Ok(()), |answer| Job::Pregrow { answer }).await
    }

    /// Gives the thread a job and waits for its answer. The check looks at the desk first and may refuse.
    async fn ask<T>(
        &self,
        may: impl FnOnce(&writer::Open) -> Result<(), String>,
        job: impl FnOnce(oneshot::Sender<Result<T, Fault>>) -> Job,
    ) -> Result<T, Fault> {
        let (sender, receiver) = oneshot::channel();
        {
            let open = self.desk.open();
            let refusal = if open.gone {
                Err("is closed".to_owned())
            } else if open.jobs.len() >= self.settings.jobs_max {
                Err(format!("is full: {} calls wait for the disk", open.jobs.len()))
            } else {
                may(&open)
            };
            refusal.map_err(|why| Fault::none(format!("the queue {} {why}", self.path.display())))?;
            self.desk.push(open, job(sender));
        }
        receiver.await.unwrap_or_else(|_| Err(Fault::unknown(format!("the queue {} broke off", self.path.display()))))
    }

    fn room_for(&self, body: usize, open: &writer::Open) -> Result<(), String> {
        let (lies, s) = (open.shelf.backlog(), &self.settings);
        let (preparing, preparing_bytes) = open.preparing;
        let halves = lies.halves as usize + preparing;
        let messages = (lies.halves + lies.committed) as usize + preparing;
        let bytes = open.shelf.bytes() + preparing_bytes;
        if body > s.body_max {
            Err(format!("takes no body of {body} bytes: at most {}", s.body_max))
        } else if halves >= s.halves_max {
            Err(format!("is full: {halves} half messages that nobody settled"))
        } else if messages >= s.messages_max {
            Err(format!("is full: {messages} messages that are not done"))
        } else if bytes + body > s.bytes_max {
            Err(format!("is full: {bytes} bytes of messages that are not done"))
        } else {
            Ok(())
        }
    }
}

impl Drop for EmbeddedQueue {
    fn drop(&mut self) {
        self.desk.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported by itself.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn prepare(&self, half: Half) -> Result<Receipt, Fault> {
        let body = half.body.len();
        self.ask(|open| self.room_for(body, open), |answer| Job::Prepare { half, answer }).await
    }

    async fn settle(&self, receipt: Receipt, verdict: Verdict) {
        let Some(id) = half_of(&receipt) else { return };
        let mut open = self.desk.open();
        let arrived = open.shelf.settle(id, verdict, clock::elapsed_us());
        self.desk.hinted(open);
        if arrived {
            self.desk.arrived.notify_one();
        }
    }

    async fn checks(&self, max: usize, wait_ms: u64) -> Result<Vec<Check>, Fault> {
        // A half that is not here yet is due at the earliest after this long, so nobody needs waking for it.
        let nap = self.settings.check_after_ms.min(self.settings.check_every_ms);
        let look = |now| {
            let mut open = self.desk.open();
            if open.gone {
                return Err(closed(&self.path));
            }
            let checks = open.shelf.due_checks(max, now);
            Ok(if checks.is_empty() && max > 0 { Err(open.shelf.next_check()) } else { Ok(checks) })
        };
        wait(&self.desk.asked, wait_ms, nap, look).await
    }

    async fn receive(&self, max: usize, wait_ms: u64) -> Result<Vec<Message>, Fault> {
        let look = |now| {
            let mut open = self.desk.open();
            if open.gone {
                return Err(closed(&self.path));
            }
            let messages = open.shelf.take(max, now);
            let more = open.shelf.has_ready();
            let next = open.shelf.next_return();
            drop(open);
            if more {
                // One call is woken for any number of messages: it passes the word on.
                self.desk.arrived.notify_one();
            }
            Ok(if messages.is_empty() && max > 0 { Err(next) } else { Ok(messages) })
        };
        wait(&self.desk.arrived, wait_ms, self.settings.invisible_ms, look).await
    }

    async fn ack(&self, handles: Vec<Handle>, ledger_seq: u64) {
        let mut open = self.desk.open();
        for handle in &handles {
            open.shelf.ack(handle);
        }
        open.shelf.witness_seen(ledger_seq);
        self.desk.hinted(open);
    }

    async fn later(&self, handles: Vec<Handle>, delay_ms: u64) {
        let mut open = self.desk.open();
        let again = clock::elapsed_us().saturating_add(delay_ms.saturating_mul(1_000));
        for handle in &handles {
            open.shelf.later(handle, again);
        }
        drop(open);
        // Somebody may wait for a message that would have come back later than this one.
        self.desk.arrived.notify_one();
    }

    async fn park(&self, handle: Handle, reason: &str) -> Result<(), Fault> {
        let (id, _) = parse(&handle).ok_or_else(|| Fault::none(format!("{handle:?} is no handle of the queue {}", self.path.display())))?;
        let (reason, at) = (shortened(reason), clock::date());
        let room = |open: &writer::Open| {
            let parked = open.shelf.backlog().parked;
            if parked >= self.settings.parked_max {
                Err(format!("is full: {parked} messages are put aside; replay or export some"))
            } else {
                Ok(())
            }
        };
        self.ask(room, |answer| Job::Park { id, reason, at, answer }).await
    }

    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, Fault> {
        self.ask(|_| Ok(()), |answer| Job::Parked { after, max, answer }).await
    }

    async fn replay(&self, id: u64) -> Result<bool, Fault> {
        let Ok(parked) = i64::try_from(id) else { return Ok(false) };
        self.ask(|_| Ok(()), |answer| Job::Replay { parked, answer }).await
    }

    async fn backlog(&self) -> Result<Backlog, Fault> {
        Ok(self.desk.open().shelf.backlog())
    }

    async fn witness(&self) -> Result<Option<u64>, Fault> {
        Ok(self.desk.open().shelf.witness())
    }
}

/// Looks until something is there or the time is over. `look` answers what is there, or when to look again at the latest.
async fn wait<T>(
    news: &Notify,
    wait_ms: u64,
    nap_ms: u64,
    look: impl Fn(Micros) -> Result<Result<Vec<T>, Option<Micros>>, Fault>,
) -> Result<Vec<T>, Fault> {
    let end = clock::elapsed_us().saturating_add(wait_ms.saturating_mul(1_000));
    loop {
        // Before looking, or news between the look and the wait would be missed.
        let mut told = pin!(news.notified());
        told.as_mut().enable();
        let now = clock::elapsed_us();
        let next = match look(now)? {
            Ok(found) => return Ok(found),
            Err(next) => next.unwrap_or(Micros::MAX),
        };
        if now >= end {
            return Ok(Vec::new());
        }
        let until = end.min(next).min(now.saturating_add(nap_ms.max(1).saturating_mul(1_000)));
        // News or not, the next look decides.
        let _ = tokio::time::timeout(Duration::from_micros(until.saturating_sub(now)), told).await;
    }
}

fn closed(path: &Path) -> Fault {
    Fault::none(format!("the queue {} is closed", path.display()))
}

fn shortened(reason: &str) -> String {
    let end = (0..=reason.len().min(REASON_MAX)).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
    reason[..end].to_owned()
}
