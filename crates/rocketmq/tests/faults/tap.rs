//! A wire between client and server that can be cut, slowed, and made to swallow what the server says.

use crate::lab::wait_out;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Flows,
    /// What is said arrives later, both ways.
    Slow(Duration),
    /// The server hears everything; the client hears nothing.
    Swallows,
    /// Nobody is let in, and who is in is thrown out.
    Cut,
}

/// The wire.
pub struct Tap {
    pub port: u16,
    /// The mode, and how often all connections were broken.
    mode: watch::Sender<(Mode, u64)>,
    listening: JoinHandle<()>,
}

impl Tap {
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let mode = watch::Sender::new((Mode::Flows, 0));
        let listening = tokio::spawn({
            let mode = mode.clone();
            async move {
                loop {
                    let Ok((client, _)) = listener.accept().await else { continue };
                    tokio::spawn(connection(client, server, mode.subscribe()));
                }
            }
        });
        Self { port, mode, listening }
    }

    pub fn slow(&self, by: Duration) {
        self.mode.send_modify(|mode| mode.0 = Mode::Slow(by));
    }

    pub fn swallow(&self) {
        self.mode.send_modify(|mode| mode.0 = Mode::Swallows);
    }

    pub fn cut(&self) {
        self.mode.send_modify(|mode| *mode = (Mode::Cut, mode.1 + 1));
    }

    /// All is well again; connections that missed something are broken.
    pub fn heal(&self) {
        self.mode.send_modify(|mode| {
            let broken = if mode.0 == Mode::Swallows { mode.1 + 1 } else { mode.1 };
            *mode = (Mode::Flows, broken);
        });
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

async fn connection(client: TcpStream, server: u16, mut mode: watch::Receiver<(Mode, u64)>) {
    let (now, round) = *mode.borrow();
    if now == Mode::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a socket");
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pump(from_client, to_server, mode.clone(), false) => {}
        () = pump(from_server, to_client, mode.clone(), true) => {}
        _ = mode.wait_for(|(_, now)| *now != round) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mode: watch::Receiver<(Mode, u64)>, is_answer: bool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(length) if length > 0 => length,
            _ => return,
        };
        let now = mode.borrow().0;
        match now {
            Mode::Swallows if is_answer => continue,
            Mode::Slow(by) => wait_out(by).await,
            _ => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
