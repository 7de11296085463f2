//! Latencies of a load: two histograms, and the rule about the first half second. Knows nothing of purchases.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// What is left out at the start: 256 accepts and cold caches are not the latency of a purchase.
pub const LEFT_OUT: Duration = Duration::from_millis(500);
/// Fewer samples than this after the first half second, and the whole run is shown instead.
const SAMPLES_MIN: u64 = 100;
/// Longest latency that is told apart, in microseconds.
const LONGEST_US: u64 = 600_000_000;

/// Times from when a request was due until it was answered.
pub struct Latency {
    early: Histogram<u64>,
    late: Histogram<u64>,
}

/// What is shown of a histogram, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Quantiles {
    /// How many were measured.
    pub count: u64,
    /// Half of them were no slower.
    pub p50_ms: f64,
    /// 90 % were no slower.
    pub p90_ms: f64,
    /// 99 % were no slower.
    pub p99_ms: f64,
    /// 99.9 % were no slower.
    pub p99_9_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// Whether the first half second is left out of the above.
    pub first_half_second_left_out: bool,
}

impl Latency {
    /// None yet.
    pub fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are constants that fit");
        Self { early: histogram(), late: histogram() }
    }

    /// Notes one: `due` after the load's start, `took` from then on.
    pub fn note(&mut self, due: Duration, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if due < LEFT_OUT { self.early.saturating_record(us) } else { self.late.saturating_record(us) }
    }

    /// The quantiles, without the first half second unless hardly anything would be left.
    pub fn quantiles(&self) -> Quantiles {
        let left_out = self.late.len() >= SAMPLES_MIN;
        let mut shown = self.late.clone();
        if !left_out {
            shown += &self.early;
        }
        let at = |quantile| shown.value_at_quantile(quantile) as f64 / 1e3;
        Quantiles {
            count: shown.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: if shown.is_empty() { 0.0 } else { shown.max() as f64 / 1e3 },
            first_half_second_left_out: left_out && !self.early.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_half_second_is_left_out_when_enough_remains() {
        let mut latency = Latency::new();
        latency.note(Duration::from_millis(499), Duration::from_secs(3));
        for _ in 0..SAMPLES_MIN {
            latency.note(Duration::from_millis(500), Duration::from_millis(2));
        }
        let shown = latency.quantiles();
        assert_eq!((shown.count, shown.first_half_second_left_out), (SAMPLES_MIN, true));
        assert!(shown.max_ms < 2.1, "{shown:?}");
    }

    #[test]
    fn a_short_run_is_shown_whole() {
        let mut latency = Latency::new();
        latency.note(Duration::ZERO, Duration::from_millis(7));
        let shown = latency.quantiles();
        assert_eq!((shown.count, shown.first_half_second_left_out), (1, false));
        assert!((7.0..7.1).contains(&shown.max_ms), "{shown:?}");
    }
}
