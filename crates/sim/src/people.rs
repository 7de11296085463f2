//! Who acts in a schedule: shoppers with retries, cancels and payments, an operator, an auditor. They know the engine's
//! verbs and draw what they do from the seed.

use crate::World;
use sale::ports::{Clock as _, Paying, Withdrawal};
use sale::purchase::{Answer, Shown};
use sale::words::*;
use std::rc::Rc;

fn any_node(world: &World, nodes: u32) -> u32 {
    1 + world.random.below(u64::from(nodes)) as u32
}

/// One purchase of one buyer, with its retries, and what follows.
pub async fn shopper(world: Rc<World>, sale: SaleId, nodes: u32, n: u64) {
    // A dozen buyers, some of them with several keys: the limit bites.
    let (who, key) = (format!("buyer-{}", n % 12), format!("k{}", n / 12));
    world.clock.sleep_us(world.random.below(6_000_000)).await;
    let quantity = 1 + (n % 2) as u32;
    let mut row = None;
    for _ in 0..4 {
        let hangs_up = world.random.chance(10).then(|| world.random.below(200_000));
        let wait_ms = world.random.below(2) * 1_000;
        match world.buy_within(any_node(&world, nodes), sale, &who, &key, quantity, wait_ms, hangs_up).await {
            Some(Answer::Row(order)) => {
                row = Some(order);
                break;
            }
            Some(Answer::Refused(_)) if world.random.chance(70) => return,
            Some(Answer::Processing { id, ticket }) if world.random.chance(30) => {
                if world.reconciles && world.random.chance(50) {
                    world.cancel(any_node(&world, nodes), id, &who, Some(ticket)).await;
                    return;
                }
                if world.random.chance(20) {
                    // Paid before there is an order to pay.
                    let amount = 9_900 * i64::from(quantity);
                    let paying = Paying { payment: format!("pay-early-{n}").parse().unwrap(), order: id, amount };
                    drop(world.ask(any_node(&world, nodes), move |engine| async move { engine.pay(&paying).await }).await);
                }
                world.clock.sleep_us(world.random.below(15_000_000)).await;
                if let Some(Shown::Row(order)) = world.show(any_node(&world, nodes), id, &who, Some(ticket)).await {
                    row = Some(order);
                    break;
                }
            }
            Some(_) | None => world.clock.sleep_us(world.random.below(1_000_000)).await,
        }
    }
    let Some(order) = row else { return };
    let id = order.id();
    if world.random.chance(30) {
        // The same key again: the same order, whatever became of the stock meanwhile.
        world.clock.sleep_us(world.random.below(3_000_000)).await;
        world.buy(any_node(&world, nodes), sale, &who, &key, quantity, 1_000).await;
    }
    match world.random.below(4) {
        0 if world.reconciles => drop(world.cancel(any_node(&world, nodes), id, &who, None).await),
        1 | 2 => {
            world.clock.sleep_us(world.random.below(8_000_000)).await;
            let paying = Paying { payment: format!("pay-{n}").parse().unwrap(), order: id, amount: order.ask.amount() };
            for _ in 0..3 {
                let paying = paying.clone();
                let node = any_node(&world, nodes);
                if let Some(Ok(_)) = world.ask(node, move |engine| async move { engine.pay(&paying).await }).await {
                    break;
                }
            }
            world.show(any_node(&world, nodes), id, &who, None).await;
            if world.reconciles && world.random.chance(10) {
                let node = any_node(&world, nodes);
                drop(world.ask(node, move |engine| async move { engine.refund(id).await }).await);
            }
        }
        _ => drop(world.show(any_node(&world, nodes), id, &who, None).await),
    }
    if world.random.chance(20) {
        // Whatever became of it: the key still names this order.
        world.clock.sleep_us(world.random.below(5_000_000)).await;
        world.buy(any_node(&world, nodes), sale, &who, &key, quantity, 0).await;
    }
}

/// Restocks, withdraws, rebuilds, reconciles, pauses; each twice under one key now and then.
pub async fn operator(world: Rc<World>, sale: SaleId, nodes: u32) {
    for n in 0..5u64 {
        world.clock.sleep_us(world.random.below(3_000_000)).await;
        let node = any_node(&world, nodes);
        let key: MovementKey = format!("m{}", n / 2).parse().unwrap();
        match world.random.below(6) {
            0 => drop(world.ask(node, move |engine| async move { engine.restock(sale, &key, 2, "op", "more").await }).await),
            1 => {
                let it = Withdrawal { key: format!("w{}", n / 2).parse().unwrap(), units: 1, actor: "op".into(), reason: "less".into() };
                drop(world.ask(node, move |engine| async move { engine.withdraw(sale, &it).await }).await);
            }
            2 => drop(world.ask(node, move |engine| async move { engine.rebuild(sale).await }).await),
            3 => {
                // Two rebuilders at once.
                let other = Rc::clone(&world);
                let both = futures_util::future::join(
                    world.ask(1, move |engine| async move { engine.rebuild(sale).await }),
                    other.ask(nodes, move |engine| async move { engine.rebuild(sale).await }),
                );
                drop(both.await);
                world.fates.count("two rebuilders");
            }
            4 => {
                drop(world.ask(node, move |engine| async move { engine.pause(sale).await }).await);
                world.clock.sleep_us(world.random.below(500_000)).await;
                drop(world.ask(any_node(&world, nodes), move |engine| async move { engine.open(sale).await }).await);
            }
            _ => drop(world.ask(node, move |engine| async move { engine.reconcile(sale).await }).await),
        }
    }
}

/// Audits through a node now and then, as in life: gate and ledger are read at two instants while others act.
pub async fn auditor(world: Rc<World>, nodes: u32) {
    for _ in 0..6 {
        world.clock.sleep_us(world.random.below(2_000_000)).await;
        if let Some(Ok(report)) = world.ask(any_node(&world, nodes), |engine| async move { engine.audit(None).await }).await {
            world.fates.count("audit by a node");
            if let Some(failure) = world.judge(&report, "an audit by a node") {
                world.fails(failure);
            }
        }
    }
}
