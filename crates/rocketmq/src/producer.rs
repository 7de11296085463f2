//! Sending: plain, ordered and delayed messages, and half messages that are settled later.

use crate::admin::TopicKind;
use crate::check::{Checks, HalfMessage, Verdict, end_transaction};
use crate::client::{Client, Role, Running};
use crate::error::of_status;
use crate::message::{Message, legal_name};
use crate::session::{self, Session};
use crate::wire::{self, Answer as _, Resource, SendMessageRequest, SendMessageResponse, SendResultEntry, code, message_type, source};
use crate::{Access, EndpointHealth, Error};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Sends messages. One is enough for a process: every method takes `&self`, so share it in an `Arc`. It runs tasks of its own on
/// the Tokio runtime that it was started on, until it is shut down or dropped; a drop says no goodbye, and the server notices
/// later.
pub struct Producer {
    running: Running,
}

/// A message that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Sent {
    /// Its id.
    pub message_id: String,
    /// What [`Producer::recall`] wants: of delayed messages, where the broker allows it.
    pub recall_handle: Option<String>,
}

impl Producer {
    /// Connects, and looks for the topics: an error where one does not exist. Others are looked for when they are first sent to.
    /// None may be of the kind TRANSACTION: whoever declares such a topic is asked about its half messages.
    pub async fn start(access: Access, topics: &[&str]) -> Result<Self, Error> {
        let running = start(access, topics, None).await?;
        for topic in topics {
            let route = running.client().routes.of(running.client(), topic).await?;
            if route.writable.first().is_some_and(|queue| queue.says_only(message_type::TRANSACTION)) {
                let what = "is for half messages, and who declares it is asked about them: start a TransactionalProducer";
                return Err(Error::Illegal(format!("{topic} {what}")));
            }
        }
        Ok(Self { running })
    }

    /// Sends a message. What is not known to have arrived is sent again, as often as the server's policy allows: a message may
    /// lie in its topic more than once, under the same id. A second call sends a second message. Messages of one message group are
    /// in order if each is sent when the one before it was. A send that is dropped before its end has an unknown outcome.
    #[tracing::instrument(level = "debug", skip_all, fields(topic = message.topic))]
    pub async fn send(&self, message: &Message) -> Result<Sent, Error> {
        let client = self.running.client();
        let wire = message.to_wire(client.allowed().body_max)?;
        let again = || send_once(client, message, wire.clone());
        let (_, entry) = client.try_again(Error::is_passing, again).await?;
        let recall_handle = (!entry.recall_handle.is_empty()).then_some(entry.recall_handle);
        Ok(Sent { message_id: entry.message_id, recall_handle })
    }

    /// Takes a delayed message back, if its time has not come. The broker must allow it (`recallMessageEnable`). Of what is too
    /// late it says "internal error": [`Error::Unknown`] with code 50001. It is asked of the access point, as by the official
    /// clients: of several brokers with a proxy in each, only the one there knows its own messages; CLUSTER proxies know all.
    #[tracing::instrument(level = "debug", skip_all, fields(topic))]
    pub async fn recall(&self, topic: &str, handle: &str) -> Result<(), Error> {
        legal_name("a topic", topic)?;
        let client = self.running.client();
        let again = || async {
            let session = client.any_up(client.access.request_limit).await?;
            let request = wire::RecallMessageRequest { topic: Some(Resource::named(topic)), recall_handle: handle.to_owned() };
            let asked: Result<wire::RecallMessageResponse, _> =
                session.ask(&session::RECALL_MESSAGE, request, client.access.request_limit).await;
            asked.map(drop)
        };
        // The broker says "internal error" of what is too late: no reason to ask again.
        client.try_again(|error| error.is_passing() && error.code().is_none(), again).await
    }

    /// How its endpoints are.
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.running.client().health()
    }

    /// Says goodbye to the servers. Sends after it are [`Error::ShutDown`].
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.running.end().await
    }
}

/// Prepares half messages, and answers the broker's check-back.
///
/// All who declare a transactional topic must be able to answer for every half message of it: the broker asks whichever of them
/// it likes, and after a crash another than the one that sent it.
pub struct TransactionalProducer {
    running: Running,
    topics: Vec<String>,
    recovery: Option<Duration>,
}

/// A half message that its broker has: settle it once what it stands for is done. Dropped, it is settled by check-back.
#[must_use = "a half message that is not settled is settled by check-back, later"]
pub struct Half {
    topic: String,
    message_id: String,
    transaction_id: String,
    session: Arc<Session>,
    limit: Duration,
}

impl TransactionalProducer {
    /// Connects, and looks for the topics, which must be of the kind TRANSACTION and no other (MIXED ones take half messages, and
    /// proxies in CLUSTER mode never ask about them). `checker` answers for half messages that
    /// nobody settled within the broker's time (`transactionTimeOut`): at most 64 run at once, each for at most 5 s (it must not
    /// block). One that panics or takes longer has said nothing, and the broker asks again. It may be asked while what comes after
    /// `prepare` is still at work, by another process too: say [`Verdict::Rollback`] only of what cannot succeed any more.
    pub async fn start<F, V>(access: Access, topics: &[&str], checker: F) -> Result<Self, Error>
    where
        F: Fn(HalfMessage) -> V + Send + Sync + 'static,
        V: Future<Output = Verdict> + Send + 'static,
    {
        if topics.is_empty() {
            return Err(Error::Illegal("a transactional producer declares its topics: the broker asks about no others".to_owned()));
        }
        let running = start(access, topics, Some(Arc::new(Checks::new(checker)))).await?;
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        for topic in &topics {
            let route = running.client().routes.of(running.client(), topic).await?;
            if let Some(queue) = route.writable.first().filter(|queue| !queue.takes_only(message_type::TRANSACTION)) {
                let kind = |kind: &i32| TopicKind::of_messages(*kind).map_or("unknown", TopicKind::as_str);
                let takes: Vec<&str> = queue.wire.accept_message_types.iter().map(kind).collect();
                let what = format!("{topic} is for messages of the kind {}: create it with message.type=TRANSACTION", takes.join(", "));
                return Err(Error::Illegal(what));
            }
        }
        Ok(Self { running, topics, recovery: None })
    }

    /// The time from a half message's making to the broker's first question, in place of the broker's `transactionTimeOut`: whole
    /// seconds, 1 to 3600. Once it is over a commit or a rollback is not heeded any more, and the checker alone decides.
    ///
    /// For settlements that take longer than `transactionTimeOut` as a rule, of which without it one that comes after the
    /// question may deliver twice. Its price, measured with broker 5.5.0: until the time is over the broker puts half messages
    /// back into their queue at every pass, asks about some that are settled, and delivers those twice, one of twenty to one of
    /// ten of all. Leave it off where settlements come at once.
    pub fn with_recovery(mut self, recovery: Duration) -> Result<Self, Error> {
        if recovery.subsec_nanos() != 0 || !(1..=3_600).contains(&recovery.as_secs()) {
            return Err(Error::Illegal(format!("a recovery of {recovery:?}; brokers take whole seconds, 1 to 3600")));
        }
        self.recovery = Some(recovery);
        Ok(self)
    }

    /// Stores a half message. It is sent a second time only if it surely was not stored; after [`Error::Unknown`] the broker may
    /// have it, and then asks about it: do not do what it stands for. A second call stores a second half message: where both have the
    /// same key, and the checker goes by it, both are delivered. Give each its own key, and let the checker commit the one that was used.
    #[tracing::instrument(level = "debug", skip_all, fields(topic = message.topic))]
    pub async fn prepare(&self, message: &Message) -> Result<Half, Error> {
        if !self.topics.contains(&message.topic) {
            let what = format!(
                "{} is not among the topics that this producer declared: nobody would be asked about its half messages",
                message.topic
            );
            return Err(Error::Illegal(what));
        }
        let client = self.running.client();
        let wire = message.to_half(client.allowed().body_max, self.recovery)?;
        let passing = |error: &Error| error.is_passing() && error.had_no_effect();
        let again = || send_once(client, message, wire.clone());
        let (session, entry) = client.try_again(passing, again).await?;
        Ok(Half {
            topic: message.topic.clone(),
            message_id: entry.message_id,
            transaction_id: entry.transaction_id,
            session,
            limit: client.access.request_limit,
        })
    }

    /// How its endpoints are.
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.running.client().health()
    }

    /// Waits for checkers that run, 6 s at most, and says goodbye to the servers. Half messages after it are [`Error::ShutDown`];
    /// one that is there already can still be settled.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.running.end().await
    }
}

impl Half {
    /// The message's id.
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// Says that the message shall be delivered. A hint: `Ok` does not mean that it will be, and an error does not mean that it
    /// will not; the checker decides where the hint is lost. So log an error and go on. Whoever does not want to wait for it
    /// spawns it; what is dropped unpolled is not sent.
    pub async fn commit(self) -> Result<(), Error> {
        self.settle(Verdict::Commit).await
    }

    /// Says that the message shall be thrown away. A hint, as [`Half::commit`] is.
    pub async fn rollback(self) -> Result<(), Error> {
        self.settle(Verdict::Rollback).await
    }

    /// To the endpoint that took the half message: only its proxy knows it.
    #[tracing::instrument(level = "debug", skip(self), fields(topic = self.topic, message_id = self.message_id))]
    async fn settle(self, verdict: Verdict) -> Result<(), Error> {
        end_transaction(&self.session, self.limit, &self.topic, &self.message_id, &self.transaction_id, verdict, source::CLIENT).await
    }
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Half({} of {} at {})", self.message_id, self.topic, self.session.address)
    }
}

async fn start(access: Access, topics: &[&str], checks: Option<Arc<Checks>>) -> Result<Running, Error> {
    for topic in topics {
        legal_name("a topic", topic)?;
    }
    let role = Role::Producer { topics: topics.iter().map(|topic| (*topic).to_owned()).collect(), checks };
    Client::start(access, role).await
}

async fn send_once(client: &Arc<Client>, message: &Message, mut wire: wire::Message) -> Result<(Arc<Session>, SendResultEntry), Error> {
    let route = client.routes.of(client, &message.topic).await?;
    let turn = route.next_turn();
    let queue = match &message.group {
        Some(group) => route.queue_of(group),
        None => client.next_of(&route.writable, turn),
    };
    let Some(queue) = queue else {
        return Err(Error::NotSent(format!("{} has no queue that may be written to now", message.topic)));
    };
    if let Some(properties) = &mut wire.system_properties {
        properties.queue_id = queue.wire.id;
    }
    let session = client.session_of(queue, turn, client.access.request_limit).await?;
    let request = SendMessageRequest { messages: vec![wire] };
    let answer: Result<SendMessageResponse, _> = session.call(&session::SEND_MESSAGE, request, client.access.request_limit).await;
    let sent = answer.and_then(|answer| {
        of_status(answer.status())?;
        answer.entries.into_iter().next().ok_or_else(|| Error::unknown("an answer without an entry"))
    });
    if sent.as_ref().is_err_and(|error| error.code() == Some(code::TOPIC_NOT_FOUND.into())) {
        client.routes.doubt(client, &message.topic).await;
    }
    sent.map(|entry| (session, entry))
}
