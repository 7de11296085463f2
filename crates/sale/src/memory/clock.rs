//! A clock that moves only when it is told to. It knows who sleeps on it and until when, and no real time at all.

use crate::ports::Clock;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Virtual time, for tests and the simulator.
#[derive(Default)]
pub struct ManualClock {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now_us: u64,
    /// Numbers the sleepers, so that two of the same moment wake in the order in which they lay down.
    next: u64,
    sleepers: BTreeMap<(u64, u64), Waker>,
}

impl ManualClock {
    /// A clock at zero.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Moves the time on by this much and wakes all whose time has come.
    pub fn advance_us(&self, us: u64) {
        let due = {
            let mut state = self.lock();
            state.now_us = state.now_us.saturating_add(us);
            let first_later = (state.now_us.saturating_add(1), 0);
            let later = state.sleepers.split_off(&first_later);
            std::mem::replace(&mut state.sleepers, later)
        };
        // Outside the lock: a waker may run its task at once, and that task may sleep again.
        due.into_values().for_each(Waker::wake);
    }

    /// The same in milliseconds.
    pub fn advance_ms(&self, ms: u64) {
        self.advance_us(ms.saturating_mul(1_000));
    }

    /// Moves the time on to the next sleeper's moment and wakes it. `false`: nobody sleeps, and the time stands.
    pub fn advance_to_next(&self) -> bool {
        let step = {
            let state = self.lock();
            state.sleepers.first_key_value().map(|(&(until_us, _), _)| until_us.saturating_sub(state.now_us))
        };
        match step {
            Some(us) => self.advance_us(us),
            None => return false,
        }
        true
    }

    /// How many sleep now.
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn elapsed_us(&self) -> u64 {
        self.lock().now_us
    }

    async fn sleep_us(&self, us: u64) {
        let until_us = self.elapsed_us().saturating_add(us);
        Sleep { clock: self, until_us, number: None }.await;
    }
}

struct Sleep<'a> {
    clock: &'a ManualClock,
    until_us: u64,
    /// Its number among the sleepers, once it lies there.
    number: Option<u64>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock;
        let mut state = clock.lock();
        if state.now_us >= self.until_us {
            return Poll::Ready(());
        }
        let number = *self.number.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        state.sleepers.insert((self.until_us, number), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        // A sleeper that gave up must not hold the time back for `advance_to_next`.
        if let Some(number) = self.number {
            self.clock.lock().sleepers.remove(&(self.until_us, number));
        }
    }
}
