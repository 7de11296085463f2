//! What the protocol counts, for `/metrics`. Counters only; what they are called outside is not known here.

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

/// The protocol's counters since the process started.
#[derive(Default, Debug)]
pub struct Meters {
    /// Half messages prepared.
    pub batches: Count,
    /// Purchases in them.
    pub batched: Count,
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
    /// Record transactions.
    pub records: Count,
    /// Rows that recording answered, made or found.
    pub recorded: Count,
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
