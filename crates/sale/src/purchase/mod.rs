//! ★ The protocol, whole: who may buy, look, half message, hold, settle, record; check-back; pay, cancel, expire;
//! reconcile, rebuild, movements.
#![allow(unused_variables, missing_docs)] // skeleton

use crate::books;
use crate::order::{Change, Order, Payment};
use crate::ports::*;
use crate::words::*;
use std::sync::Arc;

/// The stores under one engine.
#[derive(Clone)]
pub struct Stores {
    pub gate: Arc<dyn Gate>,
    pub queue: Arc<dyn Queue>,
    pub ledger: Arc<dyn Ledger>,
    pub clock: Arc<dyn Clock>,
}

/// The protocol's times and limits. Each is a configuration key of the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Age of a hold before the reconciler acts on it.
    pub hold_age_ms: u64,
    /// Age of a ticket after which a purchase that left nothing is closed as lost. Exceeds the hold age and the check-back.
    pub stuck_ms: u64,
    /// Longest wait of a rebuild for the consumer to catch up.
    pub drain_ms: u64,
    /// How long one rebuild keeps the others away.
    pub lease_ms: u64,
    /// A sold-out fact lapses unless the gate confirmed it within this time.
    pub fact_ms: u64,
    /// Most purchases in one batch.
    pub batch_max: usize,
    /// How long a lane gathers when the last batch had at least `gather_from` purchases. Zero: never.
    pub gather_us: u64,
    pub gather_from: usize,
    /// Most purchases recorded in one transaction.
    pub merge_max: usize,
    /// Most asks on their way on this node; above it, `overloaded`.
    pub asks_max: usize,
    /// Most committed messages behind which the intake still accepts; above it, `overloaded`.
    pub backlog_max: u64,
    /// Deliveries after which a message that cannot be recorded is parked.
    pub deliveries_max: u32,
    /// Holds or rows that one pass of a background loop looks at.
    pub page_max: usize,
}

/// What a buyer wishes.
#[derive(Clone, Debug)]
pub struct Wish {
    pub sale: SaleId,
    pub buyer: BuyerId,
    pub key: PurchaseKey,
    pub quantity: u32,
    /// How long to wait for the row; zero: answer as soon as it is decided.
    pub wait_ms: u64,
    /// A ticket that an earlier answer carried; a valid one forces the look-up.
    pub ticket: Option<String>,
}

/// The answer to a POST.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The key names this order (whatever its status).
    Row(Box<Order>),
    /// Not known yet. Ask with the ticket.
    Processing { id: OrderId, ticket: String },
    /// Decided against.
    Refused(Refusal),
    /// Nothing was decided or touched.
    Busy(Busy),
}

/// The answer to a GET of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    Row(Box<Order>),
    Processing,
    /// No such order, or not this buyer's.
    Unknown,
}

/// The answer to a cancel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// It is cancelled, now or since before.
    Done(Box<Order>),
    /// Too late: the order is this now (paid, expired …).
    Late(Box<Order>),
    /// Not known yet whether there is anything to cancel (gate not whole).
    Processing,
    Unknown,
}

/// A sale as this node sees it now.
#[derive(Clone, Debug)]
pub struct SaleView {
    pub sale: Arc<Sale>,
    /// The gate is not whole.
    pub recovering: bool,
    /// The gate's stock as last learned, if ever in this epoch.
    pub fact: Option<Fact>,
    /// The ledger's clock now, as this node knows it.
    pub now: Time,
}

/// What an operator's verb on a sale came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operated {
    Done(Box<Sale>),
    /// The sale's status does not allow it; the sale as it is.
    NotNow(Box<Sale>),
    /// Somebody else is rebuilding; try again.
    Recovering,
    NoSale,
}

/// What an operator's movement came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stocked {
    Done(Movement),
    Mismatch(Movement),
    /// Not that many units (left in the gate), or the sum would be too great.
    Refused { left: i64 },
    Recovering,
    NotNow,
    NoSale,
}

/// What a reconciler's pass found and mended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reconciled {
    pub looked: u64,
    pub recorded: u64,
    pub released: u64,
    pub raises: u64,
    pub withdrawals: u64,
}

impl Reconciled {
    /// Nothing was out of order.
    pub fn clean(&self) -> bool {
        Self { looked: 0, ..*self } == Self::default()
    }
}

/// Counters of the protocol, for /metrics. Plain atomics: see `meters.rs`.
pub struct Engine {}

impl Engine {
    /// `node`: this process's name, random. `ticket_keys`: (number, secret), the first signs, all verify.
    pub fn new(stores: Stores, settings: Settings, node: u64, ticket_keys: Vec<(u8, Vec<u8>)>) -> Arc<Self> {
        todo!()
    }
    /// Reads all sales and makes every gate whole (embedded: rebuilds it). Call once, while `record_pass` runs.
    pub async fn start(&self) -> Result<(), Fault> {
        todo!()
    }

    // --- buyers
    pub async fn buy(&self, wish: Wish) -> Answer {
        todo!()
    }
    /// `wait_ms`: answers as soon as the order's version is above `after` (or it has a row, when `after` is None).
    pub async fn order(&self, id: OrderId, buyer: &BuyerId, ticket: Option<&str>, after: Option<u32>, wait_ms: u64) -> Result<Shown, Fault> {
        todo!()
    }
    pub async fn cancel(&self, id: OrderId, buyer: &BuyerId, ticket: Option<&str>) -> Result<Cancelled, Fault> {
        todo!()
    }
    /// Late payments buy again here.
    pub async fn pay(&self, paying: &Paying) -> Result<Paid, Fault> {
        todo!()
    }
    pub fn sale(&self, id: SaleId) -> Option<SaleView> {
        todo!()
    }
    pub fn sales(&self) -> Vec<SaleView> {
        todo!()
    }

    // --- operators
    pub async fn create(&self, terms: &Terms, units: i64, actor: &str) -> Result<Result<Sale, Sale>, Fault> {
        todo!()
    }
    pub async fn open(&self, sale: SaleId) -> Result<Operated, Fault> {
        todo!()
    }
    pub async fn pause(&self, sale: SaleId) -> Result<Operated, Fault> {
        todo!()
    }
    /// Stops admitting, drains, bumps.
    pub async fn close_sale(&self, sale: SaleId) -> Result<Operated, Fault> {
        todo!()
    }
    pub async fn archive(&self, sale: SaleId) -> Result<Operated, Fault> {
        todo!()
    }
    pub async fn restock(&self, sale: SaleId, key: &MovementKey, units: i64, actor: &str, reason: &str) -> Result<Stocked, Fault> {
        todo!()
    }
    pub async fn withdraw(&self, sale: SaleId, withdrawal: &Withdrawal) -> Result<Stocked, Fault> {
        todo!()
    }
    /// One pass over everything, holds of every age.
    pub async fn reconcile(&self, sale: SaleId) -> Result<Option<Reconciled>, Fault> {
        todo!()
    }
    pub async fn rebuild(&self, sale: SaleId) -> Result<Operated, Fault> {
        todo!()
    }
    pub async fn refund(&self, id: OrderId) -> Result<Refunding, Fault> {
        todo!()
    }
    /// Reads the stores and checks every law. `told`: what buyers were told, if somebody knows.
    pub async fn audit(&self, told: Option<&[books::Tale]>) -> Result<books::Report, Fault> {
        todo!()
    }
    /// The ledger, for reading pages of orders, movements, histories.
    pub fn ledger(&self) -> &dyn Ledger {
        todo!()
    }
    /// The queue, for dead letters and replay.
    pub fn queue(&self) -> &dyn Queue {
        todo!()
    }

    // --- loops: tasks call each in a loop until stopped; each returns by itself within about `wait_ms` (or when done)
    /// Forms batches and decides them. Waits at most `wait_ms` for asks.
    pub async fn intake_pass(&self, wait_ms: u64) {
        todo!()
    }
    pub async fn check_back_pass(&self, wait_ms: u64) -> Result<(), Fault> {
        todo!()
    }
    pub async fn record_pass(&self, wait_ms: u64) -> Result<(), Fault> {
        todo!()
    }
    /// Call about every second.
    pub async fn reconcile_pass(&self) -> Result<Reconciled, Fault> {
        todo!()
    }
    /// Expires unpaid orders, finishes late payments. Call about every second.
    pub async fn clock_pass(&self) -> Result<(), Fault> {
        todo!()
    }
    /// Refreshes sales, sold-out facts, the ledger's clock; finds a gate that is not whole and rebuilds it. About every 300 ms.
    pub async fn watch_pass(&self) -> Result<(), Fault> {
        todo!()
    }
    /// From now on every ask is answered `overloaded`; resolves when no ask is on its way.
    pub async fn drain(&self) {
        todo!()
    }
    /// Asks on their way on this node.
    pub fn asks_in_flight(&self) -> usize {
        todo!()
    }
}

pub fn _uses(_: Change, _: Payment) {}
