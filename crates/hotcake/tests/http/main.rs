//! The real binary over TCP: what buyers and operators may ask, what they are answered, and the verbs of the command line.

mod demo;
#[path = "../server/end.rs"]
mod end;
mod guards;
mod input;
mod operators;
mod orders;
#[path = "../server/mod.rs"]
mod server;
mod verbs;
