//! Cases of what buyers, operators and the clock do, in whatever order they come.

use super::*;

#[test]
fn c17_c19_a_purchase_cancelled_before_its_record_stays_cancelled() {
    let (world, sale) = open_sale(1, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        fail_all(&w, &["ledger.record", "gate.holds"], Fate::Refuse);
        let Some(Answer::Processing { id, .. }) = w.buy(1, sale, "ann", "k", 1, 0).await else { panic!() };
        // The hold names its owner: no ticket is needed, and nobody else may.
        assert_eq!(w.cancel(1, id, "bob", None).await, Some(Cancelled::Unknown));
        let Some(Cancelled::Done(order)) = w.cancel(1, id, "ann", None).await else { panic!() };
        assert_eq!(order.status, Status::Cancelled);
        w.fates(|_, _| Fate::Pass);
        // The unit is whole again, and the late message changes nothing.
        assert_eq!(row(&w, 1, sale, "bob", "k", 1).await.status, Status::Confirmed);
        w.clock.sleep_us(10_000_000).await;
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Cancelled);
    });
}

#[test]
fn c20_two_nodes_expire_each_order_once() {
    let (world, sale) = open_sale(2, 2, |terms| terms.pay_within_s = 3);
    let w = Rc::clone(&world);
    world.run(async move {
        row(&w, 1, sale, "ann", "k", 1).await;
        row(&w, 2, sale, "bob", "k", 1).await;
        // One of the two is slow with every release.
        w.fates(|call, group| if call == "gate.release" && group == 2 { Fate::Slow(8_000_000) } else { Fate::Pass });
        w.clock.sleep_us(20_000_000).await;
        for who in ["ann", "bob"] {
            assert_eq!(row(&w, 1, sale, who, "k", 1).await.status, Status::Expired);
        }
        assert_eq!(w.ledger.sale(sale).await.unwrap().unwrap().left, 2);
    });
}

#[test]
fn c21_an_order_expires_by_the_ledgers_clock_alone() {
    let (world, sale) = open_sale(1, 2, |terms| terms.pay_within_s = 3_000);
    let w = Rc::clone(&world);
    world.run_script(async move {
        row(&w, 1, sale, "ann", "k", 1).await;
        // The node's clock runs on for a quarter of an hour; the ledger's follows, and three thousand seconds are not over.
        w.clock.sleep_us(900_000_000).await;
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Confirmed);
        w.ledger.advance_ms(2_200_000);
        w.clock.sleep_us(2_000_000).await;
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Expired);
    });
}

#[test]
fn c22_after_sold_out_ten_cancels_are_sold_again() {
    let (world, sale) = open_sale(2, 10, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        for n in 0..10 {
            row(&w, 1, sale, &format!("early-{n}"), "k", 1).await;
        }
        for node in [1, 2] {
            assert!(matches!(w.insist(node, sale, "late-0", "k", 1).await, Answer::Refused(Refusal::SoldOut { .. })));
        }
        for n in 0..10 {
            let who = format!("early-{n}");
            assert!(matches!(w.cancel(1, id(sale, &who, "k"), &who, None).await, Some(Cancelled::Done(_))));
        }
        // The other node's fact lapses within a second.
        w.clock.sleep_us(1_500_000).await;
        for n in 0..10 {
            assert_eq!(row(&w, 2, sale, &format!("late-{n}"), "k", 1).await.status, Status::Confirmed);
        }
    });
}

#[test]
fn c25_a_hundred_units_in_threes_leave_one_that_sells() {
    let (world, sale) = open_sale(1, 100, |terms| (terms.limit_per_buyer, terms.quantity_max) = (3, 3));
    let w = Rc::clone(&world);
    world.run(async move {
        let all = (0..60).map(|n| {
            let w = Rc::clone(&w);
            async move { w.insist(1, sale, &format!("b{n}"), "k", 3).await }
        });
        let answers = futures_util::future::join_all(all).await;
        let confirmed = answers.iter().filter(|answer| matches!(answer, Answer::Row(order) if order.status == Status::Confirmed)).count();
        let sold_out = answers.iter().filter(|answer| matches!(answer, Answer::Refused(Refusal::SoldOut { left: 1 }))).count();
        assert_eq!((confirmed, sold_out), (33, 27));
        assert_eq!(row(&w, 1, sale, "one", "k", 1).await.status, Status::Confirmed);
        assert!(matches!(w.insist(1, sale, "none", "k", 1).await, Answer::Refused(Refusal::SoldOut { left: 0 })));
    });
}

#[test]
fn c26_a_buyer_has_at_most_the_limit_live_across_nodes_and_a_wipe() {
    let (world, sale) = open_sale(2, 10, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        let tries = [("a", 1, 1), ("b", 2, 1), ("c", 1, 2)].map(|(key, node, quantity)| {
            let w = Rc::clone(&w);
            async move { w.insist(node, sale, "ann", key, quantity).await }
        });
        futures_util::future::join_all(tries).await;
        w.gate().wipe();
        for key in ["d", "e"] {
            let told = w.insist(2, sale, "ann", key, 1).await;
            let live = w
                .ledger
                .books(sale)
                .await
                .unwrap()
                .unwrap()
                .orders
                .iter()
                .filter(|order| order.status.is_live())
                .map(|order| order.ask.quantity.units())
                .sum::<i64>();
            assert!(live <= 2, "{live} units live after {told:?}");
            assert!(live == 2 && matches!(told, Answer::Refused(Refusal::LimitReached(_))), "{told:?}");
        }
        // A dead order makes room.
        let live = w.ledger.books(sale).await.unwrap().unwrap().orders.into_iter().find(|order| order.status.is_live()).unwrap();
        w.cancel(1, live.id(), "ann", None).await.unwrap();
        assert_eq!(row(&w, 1, sale, "ann", "f", 1).await.status, Status::Confirmed);
    });
}

#[test]
fn c27_one_key_a_hundred_times_at_once_is_one_order() {
    let (world, sale) = open_sale(2, 100, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        let tries = (0..100u32).map(|n| {
            let w = Rc::clone(&w);
            async move { w.buy(1 + n % 2, sale, "ann", "k", 1, u64::from(n % 3) * 1_000).await.unwrap() }
        });
        for answer in futures_util::future::join_all(tries).await {
            match answer {
                Answer::Row(order) => assert_eq!((order.status, order.id()), (Status::Confirmed, id(sale, "ann", "k"))),
                Answer::Processing { id: named, .. } => assert_eq!(named, id(sale, "ann", "k")),
                other => panic!("{other:?}"),
            }
        }
        w.clock.sleep_us(2_000_000).await;
        assert_eq!(w.ledger.sale(sale).await.unwrap().unwrap().left, 99);
    });
}

#[test]
fn c28_c29_a_key_names_one_content_of_one_buyer() {
    let (world, sale) = open_sale(1, 10, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        let first = row(&w, 1, sale, "ann", "k", 1).await;
        assert_eq!(w.insist(1, sale, "ann", "k", 2).await, Answer::Refused(Refusal::Mismatch));
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await, first);
        assert_eq!(row(&w, 1, sale, "bob", "k", 2).await.status, Status::Confirmed);
        // Also while there is no row yet, and after the order died and the gate forgot it.
        fail_all(&w, &["ledger.record", "gate.holds"], Fate::Refuse);
        w.buy(1, sale, "cat", "k", 1, 0).await;
        assert_eq!(w.buy(1, sale, "cat", "k", 2, 0).await, Some(Answer::Refused(Refusal::Mismatch)));
        w.fates(|_, _| Fate::Pass);
        w.cancel(1, first.id(), "ann", None).await.unwrap();
        w.gate().wipe();
        assert_eq!(w.insist(1, sale, "ann", "k", 2).await, Answer::Refused(Refusal::Mismatch));
    });
}

#[test]
fn c31_a_retry_after_the_sale_has_ended_or_is_archived_finds_its_order() {
    let (world, sale) = open_sale(1, 2, |terms| terms.pay_within_s = 5);
    let w = Rc::clone(&world);
    world.run(async move {
        row(&w, 1, sale, "ann", "k", 1).await;
        assert!(matches!(operate(&w, 1, move |engine| async move { engine.close_sale(sale).await }).await, Ok(Operated::Done(_))));
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Confirmed);
        assert_eq!(w.insist(1, sale, "bob", "k", 1).await, Answer::Refused(Refusal::Ended));
        // An order that can still change keeps the sale in the gate.
        assert!(matches!(operate(&w, 1, move |engine| async move { engine.archive(sale).await }).await, Ok(Operated::NotNow(_))));
        w.clock.sleep_us(8_000_000).await;
        let archived = operate(&w, 1, move |engine| async move { engine.archive(sale).await }).await;
        assert!(matches!(archived, Ok(Operated::Done(_))), "{archived:?}");
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Expired);
        assert_eq!(w.insist(1, sale, "bob", "k", 1).await, Answer::Refused(Refusal::Ended));
    });
}

#[test]
fn c37_what_is_in_flight_keeps_its_terms_and_a_withdrawal_takes_only_what_is_free() {
    let (world, sale) = open_sale(1, 3, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        fail_all(&w, &["ledger.record", "gate.holds"], Fate::Refuse);
        w.buy(1, sale, "ann", "k", 2, 0).await;
        let take = |units, key: &str| Withdrawal { key: key.parse().unwrap(), units, actor: "op".into(), reason: "broken".into() };
        let too_many = take(2, "w1");
        let refused = operate(&w, 1, move |engine| async move { engine.withdraw(sale, &too_many).await }).await;
        assert_eq!(refused, Ok(Stocked::Refused { left: 1 }));
        let one = take(1, "w2");
        assert!(matches!(operate(&w, 1, move |engine| async move { engine.withdraw(sale, &one).await }).await, Ok(Stocked::Done(_))));
        w.fates(|_, _| Fate::Pass);
        // Closing waits for what is in flight.
        assert!(matches!(operate(&w, 1, move |engine| async move { engine.close_sale(sale).await }).await, Ok(Operated::Done(_))));
        let order = row(&w, 1, sale, "ann", "k", 2).await;
        assert_eq!((order.status, order.ask.amount()), (Status::Confirmed, 19_800));
    });
}

#[test]
fn c38_c39_a_restock_counts_once_per_key_and_a_withdrawal_never_takes_too_much() {
    let (world, sale) = open_sale(1, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        row(&w, 1, sale, "ann", "k", 1).await;
        assert!(matches!(w.insist(1, sale, "bob", "k", 1).await, Answer::Refused(Refusal::SoldOut { .. })));
        for _ in 0..2 {
            let key: MovementKey = "box".parse().unwrap();
            let raised = operate(&w, 1, move |engine| async move { engine.restock(sale, &key, 2, "op", "a box").await }).await;
            assert!(matches!(raised, Ok(Stocked::Done(_))), "{raised:?}");
        }
        let key: MovementKey = "box".parse().unwrap();
        let other = operate(&w, 1, move |engine| async move { engine.restock(sale, &key, 3, "op", "a box").await }).await;
        assert!(matches!(other, Ok(Stocked::Mismatch(_))), "{other:?}");
        assert_eq!(row(&w, 1, sale, "bob", "more", 2).await.status, Status::Confirmed);
        let take = Withdrawal { key: "w".parse().unwrap(), units: 1, actor: "op".into(), reason: "gone".into() };
        assert_eq!(operate(&w, 1, move |engine| async move { engine.withdraw(sale, &take).await }).await, Ok(Stocked::Refused { left: 0 }));
    });
}

#[test]
fn c55_an_order_deleted_by_hand_stops_its_sale_and_nothing_is_repaired() {
    let (world, sale) = open_sale(1, 5, |_| {});
    let w = Rc::clone(&world);
    world.run_script(async move {
        fail_all(&w, &["queue.ack"], Fate::Drop);
        let order = row(&w, 1, sale, "ann", "k", 1).await;
        assert!(w.ledger.delete_row_by_hand(order.id()));
        // The message comes again, or the reconciler passes: nobody makes the row anew.
        while w.ledger.sale(sale).await.unwrap().unwrap().stopped.is_none() {
            w.clock.sleep_us(100_000).await;
        }
        w.clock.sleep_us(2_000_000).await;
        assert!(w.ledger.orders(&[order.id()]).await.unwrap()[0].is_none());
        assert_eq!(w.buy(1, sale, "bob", "k", 1, 0).await, Some(Answer::Busy(Busy::Paused)));
    });
    let report = world.audit_now(false);
    assert!(report.breaches.iter().any(|breach| breach.law == Law::L1), "{:?}", report.breaches);
}

#[test]
fn c38_a_withdrawal_repeated_with_other_units_is_the_first_one() {
    let (world, sale) = open_sale(1, 10, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        let take = |units| Withdrawal { key: "w1".parse().unwrap(), units, actor: "op".into(), reason: "broken".into() };
        fail(&w, "ledger.withdraw", 1, Fate::Refuse);
        for (units, more) in [(1, false), (5, true)] {
            let it = take(units);
            let told = operate(&w, 1, move |engine| async move { engine.withdraw(sale, &it).await }).await;
            assert!(told.is_err() || more && matches!(told, Ok(Stocked::Mismatch(ref first)) if first.units == -1), "{told:?}");
        }
        assert_eq!(w.ledger.sale(sale).await.unwrap().unwrap().allotment, 9);
    });
}

#[test]
fn c24_one_buyer_with_many_keys_does_not_hold_up_the_others() {
    let (world, sale) = open_sale(1, 1_000, |terms| (terms.limit_per_buyer, terms.quantity_max) = (1, 1));
    let w = Rc::clone(&world);
    world.run(async move {
        // The first is on its way while the crowd gathers.
        fail(&w, "queue.prepare", 1, Fate::Slow(50_000));
        let first = Rc::clone(&w);
        let crowd = (0..60u64).map(|n| {
            let w = Rc::clone(&w);
            async move {
                w.clock.sleep_us(1_000 + n * 10).await;
                let (who, key) = if n % 3 != 0 { ("bot".to_owned(), format!("k{n}")) } else { (format!("b{n}"), "k".to_owned()) };
                let answer = w.buy(1, sale, &who, &key, 1, 0).await.unwrap();
                (who, answer)
            }
        });
        let (_, crowd) =
            futures_util::future::join(async move { first.buy(1, sale, "first", "k", 1, 0).await }, futures_util::future::join_all(crowd))
                .await;
        for (who, answer) in crowd {
            let fair = if who == "bot" {
                matches!(answer, Answer::Processing { .. } | Answer::Refused(Refusal::LimitReached(_)))
            } else {
                matches!(answer, Answer::Processing { .. })
            };
            assert!(fair, "{who}: {answer:?}");
        }
    });
}

#[test]
fn c37_who_waited_in_the_lane_does_not_buy_after_the_close() {
    let (world, sale) = open_sale(1, 10, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        fail(&w, "gate.look", 1, Fate::Slow(3_000_000));
        let (ann, bob) = (Rc::clone(&w), Rc::clone(&w));
        w.executor.spawn(0, async move { drop(ann.buy(1, sale, "ann", "k", 1, 0).await) });
        w.executor.spawn(0, async move {
            bob.clock.sleep_us(10_000).await;
            bob.buy(1, sale, "bob", "k", 1, 0).await;
        });
        w.clock.sleep_us(100_000).await;
        assert!(matches!(operate(&w, 1, move |engine| async move { engine.close_sale(sale).await }).await, Ok(Operated::Done(_))));
        w.clock.sleep_us(10_000_000).await;
        let books = w.ledger.books(sale).await.unwrap().unwrap();
        assert!(books.orders.iter().all(|order| !order.status.is_live()), "{:?}", books.orders);
    });
}
