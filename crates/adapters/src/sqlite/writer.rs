//! The writer: one thread, one connection, and everything that is waiting in one transaction (group commit).
//!
//! A job is answered only after the commit. Whatever a transaction would change in the process stands in a [`Draft`]
//! until the commit, so that a transaction that failed leaves the index as it was. What jobs do it does not know.

use super::Failure;
use super::Shared;
use super::clock::LedgerClock;
use super::fold::Folding;
use super::index::{BuyerName, Life, LiveUnits, Slot, Waiting};
use super::sale_rows::SaleState;
use super::tx::{Tx, write_mark};
use hashbrown::HashMap;
use rusqlite::{Connection, ErrorCode};
use sale::ports::Fault;
use sale::words::Digest;
use std::hash::RandomState;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Most jobs in one transaction.
const GROUP_MAX: usize = 64;

/// What the writer keeps in the process; it equals the file.
pub(super) struct State {
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Arc<LedgerClock>,
    /// By key, which counts from one.
    pub(super) sales: Vec<SaleState>,
    pub(super) live: LiveUnits,
    pub(super) waiting: Waiting,
    pub(super) next_seq: u64,
    pub(super) next_payment: u32,
    pub(super) draft: Draft,
}

/// What the transaction under way will change in the process if it commits.
pub(super) struct Draft {
    pub(super) next_seq: u64,
    pub(super) next_payment: u32,
    pub(super) first_row: u32,
    pub(super) slots: Vec<Slot>,
    pub(super) rows: HashMap<(u16, Digest), u32, RandomState>,
    pub(super) live: HashMap<BuyerName, i64, RandomState>,
    /// Time to pay and row of orders that became confirmed.
    pub(super) waiting: Vec<(u32, u32)>,
    /// Rows that no longer wait for a payment, or were found to be gone.
    pub(super) lives: Vec<(u32, Life)>,
    /// Tag of the name, row, row of the order.
    pub(super) payments: Vec<(u32, u32, u32)>,
    /// Order row and payment row of payments that bought again.
    pub(super) links: Vec<(u32, u32)>,
    /// Payments that are late now, or no longer.
    pub(super) late: Vec<(u32, bool)>,
    /// Sales as they were before the first change.
    pub(super) before: Vec<(usize, SaleState)>,
    pub(super) sales_before: usize,
    /// Sales whose stock was compared with its row.
    pub(super) checked: Vec<usize>,
    pub(super) mark_ms: Option<i64>,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            next_seq: 0,
            next_payment: 0,
            first_row: 0,
            slots: Vec::new(),
            rows: HashMap::with_hasher(RandomState::new()),
            live: HashMap::with_hasher(RandomState::new()),
            waiting: Vec::new(),
            lives: Vec::new(),
            payments: Vec::new(),
            links: Vec::new(),
            late: Vec::new(),
            before: Vec::new(),
            sales_before: 0,
            checked: Vec::new(),
            mark_ms: None,
        }
    }

    fn clear(&mut self) {
        self.slots.clear();
        self.rows.clear();
        self.live.clear();
        self.waiting.clear();
        self.lives.clear();
        self.payments.clear();
        self.links.clear();
        self.late.clear();
        self.before.clear();
        self.checked.clear();
        self.mark_ms = None;
    }

    pub(super) fn next_row(&self) -> u32 {
        self.first_row + self.slots.len() as u32
    }
}

impl State {
    fn begin(&mut self) {
        self.draft.clear();
        self.draft.next_seq = self.next_seq;
        self.draft.next_payment = self.next_payment;
        self.draft.first_row = self.shared.read().rows() + 1;
        self.draft.sales_before = self.sales.len();
    }

    /// The transaction is in the file: now the process knows it too.
    fn keep(&mut self) {
        let draft = &mut self.draft;
        {
            let mut index = self.shared.write();
            for state in &self.sales[draft.sales_before..] {
                index.add_sale(state.terms.id);
            }
            for &slot in &draft.slots {
                assert!(index.append(slot), "a transaction looks for an order's row before it makes one");
            }
            for &(row, life) in &draft.lives {
                index.set_life(row, life);
            }
            for &(tag, payment, order) in &draft.payments {
                index.add_payment(tag, payment);
                index.link_payment(order, payment);
            }
            for &(order, payment) in &draft.links {
                index.link_payment(order, payment);
            }
            for &(payment, late) in &draft.late {
                index.set_late(payment, late);
            }
        }
        for (&buyer, &delta) in &draft.live {
            self.live.add(buyer, delta);
        }
        for &(pay_within_s, row) in &draft.waiting {
            self.waiting.push(pay_within_s, row);
        }
        self.next_seq = draft.next_seq;
        self.next_payment = draft.next_payment;
        if let Some(mark_ms) = draft.mark_ms {
            self.clock.marked(mark_ms);
        }
        self.shared.set_seq(self.next_seq - 1);
        draft.clear();
    }

    /// The transaction is not in the file.
    fn forget(&mut self) {
        self.sales.truncate(self.draft.sales_before);
        // The last saved first: the state before the first change is the one that stays.
        while let Some((at, before)) = self.draft.before.pop() {
            if let Some(slot) = self.sales.get_mut(at) {
                *slot = before;
            }
        }
        self.draft.clear();
    }
}

// ------------------------------------------------------------------------------------------------------------- jobs

/// Something to do in a transaction. It may run twice, if the first transaction was rolled back because of another job.
pub(super) trait Job: Send {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure>;
    fn answer(self: Box<Self>, end: Result<(), Fault>);
}

struct Work<T, F> {
    work: F,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, Fault>>,
}

/// A job of a function, and where its answer comes.
pub(super) fn job<T, F>(work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, Fault>>)
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Work { work, done: None, reply }), answer)
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> Result<T, Failure> + Send> Job for Work<T, F> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        self.done = Some((self.work)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, end: Result<(), Fault>) {
        let Self { done, reply, .. } = *self;
        // Whoever asked may have gone; what was done stands.
        let _ = reply.send(end.map(|()| done.expect("a job has run when its transaction is committed")));
    }
}

// ----------------------------------------------------------------------------------------------------------- thread

/// The writer's thread.
pub(super) struct Writer {
    pub(super) sql: Connection,
    pub(super) state: State,
    /// A commit failed and the file could not be read afterwards: nothing is written before it was.
    pub(super) doubt: bool,
    /// `None` while the ledger is being opened.
    pub(super) folding: Option<Folding>,
}

impl Writer {
    /// Works until all senders are gone, then leaves the file in order.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while let Some(first) = jobs.blocking_recv() {
            group.push(first);
            while group.len() < GROUP_MAX
                && let Ok(next) = jobs.try_recv()
            {
                group.push(next);
            }
            self.work_off(&mut group);
        }
        self.end();
    }

    fn work_off(&mut self, group: &mut Vec<Box<dyn Job>>) {
        match self.attempt(group) {
            // One job's failure must not be the others': each by itself.
            Err(End { committing: false, .. }) if group.len() > 1 => {
                for mut job in group.drain(..) {
                    let end = self.attempt(std::slice::from_mut(&mut job));
                    job.answer(end.map_err(|end| end.fault));
                }
            }
            end => {
                let end = end.map_err(|end| end.fault);
                group.drain(..).for_each(|job| job.answer(end.clone()));
            }
        }
    }

    /// One transaction.
    pub(super) fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), End> {
        if self.doubt && self.settle_doubt().is_none() {
            return Err(End::before("the ledger's file cannot be read after a failed commit; nothing is written until it can"));
        }
        self.sql.execute_batch("begin immediate").map_err(|e| End::before(format!("the ledger cannot begin a transaction: {e}")))?;
        self.state.begin();
        let mut tx = Tx { now_ms: self.state.clock.now_ms(), sql: &self.sql, state: &mut self.state };
        let done = tx.mark_time().and_then(|()| jobs.iter_mut().try_for_each(|job| job.run(&mut tx)));
        if let Err(failure) = done {
            self.roll_back();
            self.state.forget();
            return Err(End::before(format!("the ledger has rolled back: {failure}")));
        }
        match self.sql.execute_batch("commit") {
            Ok(()) => {
                self.state.keep();
                if let Some(folding) = &mut self.folding {
                    folding.committed();
                }
                Ok(())
            }
            Err(e) => Err(self.failed_commit(&e)),
        }
    }

    fn roll_back(&self) {
        if !self.sql.is_autocommit() {
            // SQLite has rolled back by itself if this fails; the next `begin` tells.
            let _ = self.sql.execute_batch("rollback");
        }
    }

    fn failed_commit(&mut self, error: &rusqlite::Error) -> End {
        self.roll_back();
        self.doubt = true;
        let kept = self.settle_doubt();
        // No room and no lock: the commit's own frame was never written. Anything else may come back after a crash.
        let surely_not = matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy)) && kept == Some(false);
        let what = format!("the ledger's commit failed: {error}; make room on its disk, or look at the disk");
        End { committing: true, fault: if surely_not { Fault::none(what) } else { Fault::unknown(what) } }
    }

    /// Asks the file whether the last transaction is in it, and brings the process in line. `None`: it does not say.
    fn settle_doubt(&mut self) -> Option<bool> {
        let number = |sql: &str| self.sql.query_row(sql, [], |r| r.get::<_, i64>(0)).ok();
        let seq = number("select coalesce(max(seq), 0) from order_history")?;
        let payment = number("select coalesce(max(\"row\"), 0) from payments")?;
        let mark_ms = number("select coalesce(max(value), 0) from meta")?;
        let sums = self.sums().ok()?;
        let draft = &self.state.draft;
        let kept = seq as u64 + 1 == draft.next_seq
            && payment + 1 == i64::from(draft.next_payment)
            && draft.mark_ms.is_none_or(|drafted| drafted == mark_ms)
            && self.state.sales.iter().map(|s| (s.key, s.crcs.0, s.crcs.1)).eq(sums);
        if kept {
            self.state.keep();
        } else {
            self.state.forget();
        }
        self.doubt = false;
        Some(kept)
    }

    fn sums(&self) -> Result<Vec<(u16, u32, u32)>, rusqlite::Error> {
        let sql = "select sales.sale, sales.crc, stock.crc from sales join stock on stock.sale = sales.sale order by sales.sale";
        let mut statement = self.sql.prepare_cached(sql)?;
        statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect()
    }

    fn end(mut self) {
        drop(self.folding.take());
        // The exact time, so that the next start need not wait for the wall clock; then no WAL is left behind.
        let _ = write_mark(&self.sql, self.state.clock.now_ms());
        let _ = self.sql.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()));
        if let Err((sql, _)) = self.sql.close() {
            drop(sql);
        }
    }
}

/// A transaction that failed.
pub(super) struct End {
    /// It failed in its commit, so that a second try might do it twice.
    committing: bool,
    pub(super) fault: Fault,
}

impl End {
    fn before(what: impl Into<String>) -> Self {
        Self { committing: false, fault: Fault::none(what) }
    }
}
