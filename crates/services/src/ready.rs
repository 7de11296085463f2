//! Waiting until a server really answers: for a condition, with a limit, and with the server's last words if it does not.

use crate::process::Process;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may take to its first answer. A broker on a busy machine was seen to take fourteen seconds.
const TRIES: u32 = 1_200;
const EVERY: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(2);

/// Waits until the server answers as it should.
pub fn wait_until(what: &str, process: &Process, mut answers: impl FnMut() -> bool) -> Result<(), String> {
    for _ in 0..TRIES {
        if answers() {
            return Ok(());
        }
        if process.running().is_none() {
            return Err(format!("{what} ended while it started. It said (all in {}):\n{}", process.log.display(), process.last_words()));
        }
        std::thread::sleep(EVERY);
    }
    Err(format!("{what} does not answer. It said (all in {}):\n{}", process.log.display(), process.last_words()))
}

/// Whether somebody listens.
pub fn listens(port: u16) -> bool {
    connect(port).is_some()
}

/// What a server says to this; empty if it says nothing in time.
pub fn says(port: u16, to: &[u8]) -> Vec<u8> {
    let Some(mut stream) = connect(port) else { return Vec::new() };
    let mut answer = [0; 128];
    match stream.write_all(to).and_then(|()| stream.read(&mut answer)) {
        Ok(length) => answer[..length].to_vec(),
        Err(_) => Vec::new(),
    }
}

fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    Some(stream)
}
