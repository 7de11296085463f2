//! Guards that no schedule needs to break a law: each on a node whose passes the test drives itself, one call at a time.
//! A line of the protocol that could be left out without any other test noticing has its test here.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

#[path = "guards/admission.rs"]
mod admission;
#[path = "guards/buying.rs"]
mod buying;
#[path = "guards/facts.rs"]
mod facts;
#[path = "guards/intake.rs"]
mod intake;
#[path = "guards/check_back.rs"]
mod check_back;
#[path = "guards/consumer.rs"]
mod consumer;
#[path = "guards/tickets.rs"]
mod tickets;
#[path = "guards/reconciler.rs"]
mod reconciler;
#[path = "guards/movements.rs"]
mod movements;
#[path = "guards/late.rs"]
mod late;
#[path = "guards/deciders.rs"]
mod deciders;
#[path = "guards/waiting.rs"]
mod waiting;
#[path = "guards/audits.rs"]
mod audits;
#[path = "guards/telling.rs"]
mod telling;

use sale::admit::{Denied, admit, admit_late, is_settled};
use sale::order::{Source, Status};
use sale::ports::{Clock as _, Decision, Fence, Gate, Half, Ledger, Paid, Paying, Queue, SaleChange, Verdict, Withdrawal};
use sale::purchase::{Answer, Cancelled, Engine, Operated, Settings, Shown, Stocked, Stores, Wish};
use sale::words::*;
use sim::faulty::{Fate, Faulty, Plan};
use sim::{DAWN, NodeClock, World, buyer, poll_once, settings, terms};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const SECRET: &[u8] = b"a secret that nodes share";

/// A node that does nothing by itself.
fn by_hand(world: &World, group: u32, keys: &[(u8, Vec<u8>)], edit: impl FnOnce(&mut Settings)) -> Arc<Engine> {
    let mut settings = settings();
    edit(&mut settings);
    Engine::new(stores(world, group), settings, 1_000 + u64::from(group), keys)
}

/// The stores as a node of this group reaches them.
fn stores(world: &World, group: u32) -> Stores {
    let (plan, late) = (Arc::clone(&world.fates) as Arc<dyn Plan>, Arc::new(Mutex::new(Vec::new())));
    Stores {
        gate: Faulty::<dyn Gate>::new(world.gate() as _, &plan, group, &late, &world.history),
        queue: Faulty::<dyn Queue>::new(Arc::clone(&world.queue) as _, &plan, group, &late, &world.history),
        ledger: Faulty::<dyn Ledger>::new(Arc::clone(&world.ledger) as _, &plan, group, &late, &world.history),
        clock: Arc::clone(&world.clock) as _,
    }
}

/// A node whose clock has jumped ahead since it last asked the ledger for its time.
async fn node_ahead(world: &World, by_us: u64) -> Arc<Engine> {
    let clock = Arc::new(NodeClock { world: Arc::clone(&world.clock), ahead_us: AtomicU64::new(0) });
    let stores = Stores { clock: Arc::clone(&clock) as _, ..stores(world, 7) };
    let engine = Engine::new(stores, settings(), 77, &[(1, SECRET.to_vec())]);
    engine.start().await.expect("the stores answer");
    engine.watch_pass().await.expect("the stores answer");
    clock.ahead_us.store(by_us, Ordering::Relaxed);
    engine
}

/// A node by hand that knows the sales there are.
async fn node(world: &World, group: u32, edit: impl FnOnce(&mut Settings)) -> Arc<Engine> {
    let engine = by_hand(world, group, &[(1, SECRET.to_vec())], edit);
    engine.start().await.expect("the stores answer");
    engine.watch_pass().await.expect("the stores answer");
    engine
}

/// Runs a script in a world of its own, with one node by hand and one open sale.
fn alone<F: Future<Output = ()> + 'static>(
    units: i64,
    edit: impl FnOnce(&mut Settings, &mut Terms) + 'static,
    script: impl FnOnce(Rc<World>, Arc<Engine>, SaleId) -> F + 'static,
) {
    let world = World::new(None);
    let w = Rc::clone(&world);
    world.run_script(async move {
        let mut terms = terms("s1");
        let mut set = settings();
        edit(&mut set, &mut terms);
        let sale = terms.id;
        let engine = node(&w, 1, |settings| *settings = set).await;
        engine.create(&terms, units, "op").await.unwrap().unwrap();
        assert!(matches!(engine.open(sale).await, Ok(Operated::Done(_))));
        engine.watch_pass().await.unwrap();
        script(w, engine, sale).await;
    });
}

fn wish(sale: SaleId, who: &str, key: &str, quantity: u32) -> Wish {
    Wish { sale, buyer: buyer(who), key: key.parse().unwrap(), quantity, wait_ms: 0, ticket: None }
}

async fn buys(engine: &Engine, wish: Wish) -> Answer {
    futures_util::future::join(engine.buy(wish), engine.intake_pass(1)).await.0
}

fn id(sale: SaleId, who: &str, key: &str) -> OrderId {
    OrderId::of_purchase(sale, &buyer(who), &key.parse().unwrap())
}

async fn row(world: &World, id: OrderId) -> Option<sale::order::Order> {
    world.ledger.orders(&[id]).await.unwrap().into_iter().next().unwrap()
}

/// Bought and recorded.
async fn confirmed(world: &World, engine: &Engine, sale: SaleId, who: &str, key: &str) -> sale::order::Order {
    let told = buys(engine, wish(sale, who, key, 1)).await;
    assert!(matches!(told, Answer::Processing { .. } | Answer::Row(_)), "{who}: {told:?}");
    engine.record_pass(0).await.unwrap();
    let order = row(world, id(sale, who, key)).await.expect("it was recorded");
    assert_eq!(order.status, Status::Confirmed);
    order
}

async fn fence(world: &World, sale: SaleId) -> Fence {
    let row = world.ledger.sale(sale).await.unwrap().unwrap();
    Fence { sale, epoch: row.epoch, run: row.run }
}

fn batch_of(sale: SaleId, epoch: Epoch, number: u64) -> Batch {
    let ask = sale::contract::ask(sale, &format!("zoe-{number}"), 1);
    Batch { id: BatchId { node: 99, number }, sale, epoch, limit_per_buyer: 2, asks: vec![Ask { asked_at: DAWN, ..ask }] }
}

fn refuse(world: &World, name: &'static str) {
    world.fates(move |call, _| if call == name { Fate::Refuse } else { Fate::Pass });
}

fn heal(world: &World) {
    world.fates(|_, _| Fate::Pass);
}

/// Polls until the last call that was begun is this one. Unless the plan slows it, it has been answered then, and the next
/// call has not begun: the moment for somebody else.
fn go_to<T>(world: &World, going: &mut std::pin::Pin<Box<impl Future<Output = T>>>, call: &str) {
    let before = world.calls().len();
    for _ in 0..10_000 {
        assert!(poll_once(&mut *going).is_none(), "it ended before {call}");
        if world.calls()[before..].last() == Some(&call) {
            return;
        }
    }
    panic!("{call} was never called");
}

/// The next call of this name takes a second; others pass.
fn slow_once(world: &World, name: &'static str) {
    let mut slow = true;
    world.fates(move |call, _| if call == name && std::mem::take(&mut slow) { Fate::Slow(1_000_000) } else { Fate::Pass });
}

/// Goes on to the slow call of this name, and to the moment at which it is answered and nobody has read the answer.
async fn read_and_wait<T>(world: &World, going: &mut std::pin::Pin<Box<impl Future<Output = T>>>, name: &'static str) {
    slow_once(world, name);
    go_to(world, going, name);
    world.clock.sleep_us(1_100_000).await;
    assert!(poll_once(&mut *going).is_none());
}

async fn gate_left(world: &World, sale: SaleId) -> i64 {
    world.gate().fact(fence(world, sale).await).await.unwrap().unwrap().left
}

/// Does something while the intake and the consumer go on.
async fn going<T>(world: &World, engine: &Engine, doing: impl Future<Output = T>) -> T {
    let passes = async {
        loop {
            engine.intake_pass(1).await;
            let _ = engine.record_pass(0).await;
            engine.patience_pass().await;
            world.clock.sleep_us(10_000).await;
        }
    };
    let futures_util::future::Either::Left((done, _)) = futures_util::future::select(Box::pin(doing), Box::pin(passes)).await;
    done
}

async fn committed(world: &World, number: u64, body: Vec<u8>) {
    let half = Half { batch: BatchId { node: 99, number }, tag: "book".into(), body };
    let receipt = world.queue.prepare(half).await.unwrap();
    world.queue.settle(receipt, Verdict::Commit).await;
}
