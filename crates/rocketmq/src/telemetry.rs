//! The telemetry stream of an endpoint: opened with our settings, opened again whenever it ends. By it the server says what it
//! allows, and asks about half messages that nobody settled.

use crate::client::{Client, Phase};
use crate::error::of_status;
use crate::session::{Session, State};
use crate::wire::{Nonce, Status, TelemetryCommand, code, telemetry::Command};
use crate::{Error, check};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Short, since until the stream is open nobody answers check-backs.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Who is refused is not let in a second later.
const WAIT_WHEN_REFUSED: Duration = Duration::from_secs(10);
const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// Keeps the stream open until the client stops, or leaves the endpoint.
pub async fn keep_open(client: Arc<Client>, session: Arc<Session>) {
    let why = tokio::select! {
        () = client.reaches(Phase::Stopped) => Error::ShutDown,
        () = session.left.notified() => Error::NotSent(format!("{}: no route leads there any more", session.address)),
        never = open_again_and_again(&client, &session) => match never {},
    };
    session.set_state(State::Down(why));
}

async fn open_again_and_again(client: &Arc<Client>, session: &Arc<Session>) -> Infallible {
    let mut wait = FIRST_WAIT;
    loop {
        let error = run(client, session).await;
        // It had been up: what broke it may be gone already.
        if session.is_up() {
            wait = FIRST_WAIT;
        }
        if session.set_state(State::Down(error.clone())) {
            tracing::warn!(endpoint = %session.address, %error, "telemetry is down; it is opened again");
        } else {
            tracing::debug!(endpoint = %session.address, %error, "telemetry is still down");
        }
        let pause = if matches!(error, Error::Refused { .. }) { WAIT_WHEN_REFUSED } else { jittered(wait) };
        sleep(pause).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// One stream, from its opening to its end; why it ended.
async fn run(client: &Arc<Client>, session: &Arc<Session>) -> Error {
    match hear(client, session).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn hear(client: &Arc<Client>, session: &Arc<Session>) -> Result<Infallible, Error> {
    let ended = |what: &str| Error::unknown(format!("{}: {what}", session.address));
    let (say, said) = mpsc::channel(8);
    let settings = TelemetryCommand { status: None, command: Some(Command::Settings(client.settings())) };
    // The server answers its headers only when it has our settings.
    say.try_send(settings).map_err(|_| ended("no room for our settings"))?;
    let opened_by = Instant::now() + OPEN_LIMIT;
    let mut stream = session.telemetry(said, OPEN_LIMIT).await?;
    let mut is_up = false;
    loop {
        let next = async {
            // A stream on which the settings are not echoed is none.
            if is_up { Ok(stream.message().await) } else { timeout_at(opened_by, stream.message()).await }
        };
        let command = tokio::select! {
            () = session.reopen.notified() => return Err(ended("the server does not know us any more")),
            next = next => match next {
                Err(_) => return Err(ended("our settings were not echoed in time")),
                Ok(Err(status)) => return Err(crate::error::of_grpc(&session.address.to_string(), &status)),
                Ok(Ok(None)) => return Err(ended("the server ended the stream")),
                Ok(Ok(Some(command))) => command,
            },
        };
        match command.command {
            Some(Command::Settings(settings)) => {
                client.obey(&settings);
                is_up = true;
                if session.set_state(State::Up) {
                    tracing::info!(endpoint = %session.address, client = client.id(), "telemetry is up");
                }
            }
            Some(Command::RecoverOrphanedTransaction(command)) => check::take(client, session, command),
            Some(Command::ReconnectEndpoints(_)) => return Err(ended("the server asked us to connect again")),
            Some(Command::PrintThreadStackTrace(Nonce { nonce })) => refuse(&say, Command::ThreadStackTrace(Nonce { nonce })),
            Some(Command::VerifyMessage(Nonce { nonce })) => refuse(&say, Command::VerifyMessageResult(Nonce { nonce })),
            // Of a newer server, or a status alone.
            Some(Command::ThreadStackTrace(_) | Command::VerifyMessageResult(_)) | None => {
                if command.status.is_some() {
                    of_status(command.status.as_ref())?;
                }
            }
        }
    }
}

/// Says that this client cannot do what it was asked, so that the operator who asked need not wait. If there is no room, the
/// operator waits.
fn refuse(say: &mpsc::Sender<TelemetryCommand>, command: Command) {
    let status = Some(Status { code: code::NOT_IMPLEMENTED, message: "this client does not do that".to_owned() });
    drop(say.try_send(TelemetryCommand { status, command: Some(command) }));
}

/// Between half and all of it, so that clients that lost a server together do not all come back at once.
fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher as _, Hasher as _};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    wait / 2 + wait.mul_f64((random % 1_000) as f64 / 2_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_between_half_and_whole() {
        let waits: Vec<Duration> = (0..100).map(|_| jittered(Duration::from_secs(1))).collect();
        assert!(waits.iter().all(|wait| (Duration::from_millis(500)..=Duration::from_secs(1)).contains(wait)));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
