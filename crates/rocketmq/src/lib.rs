//! A client of Apache RocketMQ. So far its administration: topics, groups, routes, offsets, over the remoting port.
//!
//! It knows nothing of what the messages say, and nothing of who uses it.

pub mod admin;
mod error;
mod remoting;

pub use admin::Admin;
pub use error::Error;
