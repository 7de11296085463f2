//! Redis, durable: every write is in the append-only file before it is answered, and nothing is evicted.

use crate::ready::{says, wait_until};
use crate::set::Set;
use std::process::Command;

pub fn start(set: &Set) -> Result<(), String> {
    let process = set.process("redis");
    let directory = set.place("redis")?;
    let mut command = Command::new("redis-server");
    command.current_dir(&directory).arg("--port").arg(set.ports.redis.to_string()).args([
        "--bind",
        "127.0.0.1",
        "--dir",
        ".",
        "--daemonize",
        "no",
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--maxmemory-policy",
        "noeviction",
    ]);
    process.start(command)?;
    // While it reads its file it answers that it is loading.
    wait_until("redis", &process, || says(set.ports.redis, b"PING\r\n").starts_with(b"+PONG"))
}
