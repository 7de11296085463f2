//! The ports: what the protocol asks of a gate, a queue, a ledger and a clock, each method's contract in prose.
//!
//! A port is shaped by its weakest product. An adapter that does not pass `contract` does not exist.
//!
//! Two kinds of "no": an expected answer stands in `Ok`; a [`Fault`] is *no answer* and says nothing about what
//! happened, unless it says that nothing did.

use crate::order::{Change, Order, Payment, Source, Status, Step};
use crate::words::{Ask, Batch, BatchId, Digest, Epoch, MovementKey, OrderId, PaymentId, RunId, Sale, SaleId, SaleStatus, Terms, Time};
use async_trait::async_trait;
use std::fmt;

/// A store gave no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What is known of the effect.
    pub effect: Effect,
    /// What went wrong, for a log: which store, which call, why.
    pub what: String,
}

/// What a fault tells of the effect of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The call surely had no effect and will have none.
    None,
    /// It may have had, or may yet have, its whole effect.
    Unknown,
}

impl Fault {
    /// A call that surely did nothing.
    pub fn none(what: impl Into<String>) -> Self {
        Self { effect: Effect::None, what: what.into() }
    }

    /// A call that may have done everything.
    pub fn unknown(what: impl Into<String>) -> Self {
        Self { effect: Effect::Unknown, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

// ------------------------------------------------------------------------------------------------------------- gate

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

// ------------------------------------------------------------------------------------------------------------ queue

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

// ----------------------------------------------------------------------------------------------------------- ledger

/// Asks to be recorded together: of one sale, decided under one epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sheaf {
    /// The sale.
    pub sale: SaleId,
    /// The epoch of the *decision*; never a fresher one.
    pub epoch: Epoch,
    /// Where the asks come from.
    pub source: Source,
    /// The asks.
    pub asks: Vec<Ask>,
}

/// What the ledger made of recorded asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// For each sheaf its rows, in the order of its asks: made now, or found. `Err` says why a sheaf was left out.
    pub sheaves: Vec<Result<Vec<Order>, Unrecordable>>,
    /// The ledger's sequence after this; counts up with every change of an order.
    pub seq: u64,
}

/// Why a sheaf cannot be recorded by trying again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unrecordable {
    /// The ledger has no such sale.
    UnknownSale,
    /// An order of it has a history but no row: somebody deleted it by hand. The ledger has stopped the sale.
    DeletedByHand(Digest),
    /// The sale is stopped because a law was found broken.
    Stopped,
}

/// Asks for a new epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BumpAsk {
    /// The sale.
    pub sale: SaleId,
    /// The epoch that the asker has seen: the bump is a compare-and-set on it.
    pub seen: Epoch,
    /// The gate's present life.
    pub run: RunId,
    /// The status that the operator's verb gives the sale, if one does; a rebuild keeps what is there. Opening ends a
    /// stop: the operator has looked.
    pub to: Option<SaleStatus>,
    /// Milliseconds for which no other node may bump, by the ledger's clock, unless [`Ledger::whole`] ends it.
    pub lease_ms: i64,
}

/// What became of a bump.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bumped {
    /// The epoch is the next one. What the gate must be loaded with, read in the same transaction.
    Won(Box<Rebuild>),
    /// The sale has another epoch than was seen.
    Moved(Epoch),
    /// Another node is rebuilding until then.
    Leased(Time),
    /// The sale's status does not allow it: it is this.
    NotNow(SaleStatus),
    /// There is no such sale.
    NoSale,
}

/// What a gate is loaded with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebuild {
    /// The sale, with its new epoch.
    pub sale: Sale,
    /// Every live order of the sale.
    pub live: Vec<Ask>,
    /// The keys of all its withdrawals.
    pub withdrawals: Vec<MovementKey>,
}

/// What closes an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// Its buyer cancels.
    Cancel,
    /// Its time to pay is over: the ledger compares `pay_by` with its own clock.
    Expire,
    /// Its ticket is older than the stuck limit and it left nothing.
    Lost,
}

/// What became of a closing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Closed {
    /// The row as it is now, and what was done to it.
    Row(Box<Order>, Step),
    /// No row, and no ask was given to make one of.
    NoRow,
}

/// A payment, as the payment gateway reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paying {
    /// The gateway's name for it.
    pub payment: PaymentId,
    /// What it pays.
    pub order: OrderId,
    /// In minor units of the order's currency.
    pub amount: i64,
}

/// What the ledger made of a payment. The same payment gets the same answer again, unless it has moved on since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Paid {
    /// It paid the order.
    Settled(Box<Order>),
    /// The order had expired: the payment waits as `late`, to buy again.
    Late(Box<Order>),
    /// It came late and bought this order instead.
    Bought(Box<Order>),
    /// It buys nothing and is to be given back; the order as it is.
    RefundDue(Box<Order>),
    /// It was given back.
    Refunded(Box<Order>),
    /// There is no such order.
    NoOrder,
    /// The amount is not the order's; nothing was done.
    WrongAmount(i64),
    /// This payment's id was used for another order or amount; nothing was done.
    Mismatch,
}

/// What became of an operator's refund.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refunding {
    /// The order is refunded, or was before.
    Refunded(Box<Order>),
    /// The order is not paid.
    NotPaid(Box<Order>),
    /// There is no such order.
    NoOrder,
}

/// A numbered change of a sale's allotment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Movement {
    /// Names it; done once per sale and key.
    pub key: MovementKey,
    /// Positive: a restock. Negative: a withdrawal.
    pub units: i64,
    /// The raise's number; withdrawals have none.
    pub number: Option<u64>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Time,
}

/// What became of a movement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Moved {
    /// It stands, now or since an earlier call with its key.
    Done(Movement),
    /// Its key stands for a movement of other units; nothing was done.
    Mismatch(Movement),
    /// It cannot be: the ledger has fewer units left, or the sum would pass [`UNITS_MAX`](crate::words::UNITS_MAX). For
    /// a withdrawal the refusal is remembered under its key.
    Refused,
    /// The epoch is another one; nothing was done.
    Stale,
    /// There is no such sale, or its status does not allow it; nothing was done.
    NotNow,
}

/// A change that an operator makes to a sale without changing who decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaleChange {
    /// Stop selling for now.
    Pause,
    /// Stop selling for good.
    End,
    /// Forget the gate.
    Archive,
    /// A law was found broken, this one: admit and record nothing.
    Stop(String),
}

impl SaleChange {
    /// The status that it gives a sale; `Err`: it stops the sale, for this reason.
    pub fn to(&self) -> Result<SaleStatus, &str> {
        match self {
            Self::Pause => Ok(SaleStatus::Paused),
            Self::End => Ok(SaleStatus::Ended),
            Self::Archive => Ok(SaleStatus::Archived),
            Self::Stop(why) => Err(why),
        }
    }
}

/// A page of orders, newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<Order>,
    /// Give this to the next call; `None` at the end.
    pub next: Option<u64>,
}

/// A ledger's books of one sale in one snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerBooks {
    /// The sale.
    pub sale: Sale,
    /// Every order, in the order of their making.
    pub orders: Vec<Order>,
    /// Every change of every order, in the order of their making.
    pub history: Vec<Change>,
    /// Every movement.
    pub movements: Vec<Movement>,
    /// Every payment.
    pub payments: Vec<Payment>,
}

/// The truth: orders and stock, in one transaction, under the condition `left >= quantity`.
///
/// Every method is one transaction and durable when it answers `Ok` (a reading one: one snapshot). Every method may be
/// called again with the same arguments: the second call finds what the first did and answers it. A fault leaves the
/// effect of a writing method unknown, but whole: all of it or nothing.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Whether nobody but this process can write the ledger while it is open. What other nodes might have done need then
    /// not be looked for.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// The ledger's clock. Never goes back, not over a restart either.
    async fn now(&self) -> Result<Time, Fault>;

    /// The ledger's sequence: see [`Recorded::seq`].
    async fn seq(&self) -> Result<u64, Fault>;

    /// Makes a sale as a draft, its units being the first restock. `Err` in the answer: a sale of that id is there with
    /// other terms or units; it is returned, unchanged.
    async fn create_sale(&self, terms: &Terms, units: i64, actor: &str) -> Result<Result<Sale, Sale>, Fault>;

    /// One sale.
    async fn sale(&self, sale: SaleId) -> Result<Option<Sale>, Fault>;

    /// All sales, at most [`SALES_MAX`](crate::words::SALES_MAX), by id.
    async fn sales(&self) -> Result<Vec<Sale>, Fault>;

    /// Changes a sale; answers it as it is afterwards. A change that its status does not allow does nothing.
    async fn change_sale(&self, sale: SaleId, change: &SaleChange) -> Result<Option<Sale>, Fault>;

    /// Raises the epoch, by compare-and-set, and reads what the gate must be loaded with.
    async fn bump(&self, ask: BumpAsk) -> Result<Bumped, Fault>;

    /// Ends the lease of this epoch's bump: the gate is whole.
    async fn whole(&self, sale: SaleId, epoch: Epoch) -> Result<(), Fault>;

    /// Records asks: for each, the row that is there already, else a new one. `confirmed` (`paid` for a late payment)
    /// if the epoch is the sale's, the buyer's live units allow it and the stock covers it, taken for good in the same
    /// transaction; else `rejected` with the reason, for ever. All sheaves in one transaction; a sheaf that cannot be
    /// recorded is left out and does not hold up the others. A purchase may stand in several sheaves.
    async fn record(&self, sheaves: Vec<Sheaf>) -> Result<Recorded, Fault>;

    /// The rows of these orders.
    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Option<Order>>, Fault>;

    /// The statuses of the rows of these orders, for walks over very many. It may be answered from an index that is kept
    /// with the rows; what somebody did to the rows by hand it then does not show.
    async fn statuses(&self, ids: &[OrderId]) -> Result<Vec<Option<Status>>, Fault>;

    /// Closes an order, as [`Status::on`](crate::order::Status::on) allows. Without a row, `ask` (if given) becomes one
    /// that is closed from the start: a tombstone.
    async fn close(&self, id: OrderId, closing: Closing, ask: Option<Ask>) -> Result<Closed, Fault>;

    /// Confirmed orders whose time to pay is over by the ledger's clock, longest overdue first, at most `max`.
    async fn due(&self, max: usize) -> Result<Vec<OrderId>, Fault>;

    /// Takes a payment.
    async fn pay(&self, paying: &Paying) -> Result<Paid, Fault>;

    /// A late payment bought nothing: `late → refund_due`, by compare-and-set. Answers the payment as it is, or `None`.
    async fn refund_due(&self, payment: &PaymentId) -> Result<Option<Payment>, Fault>;

    /// The payment gateway has given a payment back that was due: `refund_due → refunded`, by compare-and-set. Answers the
    /// payment as it is, or `None`.
    async fn refunded(&self, payment: &PaymentId) -> Result<Option<Payment>, Fault>;

    /// Payments that wait as `late`, at most `max`: somebody must finish them.
    async fn late_payments(&self, max: usize) -> Result<Vec<Payment>, Fault>;

    /// Refunds a paid order: the units come back.
    async fn refund(&self, id: OrderId) -> Result<Refunding, Fault>;

    /// Raises the allotment: a numbered movement.
    async fn raise(&self, sale: SaleId, key: &MovementKey, units: i64, actor: &str, reason: &str) -> Result<Moved, Fault>;

    /// Raises of a sale after `number`, by number, at most `max`.
    async fn raises(&self, sale: SaleId, after: u64, max: usize) -> Result<Vec<Movement>, Fault>;

    /// Lowers the allotment by a withdrawal that the gate holds, in the epoch in which it holds it.
    async fn withdraw(&self, sale: SaleId, epoch: Epoch, withdrawal: &Withdrawal) -> Result<Moved, Fault>;

    /// The movement of that key, if there is one.
    async fn movement(&self, sale: SaleId, key: &MovementKey) -> Result<Option<Movement>, Fault>;

    /// A sale's movements in the order of their making, from the `after`-th on, at most `max`.
    async fn movements(&self, sale: SaleId, after: u64, max: usize) -> Result<Vec<Movement>, Fault>;

    /// A sale's orders, newest first, from `after` on (`None` = the newest), at most `max`.
    async fn page(&self, sale: SaleId, after: Option<u64>, max: usize) -> Result<OrderPage, Fault>;

    /// An order's history, oldest first.
    async fn history(&self, id: OrderId) -> Result<Vec<Change>, Fault>;

    /// The payments of an order.
    async fn payments(&self, id: OrderId) -> Result<Vec<Payment>, Fault>;

    /// Everything about one sale, in one snapshot.
    async fn books(&self, sale: SaleId) -> Result<Option<LedgerBooks>, Fault>;
}

// ------------------------------------------------------------------------------------------------------------ clock

/// The node's own time: for waits and ages, never for deadlines.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Microseconds since some point; never goes back while the process lives.
    fn elapsed_us(&self) -> u64;

    /// Waits. Short waits (below a millisecond) are kept to within a tenth of a millisecond or so.
    async fn sleep_us(&self, us: u64);
}
