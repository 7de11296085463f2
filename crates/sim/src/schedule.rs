//! One schedule: a small sale, several nodes, faults drawn from a seed; then everything heals, comes to rest within a stated
//! time, and is audited. What failed is told as a history, with no more faults and buyers than it needs.

use crate::executor::{Group, Random};
use crate::faulty::Fate;
use crate::people::{auditor, operator, shopper};
use crate::weather::{KINDS, Weather};
use crate::{Counts, World, terms};
use sale::books::{Law, Report, Verdict};
use sale::order::Status;
use sale::ports::{Clock as _, Ledger as _, Queue as _};
use sale::purchase::{Answer, Operated};
use sale::words::{SaleId, SaleStatus};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;

/// Simulated time after the end of all faults in which everything must have come to rest, in microseconds.
pub const REST_US: u64 = 40_000_000;
/// How often, a second apart, a node may say that there is nothing while units are left.
const PROBES: u32 = 4;
const STEPS_MAX: u64 = 3_000_000;

/// What a schedule is made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// The faults.
    pub weather: Weather,
    /// Purchases.
    pub shoppers: u64,
    /// Server processes.
    pub nodes: u32,
    /// Nodes reconcile.
    pub reconciles: bool,
    /// Laws that are not looked at: to test the simulator itself.
    pub blind_to: Vec<Law>,
}

impl Plan {
    /// What a seed says.
    pub fn of(seed: u64) -> Self {
        let random = Random::new(seed ^ 0x7EA7);
        let weather = Weather::draw(&random);
        let reconciles = !random.chance(20);
        let weather = if reconciles { weather } else { weather.by_messages_alone() };
        let nodes = 2 + u32::from(random.chance(25));
        Self { seed, weather, shoppers: 20 + random.below(16), nodes, reconciles, blind_to: Vec::new() }.without_what_needs_the_reconciler()
    }

    /// A hold of a dead order that a node could not release is released by the reconciler.
    fn without_what_needs_the_reconciler(mut self) -> Self {
        if !self.reconciles {
            self.blind_to.extend([Law::L6, Law::L7]);
        }
        self
    }
}

/// How it ended.
#[derive(Debug, Default)]
pub struct End {
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Simulated time.
    pub us: u64,
    /// Purchases that were tried.
    pub purchases: u64,
    /// How often which fault happened.
    pub faults: Counts,
    /// How often which way through the protocol was taken.
    pub paths: Counts,
    /// Orders by their last status.
    pub statuses: BTreeMap<&'static str, u64>,
    /// What happened, if it was kept.
    pub history: String,
}

/// A broken law, a purchase that is stuck, or a panic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// When, in simulated microseconds.
    pub at_us: u64,
    /// The laws that do not hold; none when it is a panic or nothing comes to an end.
    pub laws: Vec<&'static str>,
    /// In words.
    pub what: String,
}

/// Runs one schedule. `keep`: with its history.
pub fn run(plan: &Plan, keep: bool) -> End {
    let world = World::with(Some(plan.seed), |world| world.reconciles = plan.reconciles);
    if keep {
        world.history.keep();
    }
    let sale = terms("s1").id;
    let failure = catch_unwind(AssertUnwindSafe(|| live(&world, plan, sale))).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Some(Failure { at_us: world.clock.elapsed_us(), laws: Vec::new(), what: format!("panic: {}", what.unwrap_or_default()) })
    });
    let mut faults = world.fates.counts();
    for (what, times) in world.broker.counts() {
        *faults.entry(what).or_default() += times;
    }
    let history = failure.as_ref().filter(|_| keep).map(|failure| world.history.of(&failure.what, sale, 80)).unwrap_or_default();
    let end = End {
        us: world.clock.elapsed_us(),
        purchases: world.tales().len() as u64,
        statuses: statuses(&world, sale),
        paths: world.paths(),
        failure,
        faults,
        history,
    };
    world.executor.clear();
    end
}

fn statuses(world: &World, sale: SaleId) -> BTreeMap<&'static str, u64> {
    let counts = crate::poll_once(world.ledger.counts(sale)).and_then(Result::ok).unwrap_or_default();
    counts.into_iter().filter(|(_, count)| *count > 0).map(|(status, count): (Status, u64)| (status.as_str(), count)).collect()
}

fn live(world: &Rc<World>, plan: &Plan, sale: SaleId) -> Option<Failure> {
    let mut terms = terms("s1");
    terms.pay_within_s = 5;
    terms.holdback = i64::from(plan.seed.is_multiple_of(3));
    (1..=plan.nodes).for_each(|node| world.start(node));
    let opening = Rc::clone(world);
    world.run_script(async move {
        opening.ask(1, move |engine| async move { engine.create(&terms, 8, "op").await }).await.unwrap().unwrap().unwrap();
        while !matches!(opening.ask(1, move |engine| async move { engine.open(sale).await }).await, Some(Ok(Operated::Done(_)))) {
            opening.clock.sleep_us(100_000).await;
        }
    });

    let (weather, random) = (plan.weather, Random::new(plan.seed ^ 0x5EED));
    world.fates(move |call, _: Group| if weather == Weather::default() { Fate::Pass } else { weather.fate(&random, call) });
    let failure: Rc<RefCell<Option<Failure>>> = Rc::default();
    let left = Rc::new(Cell::new(0));
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for n in 0..plan.shoppers {
        tasks.push(Box::pin(shopper(Rc::clone(world), sale, plan.nodes, n)));
    }
    if plan.reconciles {
        // A rebuild, a withdrawal and an audit lean on the reconciler.
        tasks.push(Box::pin(operator(Rc::clone(world), sale, plan.nodes)));
    }
    tasks.push(Box::pin(weather.pass(Rc::clone(world), plan.nodes)));
    let (hearing, at, blind_to) = (Rc::clone(&failure), Rc::clone(world), plan.blind_to.clone());
    let audits = auditor(Rc::clone(world), plan.nodes, move |report| {
        let mut first = hearing.borrow_mut();
        *first = first.take().or_else(|| judge(&at, &report, &blind_to, "an audit by a node"));
    });
    if plan.reconciles {
        tasks.push(Box::pin(audits));
    }
    left.set(tasks.len());
    for task in tasks {
        let left = Rc::clone(&left);
        world.executor.spawn(0, async move {
            task.await;
            left.set(left.get() - 1);
        });
    }
    // Laws that hold at every instant are looked at on the way.
    let (watching, hearing, blind_to) = (Rc::clone(world), Rc::clone(&failure), plan.blind_to.clone());
    let looked = Rc::clone(&left);
    world.executor.spawn(0, async move {
        while looked.get() > 0 && hearing.borrow().is_none() {
            watching.clock.sleep_us(100_000).await;
            let found = judge(&watching, &watching.audit_now(false), &blind_to, "on the way");
            let mut first = hearing.borrow_mut();
            *first = first.take().or(found);
        }
    });
    if let Err(why) = world.executor.run_until(STEPS_MAX, || left.get() == 0 || failure.borrow().is_some()) {
        return Some(Failure { at_us: world.clock.elapsed_us(), laws: Vec::new(), what: format!("the schedule came to no end: {why}") });
    }
    let failed = failure.borrow_mut().take();
    // Without a reconciler a release that was lost stays lost.
    let sells = || if plan.reconciles { sells_what_is_left(world, plan, sale) } else { None };
    failed.or_else(|| rest(world, plan)).or_else(sells)
}

/// Undersold only for a while: at rest, every node sells what the ledger has left.
fn sells_what_is_left(world: &Rc<World>, plan: &Plan, sale: SaleId) -> Option<Failure> {
    let seen: Rc<RefCell<Option<String>>> = Rc::default();
    let (asking, hearing, nodes) = (Rc::clone(world), Rc::clone(&seen), plan.nodes);
    world.run_script(async move {
        for node in 1..=nodes {
            let mut told = String::new();
            for n in 0..PROBES {
                let row = asking.ledger.sale(sale).await.unwrap().unwrap();
                if row.status != SaleStatus::Open || row.left <= row.terms.holdback {
                    return;
                }
                match asking.buy(node, sale, &format!("probe-{node}"), &format!("k{n}"), 1, 5_000).await {
                    Some(Answer::Row(_)) => {
                        told.clear();
                        break;
                    }
                    answer => told = format!("at rest {} units are left and node {node} answers {answer:?}", row.left),
                }
                asking.clock.sleep_us(1_000_000).await;
            }
            if !told.is_empty() {
                *hearing.borrow_mut() = Some(told);
                return;
            }
        }
    });
    let what = seen.borrow_mut().take()?;
    Some(Failure { at_us: world.clock.elapsed_us(), laws: vec!["sells"], what })
}

/// All faults end; within [`REST_US`] everything is at rest and every law holds.
fn rest(world: &Rc<World>, plan: &Plan) -> Option<Failure> {
    world.heal();
    let until_us = world.clock.elapsed_us() + REST_US;
    let mut last = None;
    while world.clock.elapsed_us() < until_us {
        let wake_us = (world.clock.elapsed_us() + REST_US / 8).min(until_us);
        let asleep = Rc::clone(world);
        let done = Rc::new(Cell::new(false));
        let end = Rc::clone(&done);
        world.executor.spawn(0, async move {
            asleep.clock.sleep_us(wake_us.saturating_sub(asleep.clock.elapsed_us())).await;
            end.set(true);
        });
        if let Err(why) = world.executor.run_until(STEPS_MAX, || done.get()) {
            return Some(Failure { at_us: world.clock.elapsed_us(), laws: Vec::new(), what: format!("no rest: {why}") });
        }
        let report = world.audit_now(true);
        last = judge(world, &report, &plan.blind_to, "at rest");
        let unchecked = report.laws.iter().any(|(law, verdict)| matches!(verdict, Verdict::Unchecked(_)) && !plan.blind_to.contains(law));
        if last.is_none() && unchecked {
            let what = "at rest: the gate of a sale is not whole, so not every law can be checked".to_owned();
            last = Some(Failure { at_us: world.clock.elapsed_us(), laws: Vec::new(), what });
        }
        if last.is_none() {
            let left = crate::poll_once(world.queue.backlog()).and_then(Result::ok).unwrap_or_default();
            if left.halves + left.committed == 0 {
                break;
            }
            let what = format!("at rest: {} half messages and {} messages are left in the queue", left.halves, left.committed);
            last = Some(Failure { at_us: world.clock.elapsed_us(), laws: Vec::new(), what });
        }
    }
    last
}

fn judge(world: &World, report: &Report, blind_to: &[Law], when: &str) -> Option<Failure> {
    let seen: Vec<_> = report.breaches.iter().filter(|breach| !blind_to.contains(&breach.law)).collect();
    if let Some(what) = world.contradictions().first() {
        return Some(Failure { at_us: world.clock.elapsed_us(), laws: vec!["one answer"], what: format!("{when}; {what}") });
    }
    if seen.is_empty() {
        return None;
    }
    let mut laws: Vec<&'static str> = seen.iter().map(|breach| breach.law.as_str()).collect();
    laws.sort_unstable();
    laws.dedup();
    let mut what = when.to_owned();
    for breach in seen.iter().take(4) {
        let _ = write!(what, "; {}: {}", breach.law.as_str(), breach.what);
    }
    Some(Failure { at_us: world.clock.elapsed_us(), laws, what })
}

/// The same failure with as few kinds of faults and as few purchases as are found by leaving them out one by one.
pub fn shrink(plan: &Plan) -> Plan {
    let fails = |plan: &Plan| run(plan, false).failure.is_some();
    let mut least = plan.clone();
    for (_, off) in KINDS {
        let mut less = least.clone();
        off(&mut less.weather);
        if less != least && fails(&less) {
            least = less;
        }
    }
    let fewer = [1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 30];
    if let Some(shoppers) = fewer.into_iter().filter(|&n| n < least.shoppers).find(|&shoppers| fails(&Plan { shoppers, ..least.clone() })) {
        least.shoppers = shoppers;
    }
    least
}

/// A failure as it is printed: seed, moment, what it needs, and the history of the purchases concerned.
pub fn tell(plan: &Plan) -> String {
    let least = shrink(plan);
    let end = run(&least, true);
    let Some(failure) = end.failure else { return format!("seed {}: does not fail when it is run again\n", plan.seed) };
    let needs: Vec<&str> = KINDS
        .iter()
        .filter(|(_, off)| {
            let mut less = least.weather;
            off(&mut less);
            less != least.weather
        })
        .map(|(name, _)| *name)
        .collect();
    let needs = if needs.is_empty() { "no fault at all".to_owned() } else { needs.join(", ") };
    format!(
        "seed {} fails after {:.3} s: {}\n  it needs {} purchases on {} nodes and: {needs}\n{}",
        plan.seed,
        failure.at_us as f64 / 1e6,
        failure.what,
        least.shoppers,
        least.nodes,
        end.history
    )
}
