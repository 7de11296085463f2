//! Cases of what fails: replies, nodes, gates, the queue, the consumer; and what repairs it.

use super::*;

#[test]
fn c01_a_lost_reply_of_a_hold_is_found_by_the_check_back() {
    let (world, sale) = open_sale(1, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        let mut holds = 0;
        // The hold is done and its reply lost; the node cannot ask for it; the broker can.
        w.fates(move |call, _| match call {
            "gate.hold" => Fate::LoseReply,
            "gate.decision_or_void" => {
                holds += 1;
                if holds <= 3 { Fate::Drop } else { Fate::Pass }
            }
            "gate.holds" => Fate::Refuse,
            _ => Fate::Pass,
        });
        assert!(matches!(w.buy(1, sale, "ann", "k", 1, 0).await, Some(Answer::Processing { .. })));
        let order = row(&w, 1, sale, "ann", "k", 1).await;
        assert_eq!((order.status, sources(&w, order.id()).await), (Status::Confirmed, vec![Source::Message]));
    });
}

#[test]
fn c02_a_node_that_dies_after_the_hold_leaves_an_order() {
    let (world, sale) = open_sale(1, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        w.fates(|call, _| match call {
            "gate.hold" => Fate::DieAfter,
            "queue.checks" => Fate::Refuse,
            _ => Fate::Pass,
        });
        assert_eq!(w.buy(1, sale, "ann", "k", 1, 0).await, None);
        fail_all(&w, &["queue.checks"], Fate::Refuse);
        w.clock.sleep_us(100_000).await;
        w.start(1);
        // Nobody asks again: the reconciler records it from the hold within hold age and a period.
        let born = w.clock.elapsed_us();
        while w.ledger.orders(&[id(sale, "ann", "k")]).await.unwrap()[0].is_none() {
            w.clock.sleep_us(50_000).await;
            assert!(w.clock.elapsed_us() - born < 5_000_000, "the stated repair time is over");
        }
        assert_eq!(sources(&w, id(sale, "ann", "k")).await, [Source::Hold]);
    });
}

#[test]
fn c03_a_lost_commit_and_a_second_one_make_one_order() {
    let (world, sale) = open_sale(1, 2, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        fail(&w, "queue.settle", 1, Fate::Drop);
        row(&w, 1, sale, "ann", "k", 1).await;
        fail(&w, "queue.ack", 1, Fate::Drop);
        row(&w, 1, sale, "bob", "k", 1).await;
        w.clock.sleep_us(20_000_000).await;
        assert_eq!(w.ledger.sale(sale).await.unwrap().unwrap().left, 0);
    });
}

#[test]
fn c05_a_half_message_that_the_broker_dropped_is_recorded_from_its_hold() {
    let (world, sale) = open_sale(1, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        fail_all(&w, &["queue.settle", "queue.checks"], Fate::Drop);
        let order = row(&w, 1, sale, "ann", "k", 1).await;
        assert_eq!((order.status, sources(&w, order.id()).await), (Status::Confirmed, vec![Source::Hold]));
    });
}

#[test]
fn c06_a_gate_that_does_not_answer_a_check_back_rolls_nothing_back() {
    let (world, sale) = open_sale(1, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        w.fates(|call, _| match call {
            "queue.settle" | "gate.decision_or_void" | "gate.holds" => Fate::Drop,
            _ => Fate::Pass,
        });
        assert!(matches!(w.buy(1, sale, "ann", "k", 1, 0).await, Some(Answer::Processing { .. })));
        w.clock.sleep_us(10_000_000).await;
        let (committed, rolled_back, unknown) = operate(&w, 1, |engine| async move {
            (engine.meters().checks_committed.get(), engine.meters().checks_rolled_back.get(), engine.meters().checks_unknown.get())
        })
        .await;
        assert_eq!((committed, rolled_back), (0, 0));
        assert!(unknown > 2, "it is asked again and again");
        fail_all(&w, &["gate.holds"], Fate::Refuse);
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Confirmed);
    });
}

#[test]
fn c08_a_wiped_gate_is_found_and_rebuilt_with_its_holds() {
    let (world, sale) = open_sale(1, 2, |terms| terms.limit_per_buyer = 2);
    let w = Rc::clone(&world);
    world.run(async move {
        row(&w, 1, sale, "ann", "k", 1).await;
        let before = w.ledger.sale(sale).await.unwrap().unwrap().epoch;
        w.gate().wipe();
        let told = w.buy(1, sale, "bob", "k", 1, 0).await;
        assert!(matches!(told, Some(Answer::Busy(Busy::Recovering) | Answer::Busy(Busy::Overloaded))), "{told:?}");
        assert_eq!(row(&w, 1, sale, "bob", "k", 1).await.status, Status::Confirmed);
        assert!(w.ledger.sale(sale).await.unwrap().unwrap().epoch > before);
        assert!(matches!(w.insist(1, sale, "cat", "k", 1).await, Answer::Refused(Refusal::SoldOut { .. })));
    });
}

#[test]
fn c09_a_rebuild_that_dies_after_its_bump_is_done_again() {
    let (world, sale) = open_sale(1, 2, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        row(&w, 1, sale, "ann", "k", 1).await;
        fail(&w, "ledger.bump", 1, Fate::DieAfter);
        w.gate().wipe();
        while w.is_up(1) {
            w.clock.sleep_us(50_000).await;
        }
        w.start(1);
        assert_eq!(row(&w, 1, sale, "bob", "k", 1).await.status, Status::Confirmed);
    });
}

#[test]
fn c10_two_nodes_rebuild_and_one_wins() {
    let (world, sale) = open_sale(2, 3, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        row(&w, 1, sale, "ann", "k", 1).await;
        w.gate().wipe();
        let (w1, w2) = (Rc::clone(&w), Rc::clone(&w));
        let both = futures_util::future::join(
            async move { operate(&w1, 1, move |engine| async move { engine.rebuild(sale).await }).await },
            async move { operate(&w2, 2, move |engine| async move { engine.rebuild(sale).await }).await },
        );
        let _ = both.await;
        assert_eq!(row(&w, 2, sale, "bob", "k", 1).await.status, Status::Confirmed);
        assert_eq!(row(&w, 1, sale, "cat", "k", 1).await.status, Status::Confirmed);
        assert!(matches!(w.insist(2, sale, "dan", "k", 1).await, Answer::Refused(Refusal::SoldOut { .. })));
    });
}

#[test]
fn c11_c12_a_message_that_comes_again_and_again_makes_one_order() {
    let (world, sale) = open_sale(2, 3, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        // No acknowledgement is ever heard; twice the node dies right after the ledger's commit.
        let mut records = 0;
        w.fates(move |call, group| match call {
            "queue.ack" => Fate::Drop,
            "ledger.record" if group == 1 => {
                records += 1;
                if records <= 2 { Fate::DieAfter } else { Fate::Pass }
            }
            _ => Fate::Pass,
        });
        for who in ["ann", "bob", "cat"] {
            while !w.is_up(1) {
                w.start(1);
                w.clock.sleep_us(1_000_000).await;
            }
            drop(w.buy(1, sale, who, "k", 1, 0).await);
            row(&w, 2, sale, who, "k", 1).await;
        }
        w.clock.sleep_us(40_000_000).await;
        assert_eq!(w.ledger.sale(sale).await.unwrap().unwrap().left, 0);
    });
}

#[test]
fn c16_poison_is_parked_and_holds_up_nobody() {
    let (world, sale) = open_sale(1, 5, |_| {});
    let w = Rc::clone(&world);
    world.run_script(async move {
        for body in [b"not a batch".to_vec(), b"HC\x01\0\0\0\0torn".to_vec()] {
            let half = Half { batch: BatchId { node: 99, number: body.len() as u64 }, tag: "book".into(), body };
            let receipt = w.queue.prepare(half).await.unwrap();
            w.queue.settle(receipt, Verdict::Commit).await;
        }
        // A whole batch of a sale that this ledger does not have.
        let stray = Batch {
            id: BatchId { node: 99, number: 3 },
            sale: "elsewhere".parse().unwrap(),
            epoch: Epoch(1),
            limit_per_buyer: 1,
            asks: vec![],
        };
        let ask = Ask {
            digest: Digest([7; 16]),
            buyer: buyer("zoe"),
            quantity: Quantity::new(1).unwrap(),
            unit_price: Price::new(1).unwrap(),
            currency: "CNY".parse().unwrap(),
            pay_within_s: 60,
            asked_at: sim::DAWN,
            late: None,
        };
        let half = Half { batch: stray.id, tag: "book".into(), body: sale::message::encode(&Batch { asks: vec![ask], ..stray }) };
        let receipt = w.queue.prepare(half).await.unwrap();
        w.queue.settle(receipt, Verdict::Commit).await;
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Confirmed);
        let parked = w.queue.parked(0, 10).await.unwrap();
        assert_eq!(parked.len(), 3, "{parked:?}");
        assert!(parked.iter().all(|parked| !parked.reason.is_empty()));
        assert_eq!(w.queue.backlog().await.unwrap().committed, 0);
    });
    world.assert_lawful(false);
}

#[test]
fn c33_a_queue_that_is_down_stops_a_purchase_before_the_gate() {
    let (world, sale) = open_sale(1, 1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        for fate in [Fate::Refuse, Fate::Drop, Fate::LoseReply] {
            fail_all(&w, &["queue.prepare"], fate);
            assert_eq!(w.buy(1, sale, "ann", "k", 1, 1_000).await, Some(Answer::Busy(Busy::Overloaded)));
            assert!(!w.calls().contains(&"gate.hold"), "nothing was deducted");
        }
        w.fates(|_, _| Fate::Pass);
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Confirmed);
    });
}

#[test]
fn c52_a_stopped_consumer_keeps_processing_honest_and_the_time_to_pay_whole() {
    let (world, sale) = open_sale(1, 50, |terms| terms.pay_within_s = 10);
    let w = Rc::clone(&world);
    world.run(async move {
        fail_all(&w, &["ledger.record", "gate.holds"], Fate::Refuse);
        for n in 0..50 {
            let who = format!("b{n}");
            assert!(matches!(w.buy(1, sale, &who, "k", 1, 0).await, Some(Answer::Processing { .. })));
        }
        w.clock.sleep_us(120_000_000).await;
        assert_eq!(w.show(1, id(sale, "b0", "k"), "b0", None).await, Some(Shown::Processing));
        w.fates(|_, _| Fate::Pass);
        w.clock.sleep_us(3_000_000).await;
        for n in 0..50 {
            let order = row(&w, 1, sale, &format!("b{n}"), "k", 1).await;
            assert_eq!(order.status, Status::Confirmed, "its ten seconds to pay count from its confirmation");
        }
    });
}

#[test]
fn c54_a_reconciler_that_acts_at_any_age_harms_nobody() {
    let world = World::with(None, |world| world.settings.hold_age_ms = 1);
    let sale = terms("s1").id;
    let w = Rc::clone(&world);
    world.start(1);
    world.run(async move {
        operate(&w, 1, |engine| async move { engine.create(&terms("s1"), 40, "op").await }).await.unwrap().unwrap();
        operate(&w, 1, move |engine| async move { engine.open(sale).await }).await.unwrap();
        let busy = Rc::clone(&w);
        w.executor.spawn(0, async move {
            for _ in 0..500 {
                operate(&busy, 1, move |engine| async move { engine.reconcile(sale).await }).await.unwrap();
                busy.clock.sleep_us(100).await;
            }
        });
        let all = (0..40).map(|n| {
            let w = Rc::clone(&w);
            async move {
                w.clock.sleep_us(n * 900).await;
                row(&w, 1, sale, &format!("b{n}"), "k", 1).await
            }
        });
        assert!(futures_util::future::join_all(all).await.iter().all(|order| order.status == Status::Confirmed));
    });
}

#[test]
fn c56_what_left_nothing_is_processing_while_young_and_lost_when_old() {
    let (world, sale) = open_sale(1, 5, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        // Neither hold nor row: the call was lost on its way, and the reply too.
        fail_all(&w, &["gate.hold", "gate.decision_or_void"], Fate::Drop);
        let Some(Answer::Processing { id, ticket }) = w.buy(1, sale, "ann", "k", 1, 0).await else { panic!() };
        w.fates(|_, _| Fate::Pass);
        let show = |ticket: Option<&str>| w.show(1, id, "ann", ticket.map(str::to_owned));
        assert_eq!(show(Some(&ticket)).await, Some(Shown::Processing));
        assert_eq!(show(None).await, Some(Shown::Unknown));
        let mut forged = ticket.clone().into_bytes();
        forged[3] = if forged[3] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        w.clock.sleep_us(11_000_000).await;
        assert_eq!(show(Some(&forged)).await, Some(Shown::Unknown));
        assert_eq!(w.show(1, id, "bob", Some(ticket.clone())).await, Some(Shown::Unknown));
        assert!(w.ledger.orders(&[id]).await.unwrap()[0].is_none(), "no row without a valid ticket");
        let Some(Shown::Row(order)) = show(Some(&ticket)).await else { panic!() };
        assert_eq!((order.status, order.reason), (Status::Rejected, Some(sale::order::Reason::Lost)));
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Rejected, "one answer per purchase");
    });
}

#[test]
fn a_pause_is_not_undone_by_a_rebuild_and_a_stopped_sale_opens_when_an_operator_says_so() {
    let (world, sale) = open_sale(2, 5, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        // Node 2 has not heard of the pause when it finds the gate wiped.
        assert!(matches!(operate(&w, 1, move |engine| async move { engine.pause(sale).await }).await, Ok(Operated::Done(_))));
        w.gate().wipe();
        let rebuilt = operate(&w, 2, move |engine| async move { engine.rebuild(sale).await }).await;
        assert!(matches!(rebuilt, Ok(Operated::Done(ref now)) if now.status == SaleStatus::Paused), "{rebuilt:?}");
        assert_eq!(w.buy(1, sale, "ann", "k", 1, 0).await, Some(Answer::Busy(Busy::Paused)));
        let stop = sale::ports::SaleChange::Stop("a row is missing".into());
        w.ledger.change_sale(sale, &stop).await.unwrap();
        while !matches!(operate(&w, 1, move |engine| async move { engine.open(sale).await }).await, Ok(Operated::Done(_))) {
            w.clock.sleep_us(100_000).await;
        }
        assert_eq!(row(&w, 1, sale, "ann", "k", 1).await.status, Status::Confirmed);
    });
}

#[test]
fn a_holder_is_known_to_every_node() {
    let (world, sale) = open_sale(2, 1, |terms| terms.pay_within_s = 3_000);
    let w = Rc::clone(&world);
    world.run(async move {
        w.clock.sleep_us(5_000_000).await;
        row(&w, 1, sale, "ann", "k", 1).await;
        w.clock.sleep_us(5_000_000).await;
        assert!(matches!(w.buy(2, sale, "ann", "k", 1, 0).await, Some(Answer::Row(_))), "the retry of the last unit's winner");
        assert!(matches!(w.buy(2, sale, "bob", "k", 1, 0).await, Some(Answer::Refused(Refusal::SoldOut { .. }))));
        operate(&w, 1, move |engine| async move { engine.close_sale(sale).await }).await.unwrap();
        w.clock.sleep_us(1_000_000).await;
        assert!(matches!(w.buy(2, sale, "ann", "k", 1, 0).await, Some(Answer::Row(_))));
    });
}

#[test]
fn c10_nodes_do_not_rebuild_in_turns() {
    let (world, sale) = open_sale(2, 5, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        // A message that nobody takes keeps every rebuild waiting, and loading takes its time.
        fail_all(&w, &["queue.receive"], Fate::Refuse);
        w.clock.sleep_us(6_000_000).await;
        let half = Half { batch: BatchId { node: 99, number: 1 }, tag: "book".into(), body: b"x".to_vec() };
        let receipt = w.queue.prepare(half).await.unwrap();
        w.queue.settle(receipt, Verdict::Commit).await;
        w.fates(|call, _| match call {
            "queue.receive" => Fate::Refuse,
            "gate.load" | "gate.publish" => Fate::Slow(200_000),
            _ => Fate::Pass,
        });
        let before = w.ledger.sale(sale).await.unwrap().unwrap().epoch.0;
        w.gate().wipe();
        w.clock.sleep_us(30_000_000).await;
        let bumps = w.ledger.sale(sale).await.unwrap().unwrap().epoch.0 - before;
        assert!((1..=3).contains(&bumps), "{bumps} bumps for one wipe");
    });
}

#[test]
fn the_reconciler_goes_on_where_a_fault_stopped_it() {
    let (world, sale) = open_sale(1, 100, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        fail_all(&w, &["ledger.record"], Fate::Refuse);
        for n in 0..60 {
            w.buy(1, sale, &format!("b{n}"), "k", 1, 0).await;
        }
        let mut calls = 0;
        w.fates(move |call, _| match call {
            "queue.receive" | "queue.checks" => Fate::Refuse,
            "ledger.orders" => {
                calls += 1;
                if calls % 4 == 0 { Fate::Refuse } else { Fate::Pass }
            }
            _ => Fate::Pass,
        });
        w.clock.sleep_us(60_000_000).await;
        assert_eq!(w.ledger.sale(sale).await.unwrap().unwrap().left, 40);
    });
}
