//! What every [`Gate`] promises. It knows the port's prose, and no store's commands.

mod fences;
mod holds;
mod stock;

use super::{Promise, batch, promises, sale};
use crate::ports::{Fact, Fence, Gate, GateBooks, Held, Opening, Seen};
use crate::words::{Ask, Batch, Digest, Epoch};
use async_trait::async_trait;
use std::sync::Arc;

/// How the suite gets at one kind of gate. A rig serves one promise.
#[async_trait]
pub trait GateRig: Send + Sync {
    /// The rig's gate, empty at first; the same one at each call.
    fn gate(&self) -> Arc<dyn Gate>;

    /// Begins another life of the store, as a restart or a failover does; what it held may be there or not. `false`: the
    /// rig cannot.
    async fn another_life(&self) -> bool {
        false
    }

    /// Forgets everything within the same life, as a flush does. `false`: the rig cannot.
    async fn wipe(&self) -> bool {
        false
    }
}

/// All of them.
pub fn promises() -> Vec<Promise<dyn GateRig>> {
    promises![dyn GateRig:
        fences::an_unpublished_sale_refuses_every_call,
        fences::a_wrong_epoch_or_life_is_refused_and_nothing_is_written,
        fences::c07_another_life_refuses_every_call,
        fences::c08_a_wiped_store_refuses_every_call_until_it_is_rebuilt,
        fences::c10_an_epoch_is_published_once_and_only_over_an_older_one,
        fences::c18_what_earlier_epochs_wrote_is_out_of_reach,
        fences::a_loaded_gate_knows_holds_raises_and_withdrawals,
        fences::c09_a_gate_that_misses_loaded_holds_is_not_published,
        fences::sales_do_not_know_each_other,
        fences::a_dropped_sale_is_forgotten_unless_it_has_a_later_epoch,
        holds::a_batch_is_held_whole_and_once,
        holds::c23_minus_one_leaves_the_stock_unchanged,
        holds::c25_thirty_three_threes_are_held_of_a_hundred_and_one_is_left,
        holds::c26_a_buyers_units_are_counted_across_the_batch,
        holds::c27_what_another_batch_holds_counts_as_held_and_takes_nothing,
        holds::c28_other_content_is_a_mismatch,
        holds::a_batch_that_is_refused_leaves_nothing_behind,
        holds::c02_void_is_written_first_and_a_late_hold_holds_nothing,
        holds::c18_a_release_gives_back_once_and_leaves_a_mark,
        holds::a8_duplicates_are_seen_before_shortcuts,
        holds::looking_is_reading_only,
        holds::a_limit_names_the_buyers_holds,
        holds::a_hold_keeps_the_whole_ask,
        holds::pages_see_every_hold_that_stands_during_the_walk,
        stock::c38_raises_are_applied_in_their_order_and_once,
        stock::a_withdrawal_is_taken_once_and_finished_once,
        holds::c24_the_last_unit_is_held_once,
        stock::the_books_are_the_sum_of_what_was_done,
    ]
}

// ------------------------------------------------------------------------------------------- what the promises share

/// A published sale of `left` units in epoch 1, and its fence.
async fn open(gate: &dyn Gate, name: &str, left: i64) -> Fence {
    let fence = Fence { sale: sale(name), epoch: Epoch(1), run: gate.run().await.expect("answers") };
    rebuilt(gate, fence, vec![], left).await;
    fence
}

/// Loads and publishes the fence's epoch.
async fn rebuilt(gate: &dyn Gate, fence: Fence, holds: Vec<Ask>, left: i64) -> Fact {
    let opening = Opening { left, holds: holds.len() as u64, raises: 1, withdrawals: vec![] };
    gate.load(fence, holds).await.expect("answers").expect("a new epoch can be loaded");
    gate.publish(fence, opening).await.expect("answers").expect("a new epoch can be published")
}

fn batch_of(fence: Fence, number: u64, asks: &[Ask]) -> Batch {
    batch(number, fence.sale, fence.epoch, asks.to_vec())
}

async fn hold(gate: &dyn Gate, fence: Fence, number: u64, asks: &[Ask]) -> (Held, Fact) {
    gate.hold(fence, &batch_of(fence, number, asks)).await.expect("answers").expect("the fence is right")
}

/// Holds this, or panics.
async fn held(gate: &dyn Gate, fence: Fence, number: u64, asks: &[Ask]) -> Fact {
    let (said, fact) = hold(gate, fence, number, asks).await;
    assert_eq!(said, Held::All);
    fact
}

async fn look(gate: &dyn Gate, fence: Fence, asks: &[Ask]) -> Vec<Seen> {
    gate.look(fence, 2, asks).await.expect("answers").expect("the fence is right").0
}

async fn left(gate: &dyn Gate, fence: Fence) -> i64 {
    gate.fact(fence).await.expect("answers").expect("the fence is right").left
}

/// The gate's books with its lists in an order of their own.
async fn books(gate: &dyn Gate, fence: Fence) -> GateBooks {
    let mut books = gate.books(fence).await.expect("answers").expect("the fence is right");
    books.holds.sort();
    books.withdrawals.sort_by(|a, b| a.key.cmp(&b.key));
    books.withdrawn.sort();
    books
}

async fn release(gate: &dyn Gate, fence: Fence, digests: &[Digest]) -> Fact {
    gate.release(fence, digests).await.expect("answers").expect("the fence is right")
}
