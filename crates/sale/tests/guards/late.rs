//! Late payments: bought once, or given back.

use super::*;

/// Ann's order has expired, and she pays.
async fn expired(world: &World, engine: &Engine, sale: SaleId, payment: &str) -> Paying {
    let order = confirmed(world, engine, sale, "ann", "k").await;
    world.clock.sleep_us(3_000_000).await;
    engine.watch_pass().await.unwrap();
    engine.clock_pass().await.unwrap();
    assert_eq!(row(world, order.id()).await.unwrap().status, Status::Expired);
    Paying { payment: payment.parse().unwrap(), order: order.id(), amount: 9_900 }
}

async fn pays(world: &World, engine: &Engine, paying: &Paying) -> Paid {
    going(world, engine, engine.pay(paying)).await.unwrap()
}

#[test]
fn a40_a_late_payment_buys_once_whoever_tries() {
    alone(
        1,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            let paying = expired(&world, &engine, sale, "p").await;
            // The record of what it buys is not heard for a while: unknown is no refusal.
            refuse(&world, "ledger.record");
            assert!(matches!(pays(&world, &engine, &paying).await, Paid::Late(_)));
            assert_eq!(world.ledger.late_payments(9).await.unwrap().len(), 1);
            heal(&world);
            world.clock.sleep_us(6_000_000).await;
            engine.record_pass(0).await.unwrap();
            let Paid::Bought(bought) = pays(&world, &engine, &paying).await else { panic!() };
            assert_eq!((bought.status, bought.id()), (Status::Paid, OrderId::of_late_payment(sale, &buyer("ann"), &paying.payment)));
            assert!(matches!(pays(&world, &engine, &paying).await, Paid::Bought(again) if again == bought), "once");
            assert_eq!(row(&world, paying.order).await.unwrap().status, Status::Expired);
            assert_eq!(world.ledger.sale(sale).await.unwrap().unwrap().left, 0);
        },
    );
}

#[test]
fn a40_a_late_payment_that_finds_nothing_is_given_back() {
    alone(
        1,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            let paying = expired(&world, &engine, sale, "p").await;
            let Answer::Processing { .. } = buys(&engine, wish(sale, "bob", "k", 1)).await else { panic!() };
            assert!(matches!(pays(&world, &engine, &paying).await, Paid::RefundDue(_)));
            assert!(matches!(pays(&world, &engine, &paying).await, Paid::RefundDue(_)));
            assert_eq!(world.ledger.late_payments(9).await.unwrap(), []);
        },
    );
}

#[test]
fn a40_a_late_payment_waits_while_nobody_decides_and_is_given_back_after_the_archive() {
    alone(
        3,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            let paying = expired(&world, &engine, sale, "p").await;
            world.gate().wipe();
            refuse(&world, "ledger.bump");
            let _ = engine.watch_pass().await;
            assert!(matches!(pays(&world, &engine, &paying).await, Paid::Late(_)), "the gate is being rebuilt");
            heal(&world);
            engine.watch_pass().await.unwrap();
            assert!(matches!(engine.close_sale(sale).await, Ok(Operated::Done(_))));
            world.ledger.change_sale(sale, &SaleChange::Archive).await.unwrap();
            engine.watch_pass().await.unwrap();
            assert!(matches!(pays(&world, &engine, &paying).await, Paid::RefundDue(_)));
        },
    );
}

#[test]
fn a40_a_late_payment_whose_order_the_ledger_rejects_is_given_back() {
    alone(
        1,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            let paying = expired(&world, &engine, sale, "p").await;
            assert!(world.ledger.set_left_by_hand(sale, 0));
            assert!(matches!(pays(&world, &engine, &paying).await, Paid::RefundDue(_)));
            assert_eq!(world.ledger.late_payments(9).await.unwrap(), []);
        },
    );
}

#[test]
fn a40_a_late_payment_that_was_settled_before_its_refund_has_bought() {
    alone(
        1,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            let paying = expired(&world, &engine, sale, "p").await;
            let ask = row(&world, paying.order).await.unwrap().ask;
            for change in [SaleChange::End, SaleChange::Archive] {
                world.ledger.change_sale(sale, &change).await.unwrap();
            }
            engine.watch_pass().await.unwrap();
            // What an earlier try bought is recorded in the very moment in which the payment is to be given back.
            let late = sale::contract::late_ask(sale, &ask, &paying.payment);
            let epoch = fence(&world, sale).await.epoch;
            let mut sheaf = Some(sale::ports::Sheaf { sale, epoch, source: Source::Message, asks: vec![late] });
            let ledger = Arc::clone(&world.ledger);
            world.fates(move |call, _| {
                if let Some(sheaf) = sheaf.take_if(|_| call == "ledger.refund_due") {
                    poll_once(ledger.record(vec![sheaf])).unwrap().unwrap();
                }
                Fate::Pass
            });
            assert!(matches!(pays(&world, &engine, &paying).await, Paid::Bought(order) if order.status == Status::Paid));
        },
    );
}

#[test]
fn a40_the_clock_finishes_a_late_payment_that_nobody_finished() {
    alone(
        1,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            let paying = expired(&world, &engine, sale, "p").await;
            // Its node died right after the ledger took it.
            assert!(matches!(world.ledger.pay(&paying).await, Ok(Paid::Late(_))));
            // The pass does not wait for the row; it is recorded like any other, and the payment is settled by that.
            futures_util::future::join(engine.clock_pass(), engine.intake_pass(1)).await.0.unwrap();
            engine.record_pass(0).await.unwrap();
            assert_eq!(world.ledger.late_payments(9).await.unwrap(), []);
            assert!(matches!(world.ledger.pay(&paying).await, Ok(Paid::Bought(_))));
        },
    );
}

#[test]
fn c20_what_is_paid_in_the_last_moment_keeps_its_hold() {
    alone(
        3,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            let order = confirmed(&world, &engine, sale, "ann", "k").await;
            world.clock.sleep_us(3_000_000).await;
            let (ledger, paying) = (Arc::clone(&world.ledger), Paying { payment: "p".parse().unwrap(), order: order.id(), amount: 9_900 });
            world.fates(move |call, _| {
                if call == "ledger.close" {
                    poll_once(ledger.pay(&paying)).unwrap().unwrap();
                }
                Fate::Pass
            });
            engine.clock_pass().await.unwrap();
            assert_eq!(row(&world, order.id()).await.unwrap().status, Status::Paid);
            assert_eq!(gate_left(&world, sale).await, 2);
        },
    );
}

#[test]
fn a40_a_late_payment_buys_after_the_end_of_its_sale() {
    alone(
        1,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            let paying = expired(&world, &engine, sale, "p").await;
            assert!(matches!(engine.close_sale(sale).await, Ok(Operated::Done(_))));
            assert!(matches!(pays(&world, &engine, &paying).await, Paid::Bought(order) if order.status == Status::Paid));
        },
    );
}

#[test]
fn a40_who_pays_late_is_told_when_the_wait_is_over_and_not_before() {
    alone(
        1,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            let paying = expired(&world, &engine, sale, "p").await;
            let mut paid = Box::pin(engine.pay(&paying));
            while engine.asks_in_flight() == 0 {
                assert!(poll_once(&mut paid).is_none());
            }
            engine.intake_pass(1).await;
            engine.patience_pass().await;
            assert!(poll_once(&mut paid).is_none(), "its message is on its way");
            engine.record_pass(0).await.unwrap();
            let Ok(Paid::Bought(bought)) = paid.await else { panic!() };
            assert_eq!(bought.status, Status::Paid);
            let expired = row(&world, paying.order).await.unwrap();
            assert!(bought.ask.asked_at > expired.created_at, "it was asked for when it was paid for");
        },
    );
}
