//! What every [`Queue`] promises. It knows the port's prose; a body is bytes to it.
//!
//! A queue may deliver twice and out of order, so the suite asks for no exact count where the port does not.

mod halves;
mod deliveries;
mod store;

use super::{Promise, promises};
use crate::ports::{Check, Half, Message, Queue, Receipt, Verdict};
use crate::words::BatchId;
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The times of a rig's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueTimes {
    /// Age at which an unsettled half message is checked back first.
    pub check_after_ms: u64,
    /// Time between two check-backs of one half message.
    pub check_every_ms: u64,
    /// How long a delivery stays invisible. Longer than ten `wait_ms`, or the suite mistakes a slow answer for a second delivery.
    pub invisible_ms: u64,
    /// How long a call that expects something waits each time. Zero in virtual time: nobody moves the clock meanwhile.
    pub wait_ms: u64,
}

/// How the suite gets at one kind of queue. A rig serves one promise.
#[async_trait]
pub trait QueueRig: Send + Sync {
    /// The rig's queue, empty at first; the same one at each call.
    fn queue(&self) -> Arc<dyn Queue>;

    /// Its times.
    fn times(&self) -> QueueTimes;

    /// Lets at least `ms` pass by the queue's clock.
    async fn passes(&self, ms: u64);

    /// Closes the queue and opens it again, as a restart of the process does; `queue` answers the new one from then on.
    /// `false`: it lives in memory only.
    async fn reopen(&self) -> bool {
        false
    }
}

/// All of them.
pub fn promises() -> Vec<Promise<dyn QueueRig>> {
    promises![dyn QueueRig:
        halves::a_half_message_is_delivered_after_its_commit_and_not_before,
        halves::a_message_that_is_rolled_back_is_never_delivered,
        halves::c01_an_unsettled_half_message_is_checked_back_and_then_delivered,
        halves::c06_an_unknown_verdict_is_asked_for_again,
        halves::c03_settling_again_is_harmless,
        halves::a_settled_half_message_is_not_checked_back,
        halves::settling_and_acknowledging_nonsense_is_harmless,
        deliveries::c11_a_message_is_delivered_again_after_its_invisible_time,
        deliveries::a_message_given_back_comes_again_after_its_delay,
        deliveries::c16_each_message_is_acknowledged_by_itself,
        deliveries::c16_a_parked_message_is_put_aside_until_it_is_replayed,
        deliveries::parked_messages_come_in_pages,
        store::bodies_are_carried_unchanged,
        store::a_page_is_not_exceeded_and_all_arrive,
        deliveries::c12_two_receivers_get_different_messages,
        deliveries::a_waiting_receiver_is_woken_by_a_commit,
        deliveries::a_wait_for_nothing_comes_to_its_end,
        store::the_backlog_counts_halves_committed_and_parked,
        store::c34_the_witness_is_the_greatest_sequence_acknowledged,
        store::what_was_stored_is_there_after_a_restart,
    ]
}

// ------------------------------------------------------------------------------------------- what the promises share

/// Tries that a message may take to arrive.
const TRIES_MAX: usize = 60;

fn half(number: u64, body: &[u8]) -> Half {
    Half { batch: BatchId { node: 7, number }, tag: "hotcake".to_owned(), body: body.to_vec() }
}

async fn prepare(queue: &dyn Queue, number: u64, body: &[u8]) -> Receipt {
    queue.prepare(half(number, body)).await.expect("answers")
}

async fn send(queue: &dyn Queue, number: u64, body: &[u8]) {
    let receipt = prepare(queue, number, body).await;
    queue.settle(receipt, Verdict::Commit).await;
}

/// Receives until `count` messages are there.
async fn receive(rig: &dyn QueueRig, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    for _ in 0..TRIES_MAX {
        messages.extend(rig.queue().receive(16, rig.times().wait_ms).await.expect("answers"));
        if messages.len() >= count {
            return messages;
        }
        rig.passes(1).await;
    }
    panic!("{count} messages should have come, {} did", messages.len());
}

async fn receive_one(rig: &dyn QueueRig) -> Message {
    let mut messages = receive(rig, 1).await;
    assert_eq!(messages.len(), 1, "one message lies there");
    messages.remove(0)
}

/// What lies there to be received now.
async fn lies_there(rig: &dyn QueueRig) -> Vec<Message> {
    rig.queue().receive(16, rig.times().wait_ms).await.expect("answers")
}

/// Waits until `count` half messages are checked back.
async fn checks(rig: &dyn QueueRig, count: usize) -> Vec<Check> {
    let mut checks = Vec::new();
    for _ in 0..TRIES_MAX {
        checks.extend(rig.queue().checks(16, rig.times().wait_ms).await.expect("answers"));
        if checks.len() >= count {
            return checks;
        }
        rig.passes(rig.times().check_every_ms.div_ceil(10)).await;
    }
    panic!("{count} half messages should have been checked back, {} were", checks.len());
}

fn bodies(messages: &[Message]) -> BTreeSet<Vec<u8>> {
    messages.iter().map(|message| message.body.clone()).collect()
}

/// Time after which a delivery is visible again for sure.
async fn invisible_time_is_over(rig: &dyn QueueRig) {
    let times = rig.times();
    rig.passes(times.invisible_ms + times.invisible_ms / 5 + 1).await;
}
