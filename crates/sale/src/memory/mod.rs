//! Every port in memory: the reference for the adapters and the world of the tests. The gate is also the embedded gate.

pub mod gate;
mod holds;

pub use gate::MemoryGate;
