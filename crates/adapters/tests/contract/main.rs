//! Every embedded adapter against the contract of its port, and against `kill -9`.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

mod kill;

use adapters::embedded::{EmbeddedQueue, QueueSettings, SystemClock};
use adapters::sqlite::SqliteLedger;
use async_trait::async_trait;
use futures_util::FutureExt as _;
use sale::contract::Promise;
use sale::contract::ledger::LedgerRig;
use sale::contract::queue::{QueueRig, QueueTimes};
use sale::ports::{Clock as _, Ledger, Queue};
use sale::words::OrderId;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

fn settings() -> QueueSettings {
    QueueSettings { check_after_ms: 600_000, invisible_ms: 600_000, ..QueueSettings::default() }
}

struct EmbeddedQueueRig {
    /// Taken out while it is closed.
    queue: Mutex<Option<Arc<EmbeddedQueue>>>,
    clock: SystemClock,
    directory: TempDir,
}

impl EmbeddedQueueRig {
    const TIMES: QueueTimes = QueueTimes { check_after_ms: 40, check_every_ms: 40, invisible_ms: 150, wait_ms: 10 };

    fn new() -> Self {
        let rig = Self { queue: Mutex::new(None), clock: SystemClock::new().unwrap(), directory: tempfile::tempdir().unwrap() };
        rig.open();
        rig
    }

    fn open(&self) {
        let times = Self::TIMES;
        let settings = QueueSettings {
            check_after_ms: times.check_after_ms,
            check_every_ms: times.check_every_ms,
            invisible_ms: times.invisible_ms,
            ..QueueSettings::default()
        };
        let queue = EmbeddedQueue::open(&self.directory.path().join("queue.db"), settings).unwrap();
        *self.queue.lock().unwrap() = Some(Arc::new(queue));
    }
}

#[async_trait]
impl QueueRig for EmbeddedQueueRig {
    fn queue(&self) -> Arc<dyn Queue> {
        self.queue.lock().unwrap().clone().expect("it is open")
    }

    fn times(&self) -> QueueTimes {
        Self::TIMES
    }

    async fn passes(&self, ms: u64) {
        self.clock.sleep_us(ms * 1_000).await;
    }

    async fn reopen(&self) -> bool {
        let queue = self.queue.lock().unwrap().take().expect("it is open");
        drop(Arc::into_inner(queue).expect("the promise has let go of it"));
        self.open();
        true
    }
}

#[tokio::test]
async fn the_embedded_queue_keeps_every_promise_of_a_queue() {
    keeps(sale::contract::queue::promises(), || Box::new(EmbeddedQueueRig::new())).await;
}

struct SqliteLedgerRig {
    /// Taken out while it is closed.
    ledger: Mutex<Option<Arc<SqliteLedger>>>,
    clock: SystemClock,
    directory: TempDir,
}

impl SqliteLedgerRig {
    fn new() -> Self {
        let rig = Self { ledger: Mutex::new(None), clock: SystemClock::new().unwrap(), directory: tempfile::tempdir().unwrap() };
        rig.open();
        rig
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("ledger.db")
    }

    fn open(&self) {
        *self.ledger.lock().unwrap() = Some(Arc::new(SqliteLedger::open(&self.path()).unwrap()));
    }
}

#[async_trait]
impl LedgerRig for SqliteLedgerRig {
    fn ledger(&self) -> Arc<dyn Ledger> {
        self.ledger.lock().unwrap().clone().expect("it is open")
    }

    async fn passes(&self, ms: u64) {
        self.clock.sleep_us(ms * 1_000).await;
    }

    async fn reopen(&self) -> bool {
        let ledger = self.ledger.lock().unwrap().take().expect("it is open");
        drop(Arc::into_inner(ledger).expect("the promise has let go of it"));
        self.open();
        true
    }

    async fn delete_row_by_hand(&self, id: OrderId) -> bool {
        let hand = rusqlite::Connection::open(self.path()).unwrap();
        hand.execute("delete from orders where digest = ?", [id.digest.0]).unwrap() == 1
    }
}

#[tokio::test]
async fn the_sqlite_ledger_keeps_every_promise_of_a_ledger() {
    keeps(sale::contract::ledger::promises(), || Box::new(SqliteLedgerRig::new())).await;
}

/// Runs every promise on a rig of its own and names all that are broken, not only the first.
async fn keeps<R: ?Sized>(promises: Vec<Promise<R>>, rig: impl Fn() -> Box<R>) {
    let mut broken = Vec::new();
    for promise in promises {
        println!("{}", promise.name);
        let rig = rig();
        if AssertUnwindSafe((promise.keep)(&*rig)).catch_unwind().await.is_err() {
            broken.push(promise.name);
        }
    }
    assert!(broken.is_empty(), "broken: {broken:#?}");
}
