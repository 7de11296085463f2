//! The reconciler: what is recorded from its hold, and released.

use super::*;

/// More holds than the slow walk sees in one pass: it takes twenty pages, and a page of this world is three.
const MANY: u64 = 70;

#[test]
fn c54_a_young_hold_is_left_to_its_message_and_found_when_it_is_old() {
    alone(
        MANY as i64 + 5,
        |_, _| {},
        |world, engine, sale| async move {
            engine.watch_pass().await.unwrap();
            refuse(&world, "queue.settle");
            for n in 0..MANY {
                buys(&engine, wish(sale, &format!("b{n}"), "k", 1)).await;
            }
            let found = engine.reconcile_pass().await.unwrap();
            assert_eq!((found.recorded, found.released), (0, 0), "they are young");
            world.clock.sleep_us(1_500_000).await;
            engine.watch_pass().await.unwrap();
            assert_eq!(engine.reconcile_pass().await.unwrap().recorded, MANY);
            for n in 0..MANY {
                let changes = world.ledger.history(id(sale, &format!("b{n}"), "k")).await.unwrap();
                assert_eq!(changes.iter().map(|change| change.source).collect::<Vec<_>>(), [Source::Hold]);
            }
            assert!(engine.reconcile_pass().await.unwrap().clean());
        },
    );
}

#[test]
fn c18_a_release_that_was_lost_is_found_by_the_node_that_owes_it_or_by_any_other() {
    for owed in [true, false] {
        alone(
            9,
            |_, _| {},
            move |world, engine, sale| async move {
                // More than a page.
                for who in ["ann", "bob", "cat", "dan", "eve"] {
                    confirmed(&world, &engine, sale, who, "k").await;
                }
                let other = node(&world, 2, |_| {}).await;
                // Both have walked past these holds before.
                assert!(engine.reconcile_pass().await.unwrap().clean() && other.reconcile_pass().await.unwrap().clean());
                refuse(&world, "gate.release");
                assert!(matches!(engine.cancel(id(sale, "ann", "k"), &buyer("ann"), None).await, Ok(Cancelled::Done(_))));
                heal(&world);
                let left = async || world.gate().fact(fence(&world, sale).await).await.unwrap().unwrap().left;
                assert_eq!(left().await, 4);
                if owed {
                    // The slow walk cannot be read: what is owed is released all the same.
                    refuse(&world, "gate.holds");
                    let _ = engine.reconcile_pass().await;
                } else {
                    assert_eq!(other.reconcile_pass().await.unwrap().released, 1);
                }
                assert_eq!(left().await, 5);
            },
        );
    }
}

#[test]
fn c18_what_died_is_released_at_once_and_what_was_too_late_never() {
    alone(
        9,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            let left = async || world.gate().fact(fence(&world, sale).await).await.unwrap().unwrap().left;
            let ann = confirmed(&world, &engine, sale, "ann", "k").await;
            let paying = Paying { payment: "p".parse().unwrap(), order: ann.id(), amount: 9_900 };
            assert!(matches!(engine.pay(&paying).await, Ok(Paid::Settled(_))));
            assert!(
                matches!(engine.cancel(ann.id(), &buyer("ann"), None).await, Ok(Cancelled::Late(order)) if order.status == Status::Paid)
            );
            assert_eq!(left().await, 8, "the hold of a live order stays");
            let bob = confirmed(&world, &engine, sale, "bob", "k").await;
            engine.cancel(bob.id(), &buyer("bob"), None).await.unwrap();
            assert_eq!(left().await, 8);
            confirmed(&world, &engine, sale, "cat", "k").await;
            assert_eq!(left().await, 7);
            world.clock.sleep_us(3_000_000).await;
            engine.clock_pass().await.unwrap();
            assert_eq!(left().await, 8, "expired");
            assert!(matches!(engine.refund(ann.id()).await, Ok(sale::ports::Refunding::Refunded(_))));
            assert_eq!(left().await, 9, "refunded");
            // A cancel that the ledger does not hear releases nothing.
            let dan = confirmed(&world, &engine, sale, "dan", "k").await;
            refuse(&world, "ledger.close");
            assert!(engine.cancel(dan.id(), &buyer("dan"), None).await.is_err());
            assert_eq!(left().await, 8);
        },
    );
}

#[test]
fn c18_what_the_ledger_refused_is_released_at_once() {
    alone(
        2,
        |_, _| {},
        |world, engine, sale| async move {
            // A hand has emptied the ledger: neither the message nor the hold can be confirmed.
            assert!(world.ledger.set_left_by_hand(sale, 0));
            buys(&engine, wish(sale, "ann", "k", 1)).await;
            engine.record_pass(0).await.unwrap();
            assert_eq!(row(&world, id(sale, "ann", "k")).await.unwrap().status, Status::Rejected);
            assert_eq!(gate_left(&world, sale).await, 2);
            refuse(&world, "queue.settle");
            buys(&engine, wish(sale, "bob", "k", 1)).await;
            heal(&world);
            let found = engine.reconcile(sale).await.unwrap().unwrap();
            assert_eq!((found.recorded, found.released), (1, 1));
            assert_eq!(gate_left(&world, sale).await, 2);
        },
    );
}

#[test]
fn c54_a_hold_is_recorded_under_its_own_epoch() {
    alone(
        3,
        |_, _| {},
        |world, engine, sale| async move {
            refuse(&world, "queue.settle");
            buys(&engine, wish(sale, "ann", "k", 1)).await;
            heal(&world);
            let other = node(&world, 2, |_| {}).await;
            // Another node rebuilds between the reconciler's look and its record.
            let mut reconciling = Box::pin(engine.reconcile(sale));
            go_to(&world, &mut reconciling, "ledger.orders");
            assert!(matches!(other.rebuild(sale).await, Ok(Operated::Done(_))));
            reconciling.await.unwrap();
            let order = row(&world, id(sale, "ann", "k")).await.unwrap();
            assert_eq!((order.status, order.reason), (Status::Rejected, Some(sale::order::Reason::StaleEpoch)));
        },
    );
}

#[test]
fn c54_a_new_epoch_is_walked_from_its_first_hold() {
    alone(
        MANY as i64,
        |_, terms| terms.pay_within_s = 2,
        |world, engine, sale| async move {
            for n in 0..MANY {
                confirmed(&world, &engine, sale, &format!("old-{n}"), "k").await;
            }
            engine.reconcile_pass().await.unwrap();
            world.clock.sleep_us(3_000_000).await;
            for _ in 0..MANY / 3 + 1 {
                engine.clock_pass().await.unwrap();
            }
            // None of them lives, so the new epoch begins with no hold.
            assert!(matches!(engine.rebuild(sale).await, Ok(Operated::Done(_))));
            assert_eq!(gate_left(&world, sale).await, MANY as i64);
            refuse(&world, "queue.settle");
            for n in 0..MANY {
                buys(&engine, wish(sale, &format!("new-{n}"), "k", 1)).await;
            }
            world.clock.sleep_us(1_500_000).await;
            engine.watch_pass().await.unwrap();
            assert_eq!(engine.reconcile_pass().await.unwrap().recorded, MANY);
        },
    );
}

#[test]
fn c54_a_fault_in_one_sale_does_not_keep_the_others_from_repair() {
    alone(
        3,
        |_, _| {},
        |world, engine, sale| async move {
            let other = terms("s2");
            engine.create(&other, 3, "op").await.unwrap().unwrap();
            assert!(matches!(engine.open(other.id).await, Ok(Operated::Done(_))));
            refuse(&world, "queue.settle");
            for sale in [sale, other.id] {
                buys(&engine, wish(sale, "ann", "k", 1)).await;
            }
            world.clock.sleep_us(1_500_000).await;
            heal(&world);
            engine.watch_pass().await.unwrap();
            let mut first = true;
            world.fates(move |call, _| if call == "gate.holds" && std::mem::take(&mut first) { Fate::Refuse } else { Fate::Pass });
            assert_eq!(engine.reconcile_pass().await.unwrap().recorded, 1);
            assert_eq!(row(&world, id(other.id, "ann", "k")).await.unwrap().status, Status::Confirmed);
        },
    );
}

#[test]
fn c55_the_slow_walk_misses_a_row_that_an_index_still_has() {
    alone(
        3,
        |_, _| {},
        |world, engine, sale| async move {
            let id = confirmed(&world, &engine, sale, "ann", "k").await.id();
            world.clock.sleep_us(1_500_000).await;
            engine.watch_pass().await.unwrap();
            // The first look at the hold is by the index, and is over.
            assert!(engine.reconcile_pass().await.unwrap().clean());
            assert!(world.ledger.delete_row_by_hand(id));
            let before = world.calls().len();
            let _ = engine.reconcile_pass().await;
            assert!(world.calls()[before..].contains(&"ledger.orders"), "the rows themselves are read: {:?}", &world.calls()[before..]);
            assert!(world.ledger.sale(sale).await.unwrap().unwrap().stopped.is_some());
        },
    );
}

#[test]
fn c54_a_hold_from_the_future_is_not_young_until_then() {
    alone(
        3,
        |_, _| {},
        |world, engine, sale| async move {
            // A node whose clock was two hours ahead held it, and its message was lost.
            let fence = fence(&world, sale).await;
            let mut batch = batch_of(sale, fence.epoch, 1);
            batch.asks[0].asked_at = DAWN.after_ms(7_200_000);
            assert_eq!(world.gate().hold(fence, &batch).await.unwrap().unwrap().0, sale::ports::Held::All);
            assert_eq!(engine.reconcile_pass().await.unwrap().recorded, 1);
        },
    );
}

#[test]
fn a_pass_reads_so_many_pages_of_the_slow_walk_and_ends_it_at_its_end() {
    alone(
        MANY as i64,
        |_, _| {},
        |world, engine, sale| async move {
            for n in 0..MANY {
                confirmed(&world, &engine, sale, &format!("b{n}"), "k").await;
            }
            // Pages of three, twenty of them a pass; the first pass sees every hold once before.
            let pages = MANY.div_ceil(3);
            let mut passed = Vec::new();
            for _ in 0..3 {
                let before = world.calls().iter().filter(|call| **call == "gate.holds").count();
                let looked = engine.reconcile_pass().await.unwrap().looked;
                passed.push((world.calls().iter().filter(|call| **call == "gate.holds").count() - before, looked));
            }
            let all = usize::try_from(pages).unwrap();
            // The last page of the first walk is read again: more holds may stand behind it.
            let again = MANY - 3 * (pages - 1);
            assert_eq!(passed, [(all + 20, MANY + 60), (1 + all - 20, again + MANY - 60), (1 + 20, again + 60)]);
        },
    );
}
