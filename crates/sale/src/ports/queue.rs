//! The queue's port: half messages and their verdicts, deliveries, what is put aside.

use super::Fault;
use crate::words::{BatchId, Time};
use async_trait::async_trait;

/// What is told to a broker about a half message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Deliver it. Said only after `held` was read.
    Commit,
    /// Drop it. Said only on evidence.
    Rollback,
    /// Ask again later.
    Unknown,
}

/// A half message: stored by the broker, delivered only after a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Half {
    /// The batch that it carries; the message's key.
    pub batch: BatchId,
    /// The sale's `goods_type`; the message's tag.
    pub tag: String,
    /// The batch, encoded.
    pub body: Vec<u8>,
}

/// Names a half message towards the broker that took it. Opaque to the protocol.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Receipt(pub String);

/// The broker asks what became of a half message that nobody settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Names the half message.
    pub receipt: Receipt,
    /// Its body.
    pub body: Vec<u8>,
}

/// Names one delivery of one message. Opaque to the protocol.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Handle(pub String);

/// A committed message, delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Names this delivery.
    pub handle: Handle,
    /// The body of its half message.
    pub body: Vec<u8>,
    /// How many times it was delivered, this time included.
    pub deliveries: u32,
}

/// A message that was put aside, with its reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parked {
    /// Names it; counts up.
    pub id: u64,
    /// Its body.
    pub body: Vec<u8>,
    /// Why it was put aside.
    pub reason: String,
    /// When, by the queue's clock, in milliseconds since 1970.
    pub at: Time,
}

/// How much lies in a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// Half messages that nobody settled.
    pub halves: u64,
    /// Committed messages that were not acknowledged, delivered or not.
    pub committed: u64,
    /// Messages put aside.
    pub parked: u64,
}

/// Carries a batch to the ledger, as a transactional message.
///
/// What a queue may do and the protocol survives: deliver a message many times, late, out of order; forget a settlement
/// and check back; drop a half message after its last check; deliver after a rollback if somebody also sent commit. What
/// it may not do: deliver a half message for which nobody said commit.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Stores a half message. Durable when it answers. A fault may leave a half message behind: it is checked back.
    async fn prepare(&self, half: Half) -> Result<Receipt, Fault>;

    /// Says what became of a half message. A hint: it may be lost, and nobody learns it. Does not wait for the broker.
    async fn settle(&self, receipt: Receipt, verdict: Verdict);

    /// Waits at most `wait_ms` for half messages that the broker wants decided, and takes at most `max` of them. Each is
    /// answered with `settle`, or asked for again later.
    async fn checks(&self, max: usize, wait_ms: u64) -> Result<Vec<Check>, Fault>;

    /// Waits at most `wait_ms` for committed messages and takes at most `max`. A message is not delivered again while
    /// its invisible time runs; without an acknowledgement it is, afterwards.
    async fn receive(&self, max: usize, wait_ms: u64) -> Result<Vec<Message>, Fault>;

    /// Acknowledges deliveries, each by itself: these messages are done. `ledger_seq` is the ledger's sequence after
    /// their record; a durable queue keeps the greatest, for [`Queue::witness`]. May be lost: the message comes again.
    async fn ack(&self, handles: Vec<Handle>, ledger_seq: u64);

    /// Gives deliveries back: each is delivered again after `delay_ms`.
    async fn later(&self, handles: Vec<Handle>, delay_ms: u64);

    /// Puts a message aside with its reason; it is not delivered again until it is replayed. Done when it answers.
    async fn park(&self, handle: Handle, reason: &str) -> Result<(), Fault>;

    /// Messages put aside, from `after` on, at most `max`.
    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, Fault>;

    /// Delivers a parked message again. `false`: no such message is parked.
    async fn replay(&self, id: u64) -> Result<bool, Fault>;

    /// How much lies here.
    async fn backlog(&self) -> Result<Backlog, Fault>;

    /// The greatest ledger sequence that an acknowledgement named, if this queue keeps one. A ledger that is behind it
    /// has lost acknowledged rows.
    async fn witness(&self) -> Result<Option<u64>, Fault>;
}
