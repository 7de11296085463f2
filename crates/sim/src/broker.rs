//! A broker as bad as the queue's port allows: it delivers many times, late and out of order, forgets settlements, drops half
//! messages after their checks, and delivers after a rollback if somebody also sent commit. What it must not do, deliver a
//! half message that nobody committed, it does not do. It knows nothing of what a body says.

use crate::executor::Random;
use async_trait::async_trait;
use sale::memory::MemoryQueue;
use sale::ports::*;
use sale::words::BatchId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// How bad, in percent of messages; zeros behave well.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Manners {
    /// A committed message is delivered up to five times more, whatever becomes of it.
    pub duplicate: u64,
    /// A delivery is held back for up to eight seconds.
    pub late: u64,
    /// A settlement is forgotten.
    pub forget: u64,
    /// A half message is dropped for ever when it is to be checked back.
    pub drop_half: u64,
    /// A delivery comes with a message that nobody can read.
    pub poison: u64,
    /// What was rolled back and also committed is delivered; and deliveries come in any order.
    pub disorder: bool,
}

/// Stands before a queue.
pub struct Broker {
    inner: Arc<MemoryQueue>,
    state: Mutex<State>,
}

struct State {
    manners: Manners,
    random: Random,
    halves: BTreeMap<String, Half>,
    /// What the queue is to deliver although nobody sent it, or not again; as messages of their own.
    extra: Vec<Vec<u8>>,
    /// Extras that the queue has taken.
    taken: u64,
    counts: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
struct Half {
    body: Vec<u8>,
    committed: bool,
    rolled_back: bool,
}

impl State {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

impl Broker {
    /// One that behaves well.
    pub fn new(inner: Arc<MemoryQueue>, seed: u64) -> Arc<Self> {
        let random = Random::new(seed ^ 0xB0B);
        let state =
            State { manners: Manners::default(), random, halves: BTreeMap::new(), extra: Vec::new(), taken: 0, counts: BTreeMap::new() };
        Arc::new(Self { inner, state: Mutex::new(state) })
    }

    /// From now on it is as bad as this.
    pub fn misbehave(&self, manners: Manners) {
        self.lock().manners = manners;
    }

    /// From now on it behaves well; what it has held back comes.
    pub fn behave(&self) {
        self.misbehave(Manners::default());
    }

    /// Extras that are to be delivered now, with their numbers; and how long there is to wait for more.
    fn extra_due(&self, wait_ms: u64) -> (Vec<(u64, Vec<u8>)>, u64) {
        let mut state = self.lock();
        let manners = state.manners;
        if state.random.chance(manners.poison) {
            state.count("poison");
            let mut bytes: Vec<u8> = (0..state.random.below(40)).map(|_| state.random.next() as u8).collect();
            if bytes.starts_with(b"HC") {
                // That would be a batch of a later version, which waits for a newer node, and for ever.
                bytes[0] = 0;
            }
            state.extra.push(bytes);
        }
        let mut due = Vec::new();
        while !state.extra.is_empty() && (manners == Manners::default() || state.random.chance(30)) {
            let at = state.random.below(state.extra.len() as u64) as usize;
            state.taken += 1;
            due.push((state.taken, state.extra.swap_remove(at)));
        }
        (due, if state.extra.is_empty() { wait_ms } else { 0 })
    }

    /// How often it did what.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }
}

/// The process that extras are from.
const NOBODY: u64 = u64::MAX;

#[async_trait]
impl Queue for Broker {
    async fn prepare(&self, half: sale::ports::Half) -> Result<Receipt, Fault> {
        let body = half.body.clone();
        let receipt = self.inner.prepare(half).await?;
        self.lock().halves.insert(receipt.0.clone(), Half { body, ..Half::default() });
        Ok(receipt)
    }

    async fn settle(&self, receipt: Receipt, verdict: Verdict) {
        {
            let mut state = self.lock();
            let (manners, forget) = (state.manners, state.random.below(100));
            if forget < manners.forget {
                state.count("settlement forgotten");
                return;
            }
            let copies = if verdict == Verdict::Commit && state.random.chance(manners.duplicate) { 1 + state.random.below(5) } else { 0 };
            if let Some(half) = state.halves.get_mut(&receipt.0) {
                let (was_committed, was_rolled_back) = (half.committed, half.rolled_back);
                half.committed |= verdict == Verdict::Commit;
                half.rolled_back |= verdict == Verdict::Rollback;
                let both = half.committed && half.rolled_back && !(was_committed && was_rolled_back);
                let body = half.body.clone();
                if both && manners.disorder {
                    state.count("delivered after a rollback");
                    state.extra.push(body.clone());
                }
                for _ in 0..copies {
                    state.count("delivered once more");
                    state.extra.push(body.clone());
                }
            }
        }
        self.inner.settle(receipt, verdict).await;
    }

    async fn checks(&self, max: usize, wait_ms: u64) -> Result<Vec<Check>, Fault> {
        let mut checks = self.inner.checks(max, wait_ms).await?;
        let mut dropped = Vec::new();
        {
            let mut state = self.lock();
            checks.retain(|check| {
                let percent = state.manners.drop_half;
                let drop = state.random.chance(percent);
                if drop {
                    state.count("half message dropped");
                    dropped.push(check.receipt.clone());
                }
                !drop
            });
        }
        for receipt in dropped {
            self.inner.settle(receipt, Verdict::Rollback).await;
        }
        Ok(checks)
    }

    async fn receive(&self, max: usize, wait_ms: u64) -> Result<Vec<Message>, Fault> {
        let (extra, wait_ms) = self.extra_due(wait_ms);
        for (number, body) in extra {
            let half = sale::ports::Half { batch: BatchId { node: NOBODY, number }, tag: String::new(), body };
            let receipt = self.inner.prepare(half).await?;
            self.inner.settle(receipt, Verdict::Commit).await;
        }
        let mut messages = self.inner.receive(max, wait_ms).await?;
        let mut late = Vec::new();
        {
            let mut state = self.lock();
            let manners = state.manners;
            messages.retain(|message| {
                let hold_back = state.random.chance(manners.late);
                if hold_back {
                    let delay_ms = state.random.below(8_000);
                    state.count("delivery held back");
                    late.push((message.handle.clone(), delay_ms));
                }
                !hold_back
            });
            if manners.disorder {
                for at in (1..messages.len()).rev() {
                    let other = state.random.below(at as u64 + 1) as usize;
                    messages.swap(at, other);
                }
            }
        }
        for (handle, delay_ms) in late {
            self.inner.later(vec![handle], delay_ms).await;
        }
        Ok(messages)
    }

    async fn ack(&self, handles: Vec<Handle>, ledger_seq: u64) {
        self.inner.ack(handles, ledger_seq).await;
    }

    async fn later(&self, handles: Vec<Handle>, delay_ms: u64) {
        self.inner.later(handles, delay_ms).await;
    }

    async fn park(&self, handle: Handle, reason: &str) -> Result<(), Fault> {
        self.inner.park(handle, reason).await
    }

    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, Fault> {
        self.inner.parked(after, max).await
    }

    async fn replay(&self, id: u64) -> Result<bool, Fault> {
        self.inner.replay(id).await
    }

    async fn backlog(&self) -> Result<Backlog, Fault> {
        let extra = self.lock().extra.len() as u64;
        let backlog = self.inner.backlog().await?;
        Ok(Backlog { committed: backlog.committed + extra, ..backlog })
    }

    async fn witness(&self) -> Result<Option<u64>, Fault> {
        self.inner.witness().await
    }
}
