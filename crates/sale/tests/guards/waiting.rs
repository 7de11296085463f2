//! Who waits for a row, and until when.

use super::*;

#[test]
fn who_waits_for_a_change_hears_of_it_from_this_node_and_from_others_and_not_for_ever() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let order = confirmed(&world, &engine, sale, "ann", "k").await;
            let ann = buyer("ann");
            let wait = |wait_ms| engine.order(order.id(), &ann, None, Some(1), wait_ms);
            // Nothing changes: it is shown when the time is over, and not before.
            let begun = world.clock.elapsed_us();
            let turns = async {
                loop {
                    engine.patience_pass().await;
                    world.clock.sleep_us(20_000).await;
                }
            };
            let either = futures_util::future::select(Box::pin(wait(1_000)), Box::pin(turns)).await;
            let futures_util::future::Either::Left((shown, _)) = either;
            assert!(matches!(shown, Ok(Shown::Row(same)) if same.version == 1));
            assert!((900_000..1_500_000).contains(&(world.clock.elapsed_us() - begun)));
            // The old version ends no wait; what another node changes is asked for.
            let mut waiting = Box::pin(wait(60_000));
            while world.calls().last() != Some(&"ledger.orders") || poll_once(&mut waiting).is_some() {
                assert!(poll_once(&mut waiting).is_none());
            }
            world.clock.sleep_us(300_000).await;
            engine.patience_pass().await;
            assert!(poll_once(&mut waiting).is_none(), "version 1 is not above 1");
            let other = node(&world, 2, |_| {}).await;
            assert!(matches!(other.cancel(order.id(), &ann, None).await, Ok(Cancelled::Done(_))));
            world.clock.sleep_us(300_000).await;
            engine.patience_pass().await;
            assert!(matches!(poll_once(&mut waiting), Some(Ok(Shown::Row(order))) if order.status == Status::Cancelled));
        },
    );
}

#[test]
fn who_waits_for_a_row_is_told_by_the_record_itself() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let mut bought = Box::pin(engine.buy(Wish { wait_ms: 60_000, ..wish(sale, "ann", "k", 1) }));
            assert!(poll_once(&mut bought).is_none());
            let mut pass = Box::pin(engine.intake_pass(1));
            // The commit is heard at once and answered late: the message is recorded in between.
            read_and_wait(&world, &mut pass, "queue.settle").await;
            assert_eq!(world.queue.backlog().await.unwrap().committed, 1);
            engine.record_pass(0).await.unwrap();
            pass.await;
            assert!(matches!(poll_once(&mut bought), Some(Answer::Row(_))), "nobody had to ask the ledger for it");
        },
    );
}

#[test]
fn who_waits_for_a_change_misses_none_between_look_and_wait() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let order = confirmed(&world, &engine, sale, "ann", "k").await;
            let ann = buyer("ann");
            let mut waiting = Box::pin(engine.order(order.id(), &ann, None, Some(1), 60_000));
            read_and_wait(&world, &mut waiting, "ledger.orders").await;
            engine.cancel(order.id(), &ann, None).await.unwrap();
            assert!(matches!(poll_once(&mut waiting), Some(Ok(Shown::Row(order))) if order.status == Status::Cancelled));
        },
    );
}

#[test]
fn who_waits_for_a_purchase_is_told_processing_when_the_wait_is_over_and_not_before() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let mut asked = Box::pin(engine.buy(Wish { wait_ms: 1_000, ..wish(sale, "ann", "k", 1) }));
            assert!(poll_once(&mut asked).is_none());
            engine.intake_pass(1).await;
            world.clock.sleep_us(990_000).await;
            engine.patience_pass().await;
            assert!(poll_once(&mut asked).is_none(), "ten milliseconds are left");
            world.clock.sleep_us(20_000).await;
            engine.patience_pass().await;
            assert!(matches!(poll_once(&mut asked), Some(Answer::Processing { .. })));
        },
    );
}

#[test]
fn nobody_waits_for_a_change_of_what_is_final() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let order = confirmed(&world, &engine, sale, "ann", "k").await;
            let Cancelled::Done(order) = engine.cancel(order.id(), &buyer("ann"), None).await.unwrap() else { panic!() };
            let ann = buyer("ann");
            let mut shown = Box::pin(engine.order(order.id(), &ann, None, Some(order.version), 5_000));
            let shown = (0..100).find_map(|_| poll_once(&mut shown)).expect("it is answered without a wait");
            assert_eq!(shown.unwrap(), Shown::Row(order));
        },
    );
}
