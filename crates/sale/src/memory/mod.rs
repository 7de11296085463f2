//! Every port in memory: the reference for the adapters and the world of the tests. The gate is also the embedded gate.
//!
//! Nothing here misbehaves on purpose: bad stores are decorators of these.

pub mod clock;
pub mod gate;
mod holds;
pub mod ledger;
pub mod queue;

pub use clock::ManualClock;
pub use gate::{Memory, MemoryGate};
pub use ledger::MemoryLedger;
pub use queue::{MemoryQueue, QueueSettings};
