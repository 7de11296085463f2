//! How calls go, and what a node takes for the time. Knows no schedule.

use crate::executor::Group;
use crate::faulty::{Fate, Plan};
use async_trait::async_trait;
use sale::memory::ManualClock;
use sale::ports::Clock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A node's own time, which may be ahead of the world's and never goes back.
pub struct NodeClock {
    /// The world's.
    pub world: Arc<ManualClock>,
    /// How far ahead of it.
    pub ahead_us: AtomicU64,
}

#[async_trait]
impl Clock for NodeClock {
    fn elapsed_us(&self) -> u64 {
        self.world.elapsed_us() + self.ahead_us.load(Ordering::Relaxed)
    }
    async fn sleep_us(&self, us: u64) {
        self.world.sleep_us(us).await;
    }
}

/// The plan of a world: settable, and it keeps a list of the calls and counts their fates.
pub struct Fates {
    pub(super) clock: Arc<ManualClock>,
    pub(super) decide: Mutex<Box<dyn FnMut(&'static str, Group) -> Fate + Send>>,
    pub(super) dead: Mutex<Vec<Group>>,
    pub(super) calls: Mutex<Vec<&'static str>>,
    pub(super) counts: Mutex<Counts>,
}

/// How often what happened.
pub type Counts = BTreeMap<&'static str, u64>;

impl Fates {
    /// Counts something once more.
    pub fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_default() += 1;
    }
    /// How often what happened so far.
    pub fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

impl Plan for Fates {
    fn fate(&self, call: &'static str, group: Group) -> Fate {
        lock(&self.calls).push(call);
        let fate = (lock(&self.decide))(call, group);
        if let Some(name) = fate.name() {
            self.count(name);
        }
        fate
    }
    fn died(&self, group: Group) {
        lock(&self.dead).push(group);
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }
}
