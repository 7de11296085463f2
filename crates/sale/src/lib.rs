//! The domain of Hotcake: what a flash sale is, its protocol, its laws, and the ports that it stands on.
//!
//! This crate forbids: sockets, SQL, a runtime's I/O and spawn, clocks and randomness. Whatever decides about a purchase
//! is here, so that tests can drive all of it from one seed.
//!
//! The modules in reading order:

// What happens here must follow from the seed; `cargo xtask tidy` says where a hash table may stand at all.
#![deny(clippy::iter_over_hash_type)]

pub mod words;
pub mod order;
pub mod ports;
pub mod stock;
pub mod message;
pub mod admit;
pub mod purchase;
pub mod books;
pub mod memory;
pub mod contract;
