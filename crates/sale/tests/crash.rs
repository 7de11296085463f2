//! Exhaustive: a purchase's whole life, with every single call of a port failing once, in every way.
//!
//! The list of calls is not typed in: a first run without faults writes it down. Each following run lets one of them be
//! refused, lost, done without its reply being heard, or be the last thing that its process did; then everything heals,
//! comes to rest, and is audited with what the buyers were told.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

use sale::order::Status;
use sale::ports::{Clock as _, Paid, Paying, Withdrawal};
use sale::purchase::{Answer, Cancelled, Operated, Stocked};
use sale::words::*;
use sim::faulty::Fate;
use sim::{World, terms};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const NODE: u32 = 1;

/// Does one thing until it is answered: a node that died is started again, as its supervisor would.
macro_rules! until_answered {
    ($world:ident, $ask:expr, $answer:pat $(if $guard:expr)? $(=> $value:expr)?) => {
        loop {
            if !$world.is_up(NODE) {
                $world.start(NODE);
            }
            match $ask.await {
                $answer $(if $guard)? => break $($value)?,
                _ => $world.clock.sleep_us(200_000).await,
            }
        }
    };
}

async fn buys(world: &World, sale: SaleId, who: &str, key: &str, quantity: u32) -> Box<sale::order::Order> {
    until_answered!(world, world.buy(NODE, sale, who, key, quantity, 2_000), Some(Answer::Row(order)) => order)
}

async fn pays(world: &World, order: OrderId, payment: &str) -> Paid {
    let paying = Paying { payment: payment.parse().unwrap(), order, amount: 9_900 };
    until_answered!(world, {
        let paying = paying.clone();
        world.ask(NODE, move |engine| async move { engine.pay(&paying).await })
    }, Some(Ok(paid)) if !matches!(paid, Paid::Late(_)) => paid)
}

/// The life: every verb of the protocol once, some of them side by side.
async fn life(world: Rc<World>) {
    let mut terms = terms("s1");
    terms.holdback = 1;
    terms.pay_within_s = 4;
    let sale = terms.id;
    until_answered!(
        world,
        {
            let terms = terms.clone();
            world.ask(NODE, move |engine| async move { engine.create(&terms, 6, "op").await })
        },
        Some(Ok(Ok(_)))
    );
    until_answered!(world, world.ask(NODE, move |engine| async move { engine.open(sale).await }), Some(Ok(Operated::Done(_))));
    let ann = buys(&world, sale, "ann", "k1", 1).await;
    assert!(matches!(pays(&world, ann.id(), "p-ann").await, Paid::Settled(_)));
    let bob = buys(&world, sale, "bob", "k1", 2).await;
    until_answered!(world, world.cancel(NODE, bob.id(), "bob", None), Some(Cancelled::Done(_)));
    let cat = buys(&world, sale, "cat", "k1", 1).await;
    // Two of one batch, and a third that does not fit its limit.
    let (dan, eve, fay) = (Rc::clone(&world), Rc::clone(&world), Rc::clone(&world));
    futures_util::future::join3(
        async move { drop(buys(&dan, sale, "dan", "k1", 1).await) },
        async move { drop(buys(&eve, sale, "eve", "k1", 1).await) },
        async move { until_answered!(fay, fay.buy(NODE, sale, "ann", "k2", 2, 2_000), Some(Answer::Refused(refusal)) => { let _: Refusal = refusal; }) },
    )
    .await;
    let (key, more) = ("r1".parse::<MovementKey>().unwrap(), 2);
    until_answered!(
        world,
        {
            let key = key.clone();
            world.ask(NODE, move |engine| async move { engine.restock(sale, &key, more, "op", "found a box").await })
        },
        Some(Ok(Stocked::Done(_)))
    );
    let withdrawal = Withdrawal { key: "w1".parse().unwrap(), units: 1, actor: "op".into(), reason: "a broken one".into() };
    until_answered!(
        world,
        {
            let it = withdrawal.clone();
            world.ask(NODE, move |engine| async move { engine.withdraw(sale, &it).await })
        },
        Some(Ok(Stocked::Done(_)))
    );
    // Cat pays too late and buys again.
    until_answered!(world, world.show(NODE, cat.id(), "cat", None), Some(sale::purchase::Shown::Row(order)) if order.status == Status::Expired);
    let late = pays(&world, cat.id(), "p-cat").await;
    assert!(matches!(late, Paid::Bought(_)), "{late:?}");
    until_answered!(
        world,
        {
            let id = ann.id();
            world.ask(NODE, move |engine| async move { engine.refund(id).await })
        },
        Some(Ok(sale::ports::Refunding::Refunded(_)))
    );
    until_answered!(world, world.ask(NODE, move |engine| async move { engine.close_sale(sale).await }), Some(Ok(Operated::Done(_))));
}

fn live(embedded: bool, at: Option<(usize, Fate)>) -> Vec<&'static str> {
    let world = World::with(None, |world| world.embedded = embedded);
    let mut count = 0;
    world.fates(move |_, _| {
        count += 1;
        match at {
            Some((point, fate)) if count - 1 == point => fate,
            _ => Fate::Pass,
        }
    });
    world.start(NODE);
    let script = Rc::clone(&world);
    world.run_script(life(script));
    let calls = world.calls();
    world.rest();
    world.assert_lawful(true);
    calls
}

fn every_call_fails_once(embedded: bool) {
    let calls = live(embedded, None);
    let fates = [Fate::Refuse, Fate::Drop, Fate::LoseReply, Fate::DieBefore, Fate::DieAfter];
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(call), fate) = (calls.get(at / fates.len()), fates[at % fates.len()]) else { break };
                    if std::panic::catch_unwind(|| live(embedded, Some((at / fates.len(), fate)))).is_err() {
                        failed.lock().unwrap().push(format!("{fate:?} at call {} ({call})", at / fates.len()));
                    }
                }
            });
        }
    });
    let failed = failed.lock().unwrap();
    assert!(failed.is_empty(), "{} of {} runs broke a law: {:?}", failed.len(), calls.len() * fates.len(), &failed[..failed.len().min(20)]);
    println!("{} calls, {} runs, every law held", calls.len(), calls.len() * fates.len());
}

#[test]
fn c01_c02_c11_every_call_fails_once_and_the_gate_survives() {
    every_call_fails_once(false);
}

#[test]
fn c08_every_call_fails_once_and_the_gate_dies_with_its_node() {
    every_call_fails_once(true);
}
