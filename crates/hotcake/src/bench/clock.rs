//! The machine's clocks, for the load generator alone: it measures a server from outside, where the domain's clock is not.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The steady clock.
#[expect(clippy::disallowed_methods, reason = "latency is what the generator exists to measure")]
pub fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970: names runs and dates reports.
#[expect(clippy::disallowed_methods, reason = "a run's name and its tokens' expiry; nothing is ordered by it")]
pub fn unix_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Seconds that this thread has computed, or zero where the kernel does not say.
pub fn thread_cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}
