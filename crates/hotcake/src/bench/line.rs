//! One keep-alive connection, non-blocking: at most one request on its way. Knows bytes, knows no purchase.

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Pause before a closed connection is opened again.
const REOPEN: Duration = Duration::from_millis(50);

/// A connection that carries jobs of type `J`.
pub struct Line<J> {
    /// What has arrived of the answer.
    pub input: Vec<u8>,
    address: SocketAddr,
    stream: Option<TcpStream>,
    connected: bool,
    output: Vec<u8>,
    written: usize,
    job: Option<J>,
    sent_at: Instant,
    closed_at: Option<Instant>,
}

impl<J> Line<J> {
    /// Not open yet.
    pub fn new(address: SocketAddr, now: Instant) -> Self {
        Self {
            input: Vec::new(),
            address,
            stream: None,
            connected: false,
            output: Vec::new(),
            written: 0,
            job: None,
            sent_at: now,
            closed_at: None,
        }
    }

    /// Begins to connect. A failure shows as a connection that may be opened again later.
    pub fn open(&mut self, registry: &Registry, token: Token, now: Instant) {
        self.closed_at = Some(now);
        let Ok(mut stream) = TcpStream::connect(self.address) else { return };
        if registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_err() {
            return;
        }
        self.stream = Some(stream);
        self.connected = false;
        self.closed_at = None;
    }

    /// Stands and carries nothing.
    pub fn is_free(&self) -> bool {
        self.connected && self.job.is_none()
    }

    /// Takes a request. What cannot be written now goes when the connection is ready. False: it is cut.
    pub fn send(&mut self, job: J, now: Instant, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.job = Some(job);
        self.sent_at = now;
        self.output.clear();
        self.written = 0;
        write(&mut self.output);
        !self.connected || self.flush()
    }

    /// Writes what is left of the request. False: the connection is refused or cut.
    pub fn flush(&mut self) -> bool {
        let Some(stream) = self.stream.as_mut() else { return false };
        if !self.connected {
            if !matches!(stream.take_error(), Ok(None)) {
                return false;
            }
            if stream.peer_addr().is_err() {
                return true;
            }
            self.connected = true;
            // Small requests must not wait for each other's acknowledgements.
            if stream.set_nodelay(true).is_err() {
                return false;
            }
        }
        while self.written < self.output.len() {
            match stream.write(&self.output[self.written..]) {
                Ok(0) => return false,
                Ok(count) => self.written += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads what has arrived into `input`. False: nothing more will come.
    pub fn receive(&mut self, scratch: &mut [u8]) -> bool {
        let Some(stream) = self.stream.as_mut() else { return false };
        loop {
            match stream.read(scratch) {
                Ok(0) => return false,
                Ok(count) => {
                    self.input.extend_from_slice(&scratch[..count]);
                    // A short read has emptied the socket: no second call to be told so.
                    if count < scratch.len() {
                        return true;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// The request is answered: what it was for.
    pub fn done(&mut self) -> Option<J> {
        self.job.take()
    }

    /// Gives the connection up and returns what it carried.
    pub fn close(&mut self, registry: &Registry, now: Instant) -> Option<J> {
        if let Some(mut stream) = self.stream.take() {
            // The socket is dropped right after, which deregisters it too.
            let _ = registry.deregister(&mut stream);
        }
        self.connected = false;
        self.closed_at = Some(now);
        self.input.clear();
        self.job.take()
    }

    /// How long the request on its way has waited.
    pub fn waits_since(&self, now: Instant) -> Option<Duration> {
        self.job.as_ref().map(|_| now.saturating_duration_since(self.sent_at))
    }

    /// It is closed, and has been for a moment.
    pub fn may_reopen(&self, now: Instant) -> bool {
        self.closed_at.is_some_and(|at| now.saturating_duration_since(at) >= REOPEN)
    }
}
