//! Promises about the decision: holds, looks, releases, movements of stock, pages, books.

use super::super::{ask, ask_keyed, buyers_of, digests};
use super::{GateRig, batch_of, books, held, hold, left, look, open, release};
use crate::ports::{Decision, Fence, Gate, Held, Seen};
use crate::words::{Ask, BatchId, Digest, Quantity};
use futures_util::future;
use std::collections::BTreeSet;

fn id(number: u64) -> BatchId {
    BatchId { node: 7, number }
}

async fn decision(gate: &dyn Gate, fence: Fence, number: u64) -> Decision {
    gate.decision_or_void(fence, id(number)).await.expect("answers").expect("the fence is right")
}

pub(super) async fn a_batch_is_held_whole_and_once(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "whole", 10).await;
    let asks = buyers_of(fence.sale, 4, 2);
    let before = gate.fact(fence).await.expect("answers").expect("the fence is right");
    let fact = held(&*gate, fence, 1, &asks).await;
    assert_eq!((fact.epoch, fact.left), (fence.epoch, 2));
    assert!(fact > before, "a change of what is left is a newer fact");
    for _ in 0..3 {
        assert_eq!(held(&*gate, fence, 1, &asks).await.left, 2, "the same batch again takes nothing");
    }
    assert_eq!(decision(&*gate, fence, 1).await, Decision::Held);
    assert_eq!(books(&*gate, fence).await.holds.len(), 4);
    // A batch of the greatest size.
    let many = open(&*gate, "many", crate::words::BATCH_MAX as i64).await;
    assert_eq!(held(&*gate, many, 1, &buyers_of(many.sale, crate::words::BATCH_MAX, 1)).await.left, 0);
}

pub(super) async fn c23_minus_one_leaves_the_stock_unchanged(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "minus-one", 3).await;
    held(&*gate, fence, 1, &[ask(fence.sale, "ann", 2)]).await;
    // Two of one: the stock would be minus one, and is not touched.
    let (said, fact) = hold(&*gate, fence, 2, &[ask(fence.sale, "bob", 2)]).await;
    assert_eq!((said, fact.left), (Held::None(vec![Seen::Short]), 1));
    // Each by itself fits, together they do not.
    let (said, fact) = hold(&*gate, fence, 3, &[ask(fence.sale, "cid", 1), ask(fence.sale, "dan", 1)]).await;
    assert_eq!((said, fact.left), (Held::None(vec![Seen::Free, Seen::Short]), 1));
    assert_eq!(held(&*gate, fence, 4, &[ask(fence.sale, "cid", 1)]).await.left, 0);
    assert_eq!(hold(&*gate, fence, 5, &[ask(fence.sale, "dan", 1)]).await.0, Held::None(vec![Seen::Short]));
    assert_eq!(left(&*gate, fence).await, 0);
}

pub(super) async fn c25_thirty_three_threes_are_held_of_a_hundred_and_one_is_left(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "threes", 100).await;
    let mut got = 0;
    for (number, asked) in buyers_of(fence.sale, 40, 3).into_iter().enumerate() {
        let batch = crate::words::Batch { limit_per_buyer: 3, ..batch_of(fence, number as u64, &[asked]) };
        let (said, fact) = gate.hold(fence, &batch).await.expect("answers").expect("the fence is right");
        match said {
            Held::All => got += 1,
            Held::None(seen) => assert_eq!((seen, fact.left), (vec![Seen::Short], 1)),
            Held::Void => panic!("nobody voided it"),
        }
    }
    assert_eq!((got, left(&*gate, fence).await), (33, 1), "the last unit is visible");
    assert_eq!(look(&*gate, fence, &[ask(fence.sale, "one", 1)]).await, [Seen::Free]);
    assert_eq!(held(&*gate, fence, 99, &[ask(fence.sale, "one", 1)]).await.left, 0);
}

pub(super) async fn c26_a_buyers_units_are_counted_across_the_batch(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "limit", 10).await;
    let of = |buyer, key, units| ask_keyed(fence.sale, buyer, key, units);
    let (said, fact) = hold(&*gate, fence, 1, &[of("ann", "a", 1), of("bob", "a", 2), of("ann", "b", 1), of("ann", "c", 1)]).await;
    let Held::None(seen) = said else { panic!("three of ann's are one too many: {said:?}") };
    assert!(matches!(&seen[..], [Seen::Free, Seen::Free, Seen::Free, Seen::Limit(_)]), "{seen:?}");
    assert_eq!(fact.left, 10);
    held(&*gate, fence, 2, &[of("ann", "a", 1), of("bob", "a", 2)]).await;
    // What is held before and what stands in the batch count together; what is held already counts once.
    held(&*gate, fence, 3, &[of("ann", "a", 1), of("ann", "b", 1)]).await;
    assert!(matches!(hold(&*gate, fence, 4, &[of("ann", "c", 1)]).await.0, Held::None(seen) if matches!(seen[..], [Seen::Limit(_)])));
    release(&*gate, fence, &[of("ann", "a", 1).digest]).await;
    held(&*gate, fence, 5, &[of("ann", "c", 1)]).await;
    assert_eq!(left(&*gate, fence).await, 6);
}

pub(super) async fn c27_what_another_batch_holds_counts_as_held_and_takes_nothing(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "retry", 3).await;
    let (ann, bob, cid) = (ask(fence.sale, "ann", 1), ask(fence.sale, "bob", 1), ask(fence.sale, "cid", 2));
    held(&*gate, fence, 1, std::slice::from_ref(&ann)).await;
    assert_eq!(held(&*gate, fence, 2, &[ann.clone(), bob.clone()]).await.left, 1);
    assert_eq!(held(&*gate, fence, 3, &[bob.clone(), ann.clone()]).await.left, 1, "all of it is held already");
    for number in [1, 2, 3] {
        assert_eq!(decision(&*gate, fence, number).await, Decision::Held, "each batch has its decision");
    }
    // With one that does not fit beside it, it is still called held.
    let (said, fact) = hold(&*gate, fence, 4, &[ann.clone(), cid, bob]).await;
    assert_eq!((said, fact.left), (Held::None(vec![Seen::Held, Seen::Short, Seen::Held]), 1));
    // Terms may have changed since: the first ask's are kept.
    let cheaper = Ask { pay_within_s: 1, ..ann.clone() };
    held(&*gate, fence, 5, std::slice::from_ref(&cheaper)).await;
    assert_eq!(gate.held(fence, &[ann.digest]).await, Ok(Ok(vec![Some(ann)])));
}

pub(super) async fn c28_other_content_is_a_mismatch(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "mismatch", 10).await;
    let (ann, bob) = (ask(fence.sale, "ann", 1), ask(fence.sale, "bob", 1));
    held(&*gate, fence, 1, std::slice::from_ref(&ann)).await;
    let other = Ask { quantity: Quantity::new(2).expect("fits"), ..ann.clone() };
    assert_eq!(look(&*gate, fence, std::slice::from_ref(&other)).await, [Seen::Mismatch]);
    let (said, fact) = hold(&*gate, fence, 2, &[bob, other]).await;
    assert_eq!((said, fact.left), (Held::None(vec![Seen::Free, Seen::Mismatch]), 9));
    assert_eq!(gate.held(fence, &[ann.digest]).await, Ok(Ok(vec![Some(ann)])), "the first is untouched");
}

pub(super) async fn a_batch_that_is_refused_leaves_nothing_behind(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "nothing", 3).await;
    let asks = buyers_of(fence.sale, 2, 2);
    let before = books(&*gate, fence).await;
    let (said, fact) = hold(&*gate, fence, 1, &asks).await;
    assert_eq!(said, Held::None(vec![Seen::Free, Seen::Short]));
    assert_eq!(fact, before.fact);
    assert_eq!(books(&*gate, fence).await, before);
    assert_eq!(look(&*gate, fence, &asks).await, [Seen::Free, Seen::Free], "units and buyers were not counted");
    assert_eq!(decision(&*gate, fence, 1).await, Decision::Void, "a refusal is no decision to hold");
}

pub(super) async fn c02_void_is_written_first_and_a_late_hold_holds_nothing(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "void", 10).await;
    let asks = buyers_of(fence.sale, 2, 1);
    assert_eq!(decision(&*gate, fence, 1).await, Decision::Void);
    let before = books(&*gate, fence).await;
    for _ in 0..2 {
        assert_eq!(hold(&*gate, fence, 1, &asks).await.0, Held::Void);
        assert_eq!(decision(&*gate, fence, 1).await, Decision::Void, "for ever");
    }
    assert_eq!(books(&*gate, fence).await, before);
    // Void speaks of a batch, never of an order.
    assert_eq!(look(&*gate, fence, &asks).await, [Seen::Free, Seen::Free]);
    held(&*gate, fence, 2, &asks).await;
    assert_eq!(decision(&*gate, fence, 2).await, Decision::Held);
    // A batch is named by node and number.
    let other_node = BatchId { node: 8, number: 2 };
    assert_eq!(gate.decision_or_void(fence, other_node).await, Ok(Ok(Decision::Void)));
}

pub(super) async fn c18_a_release_gives_back_once_and_leaves_a_mark(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "release", 10).await;
    let asks = buyers_of(fence.sale, 3, 2);
    held(&*gate, fence, 1, &asks).await;
    let gone = asks[1].digest;
    assert_eq!(release(&*gate, fence, &[gone, gone]).await.left, 6, "named twice, given back once");
    let fact = release(&*gate, fence, &[gone, ask(fence.sale, "nobody", 1).digest]).await;
    assert_eq!(fact.left, 6, "what is not held is passed over");
    assert_eq!(look(&*gate, fence, &asks).await, [Seen::Held, Seen::Closed, Seen::Held]);
    assert_eq!(hold(&*gate, fence, 2, &asks[1..2]).await.0, Held::None(vec![Seen::Closed]), "its row is the answer");
    assert_eq!(gate.held(fence, &digests(&asks)).await, Ok(Ok(vec![Some(asks[0].clone()), None, Some(asks[2].clone())])));
    // The batch's decision stands, and holding it again takes nothing.
    assert_eq!(decision(&*gate, fence, 1).await, Decision::Held);
    assert_eq!(held(&*gate, fence, 1, &asks).await.left, 6);
    assert_eq!(release(&*gate, fence, &digests(&asks)).await.left, 10);
    assert!(books(&*gate, fence).await.holds.is_empty());
    assert_eq!(release(&*gate, fence, &[]).await.left, 10);
}

pub(super) async fn a8_duplicates_are_seen_before_shortcuts(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "last-one", 3).await;
    let (winner, closed, late) = (ask(fence.sale, "ann", 2), ask(fence.sale, "bob", 1), ask(fence.sale, "cid", 1));
    held(&*gate, fence, 1, &[winner.clone(), closed.clone()]).await;
    release(&*gate, fence, &[closed.digest]).await;
    held(&*gate, fence, 2, &[ask(fence.sale, "dan", 1)]).await;
    // Sold out, and the winner has as many as the limit allows.
    let asks = [winner, closed, late];
    assert_eq!(look(&*gate, fence, &asks).await, [Seen::Held, Seen::Closed, Seen::Short]);
    assert_eq!(hold(&*gate, fence, 3, &asks[..1]).await.0, Held::All);
}

pub(super) async fn looking_is_reading_only(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "look", 5).await;
    held(&*gate, fence, 1, &[ask(fence.sale, "ann", 2)]).await;
    let before = books(&*gate, fence).await;
    let asks = buyers_of(fence.sale, 5, 2);
    let (seen, fact) = gate.look(fence, 2, &asks).await.expect("answers").expect("the fence is right");
    assert_eq!(seen, vec![Seen::Free; 5], "each by itself");
    assert_eq!(fact, before.fact);
    gate.holds(fence, 0, 10).await.expect("answers").expect("the fence is right");
    gate.held(fence, &digests(&asks)).await.expect("answers").expect("the fence is right");
    gate.pending(fence).await.expect("answers").expect("the fence is right");
    assert_eq!(gate.look(fence, 2, &[]).await, Ok(Ok((vec![], before.fact))));
    assert_eq!(books(&*gate, fence).await, before);
}

pub(super) async fn a_limit_names_the_buyers_holds(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "names", 10).await;
    let of = |buyer, key| ask_keyed(fence.sale, buyer, key, 1);
    held(&*gate, fence, 1, &[of("ann", "a"), of("bob", "a"), of("ann", "b")]).await;
    let Seen::Limit(holds) = look(&*gate, fence, &[of("ann", "c")]).await.remove(0) else { panic!("ann has two") };
    let named: BTreeSet<_> = holds.iter().map(|ask| ask.digest).collect();
    assert_eq!(named, BTreeSet::from([of("ann", "a").digest, of("ann", "b").digest]));
    assert!(holds.contains(&of("ann", "b")), "each with the whole ask, so that it can be recorded");
    // The limit is the asker's: a later batch may bring a greater one.
    let (seen, _) = gate.look(fence, 3, &[of("ann", "c")]).await.expect("answers").expect("the fence is right");
    assert_eq!(seen, [Seen::Free]);
}

pub(super) async fn a_hold_keeps_the_whole_ask(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "ask", 10).await;
    let plain = ask(fence.sale, "o'neill: {}日本 %\\ \" }", 2);
    let payment = "pay/1:{x}".parse().expect("well formed");
    let late = super::super::late_ask(fence.sale, &ask(fence.sale, "ann", 1), &payment);
    let dear = Ask {
        unit_price: crate::words::Price::new(crate::words::UNIT_PRICE_MAX).expect("fits"),
        currency: "JPY".parse().expect("well formed"),
        pay_within_s: 604_800,
        asked_at: crate::words::Time(1_900_000_000_123),
        ..ask(fence.sale, "bob", 1)
    };
    let asks = vec![plain, late, dear];
    held(&*gate, fence, 1, &asks).await;
    assert_eq!(gate.held(fence, &digests(&asks)).await, Ok(Ok(asks.iter().cloned().map(Some).collect())));
    let page = gate.holds(fence, 0, 10).await.expect("answers").expect("the fence is right");
    assert_eq!(page.holds.len(), 3);
    assert!(asks.iter().all(|ask| page.holds.contains(ask)));
}

/// One page from `after` on: its holds, and where to go on.
async fn page(gate: &dyn Gate, fence: Fence, after: u64, max: usize) -> (Vec<Ask>, Option<u64>) {
    let page = gate.holds(fence, after, max).await.expect("answers").expect("the fence is right");
    assert!(page.holds.len() <= max, "{} holds on a page of {max}", page.holds.len());
    assert!(page.next.is_none_or(|next| next > after), "a walk goes on");
    (page.holds, page.next)
}

/// All pages, one after the other.
async fn walk(gate: &dyn Gate, fence: Fence, max: usize) -> Vec<Ask> {
    let (mut seen, mut after) = (Vec::new(), Some(0));
    while let Some(from) = after {
        let (holds, next) = page(gate, fence, from, max).await;
        seen.extend(holds);
        after = next;
    }
    seen
}

pub(super) async fn pages_see_every_hold_that_stands_during_the_walk(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "pages", 1_000).await;
    let asks = buyers_of(fence.sale, 23, 1);
    for (number, one) in asks.iter().enumerate() {
        held(&*gate, fence, number as u64, std::slice::from_ref(one)).await;
    }
    let seen = walk(&*gate, fence, 5).await;
    assert_eq!(digests(&seen), digests(&asks), "in the order in which they were made");
    for max in [1, 22, 23, 24] {
        assert_eq!(walk(&*gate, fence, max).await.len(), 23, "pages of {max}");
    }
    // While somebody walks, some are released, behind and before the walker, and others are made.
    let gone: Vec<Digest> = asks.iter().step_by(3).map(|ask| ask.digest).collect();
    let (mut seen, mut after) = (Vec::new(), Some(0));
    for pages in 0_usize.. {
        let Some(from) = after else { break };
        let (holds, next) = page(&*gate, fence, from, 4).await;
        seen.extend(holds);
        after = next;
        if let Some(digest) = gone.get(pages) {
            release(&*gate, fence, &[*digest, gone[gone.len() - 1 - pages]]).await;
            held(&*gate, fence, 100 + pages as u64, &[ask(fence.sale, &format!("new-{pages}"), 1)]).await;
        }
    }
    let seen: BTreeSet<_> = digests(&seen).into_iter().collect();
    assert!(asks.iter().filter(|ask| !gone.contains(&ask.digest)).all(|ask| seen.contains(&ask.digest)), "one that stood was not seen");
    // An empty gate has one empty page.
    let empty = open(&*gate, "empty", 1).await;
    assert!(walk(&*gate, empty, 5).await.is_empty());
}

pub(super) async fn c24_the_last_unit_is_held_once(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "last-unit", 1).await;
    let calls = buyers_of(fence.sale, 64, 1).into_iter().enumerate().map(|(number, one)| {
        let gate = gate.clone();
        async move { gate.hold(fence, &batch_of(fence, number as u64, &[one])).await.expect("answers").expect("the fence is right").0 }
    });
    let said = future::join_all(calls).await;
    assert_eq!(said.iter().filter(|said| **said == Held::All).count(), 1);
    assert!(said.iter().all(|said| matches!(said, Held::All | Held::None(_))));
    assert_eq!(left(&*gate, fence).await, 0);
}
