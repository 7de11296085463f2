//! How purchases end, and the count of each ending. Every purchase ends exactly once, so the counts add up.

use sale::order::Status;
use serde::Serialize;
use std::collections::BTreeMap;

/// How one purchase ended, as far as its buyer knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// A row with this status was the last answer.
    Row(Status),
    /// The last answer was "on its way", and the patience was over.
    Unsettled,
    /// Decided against, with this code.
    Refused(&'static str),
    /// "Try again later" as often as the buyer tried.
    Busy(&'static str),
    /// No answer came as often as the buyer tried.
    NoAnswer,
    /// An answer that this client does not expect, with its status.
    Unexpected(u16),
    /// The load ended before its turn came.
    Unsent,
}

impl Outcome {
    /// One word, as it is printed.
    pub fn word(self) -> String {
        match self {
            Self::Row(status) => status.as_str().to_owned(),
            Self::Unsettled => "unsettled".to_owned(),
            Self::Refused(code) => code.to_owned(),
            Self::Busy(code) => format!("{code} (gave up)"),
            Self::NoAnswer => "no_answer".to_owned(),
            Self::Unexpected(status) => format!("http_{status}"),
            Self::Unsent => "unsent".to_owned(),
        }
    }
}

/// How many purchases ended how.
#[derive(Default)]
pub struct Outcomes {
    counts: BTreeMap<Outcome, u64>,
}

/// One line of the table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Row {
    /// The outcome's word.
    pub outcome: String,
    /// How many purchases ended so.
    pub purchases: u64,
}

impl Outcomes {
    /// Notes `count` purchases that ended so.
    pub fn note(&mut self, outcome: Outcome, count: u64) {
        if count > 0 {
            *self.counts.entry(outcome).or_default() += count;
        }
    }

    /// The table.
    pub fn rows(&self) -> Vec<Row> {
        self.counts.iter().map(|(outcome, purchases)| Row { outcome: outcome.word(), purchases: *purchases }).collect()
    }

    /// All of them together.
    pub fn sum(&self) -> u64 {
        self.counts.values().sum()
    }
}
