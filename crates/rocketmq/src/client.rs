//! What producers and consumers have in common: sessions by endpoint, heartbeats, what the server allows, the end.

use crate::access::{Access, Address};
use crate::allowed::{Allowed, BODY_MAX};
use crate::error::of_status;
use crate::identity::{Identity, VERSION};
use crate::route::{Queue, Routes};
use crate::session::{self, Session, State};
use crate::sessions::Sessions;
use crate::wire::{self, Resource, StatusResponse, code, settings::PubSub};
use crate::{EndpointHealth, Error, check, telemetry};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
const ROUTES_EVERY: Duration = Duration::from_secs(30);
/// For how long an endpoint or a broker that did not answer is passed over, if there is another.
pub const SHUNNED_FOR: Duration = Duration::from_secs(3);
/// How long an end waits for each thing that it waits for.
const END_LIMIT: Duration = Duration::from_secs(3);

/// What a client is for.
pub enum Role {
    /// It sends to these topics; a transactional one is asked about its half messages.
    Producer { topics: Vec<String>, checks: Option<Arc<check::Checks>> },
    /// It receives, as a member of this group.
    Consumer { group: String, subscriptions: Vec<wire::SubscriptionEntry>, long_poll: Duration },
}

/// How far the life of a client has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub enum Phase {
    Runs,
    /// It takes nothing new, and says goodbye: nothing may come after that by which a server would know it again.
    Closes,
    Stopped,
}

pub struct Client {
    pub access: Access,
    pub role: Role,
    pub routes: Routes,
    identity: Arc<Identity>,
    sessions: Sessions,
    allowed: Mutex<Allowed>,
    /// Brokers that did not give what they have, and since when: they may lie behind a proxy that is well. Of sending nothing
    /// is noted: a proxy in CLUSTER mode sends to whichever broker it likes.
    ill: Mutex<HashMap<String, Instant>>,
    tasks: Mutex<JoinSet<()>>,
    phase: watch::Sender<Phase>,
}

impl Client {
    /// Connects, and comes back when a server has taken our settings.
    pub async fn start(access: Access, role: Role) -> Result<Running, Error> {
        let name = if matches!(role, Role::Producer { .. }) { "producer" } else { "consumer" };
        let identity = Arc::new(Identity::new(name, access.credentials.clone())?);
        let client = Arc::new(Self {
            access,
            role,
            routes: Routes::default(),
            identity,
            sessions: Sessions::default(),
            allowed: Mutex::default(),
            ill: Mutex::default(),
            tasks: Mutex::default(),
            phase: watch::Sender::new(Phase::Runs),
        });
        let running = Running(client.clone());
        for address in &client.access.addresses {
            client.session(address)?;
        }
        client.tasks().spawn(beat(client.clone()));
        client.tasks().spawn(read_routes(client.clone()));
        client.any_up(client.access.start_limit).await?;
        Ok(running)
    }

    pub fn id(&self) -> &str {
        &self.identity.client_id
    }

    pub fn group(&self) -> Option<Resource> {
        match &self.role {
            Role::Producer { .. } => None,
            Role::Consumer { group, .. } => Some(Resource::named(group)),
        }
    }

    /// What we say of ourselves when a telemetry stream opens.
    pub fn settings(&self) -> wire::Settings {
        let (client_type, pub_sub) = match &self.role {
            Role::Producer { topics, .. } => {
                let topics = topics.iter().map(|topic| Resource::named(topic)).collect();
                let publishing = wire::Publishing { topics, max_body_size: BODY_MAX as i32, validate_message_type: true };
                (wire::client_type::PRODUCER, PubSub::Publishing(publishing))
            }
            Role::Consumer { subscriptions, long_poll, .. } => {
                let subscription = wire::Subscription {
                    group: self.group(),
                    subscriptions: subscriptions.clone(),
                    fifo: None,
                    receive_batch_size: None,
                    long_polling_timeout: Some(wire::duration(*long_poll)),
                };
                (wire::client_type::SIMPLE_CONSUMER, PubSub::Subscription(subscription))
            }
        };
        wire::Settings {
            client_type: Some(client_type),
            access_point: Some(self.access.endpoints()),
            backoff_policy: None,
            request_timeout: Some(wire::duration(self.access.request_limit)),
            pub_sub: Some(pub_sub),
            user_agent: Some(wire::UserAgent {
                language: wire::RUST,
                version: VERSION.to_owned(),
                platform: std::env::consts::OS.to_owned(),
                hostname: String::new(),
            }),
        }
    }

    /// Takes what the server allows.
    pub fn obey(&self, settings: &wire::Settings) {
        let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        *allowed = allowed.with(settings);
    }

    pub fn allowed(&self) -> Allowed {
        *self.allowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of an endpoint; the first who asks for it opens it.
    pub fn session(self: &Arc<Self>, address: &Address) -> Result<Arc<Session>, Error> {
        let make = || match self.is_ending() {
            true => Err(Error::ShutDown),
            false => Session::new(address.clone(), &self.access, self.identity.clone()),
        };
        let opened = |session: &Arc<Session>| drop(self.tasks().spawn(telemetry::keep_open(self.clone(), session.clone())));
        self.sessions.of(address, make, opened)
    }

    /// The queue whose turn it is, of those whose endpoints answer; if none does, of all.
    pub fn next_of<'a>(self: &Arc<Self>, queues: &'a [Queue], turn: usize) -> Option<&'a Queue> {
        let in_turn = || (0..queues.len()).map(|n| &queues[turn.wrapping_add(n) % queues.len()]);
        let answers = |queue: &&Queue| {
            !self.is_ill(&queue.broker)
                && self.best_of(&queue.addresses, turn).is_ok_and(|session| session.is_up() && !session.is_shunned())
        };
        in_turn().find(answers).or_else(|| in_turn().next())
    }

    /// Notes whether a broker answered a receive.
    pub fn note<T>(&self, broker: &str, done: &Result<T, Error>) {
        let mut ill = self.ill.lock().unwrap_or_else(PoisonError::into_inner);
        match done {
            Err(Error::Unknown { .. }) => drop(ill.insert(broker.to_owned(), Instant::now())),
            _ if ill.is_empty() => {}
            _ => drop(ill.remove(broker)),
        }
    }

    fn is_ill(&self, broker: &str) -> bool {
        let ill = self.ill.lock().unwrap_or_else(PoisonError::into_inner);
        ill.get(broker).is_some_and(|since| since.elapsed() < SHUNNED_FOR)
    }

    /// The best of these endpoints: one that is up and answers; else one that is up; else the first.
    pub fn best_of(self: &Arc<Self>, addresses: &[Address], turn: usize) -> Result<Arc<Session>, Error> {
        let mut best: Option<(u8, Arc<Session>)> = None;
        for n in 0..addresses.len() {
            let session = self.session(&addresses[turn.wrapping_add(n) % addresses.len()])?;
            let fault = u8::from(session.is_shunned()) + 2 * u8::from(!session.is_up());
            if fault == 0 {
                return Ok(session);
            }
            if best.as_ref().is_none_or(|(least, _)| fault < *least) {
                best = Some((fault, session));
            }
        }
        best.map(|(_, session)| session).ok_or_else(|| Error::NotSent("a queue whose broker has no address".to_owned()))
    }

    /// A session of the access point, waited for.
    pub async fn any_up(self: &Arc<Self>, limit: Duration) -> Result<Arc<Session>, Error> {
        self.up_of(&self.access.addresses, 0, limit).await
    }

    /// The session that a queue's messages go through, waited for: without its telemetry stream a half message would have
    /// nobody to be asked about, and a receive no subscription.
    pub async fn session_of(self: &Arc<Self>, queue: &Queue, turn: usize, limit: Duration) -> Result<Arc<Session>, Error> {
        if self.is_ending() {
            return Err(Error::ShutDown);
        }
        self.up_of(&queue.addresses, turn, limit).await
    }

    /// The best of these endpoints; if none is up, the first that comes up.
    async fn up_of(self: &Arc<Self>, addresses: &[Address], turn: usize, limit: Duration) -> Result<Arc<Session>, Error> {
        let best = self.best_of(addresses, turn)?;
        if best.is_up() {
            return Ok(best);
        }
        let sessions: Vec<_> = addresses.iter().map(|address| self.session(address)).collect::<Result<_, _>>()?;
        let mut waiting = JoinSet::new();
        for session in sessions {
            waiting.spawn(async move { session.up(limit).await.map(|()| session) });
        }
        let mut last = Error::NotSent("a queue whose broker has no address".to_owned());
        while let Some(done) = waiting.join_next().await {
            match done {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(error)) => last = error,
                Err(_) => {}
            }
        }
        Err(last)
    }

    /// Tries until it succeeds, the error will not pass, or the server's number of attempts is used up. What an attempt left
    /// unknown stays unknown, whatever the last one says.
    pub async fn try_again<T, F>(&self, passing: impl Fn(&Error) -> bool, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let allowed = self.allowed();
        let (mut attempts, mut doubt) = (1, None);
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if attempts == allowed.attempts || !passing(&error) || self.is_ending() {
                return Err(error.after(doubt));
            }
            tracing::debug!(%error, attempts, "tried again");
            sleep(allowed.wait(attempts)).await;
            attempts += 1;
            if !error.had_no_effect() {
                doubt = Some(error);
            }
        }
    }

    pub fn health(&self) -> Vec<EndpointHealth> {
        let mut health: Vec<_> = self.sessions.all().iter().map(|session| session.health()).collect();
        health.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        health
    }

    /// Comes back when its life has come so far.
    pub async fn reaches(&self, phase: Phase) {
        // The sender is ours: it is not gone.
        drop(self.phase.subscribe().wait_for(|now| *now >= phase).await);
    }

    pub fn is_ending(&self) -> bool {
        *self.phase.borrow() != Phase::Runs
    }

    pub fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all routes again, and leaves endpoints to which none has led for long.
    async fn read_routes(self: &Arc<Self>) {
        self.routes.read_again(self).await;
        let mut routed = self.routes.addresses();
        routed.extend(self.access.addresses.iter().cloned());
        let left = self.sessions.retire(&routed);
        drop(self.say_goodbye(left.iter().filter(|session| session.is_up())).await);
        left.iter().for_each(|session| session.left.notify_one());
    }

    /// Says goodbye to servers, at once: one that does not answer holds up no other. The first error.
    async fn say_goodbye(&self, sessions: impl Iterator<Item = &Arc<Session>>) -> Result<(), Error> {
        let told = join_all(sessions.map(async |session| {
            let goodbye = wire::NotifyClientTerminationRequest { group: self.group() };
            session.ask(&session::TERMINATE, goodbye, END_LIMIT).await.map(|_: StatusResponse| ())
        }));
        told.await.into_iter().collect()
    }

    /// Takes no more checks, lets those that run end, takes nothing else, says goodbye to every server, closes.
    async fn end(&self) -> Result<(), Error> {
        if let Role::Producer { checks: Some(checks), .. } = &self.role {
            checks.end().await;
        }
        self.phase.send_replace(Phase::Closes);
        let ended = self.say_goodbye(self.sessions.up().iter()).await;
        self.phase.send_replace(Phase::Stopped);
        let mut tasks = std::mem::take(&mut *self.tasks());
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout(END_LIMIT, all).await.is_err() {
            tracing::warn!(client = self.id(), "tasks that do not end are cut off");
        }
        self.sessions.take_all();
        ended
    }
}

/// A client, from its start to its end. Who drops it without an end leaves it to the server to notice.
pub struct Running(Arc<Client>);

impl Running {
    pub fn client(&self) -> &Arc<Client> {
        &self.0
    }

    pub async fn end(&self) -> Result<(), Error> {
        self.0.end().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.phase.send_replace(Phase::Stopped);
        if let Role::Producer { checks: Some(checks), .. } = &self.0.role {
            checks.close();
        }
        self.0.tasks().abort_all();
        for session in self.0.sessions.take_all() {
            session.set_state(State::Down(Error::ShutDown));
        }
    }
}

/// Heartbeats to every endpoint, until the client closes.
async fn beat(client: Arc<Client>) {
    let mut hearts = interval(HEARTBEAT_EVERY);
    hearts.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let beating = async {
        loop {
            hearts.tick().await;
            let sessions = client.sessions.up();
            // At once: one that does not answer holds up no other.
            join_all(sessions.iter().map(|session| heartbeat(&client, session))).await;
        }
    };
    tokio::select! {
        () = client.reaches(Phase::Closes) => {}
        () = beating => {}
    }
}

/// Routes read again, until the client closes.
async fn read_routes(client: Arc<Client>) {
    let mut routes = interval(ROUTES_EVERY);
    routes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reading = async {
        loop {
            routes.tick().await;
            client.read_routes().await;
        }
    };
    tokio::select! {
        () = client.reaches(Phase::Closes) => {}
        () = reading => {}
    }
}

async fn heartbeat(client: &Client, session: &Session) {
    let client_type = match client.role {
        Role::Producer { .. } => wire::client_type::PRODUCER,
        Role::Consumer { .. } => wire::client_type::SIMPLE_CONSUMER,
    };
    let request = wire::HeartbeatRequest { group: client.group(), client_type };
    let answer: Result<StatusResponse, _> = session.call(&session::HEARTBEAT, request, client.access.request_limit).await;
    let beaten = answer.and_then(|answer| of_status(answer.status.as_ref()));
    if let Err(error) = &beaten {
        if error.code() == Some(code::UNRECOGNIZED_CLIENT_TYPE.into()) {
            session.reopen.notify_one();
        }
        if session.is_news(Some(error)) {
            tracing::warn!(endpoint = %session.address, %error, "a heartbeat failed");
        }
    } else {
        session.is_news(None);
    }
}
