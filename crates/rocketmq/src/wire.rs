//! The messages of the v2 protocol, as far as this client speaks it, by their field numbers in apache/rocketmq-apis
//! (`definition.proto`, `service.proto`). Written by hand, so that nobody needs protoc. Enumerations are plain numbers: a server
//! may be newer than this list.

use bytes::Bytes;
use prost_types::{Duration, Timestamp};
use std::collections::HashMap;

/// Codes that this client acts on. Others are told as they are.
pub mod code {
    pub const OK: i32 = 20_000;
    pub const UNRECOGNIZED_CLIENT_TYPE: i32 = 40_015;
    pub const MESSAGE_NOT_FOUND: i32 = 40_401;
    pub const TOPIC_NOT_FOUND: i32 = 40_402;
    pub const TOO_MANY_REQUESTS: i32 = 42_900;
    pub const NOT_IMPLEMENTED: i32 = 50_100;
}

pub mod client_type {
    pub const PRODUCER: i32 = 1;
    pub const SIMPLE_CONSUMER: i32 = 3;
}

pub mod message_type {
    pub const NORMAL: i32 = 1;
    pub const FIFO: i32 = 2;
    pub const DELAY: i32 = 3;
    pub const TRANSACTION: i32 = 4;
}

pub mod permission {
    pub const READ: i32 = 2;
    pub const WRITE: i32 = 3;
    pub const READ_WRITE: i32 = 4;
}

pub mod address_scheme {
    pub const IPV4: i32 = 1;
    pub const IPV6: i32 = 2;
    pub const DOMAIN_NAME: i32 = 3;
}

pub mod encoding {
    pub const IDENTITY: i32 = 1;
    pub const GZIP: i32 = 2;
}

pub mod digest {
    pub const CRC32: i32 = 1;
}

pub mod filter_type {
    pub const TAG: i32 = 1;
    pub const SQL: i32 = 2;
}

pub mod resolution {
    pub const COMMIT: i32 = 1;
    pub const ROLLBACK: i32 = 2;
}

pub mod source {
    pub const CLIENT: i32 = 1;
    pub const SERVER_CHECK: i32 = 2;
}

/// This language's number.
pub const RUST: i32 = 5;

macro_rules! messages {
    ($($name:ident { $($body:tt)* })*) => { $(
        #[derive(Clone, PartialEq, ::prost::Message)]
        pub struct $name { $($body)* }
    )* };
}

messages! {
    Resource { #[prost(string, tag = "1")] pub resource_namespace: String, #[prost(string, tag = "2")] pub name: String, }
    Status { #[prost(int32, tag = "1")] pub code: i32, #[prost(string, tag = "2")] pub message: String, }
    Address { #[prost(string, tag = "1")] pub host: String, #[prost(int32, tag = "2")] pub port: i32, }
    Endpoints {
        #[prost(int32, tag = "1")] pub scheme: i32,
        #[prost(message, repeated, tag = "2")] pub addresses: Vec<Address>,
    }
    Broker {
        #[prost(string, tag = "1")] pub name: String,
        #[prost(int32, tag = "2")] pub id: i32,
        #[prost(message, optional, tag = "3")] pub endpoints: Option<Endpoints>,
    }
    MessageQueue {
        #[prost(message, optional, tag = "1")] pub topic: Option<Resource>,
        #[prost(int32, tag = "2")] pub id: i32,
        #[prost(int32, tag = "3")] pub permission: i32,
        #[prost(message, optional, tag = "4")] pub broker: Option<Broker>,
        #[prost(int32, repeated, tag = "5")] pub accept_message_types: Vec<i32>,
    }
    Digest { #[prost(int32, tag = "1")] pub r#type: i32, #[prost(string, tag = "2")] pub checksum: String, }
    SystemProperties {
        #[prost(string, optional, tag = "1")] pub tag: Option<String>,
        #[prost(string, repeated, tag = "2")] pub keys: Vec<String>,
        #[prost(string, tag = "3")] pub message_id: String,
        #[prost(message, optional, tag = "4")] pub body_digest: Option<Digest>,
        #[prost(int32, tag = "5")] pub body_encoding: i32,
        #[prost(int32, tag = "6")] pub message_type: i32,
        #[prost(message, optional, tag = "7")] pub born_timestamp: Option<Timestamp>,
        #[prost(string, tag = "8")] pub born_host: String,
        #[prost(message, optional, tag = "11")] pub delivery_timestamp: Option<Timestamp>,
        #[prost(string, optional, tag = "12")] pub receipt_handle: Option<String>,
        #[prost(int32, tag = "13")] pub queue_id: i32,
        #[prost(int64, optional, tag = "14")] pub queue_offset: Option<i64>,
        #[prost(message, optional, tag = "15")] pub invisible_duration: Option<Duration>,
        #[prost(int32, optional, tag = "16")] pub delivery_attempt: Option<i32>,
        #[prost(string, optional, tag = "17")] pub message_group: Option<String>,
        #[prost(message, optional, tag = "19")] pub orphaned_transaction_recovery_duration: Option<Duration>,
    }
    Message {
        #[prost(message, optional, tag = "1")] pub topic: Option<Resource>,
        #[prost(map = "string, string", tag = "2")] pub user_properties: HashMap<String, String>,
        #[prost(message, optional, tag = "3")] pub system_properties: Option<SystemProperties>,
        #[prost(bytes = "bytes", tag = "4")] pub body: Bytes,
    }
    QueryRouteRequest {
        #[prost(message, optional, tag = "1")] pub topic: Option<Resource>,
        #[prost(message, optional, tag = "2")] pub endpoints: Option<Endpoints>,
    }
    QueryRouteResponse {
        #[prost(message, optional, tag = "1")] pub status: Option<Status>,
        #[prost(message, repeated, tag = "2")] pub message_queues: Vec<MessageQueue>,
    }
    SendMessageRequest { #[prost(message, repeated, tag = "1")] pub messages: Vec<Message>, }
    SendResultEntry {
        #[prost(message, optional, tag = "1")] pub status: Option<Status>,
        #[prost(string, tag = "2")] pub message_id: String,
        #[prost(string, tag = "3")] pub transaction_id: String,
        #[prost(int64, tag = "4")] pub offset: i64,
        #[prost(string, tag = "5")] pub recall_handle: String,
    }
    SendMessageResponse {
        #[prost(message, optional, tag = "1")] pub status: Option<Status>,
        #[prost(message, repeated, tag = "2")] pub entries: Vec<SendResultEntry>,
    }
    EndTransactionRequest {
        #[prost(message, optional, tag = "1")] pub topic: Option<Resource>,
        #[prost(string, tag = "2")] pub message_id: String,
        #[prost(string, tag = "3")] pub transaction_id: String,
        #[prost(int32, tag = "4")] pub resolution: i32,
        #[prost(int32, tag = "5")] pub source: i32,
    }
    FilterExpression { #[prost(int32, tag = "1")] pub r#type: i32, #[prost(string, tag = "2")] pub expression: String, }
    ReceiveMessageRequest {
        #[prost(message, optional, tag = "1")] pub group: Option<Resource>,
        #[prost(message, optional, tag = "2")] pub message_queue: Option<MessageQueue>,
        #[prost(message, optional, tag = "3")] pub filter_expression: Option<FilterExpression>,
        #[prost(int32, tag = "4")] pub batch_size: i32,
        #[prost(message, optional, tag = "5")] pub invisible_duration: Option<Duration>,
        #[prost(bool, tag = "6")] pub auto_renew: bool,
        #[prost(message, optional, tag = "7")] pub long_polling_timeout: Option<Duration>,
        #[prost(string, optional, tag = "8")] pub attempt_id: Option<String>,
    }
    ReceiveMessageResponse { #[prost(oneof = "received::Content", tags = "1, 2, 3")] pub content: Option<received::Content>, }
    AckMessageEntry { #[prost(string, tag = "1")] pub message_id: String, #[prost(string, tag = "2")] pub receipt_handle: String, }
    AckMessageRequest {
        #[prost(message, optional, tag = "1")] pub group: Option<Resource>,
        #[prost(message, optional, tag = "2")] pub topic: Option<Resource>,
        #[prost(message, repeated, tag = "3")] pub entries: Vec<AckMessageEntry>,
    }
    AckMessageResultEntry {
        #[prost(string, tag = "1")] pub message_id: String,
        #[prost(string, tag = "2")] pub receipt_handle: String,
        #[prost(message, optional, tag = "3")] pub status: Option<Status>,
    }
    AckMessageResponse {
        #[prost(message, optional, tag = "1")] pub status: Option<Status>,
        #[prost(message, repeated, tag = "2")] pub entries: Vec<AckMessageResultEntry>,
    }
    ChangeInvisibleDurationRequest {
        #[prost(message, optional, tag = "1")] pub group: Option<Resource>,
        #[prost(message, optional, tag = "2")] pub topic: Option<Resource>,
        #[prost(string, tag = "3")] pub receipt_handle: String,
        #[prost(message, optional, tag = "4")] pub invisible_duration: Option<Duration>,
        #[prost(string, tag = "5")] pub message_id: String,
    }
    ChangeInvisibleDurationResponse {
        #[prost(message, optional, tag = "1")] pub status: Option<Status>,
        #[prost(string, tag = "2")] pub receipt_handle: String,
    }
    ForwardMessageToDeadLetterQueueRequest {
        #[prost(message, optional, tag = "1")] pub group: Option<Resource>,
        #[prost(message, optional, tag = "2")] pub topic: Option<Resource>,
        #[prost(string, tag = "3")] pub receipt_handle: String,
        #[prost(string, tag = "4")] pub message_id: String,
        #[prost(int32, tag = "5")] pub delivery_attempt: i32,
        #[prost(int32, tag = "6")] pub max_delivery_attempts: i32,
    }
    RecallMessageRequest {
        #[prost(message, optional, tag = "1")] pub topic: Option<Resource>,
        #[prost(string, tag = "2")] pub recall_handle: String,
    }
    RecallMessageResponse {
        #[prost(message, optional, tag = "1")] pub status: Option<Status>,
        #[prost(string, tag = "2")] pub message_id: String,
    }
    HeartbeatRequest {
        #[prost(message, optional, tag = "1")] pub group: Option<Resource>,
        #[prost(int32, tag = "2")] pub client_type: i32,
    }
    NotifyClientTerminationRequest { #[prost(message, optional, tag = "1")] pub group: Option<Resource>, }
    // Heartbeat, EndTransaction, NotifyClientTermination and ForwardMessageToDeadLetterQueue answer with a status alone.
    StatusResponse { #[prost(message, optional, tag = "1")] pub status: Option<Status>, }
    ExponentialBackoff {
        #[prost(message, optional, tag = "1")] pub initial: Option<Duration>,
        #[prost(message, optional, tag = "2")] pub max: Option<Duration>,
        #[prost(float, tag = "3")] pub multiplier: f32,
    }
    RetryPolicy {
        #[prost(int32, tag = "1")] pub max_attempts: i32,
        #[prost(message, optional, tag = "2")] pub exponential_backoff: Option<ExponentialBackoff>,
    }
    UserAgent {
        #[prost(int32, tag = "1")] pub language: i32,
        #[prost(string, tag = "2")] pub version: String,
        #[prost(string, tag = "3")] pub platform: String,
        #[prost(string, tag = "4")] pub hostname: String,
    }
    SubscriptionEntry {
        #[prost(message, optional, tag = "1")] pub topic: Option<Resource>,
        #[prost(message, optional, tag = "2")] pub expression: Option<FilterExpression>,
    }
    Publishing {
        #[prost(message, repeated, tag = "1")] pub topics: Vec<Resource>,
        #[prost(int32, tag = "2")] pub max_body_size: i32,
        #[prost(bool, tag = "3")] pub validate_message_type: bool,
    }
    Subscription {
        #[prost(message, optional, tag = "1")] pub group: Option<Resource>,
        #[prost(message, repeated, tag = "2")] pub subscriptions: Vec<SubscriptionEntry>,
        #[prost(bool, optional, tag = "3")] pub fifo: Option<bool>,
        #[prost(int32, optional, tag = "4")] pub receive_batch_size: Option<i32>,
        #[prost(message, optional, tag = "5")] pub long_polling_timeout: Option<Duration>,
    }
    Settings {
        #[prost(int32, optional, tag = "1")] pub client_type: Option<i32>,
        #[prost(message, optional, tag = "2")] pub access_point: Option<Endpoints>,
        #[prost(message, optional, tag = "3")] pub backoff_policy: Option<RetryPolicy>,
        #[prost(message, optional, tag = "4")] pub request_timeout: Option<Duration>,
        #[prost(oneof = "settings::PubSub", tags = "5, 6")] pub pub_sub: Option<settings::PubSub>,
        #[prost(message, optional, tag = "7")] pub user_agent: Option<UserAgent>,
    }
    RecoverOrphanedTransactionCommand {
        #[prost(message, optional, tag = "1")] pub message: Option<Message>,
        #[prost(string, tag = "2")] pub transaction_id: String,
    }
    // Of PrintThreadStackTrace, VerifyMessage and ReconnectEndpoints only the nonce is read; it goes back with the answer.
    Nonce { #[prost(string, tag = "1")] pub nonce: String, }
    TelemetryCommand {
        #[prost(message, optional, tag = "1")] pub status: Option<Status>,
        #[prost(oneof = "telemetry::Command", tags = "2, 3, 4, 5, 6, 7, 8")] pub command: Option<telemetry::Command>,
    }
}

pub mod received {
    #[expect(clippy::large_enum_variant, reason = "nearly all are messages")]
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Content {
        #[prost(message, tag = "1")]
        Status(super::Status),
        #[prost(message, tag = "2")]
        Message(super::Message),
        #[prost(message, tag = "3")]
        DeliveryTimestamp(prost_types::Timestamp),
    }
}

pub mod settings {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum PubSub {
        #[prost(message, tag = "5")]
        Publishing(super::Publishing),
        #[prost(message, tag = "6")]
        Subscription(super::Subscription),
    }
}

pub mod telemetry {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Command {
        #[prost(message, tag = "2")]
        Settings(super::Settings),
        #[prost(message, tag = "3")]
        ThreadStackTrace(super::Nonce),
        #[prost(message, tag = "4")]
        VerifyMessageResult(super::Nonce),
        #[prost(message, tag = "5")]
        RecoverOrphanedTransaction(super::RecoverOrphanedTransactionCommand),
        #[prost(message, tag = "6")]
        PrintThreadStackTrace(super::Nonce),
        #[prost(message, tag = "7")]
        VerifyMessage(super::Nonce),
        #[prost(message, tag = "8")]
        ReconnectEndpoints(super::Nonce),
    }
}

/// What answers with a status: that of the whole, or the one that says most about how it went.
pub trait Answer {
    fn status(&self) -> Option<&Status>;
}

macro_rules! answers {
    ($($name:ident),*) => { $(
        impl Answer for $name {
            fn status(&self) -> Option<&Status> {
                self.status.as_ref()
            }
        }
    )* };
}

answers!(QueryRouteResponse, ChangeInvisibleDurationResponse, RecallMessageResponse, StatusResponse);

/// That of its one message: the status of the whole speaks of many.
impl Answer for SendMessageResponse {
    fn status(&self) -> Option<&Status> {
        self.entries.first().map_or(self.status.as_ref(), |entry| entry.status.as_ref())
    }
}

/// That of the first message that was not acknowledged, if there is one.
impl Answer for AckMessageResponse {
    fn status(&self) -> Option<&Status> {
        let statuses = || self.entries.iter().map(|entry| entry.status.as_ref());
        let failed = statuses().find(|status| status.is_none_or(|status| status.code != code::OK));
        failed.or_else(|| statuses().next()).unwrap_or(self.status.as_ref())
    }
}

impl Resource {
    pub fn named(name: &str) -> Self {
        Self { resource_namespace: String::new(), name: name.to_owned() }
    }
}

/// A length of time as the wire has it.
pub fn duration(duration: std::time::Duration) -> Duration {
    Duration { seconds: duration.as_secs().try_into().unwrap_or(i64::MAX), nanos: duration.subsec_nanos().cast_signed() }
}

/// A length of time from the wire; what is negative or absurd is none.
pub fn std_duration(duration: Duration) -> Option<std::time::Duration> {
    std::time::Duration::try_from(duration).ok()
}

/// A moment as the wire has it.
pub fn timestamp(at: std::time::SystemTime) -> Timestamp {
    Timestamp::from(at)
}
