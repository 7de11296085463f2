//! One endpoint: its connection, requests with a deadline, and whether its telemetry stream is up.

use crate::access::{Access, Address, Trust};
use crate::client::SHUNNED_FOR;
use crate::error::{of_grpc, of_status};
use crate::identity::Identity;
use crate::observe::Observer;
use crate::wire::{Answer, ReceiveMessageRequest, ReceiveMessageResponse, TelemetryCommand, code, received::Content};
use crate::{EndpointHealth, Error};
use http::uri::PathAndQuery;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};
use tonic::client::Grpc;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Heartbeats keep the connection busy, so these are seldom sent; without heartbeats a server takes them for abuse.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_LIMIT: Duration = Duration::from_secs(5);
/// A body of 4 MiB with its properties, and what a server may have been told to take beyond.
const ANSWER_MAX: usize = 64 << 20;

const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// A method of the service.
pub struct Method {
    pub name: &'static str,
    path: &'static str,
}

macro_rules! methods {
    ($($constant:ident $name:literal;)*) => { $(
        pub const $constant: Method = Method { name: $name, path: concat!("/apache.rocketmq.v2.MessagingService/", $name) };
    )* };
}

methods! {
    QUERY_ROUTE "QueryRoute";
    HEARTBEAT "Heartbeat";
    SEND_MESSAGE "SendMessage";
    END_TRANSACTION "EndTransaction";
    RECEIVE_MESSAGE "ReceiveMessage";
    ACK_MESSAGE "AckMessage";
    CHANGE_INVISIBLE_DURATION "ChangeInvisibleDuration";
    FORWARD_TO_DEAD_LETTERS "ForwardMessageToDeadLetterQueue";
    RECALL_MESSAGE "RecallMessage";
    TERMINATE "NotifyClientTermination";
    TELEMETRY "Telemetry";
}

/// How an endpoint's telemetry stream is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It is being opened for the first time.
    Opening,
    /// The server has our settings.
    Up,
    /// It ended, or could not be opened.
    Down(Error),
}

pub struct Session {
    pub address: Address,
    channel: Channel,
    identity: Arc<Identity>,
    observer: Arc<dyn Observer>,
    state: watch::Sender<State>,
    /// The stream shall be opened anew.
    pub reopen: Notify,
    /// No route leads here any more: the stream shall not be opened again.
    pub left: Notify,
    /// Milliseconds after `born` at which it last did not answer, plus one; zero: it always did.
    failed_at: AtomicU64,
    born: Instant,
    /// What to look at where a connection was made and nothing sensible came of it.
    hint: &'static str,
    /// Why the last heartbeat failed, so that each reason is told once.
    last_error: Mutex<Option<Error>>,
}

impl Session {
    pub fn new(address: Address, access: &Access, identity: Arc<Identity>) -> Result<Self, Error> {
        let illegal = |e: tonic::transport::Error| {
            let why = std::error::Error::source(&e).map(ToString::to_string).unwrap_or_default();
            Error::Illegal(format!("{address}: {e} {why}"))
        };
        let scheme = if access.trust.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(illegal)?;
        endpoint = endpoint.connect_timeout(CONNECT_LIMIT).tcp_nodelay(true);
        endpoint = endpoint.http2_keep_alive_interval(PING_EVERY).keep_alive_while_idle(true).keep_alive_timeout(PING_LIMIT);
        endpoint = match &access.trust {
            None => endpoint,
            Some(Trust::System) => {
                endpoint.tls_config(ClientTlsConfig::new().with_native_roots().timeout(CONNECT_LIMIT)).map_err(illegal)?
            }
            Some(Trust::Own(pem)) => {
                // What is no certificate is none, says the TLS library, and then nobody is trusted.
                if !pem.windows(CERTIFICATE.len()).any(|part| part == CERTIFICATE) {
                    return Err(Error::Illegal("the PEM of the authority has no certificate".to_owned()));
                }
                let authority = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
                endpoint.tls_config(authority.timeout(CONNECT_LIMIT)).map_err(illegal)?
            }
        };
        Ok(Self {
            channel: endpoint.connect_lazy(),
            address,
            identity,
            observer: access.observer.clone(),
            state: watch::Sender::new(State::Opening),
            reopen: Notify::new(),
            left: Notify::new(),
            failed_at: AtomicU64::new(0),
            born: Instant::now(),
            hint: match access.trust {
                None => "Is this the gRPC port of a proxy? If it demands TLS, use rocketmqs://",
                Some(_) => "Is this the gRPC port of a proxy?",
            },
            last_error: Mutex::new(None),
        })
    }

    /// A request whose answer's status says that it was done.
    pub async fn ask<I, O>(&self, method: &Method, request: I, limit: Duration) -> Result<O, Error>
    where
        I: prost::Message + Default + 'static,
        O: prost::Message + Answer + Default + 'static,
    {
        let answer: O = self.call(method, request, limit).await?;
        of_status(answer.status()).map(|()| answer)
    }

    /// A request, and its answer whatever it says.
    pub async fn call<I, O>(&self, method: &Method, request: I, limit: Duration) -> Result<O, Error>
    where
        I: prost::Message + Default + 'static,
        O: prost::Message + Answer + Default + 'static,
    {
        let since = Instant::now();
        let request = self.request(request, limit);
        let asking = async {
            let mut grpc = self.grpc().await?;
            grpc.unary(request, PathAndQuery::from_static(method.path), ProstCodec::<I, O>::default()).await
        };
        let answer = match timeout(limit, asking).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(of_grpc(&self.address.to_string(), &status)),
            Err(_) => Err(Error::unknown(format!("{}: no answer to {} within {limit:?}", self.address, method.name))),
        };
        self.note(answer.as_ref().err());
        let judged = answer.as_ref().map_err(Error::clone).and_then(|answer| of_status(answer.status()));
        self.observer.request(method.name, judged.as_ref().err(), since.elapsed());
        answer
    }

    /// Receives until the server ends its answer, or the limit is over.
    pub async fn receive(&self, request: ReceiveMessageRequest, limit: Duration) -> Result<Vec<ReceiveMessageResponse>, Error> {
        let since = Instant::now();
        let request = self.request(request, limit);
        let mut parts = Vec::new();
        let receiving = async {
            let mut grpc = self.grpc().await?;
            let codec = ProstCodec::<ReceiveMessageRequest, ReceiveMessageResponse>::default();
            let path = PathAndQuery::from_static(RECEIVE_MESSAGE.path);
            let mut stream = grpc.server_streaming(request, path, codec).await?.into_inner();
            while let Some(part) = stream.message().await? {
                parts.push(part);
            }
            Ok(())
        };
        let received = match timeout(limit, receiving).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => Err(of_grpc(&self.address.to_string(), &status)),
            Err(_) => Err(Error::unknown(format!("{}: no end of an answer to ReceiveMessage within {limit:?}", self.address))),
        };
        self.note(received.as_ref().err());
        let said = parts.iter().find_map(|part| match &part.content {
            Some(Content::Status(status)) if status.code != code::MESSAGE_NOT_FOUND => Some(status),
            _ => None,
        });
        let judged = received.clone().and_then(|()| said.map_or(Ok(()), |status| of_status(Some(status))));
        self.observer.request(RECEIVE_MESSAGE.name, judged.as_ref().err(), since.elapsed());
        match received {
            // What has come is ours: it will not come again before its time.
            Err(error) if !parts.iter().any(|part| matches!(part.content, Some(Content::Message(_)))) => Err(error),
            _ => Ok(parts),
        }
    }

    /// Opens the telemetry stream; `commands` are what we say in it.
    pub async fn telemetry(
        &self,
        commands: mpsc::Receiver<TelemetryCommand>,
        limit: Duration,
    ) -> Result<Streaming<TelemetryCommand>, Error> {
        let mut request = Request::new(tokio_stream::wrappers::ReceiverStream::new(commands));
        *request.metadata_mut() = self.identity.metadata();
        let opening = async {
            let mut grpc = self.grpc().await?;
            let codec = ProstCodec::<TelemetryCommand, TelemetryCommand>::default();
            grpc.streaming(request, PathAndQuery::from_static(TELEMETRY.path), codec).await
        };
        match timeout(limit, opening).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(status)) => Err(match of_grpc(&self.address.to_string(), &status) {
                Error::Unknown { code: None, what } => Error::unknown(format!("{what}. {}", self.hint)),
                error => error,
            }),
            Err(_) => Err(Error::NotSent(format!("{}: no answer to our settings within {limit:?}. {}", self.address, self.hint))),
        }
    }

    /// Waits until the telemetry stream is up; what was last wrong if it does not come up in time.
    pub async fn up(&self, limit: Duration) -> Result<(), Error> {
        if self.is_up() {
            return Ok(());
        }
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| matches!(state, State::Up | State::Down(Error::Refused { .. } | Error::ShutDown)));
        let state = match timeout(limit, settled).await {
            Ok(Ok(state)) => state.clone(),
            _ => self.state.borrow().clone(),
        };
        match state {
            State::Up => Ok(()),
            State::Down(error @ (Error::Refused { .. } | Error::NotSent(_) | Error::ShutDown)) => Err(error),
            // Nothing of the caller's was sent, whatever is known of the stream.
            State::Down(Error::Unknown { what, .. } | Error::Illegal(what)) => {
                Err(Error::NotSent(format!("no telemetry stream, and without it nobody answers check-backs: {what}")))
            }
            State::Opening => Err(Error::NotSent(format!("{}: no answer to our settings within {limit:?}", self.address))),
        }
    }

    pub fn is_up(&self) -> bool {
        *self.state.borrow() == State::Up
    }

    /// Notes how the telemetry stream is, and tells whether that is news.
    pub fn set_state(&self, new: State) -> bool {
        let was = self.state.send_replace(new.clone());
        let (is_up, was_up) = (new == State::Up, was == State::Up);
        if is_up != was_up {
            self.observer.telemetry(&self.address.to_string(), is_up);
        }
        is_up != was_up || was == State::Opening
    }

    pub fn health(&self) -> EndpointHealth {
        let (up, error) = match &*self.state.borrow() {
            State::Up => (true, None),
            State::Opening => (false, None),
            State::Down(error) => (false, Some(error.clone())),
        };
        EndpointHealth { endpoint: self.address.to_string(), up, error }
    }

    /// Whether it did not answer a moment ago.
    pub fn is_shunned(&self) -> bool {
        match self.failed_at.load(Ordering::Relaxed) {
            0 => false,
            at => self.born.elapsed() < Duration::from_millis(at) + SHUNNED_FOR,
        }
    }

    fn note(&self, error: Option<&Error>) {
        let at = match error {
            Some(Error::NotSent(_) | Error::Unknown { code: None, .. }) => self.born.elapsed().as_millis() as u64 + 1,
            _ => 0,
        };
        // Most requests succeed, and then there is nothing to write.
        if self.failed_at.load(Ordering::Relaxed) != at {
            self.failed_at.store(at, Ordering::Relaxed);
        }
    }

    fn request<I>(&self, message: I, limit: Duration) -> Request<I> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.identity.metadata();
        request.set_timeout(limit);
        request
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, tonic::Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX);
        grpc.ready().await.map_err(|e| tonic::Status::from_error(e.into()))?;
        Ok(grpc)
    }

    /// Whether this error is another than the last one; so each is told once.
    pub fn is_news(&self, error: Option<&Error>) -> bool {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = last.as_ref() != error;
        *last = error.cloned();
        is_news
    }
}
