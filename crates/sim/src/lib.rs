//! The protocol under every failure that has a name: a world of stores in memory, single-threaded, in virtual time, in which
//! one seed decides everything. Whole sales run in it, with faults of every part, and are audited by the laws of
//! `sale::books` ten times a second and at rest.
//!
//! It knows the protocol's verbs and what buyers are told, nothing of sockets, disks or products. It is no part of the server.

#![allow(clippy::unwrap_used, reason = "in a test world, what is not there is a failure")]

pub mod broker;
pub mod executor;
pub mod exhaustive;
pub mod faulty;
pub mod history;
pub mod life;
pub mod people;
pub mod schedule;
pub mod weather;
mod world;

pub use world::*;
