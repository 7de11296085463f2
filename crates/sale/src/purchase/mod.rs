//! ★ The protocol, whole: look, half message, hold, settle, record; check-back; pay, cancel, expire; reconcile, rebuild,
//! raises and withdrawals.
//!
//! Each file is a verb. The order of a purchase's steps stands in `buy`; the consumer's in `record`; what makes a gate
//! the decider in `rebuild`. An [`Engine`] is one node: it keeps nothing that the stores could not tell it again.

mod audit;
mod buy;
mod check_back;
mod desk;
mod filter;
mod intake;
mod limit;
mod meters;
mod movements;
mod orders;
mod pay;
mod rebuild;
mod reconcile;
mod record;
mod settings;
mod ticket;
mod watch;

pub use meters::{Count, Meters, Spread, Stage};
pub use settings::Settings;
pub use ticket::Tickets;

use crate::order::Order;
use crate::ports::{Clock, Fact, Fault, Gate, Ledger, Movement, Queue};
use crate::words::{Busy, BuyerId, OrderId, PurchaseKey, Refusal, Sale, SaleId, Time};
use desk::{Desk, lock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

/// The stores under an engine.
#[derive(Clone)]
pub struct Stores {
    /// Decides.
    pub gate: Arc<dyn Gate>,
    /// Carries.
    pub queue: Arc<dyn Queue>,
    /// Records.
    pub ledger: Arc<dyn Ledger>,
    /// The node's own time.
    pub clock: Arc<dyn Clock>,
}

/// What a buyer wishes.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Of which sale.
    pub sale: SaleId,
    /// Who.
    pub buyer: BuyerId,
    /// The buyer's name for this purchase.
    pub key: PurchaseKey,
    /// How many units; checked by admission.
    pub quantity: u32,
    /// How long to wait for the row, in milliseconds; zero: the decision is enough.
    pub wait_ms: u64,
    /// A ticket of an earlier answer. A valid one forces the look-up.
    pub ticket: Option<String>,
}

/// The answer to a wish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The key names this order, whatever its status.
    Row(Box<Order>),
    /// Not known yet.
    Processing {
        /// The order's id, when there will be one.
        id: OrderId,
        /// To be shown when asking for it.
        ticket: String,
    },
    /// Decided against.
    Refused(Refusal),
    /// Nothing was decided or touched.
    Busy(Busy),
}

/// The answer to "what became of this order?".
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// Its row.
    Row(Box<Order>),
    /// Not known yet.
    Processing,
    /// There is none, or it is not this buyer's.
    Unknown,
}

/// The answer to a cancel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// It is cancelled, now or since before.
    Done(Box<Order>),
    /// Too late: the order is something else now.
    Late(Box<Order>),
    /// There is none, or it is not this buyer's.
    Unknown,
}

/// A sale as this node sees it.
#[derive(Clone, Debug)]
pub struct SaleView {
    /// The ledger's row, as last read.
    pub sale: Arc<Sale>,
    /// The gate is not known to be whole.
    pub recovering: bool,
    /// The gate's stock as last learned in this epoch.
    pub fact: Option<Fact>,
    /// The ledger's clock, as this node knows it.
    pub now: Time,
}

/// What an operator's verb on a sale came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operated {
    /// Done; the sale as it is now.
    Done(Box<Sale>),
    /// Its status does not allow it; the sale as it is.
    NotNow(Box<Sale>),
    /// Its gate is being rebuilt; try again.
    Recovering,
    /// There is no such sale.
    NoSale,
}

/// What an operator's movement came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stocked {
    /// It stands, now or since an earlier call with its key.
    Done(Movement),
    /// Its key stands for a movement of other units.
    Mismatch(Movement),
    /// Fewer units can be withdrawn, or the sum would be too great.
    Refused {
        /// Units left.
        left: i64,
    },
    /// The gate is being rebuilt; try again with the same key.
    Recovering,
    /// The sale's status does not allow it.
    NotNow,
    /// There is no such sale.
    NoSale,
}

/// What a reconciler found and mended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reconciled {
    /// Holds looked at.
    pub looked: u64,
    /// Orders recorded from their hold.
    pub recorded: u64,
    /// Holds of dead orders released.
    pub released: u64,
    /// Raises applied to the gate.
    pub raises: u64,
    /// Withdrawals completed.
    pub withdrawals: u64,
}

impl Reconciled {
    /// Whether nothing was out of order.
    pub fn clean(&self) -> bool {
        Self { looked: 0, ..*self } == Self::default()
    }
}

/// One node.
pub struct Engine {
    stores: Stores,
    settings: Settings,
    tickets: ticket::Tickets,
    /// This process's name in batch ids.
    node: u64,
    batches: AtomicU64,
    desks: RwLock<BTreeMap<SaleId, Arc<Desk>>>,
    intake: intake::Intake,
    watch: watch::Watch,
    /// When the sales were read last: only a sale that was not among them lately is unknown.
    read_at_us: Mutex<Option<u64>>,
    ledger_time: Mutex<LedgerTime>,
    /// The ledger's greatest sequence that this node has seen.
    seq: AtomicU64,
    /// The queue held too much when it was last asked.
    backed_up: AtomicBool,
    last_fault: Mutex<Option<String>>,
    failures: record::Failures,
    meters: Meters,
}

/// The ledger's clock as last read, and when that was by the node's own.
#[derive(Clone, Copy, Default)]
struct LedgerTime {
    time: Time,
    at_us: u64,
}

impl LedgerTime {
    fn at(&self, now_us: u64) -> Time {
        self.time.after_ms((now_us.saturating_sub(self.at_us) / 1_000).cast_signed())
    }
}

impl Engine {
    /// A node over these stores. `node` is this process's name, never used before; `ticket_keys` are shared by all nodes,
    /// number and secret, the first signs and all verify.
    pub fn new(stores: Stores, settings: Settings, node: u64, ticket_keys: &[(u8, Vec<u8>)]) -> Arc<Self> {
        Arc::new(Self {
            stores,
            settings,
            tickets: ticket::Tickets::new(ticket_keys),
            node,
            batches: AtomicU64::new(1),
            desks: RwLock::default(),
            intake: intake::Intake::default(),
            watch: watch::Watch::default(),
            read_at_us: Mutex::default(),
            ledger_time: Mutex::default(),
            seq: AtomicU64::new(0),
            backed_up: AtomicBool::new(false),
            last_fault: Mutex::default(),
            failures: record::Failures::default(),
            meters: Meters::default(),
        })
    }

    /// One sale as this node sees it.
    pub fn sale(&self, sale: SaleId) -> Option<SaleView> {
        self.desk(sale).map(|desk| self.view(&desk))
    }

    /// All sales as this node sees them, by id.
    pub fn sales(&self) -> Vec<SaleView> {
        self.all_desks().iter().map(|desk| self.view(desk)).collect()
    }

    fn view(&self, desk: &Desk) -> SaleView {
        let sale = desk.sale();
        SaleView { recovering: sale.status.has_gate() && !desk.is_whole(), fact: desk.fact(), now: self.ledger_now(), sale }
    }

    /// The ledger, for reading.
    pub fn ledger(&self) -> &dyn Ledger {
        self.stores.ledger.as_ref()
    }

    /// The queue, for what was parked.
    pub fn queue(&self) -> &dyn Queue {
        self.stores.queue.as_ref()
    }

    /// What the protocol counted.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The last fault that a pass met and went on from, for a log; asking takes it.
    pub fn take_fault(&self) -> Option<String> {
        lock(&self.last_fault).take()
    }

    /// The ledger's clock now, as this node knows it.
    pub fn ledger_now(&self) -> Time {
        lock(&self.ledger_time).at(self.stores.clock.elapsed_us())
    }

    /// A sale without a desk does not exist. `Err`: a node that has not read the sales yet does not know that, nor one that
    /// has not read them for long while others may have made some.
    fn no_such_sale(&self) -> Result<(), Fault> {
        let stale_before_us = self.stale_before_us();
        match *lock(&self.read_at_us) {
            Some(at_us) if stale_before_us.is_none_or(|stale_us| at_us >= stale_us) => Ok(()),
            Some(_) | None => Err(Fault::none("this node does not know the sale, and has not read the ledger's sales lately")),
        }
    }

    /// The moment before which what this node read of the ledger no longer tells what others wrote; `None`: it writes alone.
    fn stale_before_us(&self) -> Option<u64> {
        let alone = self.stores.ledger.is_exclusive();
        (!alone).then(|| self.stores.clock.elapsed_us().saturating_sub(self.settings.fact_ms * 1_000))
    }

    /// Asks for the ledger's clock. It lies between the answer and the answer plus the time that it took: a node that
    /// believes it to be later runs ahead of it (it stood still in a machine that was suspended, or its clock is fast) and goes
    /// back. Within these bounds a node's idea of it never goes back.
    async fn read_time(&self) -> Result<(), Fault> {
        const AHEAD_MS: i64 = 100;
        let asked_us = self.stores.clock.elapsed_us();
        let time = self.stores.ledger.now().await?;
        let at_us = self.stores.clock.elapsed_us();
        let latest = time.after_ms((at_us.saturating_sub(asked_us) / 1_000).cast_signed());
        let mut known = lock(&self.ledger_time);
        let idea = known.at(at_us);
        *known = LedgerTime { time: if idea > latest.after_ms(AHEAD_MS) { latest } else { idea.max(time) }, at_us };
        Ok(())
    }

    fn note_seq(&self, seq: u64) {
        self.seq.fetch_max(seq, Ordering::AcqRel);
    }

    fn recorded_seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    async fn note_backlog(&self) {
        match self.stores.queue.backlog().await {
            Ok(backlog) => self.backed_up.store(backlog.committed > self.settings.backlog_max, Ordering::Release),
            Err(fault) => self.faulted(&fault),
        }
    }

    fn is_backed_up(&self) -> bool {
        self.backed_up.load(Ordering::Acquire)
    }

    /// A store's call, measured.
    async fn timed<T>(&self, stage: Stage, call: impl Future<Output = T>) -> T {
        let since_us = self.stores.clock.elapsed_us();
        let answer = call.await;
        self.meters.stages[stage as usize].add(self.stores.clock.elapsed_us().saturating_sub(since_us));
        answer
    }

    /// A store gave no answer, and the protocol goes on by another way.
    fn faulted(&self, fault: &Fault) {
        self.meters.faults.add(1);
        *lock(&self.last_fault) = Some(fault.what.clone());
    }
}
