//! The administration of a broker and a name server: topics and groups are made and looked at, offsets and lag are read.

use crate::Error;
use crate::access::Credentials;
use crate::message::legal_name;
use crate::remoting::{Asked, call};
use crate::wire::message_type;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

const UPDATE_TOPIC: u32 = 17;
const UPDATE_BROKER_CONFIG: u32 = 25;
const GET_ROUTE: u32 = 105;
const UPDATE_GROUP: u32 = 200;
const TOPIC_STATS: u32 = 202;
const PRODUCERS: u32 = 204;
const CONSUME_STATS: u32 = 208;

/// What a topic carries. A proxy refuses messages of another kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopicKind {
    /// Plain messages.
    Normal,
    /// In the order of their message group.
    Fifo,
    /// Delivered at a time.
    Delay,
    /// Half messages that are committed or rolled back.
    Transaction,
    /// Any of these, where the broker allows it (`enableMixedMessageType`). No place for half messages: a proxy in CLUSTER mode
    /// never asks about them.
    Mixed,
}

impl TopicKind {
    /// The broker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Fifo => "FIFO",
            Self::Delay => "DELAY",
            Self::Transaction => "TRANSACTION",
            Self::Mixed => "MIXED",
        }
    }

    /// By the protocol's number for its messages.
    pub(crate) fn of_messages(message_type: i32) -> Option<Self> {
        match message_type {
            message_type::NORMAL => Some(Self::Normal),
            message_type::FIFO => Some(Self::Fifo),
            message_type::DELAY => Some(Self::Delay),
            message_type::TRANSACTION => Some(Self::Transaction),
            _ => None,
        }
    }
}

/// One broker and its name server, at their remoting ports, in plaintext. Of several brokers each has topics and groups of its own:
/// make them on every one, and add up what they count.
#[derive(Clone)]
pub struct Admin {
    namesrv: String,
    broker: String,
    limit: Duration,
    credentials: Option<Credentials>,
}

/// Without the secret.
impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admin(namesrv {}, broker {})", self.namesrv, self.broker)
    }
}

impl Admin {
    /// `namesrv` and `broker`: `host:port` of each; `limit`: for connecting, and again for an answer.
    pub fn new(namesrv: &str, broker: &str, limit: Duration) -> Self {
        Self { namesrv: namesrv.to_owned(), broker: broker.to_owned(), limit, credentials: None }
    }

    /// Signs every request with this key and its secret.
    pub fn with_credentials(mut self, access_key: &str, secret_key: &str) -> Result<Self, Error> {
        self.credentials = Some(Credentials::new(access_key, secret_key)?);
        Ok(self)
    }

    /// Makes a topic of so many queues, or replaces all settings of one that is there. Never give it fewer queues than it has: what
    /// lies in the others is not read any more.
    pub async fn create_topic(&self, topic: &str, kind: TopicKind, queues: u32) -> Result<(), Error> {
        legal_name("a topic", topic)?;
        let queues = queues.to_string();
        let fields = json!({
            "topic": topic, "defaultTopic": "TBW102", "readQueueNums": queues, "writeQueueNums": queues, "perm": "6",
            "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
            "attributes": format!("+message.type={}", kind.as_str()), "force": "false",
        });
        self.call(&self.broker, UPDATE_TOPIC, fields, &[]).await.map(drop)
    }

    /// Makes a consumer group, or replaces all its settings; `orderly` for ordered topics. After `deliveries_max` deliveries a message goes to
    /// the group's dead letters.
    pub async fn create_group(&self, group: &str, deliveries_max: u32, orderly: bool) -> Result<(), Error> {
        legal_name("a group", group)?;
        if deliveries_max == 0 {
            return Err(Error::Illegal("deliveries_max is at least 1".to_owned()));
        }
        let body = json!({
            "groupName": group, "consumeEnable": true, "consumeFromMinEnable": true, "consumeBroadcastEnable": false,
            "consumeMessageOrderly": orderly, "retryQueueNums": 1, "retryMaxTimes": deliveries_max - 1, "brokerId": 0,
            "whichBrokerWhenConsumeSlowly": 1, "notifyConsumerIdsChangedEnable": true, "groupSysFlag": 0, "consumeTimeoutMinute": 15,
        });
        self.call(&self.broker, UPDATE_GROUP, json!({}), body.to_string().as_bytes()).await.map(drop)
    }

    /// Where a topic lies, as the name server says it; `None`: it knows no such topic (yet).
    pub async fn route(&self, topic: &str) -> Result<Option<Value>, Error> {
        const NO_SUCH_TOPIC: i64 = 17;
        match self.call(&self.namesrv, GET_ROUTE, json!({ "topic": topic }), &[]).await {
            Ok(body) => read(&body).map(Some),
            Err(Error::Refused { code: NO_SUCH_TOPIC, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many messages were ever put into a topic.
    pub async fn messages_put(&self, topic: &str) -> Result<u64, Error> {
        let body = self.call(&self.broker, TOPIC_STATS, json!({ "topic": topic }), &[]).await?;
        Ok(numbers_after(&body, "maxOffset").into_iter().sum())
    }

    /// How many messages of a topic a group has not acknowledged yet, as the broker counts them: what is on its way counts too, what
    /// waits to come again does not. Zero of a topic that the group never received.
    pub async fn lag(&self, group: &str, topic: &str) -> Result<u64, Error> {
        let fields = json!({ "consumerGroup": group, "topic": topic });
        let body = self.call(&self.broker, CONSUME_STATS, fields, &[]).await?;
        let (put, taken) = (numbers_after(&body, "brokerOffset"), numbers_after(&body, "consumerOffset"));
        Ok(put.iter().sum::<u64>().saturating_sub(taken.iter().sum()))
    }

    /// The clients that the broker would ask about half messages of this producer group; over gRPC the group is the topic.
    pub async fn producers(&self, group: &str) -> Result<Value, Error> {
        read(&self.call(&self.broker, PRODUCERS, json!({ "producerGroup": group }), &[]).await?)
    }

    async fn call(&self, address: &str, code: u32, fields: Value, body: &[u8]) -> Result<Vec<u8>, Error> {
        let Value::Object(fields) = fields else { return Err(Error::Illegal("fields have names".to_owned())) };
        let asked = Asked { code, fields, body };
        let asked = match &self.credentials {
            None => asked,
            Some(credentials) => asked.signed(credentials),
        };
        call(address, asked, self.limit).await
    }

    /// Changes settings of the running broker. It registers with its name servers at once, whatever was changed.
    pub async fn configure_broker(&self, settings: &BTreeMap<String, String>) -> Result<(), Error> {
        let lines: String = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        self.call(&self.broker, UPDATE_BROKER_CONFIG, json!({}), lines.as_bytes()).await.map(drop)
    }
}

fn read(body: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(body).map_err(|e| Error::unknown(format!("an answer that is no JSON: {e}")))
}

/// The numbers behind a name. Tables of offsets have objects as keys, which is no JSON that a library reads.
fn numbers_after(body: &[u8], name: &str) -> Vec<u64> {
    let text = String::from_utf8_lossy(body);
    let sign = format!("\"{name}\":");
    let number = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    text.split(sign.as_str()).skip(1).filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_from_a_table_that_is_no_json() {
        let body = br#"{"offsetTable":{{"brokerName":"a","queueId":0,"topic":"t"}:{"maxOffset":12,"minOffset":0},{"queueId":1}:{"maxOffset":30}}}"#;
        assert_eq!(numbers_after(body, "maxOffset"), [12, 30]);
        assert!(numbers_after(b"{}", "maxOffset").is_empty());
        assert!(numbers_after(br#"{"maxOffset":-1}"#, "maxOffset").is_empty(), "what is no count is none");
    }

    #[tokio::test]
    async fn who_is_not_there_was_sent_nothing_and_who_does_not_answer_may_have_done_it() {
        let admin = |at: &str| Admin::new(at, at, Duration::from_millis(200));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it has one").to_string();
        assert!(matches!(admin(&address).route("t").await, Err(Error::Unknown { .. })), "it takes the connection and says nothing");
        drop(listener);
        assert!(matches!(admin(&address).route("t").await, Err(Error::NotSent(_))));
        assert!(matches!(admin(&address).create_topic("a b", TopicKind::Normal, 4).await, Err(Error::Illegal(_))));
    }
}
