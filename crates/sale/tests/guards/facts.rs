//! Facts that refuse without asking, and ids that are looked up first.

use super::*;

#[test]
fn c22_a_fact_refuses_without_asking_and_lapses() {
    alone(
        2,
        |_, terms| terms.limit_per_buyer = 2,
        |world, engine, sale| async move {
            engine.watch_pass().await.unwrap();
            buys(&engine, wish(sale, "ann", "k", 2)).await;
            engine.record_pass(0).await.unwrap();
            let asked = || world.calls().len();
            let before = asked();
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
            assert_eq!(asked(), before, "no store was asked");
            // The holder's retry is not told so: its id is known.
            assert!(matches!(buys(&engine, wish(sale, "ann", "k", 2)).await, Answer::Row(_)));
            // Another node cancels it; this one does not hear of it, and its fact lapses.
            let other = node(&world, 2, |_| {}).await;
            assert!(matches!(other.cancel(id(sale, "ann", "k"), &buyer("ann"), None).await, Ok(Cancelled::Done(_))));
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 2)).await, Answer::Refused(Refusal::SoldOut { left: 0 }), "not yet");
            world.clock.sleep_us(1_200_000).await;
            assert!(matches!(buys(&engine, wish(sale, "bob", "k", 2)).await, Answer::Processing { .. }), "as many as are left");
        },
    );
}

#[test]
fn c22_a_fact_of_an_older_epoch_refuses_nobody_and_is_shown_to_nobody() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            buys(&engine, wish(sale, "ann", "k", 1)).await;
            assert_eq!(engine.sale(sale).unwrap().fact.unwrap().left, 0);
            // Another node rebuilds: the hold was never recorded, so its unit is free again.
            let other = node(&world, 2, |settings| settings.drain_ms = 0).await;
            assert!(matches!(other.rebuild(sale).await, Ok(Operated::Done(_))));
            refuse(&world, "gate.fact");
            let _ = engine.watch_pass().await;
            assert_eq!(engine.sale(sale).unwrap().fact, None);
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Busy(Busy::Recovering));
            heal(&world);
            engine.watch_pass().await.unwrap();
            assert_eq!(engine.sale(sale).unwrap().fact.unwrap().left, 1, "a lower version of a newer epoch is newer");
            assert!(matches!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Processing { .. }));
        },
    );
}

#[test]
fn a8_an_id_that_only_the_ledger_knows_is_found_behind_a_sold_out_fact() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            for n in 0..5 {
                confirmed(&world, &engine, sale, &format!("b{n}"), "k").await;
            }
            // A node that has just come: until its filter is loaded it may know any id, after that these.
            let fresh = by_hand(&world, 2, &[(1, SECRET.to_vec())], |_| {});
            fresh.start().await.unwrap();
            for loaded in [false, true] {
                for n in 0..5 {
                    let told = buys(&fresh, wish(sale, &format!("b{n}"), "k", 1)).await;
                    assert!(matches!(told, Answer::Row(_)), "loaded: {loaded}: {told:?}");
                }
                fresh.watch_pass().await.unwrap();
            }
            // And its look-up does not answer: nobody is refused by it.
            refuse(&world, "ledger.orders");
            assert_eq!(buys(&fresh, wish(sale, "b0", "k", 1)).await, Answer::Busy(Busy::Overloaded));
        },
    );
}

#[test]
fn a8_a_ticket_forces_the_look_up_where_the_filter_has_not_heard_of_its_id() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            let other = node(&world, 2, |_| {}).await;
            other.watch_pass().await.unwrap();
            let Answer::Processing { ticket, .. } = buys(&engine, wish(sale, "ann", "k", 1)).await else { panic!() };
            engine.record_pass(0).await.unwrap();
            // The other node knows that nothing is left, and not whose the last one is.
            assert_eq!(buys(&other, wish(sale, "bob", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
            let told = buys(&other, Wish { ticket: Some(ticket), ..wish(sale, "ann", "k", 1) }).await;
            assert!(matches!(told, Answer::Row(_)), "{told:?}");
        },
    );
}

#[test]
fn c31_what_has_ended_is_not_said_of_a_purchase_that_is_held_or_cannot_be_looked_up() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            confirmed(&world, &engine, sale, "ann", "k").await;
            let Answer::Processing { .. } = buys(&engine, wish(sale, "bob", "k", 1)).await else { panic!() };
            world.ledger.change_sale(sale, &SaleChange::End).await.unwrap();
            engine.watch_pass().await.unwrap();
            assert!(matches!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Row(_)));
            assert_eq!(buys(&engine, wish(sale, "ann", "k", 2)).await, Answer::Refused(Refusal::Mismatch));
            assert!(matches!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Processing { .. }), "held, no row yet");
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 2)).await, Answer::Refused(Refusal::Mismatch));
            assert_eq!(buys(&engine, wish(sale, "cat", "k", 1)).await, Answer::Refused(Refusal::Ended));
            refuse(&world, "ledger.orders");
            assert_eq!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Busy(Busy::Overloaded));
            // The gate does not answer, or is gone: nobody can say that bob holds nothing.
            refuse(&world, "gate.held");
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Busy(Busy::Recovering));
            heal(&world);
            world.gate().wipe();
            for _ in 0..2 {
                assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Busy(Busy::Recovering));
            }
        },
    );
}

#[test]
fn c22_an_older_fact_does_not_replace_a_newer_one() {
    alone(
        2,
        |_, _| {},
        |world, engine, sale| async move {
            let mut watch = Box::pin(engine.watch_pass());
            read_and_wait(&world, &mut watch, "gate.fact").await;
            for who in ["ann", "bob"] {
                confirmed(&world, &engine, sale, who, "k").await;
            }
            watch.await.unwrap();
            assert_eq!(engine.sale(sale).unwrap().fact.unwrap().left, 0);
        },
    );
}

#[test]
fn a8_an_id_that_a_rebuild_loaded_is_found_behind_a_sold_out_fact() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            // The other node's filter was loaded before ann bought.
            let other = node(&world, 2, |_| {}).await;
            confirmed(&world, &engine, sale, "ann", "k").await;
            assert!(matches!(other.rebuild(sale).await, Ok(Operated::Done(_))));
            assert_eq!(buys(&other, wish(sale, "bob", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
            assert!(matches!(buys(&other, wish(sale, "ann", "k", 1)).await, Answer::Row(_)));
        },
    );
}

#[test]
fn a8_an_id_that_this_node_recorded_for_another_is_found_behind_a_sold_out_fact() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            let other = node(&world, 2, |_| {}).await;
            buys(&other, wish(sale, "ann", "k", 1)).await;
            engine.record_pass(0).await.unwrap();
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
            assert!(matches!(buys(&engine, wish(sale, "ann", "k", 1)).await, Answer::Row(_)));
        },
    );
}

#[test]
fn a8_more_new_rows_than_a_pass_can_read_are_all_found() {
    alone(
        100,
        |settings, _| settings.page_max = 1,
        |world, engine, sale| async move {
            engine.watch_pass().await.unwrap();
            // Another node's rows, more than twenty pages of one.
            let other = node(&world, 2, |_| {}).await;
            for n in 0..30 {
                confirmed(&world, &other, sale, &format!("b{n}"), "k").await;
            }
            let withdrawal = Withdrawal { key: "w".parse().unwrap(), units: 70, actor: "op".into(), reason: "less".into() };
            assert!(matches!(engine.withdraw(sale, &withdrawal).await, Ok(Stocked::Done(_))));
            for pass in 0..4 {
                engine.watch_pass().await.unwrap();
                for n in 0..30 {
                    let told = buys(&engine, wish(sale, &format!("b{n}"), "k", 1)).await;
                    assert!(matches!(told, Answer::Row(_)), "b{n} after pass {pass}: {told:?}");
                }
            }
        },
    );
}

#[test]
fn a8_a_node_that_does_not_hear_of_the_others_rows_refuses_none_by_a_fact() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            // Another node sells the last unit; this one hears of the stock and not of the row.
            let other = node(&world, 2, |_| {}).await;
            confirmed(&world, &other, sale, "ann", "k").await;
            refuse(&world, "ledger.page");
            let told = |who: &'static str| buys(&engine, wish(sale, who, "k", 1));
            for _ in 0..8 {
                world.clock.sleep_us(200_000).await;
                let _ = engine.watch_pass().await;
            }
            assert_eq!(told("bob").await, Answer::Refused(Refusal::SoldOut { left: 0 }));
            assert!(matches!(told("ann").await, Answer::Row(_)), "the gate's fact is fresh, but the filter is not");
        },
    );
}

#[test]
fn a_sale_is_unknown_only_to_a_node_that_has_read_the_sales_lately() {
    alone(
        1,
        |_, _| {},
        |world, engine, _| async move {
            let nowhere: SaleId = "nowhere".parse().unwrap();
            let id = id(nowhere, "ann", "k");
            let new = by_hand(&world, 2, &[(1, SECRET.to_vec())], |_| {});
            assert_eq!(buys(&new, wish(nowhere, "ann", "k", 1)).await, Answer::Busy(Busy::Recovering));
            assert!(new.order(id, &buyer("ann"), None, None, 0).await.is_err());
            assert!(new.cancel(id, &buyer("ann"), None).await.is_err());
            engine.watch_pass().await.unwrap();
            assert_eq!(buys(&engine, wish(nowhere, "ann", "k", 1)).await, Answer::Refused(Refusal::UnknownSale));
            assert!(matches!(engine.order(id, &buyer("ann"), None, None, 0).await, Ok(Shown::Unknown)));
            assert!(matches!(engine.cancel(id, &buyer("ann"), None).await, Ok(Cancelled::Unknown)));
            world.clock.sleep_us(900_000).await;
            assert_eq!(buys(&engine, wish(nowhere, "ann", "k", 1)).await, Answer::Refused(Refusal::UnknownSale), "not for so long");
            // It stood still: another node may have made the sale meanwhile.
            world.clock.sleep_us(2_000_000).await;
            assert_eq!(buys(&engine, wish(nowhere, "ann", "k", 1)).await, Answer::Busy(Busy::Recovering));
        },
    );
}

#[test]
fn a_node_that_writes_alone_knows_all_sales_and_all_ids_for_ever() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            world.ledger.promise_exclusive();
            confirmed(&world, &engine, sale, "ann", "k").await;
            let nowhere: SaleId = "nowhere".parse().unwrap();
            let looks = || world.calls().iter().filter(|call| **call == "gate.look").count();
            let before = looks();
            world.clock.sleep_us(2_000_000).await;
            assert_eq!(buys(&engine, wish(nowhere, "bob", "k", 1)).await, Answer::Refused(Refusal::UnknownSale));
            // The gate confirms its fact; rows of others there are none.
            engine.watch_pass().await.unwrap();
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
            assert_eq!(looks(), before, "a fact refused without asking");
        },
    );
}

#[test]
fn c22_a_fact_lives_as_long_as_it_is_said_to() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            world.ledger.promise_exclusive();
            confirmed(&world, &engine, sale, "ann", "k").await;
            engine.watch_pass().await.unwrap();
            refuse(&world, "gate.look");
            world.clock.sleep_us(900_000).await;
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }), "without asking");
            world.clock.sleep_us(200_000).await;
            assert_eq!(buys(&engine, wish(sale, "bob", "k", 1)).await, Answer::Busy(Busy::Overloaded), "the gate is asked");
        },
    );
}

#[test]
fn a8_what_another_node_holds_is_looked_up_by_all() {
    for (page_max, exclusive) in [(3, false), (100, false), (3, true)] {
        let crowd = 7;
        alone(
            crowd,
            move |settings, _| settings.page_max = page_max,
            move |world, engine, sale| async move {
                let other = node(&world, 2, |settings| settings.page_max = page_max).await;
                other.watch_pass().await.unwrap();
                for n in 0..crowd {
                    // Held, and no message is recorded.
                    buys(&engine, wish(sale, &format!("b{n}"), "k", 1)).await;
                    other.watch_pass().await.unwrap();
                }
                assert_eq!(buys(&other, wish(sale, "next", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
                for n in 0..crowd {
                    let told = buys(&other, wish(sale, &format!("b{n}"), "k", 1)).await;
                    assert!(matches!(told, Answer::Processing { .. }), "b{n} holds a unit and is told {told:?}");
                }
                // A process that comes now reads all of it before it refuses anybody by a fact: also one that writes alone, and
                // whose gate outlived the process before it.
                if exclusive {
                    world.ledger.promise_exclusive();
                }
                let fresh = node(&world, 3, |settings| settings.page_max = page_max).await;
                for _ in 0..3 {
                    let told = buys(&fresh, wish(sale, "b0", "k", 1)).await;
                    assert!(matches!(told, Answer::Processing { .. }), "{told:?}");
                    fresh.watch_pass().await.unwrap();
                }
                assert_eq!(buys(&fresh, wish(sale, "next", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
            },
        );
    }
}

#[test]
fn a_pass_reads_new_rows_and_not_all_of_them_again() {
    alone(
        200,
        |_, _| {},
        |world, engine, sale| async move {
            for n in 0..90 {
                confirmed(&world, &engine, sale, &format!("b{n}"), "k").await;
            }
            // A draft has no rows to be read again.
            engine.create(&terms("s2"), 5, "op").await.unwrap().unwrap();
            let other = node(&world, 2, |_| {}).await;
            let pages = || world.calls().iter().filter(|call| **call == "ledger.page").count();
            // Thirty pages, twenty a pass.
            for _ in 0..3 {
                other.watch_pass().await.unwrap();
            }
            for _ in 0..3 {
                let before = pages();
                confirmed(&world, &engine, sale, &format!("new-{before}"), "k").await;
                other.watch_pass().await.unwrap();
                assert_eq!(pages() - before, 1, "the first page has a row that was seen");
            }
        },
    );
}

#[test]
fn a_rebuild_of_one_sale_keeps_no_node_from_hearing_of_the_others() {
    alone(
        3,
        |settings, _| settings.drain_ms = 5_000,
        |world, engine, sale| async move {
            // A backlog that nobody records, and a gate that is gone.
            buys(&engine, wish(sale, "ann", "k", 1)).await;
            world.gate().wipe();
            engine.create(&terms("s2"), 5, "op").await.unwrap().unwrap();
            let reads = || world.calls().iter().filter(|call| **call == "ledger.sales").count();
            let (before, since_us) = (reads(), world.clock.elapsed_us());
            engine.watch_pass().await.unwrap();
            assert!(world.clock.elapsed_us() - since_us >= 5_000_000, "it waited for the consumer");
            assert!(reads() - before >= 9, "{} reads of the sales in five seconds", reads() - before);
            assert!(!engine.sale(sale).unwrap().recovering);
        },
    );
}

#[test]
fn a8_what_another_node_recorded_and_released_is_looked_up_too() {
    alone(
        7,
        |_, _| {},
        |world, engine, sale| async move {
            let other = node(&world, 2, |_| {}).await;
            other.watch_pass().await.unwrap();
            // More rows than a page, none of them with a hold; then the stock goes to others.
            for n in 0..7 {
                confirmed(&world, &engine, sale, &format!("b{n}"), "k").await;
            }
            for n in 0..7 {
                assert!(matches!(
                    engine.cancel(id(sale, &format!("b{n}"), "k"), &buyer(&format!("b{n}")), None).await,
                    Ok(Cancelled::Done(_))
                ));
            }
            for n in 0..7 {
                buys(&engine, wish(sale, &format!("c{n}"), "k", 1)).await;
            }
            other.watch_pass().await.unwrap();
            assert_eq!(buys(&other, wish(sale, "next", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
            for n in 0..7 {
                let told = buys(&other, wish(sale, &format!("b{n}"), "k", 1)).await;
                assert!(matches!(&told, Answer::Row(order) if order.status == Status::Cancelled), "b{n} has a row and is told {told:?}");
            }
        },
    );
}
