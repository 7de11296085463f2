//! Look, half message, hold: a purchase that others get in the way of.

use super::*;

#[test]
fn c25_only_what_fits_together_goes_into_a_half_message() {
    alone(
        1,
        |_, _| {},
        |_, engine, sale| async move {
            let both = ["ann", "bob"].map(|who| Box::pin(engine.buy(wish(sale, who, "k", 1))));
            let told = futures_util::future::join(futures_util::future::join_all(both), engine.intake_pass(1)).await.0;
            assert!(matches!(told[0], Answer::Processing { .. }) && told[1] == Answer::Refused(Refusal::SoldOut { left: 0 }), "{told:?}");
            assert_eq!((engine.meters().batches.count(), engine.meters().batches_refused.get()), (1, 0));
        },
    );
}

#[test]
fn c02_void_is_no_refusal_and_nobody_tries_for_ever() {
    alone(
        3,
        |_, _| {},
        |world, engine, sale| async move {
            // No hold ever arrives: each batch is voided, rolled back, and made anew.
            world.fates(|call, _| if call == "gate.hold" { Fate::Drop } else { Fate::Pass });
            assert_eq!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Busy(Busy::Overloaded));
            let backlog = world.queue.backlog().await.unwrap();
            assert_eq!((engine.meters().batches.count(), backlog.halves, backlog.committed), (16, 0, 0));
            // One is late: what it carried goes again, and when it comes it holds nothing.
            let mut holds = 0;
            world.fates(move |call, _| {
                holds += usize::from(call == "gate.hold");
                if call == "gate.hold" && holds == 1 { Fate::Drop } else { Fate::Pass }
            });
            assert!(matches!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Processing { .. }));
            assert_eq!(engine.meters().batches.count(), 18);
            let late = Batch { id: BatchId { node: 1_001, number: 17 }, ..batch_of(sale, fence(&world, sale).await.epoch, 17) };
            let said = world.gate().hold(fence(&world, sale).await, &late).await.unwrap().unwrap().0;
            assert_eq!(said, sale::ports::Held::Void);
        },
    );
}

#[test]
fn c08_a_decider_that_is_gone_cannot_say_what_became_of_a_hold() {
    alone(
        3,
        |_, _| {},
        |world, engine, sale| async move {
            // The hold's reply is lost, and the gate is wiped before it is asked.
            let gate = world.gate();
            world.fates(move |call, _| match call {
                "gate.hold" => Fate::LoseReply,
                "gate.decision_or_void" => {
                    gate.wipe();
                    Fate::Pass
                }
                _ => Fate::Pass,
            });
            assert!(matches!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Processing { .. }));
            assert_eq!(world.queue.backlog().await.unwrap().halves, 1, "nothing was said to the broker");
        },
    );
}

#[test]
fn c03_a_batch_that_the_gate_refuses_is_rolled_back() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            // Between look and hold somebody else takes the last unit.
            let (gate, fence) = (world.gate(), fence(&world, sale).await);
            let other = batch_of(sale, fence.epoch, 1);
            world.fates(move |call, _| {
                if call == "gate.hold" {
                    poll_once(gate.hold(fence, &other)).unwrap().unwrap().unwrap();
                }
                Fate::Pass
            });
            assert_eq!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
            let backlog = world.queue.backlog().await.unwrap();
            assert_eq!((engine.meters().batches_refused.get(), backlog.halves, backlog.committed), (1, 0, 0));
        },
    );
}

#[test]
fn c18_a_released_purchase_is_found_by_its_mark() {
    alone(
        3,
        |_, _| {},
        |world, engine, sale| async move {
            let other = node(&world, 2, |_| {}).await;
            let order = confirmed(&world, &engine, sale, "ann", "k").await;
            engine.cancel(order.id(), &buyer("ann"), None).await.unwrap();
            // The other node has not heard of this id.
            let told = buys(&other, wish(sale, "ann", "k", 1)).await;
            assert!(matches!(told, Answer::Row(ref row) if row.status == Status::Cancelled), "{told:?}");
            assert_eq!(other.meters().batches.count(), 0);
        },
    );
}

#[test]
fn c26_limit_reached_names_an_order_that_was_seen_alive() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            // Held and not recorded: it is recorded first.
            assert!(matches!(buys(&engine, wish(sale, "ann", "k", 2)).await, Answer::Processing { .. }));
            let first = id(sale, "ann", "k");
            assert_eq!(buys(&engine, wish(sale, "ann", "k2", 1)).await, Answer::Refused(Refusal::LimitReached(first)));
            assert_eq!(row(&world, first).await.unwrap().status, Status::Confirmed);
            assert_eq!(world.ledger.history(first).await.unwrap()[0].source, Source::Hold);
            // A ledger that does not answer refuses nobody.
            refuse(&world, "ledger.orders");
            assert_eq!(buys(&engine, wish(sale, "ann", "k3", 1)).await, Answer::Busy(Busy::Overloaded));
            // Dead, and its release was lost with another node: it is released here.
            let other = node(&world, 2, |_| {}).await;
            refuse(&world, "gate.release");
            assert!(matches!(other.cancel(first, &buyer("ann"), None).await, Ok(Cancelled::Done(_))));
            heal(&world);
            assert!(matches!(buys(&engine, wish(sale, "ann", "k4", 1)).await, Answer::Processing { .. }));
            assert_eq!(gate_left(&world, sale).await, 8);
            // One is alive and one is dead: there is room.
            confirmed(&world, &engine, sale, "ann", "k5").await;
            refuse(&world, "gate.release");
            assert!(matches!(other.cancel(id(sale, "ann", "k4"), &buyer("ann"), None).await, Ok(Cancelled::Done(_))));
            heal(&world);
            assert!(matches!(buys(&engine, wish(sale, "ann", "k6", 1)).await, Answer::Processing { .. }));
        },
    );
}

#[test]
fn c08_a_node_that_hears_stale_stops_asking() {
    alone(
        3,
        |_, _| {},
        |world, engine, sale| async move {
            world.gate().wipe();
            assert_eq!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Busy(Busy::Recovering));
            assert!(engine.sale(sale).unwrap().recovering);
            let calls = world.calls().len();
            assert_eq!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Busy(Busy::Recovering));
            assert_eq!(world.calls()[calls..].iter().filter(|call| call.starts_with("gate.")).count(), 0);
        },
    );
}
