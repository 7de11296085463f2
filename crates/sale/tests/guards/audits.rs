//! The audit of live stores, and the node's idea of the time.

use super::*;

use sale::books::{Law, Report, Verdict};

/// What the audit says of L6, which holds at rest only; it must find no breach.
fn at_rest(report: &Report) -> bool {
    assert_eq!(report.breaches, []);
    report.laws.contains(&(Law::L6, Verdict::Holds))
}

#[test]
fn what_is_under_way_is_not_audited_as_if_it_were_at_rest() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            confirmed(&world, &engine, sale, "ann", "k").await;
            assert!(at_rest(&engine.audit(None).await.unwrap()));
            // A message that nobody has recorded.
            buys(&engine, wish(sale, "bob", "k", 1)).await;
            assert!(!at_rest(&engine.audit(None).await.unwrap()));
            engine.record_pass(0).await.unwrap();
            assert!(at_rest(&engine.audit(None).await.unwrap()));
            // A half message: what it asks for may be held.
            let half = Half { batch: BatchId { node: 99, number: 1 }, tag: "book".into(), body: vec![1] };
            let receipt = world.queue.prepare(half).await.unwrap();
            assert!(!at_rest(&engine.audit(None).await.unwrap()));
            world.queue.settle(receipt, sale::ports::Verdict::Rollback).await;
            assert!(at_rest(&engine.audit(None).await.unwrap()));
            // An ask that nobody has decided.
            let mut bought = Box::pin(engine.buy(wish(sale, "cat", "k", 1)));
            assert!(poll_once(&mut bought).is_none());
            assert!(!at_rest(&engine.audit(None).await.unwrap()));
            engine.intake_pass(1).await;
            bought.await;
            engine.record_pass(0).await.unwrap();
            // One that arrives while the books are read.
            let other = node(&world, 2, |_| {}).await;
            let mut audit = Box::pin(engine.audit(None));
            go_to(&world, &mut audit, "gate.books");
            buys(&other, wish(sale, "dan", "k", 1)).await;
            assert!(!at_rest(&audit.await.unwrap()));
            engine.record_pass(0).await.unwrap();
            // A repair that does not come to its end.
            refuse(&world, "gate.release");
            engine.cancel(id(sale, "ann", "k"), &buyer("ann"), None).await.unwrap();
            assert!(!at_rest(&engine.audit(None).await.unwrap()));
        },
    );
}

#[test]
fn c21_a_nodes_idea_of_the_ledgers_time_never_goes_back() {
    alone(
        5,
        |_, _| {},
        |world, engine, _| async move {
            for _ in 0..50 {
                world.clock.sleep_us(7_000).await;
                let before = engine.ledger_now();
                engine.watch_pass().await.unwrap();
                assert!(engine.ledger_now() >= before);
            }
            // An answer that was long on its way is old, not the time.
            world.fates(|call, _| if call == "ledger.now" { Fate::SlowReply(1_000_000) } else { Fate::Pass });
            let before = engine.ledger_now();
            engine.watch_pass().await.unwrap();
            assert!(engine.ledger_now() >= before.after_ms(1_000));
        },
    );
}

#[test]
fn a_ledger_that_breaks_a_law_stops_its_sale() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            assert!(world.ledger.set_left_by_hand(sale, 4));
            assert!(engine.audit(None).await.unwrap().breaches.iter().any(|breach| breach.law == Law::L1));
            assert!(world.ledger.sale(sale).await.unwrap().unwrap().stopped.is_some());
            assert_eq!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Busy(Busy::Paused));
        },
    );
}

#[test]
fn c31_an_archive_waits_until_the_sale_is_at_rest() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            assert!(matches!(engine.close_sale(sale).await, Ok(Operated::Done(_))));
            // A message that nobody could read yet.
            let mut later = sale::message::encode(&batch_of(sale, fence(&world, sale).await.epoch, 1));
            later[2] = 9;
            committed(&world, 1, later).await;
            assert!(matches!(engine.archive(sale).await, Ok(Operated::NotNow(_))));
            let handle = world.queue.receive(1, 0).await.unwrap().remove(0).handle;
            world.queue.ack(vec![handle], 0).await;
            assert!(matches!(engine.archive(sale).await, Ok(Operated::Done(_))));
        },
    );
}

#[test]
fn what_another_node_restocks_while_the_books_are_read_is_no_breach() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            confirmed(&world, &engine, sale, "ann", "k").await;
            // Ledger first, gate second: a reader in between sees the one without the other.
            let mut audit = Box::pin(engine.audit(None));
            go_to(&world, &mut audit, "gate.books");
            world.ledger.raise(sale, &"m1".parse().unwrap(), 2, "op", "more").await.unwrap();
            assert!(!at_rest(&audit.await.unwrap()));
            engine.reconcile_pass().await.unwrap();
            assert!(at_rest(&engine.audit(None).await.unwrap()));
            // As many given up as put in: the allotment is what it was.
            let fence = fence(&world, sale).await;
            let mut audit = Box::pin(engine.audit(None));
            go_to(&world, &mut audit, "gate.books");
            world.ledger.raise(sale, &"m2".parse().unwrap(), 2, "op", "more").await.unwrap();
            let less = Withdrawal { key: "w1".parse().unwrap(), units: 2, actor: "op".into(), reason: "less".into() };
            world.gate().withdraw(fence, &less).await.unwrap().unwrap();
            world.ledger.withdraw(sale, fence.epoch, &less).await.unwrap();
            assert!(!at_rest(&audit.await.unwrap()));
        },
    );
}

#[test]
fn c21_a_node_whose_clock_jumped_ahead_goes_back_to_the_ledgers() {
    alone(
        5,
        |_, _| {},
        |world, _, sale| async move {
            let engine = node_ahead(&world, 7_200_000_000).await;
            // The sale ends in an hour; the node believes that it is over, until it has asked.
            assert_eq!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Refused(Refusal::Ended));
            engine.watch_pass().await.unwrap();
            assert!(matches!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Processing { .. }));
            assert!(engine.ledger_now() <= world.ledger.now().await.unwrap().after_ms(1));
            // However slow the answer is: it does not make an hour right.
            let engine = node_ahead(&world, 3_600_000_000).await;
            world.fates(|call, _| if call == "ledger.now" { Fate::SlowReply(20_000) } else { Fate::Pass });
            engine.watch_pass().await.unwrap();
            assert!(engine.ledger_now() <= world.ledger.now().await.unwrap().after_ms(1_000));
        },
    );
}

#[test]
fn what_somebody_says_that_buyers_were_told_stops_no_sale() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let ann = confirmed(&world, &engine, sale, "ann", "k").await;
            use sale::books::{Tale, Told};
            let tale = |id, told| Tale { id, buyer: buyer("ann"), quantity: 1, amount: None, told: vec![Told::Row(told)] };
            for (id, status) in
                [(ann.id(), Status::Cancelled), (id(sale, "bob", "k"), Status::Expired), (id(sale, "bob", "k"), Status::Paid)]
            {
                let report = engine.audit(Some(&[tale(id, status)])).await.unwrap();
                assert!(!report.breaches.is_empty(), "{status:?}");
                assert!(report.laws.iter().all(|(law, verdict)| *law > Law::L7 || *verdict == Verdict::Holds), "{:?}", report.laws);
                assert_eq!(world.ledger.sale(sale).await.unwrap().unwrap().stopped, None, "{status:?}");
            }
            // Nor does it keep a ledger that breaks a law from being stopped.
            assert!(world.ledger.set_left_by_hand(sale, 3));
            engine.audit(Some(&[tale(ann.id(), Status::Confirmed)])).await.unwrap();
            assert!(world.ledger.sale(sale).await.unwrap().unwrap().stopped.is_some());
        },
    );
}
