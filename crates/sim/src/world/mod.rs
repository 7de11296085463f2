//! A world for tests: stores in memory that outlive the nodes, nodes that die and come back, buyers who remember what they
//! were told. Single-threaded, in virtual time. Knows no particular schedule.

mod buyers;
mod fates;
mod paths;
mod rest;

pub use fates::{Counts, Fates};
pub use paths::PATHS;
pub use rest::{Failure, REST_US};

use crate::broker::Broker;
use crate::executor::{Executor, Group, Random, pause};
use crate::faulty::{Fate, Faulty, Late, Plan};
use crate::history::History;
use buyers::Place;
pub use fates::NodeClock;
use fates::lock;
use sale::books::{Law, Tale};
use sale::memory::{ManualClock, Memory, MemoryGate, MemoryLedger, MemoryQueue, QueueSettings};
use sale::ports::{Clock, Gate, Ledger, Queue};
use sale::purchase::{Engine, Settings, Stores};
use sale::words::*;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// The first moment of every world.
pub const DAWN: Time = Time(1_800_000_000_000);
/// The world's own tasks; nodes are 1, 2 …
const NATURE: Group = 0;

/// Stores, nodes and buyers.
pub struct World {
    /// Everybody's time; each node's own may be ahead of it.
    pub clock: Arc<ManualClock>,
    /// The ledger itself.
    pub ledger: Arc<MemoryLedger>,
    /// The queue itself.
    pub queue: Arc<MemoryQueue>,
    /// What stands between the nodes and the queue: well-behaved until it is told otherwise.
    pub broker: Arc<Broker>,
    /// The gate that is reached by whoever was not turned to another one.
    present: RefCell<Arc<MemoryGate>>,
    /// Runs everybody.
    pub executor: Rc<Executor>,
    /// What is drawn here is drawn from the seed.
    pub random: Rc<Random>,
    /// How calls go.
    pub fates: Arc<Fates>,
    /// What happened.
    pub history: Arc<History>,
    /// The nodes' settings.
    pub settings: Settings,
    /// Nodes reconcile. Without it, what goes by messages must come to its end by messages.
    pub reconciles: bool,
    /// One node, whose gate lives in its memory and dies with it, and whose ledger belongs to it alone.
    pub embedded: bool,
    nodes: RefCell<BTreeMap<Group, Node>>,
    started: RefCell<BTreeSet<Group>>,
    /// The engine of every process that ever ran, for what it counted.
    engines: RefCell<Vec<Arc<Engine>>>,
    lives: Cell<u64>,
    ledger_ahead_ms: Cell<u64>,
    healed: Cell<bool>,
    late: Arc<Mutex<Vec<Late>>>,
    tales: RefCell<BTreeMap<OrderId, Tale>>,
    /// Where a purchase was seen to stand, and since when.
    noticed: RefCell<BTreeMap<OrderId, (Place, u64)>>,
    /// The first thing that was found wrong.
    failure: RefCell<Option<Failure>>,
    /// Laws that are not looked at: to test the simulator itself.
    pub blind_to: Vec<Law>,
}

struct Node {
    engine: Arc<Engine>,
    gate: Arc<Faulty<dyn Gate>>,
    clock: Arc<NodeClock>,
}

/// Settings that make a world's days short.
pub fn settings() -> Settings {
    Settings {
        hold_age_ms: 1_000,
        stuck_ms: 10_000,
        check_after_ms: 1_000,
        drain_ms: 500,
        lease_ms: 1_000,
        gather_us: 0,
        page_max: 3,
        ..Settings::default()
    }
}

/// Terms of a sale that is open now, of books at 99 yuan, two for each buyer.
pub fn terms(id: &str) -> Terms {
    Terms {
        id: id.parse().unwrap(),
        title: "A sale".into(),
        campaign: String::new(),
        goods_type: "book".into(),
        sku: "sku-1".into(),
        unit_price: Price::new(9_900).unwrap(),
        currency: "CNY".parse().unwrap(),
        holdback: 0,
        limit_per_buyer: 2,
        quantity_max: 2,
        opens_at: DAWN,
        closes_at: DAWN.after_ms(3_600_000),
        pay_within_s: 60,
    }
}

/// A buyer of this name.
pub fn buyer(name: &str) -> BuyerId {
    name.parse().unwrap()
}

impl World {
    /// A world; with a seed, what goes next is drawn from it.
    pub fn new(seed: Option<u64>) -> Rc<Self> {
        Self::with(seed, |_| {})
    }

    /// The same, changed before anything happens.
    pub fn with(seed: Option<u64>, edit: impl FnOnce(&mut Self)) -> Rc<Self> {
        let clock = ManualClock::new();
        let random = Rc::new(Random::new(seed.unwrap_or(1)));
        let executor = Executor::new(Arc::clone(&clock), seed.map(|_| Rc::clone(&random)));
        let queue = MemoryQueue::new(Arc::clone(&clock) as Arc<dyn Clock>, QueueSettings::default());
        let fates = Fates {
            clock: Arc::clone(&clock),
            decide: Mutex::new(Box::new(|_, _| Fate::Pass)),
            dead: Mutex::default(),
            calls: Mutex::default(),
            counts: Mutex::default(),
        };
        let history = History::new(&clock);
        let mut world = Self {
            ledger: MemoryLedger::new(DAWN),
            present: RefCell::new(Arc::new(MemoryGate::new(RunId(1)))),
            broker: Broker::new(Arc::clone(&queue), seed.unwrap_or(1)),
            ledger_ahead_ms: Cell::new(0),
            healed: Cell::new(false),
            history,
            late: Arc::default(),
            started: RefCell::default(),
            engines: RefCell::default(),
            lives: Cell::new(1),
            nodes: RefCell::default(),
            tales: RefCell::default(),
            settings: settings(),
            embedded: false,
            reconciles: true,
            noticed: RefCell::default(),
            failure: RefCell::default(),
            blind_to: Vec::new(),
            fates: Arc::new(fates),
            clock,
            queue,
            executor,
            random,
        };
        edit(&mut world);
        if world.embedded {
            world.ledger.promise_exclusive();
        }
        let world = Rc::new(world);
        let nature = Rc::clone(&world);
        world.executor.spawn(NATURE, async move { nature.turn().await });
        world
    }

    /// Time passes for the ledger, late calls happen.
    async fn turn(&self) {
        loop {
            self.clock.sleep_us(20_000).await;
            self.ledger.set_now(DAWN.after_ms((self.clock.elapsed_us() / 1_000 + self.ledger_ahead_ms.get()) as i64));
            for (us, call) in std::mem::take(&mut *lock(&self.late)) {
                let clock = Arc::clone(&self.clock);
                self.executor.spawn(NATURE, async move {
                    clock.sleep_us(us).await;
                    call.await;
                });
            }
        }
    }

    /// Runs everybody until `done` says so. A process that dies of a call does nothing after it.
    ///
    /// # Errors
    /// As [`Executor::run_until`].
    pub fn run_until(&self, steps_max: u64, done: impl Fn() -> bool) -> Result<u64, &'static str> {
        self.executor.run_until(steps_max, || {
            self.bury();
            done()
        })
    }

    fn bury(&self) {
        let dead = std::mem::take(&mut *lock(&self.fates.dead));
        for group in dead {
            self.kill(group);
            // A death that a fault had decided before all faults ended.
            if self.healed.get() {
                self.start(group);
            }
        }
    }

    /// Sets how the calls of the ports go from now on.
    pub fn fates(&self, decide: impl FnMut(&'static str, Group) -> Fate + Send + 'static) {
        *lock(&self.fates.decide) = Box::new(decide);
    }

    /// All calls of the ports so far.
    pub fn calls(&self) -> Vec<&'static str> {
        lock(&self.fates.calls).clone()
    }

    /// The gate itself, as a process that starts now reaches it.
    pub fn gate(&self) -> Arc<MemoryGate> {
        Arc::clone(&self.present.borrow())
    }

    /// Starts a process.
    pub fn start(&self, group: Group) {
        self.lives.set(self.lives.get() + 1);
        self.started.borrow_mut().insert(group);
        if self.embedded {
            self.gate().restart(RunId(self.lives.get()));
        }
        let plan = Arc::clone(&self.fates) as Arc<dyn Plan>;
        let gate = Faulty::<dyn Gate>::new(self.gate() as _, &plan, group, &self.late, &self.history);
        let node_clock = Arc::new(NodeClock { world: Arc::clone(&self.clock), ahead_us: AtomicU64::new(0) });
        let stores = Stores {
            gate: Arc::clone(&gate) as _,
            queue: Faulty::<dyn Queue>::new(Arc::clone(&self.broker) as _, &plan, group, &self.late, &self.history),
            ledger: Faulty::<dyn Ledger>::new(Arc::clone(&self.ledger) as _, &plan, group, &self.late, &self.history),
            clock: Arc::clone(&node_clock) as _,
        };
        let engine = Engine::new(stores, self.settings.clone(), self.lives.get(), &[(1, b"a secret that nodes share".to_vec())]);
        self.nodes.borrow_mut().insert(group, Node { engine: Arc::clone(&engine), gate, clock: node_clock });
        self.engines.borrow_mut().push(Arc::clone(&engine));
        self.history.everybody(group, || "starts".to_owned());
        macro_rules! every {
            ($ms:literal, $engine:ident => $pass:expr) => {{
                let ($engine, clock) = (Arc::clone(&engine), Arc::clone(&self.clock));
                self.executor.spawn(group, async move {
                    loop {
                        let _ = $pass.await;
                        clock.sleep_us($ms * 1_000).await;
                    }
                });
            }};
        }
        every!(0, e => e.intake_pass(5_000));
        every!(1, e => e.record_pass(5_000));
        every!(1, e => e.check_back_pass(5_000));
        every!(100, e => e.patience_pass());
        if self.reconciles {
            every!(300, e => e.reconcile_pass());
        }
        every!(500, e => e.clock_pass());
        let (e, clock) = (engine, Arc::clone(&self.clock));
        self.executor.spawn(group, async move {
            while e.start().await.is_err() {
                clock.sleep_us(100_000).await;
            }
            loop {
                let _ = e.watch_pass().await;
                clock.sleep_us(200_000).await;
            }
        });
    }

    /// kill -9: nothing of the process goes on.
    pub fn kill(&self, group: Group) {
        self.history.everybody(group, || "is dead".to_owned());
        self.nodes.borrow_mut().remove(&group);
        self.executor.thaw(group);
        self.executor.kill(group);
    }

    /// Whether this process lives.
    pub fn is_up(&self, group: Group) -> bool {
        self.nodes.borrow().contains_key(&group)
    }

    /// The store of the gate fails over to another one, which holds what `memory` says, in another life. One node may go on
    /// talking to the old one, until it is turned by [`World::turn_all`].
    pub fn fail_over(&self, memory: &Memory, run: RunId, left_behind: Option<Group>) {
        let fresh = Arc::new(MemoryGate::new(run));
        fresh.rewind(memory, run);
        *self.present.borrow_mut() = Arc::clone(&fresh);
        for (&group, node) in self.nodes.borrow().iter().filter(|&(&group, _)| Some(group) != left_behind) {
            self.history.everybody(group, || "reaches another gate".to_owned());
            node.gate.turn_to(Arc::clone(&fresh) as _);
        }
    }

    /// Every node reaches the present gate.
    pub fn turn_all(&self) {
        for node in self.nodes.borrow().values() {
            node.gate.turn_to(self.gate() as _);
        }
    }

    /// A node's own clock is ahead by so much more from now on.
    pub fn skew(&self, group: Group, us: u64) {
        if let Some(node) = self.nodes.borrow().get(&group) {
            node.clock.ahead_us.fetch_add(us, Ordering::Relaxed);
        }
    }

    /// The ledger's clock jumps ahead.
    pub fn ledger_jumps(&self, ms: u64) {
        self.ledger_ahead_ms.set(self.ledger_ahead_ms.get() + ms);
    }

    /// Whether a node knows the sale and its gate as whole.
    pub fn sees_whole(&self, group: Group, sale: SaleId) -> bool {
        self.nodes
            .borrow()
            .get(&group)
            .and_then(|node| node.engine.sale(sale))
            .is_some_and(|view| view.sale.status.has_gate() && !view.recovering)
    }

    /// Asks a node something; `None`: it is down, or died before it answered.
    pub async fn ask<T: 'static, F: Future<Output = T> + 'static>(&self, group: Group, ask: impl FnOnce(Arc<Engine>) -> F) -> Option<T> {
        pause().await;
        let engine = self.nodes.borrow().get(&group).map(|node| Arc::clone(&node.engine))?;
        let (reply, answer) = oneshot::channel();
        let asking = ask(engine);
        self.executor.spawn(group, async move {
            let _ = reply.send(asking.await);
        });
        answer.await.ok()
    }
}

/// Polls a future that cannot wait.
pub fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}
