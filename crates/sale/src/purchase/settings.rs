//! The protocol's times and limits, with their defaults and what they must be to each other.

use crate::words::{BATCH_MAX, Invalid};
use serde::{Deserialize, Serialize};

/// The protocol's times and limits. Each is a configuration key of the same name, but for `check_after_ms`, which is the
/// queue's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Age of a hold without a row before the reconciler records it.
    pub hold_age_ms: u64,
    /// Age of a ticket after which a purchase that left neither hold nor row is closed as lost.
    pub stuck_ms: u64,
    /// After how long the queue checks back a half message that nobody settled.
    #[serde(skip)]
    pub check_after_ms: u64,
    /// Longest wait of a rebuild for the consumer to catch up.
    pub drain_ms: u64,
    /// How long one node's rebuild keeps the others away.
    pub lease_ms: u64,
    /// A sold-out fact lapses unless the gate confirmed it within this time. A node that shares its ledger and has not heard of
    /// the others' purchases, or of their sales, for as long takes any for one that may be known.
    pub fact_ms: u64,
    /// Most purchases in one batch.
    pub batch_max: usize,
    /// How long a lane gathers asks before its next batch, in microseconds, if its last batch was `gather_from` or more.
    pub gather_us: u64,
    /// Size of the last batch from which a lane gathers; below it, it does not wait.
    pub gather_from: usize,
    /// Most batches that one ask goes through before it is answered `overloaded`.
    pub tries_max: u32,
    /// Most purchases recorded in one transaction.
    pub merge_max: usize,
    /// Most asks on their way on this node; above it, `overloaded`.
    pub asks_max: usize,
    /// Most committed messages that lie unrecorded; above it, `overloaded`.
    pub backlog_max: u64,
    /// Failures, while its neighbours were recorded, after which a message is parked.
    pub deliveries_max: u32,
    /// Most holds or rows that one step of a background pass looks at.
    pub page_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hold_age_ms: 5_000,
            stuck_ms: 60_000,
            check_after_ms: 6_000,
            drain_ms: 5_000,
            lease_ms: 10_000,
            fact_ms: 1_000,
            batch_max: 256,
            gather_us: 300,
            gather_from: 8,
            tries_max: 16,
            merge_max: 2_048,
            asks_max: 20_000,
            backlog_max: 10_000,
            deliveries_max: 16,
            page_max: 1_000,
        }
    }
}

impl Settings {
    /// What contradicts itself, by key.
    pub fn faults(&self) -> Vec<(&'static str, Invalid)> {
        let mut faults = Vec::new();
        let mut check = |key, fits: bool, what: &str| {
            if !fits {
                faults.push((key, Invalid::new("invalid_setting", what)));
            }
        };
        check("hold_age_ms", self.hold_age_ms >= 1, "hold_age_ms is at least 1");
        check(
            "stuck_ms",
            self.stuck_ms > self.hold_age_ms.saturating_add(self.check_after_ms),
            "stuck_ms must exceed hold_age_ms + check_after_ms, or a purchase that is only slow would be closed as lost",
        );
        check("lease_ms", self.lease_ms >= 1_000, "lease_ms is at least 1000, or two nodes would rebuild in turns for ever");
        check(
            "fact_ms",
            (100..=60_000).contains(&self.fact_ms),
            "fact_ms is from 100 to 60000: a lost message may close a sale for that long",
        );
        check("batch_max", (1..=BATCH_MAX).contains(&self.batch_max), "batch_max is from 1 to 512");
        check("gather_us", self.gather_us <= 100_000, "gather_us is at most 100000");
        check("tries_max", self.tries_max >= 1, "tries_max is at least 1");
        check("merge_max", self.merge_max >= self.batch_max, "merge_max is at least batch_max");
        check("asks_max", self.asks_max >= 1, "asks_max is at least 1");
        check("deliveries_max", self.deliveries_max >= 1, "deliveries_max is at least 1");
        check("page_max", (1..=100_000).contains(&self.page_max), "page_max is from 1 to 100000");
        faults
    }
}
