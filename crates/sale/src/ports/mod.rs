//! The ports: what the protocol asks of a gate, a queue, a ledger and a clock, each method's contract in prose.
//!
//! A port is shaped by its weakest product. An adapter that does not pass `contract` does not exist.
//!
//! Two kinds of "no": an expected answer stands in `Ok`; a [`Fault`] is *no answer* and says nothing about what
//! happened, unless it says that nothing did.
//!
//! Each port has a file; what all of them share is here.

mod gate;
mod queue;
mod ledger;

pub use gate::*;
pub use ledger::*;
pub use queue::*;

use async_trait::async_trait;
use std::fmt;

/// A store gave no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What is known of the effect.
    pub effect: Effect,
    /// What went wrong, for a log: which store, which call, why.
    pub what: String,
}

/// What a fault tells of the effect of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The call surely had no effect and will have none.
    None,
    /// It may have had, or may yet have, its whole effect.
    Unknown,
}

impl Fault {
    /// A call that surely did nothing.
    pub fn none(what: impl Into<String>) -> Self {
        Self { effect: Effect::None, what: what.into() }
    }

    /// A call that may have done everything.
    pub fn unknown(what: impl Into<String>) -> Self {
        Self { effect: Effect::Unknown, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

/// The node's own time: for waits and ages, never for deadlines.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Microseconds since some point; never goes back while the process lives.
    fn elapsed_us(&self) -> u64;

    /// Waits. Short waits (below a millisecond) are kept to within a tenth of a millisecond or so.
    async fn sleep_us(&self, us: u64);
}
