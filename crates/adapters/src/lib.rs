//! The edge: one file per product and port.

pub mod embedded;
pub mod sqlite;
