//! One schedule: a small sale, several nodes, faults drawn from a seed; then everything heals, comes to rest within a stated
//! time, and is audited. What failed is told as a history, with no more faults and buyers than it needs.

use crate::executor::{Group, Random};
use crate::faulty::Fate;
use crate::people::{auditor, operator, shopper};
use crate::weather::{KINDS, Weather};
use crate::{Counts, Failure, REST_US, World, terms};
use sale::books::Law;
use sale::order::Status;
use sale::ports::{Clock as _, Ledger as _};
use sale::purchase::Answer;
use sale::words::{SaleId, SaleStatus};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;

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
    /// One process with its stores, as it is shipped: it writes alone, and its gate dies with it.
    pub embedded: bool,
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
        let (nodes, shoppers) = (2 + u32::from(random.chance(25)), 20 + random.below(16));
        let embedded = random.chance(15);
        let nodes = if embedded { 1 } else { nodes };
        Self { seed, weather, shoppers, nodes, reconciles, embedded, blind_to: Vec::new() }.without_what_needs_the_reconciler()
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

/// Runs one schedule. `keep`: with its history.
pub fn run(plan: &Plan, keep: bool) -> End {
    let world = World::with(Some(plan.seed), |world| {
        world.reconciles = plan.reconciles;
        world.embedded = plan.embedded;
        world.blind_to.clone_from(&plan.blind_to);
    });
    if keep {
        world.history.keep();
    }
    let sale = terms("s1").id;
    world.catching(|| live(&world, plan, sale));
    let mut faults = world.fates.counts();
    for (what, times) in world.broker.counts() {
        *faults.entry(what).or_default() += times;
    }
    let failure = world.failure();
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

fn live(world: &Rc<World>, plan: &Plan, sale: SaleId) {
    let holdback = i64::from(plan.seed.is_multiple_of(3));
    world.open_sale(plan.nodes, 8, |terms| (terms.pay_within_s, terms.holdback) = (5, holdback));

    let (weather, random) = (plan.weather, Random::new(plan.seed ^ 0x5EED));
    world.fates(move |call, _: Group| if weather == Weather::default() { Fate::Pass } else { weather.fate(&random, call) });
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for n in 0..plan.shoppers {
        tasks.push(Box::pin(shopper(Rc::clone(world), sale, plan.nodes, n)));
    }
    tasks.push(Box::pin(weather.pass(Rc::clone(world), plan.nodes)));
    if plan.reconciles {
        // A rebuild, a withdrawal and an audit lean on the reconciler.
        tasks.push(Box::pin(operator(Rc::clone(world), sale, plan.nodes)));
        tasks.push(Box::pin(auditor(Rc::clone(world), plan.nodes)));
    }
    let left = Rc::new(Cell::new(tasks.len()));
    for task in tasks {
        let left = Rc::clone(&left);
        world.executor.spawn(0, async move {
            task.await;
            left.set(left.get() - 1);
        });
    }
    world.watch();
    if let Err(why) = world.run_until(STEPS_MAX, || left.get() == 0 || world.failure().is_some()) {
        return world.found("", format!("the schedule came to no end: {why}"));
    }
    if world.failure().is_some() {
        return;
    }
    world.heal();
    let (resting, plan) = (Rc::clone(world), plan.clone());
    world.run_script(async move {
        // Long enough for what was on its way when the faults ended.
        resting.comes_to_rest(REST_US / 8).await;
        // Without a reconciler a release that was lost stays lost.
        if plan.reconciles && resting.failure().is_none() {
            sells_what_is_left(&resting, &plan, sale).await;
        }
    });
}

/// Undersold only for a while: at rest, every node sells what the ledger has left.
async fn sells_what_is_left(world: &World, plan: &Plan, sale: SaleId) {
    for node in 1..=plan.nodes {
        let mut told = String::new();
        for n in 0..PROBES {
            let row = world.ledger.sale(sale).await.unwrap().unwrap();
            if row.status != SaleStatus::Open || row.left <= row.terms.holdback {
                return;
            }
            match world.buy(node, sale, &format!("probe-{node}"), &format!("k{n}"), 1, 5_000).await {
                Some(Answer::Row(order)) if order.status == Status::Confirmed => {
                    told.clear();
                    break;
                }
                answer => told = format!("at rest {} units are left and node {node} answers {answer:?}", row.left),
            }
            world.clock.sleep_us(1_000_000).await;
        }
        if !told.is_empty() {
            return world.found("sells", told);
        }
    }
}

/// The same failure with as few kinds of faults and as few purchases as are found by leaving them out one by one.
pub fn shrink(plan: &Plan) -> Plan {
    let laws = |plan: &Plan| run(plan, false).failure.map(|failure| failure.laws);
    let first = laws(plan);
    let fails = |plan: &Plan| laws(plan) == first;
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
