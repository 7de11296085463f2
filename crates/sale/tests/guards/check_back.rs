//! The check-back: rollback on evidence and on nothing else.

use super::*;

async fn half(world: &World, number: u64, body: Vec<u8>) {
    let half = Half { batch: BatchId { node: 99, number }, tag: "book".into(), body };
    world.queue.prepare(half).await.unwrap();
}

#[test]
fn c06_a_check_back_rolls_back_on_evidence_and_on_nothing_else() {
    alone(
        9,
        |_, _| {},
        |world, engine, sale| async move {
            let now = world.ledger.sale(sale).await.unwrap().unwrap().epoch;
            let verdicts = async || {
                let before = (
                    engine.meters().checks_committed.get(),
                    engine.meters().checks_rolled_back.get(),
                    engine.meters().checks_unknown.get(),
                );
                world.clock.sleep_us(2_500_000).await;
                engine.check_back_pass(0).await.unwrap();
                let after = (
                    engine.meters().checks_committed.get(),
                    engine.meters().checks_rolled_back.get(),
                    engine.meters().checks_unknown.get(),
                );
                (after.0 - before.0, after.1 - before.1, after.2 - before.2)
            };
            let mut later = sale::message::encode(&batch_of(sale, now, 1));
            later[2] = 9;
            half(&world, 1, later).await;
            half(&world, 2, sale::message::encode(&batch_of("elsewhere".parse().unwrap(), now, 2))).await;
            assert_eq!(verdicts().await, (0, 0, 2), "of a later version; of a sale that this ledger has not");
            half(&world, 3, b"nobody ever reads this".to_vec()).await;
            assert_eq!(verdicts().await, (0, 1, 2), "poison");
            half(&world, 4, sale::message::encode(&batch_of(sale, now, 4))).await;
            refuse(&world, "ledger.sale");
            assert_eq!(verdicts().await, (0, 0, 3), "the ledger does not answer");
            refuse(&world, "gate.decision_or_void");
            assert_eq!(verdicts().await, (0, 0, 3), "the gate does not answer");
            heal(&world);
            world.gate().wipe();
            assert_eq!(verdicts().await, (0, 0, 3), "the gate is not the decider, and the epoch is not over");
            while !matches!(engine.rebuild(sale).await, Ok(Operated::Done(_))) {
                world.clock.sleep_us(100_000).await;
            }
            assert_eq!(verdicts().await, (0, 1, 2), "the epoch is over");
            let newer = world.ledger.sale(sale).await.unwrap().unwrap().epoch;
            half(&world, 5, sale::message::encode(&batch_of(sale, newer, 5))).await;
            assert_eq!(verdicts().await, (0, 1, 2), "the gate never heard of it: void");
            let told = world.gate().decision_or_void(fence(&world, sale).await, BatchId { node: 99, number: 5 }).await.unwrap();
            assert_eq!(told, Ok(Decision::Void), "and it is written");
            for change in [SaleChange::End, SaleChange::Archive] {
                world.ledger.change_sale(sale, &change).await.unwrap();
            }
            half(&world, 6, sale::message::encode(&batch_of(sale, newer, 6))).await;
            refuse(&world, "gate.decision_or_void");
            assert_eq!(verdicts().await, (0, 1, 2), "the sale is archived");
        },
    );
}
