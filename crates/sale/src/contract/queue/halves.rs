//! Promises about half messages: settled, checked back, settled again.

use super::{QueueRig, checks, invisible_time_is_over, lies_there, prepare, receive, receive_one, send};
use crate::ports::{Handle, Receipt, Verdict};

pub(super) async fn a_half_message_is_delivered_after_its_commit_and_not_before(rig: &dyn QueueRig) {
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

pub(super) async fn a_message_that_is_rolled_back_is_never_delivered(rig: &dyn QueueRig) {
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

pub(super) async fn c01_an_unsettled_half_message_is_checked_back_and_then_delivered(rig: &dyn QueueRig) {
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

pub(super) async fn c06_an_unknown_verdict_is_asked_for_again(rig: &dyn QueueRig) {
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

pub(super) async fn c03_settling_again_is_harmless(rig: &dyn QueueRig) {
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

pub(super) async fn a_settled_half_message_is_not_checked_back(rig: &dyn QueueRig) {
    let queue = rig.queue();
    send(&*queue, 1, b"settled").await;
    let message = receive_one(rig).await;
    rig.passes(rig.times().check_after_ms + rig.times().check_every_ms).await;
    assert_eq!(queue.checks(16, rig.times().wait_ms).await, Ok(vec![]), "a commit that was heard is an answer");
    queue.ack(vec![message.handle], 1).await;
}

pub(super) async fn settling_and_acknowledging_nonsense_is_harmless(rig: &dyn QueueRig) {
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
