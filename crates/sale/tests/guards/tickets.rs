//! Tickets and owners: who may see, cancel and lose what.

use super::*;

#[test]
fn c56_a_ticket_is_good_for_its_own_purchase_of_its_own_buyer_alone() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let other = terms("s2");
            engine.create(&other, 5, "op").await.unwrap().unwrap();
            assert!(matches!(engine.open(other.id).await, Ok(Operated::Done(_))));
            engine.watch_pass().await.unwrap();
            // Neither hold nor row: only the ticket speaks for it.
            world.fates(|call, _| if matches!(call, "gate.hold" | "gate.decision_or_void") { Fate::Drop } else { Fate::Pass });
            let Answer::Processing { id: mine, ticket } = buys(&engine, wish(sale, "ann", "k", 1)).await else { panic!() };
            heal(&world);
            let show =
                async |engine: &Engine, id, who: &str, ticket: &str| engine.order(id, &buyer(who), Some(ticket), None, 0).await.unwrap();
            assert_eq!(show(&engine, mine, "ann", &ticket).await, Shown::Processing);
            assert_eq!(show(&engine, id(sale, "ann", "k2"), "ann", &ticket).await, Shown::Unknown, "another purchase");
            assert_eq!(show(&engine, mine, "bob", &ticket).await, Shown::Unknown, "another buyer");
            assert_eq!(show(&engine, OrderId { sale: other.id, ..mine }, "ann", &ticket).await, Shown::Unknown, "another sale");
            // Any character changed: its time, its price, its MAC.
            for at in 0..ticket.len() {
                let mut forged = ticket.clone().into_bytes();
                forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
                let forged = String::from_utf8(forged).unwrap();
                assert_eq!(show(&engine, mine, "ann", &forged).await, Shown::Unknown, "changed at {at}");
                assert_eq!(engine.cancel(mine, &buyer("ann"), Some(&forged)).await.unwrap(), Cancelled::Unknown);
            }
            assert!(row(&world, mine).await.is_none());
            // A key is replaced by putting a new one in front.
            let newer = [(2, b"a newer secret".to_vec()), (1, SECRET.to_vec())];
            for (keys, expect) in [(&newer[..], Shown::Processing), (&newer[..1], Shown::Unknown)] {
                let engine = by_hand(&world, 2, keys, |_| {});
                engine.start().await.unwrap();
                assert_eq!(show(&engine, mine, "ann", &ticket).await, expect);
            }
        },
    );
}

#[test]
fn c17_c19_a_ticket_alone_cancels_what_left_nothing() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            world.fates(|call, _| if matches!(call, "gate.hold" | "gate.decision_or_void") { Fate::Drop } else { Fate::Pass });
            let Answer::Processing { id, ticket } = buys(&engine, wish(sale, "ann", "k", 1)).await else { panic!() };
            heal(&world);
            assert_eq!(engine.cancel(id, &buyer("ann"), None).await.unwrap(), Cancelled::Unknown);
            let Cancelled::Done(order) = engine.cancel(id, &buyer("ann"), Some(&ticket)).await.unwrap() else { panic!() };
            assert_eq!((order.status, row(&world, id).await.unwrap().status), (Status::Cancelled, Status::Cancelled));
            // Its late message would find the tombstone, and no unit was given back that was never taken.
            assert_eq!(world.ledger.sale(sale).await.unwrap().unwrap().left, 1);
        },
    );
}

#[test]
fn c56_nothing_is_lost_while_the_gate_cannot_tell() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            // Held; its message is not recorded, and the ticket grows old.
            let Answer::Processing { id, ticket } = buys(&engine, wish(sale, "ann", "k", 1)).await else { panic!() };
            world.clock.sleep_us(20_000_000).await;
            engine.watch_pass().await.unwrap();
            let show = async || engine.order(id, &buyer("ann"), Some(&ticket), None, 0).await.unwrap();
            assert_eq!(show().await, Shown::Processing, "its hold is there");
            refuse(&world, "gate.held");
            assert_eq!(show().await, Shown::Processing, "the gate does not answer");
            assert!(engine.order(id, &buyer("ann"), None, None, 0).await.is_err(), "no such order would be a lie");
            assert!(engine.cancel(id, &buyer("ann"), None).await.is_err());
            heal(&world);
            world.gate().wipe();
            assert_eq!(show().await, Shown::Processing, "the gate is not the decider");
            assert_eq!(show().await, Shown::Processing, "and known as such");
            assert!(row(&world, id).await.is_none(), "no row was written");
            engine.record_pass(0).await.unwrap();
            assert_eq!(row(&world, id).await.unwrap().status, Status::Confirmed);
        },
    );
}

#[test]
fn c56_an_order_is_its_buyers_alone() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let order = confirmed(&world, &engine, sale, "ann", "k").await;
            assert_eq!(engine.order(order.id(), &buyer("bob"), None, None, 0).await.unwrap(), Shown::Unknown);
            assert_eq!(engine.cancel(order.id(), &buyer("bob"), None).await.unwrap(), Cancelled::Unknown);
            // By the hold too, while there is no row.
            let Answer::Processing { id, .. } = buys(&engine, wish(sale, "cat", "k", 1)).await else { panic!() };
            assert_eq!(engine.order(id, &buyer("bob"), None, None, 0).await.unwrap(), Shown::Unknown);
            assert_eq!(engine.order(id, &buyer("cat"), None, None, 0).await.unwrap(), Shown::Processing);
            assert_eq!(engine.cancel(id, &buyer("bob"), None).await.unwrap(), Cancelled::Unknown);
            assert_eq!(row(&world, order.id()).await.unwrap().status, Status::Confirmed);
        },
    );
}

#[test]
fn c21_a_ticket_from_the_future_is_lost_like_an_old_one() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            // The node that issued it ran half an hour ahead; ten seconds is the limit.
            let ahead = node_ahead(&world, 1_800_000_000).await;
            world.fates(|call, _| if matches!(call, "gate.hold" | "gate.decision_or_void") { Fate::Drop } else { Fate::Pass });
            let Answer::Processing { id, ticket } = buys(&ahead, wish(sale, "ann", "k", 1)).await else { panic!() };
            heal(&world);
            let Shown::Row(order) = engine.order(id, &buyer("ann"), Some(&ticket), None, 0).await.unwrap() else { panic!() };
            assert_eq!(order.status, Status::Rejected);
        },
    );
}

#[test]
fn c21_a_node_that_is_behind_does_not_take_a_young_ticket_for_one_from_the_future() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            // The ledger's clock jumped, and this node has not heard of it.
            world.ledger_jumps(60_000);
            world.clock.sleep_us(100_000).await;
            let other = node(&world, 2, |_| {}).await;
            world.fates(|call, _| if matches!(call, "gate.hold" | "gate.decision_or_void") { Fate::Drop } else { Fate::Pass });
            let Answer::Processing { id, ticket } = buys(&other, wish(sale, "ann", "k", 1)).await else { panic!() };
            heal(&world);
            assert_eq!(engine.order(id, &buyer("ann"), Some(&ticket), None, 0).await.unwrap(), Shown::Processing);
            assert_eq!(row(&world, id).await, None);
        },
    );
}

#[test]
fn c56_what_was_written_while_nobody_heard_the_answer_is_looked_up_all_the_same() {
    for cancels in [false, true] {
        alone(
            1,
            |_, _| {},
            move |world, engine, sale| async move {
                world.ledger.promise_exclusive();
                world.fates(|call, _| if matches!(call, "gate.hold" | "gate.decision_or_void") { Fate::Drop } else { Fate::Pass });
                let Answer::Processing { id, ticket } = buys(&engine, wish(sale, "ann", "k", 1)).await else { panic!() };
                heal(&world);
                // A new process, which has read everything, and in which the last unit goes to bob.
                let again = node(&world, 2, |_| {}).await;
                again.watch_pass().await.unwrap();
                confirmed(&world, &again, sale, "bob", "k").await;
                world.clock.sleep_us(20_000_000).await;
                again.watch_pass().await.unwrap();
                assert_eq!(buys(&again, wish(sale, "cat", "k", 1)).await, Answer::Refused(Refusal::SoldOut { left: 0 }));
                // Ann hangs up, or the answer is lost, in the moment in which the row that ends her purchase is written.
                world.fates(|call, _| if call == "ledger.close" { Fate::LoseReply } else { Fate::Pass });
                match cancels {
                    true => assert!(again.cancel(id, &buyer("ann"), Some(&ticket)).await.is_err()),
                    false => assert!(again.order(id, &buyer("ann"), Some(&ticket), None, 0).await.is_err()),
                }
                heal(&world);
                let status = row(&world, id).await.unwrap().status;
                let told = buys(&again, wish(sale, "ann", "k", 1)).await;
                assert!(matches!(&told, Answer::Row(order) if order.status == status), "{told:?}");
            },
        );
    }
}

#[test]
fn a_ticket_is_as_long_as_a_link_can_carry() {
    let (sale, tickets) = ("s1".parse().unwrap(), sale::purchase::Tickets::new(&[(1, SECRET.to_vec())]));
    let ask = sale::contract::ask(sale, "ann", 1);
    assert_eq!(tickets.issue(OrderId { sale, digest: ask.digest }, &ask).len(), 59, "44 bytes as base64url");
}
