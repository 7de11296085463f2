//! The gate's port: what it decides, what it knows, and what a rebuilt one starts with.

use super::Fault;
use crate::words::{Ask, Batch, BatchId, Digest, Epoch, MovementKey, RunId, SaleId};
use async_trait::async_trait;

/// Which decider is meant: every call to a gate carries it, and a gate that is not it refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fence {
    /// The sale.
    pub sale: SaleId,
    /// The epoch that must be the gate's current one.
    pub epoch: Epoch,
    /// The life of the gate's store that the epoch began in.
    pub run: RunId,
}

/// The gate is not the decider that the call meant: wiped, rewound, failed over, or rebuilt since. Nothing was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stale;

/// An answer of the decider that was meant, or [`Stale`].
pub type Fenced<T> = Result<T, Stale>;

/// What a gate knows of its stock. Compared by epoch, then version; the greater is the newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Fact {
    /// The decider's epoch.
    pub epoch: Epoch,
    /// Counts the changes of `left` in this epoch.
    pub version: u64,
    /// Units that can be held.
    pub left: i64,
}

/// What the gate says of one ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// It could be held.
    Free,
    /// It is held, by whichever batch.
    Held,
    /// It was held and released: its row in the ledger is the answer.
    Closed,
    /// Its id is held with other content.
    Mismatch,
    /// The buyer's holds leave no room for it: these.
    Limit(Vec<Ask>),
    /// Fewer units are left than it asks for.
    Short,
}

/// What the gate decided about a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Held {
    /// All of it is held; the decision is written. A second call for the same batch says so again and takes nothing.
    All,
    /// Nothing is held and nothing was written: what the gate says of each ask, in the batch's order. Asks that would
    /// have fitted are `Free`; `Held` ones are held by another batch.
    None(Vec<Seen>),
    /// The batch was voided before: it holds nothing, now or later.
    Void,
}

/// What the gate's decision record says of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The batch is held.
    Held,
    /// The batch holds nothing, now or later.
    Void,
}

/// A page of holds, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HoldPage {
    /// What was held, each with the whole ask, so that it can be recorded without its message.
    pub holds: Vec<Ask>,
    /// Give this to the next call; `None` when the page ends the list.
    pub next: Option<u64>,
}

/// A withdrawal that the gate has taken out of its stock, until the ledger's movement is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withdrawal {
    /// Names it.
    pub key: MovementKey,
    /// Units, positive.
    pub units: i64,
    /// Who asked.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What a gate says to a withdrawal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithdrawHeld {
    /// This many units are out of the stock under the key: now, or by an earlier call, whatever that one asked for.
    Held(i64),
    /// This key was finished before, one way or the other: the ledger's movement is the answer.
    Finished,
    /// Fewer units are left than that.
    Short(i64),
}

/// What a rebuilt gate starts with, beside its holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// Units that can be held: the ledger's `left` minus `holdback`.
    pub left: i64,
    /// How many holds were loaded. A gate that was wiped between the parts has fewer, and must not be published.
    pub holds: u64,
    /// The last raise that `left` contains.
    pub raises: u64,
    /// Withdrawals that `left` contains.
    pub withdrawals: Vec<MovementKey>,
}

/// A gate's books at one instant, for the laws L5 to L7.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GateBooks {
    /// Its stock.
    pub fact: Fact,
    /// Every hold: purchase and units.
    pub holds: Vec<(Digest, u32)>,
    /// The last raise applied.
    pub raises: u64,
    /// Withdrawals taken out and not finished.
    pub withdrawals: Vec<Withdrawal>,
    /// Withdrawals finished.
    pub withdrawn: Vec<MovementKey>,
}

/// Decides each purchase: a stock pre-deduction and a record of it, in one atomic step.
///
/// Every method is atomic. Every method but `run`, `load`, `publish` and `drop_sale` refuses with [`Stale`], and does
/// nothing, unless the fence names the gate's current epoch *and* the life of the store in which it was published.
/// Nothing in a gate expires by time. A fault leaves the effect of a writing method unknown; all of them may be called
/// again, but for `hold`, which the protocol sends once.
#[async_trait]
pub trait Gate: Send + Sync {
    /// The present life of the store. Changes on restart, failover and replacement.
    async fn run(&self) -> Result<RunId, Fault>;

    /// What the gate would say to each ask by itself, and its stock. Read only.
    async fn look(&self, fence: Fence, limit_per_buyer: u32, asks: &[Ask]) -> Result<Fenced<(Vec<Seen>, Fact)>, Fault>;

    /// Holds all asks of the batch or none. A buyer's units are counted across the batch. An ask that is held already,
    /// by whichever batch, counts as held and takes nothing. Holding writes, in the same step, the batch's decision and
    /// for each order the whole ask. A batch with a decision gets it again.
    async fn hold(&self, fence: Fence, batch: &Batch) -> Result<Fenced<(Held, Fact)>, Fault>;

    /// The batch's decision. When there is none, void is *written* first, so that a late hold of that batch holds
    /// nothing; then void is the answer, for ever.
    async fn decision_or_void(&self, fence: Fence, batch: BatchId) -> Result<Fenced<Decision>, Fault>;

    /// The holds of these purchases, `None` where there is none. Read only.
    async fn held(&self, fence: Fence, digests: &[Digest]) -> Result<Fenced<Vec<Option<Ask>>>, Fault>;

    /// Holds in the order in which they were made, from `after` on (`0` = the first), at most `max`. A hold that stands
    /// during a whole walk is seen by it. Read only.
    async fn holds(&self, fence: Fence, after: u64, max: usize) -> Result<Fenced<HoldPage>, Fault>;

    /// Removes these holds, gives their units back, once, because the hold goes with them, and leaves a mark (`closed`).
    /// A purchase without a hold is passed over.
    async fn release(&self, fence: Fence, digests: &[Digest]) -> Result<Fenced<Fact>, Fault>;

    /// Applies raise `number` if it is the last applied plus one; else does nothing. Answers the last applied.
    async fn raise(&self, fence: Fence, number: u64, units: i64) -> Result<Fenced<(u64, Fact)>, Fault>;

    /// Takes the units of a withdrawal out of the stock, once per key.
    async fn withdraw(&self, fence: Fence, withdrawal: &Withdrawal) -> Result<Fenced<(WithdrawHeld, Fact)>, Fault>;

    /// Ends a withdrawal that `withdraw` took: its key is remembered; `give_back` returns its units to the stock.
    /// A key that is not out is passed over.
    async fn finish_withdrawal(&self, fence: Fence, key: &MovementKey, give_back: bool) -> Result<Fenced<Fact>, Fault>;

    /// What the gate knows of movements: the last raise applied, and the withdrawals that are out and not finished. Read
    /// only.
    async fn pending(&self, fence: Fence) -> Result<Fenced<(u64, Vec<Withdrawal>)>, Fault>;

    /// The gate's stock. Read only.
    async fn fact(&self, fence: Fence) -> Result<Fenced<Fact>, Fault>;

    /// All that the gate knows of the sale, at one instant. Read only.
    async fn books(&self, fence: Fence) -> Result<Fenced<GateBooks>, Fault>;

    /// Writes holds under an epoch that is not yet current. May come in parts. Refused with [`Stale`] when the gate
    /// already has that epoch or a later one, or lives another life.
    async fn load(&self, fence: Fence, holds: Vec<Ask>) -> Result<Fenced<()>, Fault>;

    /// Makes a loaded epoch the current one: only over an older one, only in the same life, only with all the holds that
    /// the opening counts. A second call is `Stale`.
    /// What earlier epochs wrote is out of reach from then on.
    async fn publish(&self, fence: Fence, opening: Opening) -> Result<Fenced<Fact>, Fault>;

    /// Forgets the sale, if the gate has no later epoch than this one. The archive's last step.
    async fn drop_sale(&self, fence: Fence) -> Result<(), Fault>;
}
