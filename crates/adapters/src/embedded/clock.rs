//! The machine's clock: the one place of the edge that reads it, and short waits that are kept without spinning.
//!
//! Knows no deadline: those are the ledger's.

use async_trait::async_trait;
use sale::ports::Clock;
use sale::words::Time;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::oneshot;

/// From this wait on the runtime's own timer, which ticks in milliseconds, is good enough.
const COARSE_US: u64 = 2_000;
/// Most short waits at once; further ones are left to the runtime's timer.
const SHORT_WAITS_MAX: usize = 1_024;

/// Microseconds since the process first asked. Never goes back, whatever happens to the date.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's monotonic clock")]
pub(super) fn elapsed_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    u64::try_from(start.elapsed().as_micros()).expect("half a million years fit")
}

/// The machine's date: for an operator's eyes, and for what others have dated. No deadline of an order is compared with it.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's date")]
pub fn date() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The machine's clock. Waits below two milliseconds, which the runtime's timer would round up, are kept by one thread.
#[derive(Debug)]
pub struct SystemClock {
    timer: Arc<Timer>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Timer {
    waits: Mutex<Waits>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waits {
    /// By when they end, then by number, so that two may end in the same microsecond.
    by_end: BTreeMap<(u64, u64), oneshot::Sender<()>>,
    number: u64,
    stop: bool,
}

impl SystemClock {
    /// Starts the thread that keeps short waits. It sleeps while there are none.
    pub fn new() -> std::io::Result<Self> {
        let timer = Arc::new(Timer::default());
        let own = Arc::clone(&timer);
        let thread = std::thread::Builder::new().name("timer".into()).spawn(move || own.run())?;
        Ok(Self { timer, thread: Some(thread) })
    }
}

impl Drop for SystemClock {
    fn drop(&mut self) {
        self.timer.lock().stop = true;
        self.timer.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported by itself; waits that it left end at once, because their senders go.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn elapsed_us(&self) -> u64 {
        elapsed_us()
    }

    async fn sleep_us(&self, us: u64) {
        if us >= COARSE_US {
            return tokio::time::sleep(Duration::from_micros(us)).await;
        }
        match self.timer.wait(us) {
            // An error means that the clock is being dropped; nobody is left to care.
            Some(end) => drop(end.await),
            None => tokio::time::sleep(Duration::from_micros(us)).await,
        }
    }
}

impl Timer {
    fn lock(&self) -> MutexGuard<'_, Waits> {
        // Every change of the waits is one insertion or removal, so a panic leaves them whole.
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, us: u64) -> Option<oneshot::Receiver<()>> {
        let (sender, receiver) = oneshot::channel();
        let mut waits = self.lock();
        if waits.by_end.len() >= SHORT_WAITS_MAX {
            return None;
        }
        let key = (elapsed_us() + us, waits.number);
        waits.number += 1;
        waits.by_end.insert(key, sender);
        let first = waits.by_end.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(waits);
        if first {
            self.changed.notify_one();
        }
        Some(receiver)
    }

    fn run(&self) {
        let mut waits = self.lock();
        while !waits.stop {
            let now = elapsed_us();
            let Some(entry) = waits.by_end.first_entry() else {
                waits = self.changed.wait(waits).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let end = entry.key().0;
            if end <= now {
                // Whoever gave up waiting has dropped the receiver.
                let _ = entry.remove().send(());
            } else {
                let left = Duration::from_micros(end - now);
                waits = self.changed.wait_timeout(waits, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        waits.by_end.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_are_never_shorter_and_seldom_much_longer() {
        let clock = SystemClock::new().expect("threads can be started");
        for us in [0, 100, 300, 500, 1_900, 2_500] {
            let mut over: Vec<u64> = Vec::new();
            for _ in 0..21 {
                let from = clock.elapsed_us();
                clock.sleep_us(us).await;
                let took = clock.elapsed_us() - from;
                assert!(took >= us, "a wait of {us} µs took only {took}");
                over.push(took - us);
            }
            over.sort_unstable();
            // The median, because the machine may be busy; the runtime's timer would be a whole millisecond late.
            if us < COARSE_US {
                assert!(over[10] < 800, "waits of {us} µs end {} µs late", over[10]);
            }
            println!("{us} µs: median {} µs late, worst {}", over[10], over[20]);
        }
    }

    #[tokio::test]
    async fn a_shorter_wait_overtakes_a_longer_one() {
        let clock = SystemClock::new().expect("threads can be started");
        let from = clock.elapsed_us();
        let ends = Mutex::new(Vec::new());
        tokio::join!(
            async {
                clock.sleep_us(1_900).await;
                ends.lock().unwrap().push(("long", clock.elapsed_us() - from));
            },
            async {
                clock.sleep_us(200).await;
                ends.lock().unwrap().push(("short", clock.elapsed_us() - from));
            }
        );
        let ends = ends.into_inner().unwrap();
        assert_eq!(ends[0].0, "short", "{ends:?}");
    }
}
