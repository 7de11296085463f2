//! Redis, MariaDB and Apache RocketMQ as private processes of one directory, with ports of their own: several sets stand side
//! by side on one machine. For tests, which start, kill, pause and restart them, and for a person at a desk.
//!
//! It forbids itself any knowledge of who uses them, and it is no part of the server.

mod set;
mod cluster;
mod process;
mod redis;
mod mariadb;
mod rocketmq;
mod ready;
pub mod install;

pub use cluster::{Cluster, Member};
pub use set::{Ports, Service, Set, Status};
