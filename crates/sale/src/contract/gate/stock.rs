//! Promises about stock: raises, withdrawals, and books that are the sum of it all.

use super::super::{Seeded, ask_keyed, batch, digests};
use super::{GateRig, books, open, release};
use crate::ports::{Fact, Fence, Gate, Held, WithdrawHeld, Withdrawal};
use crate::words::{Ask, Digest, MovementKey};
use std::collections::{BTreeMap, BTreeSet};

fn key(text: &str) -> MovementKey {
    text.parse().expect("the suite's keys are well formed")
}

fn withdrawal(text: &str, units: i64) -> Withdrawal {
    Withdrawal { key: key(text), units, actor: "olga".to_owned(), reason: "a \"pallet\" fell\n".to_owned() }
}

async fn withdraw(gate: &dyn Gate, fence: Fence, text: &str, units: i64) -> (WithdrawHeld, i64) {
    let (said, fact) = gate.withdraw(fence, &withdrawal(text, units)).await.expect("answers").expect("the fence is right");
    (said, fact.left)
}

async fn finish(gate: &dyn Gate, fence: Fence, text: &str, give_back: bool) -> i64 {
    gate.finish_withdrawal(fence, &key(text), give_back).await.expect("answers").expect("the fence is right").left
}

pub(super) async fn c38_raises_are_applied_in_their_order_and_once(rig: &dyn GateRig) {
    let gate = rig.gate();
    let fence = open(&*gate, "raise", 10).await;
    let steps = [(3, 5, 1, 10), (1, 5, 1, 10), (2, 5, 2, 15), (2, 5, 2, 15), (4, 1, 2, 15), (3, 7, 3, 22), (0, 9, 3, 22), (4, 1, 4, 23)];
    for (number, units, applied, left) in steps {
        let (last, fact) = gate.raise(fence, number, units).await.expect("answers").expect("the fence is right");
        assert_eq!((last, fact.left), (applied, left), "raise {number}");
    }
    assert_eq!(books(&*gate, fence).await.raises, 4);
    assert_eq!(gate.pending(fence).await, Ok(Ok((4, vec![]))));
}

pub(super) async fn a_withdrawal_is_taken_once_and_finished_once(rig: &dyn GateRig) {
    use WithdrawHeld::{Finished, Held, Short};
    let gate = rig.gate();
    let fence = open(&*gate, "withdraw", 10).await;
    assert_eq!(withdraw(&*gate, fence, "a", 4).await, (Held(4), 6));
    assert_eq!(withdraw(&*gate, fence, "a", 4).await, (Held(4), 6), "one key, one withdrawal");
    assert_eq!(withdraw(&*gate, fence, "a", 1).await, (Held(4), 6), "a key stands for what it took, whatever is asked for later");
    assert_eq!(withdraw(&*gate, fence, "b", 7).await, (Short(6), 6));
    assert_eq!(withdraw(&*gate, fence, "b", 6).await, (Held(6), 0), "a key that was short was not taken");
    let (raises, mut out) = gate.pending(fence).await.expect("answers").expect("the fence is right");
    out.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!((raises, out), (1, vec![withdrawal("a", 4), withdrawal("b", 6)]), "with actor and reason, so that it can be recorded");
    assert_eq!(finish(&*gate, fence, "a", false).await, 0);
    assert_eq!(finish(&*gate, fence, "b", true).await, 6);
    for (text, give_back) in [("a", true), ("b", true), ("b", false), ("unknown", true)] {
        assert_eq!(finish(&*gate, fence, text, give_back).await, 6, "{text} is not out");
    }
    for text in ["a", "b"] {
        assert_eq!(withdraw(&*gate, fence, text, 1).await, (Finished, 6));
    }
    let books = books(&*gate, fence).await;
    assert_eq!((books.withdrawals, books.withdrawn), (vec![], vec![key("a"), key("b")]));
    assert_eq!(withdraw(&*gate, fence, "unknown", 1).await, (Held(1), 5), "a key that never was out can be taken");
}

pub(super) async fn the_books_are_the_sum_of_what_was_done(rig: &dyn GateRig) {
    let gate = rig.gate();
    for seed in 1..=4 {
        println!("    seed {seed}");
        let mut seeded = Seeded::new(seed);
        let fence = open(&*gate, &format!("seed-{seed}"), 20).await;
        let mut kept: BTreeMap<Digest, Ask> = BTreeMap::new();
        let (mut raised, mut raises, mut out, mut before) = (0, 1, 0, Fact::default());
        for turn in 0..150_u64 {
            match seeded.below(6) {
                0..=2 => {
                    let one = |seeded: &mut Seeded, n| {
                        let buyer = format!("buyer-{}", seeded.below(12));
                        ask_keyed(fence.sale, &buyer, &format!("{}", seeded.below(3) + n), 1)
                    };
                    let asks: Vec<Ask> = (0..=seeded.below(2)).map(|n| one(&mut seeded, n * 3)).collect();
                    let distinct: BTreeSet<_> = digests(&asks).into_iter().collect();
                    if distinct.len() < asks.len() {
                        continue;
                    }
                    let batch = batch(turn, fence.sale, fence.epoch, asks.clone());
                    if gate.hold(fence, &batch).await.expect("answers").expect("the fence is right").0 == Held::All {
                        kept.extend(asks.into_iter().map(|ask| (ask.digest, ask)));
                    }
                }
                3 => {
                    let Some(&digest) = kept.keys().nth(seeded.below(8) as usize) else { continue };
                    release(&*gate, fence, &[digest]).await;
                    kept.remove(&digest);
                }
                4 => {
                    let number = raises + seeded.below(2);
                    raises = gate.raise(fence, number, 2).await.expect("answers").expect("the fence is right").0;
                    raised = (raises as i64 - 1) * 2;
                }
                _ => {
                    let text = format!("out-{turn}");
                    if withdraw(&*gate, fence, &text, 2).await.0 == WithdrawHeld::Held(2) {
                        let give_back = seeded.below(2) == 0;
                        finish(&*gate, fence, &text, give_back).await;
                        out += if give_back { 0 } else { 2 };
                    }
                }
            }
            let books = books(&*gate, fence).await;
            let held_units: i64 = kept.values().map(|ask| ask.quantity.units()).sum();
            assert_eq!(books.fact.left, 20 + raised - out - held_units, "turn {turn}");
            assert!(books.fact.left >= 0, "turn {turn}");
            assert!(books.fact.left == before.left || books.fact.version > before.version, "turn {turn}: a change is a newer version");
            assert_eq!(books.holds, kept.values().map(|ask| (ask.digest, ask.quantity.get())).collect::<Vec<_>>(), "turn {turn}");
            before = books.fact;
        }
    }
}
