//! The cases of the protocol, by number, each on the smallest world that shows it.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

mod faults;
mod selling;
mod windows;
use sale::books::Law;
use sale::order::{Source, Status};
use sale::ports::{Clock as _, Gate as _, Half, Ledger as _, Paid, Paying, Queue as _, Verdict, Withdrawal};
use sale::purchase::{Answer, Cancelled, Engine, Operated, Shown, Stocked};
use sale::words::*;
use sim::faulty::Fate;
use sim::{World, buyer, terms};
use std::rc::Rc;
use std::sync::Arc;

/// A world with this many nodes and one open sale.
fn open_sale(nodes: u32, units: i64, edit: impl FnOnce(&mut Terms)) -> (Rc<World>, SaleId) {
    let world = World::new(None);
    let sale = world.open_sale(nodes, units, edit);
    (world, sale)
}

/// Fails the nth call of this name, counted from now, in this way.
fn fail(world: &World, name: &'static str, nth: usize, fate: Fate) {
    let mut count = 0;
    world.fates(move |call, _| {
        count += usize::from(call == name);
        if call == name && count == nth { fate } else { Fate::Pass }
    });
}

/// Fails every call of these names in this way, until told otherwise.
fn fail_all(world: &World, names: &'static [&'static str], fate: Fate) {
    world.fates(move |call, _| if names.contains(&call) { fate } else { Fate::Pass });
}

async fn row(world: &World, node: u32, sale: SaleId, who: &str, key: &str, quantity: u32) -> Box<sale::order::Order> {
    match world.insist(node, sale, who, key, quantity).await {
        Answer::Row(order) => order,
        other => panic!("{who}/{key}: {other:?}"),
    }
}

async fn operate<T: 'static, F: Future<Output = T> + 'static>(world: &World, node: u32, ask: impl FnOnce(Arc<Engine>) -> F) -> T {
    world.ask(node, ask).await.expect("the node is up")
}

fn id(sale: SaleId, who: &str, key: &str) -> OrderId {
    OrderId::of_purchase(sale, &buyer(who), &key.parse().unwrap())
}

async fn sources(world: &World, id: OrderId) -> Vec<Source> {
    world.ledger.history(id).await.unwrap().iter().map(|change| change.source).collect()
}
