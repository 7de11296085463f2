//! The intake: what is on its way is limited, grouped and drained.

use super::*;

#[test]
fn c52_what_is_on_its_way_is_limited() {
    alone(
        9,
        |settings, _| settings.asks_max = 2,
        |_, engine, sale| async move {
            let mut first = Box::pin(engine.buy(wish(sale, "a", "k", 1)));
            let mut second = Box::pin(engine.buy(wish(sale, "b", "k", 1)));
            assert!(poll_once(&mut first).is_none() && poll_once(&mut second).is_none());
            assert_eq!(engine.asks_in_flight(), 2);
            assert_eq!(poll_once(engine.buy(wish(sale, "c", "k", 1))), Some(Answer::Busy(Busy::Overloaded)));
            engine.intake_pass(1).await;
            assert!(matches!(first.await, Answer::Processing { .. }));
            assert!(matches!(second.await, Answer::Processing { .. }));
            assert_eq!(engine.asks_in_flight(), 0);
            assert!(matches!(buys(&engine, wish(sale, "c", "k", 1)).await, Answer::Processing { .. }), "there is room again");
        },
    );
}

#[test]
fn c52_a_backlog_above_its_limit_puts_buyers_off_until_it_is_recorded() {
    alone(
        9,
        |settings, _| settings.backlog_max = 1,
        |_, engine, sale| async move {
            for who in ["a", "b"] {
                assert!(matches!(buys(&engine, wish(sale, who, "k", 1)).await, Answer::Processing { .. }));
            }
            engine.watch_pass().await.unwrap();
            assert_eq!(poll_once(engine.buy(wish(sale, "c", "k", 1))), Some(Answer::Busy(Busy::Overloaded)));
            engine.record_pass(0).await.unwrap();
            engine.watch_pass().await.unwrap();
            assert!(matches!(buys(&engine, wish(sale, "c", "k", 1)).await, Answer::Processing { .. }));
        },
    );
}

#[test]
fn b23_who_hangs_up_while_waiting_buys_nothing_and_who_hangs_up_later_finds_the_order() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            let mut first = Box::pin(engine.buy(wish(sale, "ann", "k", 1)));
            assert!(poll_once(&mut first).is_none());
            slow_once(&world, "gate.look");
            let crowd = async {
                // Behind the first, whose batch is on its way: one of two tries of bob hangs up, and the only one of cat.
                world.clock.sleep_us(100_000).await;
                let (mut bob, again, mut cat) = (
                    Box::pin(engine.buy(wish(sale, "bob", "k", 1))),
                    engine.buy(wish(sale, "bob", "k", 1)),
                    Box::pin(engine.buy(wish(sale, "cat", "k", 1))),
                );
                assert!(poll_once(&mut bob).is_none() && poll_once(&mut cat).is_none());
                drop((bob, cat));
                assert_eq!(engine.asks_in_flight(), 3, "they are on their way until the next batch is formed");
                again.await
            };
            // Ann hangs up when her purchase is on its way: it goes its way.
            let hangs_up = async {
                world.clock.sleep_us(100_000).await;
                drop(first);
            };
            let ((), bob, ()) = futures_util::future::join3(engine.intake_pass(1), crowd, hangs_up).await;
            assert!(matches!(bob, Answer::Processing { .. }));
            engine.record_pass(0).await.unwrap();
            assert_eq!(row(&world, id(sale, "ann", "k")).await.unwrap().status, Status::Confirmed);
            assert_eq!(row(&world, id(sale, "bob", "k")).await.unwrap().status, Status::Confirmed);
            assert_eq!(row(&world, id(sale, "cat", "k")).await, None);
            assert_eq!((world.ledger.sale(sale).await.unwrap().unwrap().left, engine.asks_in_flight()), (7, 0));
        },
    );
}

#[test]
fn a_drain_takes_nothing_new_and_waits_for_what_is_on_its_way() {
    alone(
        9,
        |_, _| {},
        |_, engine, sale| async move {
            let mut bought = Box::pin(engine.buy(wish(sale, "a", "k", 1)));
            assert!(poll_once(&mut bought).is_none());
            let mut drain = Box::pin(engine.drain());
            assert!(poll_once(&mut drain).is_none(), "one is on its way");
            assert_eq!(poll_once(engine.buy(wish(sale, "b", "k", 1))), Some(Answer::Busy(Busy::Overloaded)));
            engine.intake_pass(1).await;
            drain.await;
            assert!(matches!(poll_once(bought), Some(Answer::Processing { .. })), "it was answered before the drain was over");
        },
    );
}

#[test]
fn a_batch_has_its_limit_and_a_purchase_stands_in_it_once() {
    alone(
        9,
        |settings, _| settings.batch_max = 2,
        |world, engine, sale| async move {
            let asks = ["a", "b", "c", "d", "e"].map(|who| Box::pin(engine.buy(wish(sale, who, "k", 1))));
            let all = futures_util::future::join(futures_util::future::join_all(asks), engine.intake_pass(1)).await.0;
            assert!(all.iter().all(|answer| matches!(answer, Answer::Processing { .. })), "{all:?}");
            assert_eq!((engine.meters().batches.count(), engine.meters().batches.sum()), (3, 5));
            let twins = [(); 2].map(|()| Box::pin(engine.buy(wish(sale, "twin", "k", 1))));
            let looks = || world.calls().iter().filter(|call| **call == "gate.look").count();
            let before = looks();
            let both = going(&world, &engine, futures_util::future::join_all(twins)).await;
            assert_eq!(looks() - before, 1, "one look for both");
            assert!(both.iter().all(|answer| matches!(answer, Answer::Processing { .. } | Answer::Row(_))), "{both:?}");
            assert_eq!((engine.meters().batches.count(), engine.meters().batches.sum()), (4, 6), "the second shares the first one's hold");
            // The same key with other content at the same moment does not share it.
            let unlike = [1, 2].map(|quantity| Box::pin(engine.buy(wish(sale, "unlike", "k", quantity))));
            refuse(&world, "ledger.record");
            let both = going(&world, &engine, futures_util::future::join_all(unlike)).await;
            heal(&world);
            world.clock.sleep_us(1_000_000).await;
            engine.record_pass(0).await.unwrap();
            assert!(matches!(both[0], Answer::Processing { .. } | Answer::Row(_)), "{both:?}");
            assert_eq!(both[1], Answer::Refused(Refusal::Mismatch));
            engine.record_pass(0).await.unwrap();
            assert_eq!(world.queue.backlog().await.unwrap().parked, 0);
            assert_eq!(world.ledger.sale(sale).await.unwrap().unwrap().left, 2);
        },
    );
}

#[test]
fn an_intake_that_stops_midway_answers_processing() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            let mut bought = Box::pin(engine.buy(wish(sale, "ann", "k", 1)));
            assert!(poll_once(&mut bought).is_none());
            let mut pass = Box::pin(engine.intake_pass(1));
            // The half message is stored, and nobody knows of a hold.
            go_to(&world, &mut pass, "queue.prepare");
            drop(pass);
            assert!(matches!(bought.await, Answer::Processing { .. }), "unknown is not no");
        },
    );
}

#[test]
fn twins_share_a_refusal_too() {
    alone(
        1,
        |settings, _| settings.fact_ms = 100,
        |world, engine, sale| async move {
            confirmed(&world, &engine, sale, "ann", "k").await;
            // The fact has lapsed, so both go into the lane.
            world.clock.sleep_us(1_000_000).await;
            let twins = [(); 2].map(|()| Box::pin(engine.buy(wish(sale, "bob", "k", 1))));
            let both = futures_util::future::join(futures_util::future::join_all(twins), engine.intake_pass(1)).await.0;
            assert_eq!(both, [(); 2].map(|()| Answer::Refused(Refusal::SoldOut { left: 0 })));
        },
    );
}

#[test]
fn a_lane_gathers_after_a_crowd_and_only_then() {
    for (gather_us, gather_from, waits) in [(500, 2, true), (500, 3, false), (0, 2, false)] {
        alone(
            9,
            move |settings, _| (settings.gather_us, settings.gather_from) = (gather_us, gather_from),
            move |world, engine, sale| async move {
                let crowd = ["a", "b"].map(|who| Box::pin(engine.buy(wish(sale, who, "k", 1))));
                let [mut a, mut b] = crowd;
                assert!(poll_once(&mut a).is_none() && poll_once(&mut b).is_none());
                // While the two are on their way a third asks, and so finds a crowd before it.
                slow_once(&world, "gate.hold");
                let third = async {
                    world.clock.sleep_us(1_000).await;
                    engine.buy(wish(sale, "c", "k", 1)).await
                };
                let before = world.clock.elapsed_us();
                let ((), c) = futures_util::future::join(engine.intake_pass(1), third).await;
                assert!(matches!(c, Answer::Processing { .. }));
                let took_us = world.clock.elapsed_us() - before - 1_000_000;
                assert_eq!(took_us >= 500, waits, "{gather_us} µs from {gather_from}: {took_us}");
            },
        );
    }
}

#[test]
fn a_backlog_at_its_limit_puts_nobody_off() {
    alone(
        9,
        |settings, _| settings.backlog_max = 1,
        |_, engine, sale| async move {
            assert!(matches!(buys(&engine, wish(sale, "a", "k", 1)).await, Answer::Processing { .. }));
            engine.watch_pass().await.unwrap();
            assert!(matches!(buys(&engine, wish(sale, "b", "k", 1)).await, Answer::Processing { .. }));
        },
    );
}
