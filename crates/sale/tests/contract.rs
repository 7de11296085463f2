//! The contract, run on the ports in memory.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use sale::books::{Books, Law, audit};
use sale::contract::gate::GateRig;
use sale::contract::ledger::LedgerRig;
use sale::contract::queue::{QueueRig, QueueTimes};
use sale::contract::{self, Promise};
use sale::memory::{ManualClock, MemoryGate, MemoryLedger, MemoryQueue, QueueSettings};
use sale::order::Source;
use sale::ports::{Clock, Effect, Gate, Half, Ledger, Queue, Sheaf};
use sale::words::{BatchId, Epoch, OrderId, RunId, SaleId, Time};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

struct GateInMemory(Arc<MemoryGate>);

#[async_trait]
impl GateRig for GateInMemory {
    fn gate(&self) -> Arc<dyn Gate> {
        self.0.clone()
    }

    async fn another_life(&self) -> bool {
        // What it held is there again, in another life: the epoch is right and its word is worth nothing.
        let memory = self.0.remember();
        self.0.rewind(&memory, RunId(4_712));
        true
    }

    async fn wipe(&self) -> bool {
        self.0.wipe();
        true
    }
}

struct QueueInMemory {
    clock: Arc<ManualClock>,
    queue: Arc<MemoryQueue>,
}

const QUEUE: QueueSettings = QueueSettings { check_after_ms: 600, check_every_ms: 300, invisible_ms: 1_000, messages_max: 10_000 };

#[async_trait]
impl QueueRig for QueueInMemory {
    fn queue(&self) -> Arc<dyn Queue> {
        self.queue.clone()
    }

    fn times(&self) -> QueueTimes {
        let QueueSettings { check_after_ms, check_every_ms, invisible_ms, .. } = QUEUE;
        QueueTimes { check_after_ms, check_every_ms, invisible_ms, wait_ms: 0 }
    }

    async fn passes(&self, ms: u64) {
        self.clock.advance_ms(ms);
    }

    async fn reopen(&self) -> bool {
        // The broker is another process: what a node's crash leaves of it is all of it.
        true
    }
}

struct LedgerInMemory(Arc<MemoryLedger>);

#[async_trait]
impl LedgerRig for LedgerInMemory {
    fn ledger(&self) -> Arc<dyn Ledger> {
        self.0.clone()
    }

    async fn passes(&self, ms: u64) {
        self.0.advance_ms(ms);
    }

    async fn reopen(&self) -> bool {
        // It outlives the node that used it.
        true
    }

    async fn delete_row_by_hand(&self, id: OrderId) -> bool {
        self.0.delete_row_by_hand(id)
    }
}

/// Runs every promise on a rig of its own and names all that are broken, not the first.
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

#[tokio::test]
async fn the_gate_in_memory_keeps_every_promise() {
    keeps(contract::gate::promises(), || Box::new(GateInMemory(Arc::new(MemoryGate::new(RunId(4_711)))))).await;
}

#[tokio::test]
async fn the_queue_in_memory_keeps_every_promise() {
    let rig = || {
        let clock = ManualClock::new();
        let queue = MemoryQueue::new(clock.clone(), QUEUE);
        Box::new(QueueInMemory { clock, queue }) as Box<dyn QueueRig>
    };
    keeps(contract::queue::promises(), rig).await;
}

#[tokio::test]
async fn the_ledger_in_memory_keeps_every_promise() {
    keeps(contract::ledger::promises(), || Box::new(LedgerInMemory(ledger()))).await;
}

fn ledger() -> Arc<MemoryLedger> {
    MemoryLedger::new(Time(1_700_000_000_000))
}

/// The breaches that an audit of one sale's ledger finds.
async fn breaches(ledger: &MemoryLedger, sale: SaleId) -> Vec<Law> {
    let books = Books { gate: None, ledger: ledger.books(sale).await.expect("answers").expect("is there"), at_rest: false };
    let mut laws: Vec<_> = audit(&[books], None).breaches.into_iter().map(|breach| breach.law).collect();
    laws.dedup();
    laws
}

#[tokio::test]
async fn c55_damage_by_hand_is_a_breach_that_the_audit_names() {
    let sale = contract::sale("damaged");
    let asked = contract::ask(sale, "ann", 2);
    let sold = async || {
        let ledger = ledger();
        ledger.create_sale(&contract::terms(sale), 10, "suite").await.unwrap().unwrap();
        let sheaf = Sheaf { sale, epoch: Epoch(0), source: Source::Message, asks: vec![asked.clone()] };
        ledger.record(vec![sheaf]).await.unwrap();
        assert_eq!(breaches(&ledger, sale).await, []);
        ledger
    };
    let ledger = sold().await;
    assert!(ledger.set_left_by_hand(sale, 9));
    assert_eq!(breaches(&ledger, sale).await, [Law::L1]);
    let ledger = sold().await;
    assert!(ledger.delete_row_by_hand(OrderId { sale, digest: asked.digest }));
    assert!(breaches(&ledger, sale).await.contains(&Law::L1));
    assert!(!ledger.delete_row_by_hand(OrderId { sale, digest: asked.digest }));
    assert!(!ledger.set_left_by_hand(contract::sale("nowhere"), 9));
}

#[tokio::test]
async fn the_ledgers_clock_is_set_and_never_goes_back() {
    let ledger = ledger();
    ledger.set_now(Time(1_700_000_000_500));
    ledger.set_now(Time(5));
    assert_eq!(ledger.now().await.unwrap(), Time(1_700_000_000_500));
    ledger.advance_ms(7);
    assert_eq!(ledger.now().await.unwrap(), Time(1_700_000_000_507));
}

#[tokio::test]
async fn a_full_queue_says_so_before_it_takes_anything() {
    let queue = MemoryQueue::new(ManualClock::new(), QueueSettings { messages_max: 2, ..QUEUE });
    let half = |number| Half { batch: BatchId { node: 1, number }, tag: "t".into(), body: vec![1] };
    for number in 0..2 {
        queue.prepare(half(number)).await.unwrap();
    }
    assert_eq!(queue.prepare(half(2)).await.unwrap_err().effect, Effect::None);
    assert_eq!(queue.backlog().await.unwrap().halves, 2);
}

#[tokio::test]
async fn a_manual_clock_wakes_its_sleepers_in_their_order_and_no_sooner() {
    let clock = ManualClock::new();
    let woken = Mutex::new(Vec::new());
    let sleeper = async |us| {
        clock.sleep_us(us).await;
        woken.lock().unwrap().push((us, clock.elapsed_us()));
    };
    let driver = async {
        assert_eq!(clock.sleepers(), 3, "who sleeps for nothing does not lie down");
        clock.advance_us(9);
        tokio::task::yield_now().await;
        assert_eq!(*woken.lock().unwrap(), [(0, 0)]);
        while clock.advance_to_next() {
            tokio::task::yield_now().await;
        }
        assert_eq!(clock.elapsed_us(), 2_000);
    };
    tokio::join!(sleeper(2_000), sleeper(0), sleeper(10), sleeper(10), driver);
    assert_eq!(*woken.lock().unwrap(), [(0, 0), (10, 10), (10, 10), (2_000, 2_000)]);
    assert!(!clock.advance_to_next());
    // Who gave up is not waited for.
    let given_up = clock.sleep_us(50);
    assert!(given_up.now_or_never().is_none());
    assert_eq!((clock.sleepers(), clock.elapsed_us()), (0, 2_000));
}

/// The ages are the settings', to the millisecond: the suite, which also runs on real brokers, cannot look so closely.
#[test]
fn the_queue_in_memory_keeps_its_times_to_the_millisecond() {
    let clock = ManualClock::new();
    let settings = QueueSettings { check_after_ms: 70, check_every_ms: 30, invisible_ms: 50, ..QueueSettings::default() };
    let queue = MemoryQueue::new(Arc::clone(&clock) as Arc<dyn Clock>, settings);
    let half = |number| Half { batch: BatchId { node: 1, number }, tag: "t".into(), body: vec![1] };
    let checks = || at_once(queue.checks(9, 0)).expect("answers").len();
    let receipt = at_once(queue.prepare(half(1))).expect("answers");
    for (ms, due) in [(69, 0), (1, 1), (29, 0), (1, 1)] {
        clock.advance_ms(ms);
        assert_eq!(checks(), due, "after {ms} ms more");
    }
    at_once(queue.settle(receipt, sale::ports::Verdict::Commit));
    let takes = || at_once(queue.receive(9, 0)).expect("answers").len();
    assert_eq!(takes(), 1);
    for (ms, visible) in [(49, 0), (1, 1)] {
        clock.advance_ms(ms);
        assert_eq!(takes(), visible, "after {ms} ms more");
    }
}

/// What a store in memory answers, which is at once.
fn at_once<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("a store in memory does not wait")
}

#[test]
fn a_gate_in_memory_that_restarts_is_another_and_empty() {
    let gate = MemoryGate::new(RunId(1));
    let fence = sale::ports::Fence { sale: contract::sale("s1"), epoch: Epoch(1), run: RunId(1) };
    let opening = sale::ports::Opening { left: 3, holds: 0, raises: 0, withdrawals: Vec::new() };
    assert!(at_once(gate.publish(fence, opening.clone())).is_ok_and(|published| published.is_ok()));
    let version = |gate: &MemoryGate| at_once(gate.fact(fence)).map(|fact| fact.map(|fact| fact.version));
    let before = version(&gate);
    assert!(at_once(gate.release(fence, &[sale::words::Digest([9; 16])])).is_ok());
    assert_eq!(version(&gate), before, "a release that gives nothing back is no change");
    gate.restart(RunId(2));
    assert_eq!(at_once(gate.run()), Ok(RunId(2)));
    assert_eq!(at_once(gate.fact(sale::ports::Fence { run: RunId(2), ..fence })), Ok(Err(sale::ports::Stale)));
}

#[test]
fn a_lease_is_over_at_its_last_millisecond() {
    let (ledger, sale) = (MemoryLedger::new(Time(1_000)), contract::sale("s1"));
    at_once(ledger.create_sale(&contract::terms(sale), 5, "op")).expect("answers").expect("is new");
    let ask = |seen, to| sale::ports::BumpAsk { sale, seen: Epoch(seen), run: RunId(1), to, lease_ms: 10 };
    let bump = |seen, to| at_once(ledger.bump(ask(seen, to))).expect("answers");
    let won = |bumped: &sale::ports::Bumped| matches!(bumped, sale::ports::Bumped::Won(_));
    assert!(!won(&bump(0, Some(sale::words::SaleStatus::Archived))), "nobody rebuilds what has no gate");
    assert!(won(&bump(0, Some(sale::words::SaleStatus::Open))));
    ledger.advance_ms(9);
    assert!(!won(&bump(1, None)));
    ledger.advance_ms(1);
    assert!(won(&bump(1, None)));
}
