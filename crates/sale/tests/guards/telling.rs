//! What a node tells of itself: its sales, its faults, its counts.

use super::*;

#[test]
fn a_node_tells_its_sales_and_its_last_fault_once() {
    alone(
        3,
        |_, _| {},
        |world, engine, sale| async move {
            assert_eq!(engine.sales().iter().map(|view| view.sale.terms.id).collect::<Vec<_>>(), [sale]);
            assert_eq!((engine.take_fault(), engine.meters().faults.get()), (None, 0));
            refuse(&world, "queue.prepare");
            assert_eq!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Busy(Busy::Overloaded));
            assert!(engine.take_fault().is_some_and(|what| what.contains("queue.prepare")));
            assert_eq!((engine.take_fault(), engine.meters().faults.get()), (None, 1));
        },
    );
}

#[test]
fn what_is_recorded_and_repaired_is_counted() {
    alone(
        9,
        |_, terms| terms.limit_per_buyer = 2,
        |world, engine, sale| async move {
            for who in ["ann", "bob", "cat"] {
                assert!(matches!(buys(&engine, wish(sale, who, "k", 1)).await, Answer::Processing { .. }));
                world.clock.sleep_us(10_000).await;
            }
            engine.record_pass(0).await.unwrap();
            let meters = engine.meters();
            assert_eq!((meters.records.count(), meters.records.sum(), meters.rejected.get()), (1, 3, 0));
            let mut lags = Vec::new();
            for who in ["ann", "bob", "cat"] {
                let order = row(&world, id(sale, who, "k")).await.unwrap();
                lags.push(order.created_at.since_ms(order.ask.asked_at));
            }
            assert!(lags[0] > lags[1] && lags[1] >= 10, "{lags:?}");
            assert_eq!(meters.lag_ms.get(), lags.iter().sum::<i64>().cast_unsigned());
            // Held, and the message lost: the reconciler's.
            refuse(&world, "queue.settle");
            for who in ["dan", "eve"] {
                buys(&engine, wish(sale, who, "k", 1)).await;
            }
            heal(&world);
            world.clock.sleep_us(1_500_000).await;
            engine.watch_pass().await.unwrap();
            let found = engine.reconcile_pass().await.unwrap();
            assert_eq!((found.recorded, meters.reconciled_recorded.get()), (2, 2));
            // Dead, and the release lost: another node's walk finds them.
            refuse(&world, "gate.release");
            for who in ["dan", "eve"] {
                engine.cancel(id(sale, who, "k"), &buyer(who), None).await.unwrap();
            }
            heal(&world);
            let other = node(&world, 2, |_| {}).await;
            let found = other.reconcile(sale).await.unwrap().unwrap();
            assert_eq!((found.released, other.meters().reconciled_released.get()), (2, 2));
        },
    );
}

#[test]
fn a_rejected_row_is_counted_as_one() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            // Another epoch's message is refused row by row.
            committed(&world, 5, sale::message::encode(&batch_of(sale, Epoch(0), 5))).await;
            engine.record_pass(0).await.unwrap();
            assert_eq!((engine.meters().records.sum(), engine.meters().rejected.get()), (1, 1));
        },
    );
}

#[test]
fn opening_an_open_sale_changes_nothing() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            let before = world.ledger.sale(sale).await.unwrap().unwrap();
            assert!(matches!(engine.open(sale).await, Ok(Operated::Done(_))));
            assert_eq!(world.ledger.sale(sale).await.unwrap().unwrap(), before, "who decides is who decided");
        },
    );
}

#[test]
fn a_node_that_writes_alone_reads_no_page_again() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            confirmed(&world, &engine, sale, "ann", "k").await;
            engine.watch_pass().await.unwrap();
            world.ledger.promise_exclusive();
            let pages = || world.calls().iter().filter(|call| **call == "ledger.page").count();
            let before = pages();
            engine.watch_pass().await.unwrap();
            assert_eq!(pages(), before);
        },
    );
}

#[test]
fn a_payments_return_is_noted_of_its_own_order_only() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            let (ann, bob) = (confirmed(&world, &engine, sale, "ann", "k").await, confirmed(&world, &engine, sale, "bob", "k").await);
            assert!(matches!(engine.cancel(ann.id(), &buyer("ann"), None).await, Ok(Cancelled::Done(_))));
            let paying = Paying { payment: "p1".parse().unwrap(), order: ann.id(), amount: 9_900 };
            assert!(matches!(engine.pay(&paying).await.unwrap(), Paid::RefundDue(_)));
            assert_eq!(engine.refunded(bob.id(), &paying.payment).await.unwrap(), None, "not that order's");
            let noted = engine.refunded(ann.id(), &paying.payment).await.unwrap().expect("it is known");
            assert_eq!(noted.state, sale::order::PaymentState::Refunded);
            assert!(world.ledger.payments(bob.id()).await.unwrap().is_empty());
        },
    );
}

#[test]
fn a_closing_waits_for_nobody_who_is_not_there_and_a_rebuild_for_no_half_message() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            let before = world.clock.elapsed_us();
            let half = Half { batch: BatchId { node: 9, number: 9 }, tag: "book".into(), body: vec![1] };
            world.queue.prepare(half).await.unwrap();
            assert!(matches!(engine.rebuild(sale).await, Ok(Operated::Done(_))));
            assert_eq!(world.clock.elapsed_us(), before, "a half message's node may be dead");
            engine.check_back_pass(3_000).await.unwrap();
            let before = world.clock.elapsed_us();
            assert!(matches!(engine.close_sale(sale).await, Ok(Operated::Done(_))));
            assert_eq!(world.clock.elapsed_us(), before, "there is nothing to wait for");
        },
    );
}
