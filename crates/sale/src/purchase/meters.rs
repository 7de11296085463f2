//! What the protocol counts, for `/metrics`: sums, and how sizes and times are spread. Nothing here costs more than a few
//! atomic additions per batch. What the counts are called outside is not known here.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter.
#[derive(Default, Debug)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How values are spread over steps.
#[derive(Debug)]
pub struct Spread {
    /// The last value that each step takes, rising; what is greater falls into one step more.
    ends: &'static [u64],
    steps: Vec<Count>,
    sum: Count,
}

impl Spread {
    fn new(ends: &'static [u64]) -> Self {
        Self { ends, steps: (0..=ends.len()).map(|_| Count::default()).collect(), sum: Count::default() }
    }

    /// One value.
    pub fn add(&self, value: u64) {
        self.steps[self.ends.partition_point(|&end| end < value)].add(1);
        self.sum.add(value);
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.steps.iter().map(Count::get).sum()
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.get()
    }

    /// Each step's last value (`None`: it has no end) and how many values fell into it.
    pub fn steps(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        self.ends.iter().copied().map(Some).chain([None]).zip(self.steps.iter().map(Count::get))
    }
}

/// A call of a store that every batch waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The gate's look.
    Look,
    /// The half message.
    Prepare,
    /// The gate's decision.
    Hold,
    /// The ledger's transaction.
    Record,
}

impl Stage {
    /// All of them, in the order of a purchase.
    pub const ALL: [Self; 4] = [Self::Look, Self::Prepare, Self::Hold, Self::Record];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        ["look", "prepare", "hold", "record"][self as usize]
    }
}

/// Sizes of batches and of records.
const SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048];
/// Durations of a store's call, in microseconds.
const TIMES_US: &[u64] = &[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// The protocol's counters since the process started.
#[derive(Debug)]
pub struct Meters {
    /// Half messages prepared, by the purchases in them.
    pub batches: Spread,
    /// How long each stage took, in microseconds.
    pub stages: [Spread; Stage::ALL.len()],
    /// Batches of which the gate held nothing.
    pub batches_refused: Count,
    /// Holds whose answer was unknown.
    pub holds_unknown: Count,
    /// Check-backs answered commit.
    pub checks_committed: Count,
    /// Check-backs answered rollback.
    pub checks_rolled_back: Count,
    /// Check-backs answered unknown.
    pub checks_unknown: Count,
    /// Record transactions, by the rows that they answered, made or found.
    pub records: Spread,
    /// Rows among them that are rejected.
    pub rejected: Count,
    /// Sum of the times from ask to record, in milliseconds.
    pub lag_ms: Count,
    /// Messages put aside.
    pub parked: Count,
    /// Faults of the stores that a pass met.
    pub faults: Count,
    /// Orders that the reconciler recorded from their hold.
    pub reconciled_recorded: Count,
    /// Holds that the reconciler released.
    pub reconciled_released: Count,
    /// Movements that the reconciler completed.
    pub reconciled_movements: Count,
    /// Gates made whole again.
    pub rebuilds: Count,
    /// Orders expired.
    pub expired: Count,
    /// Purchases closed as lost.
    pub lost: Count,
    /// Breaches that audits found.
    pub breaches: Count,
}

impl Default for Meters {
    fn default() -> Self {
        let zero = Count::default;
        Self {
            batches: Spread::new(SIZES),
            stages: std::array::from_fn(|_| Spread::new(TIMES_US)),
            records: Spread::new(SIZES),
            batches_refused: zero(),
            holds_unknown: zero(),
            checks_committed: zero(),
            checks_rolled_back: zero(),
            checks_unknown: zero(),
            rejected: zero(),
            lag_ms: zero(),
            parked: zero(),
            faults: zero(),
            reconciled_recorded: zero(),
            reconciled_released: zero(),
            reconciled_movements: zero(),
            rebuilds: zero(),
            expired: zero(),
            lost: zero(),
            breaches: zero(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_first_step_that_takes_it() {
        let spread = Spread::new(&[1, 4]);
        for value in [0, 1, 2, 4, 5, 1_000] {
            spread.add(value);
        }
        assert_eq!(spread.steps().collect::<Vec<_>>(), [(Some(1), 2), (Some(4), 2), (None, 2)]);
        assert_eq!((spread.count(), spread.sum()), (6, 1_012));
    }

    #[test]
    fn stages_have_the_names_that_a_dashboard_reads() {
        assert_eq!(Stage::ALL.map(Stage::as_str), ["look", "prepare", "hold", "record"]);
    }
}
