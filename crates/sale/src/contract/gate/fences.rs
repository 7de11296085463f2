//! Promises about who decides: epochs, lives of the store, loading and publishing.

use super::super::{ask, ask_keyed, batch, buyers_of, digests, sale, skipped};
use super::{GateRig, batch_of, books, held, hold, left, look, open, rebuilt};
use crate::ports::{Decision, Fence, Gate, Held, Opening, Seen, Stale, WithdrawHeld, Withdrawal};
use crate::words::{Ask, BatchId, Epoch, MovementKey, RunId};

fn opening(left: i64, holds: u64) -> Opening {
    Opening { left, holds, raises: 1, withdrawals: vec![] }
}

fn withdrawal(text: &str, units: i64) -> Withdrawal {
    Withdrawal { key: key(text), units, actor: "suite".to_owned(), reason: "a pallet fell".to_owned() }
}

fn key(text: &str) -> MovementKey {
    text.parse().expect("the suite's keys are well formed")
}

/// Every fenced call, each of which could do something if the fence were right; the names of those that did not refuse.
async fn not_refused(gate: &dyn Gate, fence: Fence, asks: &[Ask]) -> Vec<&'static str> {
    let fresh = ask_keyed(fence.sale, "fresh", "not-refused", 1);
    let answers = [
        ("look", gate.look(fence, 2, asks).await.expect("answers").err()),
        ("hold", gate.hold(fence, &batch(900, fence.sale, fence.epoch, vec![fresh])).await.expect("answers").err()),
        ("decision_or_void", gate.decision_or_void(fence, BatchId { node: 7, number: 901 }).await.expect("answers").err()),
        ("held", gate.held(fence, &digests(asks)).await.expect("answers").err()),
        ("holds", gate.holds(fence, 0, 10).await.expect("answers").err()),
        ("release", gate.release(fence, &digests(asks)).await.expect("answers").err()),
        ("raise", gate.raise(fence, 2, 5).await.expect("answers").err()),
        ("withdraw", gate.withdraw(fence, &withdrawal("not-refused", 1)).await.expect("answers").err()),
        ("finish_withdrawal", gate.finish_withdrawal(fence, &key("out"), true).await.expect("answers").err()),
        ("pending", gate.pending(fence).await.expect("answers").err()),
        ("fact", gate.fact(fence).await.expect("answers").err()),
        ("books", gate.books(fence).await.expect("answers").err()),
    ];
    answers.into_iter().filter(|(_, refused)| *refused != Some(Stale)).map(|(name, _)| name).collect()
}

const NONE: [&str; 0] = [];

pub(super) async fn an_unpublished_sale_refuses_every_call(rig: &dyn GateRig) {
    let gate = rig.gate();
    let run = gate.run().await.expect("answers");
    let fence = Fence { sale: sale("unheard-of"), epoch: Epoch(1), run };
    let asks = buyers_of(fence.sale, 2, 1);
    assert_eq!(not_refused(&*gate, fence, &asks).await, NONE);
    assert_eq!(not_refused(&*gate, Fence { epoch: Epoch(0), ..fence }, &asks).await, NONE);
    // What is loaded decides nothing before it is published.
    gate.load(fence, asks.clone()).await.expect("answers").expect("a new epoch can be loaded");
    assert_eq!(not_refused(&*gate, fence, &asks).await, NONE);
    assert_eq!(gate.publish(fence, opening(10, 3)).await, Ok(Err(Stale)), "a gate that was wiped between the parts has fewer holds");
    gate.publish(fence, opening(10, 2)).await.expect("answers").expect("a loaded epoch can be published");
    assert_eq!(books(&*gate, fence).await.holds.len(), 2);
    assert_eq!(left(&*gate, fence).await, 10, "nothing was written before");
}

pub(super) async fn a_wrong_epoch_or_life_is_refused_and_nothing_is_written(rig: &dyn GateRig) {
    let gate = rig.gate();
    let first = open(&*gate, "wrong", 10).await;
    let fence = Fence { epoch: Epoch(2), ..first };
    let asks = buyers_of(fence.sale, 2, 1);
    rebuilt(&*gate, fence, vec![], 10).await;
    held(&*gate, fence, 1, &asks).await;
    gate.withdraw(fence, &withdrawal("out", 3)).await.expect("answers").expect("the fence is right");
    let before = books(&*gate, fence).await;
    let wrong_lives = [RunId(first.run.0 ^ 1), RunId(first.run.0.wrapping_add(1 << 40)), RunId(!first.run.0)];
    let wrong = [Epoch(0), Epoch(1), Epoch(3), Epoch(u64::from(u32::MAX) + 3)]
        .map(|epoch| Fence { epoch, ..fence })
        .into_iter()
        .chain(wrong_lives.map(|run| Fence { run, ..fence }));
    for fence in wrong {
        assert_eq!(not_refused(&*gate, fence, &asks).await, NONE, "{fence:?}");
    }
    for run in wrong_lives {
        let next = Fence { epoch: Epoch(3), run, ..fence };
        assert_eq!(gate.load(next, vec![]).await, Ok(Err(Stale)), "a rebuild of another life");
        assert_eq!(gate.publish(next, opening(10, 0)).await, Ok(Err(Stale)));
    }
    assert_eq!(books(&*gate, fence).await, before, "a refused call writes nothing");
    // No decision was written either: both batches can still be held.
    for number in [900, 901] {
        held(&*gate, fence, number, &[ask(fence.sale, &format!("late-{number}"), 1)]).await;
    }
    assert_eq!(gate.raise(fence, 2, 1).await.expect("answers").expect("the fence is right").0, 2);
}

pub(super) async fn c07_another_life_refuses_every_call(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "lives", 10).await;
    let asks = buyers_of(fence.sale, 2, 1);
    held(&*gate, fence, 1, &asks).await;
    if !rig.another_life().await {
        return skipped("c07", "this rig cannot restart its store");
    }
    let run = gate.run().await.expect("answers");
    assert_ne!(run, fence.run, "another life has another name");
    assert_eq!(not_refused(&*gate, fence, &asks).await, NONE);
    assert_eq!(not_refused(&*gate, Fence { run, ..fence }, &asks).await, NONE, "the epoch began in the life before");
    assert_eq!(gate.load(Fence { epoch: Epoch(2), ..fence }, vec![]).await, Ok(Err(Stale)));
    let next = Fence { run, epoch: Epoch(2), ..fence };
    rebuilt(&*gate, next, asks.clone(), 8).await;
    assert_eq!(look(&*gate, next, &asks).await, [Seen::Held, Seen::Held]);
}

pub(super) async fn c08_a_wiped_store_refuses_every_call_until_it_is_rebuilt(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "wiped", 10).await;
    let asks = buyers_of(fence.sale, 2, 1);
    held(&*gate, fence, 1, &asks).await;
    if !rig.wipe().await {
        return skipped("c08", "this rig cannot wipe its store");
    }
    assert_eq!(not_refused(&*gate, fence, &asks).await, NONE);
    let next = Fence { epoch: Epoch(2), run: gate.run().await.expect("answers"), ..fence };
    rebuilt(&*gate, next, asks, 8).await;
    assert_eq!(left(&*gate, next).await, 8);
    assert_eq!(books(&*gate, next).await.holds.len(), 2);
}

pub(super) async fn c10_an_epoch_is_published_once_and_only_over_an_older_one(rig: &dyn GateRig) {
    let gate = rig.gate();
    let first = open(&*gate, "once", 10).await;
    let third = Fence { epoch: Epoch(3), ..first };
    gate.load(third, vec![]).await.expect("answers").expect("a new epoch can be loaded");
    assert_eq!(left(&*gate, first).await, 10, "the older one decides until the newer is published");
    held(&*gate, first, 1, &[ask(first.sale, "ann", 1)]).await;
    let fact = gate.publish(third, opening(7, 0)).await.expect("answers").expect("over an older one");
    assert_eq!((fact.epoch, fact.left), (Epoch(3), 7));
    held(&*gate, third, 2, &[ask(first.sale, "ann", 1)]).await;
    let before = books(&*gate, third).await;
    for epoch in [1, 2, 3] {
        let fence = Fence { epoch: Epoch(epoch), ..first };
        assert_eq!(gate.load(fence, buyers_of(first.sale, 3, 1)).await, Ok(Err(Stale)), "epoch {epoch} comes too late");
        assert_eq!(gate.publish(fence, opening(99, 3)).await, Ok(Err(Stale)), "epoch {epoch} comes too late");
    }
    assert_eq!(books(&*gate, third).await, before);
    assert_eq!(gate.fact(first).await, Ok(Err(Stale)));
}

pub(super) async fn c18_what_earlier_epochs_wrote_is_out_of_reach(rig: &dyn GateRig) {
    let gate = rig.gate();
    let first = open(&*gate, "earlier", 10).await;
    let (kept, lost) = (ask(first.sale, "kept", 1), ask(first.sale, "lost", 2));
    let released = ask(first.sale, "released", 1);
    held(&*gate, first, 1, &[kept.clone(), lost.clone(), released.clone()]).await;
    gate.release(first, &[released.digest]).await.expect("answers").expect("the fence is right");
    gate.withdraw(first, &withdrawal("out", 1)).await.expect("answers").expect("the fence is right");
    let second = Fence { epoch: Epoch(2), ..first };
    rebuilt(&*gate, second, vec![kept.clone()], 9).await;
    assert_eq!(gate.release(first, &[kept.digest]).await, Ok(Err(Stale)), "the release of the old epoch gives nothing back");
    let books = books(&*gate, second).await;
    assert_eq!((books.fact.left, books.holds, books.withdrawals, books.withdrawn), (9, vec![(kept.digest, 1)], vec![], vec![]));
    assert_eq!(look(&*gate, second, &[kept, lost.clone(), released]).await, [Seen::Held, Seen::Free, Seen::Free]);
    // The old batch's decision is not this epoch's.
    let old = BatchId { node: 7, number: 1 };
    assert_eq!(gate.decision_or_void(second, old).await, Ok(Ok(Decision::Void)));
    assert_eq!(hold(&*gate, second, 1, std::slice::from_ref(&lost)).await.0, Held::Void);
    assert_eq!(held(&*gate, second, 2, &[lost]).await.left, 7);
}

pub(super) async fn a_loaded_gate_knows_holds_raises_and_withdrawals(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = Fence { sale: sale("loaded"), epoch: Epoch(4), run: gate.run().await.expect("answers") };
    let asks = buyers_of(fence.sale, 6, 1);
    // In parts, one of them twice: a hold is loaded once.
    for part in [&asks[..2], &asks[2..], &asks[..2]] {
        gate.load(fence, part.to_vec()).await.expect("answers").expect("a new epoch can be loaded");
    }
    let opening = Opening { left: 3, holds: 6, raises: 5, withdrawals: vec![key("gone"), key("also-gone")] };
    let fact = gate.publish(fence, opening).await.expect("answers").expect("a loaded epoch can be published");
    assert_eq!((fact.epoch, fact.left), (Epoch(4), 3), "holds take nothing from what the opening says is left");
    let books = books(&*gate, fence).await;
    assert_eq!(books.holds.len(), 6);
    assert_eq!((books.raises, books.withdrawals, books.withdrawn), (5, vec![], vec![key("also-gone"), key("gone")]));
    // Loaded holds count for the limit, are held, are found, and are released.
    let more = [ask_keyed(fence.sale, "buyer-0", "more", 2), ask_keyed(fence.sale, "buyer-0", "one-more", 1)];
    assert!(matches!(&look(&*gate, fence, &more).await[..], [Seen::Limit(_), Seen::Free]));
    held(&*gate, fence, 1, &asks).await;
    assert_eq!(left(&*gate, fence).await, 3);
    let found = gate.held(fence, &digests(&asks)).await.expect("answers").expect("the fence is right");
    assert_eq!(found, asks.iter().cloned().map(Some).collect::<Vec<_>>());
    assert_eq!(gate.release(fence, &digests(&asks[..1])).await.expect("answers").expect("the fence is right").left, 4);
    // Movements go on from where the ledger was.
    assert_eq!(gate.raise(fence, 5, 10).await.expect("answers").expect("the fence is right").0, 5);
    assert_eq!(gate.raise(fence, 6, 10).await.expect("answers").expect("the fence is right").0, 6);
    let (said, fact) = gate.withdraw(fence, &withdrawal("gone", 2)).await.expect("answers").expect("the fence is right");
    assert_eq!((said, fact.left), (WithdrawHeld::Finished, 14));
}

pub(super) async fn c09_a_gate_that_misses_loaded_holds_is_not_published(rig: &dyn GateRig) {
    let gate = rig.gate();
    let first = open(&*gate, "parts", 10).await;
    let second = Fence { epoch: Epoch(2), ..first };
    let asks = buyers_of(first.sale, 4, 1);
    gate.load(second, asks[..2].to_vec()).await.expect("answers").expect("a new epoch can be loaded");
    for holds in [0, 1, 3, 4] {
        assert_eq!(gate.publish(second, opening(6, holds)).await, Ok(Err(Stale)), "two were loaded, not {holds}");
    }
    assert_eq!(left(&*gate, first).await, 10, "the older one still decides");
    if rig.wipe().await {
        // Between the parts: what comes after is not all of it.
        gate.load(second, asks[2..].to_vec()).await.expect("answers").expect("a new epoch can be loaded");
        assert_eq!(gate.publish(second, opening(6, 4)).await, Ok(Err(Stale)));
        gate.load(second, asks[..2].to_vec()).await.expect("answers").expect("a new epoch can be loaded");
    } else {
        gate.load(second, asks[2..].to_vec()).await.expect("answers").expect("a new epoch can be loaded");
    }
    let fact = gate.publish(second, opening(6, 4)).await.expect("answers").expect("all of it is there");
    assert_eq!((fact.left, books(&*gate, second).await.holds.len()), (6, 4));
}

pub(super) async fn sales_do_not_know_each_other(rig: &dyn GateRig) {
    let gate = rig.gate();
    // Codes of which one begins as the other does.
    let (one, two) = (open(&*gate, "a", 5).await, open(&*gate, "a-b", 5).await);
    held(&*gate, one, 1, &buyers_of(one.sale, 2, 2)).await;
    assert_eq!((left(&*gate, one).await, left(&*gate, two).await), (1, 5));
    assert_eq!(look(&*gate, two, &buyers_of(two.sale, 2, 2)).await, [Seen::Free, Seen::Free]);
    rebuilt(&*gate, Fence { epoch: Epoch(2), ..one }, vec![], 3).await;
    assert_eq!(left(&*gate, two).await, 5);
    let both = [batch_of(two, 8, &buyers_of(two.sale, 1, 1)).id, BatchId { node: 7, number: 9 }];
    for batch in both {
        assert_eq!(gate.decision_or_void(two, batch).await, Ok(Ok(Decision::Void)));
    }
    gate.drop_sale(Fence { epoch: Epoch(2), ..one }).await.expect("answers");
    assert_eq!(left(&*gate, two).await, 5);
}

pub(super) async fn a_dropped_sale_is_forgotten_unless_it_has_a_later_epoch(rig: &dyn GateRig) {
    let gate = rig.gate();
    let first = open(&*gate, "dropped", 5).await;
    let second = Fence { epoch: Epoch(2), ..first };
    rebuilt(&*gate, second, buyers_of(first.sale, 2, 1), 5).await;
    gate.drop_sale(first).await.expect("answers");
    assert_eq!(books(&*gate, second).await.holds.len(), 2, "a later epoch is not this one's to forget");
    for _ in 0..2 {
        gate.drop_sale(second).await.expect("answers");
    }
    assert_eq!(not_refused(&*gate, second, &buyers_of(first.sale, 2, 1)).await, NONE);
    gate.drop_sale(Fence { sale: sale("unheard-of"), ..first }).await.expect("nothing to forget is no fault");
}
