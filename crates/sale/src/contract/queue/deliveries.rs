//! Promises about deliveries: invisible for a time, acknowledged one by one, given back, parked, waited for.

use super::{QueueRig, TRIES_MAX, bodies, invisible_time_is_over, lies_there, prepare, receive, receive_one, send};
use crate::ports::Verdict;
use futures_util::future;
use std::collections::BTreeSet;

pub(super) async fn c11_a_message_is_delivered_again_after_its_invisible_time(rig: &dyn QueueRig) {
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

pub(super) async fn a_message_given_back_comes_again_after_its_delay(rig: &dyn QueueRig) {
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

pub(super) async fn c16_each_message_is_acknowledged_by_itself(rig: &dyn QueueRig) {
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

pub(super) async fn c16_a_parked_message_is_put_aside_until_it_is_replayed(rig: &dyn QueueRig) {
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

pub(super) async fn parked_messages_come_in_pages(rig: &dyn QueueRig) {
    let queue = rig.queue();
    for number in 0..5_u8 {
        send(&*queue, u64::from(number), &[number]).await;
    }
    for (number, message) in receive(rig, 5).await.into_iter().enumerate() {
        if number == 4 {
            rig.passes(200).await;
        }
        queue.park(message.handle, "suite").await.expect("answers");
    }
    let all = queue.parked(0, 10).await.expect("answers");
    let apart_ms = all[4].at.since_ms(all[0].at);
    assert!((200..3_600_000).contains(&apart_ms), "each bears the time when it was parked: {apart_ms} ms");
    assert_eq!(all.iter().map(|parked| parked.body[0]).collect::<BTreeSet<_>>(), (0..5).collect());
    assert!(all.is_sorted_by(|a, b| a.id < b.id), "ids count up");
    let first = queue.parked(0, 2).await.expect("answers");
    assert_eq!(first, all[..2]);
    assert_eq!(queue.parked(first[1].id, 10).await.expect("answers"), all[2..], "`after` is the last id that was seen");
    assert_eq!(queue.parked(all[4].id, 10).await, Ok(vec![]));
}

pub(super) async fn c12_two_receivers_get_different_messages(rig: &dyn QueueRig) {
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

pub(super) async fn a_waiting_receiver_is_woken_by_a_commit(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let receipt = prepare(&*queue, 1, b"at last").await;
    let long_ms = 10_000;
    let (messages, ()) = future::join(queue.receive(4, long_ms), queue.settle(receipt, Verdict::Commit)).await;
    assert_eq!(messages.expect("answers")[0].body, b"at last");
}

pub(super) async fn a_wait_for_nothing_comes_to_its_end(rig: &dyn QueueRig) {
    let queue = rig.queue();
    let (messages, ()) = future::join(queue.receive(4, 50), rig.passes(60)).await;
    assert_eq!(messages, Ok(vec![]));
    let (checks, ()) = future::join(queue.checks(4, 50), rig.passes(60)).await;
    assert_eq!(checks, Ok(vec![]));
}
