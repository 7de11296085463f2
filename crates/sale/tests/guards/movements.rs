//! Raises and withdrawals: which store goes first, and once per key.

use super::*;

#[test]
fn c38_a_restock_reaches_the_gate_at_once_or_with_the_reconciler() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            let left = async || world.gate().fact(fence(&world, sale).await).await.unwrap().unwrap().left;
            let restock = async |key: &str, units| engine.restock(sale, &key.parse().unwrap(), units, "op", "more").await.unwrap();
            assert!(matches!(restock("a", 2).await, Stocked::Done(_)));
            assert_eq!(left().await, 3);
            refuse(&world, "gate.raise");
            assert!(matches!(restock("b", 4).await, Stocked::Done(_)), "the ledger has it");
            assert_eq!(left().await, 3);
            assert!(matches!(restock("b", 5).await, Stocked::Mismatch(_)));
            heal(&world);
            assert_eq!(engine.reconcile_pass().await.unwrap().raises, 1);
            assert_eq!(left().await, 7);
            assert_eq!(engine.reconcile_pass().await.unwrap().raises, 0);
            assert_eq!(left().await, 7);
        },
    );
}

#[test]
fn c37_a_withdrawal_goes_gate_first_counts_once_and_is_completed_by_the_reconciler() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let stock = async || {
                (
                    world.gate().fact(fence(&world, sale).await).await.unwrap().unwrap().left,
                    world.ledger.sale(sale).await.unwrap().unwrap().left,
                )
            };
            let take = |key: &str, units| Withdrawal { key: key.parse().unwrap(), units, actor: "op".into(), reason: "less".into() };
            // What the gate does not hear of never reaches the ledger.
            refuse(&world, "gate.withdraw");
            assert!(engine.withdraw(sale, &take("a", 1)).await.is_err());
            assert_eq!(stock().await, (5, 5));
            // What the ledger does not hear of is out of the gate, until the reconciler comes.
            refuse(&world, "ledger.withdraw");
            assert!(engine.withdraw(sale, &take("a", 1)).await.is_err());
            assert_eq!(stock().await, (4, 5));
            heal(&world);
            assert_eq!(engine.reconcile_pass().await.unwrap().withdrawals, 1);
            assert_eq!(stock().await, (4, 4));
            assert_eq!(engine.reconcile_pass().await.unwrap().withdrawals, 0, "it is finished in the gate too");
            assert!(matches!(engine.withdraw(sale, &take("a", 1)).await, Ok(Stocked::Done(_))));
            assert!(matches!(engine.withdraw(sale, &take("a", 2)).await, Ok(Stocked::Mismatch(_))));
            assert_eq!(stock().await, (4, 4));
            // The gate is rebuilt and knows the key again.
            while !matches!(engine.rebuild(sale).await, Ok(Operated::Done(_))) {
                world.clock.sleep_us(100_000).await;
            }
            refuse(&world, "ledger.movement");
            assert!(engine.withdraw(sale, &take("a", 1)).await.is_err(), "the key is asked first");
            heal(&world);
            assert_eq!(stock().await, (4, 4));
            // A sale without a gate has nothing to withdraw from.
            engine.create(&terms("s2"), 5, "op").await.unwrap().unwrap();
            assert_eq!(engine.withdraw("s2".parse().unwrap(), &take("a", 1)).await, Ok(Stocked::NotNow));
        },
    );
}

#[test]
fn c37_a_withdrawal_that_the_ledger_refuses_gives_its_units_back() {
    alone(
        5,
        |_, terms| terms.holdback = 0,
        |world, engine, sale| async move {
            // A hand has taken units out of the ledger that the gate still has.
            let units = |key: &str, units| Withdrawal { key: key.parse().unwrap(), units, actor: "op".into(), reason: "less".into() };
            assert!(world.ledger.set_left_by_hand(sale, 2));
            assert!(matches!(engine.withdraw(sale, &units("a", 3)).await, Ok(Stocked::Refused { .. })));
            assert_eq!(world.gate().fact(fence(&world, sale).await).await.unwrap().unwrap().left, 5);
            assert!(world.ledger.set_left_by_hand(sale, 5));
            // One of an older epoch is neither recorded nor given back: the rebuild has settled it.
            let old = fence(&world, sale).await;
            world.gate().withdraw(old, &units("b", 2)).await.unwrap().unwrap();
            assert_eq!(world.ledger.withdraw(sale, Epoch(0), &units("b", 2)).await.unwrap(), sale::ports::Moved::Stale);
        },
    );
}

#[test]
fn c37_a_withdrawal_is_recorded_under_its_own_epoch_and_its_key_answers_while_nobody_decides() {
    alone(
        5,
        |_, _| {},
        |world, engine, sale| async move {
            let take = |key: &str, units| Withdrawal { key: key.parse().unwrap(), units, actor: "op".into(), reason: "less".into() };
            let other = node(&world, 2, |_| {}).await;
            // Another node rebuilds between the gate's half and the ledger's: the units are in the new gate.
            let first = take("a", 1);
            let mut withdrawing = Box::pin(engine.withdraw(sale, &first));
            go_to(&world, &mut withdrawing, "gate.withdraw");
            assert!(matches!(other.rebuild(sale).await, Ok(Operated::Done(_))));
            assert_eq!(withdrawing.await, Ok(Stocked::Recovering));
            assert_eq!((gate_left(&world, sale).await, world.ledger.sale(sale).await.unwrap().unwrap().left), (5, 5));
            engine.watch_pass().await.unwrap();
            assert!(matches!(engine.withdraw(sale, &first).await, Ok(Stocked::Done(_))), "again, with the same key");
            assert_eq!((gate_left(&world, sale).await, world.ledger.sale(sale).await.unwrap().unwrap().left), (4, 4));
            world.gate().wipe();
            buys(&engine, wish(sale, "ann", "k", 1)).await;
            assert!(engine.sale(sale).unwrap().recovering);
            assert!(matches!(engine.withdraw(sale, &first).await, Ok(Stocked::Done(_))));
            assert_eq!(engine.withdraw(sale, &take("b", 1)).await, Ok(Stocked::Recovering));
            // Nothing is moved by nothing, nor backwards.
            for units in [0, -1, i64::MIN] {
                let calls = world.calls().len();
                assert!(matches!(engine.withdraw(sale, &take("c", units)).await, Ok(Stocked::Refused { .. })));
                assert!(matches!(engine.restock(sale, &"d".parse().unwrap(), units, "op", "none").await, Ok(Stocked::Refused { .. })));
                assert_eq!(world.calls().len(), calls);
            }
        },
    );
}

#[test]
fn c38_raises_go_to_the_gate_in_their_order_or_not_at_all() {
    alone(
        1,
        |_, _| {},
        |world, engine, sale| async move {
            let before = world.gate().remember();
            let run = fence(&world, sale).await.run;
            let restock = async |key: &str| engine.restock(sale, &key.parse().unwrap(), 2, "op", "more").await.unwrap();
            restock("a").await;
            refuse(&world, "gate.raise");
            restock("b").await;
            heal(&world);
            // The gate has the first, and forgets it when the second is about to come.
            let mut pass = Box::pin(engine.reconcile_pass());
            go_to(&world, &mut pass, "ledger.raises");
            world.gate().rewind(&before, run);
            assert_eq!(pass.await.unwrap().raises, 0, "the second does not come before the first");
            assert_eq!(gate_left(&world, sale).await, 1);
            // The next pass begins where the gate is; another node may be ahead of it meanwhile.
            let mut pass = Box::pin(engine.reconcile_pass());
            go_to(&world, &mut pass, "ledger.raises");
            let fence = fence(&world, sale).await;
            for number in [2, 3] {
                world.gate().raise(fence, number, 2).await.unwrap().unwrap();
            }
            pass.await.unwrap();
            assert_eq!(gate_left(&world, sale).await, 5);
        },
    );
}

#[test]
fn an_operators_verb_finds_a_sale_that_another_node_has_just_made() {
    alone(
        1,
        |_, _| {},
        |world, engine, _| async move {
            let other = node(&world, 2, |_| {}).await;
            let sale = terms("s2").id;
            engine.create(&terms("s2"), 5, "op").await.unwrap().unwrap();
            assert!(matches!(engine.open(sale).await, Ok(Operated::Done(_))));
            let less = Withdrawal { key: "w1".parse().unwrap(), units: 1, actor: "op".into(), reason: "less".into() };
            assert_eq!(other.withdraw(sale, &less).await, Ok(Stocked::Recovering), "it has not asked that sale's gate yet");
            assert!(matches!(other.restock(sale, &"r1".parse().unwrap(), 2, "op", "more").await, Ok(Stocked::Done(_))));
            assert_eq!(other.restock(terms("s3").id, &"r1".parse().unwrap(), 2, "op", "more").await, Ok(Stocked::NoSale));
        },
    );
}
