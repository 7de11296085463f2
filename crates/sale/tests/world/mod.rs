//! A world for tests: stores in memory that outlive the nodes, nodes that die and come back, buyers who remember what they
//! were told. Single-threaded, in virtual time. Knows no particular schedule.

#![allow(dead_code, reason = "each test binary uses its part of the world")]

pub mod executor;
pub mod faulty;

use executor::{Executor, Group, Random, pause};
use faulty::{Fate, Faulty, Late, Plan};
use sale::books::{Books, Report, Tale, Told, audit};
use sale::memory::{ManualClock, MemoryGate, MemoryLedger, MemoryQueue, QueueSettings};
use sale::ports::{Clock, Fence, Gate, Ledger, Queue};
use sale::purchase::{Answer, Cancelled, Engine, Settings, Shown, Stores, Wish};
use sale::words::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// The first moment of every world.
pub const DAWN: Time = Time(1_800_000_000_000);
/// The world's own tasks; nodes are 1, 2 …
const NATURE: Group = 0;

pub struct World {
    pub clock: Arc<ManualClock>,
    pub ledger: Arc<MemoryLedger>,
    pub queue: Arc<MemoryQueue>,
    pub gate: Arc<MemoryGate>,
    pub executor: Rc<Executor>,
    pub random: Rc<Random>,
    pub fates: Arc<Fates>,
    pub settings: Settings,
    /// The gate lives in its node's memory and dies with it.
    pub embedded: bool,
    nodes: RefCell<BTreeMap<Group, Arc<Engine>>>,
    lives: Cell<u64>,
    late: Arc<Mutex<Vec<Late>>>,
    tales: RefCell<BTreeMap<OrderId, Tale>>,
}

/// The plan of a world: settable, and it keeps a list of the calls.
pub struct Fates {
    clock: Arc<ManualClock>,
    pub decide: Mutex<Box<dyn FnMut(&'static str, Group) -> Fate + Send>>,
    pub dead: Mutex<Vec<Group>>,
    pub calls: Mutex<Vec<&'static str>>,
}

impl Plan for Fates {
    fn fate(&self, call: &'static str, group: Group) -> Fate {
        self.calls.lock().unwrap().push(call);
        (self.decide.lock().unwrap())(call, group)
    }
    fn died(&self, group: Group) {
        self.dead.lock().unwrap().push(group);
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }
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

pub fn buyer(name: &str) -> BuyerId {
    name.parse().unwrap()
}

impl World {
    pub fn new(seed: Option<u64>) -> Rc<Self> {
        Self::with(seed, |_| {})
    }

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
        };
        let mut world = Self {
            ledger: MemoryLedger::new(DAWN),
            gate: Arc::new(MemoryGate::new(RunId(1))),
            late: Arc::default(),
            lives: Cell::new(1),
            nodes: RefCell::default(),
            tales: RefCell::default(),
            settings: settings(),
            embedded: false,
            fates: Arc::new(fates),
            clock,
            queue,
            executor,
            random,
        };
        edit(&mut world);
        let world = Rc::new(world);
        let nature = Rc::clone(&world);
        world.executor.spawn(NATURE, async move { nature.turn().await });
        world
    }

    /// Time passes for the ledger, late calls happen, the dead are buried.
    async fn turn(&self) {
        loop {
            self.clock.sleep_us(20_000).await;
            self.ledger.set_now(DAWN.after_ms((self.clock.elapsed_us() / 1_000) as i64));
            let dead = std::mem::take(&mut *self.fates.dead.lock().unwrap());
            dead.into_iter().for_each(|group| self.kill(group));
            for (us, call) in std::mem::take(&mut *self.late.lock().unwrap()) {
                let clock = Arc::clone(&self.clock);
                self.executor.spawn(NATURE, async move {
                    clock.sleep_us(us).await;
                    call.await;
                });
            }
        }
    }

    /// Sets how the calls of the ports go from now on.
    pub fn fates(&self, decide: impl FnMut(&'static str, Group) -> Fate + Send + 'static) {
        *self.fates.decide.lock().unwrap() = Box::new(decide);
    }

    pub fn calls(&self) -> Vec<&'static str> {
        self.fates.calls.lock().unwrap().clone()
    }

    /// Starts a process.
    pub fn start(&self, group: Group) {
        self.lives.set(self.lives.get() + 1);
        if self.embedded {
            self.gate.restart(RunId(self.lives.get()));
        }
        let plan = Arc::clone(&self.fates) as Arc<dyn Plan>;
        let stores = Stores {
            gate: Arc::new(Faulty::<dyn Gate> {
                inner: Arc::clone(&self.gate) as _,
                plan: Arc::clone(&plan),
                group,
                late: Arc::clone(&self.late),
            }),
            queue: Arc::new(Faulty::<dyn Queue> {
                inner: Arc::clone(&self.queue) as _,
                plan: Arc::clone(&plan),
                group,
                late: Arc::clone(&self.late),
            }),
            ledger: Arc::new(Faulty::<dyn Ledger> { inner: Arc::clone(&self.ledger) as _, plan, group, late: Arc::clone(&self.late) }),
            clock: Arc::clone(&self.clock) as _,
        };
        let engine = Engine::new(stores, self.settings.clone(), self.lives.get(), &[(1, b"a secret that nodes share".to_vec())]);
        self.nodes.borrow_mut().insert(group, Arc::clone(&engine));
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
        every!(300, e => e.reconcile_pass());
        every!(500, e => e.clock_pass());
        let (e, clock) = (Arc::clone(&engine), Arc::clone(&self.clock));
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
        self.nodes.borrow_mut().remove(&group);
        self.executor.kill(group);
    }

    pub fn is_up(&self, group: Group) -> bool {
        self.nodes.borrow().contains_key(&group)
    }

    /// Whether a node knows the sale and its gate as whole.
    pub fn sees_whole(&self, group: Group, sale: SaleId) -> bool {
        self.nodes
            .borrow()
            .get(&group)
            .and_then(|engine| engine.sale(sale))
            .is_some_and(|view| view.sale.status.has_gate() && !view.recovering)
    }

    /// Asks a node something; `None`: it is down, or died before it answered.
    pub async fn ask<T: 'static, F: Future<Output = T> + 'static>(&self, group: Group, ask: impl FnOnce(Arc<Engine>) -> F) -> Option<T> {
        pause().await;
        let engine = self.nodes.borrow().get(&group).map(Arc::clone)?;
        let (reply, answer) = oneshot::channel();
        let asking = ask(engine);
        self.executor.spawn(group, async move {
            let _ = reply.send(asking.await);
        });
        answer.await.ok()
    }

    /// One try of a purchase; what the buyer is told is remembered.
    pub async fn buy(&self, group: Group, sale: SaleId, who: &str, key: &str, quantity: u32, wait_ms: u64) -> Option<Answer> {
        let wish = Wish { sale, buyer: buyer(who), key: key.parse().unwrap(), quantity, wait_ms, ticket: None };
        let id = OrderId::of_purchase(sale, &wish.buyer, &wish.key);
        // Until it is answered, a try is one that was told nothing.
        self.told(id, who, quantity, Told::Nothing, None);
        let at = self.tales.borrow()[&id].told.len() - 1;
        let answer = self.ask(group, move |engine| async move { engine.buy(wish).await }).await;
        let (told, amount) = match &answer {
            None => (Told::Nothing, None),
            Some(Answer::Row(order)) => (Told::Row(order.status), Some(order.ask.amount())),
            Some(Answer::Processing { .. }) => (Told::Processing, None),
            Some(Answer::Refused(_)) => (Told::Refused, None),
            Some(Answer::Busy(_)) => (Told::Busy, None),
        };
        let mut tales = self.tales.borrow_mut();
        let tale = tales.get_mut(&id).expect("the try stands there");
        tale.told[at] = told;
        tale.amount = amount.or(tale.amount);
        answer
    }

    /// Buys until there is an answer that is not "try again": a row, a refusal, or a ticket.
    pub async fn insist(&self, group: Group, sale: SaleId, who: &str, key: &str, quantity: u32) -> Answer {
        loop {
            match self.buy(group, sale, who, key, quantity, 2_000).await {
                Some(Answer::Busy(_)) | None => self.clock.sleep_us(300_000).await,
                Some(Answer::Processing { .. }) => self.clock.sleep_us(100_000).await,
                Some(answer) => return answer,
            }
        }
    }

    /// Shows an order; what the buyer is told is remembered.
    pub async fn show(&self, group: Group, id: OrderId, who: &str, ticket: Option<String>) -> Option<Shown> {
        let owner = buyer(who);
        let shown = self.ask(group, move |engine| async move { engine.order(id, &owner, ticket.as_deref(), None, 0).await }).await?.ok()?;
        if let Shown::Row(order) = &shown {
            self.told(id, who, order.ask.quantity.get(), Told::Row(order.status), Some(order.ask.amount()));
        }
        Some(shown)
    }

    pub async fn cancel(&self, group: Group, id: OrderId, who: &str, ticket: Option<String>) -> Option<Cancelled> {
        let owner = buyer(who);
        let cancelled = self.ask(group, move |engine| async move { engine.cancel(id, &owner, ticket.as_deref()).await }).await?.ok()?;
        if let Cancelled::Done(order) | Cancelled::Late(order) = &cancelled {
            self.told(id, who, order.ask.quantity.get(), Told::Row(order.status), Some(order.ask.amount()));
        }
        Some(cancelled)
    }

    pub fn told(&self, id: OrderId, who: &str, quantity: u32, told: Told, amount: Option<i64>) {
        let mut tales = self.tales.borrow_mut();
        let tale = tales.entry(id).or_insert_with(|| Tale { id, buyer: buyer(who), quantity, amount: None, told: Vec::new() });
        tale.told.push(told);
        tale.amount = amount.or(tale.amount);
    }

    pub fn tales(&self) -> Vec<Tale> {
        self.tales.borrow().values().cloned().collect()
    }

    /// Audits the stores themselves as they are at this instant, by the books of the gate and then the ledger.
    pub fn audit_now(&self, at_rest: bool) -> Report {
        let now = |future: std::pin::Pin<Box<dyn Future<Output = Option<Vec<Books>>> + '_>>| poll_once(future).flatten();
        let books = now(Box::pin(async {
            let mut books = Vec::new();
            for sale in self.ledger.sales().await.ok()? {
                let fence = Fence { sale: sale.terms.id, epoch: sale.epoch, run: sale.run };
                let gate = self.gate.books(fence).await.ok()?.ok();
                let ledger = self.ledger.books(sale.terms.id).await.ok()??;
                books.push(Books { at_rest: at_rest && gate.is_some(), gate, ledger });
            }
            Some(books)
        }))
        .expect("stores in memory answer at once");
        audit(&books, Some(&self.tales()))
    }

    /// Runs a script to its end, then lets everything come to rest with no further faults, and audits.
    pub fn run(self: &Rc<Self>, script: impl Future<Output = ()> + 'static) {
        self.run_script(script);
        self.rest();
        self.assert_lawful(true);
    }

    /// Runs a script to its end.
    pub fn run_script(self: &Rc<Self>, script: impl Future<Output = ()> + 'static) {
        let done = Rc::new(Cell::new(false));
        let end = Rc::clone(&done);
        self.executor.spawn(NATURE, async move {
            script.await;
            end.set(true);
        });
        let ran = self.executor.run_until(3_000_000, || done.get());
        assert!(
            ran.is_ok(),
            "the script came to no end: {}; calls: {:?}",
            ran.unwrap_err(),
            self.calls().iter().rev().take(30).collect::<Vec<_>>()
        );
    }

    /// Lets everything come to rest: no faults, all nodes up, until nothing changes for longer than any period.
    pub fn rest(self: &Rc<Self>) {
        self.fates(|_, _| Fate::Pass);
        let world = Rc::clone(self);
        self.run_script(async move {
            world.clock.sleep_us(50_000).await;
            for group in 1..=2 {
                if !world.is_up(group) && (group == 1 || world.nodes.borrow().len() > 1) {
                    world.start(group);
                }
            }
            world.clock.sleep_us(30_000_000).await;
        });
    }

    pub fn assert_lawful(&self, at_rest: bool) {
        let report = self.audit_now(at_rest);
        assert!(report.breaches.is_empty(), "{:#?}\n{:#?}", report.breaches, report.sales);
        if at_rest {
            for (law, verdict) in &report.laws {
                assert_eq!(*verdict, sale::books::Verdict::Holds, "{}", law.as_str());
            }
        }
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
