//! Who decides: rebuild, close, archive, and what an older epoch may not do.

use super::*;

#[test]
fn c37_closing_changes_who_decides() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let before = fence(&world, sale).await;
            assert!(matches!(engine.close_sale(sale).await, Ok(Operated::Done(now)) if now.status == SaleStatus::Ended));
            assert!(fence(&world, sale).await.epoch > before.epoch);
            assert!(world.gate().fact(before).await.unwrap().is_err(), "what the open sale's gate decided is over");
            assert!(matches!(engine.open(sale).await, Ok(Operated::NotNow(_))));
            assert!(matches!(engine.pause(sale).await, Ok(Operated::NotNow(_))));
        },
    );
}

#[test]
fn c37_closing_admits_nobody_before_it_waits() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            buys(&engine, wish(sale, "ann", "k", 1)).await;
            // The node knows all purchases that there are.
            for _ in 0..3 {
                engine.watch_pass().await.unwrap();
            }
            let mut closing = Box::pin(engine.close_sale(sale));
            for _ in 0..20 {
                assert!(poll_once(&mut closing).is_none(), "it waits for ann's message");
            }
            assert_eq!(world.ledger.sale(sale).await.unwrap().unwrap().status, SaleStatus::Ended);
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Refused(Refusal::Ended));
            engine.record_pass(0).await.unwrap();
            assert!(matches!(closing.await, Ok(Operated::Done(_))));
            assert_eq!(row(&world, id(sale, "ann", "k")).await.unwrap().status, Status::Confirmed);
        },
    );
}

#[test]
fn c09_a_rebuild_fails_closed_waits_for_the_consumer_and_not_for_ever() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            buys(&engine, wish(sale, "ann", "k", 1)).await;
            let begun = world.clock.elapsed_us();
            let mut rebuilding = Box::pin(engine.rebuild(sale));
            for _ in 0..20 {
                assert!(poll_once(&mut rebuilding).is_none(), "it waits for ann's message");
            }
            assert!(engine.sale(sale).unwrap().recovering);
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Busy(Busy::Recovering));
            // Nobody records: the wait ends by itself, and the message is refused by its epoch.
            assert!(matches!(rebuilding.await, Ok(Operated::Done(_))));
            assert!((500_000..1_000_000).contains(&(world.clock.elapsed_us() - begun)), "{}", world.clock.elapsed_us() - begun);
            engine.record_pass(0).await.unwrap();
            let order = row(&world, id(sale, "ann", "k")).await.unwrap();
            assert_eq!((order.status, order.reason), (Status::Rejected, Some(sale::order::Reason::StaleEpoch)));
            // A broker that is down is not waited for at all, and the lease was given back.
            let begun = world.clock.elapsed_us();
            refuse(&world, "queue.backlog");
            assert!(matches!(engine.rebuild(sale).await, Ok(Operated::Done(_))));
            assert!(world.clock.elapsed_us() - begun < 100_000);
        },
    );
}

#[test]
fn c10_a_rebuild_that_lost_the_bump_decides_nothing() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let other = node(&world, 2, |_| {}).await;
            assert!(matches!(other.rebuild(sale).await, Ok(Operated::Done(_))));
            // The first has not heard of it: its compare-and-set fails, it takes the newer epoch in, and is not whole by that.
            refuse(&world, "gate.fact");
            assert!(engine.sale(sale).unwrap().sale.epoch < fence(&world, sale).await.epoch);
            assert!(engine.watch_pass().await.is_err(), "the gate does not answer");
            assert!(engine.sale(sale).unwrap().recovering, "a new epoch is not known to be whole");
            heal(&world);
            engine.watch_pass().await.unwrap();
            assert!(!engine.sale(sale).unwrap().recovering);
            // While a lease runs, nobody else rebuilds.
            world.fates(|call, group| if call == "gate.publish" && group == 2 { Fate::Refuse } else { Fate::Pass });
            assert!(other.rebuild(sale).await.is_err());
            engine.watch_pass().await.unwrap();
            assert_eq!(engine.rebuild(sale).await, Ok(Operated::Recovering));
            assert!(engine.sale(sale).unwrap().recovering);
            heal(&world);
            world.clock.sleep_us(1_500_000).await;
            assert!(matches!(engine.rebuild(sale).await, Ok(Operated::Done(_))));
        },
    );
}

#[test]
fn a_sale_whose_laws_are_broken_is_not_archived_and_a_stopped_one_is_not_rebuilt_by_itself() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            assert!(matches!(engine.archive(sale).await, Ok(Operated::NotNow(_))), "it is open");
            world.ledger.change_sale(sale, &SaleChange::Stop("a row is missing".into())).await.unwrap();
            engine.watch_pass().await.unwrap();
            let before = fence(&world, sale).await.epoch;
            world.gate().wipe();
            engine.watch_pass().await.unwrap();
            assert_eq!(fence(&world, sale).await.epoch, before);
            // Only an operator opens it again.
            while !matches!(engine.open(sale).await, Ok(Operated::Done(_))) {
                world.clock.sleep_us(100_000).await;
            }
            assert!(world.ledger.sale(sale).await.unwrap().unwrap().stopped.is_none());
            world.ledger.change_sale(sale, &SaleChange::Stop("a row is missing".into())).await.unwrap();
            assert!(matches!(engine.open(sale).await, Ok(Operated::Done(now)) if now.stopped.is_none()), "open, whole and stopped");
            assert!(matches!(engine.close_sale(sale).await, Ok(Operated::Done(_))));
            assert!(world.ledger.set_left_by_hand(sale, 4));
            assert!(matches!(engine.archive(sale).await, Ok(Operated::NotNow(_))), "L1 is broken");
            assert!(world.ledger.set_left_by_hand(sale, 5));
            let last = fence(&world, sale).await;
            assert!(matches!(engine.archive(sale).await, Ok(Operated::Done(_))));
            assert!(world.gate().fact(last).await.unwrap().is_err(), "the gate has forgotten it");
            // No sale without a gate is rebuilt.
            assert!(matches!(engine.rebuild(sale).await, Ok(Operated::NotNow(_))));
        },
    );
}

#[test]
fn a_pause_is_answered_by_what_became_of_it() {
    alone(
        5,
        |_, _| {},
        |_, engine, sale| async move {
            engine.create(&terms("s2"), 5, "op").await.unwrap().unwrap();
            let draft: SaleId = "s2".parse().unwrap();
            assert!(matches!(engine.pause(draft).await, Ok(Operated::NotNow(now)) if now.status == SaleStatus::Draft));
            assert!(matches!(engine.close_sale(draft).await, Ok(Operated::NotNow(_))));
            assert!(matches!(engine.rebuild(draft).await, Ok(Operated::NotNow(_))));
            assert!(engine.buy(wish(draft, "ann", "k", 1)).await == Answer::Refused(Refusal::UnknownSale));
            assert!(matches!(engine.pause(sale).await, Ok(Operated::Done(_))));
            assert_eq!(engine.buy(wish(sale, "ann", "k", 1)).await, Answer::Busy(Busy::Paused));
        },
    );
}

#[test]
fn c10_an_older_row_or_a_late_no_does_not_unmake_a_newer_decider() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            // The ledger's row was read before a rebuild and is taken after it.
            let mut watch = Box::pin(engine.watch_pass());
            read_and_wait(&world, &mut watch, "ledger.sales").await;
            assert!(matches!(engine.rebuild(sale).await, Ok(Operated::Done(_))));
            let epoch = fence(&world, sale).await.epoch;
            let calls = world.calls().len();
            watch.await.unwrap();
            assert_eq!((engine.sale(sale).unwrap().sale.epoch, engine.sale(sale).unwrap().recovering), (epoch, false));
            assert!(!world.calls()[calls..].contains(&"ledger.sale"), "there was nothing to mend");
            // A look under the older epoch comes after the rebuild.
            let mut bought = Box::pin(engine.buy(wish(sale, "ann", "k", 1)));
            assert!(poll_once(&mut bought).is_none());
            let mut pass = Box::pin(engine.intake_pass(1));
            slow_once(&world, "gate.look");
            go_to(&world, &mut pass, "gate.look");
            assert!(matches!(engine.rebuild(sale).await, Ok(Operated::Done(_))));
            world.clock.sleep_us(1_100_000).await;
            assert_eq!(futures_util::future::join(bought, pass).await.0, Answer::Busy(Busy::Recovering));
            assert!(!engine.sale(sale).unwrap().recovering);
        },
    );
}

#[test]
fn c09_a_gate_that_was_wiped_during_its_rebuild_is_not_whole() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            confirmed(&world, &engine, sale, "ann", "k").await;
            let mut rebuilding = Box::pin(engine.rebuild(sale));
            go_to(&world, &mut rebuilding, "gate.load");
            world.gate().wipe();
            assert_eq!(rebuilding.await, Ok(Operated::Recovering));
            assert!(engine.sale(sale).unwrap().recovering);
        },
    );
}

#[test]
fn a_pause_during_a_rebuild_is_kept() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            world.gate().wipe();
            let mut watch = Box::pin(engine.watch_pass());
            go_to(&world, &mut watch, "gate.run");
            world.ledger.change_sale(sale, &SaleChange::Pause).await.unwrap();
            watch.await.unwrap();
            assert_eq!(world.ledger.sale(sale).await.unwrap().unwrap().status, SaleStatus::Paused);
        },
    );
}

#[test]
fn c09_a_gate_is_mended_after_the_consumer_and_by_one_node() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            buys(&engine, wish(sale, "ann", "k", 1)).await;
            let before = fence(&world, sale).await.epoch;
            world.gate().wipe();
            let mut watch = Box::pin(engine.watch_pass());
            go_to(&world, &mut watch, "gate.fact");
            for _ in 0..30 {
                assert!(poll_once(&mut watch).is_none(), "it waits for ann's message");
            }
            assert_eq!(fence(&world, sale).await.epoch, before);
            engine.record_pass(0).await.unwrap();
            // Another node mends it first.
            let other = node(&world, 2, |_| {}).await;
            assert_eq!(fence(&world, sale).await.epoch, before.next());
            watch.await.unwrap();
            assert_eq!(fence(&world, sale).await.epoch, before.next());
            assert!(!engine.sale(sale).unwrap().recovering && !other.sale(sale).unwrap().recovering);
            assert_eq!(row(&world, id(sale, "ann", "k")).await.unwrap().status, Status::Confirmed);
        },
    );
}

#[test]
fn c37_closing_waits_for_half_messages_too() {
    alone(
        5,
        |settings, _| settings.drain_ms = 3_000,
        |world, engine, sale| async move {
            refuse(&world, "queue.settle");
            buys(&engine, wish(sale, "ann", "k", 1)).await;
            heal(&world);
            let mut closing = Box::pin(engine.close_sale(sale));
            for _ in 0..30 {
                assert!(poll_once(&mut closing).is_none(), "it waits for ann's half message");
            }
            world.clock.sleep_us(1_500_000).await;
            engine.check_back_pass(0).await.unwrap();
            engine.record_pass(0).await.unwrap();
            assert!(matches!(closing.await, Ok(Operated::Done(_))));
            assert_eq!(row(&world, id(sale, "ann", "k")).await.unwrap().status, Status::Confirmed);
        },
    );
}

#[test]
fn c25_what_is_held_back_is_not_sold() {
    alone(
        3,
        |_, terms| terms.holdback = 2,
        |world, engine, sale| async move {
            assert_eq!(gate_left(&world, sale).await, 1);
            confirmed(&world, &engine, sale, "ann", "k").await;
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
        },
    );
}

#[test]
fn c10_two_rebuilds_do_not_mix_their_holds() {
    let world = World::new(None);
    world.run_script({
        let gate = world.gate();
        async move {
            let sale: SaleId = "s1".parse().unwrap();
            let fence = |epoch| Fence { sale, epoch: Epoch(epoch), run: RunId(1) };
            let opening = |holds| sale::ports::Opening { left: 1, holds, raises: 1, withdrawals: vec![] };
            let asks = sale::contract::buyers_of(sale, 3, 1);
            gate.load(fence(2), asks[..1].to_vec()).await.unwrap().unwrap();
            gate.load(fence(3), asks[1..2].to_vec()).await.unwrap().unwrap();
            assert!(gate.load(fence(2), asks[2..].to_vec()).await.unwrap().is_err(), "a newer rebuild has begun");
            assert!(gate.publish(fence(2), opening(1)).await.unwrap().is_err());
            gate.publish(fence(3), opening(1)).await.unwrap().unwrap();
            assert_eq!(gate.books(fence(3)).await.unwrap().unwrap().holds, [(asks[1].digest, 1)], "only its own part");
        }
    });
}

#[test]
fn c07_what_an_old_primary_still_decides_is_never_accepted() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            // Another node reaches the replica that was promoted, and makes it whole; this one still reaches the old primary.
            let stores = Stores {
                gate: Arc::new(sale::memory::gate::MemoryGate::new(RunId(99))),
                queue: Arc::clone(&world.queue) as _,
                ledger: Arc::clone(&world.ledger) as _,
                clock: Arc::clone(&world.clock) as _,
            };
            let other = Engine::new(stores, settings(), 1_002, &[(1, SECRET.to_vec())]);
            other.start().await.unwrap();
            other.watch_pass().await.unwrap();
            assert_eq!((fence(&world, sale).await.run, other.sale(sale).unwrap().recovering), (RunId(99), false));
            // Both decide about the last unit. What the old primary decided becomes no order.
            assert!(matches!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Processing { .. }));
            assert!(matches!(buys(&other, wish(sale, "bob", "k", 1)).await, Answer::Processing { .. }));
            other.record_pass(0).await.unwrap();
            let ann = row(&world, id(sale, "ann", "k")).await.unwrap();
            assert_eq!((ann.status, ann.reason), (Status::Rejected, Some(sale::order::Reason::StaleEpoch)));
            assert_eq!(row(&world, id(sale, "bob", "k")).await.unwrap().status, Status::Confirmed);
            // Once it has heard of the new decider, the old primary is refused as one.
            refuse(&world, "gate.fact");
            let _ = engine.watch_pass().await;
            assert_eq!(buys(&engine, wish(sale, "cat", "k", 1)).await, Answer::Busy(Busy::Recovering));
        },
    );
}
