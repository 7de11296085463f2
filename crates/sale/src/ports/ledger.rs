//! The ledger's port: the truth, and what it answers to each transaction.

use super::{Fault, Withdrawal};
use crate::order::{Change, Order, Payment, Source, Status, Step};
use crate::words::{Ask, Digest, Epoch, MovementKey, OrderId, PaymentId, RunId, Sale, SaleId, SaleStatus, Terms, Time};
use async_trait::async_trait;

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
    fn is_exclusive(&self) -> bool;

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

    /// How many orders of a sale have each status; what none has is left out. It is asked at every look at the metrics, so
    /// it reads no rows if it can help it.
    async fn counts(&self, sale: SaleId) -> Result<Vec<(Status, u64)>, Fault>;

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
