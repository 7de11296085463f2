//! What every [`Queue`] promises. It knows the port's prose; a body is bytes to it.
//!
//! A queue may deliver twice and out of order, so the suite asks for no exact count where the port does not.

use super::{Promise, promises, skipped};
use crate::ports::{Check, Half, Handle, Message, Queue, Receipt, Verdict};
use crate::words::BatchId;
use async_trait::async_trait;
use futures_util::future;
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
        a_half_message_is_delivered_after_its_commit_and_not_before,
        a_message_that_is_rolled_back_is_never_delivered,
        c01_an_unsettled_half_message_is_checked_back_and_then_delivered,
        c06_an_unknown_verdict_is_asked_for_again,
        c03_settling_again_is_harmless,
        a_settled_half_message_is_not_checked_back,
        settling_and_acknowledging_nonsense_is_harmless,
        c11_a_message_is_delivered_again_after_its_invisible_time,
        a_message_given_back_comes_again_after_its_delay,
        c16_each_message_is_acknowledged_by_itself,
        c16_a_parked_message_is_put_aside_until_it_is_replayed,
        parked_messages_come_in_pages,
        bodies_are_carried_unchanged,
        a_page_is_not_exceeded_and_all_arrive,
        c12_two_receivers_get_different_messages,
        a_waiting_receiver_is_woken_by_a_commit,
        a_wait_for_nothing_comes_to_its_end,
        the_backlog_counts_halves_committed_and_parked,
        c34_the_witness_is_the_greatest_sequence_acknowledged,
        what_was_stored_is_there_after_a_restart,
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

// ------------------------------------------------------------------------------------------------------ the promises

async fn a_half_message_is_delivered_after_its_commit_and_not_before(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let receipt = prepare(&*queue, 1, b"one").await;
    assert_eq!(lies_there(rig).await, [], "nobody said commit");
    rig.passes(rig.times().check_after_ms * 2).await;
    assert_eq!(lies_there(rig).await, [], "time alone commits nothing");
    queue.settle(receipt, Verdict::Commit).await;
    let message = receive_one(rig).await;
    assert_eq!((message.body.as_slice(), message.deliveries), (&b"one"[..], 1));
    queue.ack(vec![message.handle], 1).await;
    invisible_time_is_over(rig).await;
    assert_eq!(lies_there(rig).await, [], "what is acknowledged is done");
}

async fn a_message_that_is_rolled_back_is_never_delivered(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let receipt = prepare(&*queue, 1, b"no").await;
    queue.settle(receipt.clone(), Verdict::Rollback).await;
    queue.settle(receipt, Verdict::Rollback).await;
    assert_eq!(lies_there(rig).await, []);
    for _ in 0..3 {
        rig.passes(rig.times().check_after_ms + rig.times().check_every_ms).await;
        // A broker that did not hear the hint asks; the verdict has not changed.
        for check in queue.checks(16, rig.times().wait_ms).await.expect("answers") {
            queue.settle(check.receipt, Verdict::Rollback).await;
        }
        assert_eq!(lies_there(rig).await, []);
    }
}

async fn c01_an_unsettled_half_message_is_checked_back_and_then_delivered(rig: &dyn QueueRig) {
    let queue = rig.queue();
    prepare(&*queue, 1, b"left alone").await;
    rig.passes(rig.times().check_after_ms).await;
    let first = checks(rig, 1).await;
    assert_eq!(first[0].body, b"left alone", "the body is there, so that any node can answer");
    // Nobody answers: it is asked for again.
    rig.passes(rig.times().check_every_ms).await;
    let second = checks(rig, 1).await.remove(0);
    queue.settle(second.receipt, Verdict::Commit).await;
    assert_eq!(receive_one(rig).await.body, b"left alone");
}

async fn c06_an_unknown_verdict_is_asked_for_again(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let receipt = prepare(&*queue, 1, b"who knows").await;
    queue.settle(receipt, Verdict::Unknown).await;
    for _ in 0..3 {
        rig.passes(rig.times().check_after_ms + rig.times().check_every_ms).await;
        for check in checks(rig, 1).await {
            queue.settle(check.receipt, Verdict::Unknown).await;
        }
        assert_eq!(lies_there(rig).await, [], "unknown is not commit");
    }
    rig.passes(rig.times().check_every_ms).await;
    let check = checks(rig, 1).await.remove(0);
    queue.settle(check.receipt, Verdict::Commit).await;
    assert_eq!(receive_one(rig).await.body, b"who knows");
}

async fn c03_settling_again_is_harmless(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let receipt = prepare(&*queue, 1, b"thrice").await;
    for verdict in [Verdict::Commit, Verdict::Commit, Verdict::Rollback, Verdict::Unknown, Verdict::Commit] {
        queue.settle(receipt.clone(), verdict).await;
    }
    let messages = receive(rig, 1).await;
    assert!(messages.iter().all(|message| message.body == b"thrice"));
    queue.ack(messages.into_iter().map(|message| message.handle).collect(), 1).await;
    // After its end too.
    queue.settle(receipt.clone(), Verdict::Commit).await;
    queue.settle(receipt, Verdict::Rollback).await;
    for message in lies_there(rig).await {
        assert_eq!(message.body, b"thrice", "a second delivery is allowed, another message is not");
        queue.ack(vec![message.handle], 1).await;
    }
    let backlog = queue.backlog().await.expect("answers");
    assert_eq!((backlog.halves, backlog.committed), (0, 0));
}

async fn a_settled_half_message_is_not_checked_back(rig: &dyn QueueRig) {
    let queue = rig.queue();
    send(&*queue, 1, b"settled").await;
    let message = receive_one(rig).await;
    rig.passes(rig.times().check_after_ms + rig.times().check_every_ms).await;
    assert_eq!(queue.checks(16, rig.times().wait_ms).await, Ok(vec![]), "a commit that was heard is an answer");
    queue.ack(vec![message.handle], 1).await;
}

async fn settling_and_acknowledging_nonsense_is_harmless(rig: &dyn QueueRig) {
    let queue = rig.queue();
    send(&*queue, 1, b"sound").await;
    for text in ["", "nonsense", "99999999", "-1", "1/2/3", "日本"] {
        for verdict in [Verdict::Commit, Verdict::Rollback, Verdict::Unknown] {
            queue.settle(Receipt(text.to_owned()), verdict).await;
        }
        queue.ack(vec![Handle(text.to_owned())], 1).await;
        queue.later(vec![Handle(text.to_owned())], 0).await;
    }
    assert_eq!(queue.replay(4_711).await, Ok(false));
    assert_eq!(receive_one(rig).await.body, b"sound");
}

async fn c11_a_message_is_delivered_again_after_its_invisible_time(rig: &dyn QueueRig) {
    let queue = rig.queue();
    send(&*queue, 1, b"again").await;
    let first = receive_one(rig).await;
    assert_eq!(lies_there(rig).await, [], "its invisible time runs");
    invisible_time_is_over(rig).await;
    let second = receive_one(rig).await;
    assert_eq!((second.body.as_slice(), second.deliveries), (&b"again"[..], 2));
    assert_ne!(first.handle, second.handle, "a handle names one delivery");
    queue.ack(vec![second.handle], 1).await;
    invisible_time_is_over(rig).await;
    assert_eq!(lies_there(rig).await, []);
}

async fn a_message_given_back_comes_again_after_its_delay(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let delay_ms = rig.times().invisible_ms * 2;
    send(&*queue, 1, b"soon").await;
    let first = receive_one(rig).await;
    queue.later(vec![first.handle], delay_ms).await;
    assert_eq!(lies_there(rig).await, [], "not before its delay");
    invisible_time_is_over(rig).await;
    assert_eq!(lies_there(rig).await, [], "the delay counts, not the invisible time");
    rig.passes(delay_ms).await;
    let second = receive_one(rig).await;
    assert_eq!((second.body.as_slice(), second.deliveries), (&b"soon"[..], 2));
    // A short delay does not wait for the invisible time to pass.
    queue.later(vec![second.handle], 0).await;
    assert_eq!(receive_one(rig).await.deliveries, 3);
}

async fn c16_each_message_is_acknowledged_by_itself(rig: &dyn QueueRig) {
    let queue = rig.queue();
    for (number, body) in [b"a", b"b", b"c"].into_iter().enumerate() {
        send(&*queue, number as u64, body).await;
    }
    let messages = receive(rig, 3).await;
    let middle = messages.into_iter().find(|message| message.body == b"b").expect("came");
    queue.ack(vec![middle.handle], 1).await;
    invisible_time_is_over(rig).await;
    let again = receive(rig, 2).await;
    assert_eq!(bodies(&again), BTreeSet::from([b"a".to_vec(), b"c".to_vec()]));
    queue.ack(again.into_iter().map(|message| message.handle).collect(), 2).await;
    invisible_time_is_over(rig).await;
    assert_eq!(lies_there(rig).await, []);
}

async fn c16_a_parked_message_is_put_aside_until_it_is_replayed(rig: &dyn QueueRig) {
    let queue = rig.queue();
    send(&*queue, 1, b"\xff\x00 poison").await;
    let message = receive_one(rig).await;
    queue.park(message.handle, "the checksum does not fit").await.expect("answers");
    invisible_time_is_over(rig).await;
    assert_eq!(lies_there(rig).await, [], "it does not come by itself");
    let parked = queue.parked(0, 10).await.expect("answers");
    assert_eq!(parked.len(), 1);
    assert_eq!((parked[0].body.as_slice(), parked[0].reason.as_str()), (&b"\xff\x00 poison"[..], "the checksum does not fit"));
    assert_eq!(queue.replay(parked[0].id).await, Ok(true));
    assert_eq!(queue.replay(parked[0].id).await, Ok(false), "it is no longer parked");
    assert_eq!(queue.parked(0, 10).await, Ok(vec![]));
    let again = receive_one(rig).await;
    assert_eq!(again.body, b"\xff\x00 poison");
    queue.ack(vec![again.handle], 1).await;
    invisible_time_is_over(rig).await;
    assert_eq!(lies_there(rig).await, []);
}

async fn parked_messages_come_in_pages(rig: &dyn QueueRig) {
    let queue = rig.queue();
    for number in 0..5_u8 {
        send(&*queue, u64::from(number), &[number]).await;
    }
    for message in receive(rig, 5).await {
        queue.park(message.handle, "suite").await.expect("answers");
    }
    let all = queue.parked(0, 10).await.expect("answers");
    assert_eq!(all.iter().map(|parked| parked.body[0]).collect::<BTreeSet<_>>(), (0..5).collect());
    assert!(all.is_sorted_by(|a, b| a.id < b.id), "ids count up");
    let first = queue.parked(0, 2).await.expect("answers");
    assert_eq!(first, all[..2]);
    assert_eq!(queue.parked(first[1].id, 10).await.expect("answers"), all[2..], "`after` is the last id that was seen");
    assert_eq!(queue.parked(all[4].id, 10).await, Ok(vec![]));
}

async fn bodies_are_carried_unchanged(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let every_byte: Vec<u8> = (0..=255).collect();
    let long: Vec<u8> = (0..64 * 1024_u32).map(|n| (n * 31 % 251) as u8).collect();
    let sent = BTreeSet::from([every_byte, long, vec![0], b"\r\n\0{}".to_vec()]);
    for (number, body) in sent.iter().enumerate() {
        send(&*queue, number as u64, body).await;
    }
    let messages = receive(rig, sent.len()).await;
    assert!(bodies(&messages) == sent, "some body was changed on its way");
    // A body that comes by check-back is the same one.
    prepare(&*queue, 99, b"\xfe\xff\0").await;
    rig.passes(rig.times().check_after_ms).await;
    assert_eq!(checks(rig, 1).await[0].body, b"\xfe\xff\0");
}

async fn a_page_is_not_exceeded_and_all_arrive(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let mut receipts = Vec::new();
    for number in 0..10_u8 {
        receipts.push(prepare(&*queue, u64::from(number), &[number]).await);
    }
    rig.passes(rig.times().check_after_ms).await;
    let some = queue.checks(3, rig.times().wait_ms).await.expect("answers");
    assert!(some.len() <= 3, "{} checks for at most 3", some.len());
    // Committed in another order than prepared: no order is promised, all of it is.
    for receipt in receipts.into_iter().rev() {
        queue.settle(receipt, Verdict::Commit).await;
    }
    let mut seen = BTreeSet::new();
    for _ in 0..TRIES_MAX {
        let messages = queue.receive(3, rig.times().wait_ms).await.expect("answers");
        assert!(messages.len() <= 3, "{} messages for at most 3", messages.len());
        seen.extend(messages.iter().map(|message| message.body[0]));
        queue.ack(messages.into_iter().map(|message| message.handle).collect(), 1).await;
        if seen.len() == 10 {
            return;
        }
    }
    panic!("ten messages should have come, these did: {seen:?}");
}

async fn c12_two_receivers_get_different_messages(rig: &dyn QueueRig) {
    let queue = rig.queue();
    for number in 0..8_u8 {
        send(&*queue, u64::from(number), &[number]).await;
    }
    let mut seen = Vec::new();
    for _ in 0..TRIES_MAX {
        let wait_ms = rig.times().wait_ms;
        let (one, two) = future::join(queue.receive(2, wait_ms), queue.receive(2, wait_ms)).await;
        seen.extend([one.expect("answers"), two.expect("answers")].concat().into_iter().map(|message| message.body[0]));
        if seen.len() >= 8 {
            break;
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..8).collect::<Vec<_>>(), "each was delivered once while its invisible time ran");
}

async fn a_waiting_receiver_is_woken_by_a_commit(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let receipt = prepare(&*queue, 1, b"at last").await;
    let long_ms = 10_000;
    let (messages, ()) = future::join(queue.receive(4, long_ms), queue.settle(receipt, Verdict::Commit)).await;
    assert_eq!(messages.expect("answers")[0].body, b"at last");
}

async fn a_wait_for_nothing_comes_to_its_end(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let (messages, ()) = future::join(queue.receive(4, 50), rig.passes(60)).await;
    assert_eq!(messages, Ok(vec![]));
    let (checks, ()) = future::join(queue.checks(4, 50), rig.passes(60)).await;
    assert_eq!(checks, Ok(vec![]));
}

async fn the_backlog_counts_halves_committed_and_parked(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let count = async || {
        let backlog = queue.backlog().await.expect("answers");
        (backlog.halves, backlog.committed, backlog.parked)
    };
    assert_eq!(count().await, (0, 0, 0));
    let receipts = [prepare(&*queue, 1, b"a").await, prepare(&*queue, 2, b"b").await, prepare(&*queue, 3, b"c").await];
    assert_eq!(count().await, (3, 0, 0));
    let [a, b, c] = receipts;
    queue.settle(a, Verdict::Commit).await;
    queue.settle(b, Verdict::Commit).await;
    queue.settle(c, Verdict::Rollback).await;
    assert_eq!(count().await, (0, 2, 0));
    let mut messages = receive(rig, 2).await;
    assert_eq!(count().await, (0, 2, 0), "delivered is not acknowledged");
    queue.park(messages.remove(0).handle, "suite").await.expect("answers");
    assert_eq!(count().await, (0, 1, 1));
    queue.ack(vec![messages.remove(0).handle], 1).await;
    assert_eq!(count().await, (0, 0, 1));
    let id = queue.parked(0, 1).await.expect("answers")[0].id;
    queue.replay(id).await.expect("answers");
    assert_eq!(count().await, (0, 1, 0));
}

async fn c34_the_witness_is_the_greatest_sequence_acknowledged(rig: &dyn QueueRig) {
    let queue = rig.queue();
    assert_eq!(queue.witness().await, Ok(None), "nothing was acknowledged");
    let mut witness = None;
    for (number, seq) in [(1, 40), (2, 70), (3, 50)] {
        send(&*queue, number, b"x").await;
        let message = receive_one(rig).await;
        queue.ack(vec![message.handle], seq).await;
        witness = queue.witness().await.expect("answers");
    }
    match witness {
        None => skipped("c34", "this queue keeps no witness"),
        Some(seq) => assert_eq!(seq, 70),
    }
}

async fn what_was_stored_is_there_after_a_restart(rig: &dyn QueueRig) {
    let queue = rig.queue();
    for (number, body) in [(1, b"parked "), (2, b"waiting"), (3, b"done   ")] {
        send(&*queue, number, body).await;
    }
    for message in receive(rig, 3).await {
        match message.body.as_slice() {
            b"parked " => queue.park(message.handle, "suite").await.expect("answers"),
            b"done   " => queue.ack(vec![message.handle], 9).await,
            _ => {}
        }
    }
    prepare(&*queue, 4, b"half").await;
    let before = (queue.parked(0, 10).await.expect("answers"), queue.witness().await.expect("answers"));
    drop(queue);
    if !rig.reopen().await {
        return skipped("what_was_stored_is_there_after_a_restart", "this queue lives in memory only");
    }
    let queue = rig.queue();
    assert_eq!((queue.parked(0, 10).await.expect("answers"), queue.witness().await.expect("answers")), before);
    invisible_time_is_over(rig).await;
    // An acknowledgement may be lost with a restart; a message that waits may not.
    let messages = receive(rig, 1).await;
    assert!(bodies(&messages).contains(&b"waiting"[..]));
    rig.passes(rig.times().check_after_ms).await;
    let check = checks(rig, 1).await.remove(0);
    assert_eq!(check.body, b"half");
    queue.settle(check.receipt, Verdict::Commit).await;
    queue.ack(messages.into_iter().map(|message| message.handle).collect(), 9).await;
    assert!(bodies(&receive(rig, 1).await).contains(&b"half"[..]));
}
