//! The model that the broker is held against: every message has a key, every key a fate, and what is delivered must fit it.

use crate::lab::{Inbox, Plan, SOON, key_of, lock, message, wait_out, wait_within};
use rocketmq::{Access, Error, HalfMessage, TransactionalProducer, Verdict};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What a half message shall become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is being sent.
    Open,
    /// It must be delivered.
    Committed,
    /// It must not.
    RolledBack,
}

/// All keys and their fates; and the checker, which knows nothing else.
#[derive(Clone, Default)]
pub struct Oracle {
    fates: Arc<Mutex<HashMap<String, Fate>>>,
    pub checks: Arc<AtomicU64>,
    unknown: Arc<AtomicU64>,
    not_sent: Arc<AtomicU64>,
    pub lost_hints: Arc<AtomicU64>,
}

/// How it went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    pub sent: usize,
    pub committed: usize,
    pub rolled_back: usize,
    pub unknown: u64,
    pub not_sent: u64,
    pub lost_hints: u64,
    pub checks: u64,
    pub missing: usize,
    pub wrongly_delivered: usize,
    pub duplicated: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sent: {} committed, {} rolled back; {} half messages of unknown outcome, {} not sent, {} settlements lost, {} checks: {} missing, {} delivered after a rollback, {} delivered more than once",
            self.sent,
            self.committed,
            self.rolled_back,
            self.unknown,
            self.not_sent,
            self.lost_hints,
            self.checks,
            self.missing,
            self.wrongly_delivered,
            self.duplicated
        )
    }
}

impl Oracle {
    fn set(&self, key: &str, fate: Fate) {
        lock(&self.fates).insert(key.to_owned(), fate);
    }

    pub fn verdict(&self, half: &HalfMessage) -> Verdict {
        self.checks.fetch_add(1, Ordering::Relaxed);
        match lock(&self.fates).get(&key_of(&half.message)) {
            Some(Fate::Committed) => Verdict::Commit,
            Some(Fate::RolledBack) => Verdict::Rollback,
            Some(Fate::Open) | None => Verdict::Unknown,
        }
    }

    pub async fn producer(&self, access: Access, topic: &str) -> TransactionalProducer {
        let oracle = self.clone();
        let checker = move |half: HalfMessage| {
            let verdict = oracle.verdict(&half);
            async move { verdict }
        };
        TransactionalProducer::start(access, &[topic], checker).await.expect("a producer")
    }

    /// So many at once, until it is told to stop: eight of ten commit, one rolls back, one says nothing and leaves it to the
    /// checker.
    pub async fn load(&self, producer: Arc<TransactionalProducer>, topic: &str, ways: usize, stop: Arc<AtomicBool>) {
        let mut all = JoinSet::new();
        for way in 0..ways {
            let (oracle, producer, topic, stop) = (self.clone(), producer.clone(), topic.to_owned(), stop.clone());
            all.spawn(async move {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    oracle.one(&producer, &topic, &format!("{way}-{n}"), (n + way) % 10).await;
                    n += 1;
                }
            });
        }
        all.join_all().await;
    }

    async fn one(&self, producer: &TransactionalProducer, topic: &str, key: &str, kind: usize) {
        self.set(key, Fate::Open);
        let half = match producer.prepare(&message(topic, key)).await {
            Ok(half) => half,
            Err(error) => {
                // What it stands for was not done: should the broker have it, it is rolled back.
                self.set(key, Fate::RolledBack);
                match error {
                    Error::Unknown { .. } => self.unknown.fetch_add(1, Ordering::Relaxed),
                    Error::NotSent(_) => self.not_sent.fetch_add(1, Ordering::Relaxed),
                    // A proxy whose name server has just been started knows no topics for a while.
                    Error::Refused { code: 40_402, .. } => {
                        wait_out(Duration::from_millis(100)).await;
                        self.not_sent.fetch_add(1, Ordering::Relaxed)
                    }
                    refused => panic!("{refused}"),
                };
                return;
            }
        };
        let settled = match kind {
            0 => {
                self.set(key, Fate::RolledBack);
                half.rollback().await
            }
            1 => {
                self.set(key, Fate::Committed);
                drop(half);
                Ok(())
            }
            _ => {
                self.set(key, Fate::Committed);
                half.commit().await
            }
        };
        if settled.is_err() {
            self.lost_hints.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything that must be delivered is, and a half message that was prepared after all of it was asked about
    /// twice; then counts.
    pub async fn judge(&self, access: Access, topic: &str, inbox: &Inbox) -> Outcome {
        let missing = |fates: &HashMap<String, Fate>, seen: &HashMap<String, u32>| {
            fates.iter().filter(|(key, fate)| **fate == Fate::Committed && !seen.contains_key(*key)).count()
        };
        let plan = Plan::default();
        let (oracle, planned) = (self.clone(), plan.clone());
        let checker = move |half: HalfMessage| {
            let is_marker = key_of(&half.message) == "marker";
            let verdict = if is_marker { planned.verdict(&half) } else { oracle.verdict(&half) };
            async move { verdict }
        };
        // It answers for what the load left open.
        // A proxy whose name server has just been started lets nobody new in for a while.
        let mut last = Err(Error::ShutDown);
        wait_within(2 * SOON, async || {
            last = TransactionalProducer::start(access.clone(), &[topic], checker.clone()).await;
            last.is_ok()
        })
        .await;
        let last = last.expect("a producer");
        wait_within(3 * SOON, async || missing(&lock(&self.fates), &inbox.seen()) == 0).await;
        plan.say("marker", &[Verdict::Unknown, Verdict::Unknown, Verdict::Commit]);
        drop(last.prepare(&message(topic, "marker")).await.expect("the broker is well again"));
        inbox.wait_for("marker").await;
        let (fates, seen) = (lock(&self.fates).clone(), inbox.seen());
        let count = |fate| fates.values().filter(|one| **one == fate).count();
        Outcome {
            sent: fates.len(),
            committed: count(Fate::Committed),
            rolled_back: count(Fate::RolledBack),
            unknown: self.unknown.load(Ordering::Relaxed),
            not_sent: self.not_sent.load(Ordering::Relaxed),
            lost_hints: self.lost_hints.load(Ordering::Relaxed),
            checks: self.checks.load(Ordering::Relaxed),
            missing: missing(&fates, &seen),
            wrongly_delivered: seen.keys().filter(|key| fates.get(*key) == Some(&Fate::RolledBack)).count(),
            duplicated: seen.values().filter(|times| **times > 1).count(),
        }
    }

    pub fn prepared(&self) -> usize {
        lock(&self.fates).values().filter(|fate| **fate == Fate::Committed).count()
    }
}

/// Waits until so many more were committed.
pub async fn goes_on(oracle: &Oracle, more: usize) -> Duration {
    let since = Instant::now();
    let target = oracle.prepared() + more;
    assert!(wait_within(SOON, async || oracle.prepared() >= target).await, "nothing goes on");
    since.elapsed()
}
