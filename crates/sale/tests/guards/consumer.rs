//! The consumer: what is acknowledged, parked, tried singly or left for a newer node.

use super::*;

#[test]
fn c36_a_message_of_a_later_version_waits_for_a_newer_node() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            let now = world.ledger.sale(sale).await.unwrap().unwrap().epoch;
            let mut later = sale::message::encode(&batch_of(sale, now, 1));
            later[2] = 9;
            committed(&world, 1, later).await;
            for _ in 0..3 {
                engine.record_pass(0).await.unwrap();
                let backlog = world.queue.backlog().await.unwrap();
                assert_eq!((backlog.committed, backlog.parked), (1, 0), "it is neither parked nor acknowledged");
                world.clock.sleep_us(6_000_000).await;
            }
        },
    );
}

#[test]
fn c16_a_message_that_the_ledger_cannot_take_is_parked_and_holds_up_nobody() {
    alone(
        9,
        |settings, _| settings.deliveries_max = 2,
        |world, engine, sale| async move {
            let now = world.ledger.sale(sale).await.unwrap().unwrap().epoch;
            let put = async |number| committed(&world, number, sale::message::encode(&batch_of(sale, now, number))).await;
            let state = async || {
                let backlog = world.queue.backlog().await.unwrap();
                let left = world.ledger.sale(sale).await.unwrap().unwrap().left;
                (backlog.committed, backlog.parked, left)
            };
            put(1).await;
            put(2).await;
            // The ledger is down: both come again together, and however often, nobody is parked.
            refuse(&world, "ledger.record");
            for _ in 0..5 {
                engine.record_pass(0).await.unwrap();
                world.clock.sleep_us(1_000_000).await;
            }
            assert_eq!(state().await, (2, 0, 9));
            // It takes neither both together nor the first; the second goes. The next time a third goes, and the first is parked.
            for after in [(1, 0, 8), (0, 1, 7)] {
                let mut records = 0;
                world.fates(move |call, _| {
                    records += usize::from(call == "ledger.record");
                    if call == "ledger.record" && records <= 2 { Fate::Refuse } else { Fate::Pass }
                });
                engine.record_pass(0).await.unwrap();
                assert_eq!(state().await, after);
                if after.0 == 1 {
                    put(3).await;
                    world.clock.sleep_us(1_000_000).await;
                }
            }
            let parked = world.queue.parked(0, 9).await.unwrap();
            assert!(parked[0].reason.contains("not recorded while its neighbours were"), "{}", parked[0].reason);
            // Replayed, it is recorded: nothing was lost.
            assert!(world.queue.replay(parked[0].id).await.unwrap());
            heal(&world);
            engine.record_pass(0).await.unwrap();
            assert_eq!(state().await, (0, 0, 6));
        },
    );
}

#[test]
fn c16_poison_in_the_middle_of_a_pass_is_parked_in_that_pass() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            let now = world.ledger.sale(sale).await.unwrap().unwrap().epoch;
            committed(&world, 1, sale::message::encode(&batch_of(sale, now, 1))).await;
            committed(&world, 2, b"poison".to_vec()).await;
            committed(&world, 3, sale::message::encode(&batch_of(sale, now, 3))).await;
            engine.record_pass(0).await.unwrap();
            let backlog = world.queue.backlog().await.unwrap();
            assert_eq!((backlog.committed, backlog.parked, world.ledger.sale(sale).await.unwrap().unwrap().left), (0, 1, 7));
        },
    );
}

#[test]
fn what_a_stopped_sale_cannot_record_is_parked_with_its_reason() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            let now = world.ledger.sale(sale).await.unwrap().unwrap().epoch;
            let first = batch_of(sale, now, 1);
            committed(&world, 1, sale::message::encode(&first)).await;
            engine.record_pass(0).await.unwrap();
            assert!(world.ledger.delete_row_by_hand(OrderId { sale, digest: first.asks[0].digest }));
            committed(&world, 1, sale::message::encode(&first)).await;
            engine.record_pass(0).await.unwrap();
            committed(&world, 2, sale::message::encode(&batch_of(sale, now, 2))).await;
            engine.record_pass(0).await.unwrap();
            let reasons: Vec<_> = world.queue.parked(0, 9).await.unwrap().into_iter().map(|parked| parked.reason).collect();
            assert_eq!(reasons.len(), 2, "{reasons:?}");
            assert!(reasons[0].contains("deleted by hand") && reasons[1].contains("is stopped"), "{reasons:?}");
        },
    );
}

#[test]
fn c11_an_acknowledgement_names_what_the_ledger_had_recorded() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            // The ledger does not answer: nothing is acknowledged.
            buys(&engine, wish(sale, "ann", "k", 1)).await;
            refuse(&world, "ledger.record");
            engine.record_pass(0).await.unwrap();
            assert!(!world.calls().contains(&"queue.ack"));
            assert_eq!(world.queue.backlog().await.unwrap().committed, 1);
            heal(&world);
            world.clock.sleep_us(1_000_000).await;
            engine.record_pass(0).await.unwrap();
            assert_eq!(world.queue.witness().await.unwrap(), Some(world.ledger.seq().await.unwrap()));
            confirmed(&world, &engine, sale, "bob", "k").await;
            assert_eq!((world.ledger.seq().await.unwrap(), world.queue.witness().await.unwrap()), (2, Some(2)));
        },
    );
}

#[test]
fn a_record_has_its_limit() {
    alone(
        9,
        |settings, _| (settings.merge_max, settings.batch_max) = (2, 2),
        |world, engine, sale| async move {
            let now = world.ledger.sale(sale).await.unwrap().unwrap().epoch;
            for number in 1..=5 {
                committed(&world, number, sale::message::encode(&batch_of(sale, now, number))).await;
            }
            engine.record_pass(0).await.unwrap();
            assert_eq!((engine.meters().records.count(), engine.meters().records.sum()), (3, 5));
        },
    );
}

#[test]
fn c16_a_batch_above_its_limit_is_poison() {
    let asks = sale::contract::buyers_of("s1".parse().unwrap(), BATCH_MAX + 1, 1);
    let batch = Batch { asks, ..batch_of("s1".parse().unwrap(), Epoch(1), 1) };
    assert!(matches!(sale::message::decode(&sale::message::encode(&batch)), sale::message::Decoded::Poison(_)));
}

#[test]
fn what_the_ledger_refuses_once_comes_again_together() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            for who in ["ann", "bob"] {
                buys(&engine, wish(sale, who, "k", 1)).await;
            }
            refuse(&world, "ledger.record");
            let records = || world.calls().iter().filter(|call| **call == "ledger.record").count();
            engine.record_pass(0).await.unwrap();
            assert_eq!(records(), 1, "not each alone at the first failure");
            heal(&world);
            world.clock.sleep_us(2_000_000).await;
            engine.record_pass(0).await.unwrap();
            assert_eq!((records(), world.ledger.sale(sale).await.unwrap().unwrap().left), (2, 3));
        },
    );
}
