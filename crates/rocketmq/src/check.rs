//! Check-back: the broker asks about a half message that nobody settled, and whoever declared its topic may be asked.

use crate::client::{Client, Phase, Role};
use crate::message::Received;
use crate::session::{self, Session};
use crate::wire::{self, RecoverOrphanedTransactionCommand, Resource, StatusResponse, resolution, source};
use crate::{Error, tasks};
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::Instrument as _;

/// How many checkers run at once.
const RUNNING_MAX: usize = 64;
/// How many checks wait or run; what comes beyond is left to the broker, which asks again.
const TAKEN_MAX: usize = 4_096;
const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// Longer than a checker may take.
const END_LIMIT: Duration = Duration::from_secs(6);

/// What a half message shall become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is delivered.
    Commit,
    /// It is thrown away: what it stands for was not done, and cannot be done any more.
    Rollback,
    /// Nobody knows now, or it may still be on its way: nothing is answered, and the broker asks again, `transactionCheckMax`
    /// times in all; then it gives the message up. So every half message must be decided before.
    Unknown,
}

/// A half message that the broker asks about.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HalfMessage {
    /// The message, as it was prepared.
    pub message: Received,
    /// The broker's name for the transaction.
    pub transaction_id: String,
}

type Verdicts = Pin<Box<dyn Future<Output = Verdict> + Send>>;
type Checker = dyn Fn(HalfMessage) -> Verdicts + Send + Sync;

/// The checker, and how many of it run.
pub struct Checks {
    checker: Box<Checker>,
    taken: Arc<Semaphore>,
    running: Semaphore,
}

impl Checks {
    pub fn new<F, V>(checker: F) -> Self
    where
        F: Fn(HalfMessage) -> V + Send + Sync + 'static,
        V: Future<Output = Verdict> + Send + 'static,
    {
        Self {
            checker: Box::new(move |half| Box::pin(checker(half))),
            taken: Arc::new(Semaphore::new(TAKEN_MAX)),
            running: Semaphore::new(RUNNING_MAX),
        }
    }

    /// The checker's verdict; `None` if it gave none.
    async fn ask(&self, half: HalfMessage) -> Option<Verdict> {
        let _running = self.running.acquire().await.ok()?;
        // Its panic is not ours.
        let asking = AssertUnwindSafe(async { (self.checker)(half).await }).catch_unwind();
        match timeout(CHECK_LIMIT, asking).await {
            Ok(Ok(verdict)) => Some(verdict),
            Ok(Err(_)) => {
                tracing::error!("the checker panicked; the broker asks again");
                None
            }
            Err(_) => {
                tracing::warn!("the checker took longer than {CHECK_LIMIT:?}; the broker asks again");
                None
            }
        }
    }

    /// Takes no more, and waits for those that run.
    pub async fn end(&self) {
        let all = self.taken.acquire_many(TAKEN_MAX as u32);
        if timeout(END_LIMIT, all).await.is_err() {
            tracing::warn!("checkers that still run are cut off; the broker asks somebody else");
        }
        self.close();
    }

    /// Takes no more, and those that wait for their turn leave.
    pub fn close(&self) {
        self.taken.close();
        self.running.close();
    }
}

/// Takes a check, if there is room for it.
pub fn take(client: &Arc<Client>, session: &Arc<Session>, command: RecoverOrphanedTransactionCommand) {
    let Role::Producer { checks: Some(checks), .. } = &client.role else {
        tracing::warn!("a client that has no checker is asked about a half message: it declared a topic that carries them");
        return;
    };
    let (Ok(room), Some(message)) = (checks.taken.clone().try_acquire_owned(), command.message) else {
        client.access.observer.checked(None);
        return;
    };
    let half = match Received::of_wire(message) {
        Ok(message) => HalfMessage { message, transaction_id: command.transaction_id },
        Err(what) => {
            tracing::error!(transaction_id = command.transaction_id, what, "a half message cannot be read; it is not settled");
            client.access.observer.checked(None);
            return;
        }
    };
    let (checks, client, stopped, session) = (checks.clone(), client.clone(), client.clone(), session.clone());
    let span = tracing::debug_span!("check", topic = half.message.topic, message_id = half.message.message_id);
    let checking = async move {
        let _room = room;
        let (topic, message_id) = (half.message.topic.clone(), half.message.message_id.clone());
        let transaction_id = half.transaction_id.clone();
        let verdict = checks.ask(half).await;
        client.access.observer.checked(verdict);
        let Some(verdict) = verdict else { return };
        let end =
            end_transaction(&session, client.access.request_limit, &topic, &message_id, &transaction_id, verdict, source::SERVER_CHECK);
        if let Err(error) = end.await {
            tracing::debug!(%error, "a check's answer was lost; the broker asks again");
        }
    };
    let until_stopped = async move {
        tokio::select! {
            () = stopped.reaches(Phase::Stopped) => {}
            () = checking => {}
        }
    };
    tasks::spawn_counted(until_stopped.instrument(span));
}

/// Tells the broker what a half message shall become. Nothing is told where nobody knows: an answer uses up what the proxy
/// knows of the half message.
pub async fn end_transaction(
    session: &Session,
    limit: Duration,
    topic: &str,
    message_id: &str,
    transaction_id: &str,
    verdict: Verdict,
    source: i32,
) -> Result<(), Error> {
    let resolution = match verdict {
        Verdict::Commit => resolution::COMMIT,
        Verdict::Rollback => resolution::ROLLBACK,
        Verdict::Unknown => return Ok(()),
    };
    let request = wire::EndTransactionRequest {
        topic: Some(Resource::named(topic)),
        message_id: message_id.to_owned(),
        transaction_id: transaction_id.to_owned(),
        resolution,
        source,
    };
    let _: StatusResponse = session.ask(&session::END_TRANSACTION, request, limit).await?;
    Ok(())
}
