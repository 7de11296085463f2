//! Promises about what lies in a queue: bodies, counts, the witness, and what a restart leaves.

use super::super::skipped;
use super::{QueueRig, TRIES_MAX, bodies, checks, invisible_time_is_over, prepare, receive, receive_one, send};
use crate::ports::Verdict;
use std::collections::BTreeSet;

pub(super) async fn bodies_are_carried_unchanged(rig: &dyn QueueRig) {
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

pub(super) async fn a_page_is_not_exceeded_and_all_arrive(rig: &dyn QueueRig) {
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

pub(super) async fn the_backlog_counts_halves_committed_and_parked(rig: &dyn QueueRig) {
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

pub(super) async fn c34_the_witness_is_the_greatest_sequence_acknowledged(rig: &dyn QueueRig) {
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

pub(super) async fn what_was_stored_is_there_after_a_restart(rig: &dyn QueueRig) {
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
