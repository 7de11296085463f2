//! The embedded ledger: SQLite in WAL mode, fully synchronous, with one writer.
//!
//! Order rows are appended and no random key stands in the file; what a purchase's id and a buyer's units need is kept
//! in an index in the process (`index`), which is built from the rows when the file is opened (`check`) and changed only
//! after a commit (`writer`). So the file must belong to one process: whoever opens a ledger holds the data directory's
//! lock. Writing methods are jobs for the writer's thread, which commits all that wait in one transaction; reading ones
//! are questions to the reader's, which has a snapshot of its own. What the protocol is it does not know.

mod books;
mod check;
mod clock;
mod failure;
mod fold;
mod history;
mod index;
mod orders;
mod payments;
mod record;
mod rows;
mod sale_rows;
mod schema;
mod stock;
mod tally;
mod tx;
mod writer;

pub use failure::OpenError;

use async_trait::async_trait;
use books::{Question, Reader};
use clock::LedgerClock;
use failure::Failure;
use fold::Folding;
use index::Index;
use rows::Names;
use sale::order::{Change, Order, Payment, Status};
use sale::ports::{
    BumpAsk, Bumped, Closed, Closing, Fault, Ledger, LedgerBooks, Moved, Movement, OrderPage, Paid, Paying, Recorded, Refunding,
    SaleChange, Sheaf, Withdrawal,
};
use sale::words::{Ask, Digest, Epoch, MovementKey, OrderId, PaymentId, Sale, SaleId, Terms, Time};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};
use tx::Tx;
use writer::{Draft, Job, State, Writer};

/// Most jobs, and most questions, that wait; whoever asks beyond that waits for a place.
const WAITING_MAX: usize = 1_024;

/// The embedded ledger. See the module's head.
pub struct SqliteLedger {
    shared: Arc<Shared>,
    clock: Arc<LedgerClock>,
    path: PathBuf,
    /// `None` only while the ledger is being dropped.
    ends: Option<Ends>,
}

struct Ends {
    jobs: mpsc::Sender<Box<dyn Job>>,
    questions: mpsc::Sender<Question>,
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
}

/// What the writer's thread and the reader's share.
struct Shared {
    index: RwLock<Index>,
    seq: AtomicU64,
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("nobody panics with the index locked")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().expect("nobody panics with the index locked")
    }

    fn set_seq(&self, seq: u64) {
        self.seq.store(seq, Ordering::Release);
    }
}

impl Names for Shared {
    fn sale_id(&self, key: u16) -> Option<SaleId> {
        self.read().sale_id(key)
    }

    fn digest_of(&self, row: u32) -> Option<Digest> {
        self.read().slot(row).map(|slot| Digest(slot.digest))
    }
}

impl SqliteLedger {
    /// Opens the ledger in this file, or makes it. Reads and checks every row; takes about a second for a million.
    ///
    /// # Errors
    /// The file is no ledger, is a newer program's, or is damaged.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_at(path, Time(clock::wall_ms()))
    }

    /// Opens it as if the machine's wall clock showed `wall`: for tests of clocks that jump.
    ///
    /// # Errors
    /// As [`SqliteLedger::open`].
    pub fn open_at(path: &Path, wall: Time) -> Result<Self, OpenError> {
        // Before SQLite reads its log and drops what stands behind a damaged frame.
        crate::embedded::log::check(path).map_err(|e| OpenError { what: e.to_string() })?;
        schema::ensure(path)?;
        let sql = schema::open_writer(path).map_err(|e| OpenError::damaged(path, &e))?;
        let reader = || schema::open_reader(path).map_err(|e| OpenError::damaged(path, &e));
        let (whole, half) = (reader()?, reader()?);
        schema::check(&sql, path)?;
        // SQLite's own check reads the file a second time, so it runs beside ours.
        let (structure, loaded) = thread::scope(|scope| {
            let structure = scope.spawn(|| schema::check_structure(&{ whole }, path));
            let loaded = check::load(&sql, half);
            (structure.join().expect("the check of the structure does not panic"), loaded)
        });
        structure?;
        let loaded = loaded.map_err(|damage| OpenError::of(path, format!("table `{}`: {}", damage.table, damage.what), schema::RESTORE))?;
        let clock = Arc::new(LedgerClock::new(wall.0, loaded.floor_ms));
        let shared = Arc::new(Shared { index: RwLock::new(loaded.index), seq: AtomicU64::new(loaded.next_seq - 1) });
        let state = State {
            shared: Arc::clone(&shared),
            clock: Arc::clone(&clock),
            sales: loaded.sales,
            live: loaded.live,
            waiting: loaded.waiting,
            next_seq: loaded.next_seq,
            next_payment: loaded.next_payment,
            draft: Draft::new(),
        };
        let mut writer = Writer { sql, state, doubt: false, folding: None };
        stop_sales(&mut writer, loaded.stops).map_err(|fault| OpenError::damaged(path, &fault))?;
        Self::start(path, shared, clock, writer).map_err(|e| OpenError::damaged(path, &e))
    }

    fn start(path: &Path, shared: Arc<Shared>, clock: Arc<LedgerClock>, mut writer: Writer) -> Result<Self, Box<dyn std::error::Error>> {
        writer.folding = Some(Folding::start(schema::open_writer(path)?)?);
        let reader = Reader { sql: schema::open_reader(path)?, shared: Arc::clone(&shared) };
        let (jobs, waiting_jobs) = mpsc::channel(WAITING_MAX);
        let (questions, waiting_questions) = mpsc::channel(WAITING_MAX);
        let writer = thread::Builder::new().name("ledger".into()).spawn(move || writer.run(waiting_jobs))?;
        let reader = thread::Builder::new().name("ledger-read".into()).spawn(move || reader.run(waiting_questions))?;
        Ok(Self { shared, clock, path: path.to_owned(), ends: Some(Ends { jobs, questions, writer, reader }) })
    }

    /// Writes the write-ahead log to its full size once, so that no commit of a rush has to grow the file. Worth its
    /// tens of milliseconds before a sale opens; changes nothing else.
    ///
    /// # Errors
    /// The disk has no room for it.
    pub async fn pregrow(&self) -> Result<(), Fault> {
        // What does not fit the page cache is spilled into the log, and then rolled back: the log keeps its length.
        let bytes = (schema::CHECKPOINT_PAGES * 4 + schema::CACHE_KIB) * 1_024;
        self.write(move |tx| {
            let grow = format!("savepoint pregrow; create table pregrow (x); insert into pregrow values (zeroblob({bytes}));");
            // A full disk has rolled back everything by itself, and that is the error to tell.
            tx.sql.execute_batch(&grow)?;
            Ok(tx.sql.execute_batch("rollback to pregrow; release pregrow")?)
        })
        .await
    }

    /// Bytes that the index in the process has taken: row numbers, buyers' live units, and who waits for a payment.
    ///
    /// # Errors
    /// The ledger's thread has stopped.
    pub async fn index_bytes(&self) -> Result<usize, Fault> {
        self.write(|tx| Ok(tx.state.shared.read().bytes() + tx.state.live.bytes() + tx.state.waiting.bytes())).await
    }

    async fn send(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        let ends = self.ends.as_ref().expect("only a ledger that is being dropped has no ends");
        ends.jobs.send(job).await.map_err(|_| Fault::none(self.gone()))
    }

    async fn write<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (job, answer) = writer::job(work);
        self.send(job).await?;
        answer.await.map_err(|_| Fault::unknown(self.gone()))?
    }

    async fn read<T, F>(&self, question: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let ends = self.ends.as_ref().expect("only a ledger that is being dropped has no ends");
        let question: Question = Box::new(move |reader| drop(reply.send(reader.snapshot(question))));
        ends.questions.send(question).await.map_err(|_| Fault::none(self.gone()))?;
        let answer = answer.await.map_err(|_| Fault::none(self.gone()))?;
        answer.map_err(|failure| Fault::none(format!("the ledger {} cannot be read: {failure}", self.path.display())))
    }

    fn gone(&self) -> String {
        format!("a thread of the ledger {} has stopped; see its panic in the log, and restart", self.path.display())
    }
}

fn stop_sales(writer: &mut Writer, stops: Vec<(usize, String)>) -> Result<(), Fault> {
    if stops.is_empty() {
        return Ok(());
    }
    let (mut job, _) = writer::job(move |tx| stops.iter().try_for_each(|(at, why)| tx.stop(*at, why.clone())));
    writer.attempt(std::slice::from_mut(&mut job)).map_err(|end| end.fault)
}

impl Drop for SqliteLedger {
    /// Lets the threads finish what waits, and leaves a file without a write-ahead log.
    fn drop(&mut self) {
        let Some(Ends { jobs, questions, writer, reader }) = self.ends.take() else { return };
        // The reader first: the last connection to leave must be one that can write, or its log stays behind. The writer
        // begins to leave when its jobs end, so they end after the reader.
        drop(questions);
        let _ = reader.join();
        drop(jobs);
        let _ = writer.join();
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    // Its directory is locked, and uniqueness is held by an index in this process.
    fn is_exclusive(&self) -> bool {
        true
    }

    async fn now(&self) -> Result<Time, Fault> {
        let now_ms = self.clock.now_ms();
        if now_ms <= self.clock.mark_ms() {
            return Ok(Time(now_ms));
        }
        // The file must know a later time before this one is given out.
        self.write(|tx| Ok(Time(tx.now_ms))).await
    }

    async fn seq(&self) -> Result<u64, Fault> {
        Ok(self.shared.seq.load(Ordering::Acquire))
    }

    async fn create_sale(&self, terms: &Terms, units: i64, actor: &str) -> Result<Result<Sale, Sale>, Fault> {
        let (terms, actor) = (terms.clone(), actor.to_owned());
        self.write(move |tx| stock::create(tx, &terms, units, &actor)).await?
    }

    async fn sale(&self, sale: SaleId) -> Result<Option<Sale>, Fault> {
        self.read(move |reader| reader.sale(sale)).await
    }

    async fn sales(&self) -> Result<Vec<Sale>, Fault> {
        self.read(Reader::sales).await
    }

    async fn change_sale(&self, sale: SaleId, change: &SaleChange) -> Result<Option<Sale>, Fault> {
        let change = change.clone();
        self.write(move |tx| stock::change(tx, sale, &change)).await
    }

    async fn bump(&self, ask: BumpAsk) -> Result<Bumped, Fault> {
        self.write(move |tx| stock::bump(tx, ask)).await
    }

    async fn whole(&self, sale: SaleId, epoch: Epoch) -> Result<(), Fault> {
        self.write(move |tx| stock::whole(tx, sale, epoch)).await
    }

    async fn record(&self, sheaves: Vec<Sheaf>) -> Result<Recorded, Fault> {
        self.write(move |tx| record::record(tx, &sheaves)).await
    }

    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Option<Order>>, Fault> {
        let ids = ids.to_vec();
        self.read(move |reader| reader.orders(&ids)).await
    }

    async fn statuses(&self, ids: &[OrderId]) -> Result<Vec<Option<Status>>, Fault> {
        let index = self.shared.read();
        Ok(ids.iter().map(|id| index.status(id.sale, id.digest)).collect())
    }

    async fn counts(&self, sale: SaleId) -> Result<Vec<(Status, u64)>, Fault> {
        Ok(self.shared.read().counts(sale))
    }

    async fn close(&self, id: OrderId, closing: Closing, ask: Option<Ask>) -> Result<Closed, Fault> {
        self.write(move |tx| orders::close(tx, id, closing, ask.as_ref())).await
    }

    async fn due(&self, max: usize) -> Result<Vec<OrderId>, Fault> {
        self.write(move |tx| orders::due(tx, max)).await
    }

    async fn pay(&self, paying: &Paying) -> Result<Paid, Fault> {
        let paying = paying.clone();
        self.write(move |tx| payments::pay(tx, &paying)).await
    }

    async fn refund_due(&self, payment: &PaymentId) -> Result<Option<Payment>, Fault> {
        let payment = payment.clone();
        self.write(move |tx| payments::refund_due(tx, &payment)).await
    }

    async fn refunded(&self, payment: &PaymentId) -> Result<Option<Payment>, Fault> {
        let payment = payment.clone();
        self.write(move |tx| payments::refunded(tx, &payment)).await
    }

    async fn late_payments(&self, max: usize) -> Result<Vec<Payment>, Fault> {
        self.read(move |reader| reader.late_payments(max)).await
    }

    async fn refund(&self, id: OrderId) -> Result<Refunding, Fault> {
        self.write(move |tx| payments::refund(tx, id)).await
    }

    async fn raise(&self, sale: SaleId, key: &MovementKey, units: i64, actor: &str, reason: &str) -> Result<Moved, Fault> {
        let movement =
            Movement { key: key.clone(), units, number: None, actor: actor.to_owned(), reason: reason.to_owned(), at: Time::default() };
        self.write(move |tx| stock::raise(tx, sale, movement.clone())).await
    }

    async fn raises(&self, sale: SaleId, after: u64, max: usize) -> Result<Vec<Movement>, Fault> {
        self.read(move |reader| reader.raises(sale, after, max)).await
    }

    async fn withdraw(&self, sale: SaleId, epoch: Epoch, withdrawal: &Withdrawal) -> Result<Moved, Fault> {
        let withdrawal = withdrawal.clone();
        self.write(move |tx| stock::withdraw(tx, sale, epoch, &withdrawal)).await
    }

    async fn movement(&self, sale: SaleId, key: &MovementKey) -> Result<Option<Movement>, Fault> {
        let key = key.clone();
        self.read(move |reader| reader.movement(sale, &key)).await
    }

    async fn movements(&self, sale: SaleId, after: u64, max: usize) -> Result<Vec<Movement>, Fault> {
        self.read(move |reader| reader.movements(sale, after, max)).await
    }

    async fn page(&self, sale: SaleId, after: Option<u64>, max: usize) -> Result<OrderPage, Fault> {
        self.read(move |reader| reader.page(sale, after, max)).await
    }

    async fn history(&self, id: OrderId) -> Result<Vec<Change>, Fault> {
        self.read(move |reader| reader.history(id)).await
    }

    async fn payments(&self, id: OrderId) -> Result<Vec<Payment>, Fault> {
        self.read(move |reader| reader.payments(id)).await
    }

    async fn books(&self, sale: SaleId) -> Result<Option<LedgerBooks>, Fault> {
        self.read(move |reader| reader.books(sale)).await
    }
}
