//! A broker in memory: half messages, settlements, check-backs, deliveries, parking. The reference of
//! [`Queue`](crate::ports::Queue). It knows nothing of what a body says, and it behaves well: a bad broker is a
//! decorator of this one.

use crate::ports::{Backlog, Check, Clock, Fault, Half, Handle, Message, Parked, Queue, Receipt, Verdict};
use crate::words::Time;
use async_trait::async_trait;
use futures_util::future;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// The broker's times and its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueSettings {
    /// Age of an unsettled half message at which it is checked back first.
    pub check_after_ms: u64,
    /// Time between two check-backs of the same half message.
    pub check_every_ms: u64,
    /// How long a delivery stays invisible.
    pub invisible_ms: u64,
    /// Most messages of every kind together; above it `prepare` refuses.
    pub messages_max: usize,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { check_after_ms: 1_000, check_every_ms: 1_000, invisible_ms: 5_000, messages_max: 1_000_000 }
    }
}

/// A broker in memory. What one `Arc` of it holds outlives the node that used it.
pub struct MemoryQueue {
    clock: Arc<dyn Clock>,
    settings: QueueSettings,
    state: Mutex<State>,
    /// Told when something can be taken that could not be taken before.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Numbers everything that is stored; from one.
    last: u64,
    halves: BTreeMap<u64, HalfKept>,
    committed: BTreeMap<u64, Kept>,
    parked: BTreeMap<u64, Parked>,
    witness: Option<u64>,
}

struct HalfKept {
    half: Half,
    check_at_us: u64,
}

struct Kept {
    body: Vec<u8>,
    visible_at_us: u64,
    deliveries: u32,
}

impl State {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn stored(&self) -> usize {
        self.halves.len() + self.committed.len() + self.parked.len()
    }
}

impl MemoryQueue {
    /// An empty broker whose time is this clock's.
    pub fn new(clock: Arc<dyn Clock>, settings: QueueSettings) -> Arc<Self> {
        Arc::new(Self { clock, settings, state: Mutex::default(), changed: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// `take`s until there is something or the wait is over. `due` says when something is next due by time alone.
    async fn wait_for<T>(
        &self,
        wait_ms: u64,
        take: impl Fn(&mut State, u64) -> Vec<T> + Send,
        due: impl Fn(&State) -> Option<u64> + Send,
    ) -> Vec<T> {
        let deadline_us = self.clock.elapsed_us().saturating_add(wait_ms.saturating_mul(1_000));
        loop {
            // Listen first, look second: what changes in between is heard.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let now_us = self.clock.elapsed_us();
            let (taken, due_us) = {
                let mut state = self.lock();
                (take(&mut state, now_us), due(&state))
            };
            if !taken.is_empty() || now_us >= deadline_us {
                return taken;
            }
            let until_us = due_us.map_or(deadline_us, |due_us| due_us.min(deadline_us));
            future::select(changed, self.clock.sleep_us(until_us.saturating_sub(now_us).max(1))).await;
        }
    }
}

/// A handle names the message and the delivery, because only the latest delivery may be given back.
fn handle(number: u64, delivery: u32) -> Handle {
    Handle(format!("{number}/{delivery}"))
}

fn read_handle(handle: &Handle) -> Option<(u64, u32)> {
    let (number, delivery) = handle.0.split_once('/')?;
    Some((number.parse().ok()?, delivery.parse().ok()?))
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn prepare(&self, half: Half) -> Result<Receipt, Fault> {
        let check_at_us = self.clock.elapsed_us() + self.settings.check_after_ms * 1_000;
        let mut state = self.lock();
        if state.stored() >= self.settings.messages_max {
            return Err(Fault::none(format!(
                "the queue holds {} messages, its most; it takes more when some are recorded",
                state.stored()
            )));
        }
        let number = state.number();
        state.halves.insert(number, HalfKept { half, check_at_us });
        Ok(Receipt(number.to_string()))
    }

    async fn settle(&self, receipt: Receipt, verdict: Verdict) {
        let now_us = self.clock.elapsed_us();
        let Ok(number) = receipt.0.parse::<u64>() else { return };
        {
            let mut state = self.lock();
            match verdict {
                Verdict::Unknown => {
                    if let Some(kept) = state.halves.get_mut(&number) {
                        kept.check_at_us = now_us + self.settings.check_every_ms * 1_000;
                    }
                }
                Verdict::Rollback => {
                    state.halves.remove(&number);
                }
                Verdict::Commit => {
                    // A half message that is gone was settled before: the first verdict stands.
                    if let Some(kept) = state.halves.remove(&number) {
                        state.committed.insert(number, Kept { body: kept.half.body, visible_at_us: now_us, deliveries: 0 });
                    }
                }
            }
        }
        self.changed.notify_waiters();
    }

    async fn checks(&self, max: usize, wait_ms: u64) -> Result<Vec<Check>, Fault> {
        let again_us = self.settings.check_every_ms * 1_000;
        let take = |state: &mut State, now_us: u64| {
            let due = state.halves.iter_mut().filter(|(_, kept)| kept.check_at_us <= now_us).take(max);
            due.map(|(number, kept)| {
                kept.check_at_us = now_us + again_us;
                Check { receipt: Receipt(number.to_string()), body: kept.half.body.clone() }
            })
            .collect()
        };
        Ok(self.wait_for(wait_ms, take, |state| state.halves.values().map(|kept| kept.check_at_us).min()).await)
    }

    async fn receive(&self, max: usize, wait_ms: u64) -> Result<Vec<Message>, Fault> {
        let invisible_us = self.settings.invisible_ms * 1_000;
        let take = |state: &mut State, now_us: u64| {
            let visible = state.committed.iter_mut().filter(|(_, kept)| kept.visible_at_us <= now_us).take(max);
            visible
                .map(|(&number, kept)| {
                    kept.deliveries += 1;
                    kept.visible_at_us = now_us + invisible_us;
                    Message { handle: handle(number, kept.deliveries), body: kept.body.clone(), deliveries: kept.deliveries }
                })
                .collect()
        };
        Ok(self.wait_for(wait_ms, take, |state| state.committed.values().map(|kept| kept.visible_at_us).min()).await)
    }

    async fn ack(&self, handles: Vec<Handle>, ledger_seq: u64) {
        let mut state = self.lock();
        for (number, _) in handles.iter().filter_map(read_handle) {
            // Whichever delivery it was: what the message carries is recorded, so the message is done.
            state.committed.remove(&number);
        }
        state.witness = state.witness.max(Some(ledger_seq));
    }

    async fn later(&self, handles: Vec<Handle>, delay_ms: u64) {
        let visible_at_us = self.clock.elapsed_us() + delay_ms * 1_000;
        {
            let mut state = self.lock();
            for (number, delivery) in handles.iter().filter_map(read_handle) {
                // An older delivery's holder has nothing to say any more about when the message comes again.
                if let Some(kept) = state.committed.get_mut(&number).filter(|kept| kept.deliveries == delivery) {
                    kept.visible_at_us = visible_at_us;
                }
            }
        }
        self.changed.notify_waiters();
    }

    async fn park(&self, handle: Handle, reason: &str) -> Result<(), Fault> {
        let at = Time((self.clock.elapsed_us() / 1_000) as i64);
        let mut state = self.lock();
        let kept = read_handle(&handle).and_then(|(number, _)| state.committed.remove(&number));
        if let Some(kept) = kept {
            let id = state.number();
            state.parked.insert(id, Parked { id, body: kept.body, reason: reason.to_owned(), at });
        }
        Ok(())
    }

    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, Fault> {
        Ok(self.lock().parked.range(after.saturating_add(1)..).take(max).map(|(_, parked)| parked.clone()).collect())
    }

    async fn replay(&self, id: u64) -> Result<bool, Fault> {
        let now_us = self.clock.elapsed_us();
        {
            let mut state = self.lock();
            let Some(parked) = state.parked.remove(&id) else { return Ok(false) };
            // A number of its own: handles of the life before the parking must not name it.
            let number = state.number();
            state.committed.insert(number, Kept { body: parked.body, visible_at_us: now_us, deliveries: 0 });
        }
        self.changed.notify_waiters();
        Ok(true)
    }

    async fn backlog(&self) -> Result<Backlog, Fault> {
        let state = self.lock();
        Ok(Backlog { halves: state.halves.len() as u64, committed: state.committed.len() as u64, parked: state.parked.len() as u64 })
    }

    async fn witness(&self) -> Result<Option<u64>, Fault> {
        Ok(self.lock().witness)
    }
}
