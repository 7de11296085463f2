//! The embedded queue's own promises: which hints reach the disk and when, check-backs, parked messages; limits and
//! damage have files of their own.
//!
//! What every queue promises is tested by the contract.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

mod damage;
mod limits;

use adapters::embedded::{EmbeddedQueue, QueueSettings, SystemClock};
use futures_util::future::join_all;
use sale::ports::{Check, Clock as _, Effect, Half, Message, Queue as _, Verdict};
use sale::words::BatchId;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Hints go nowhere by themselves, checks come in a while: a test changes what it is about.
fn settings() -> QueueSettings {
    QueueSettings {
        check_after_ms: 60_000,
        check_every_ms: 60_000,
        invisible_ms: 60_000,
        hint_after_ms: 60_000,
        ..QueueSettings::default()
    }
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    (directory, path)
}

fn open(path: &Path) -> EmbeddedQueue {
    EmbeddedQueue::open(path, settings()).unwrap()
}

fn half(number: u64) -> Half {
    Half { batch: BatchId { node: 7, number }, tag: "sku".into(), body: body(number) }
}

fn body(number: u64) -> Vec<u8> {
    (0..(number * 37) % 9_000).map(|at| (at ^ number) as u8).chain(number.to_be_bytes()).collect()
}

fn number(body: &[u8]) -> u64 {
    let (_, tail) = body.split_at(body.len() - 8);
    let number = u64::from_be_bytes(tail.try_into().unwrap());
    assert_eq!(body, self::body(number), "the body of {number} has changed");
    number
}

fn numbers(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| number(&message.body)).collect()
}

fn checked(checks: &[Check]) -> Vec<u64> {
    checks.iter().map(|check| number(&check.body)).collect()
}

async fn commit(queue: &EmbeddedQueue, number: u64) {
    let receipt = queue.prepare(half(number)).await.unwrap();
    queue.settle(receipt, Verdict::Commit).await;
}

/// What the disk would hold if the machine stopped now.
fn image(path: &Path) -> (TempDir, PathBuf) {
    let (directory, copy) = place();
    for suffix in ["", "-wal"] {
        let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::copy(with(path), with(&copy)).unwrap();
    }
    (directory, copy)
}

async fn found(path: &Path) -> (Vec<u64>, Vec<u64>) {
    let queue = open(path);
    (checked(&queue.checks(1_000, 0).await.unwrap()), numbers(&queue.receive(1_000, 0).await.unwrap()))
}

// --- hints

#[tokio::test]
async fn a_settlement_is_delivered_before_the_disk_hears_of_it() {
    let (_directory, path) = place();
    let queue = open(&path);
    commit(&queue, 1).await;
    let before = queue.commits();
    assert_eq!(numbers(&queue.receive(10, 0).await.unwrap()), [1]);
    assert_eq!(queue.commits(), before);
    let (_image, image) = image(&path);
    assert_eq!(found(&image).await, (vec![1], vec![]), "a crash forgets the hint and checks back");
}

#[tokio::test]
async fn hints_ride_with_the_next_half_message() {
    let (_directory, path) = place();
    let queue = open(&path);
    for number in 1..=4 {
        commit(&queue, number).await;
    }
    let messages = queue.receive(2, 0).await.unwrap();
    queue.ack(messages.into_iter().map(|message| message.handle).collect(), 41).await;
    let dropped = queue.prepare(half(5)).await.unwrap();
    queue.settle(dropped, Verdict::Rollback).await;
    let before = queue.commits();
    queue.prepare(half(6)).await.unwrap();
    assert_eq!(queue.commits(), before + 1);
    let (_image, image) = image(&path);
    assert_eq!(found(&image).await, (vec![6], vec![3, 4]));
    assert_eq!(open(&image).witness().await.unwrap(), Some(41));
}

#[tokio::test]
async fn hints_go_by_themselves_when_nothing_else_does_and_an_idle_queue_writes_nothing() {
    let (_directory, path) = place();
    let queue = EmbeddedQueue::open(&path, QueueSettings { hint_after_ms: 5, ..settings() }).unwrap();
    let clock = SystemClock::new().unwrap();
    commit(&queue, 1).await;
    let handle = queue.receive(1, 0).await.unwrap().remove(0).handle;
    queue.ack(vec![handle], 9).await;
    let end = clock.elapsed_us() + 5_000_000;
    while queue.commits() < 2 {
        assert!(clock.elapsed_us() < end, "the hints are still on their way");
        clock.sleep_us(2_000).await;
    }
    {
        let (_image, image) = image(&path);
        assert_eq!(found(&image).await, (vec![], vec![]));
        assert_eq!(open(&image).witness().await.unwrap(), Some(9));
    }
    assert!(queue.receive(1, 60).await.unwrap().is_empty());
    assert_eq!(queue.commits(), 2, "nothing happened, and yet it wrote");
}

#[tokio::test]
async fn hints_survive_a_proper_end() {
    let (_directory, path) = place();
    {
        let queue = open(&path);
        for number in 1..=6 {
            commit(&queue, number).await;
        }
        queue.prepare(half(7)).await.unwrap();
        let dropped = queue.prepare(half(8)).await.unwrap();
        queue.settle(dropped, Verdict::Rollback).await;
        let messages = queue.receive(3, 0).await.unwrap();
        queue.ack(messages.iter().take(2).map(|message| message.handle.clone()).collect(), 70).await;
        // A smaller sequence, and a message that is gone already.
        queue.ack(vec![messages[0].handle.clone()], 60).await;
        assert_eq!(queue.witness().await.unwrap(), Some(70));
    }
    let queue = open(&path);
    let messages = queue.receive(10, 0).await.unwrap();
    assert_eq!(numbers(&messages), [3, 4, 5, 6], "in order, without those that are done");
    assert!(messages.iter().all(|message| message.deliveries == 1), "deliveries are counted in memory");
    assert_eq!(checked(&queue.checks(10, 0).await.unwrap()), [7]);
    assert_eq!(queue.witness().await.unwrap(), Some(70));
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let (_directory, path) = place();
    let queue = open(&path);
    let halves = 400;
    let prepared = join_all((0..halves).map(|number| queue.prepare(half(number)))).await;
    assert!(prepared.iter().all(Result::is_ok));
    // The first call wakes the thread; the others pile up behind its commit.
    assert!(queue.commits() <= halves / 10, "{} commits for {halves} half messages", queue.commits());
    let (_image, image) = image(&path);
    let (mut halves_found, _) = found(&image).await;
    halves_found.sort_unstable();
    assert_eq!(halves_found, (0..halves).collect::<Vec<_>>());
}

// --- time

#[tokio::test]
async fn a_half_that_nobody_settles_is_checked_back_for_ever() {
    let (_directory, path) = place();
    let queue = EmbeddedQueue::open(&path, QueueSettings { check_after_ms: 60, check_every_ms: 20, ..settings() }).unwrap();
    let clock = SystemClock::new().unwrap();
    let from = clock.elapsed_us();
    queue.prepare(half(1)).await.unwrap();
    assert!(queue.checks(10, 0).await.unwrap().is_empty(), "too early");
    let mut last = from;
    for round in 0..30 {
        let checks = queue.checks(10, 5_000).await.unwrap();
        assert_eq!(checked(&checks), [1]);
        let now = clock.elapsed_us();
        let least = if round == 0 { 60_000 } else { 20_000 };
        assert!(now - last >= least - 1_000, "check {round} came after {} µs", now - last);
        last = now;
        if round % 2 == 0 {
            queue.settle(checks[0].receipt.clone(), Verdict::Unknown).await;
        }
    }
    let receipt = queue.checks(10, 5_000).await.unwrap().remove(0).receipt;
    queue.settle(receipt.clone(), Verdict::Commit).await;
    queue.settle(receipt, Verdict::Rollback).await;
    assert!(queue.checks(10, 60).await.unwrap().is_empty());
    assert_eq!(numbers(&queue.receive(10, 0).await.unwrap()), [1], "the first verdict stands");
}

#[tokio::test]
async fn after_opening_every_half_is_checked_at_once_and_takes_its_old_receipt() {
    let (_directory, path) = place();
    let receipt = {
        let queue = open(&path);
        let receipt = queue.prepare(half(1)).await.unwrap();
        assert!(queue.checks(10, 0).await.unwrap().is_empty());
        receipt
    };
    let queue = open(&path);
    assert_eq!(checked(&queue.checks(10, 0).await.unwrap()), [1]);
    assert_ne!(queue.prepare(half(2)).await.unwrap(), receipt, "a receipt is used once, whatever was deleted between");
    queue.settle(receipt, Verdict::Commit).await;
    assert_eq!(numbers(&queue.receive(10, 0).await.unwrap()), [1]);
}

#[tokio::test]
async fn ids_are_not_used_twice_when_all_rows_are_gone() {
    let (_directory, path) = place();
    let mut seen = Vec::new();
    for number in 0..4 {
        let queue = open(&path);
        let receipt = queue.prepare(half(number)).await.unwrap();
        assert!(!seen.contains(&receipt), "{receipt:?} was used before");
        queue.settle(receipt.clone(), Verdict::Rollback).await;
        seen.push(receipt);
    }
}

#[tokio::test]
async fn a_message_that_nobody_acknowledged_comes_again_and_stale_handles_do_no_harm() {
    let (_directory, path) = place();
    let queue = EmbeddedQueue::open(&path, QueueSettings { invisible_ms: 40, ..settings() }).unwrap();
    commit(&queue, 1).await;
    let first = queue.receive(1, 0).await.unwrap().remove(0);
    assert!(queue.receive(1, 0).await.unwrap().is_empty(), "its invisible time runs");
    let second = queue.receive(1, 5_000).await.unwrap().remove(0);
    assert_eq!((number(&second.body), second.deliveries), (1, 2));
    queue.later(vec![first.handle.clone()], 60_000).await;
    let third = queue.receive(1, 5_000).await.unwrap().remove(0);
    assert_eq!(third.deliveries, 3, "only who has it may give it back");
    queue.later(vec![third.handle], 100).await;
    let clock = SystemClock::new().unwrap();
    let from = clock.elapsed_us();
    assert_eq!(queue.receive(1, 5_000).await.unwrap().remove(0).deliveries, 4);
    assert!(clock.elapsed_us() - from >= 99_000);
    queue.ack(vec![first.handle], 1).await;
    assert!(queue.receive(1, 120).await.unwrap().is_empty(), "it is done, whichever delivery was acknowledged");
    assert_eq!(queue.backlog().await.unwrap().committed, 0);
}

#[tokio::test]
async fn who_waits_is_woken_at_once() {
    let (_directory, path) = place();
    let queue = open(&path);
    let clock = SystemClock::new().unwrap();
    let receipt = queue.prepare(half(1)).await.unwrap();
    let other = queue.prepare(half(2)).await.unwrap();
    let from = clock.elapsed_us();
    let both = async {
        clock.sleep_us(20_000).await;
        queue.settle(receipt, Verdict::Commit).await;
        queue.settle(other, Verdict::Commit).await;
    };
    let (a, b, ()) = tokio::join!(queue.receive(1, 30_000), queue.receive(1, 30_000), both);
    let mut got = [numbers(&a.unwrap()), numbers(&b.unwrap())].concat();
    got.sort_unstable();
    assert_eq!(got, [1, 2], "each waiter gets one");
    assert!(clock.elapsed_us() - from < 5_000_000);
}

// --- parked

#[tokio::test]
async fn parked_messages_stay_over_a_crash_and_replay_delivers_them_anew() {
    let (_directory, path) = place();
    let queue = open(&path);
    for number in 1..=3 {
        commit(&queue, number).await;
    }
    let messages = queue.receive(10, 0).await.unwrap();
    queue.park(messages[0].handle.clone(), "no batch: 你好").await.unwrap();
    queue.park(messages[0].handle.clone(), "a second time").await.unwrap();
    queue.park(messages[1].handle.clone(), &"long ".repeat(1_000)).await.unwrap();
    let (_first_image, first_image) = image(&path);
    {
        let queue = open(&first_image);
        assert_eq!(queue.backlog().await.unwrap().parked, 2);
        let parked = queue.parked(0, 10).await.unwrap();
        assert_eq!(parked.iter().map(|parked| number(&parked.body)).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(parked[0].reason, "no batch: 你好");
        assert!(parked[0].at.0 > 1_600_000_000_000);
        assert!(parked[1].reason.len() <= 1_024);
        assert_eq!(queue.parked(parked[0].id, 10).await.unwrap(), parked[1..]);
        assert_eq!(queue.parked(0, 1).await.unwrap(), parked[..1]);
        assert_eq!(numbers(&queue.receive(10, 0).await.unwrap()), [3]);
    }
    let parked = queue.parked(0, 10).await.unwrap();
    assert!(queue.replay(parked[0].id).await.unwrap());
    assert!(!queue.replay(parked[0].id).await.unwrap(), "it is parked no more");
    assert!(!queue.replay(u64::MAX).await.unwrap());
    let (_second_image, second_image) = image(&path);
    {
        let queue = open(&second_image);
        assert_eq!(queue.backlog().await.unwrap().parked, 1);
        assert_eq!(numbers(&queue.receive(10, 0).await.unwrap()), [3, 1]);
    }
    let again = queue.receive(10, 0).await.unwrap().remove(0);
    assert_eq!((number(&again.body), again.deliveries), (1, 1), "deliveries start anew");
    queue.park(again.handle, "still no batch").await.unwrap();
    assert!(queue.parked(0, 10).await.unwrap().last().unwrap().id > parked[1].id, "ids count up");
}

#[tokio::test]
async fn poison_is_any_bytes() {
    let (_directory, path) = place();
    let bodies = [vec![], vec![0], vec![0xff; 3], b"'; drop table message; --".to_vec(), vec![0; 1 << 20]];
    let half = |body: &Vec<u8>| Half { batch: BatchId { node: u64::MAX, number: u64::MAX }, tag: "|*'\0".into(), body: body.clone() };
    {
        let queue = open(&path);
        for body in &bodies {
            let receipt = queue.prepare(half(body)).await.unwrap();
            queue.settle(receipt, Verdict::Commit).await;
        }
    }
    let queue = open(&path);
    let messages = queue.receive(10, 0).await.unwrap();
    assert_eq!(messages.iter().map(|message| message.body.clone()).collect::<Vec<_>>(), bodies);
    for message in messages {
        queue.park(message.handle, "poison").await.unwrap();
    }
    assert_eq!(queue.parked(0, 10).await.unwrap().into_iter().map(|parked| parked.body).collect::<Vec<_>>(), bodies);
}
