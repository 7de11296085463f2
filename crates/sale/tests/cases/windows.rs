//! Windows of the designs that this one comes from, each at the same moment of the flow `queued`.

use super::*;

/// Whether one unit is there to sell, and one only: who comes next buys it, and the one after is refused.
async fn one_unit_is_left(world: &World, node: u32, sale: SaleId) {
    assert_eq!(row(world, node, sale, "next", "k", 1).await.status, Status::Confirmed);
    let after = world.insist(node, sale, "after", "k", 1).await;
    assert_eq!(after, Answer::Refused(Refusal::SoldOut { left: 0 }));
}

async fn rows_of(world: &World, sale: SaleId) -> usize {
    world.ledger.books(sale).await.unwrap().unwrap().orders.len()
}

/// The first calls of this name fail, in this way.
fn fail_times(world: &World, name: &'static str, times: u32, fate: Fate) {
    let mut calls = 0;
    world.fates(move |call, _| {
        calls += u32::from(call == name);
        if call == name && calls <= times { fate } else { Fate::Pass }
    });
}

#[test]
fn c04_a_commit_that_arrives_after_a_rollback_records_nothing_twice_and_what_nobody_committed_never_comes() {
    let (world, sale) = open_sale(2, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        w.broker.misbehave(sim::broker::Manners { disorder: true, ..Default::default() });
        // Held; the commit is on its way for long, and the hold lost with the gate before anybody recorded it.
        let mut settles = 0;
        w.fates(move |call, group| match call {
            "queue.settle" if group == 1 => {
                settles += 1;
                if settles == 1 { Fate::Slow(15_000_000) } else { Fate::Pass }
            }
            "gate.holds" => Fate::Refuse,
            _ => Fate::Pass,
        });
        let bought = w.buy(1, sale, "ann", "k", 1, 0).await;
        assert!(matches!(bought, Some(Answer::Processing { .. })), "{bought:?}");
        w.gate().wipe();
        while !w.broker.counts().contains_key("delivered after a rollback") {
            w.clock.sleep_us(100_000).await;
            assert!(w.clock.elapsed_us() < 60_000_000, "it was never both rolled back and committed");
        }
        w.fates(|_, _| Fate::Pass);
        w.clock.sleep_us(5_000_000).await;
        let ann = w.ledger.orders(&[id(sale, "ann", "k")]).await.unwrap().remove(0);
        let rejected = ann.map(|order| (order.status, order.reason));
        assert_eq!(rejected, Some((Status::Rejected, Some(sale::order::Reason::StaleEpoch))), "the epoch in which it was held is over");
        one_unit_is_left(&w, 2, sale).await;
        // A half message that nobody holds is asked for, rolled back, and never delivered.
        let before = rows_of(&w, sale).await;
        let epoch = w.ledger.sale(sale).await.unwrap().unwrap().epoch;
        let ask = Ask { asked_at: sim::DAWN, ..sale::contract::ask(sale, "zoe", 1) };
        let batch = Batch { id: BatchId { node: 99, number: 1 }, sale, epoch, limit_per_buyer: 2, asks: vec![ask] };
        let half = Half { batch: batch.id, tag: "book".into(), body: sale::message::encode(&batch) };
        w.broker.prepare(half).await.unwrap();
        w.clock.sleep_us(20_000_000).await;
        assert_eq!((rows_of(&w, sale).await, w.queue.backlog().await.unwrap().halves), (before, 0));
    });
}

#[test]
fn a36_a_cancel_that_races_its_own_hold_leaves_a_tombstone_and_the_unit() {
    let (world, sale) = open_sale(2, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        // Neither decided nor void: the hold is on its way, and nobody can ask.
        w.fates(|call, _| match call {
            "gate.hold" => Fate::Later(3_000_000),
            "gate.decision_or_void" | "queue.checks" => Fate::Drop,
            _ => Fate::Pass,
        });
        let Some(Answer::Processing { id, ticket }) = w.buy(1, sale, "ann", "k", 1, 0).await else { panic!() };
        let Some(Cancelled::Done(order)) = w.cancel(2, id, "ann", Some(ticket)).await else { panic!() };
        assert_eq!(order.status, Status::Cancelled);
        // The hold arrives, takes the unit, and finds its order dead. Nobody has repaired it yet.
        let left = async || {
            let now = w.ledger.sale(sale).await.unwrap().unwrap();
            w.gate().fact(sale::ports::Fence { sale, epoch: now.epoch, run: now.run }).await.unwrap().unwrap().left
        };
        while left().await == 1 {
            w.clock.sleep_us(1_000).await;
            assert!(w.clock.elapsed_us() < 10_000_000, "the hold never arrived");
        }
        w.fates(|_, _| Fate::Pass);
        w.clock.sleep_us(10_000_000).await;
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Cancelled);
        one_unit_is_left(&w, 2, sale).await;
    });
}

#[test]
fn a37_a_creator_that_wakes_up_after_the_others_gave_it_up_holds_nothing_by_its_old_hold() {
    let (world, sale) = open_sale(2, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        // Node 1 stands still between its half message and its hold; node 2 is asked what became of it, and voids it.
        fail(&w, "gate.hold", 1, Fate::Slow(30_000_000));
        let answer = w.buy(1, sale, "ann", "k", 1, 5_000).await;
        assert!(matches!(&answer, Some(Answer::Row(order)) if order.status == Status::Confirmed), "{answer:?}");
        // By a batch and a message of its own: what the old batch had held, no message would carry.
        assert_eq!(w.calls().iter().filter(|call| **call == "queue.prepare").count(), 2);
        assert_eq!(sources(&w, id(sale, "ann", "k")).await, [Source::Message]);
        assert_eq!(w.insist(2, sale, "after", "k", 1).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
    });
}

#[test]
fn a38_nothing_is_paid_before_its_stock_is_committed() {
    let (world, sale) = open_sale(1, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        fail_all(&w, &["ledger.record"], Fate::Refuse);
        let Some(Answer::Processing { id, .. }) = w.buy(1, sale, "ann", "k", 1, 0).await else { panic!() };
        let pays = || {
            let paying = Paying { payment: "p".parse().unwrap(), order: id, amount: 9_900 };
            operate(&w, 1, move |engine| async move { engine.pay(&paying).await })
        };
        assert_eq!(pays().await.unwrap(), Paid::NoOrder);
        assert!(w.ledger.payments(id).await.unwrap().is_empty());
        w.fates(|_, _| Fate::Pass);
        row(&w, 1, sale, "ann", "k", 1).await;
        assert!(matches!(pays().await.unwrap(), Paid::Settled(_)));
        assert_eq!(w.ledger.sale(sale).await.unwrap().unwrap().left, 0);
    });
}

#[test]
fn b1_a_node_that_dies_before_the_decision_leaves_nothing() {
    let (world, sale) = open_sale(2, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        fail(&w, "gate.hold", 1, Fate::DieBefore);
        assert_eq!(w.buy(1, sale, "ann", "k", 1, 0).await, None);
        w.clock.sleep_us(10_000_000).await;
        let backlog = w.queue.backlog().await.unwrap();
        assert_eq!((backlog.halves, backlog.committed, rows_of(&w, sale).await), (0, 0, 0), "another node has swept it up");
        one_unit_is_left(&w, 2, sale).await;
    });
}

#[test]
fn b8_what_the_ledger_refuses_gives_its_unit_back_once() {
    let (world, sale) = open_sale(1, 2, |terms| terms.limit_per_buyer = 1);
    let w = Rc::clone(&world);
    world.run(async move {
        // A gate that has forgotten ann's first hold lets the second one through; the ledger does not.
        row(&w, 1, sale, "ann", "k1", 1).await;
        let fence = sale::ports::Fence { sale, epoch: w.ledger.sale(sale).await.unwrap().unwrap().epoch, run: RunId(1) };
        w.gate().release(fence, &[id(sale, "ann", "k1").digest]).await.unwrap().unwrap();
        fail_all(&w, &["queue.ack"], Fate::Drop);
        drop(w.buy(1, sale, "ann", "k2", 1, 1_000).await);
        w.clock.sleep_us(20_000_000).await;
        w.fates(|_, _| Fate::Pass);
        let second = w.ledger.orders(&[id(sale, "ann", "k2")]).await.unwrap().remove(0).unwrap();
        assert_eq!(second.status, Status::Rejected);
        // However often its message came: the gate has the two units that it had before, one too many by the forged release.
        assert_eq!(w.gate().fact(fence).await.unwrap().unwrap().left, 2);
        operate(&w, 1, move |engine| async move { engine.rebuild(sale).await }).await.unwrap();
        one_unit_is_left(&w, 1, sale).await;
    });
}

#[test]
fn b9_a_row_and_its_unit_go_together_whatever_becomes_of_the_record() {
    for fate in [Fate::Refuse, Fate::Drop, Fate::DieBefore, Fate::LoseReply, Fate::DieAfter] {
        let (world, sale) = open_sale(1, 2, |_| {});
        let w = Rc::clone(&world);
        world.run(async move {
            let times = if matches!(fate, Fate::DieBefore | Fate::DieAfter) { 2 } else { 20 };
            fail_times(&w, "ledger.record", times, fate);
            drop(w.buy(1, sale, "ann", "k", 1, 0).await);
            let mut rows = 0;
            for _ in 0..400 {
                if !w.is_up(1) {
                    w.start(1);
                }
                w.clock.sleep_us(50_000).await;
                let left = w.ledger.sale(sale).await.unwrap().unwrap().left;
                rows = rows_of(&w, sale).await;
                assert_eq!(left, 2 - rows as i64, "{fate:?}: a row without its unit, or a unit without its row");
            }
            assert_eq!(rows, 1, "{fate:?}");
            one_unit_is_left(&w, 1, sale).await;
        });
    }
}

#[test]
fn b10_a_record_whose_outcome_is_unknown_for_long_loses_neither_the_order_nor_its_unit() {
    let (world, sale) = open_sale(1, 2, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        // More often than a broker checks back, and nobody repairs: the message alone must do it.
        let mut records = 0;
        w.fates(move |call, _| match call {
            "ledger.record" => {
                records += 1;
                if records <= 20 { Fate::Drop } else { Fate::Pass }
            }
            "gate.holds" => Fate::Refuse,
            _ => Fate::Pass,
        });
        assert!(matches!(w.buy(1, sale, "ann", "k", 1, 0).await, Some(Answer::Processing { .. })));
        w.clock.sleep_us(30_000_000).await;
        assert_eq!(sources(&w, id(sale, "ann", "k")).await, [Source::Message]);
        w.fates(|_, _| Fate::Pass);
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Confirmed);
        one_unit_is_left(&w, 1, sale).await;
    });
}

#[test]
fn b11_a_node_that_dies_between_the_deduct_and_the_commit_loses_neither_the_order_nor_its_unit() {
    let (world, sale) = open_sale(2, 2, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        let mut holds = 0;
        w.fates(move |call, group| match call {
            "gate.hold" if group == 1 => {
                holds += 1;
                if holds == 1 { Fate::DieAfter } else { Fate::Pass }
            }
            "gate.holds" => Fate::Refuse,
            _ => Fate::Pass,
        });
        assert_eq!(w.buy(1, sale, "ann", "k", 1, 0).await, None, "its node is gone");
        w.clock.sleep_us(10_000_000).await;
        // Another node was asked what became of the half message, and the gate's record answered.
        assert_eq!(sources(&w, id(sale, "ann", "k")).await, [Source::Message]);
        w.fates(|_, _| Fate::Pass);
        assert_eq!(row(&w, 2, sale, "ann", "k", 1).await.status, Status::Confirmed);
        one_unit_is_left(&w, 2, sale).await;
    });
}

#[test]
fn b12_who_is_not_told_of_the_commit_is_told_no_failure_and_finds_the_order_by_the_same_key() {
    let (world, sale) = open_sale(1, 2, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        // Recorded each time, and nobody hears of it.
        fail_times(&w, "ledger.record", 6, Fate::LoseReply);
        let told = w.buy(1, sale, "ann", "k", 1, 200).await;
        assert!(matches!(told, Some(Answer::Processing { .. } | Answer::Row(_))), "{told:?}");
        for _ in 0..8 {
            let again = w.buy(1, sale, "ann", "k", 1, 0).await;
            assert!(matches!(&again, Some(Answer::Row(order)) if order.status == Status::Confirmed), "{again:?}");
            w.clock.sleep_us(700_000).await;
        }
        assert_eq!((rows_of(&w, sale).await, w.ledger.sale(sale).await.unwrap().unwrap().left), (1, 1));
        one_unit_is_left(&w, 1, sale).await;
    });
}

#[test]
fn b13_b15_an_order_does_not_depend_on_a_number_of_checks_or_on_a_message_that_is_sent_after_the_commit() {
    let (world, sale) = open_sale(2, 2, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        // Held, and the node dies before it says so; nobody can answer twenty checks, and the broker drops the half message.
        let mut checks = 0;
        w.fates(move |call, group| match call {
            "queue.settle" if group == 1 => Fate::DieBefore,
            "gate.decision_or_void" => {
                checks += 1;
                if checks <= 20 { Fate::Drop } else { Fate::Pass }
            }
            "gate.holds" => Fate::Refuse,
            _ => Fate::Pass,
        });
        assert_eq!(w.buy(1, sale, "ann", "k", 1, 0).await, None, "its node is gone");
        while w.calls().iter().filter(|call| **call == "gate.decision_or_void").count() < 15 {
            w.clock.sleep_us(100_000).await;
        }
        w.broker.misbehave(sim::broker::Manners { drop_half: 100, ..Default::default() });
        w.clock.sleep_us(10_000_000).await;
        assert_eq!((rows_of(&w, sale).await, w.broker.counts().get("half message dropped")), (0, Some(&1)));
        w.fates(|_, _| Fate::Pass);
        let order = row(&w, 2, sale, "ann", "k", 1).await;
        assert_eq!((order.status, sources(&w, order.id()).await), (Status::Confirmed, vec![Source::Hold]));
        w.broker.behave();
        one_unit_is_left(&w, 2, sale).await;
    });
}
