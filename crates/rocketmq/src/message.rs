//! Messages: what is sent, checked before anything goes out, and what comes back.

use crate::Error;
use crate::identity::{message_id, now};
use crate::wire::{self, Resource, SystemProperties, digest, encoding, message_type};
use bytes::Bytes;
use std::collections::HashMap;
use std::io::Read as _;
use std::time::{Duration, SystemTime};

const NAME_MAX: usize = 127;
const GROUP_MAX: usize = 63;
const PROPERTIES_MAX: usize = 128;
const PROPERTIES_BYTES_MAX: usize = 16 << 10;
/// What a compressed body may grow to.
const INFLATED_MAX: u64 = 64 << 20;

/// A message to send.
///
/// ```
/// use rocketmq::Message;
/// let message = Message::new("orders", "body").with_tag("paid").with_key("order-1").with_property("shop", "7");
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    pub(crate) topic: String,
    pub(crate) body: Bytes,
    tag: Option<String>,
    keys: Vec<String>,
    properties: HashMap<String, String>,
    pub(crate) group: Option<String>,
    deliver_at: Option<SystemTime>,
}

impl Message {
    /// A message for a topic. The body has 1 byte to 4 MiB, or what the server says; it is looked at when it is sent.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let (topic, body) = (topic.into(), body.into());
        Self { topic, body, tag: None, keys: Vec::new(), properties: HashMap::new(), group: None, deliver_at: None }
    }

    /// What subscriptions may filter by: no space, no `|`.
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// One more key by which operators can find it: no space.
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// A property of the sender's: at most 128, 16 KiB in all.
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// In the order of this message group, at most 63 bytes: for topics of the kind FIFO. Who consumes them is an ordered group.
    pub fn in_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Delivered not before this time, by the broker's clock: for topics of the kind DELAY. A proxy takes a day ahead at most unless
    /// it is configured otherwise; a time that is over is at once.
    pub fn deliver_at(mut self, at: SystemTime) -> Self {
        self.deliver_at = Some(at);
        self
    }

    /// As it goes over the wire, if it is legal.
    pub(crate) fn to_wire(&self, body_max: usize) -> Result<wire::Message, Error> {
        let message_type = match (&self.group, self.deliver_at) {
            (None, None) => message_type::NORMAL,
            (Some(_), None) => message_type::FIFO,
            (None, Some(_)) => message_type::DELAY,
            (Some(_), Some(_)) => return illegal("a message has a group or a delivery time, not both"),
        };
        self.wire(body_max, message_type, None)
    }

    /// As it goes over the wire as a half message, if it is legal.
    pub(crate) fn to_half(&self, body_max: usize, recovery: Option<Duration>) -> Result<wire::Message, Error> {
        if self.group.is_some() || self.deliver_at.is_some() {
            return illegal("a half message has neither a group nor a delivery time");
        }
        self.wire(body_max, message_type::TRANSACTION, recovery)
    }

    fn wire(&self, body_max: usize, message_type: i32, recovery: Option<Duration>) -> Result<wire::Message, Error> {
        self.check(body_max)?;
        let properties = SystemProperties {
            tag: self.tag.clone(),
            keys: self.keys.clone(),
            message_id: message_id(),
            body_encoding: encoding::IDENTITY,
            message_type,
            born_timestamp: Some(wire::timestamp(now())),
            delivery_timestamp: self.deliver_at.map(wire::timestamp),
            message_group: self.group.clone(),
            orphaned_transaction_recovery_duration: recovery.map(wire::duration),
            ..SystemProperties::default()
        };
        Ok(wire::Message {
            topic: Some(Resource::named(&self.topic)),
            user_properties: self.properties.clone(),
            system_properties: Some(properties),
            body: self.body.clone(),
        })
    }

    fn check(&self, body_max: usize) -> Result<(), Error> {
        legal_name("a topic", &self.topic)?;
        if self.body.is_empty() {
            return illegal("a message's body is empty");
        }
        if self.body.len() > body_max {
            return illegal(format!("a body of {} bytes; the server takes {body_max}", self.body.len()));
        }
        let is_word = |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if self.tag.as_ref().is_some_and(|tag| !is_word(tag) || tag.contains('|')) {
            return illegal(format!("the tag {:?}; a tag is not empty and has no space and no |", self.tag.as_deref().unwrap_or_default()));
        }
        if let Some(key) = self.keys.iter().find(|key| !is_word(key)) {
            return illegal(format!("the key {key:?}; a key is not empty and has no space: spaces stand between keys"));
        }
        if let Some(group) = self.group.as_ref().filter(|group| !is_word(group) || group.len() > GROUP_MAX) {
            return illegal(format!("the message group {group:?}; one has 1 to {GROUP_MAX} bytes and no space"));
        }
        let is_value = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
        if let Some((name, _)) = self.properties.iter().find(|(name, value)| !is_word(name) || !is_value(value)) {
            return illegal(format!("the property {name:?}; name and value are not blank and have no control characters"));
        }
        let bytes: usize = self.properties.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        if self.properties.len() > PROPERTIES_MAX || bytes > PROPERTIES_BYTES_MAX {
            let count = self.properties.len();
            return illegal(format!("{count} properties, {bytes} bytes; there may be {PROPERTIES_MAX} and {PROPERTIES_BYTES_MAX}"));
        }
        Ok(())
    }
}

fn illegal<T>(what: impl Into<String>) -> Result<T, Error> {
    Err(Error::Illegal(what.into()))
}

/// Whether a topic or a group can have this name.
pub fn legal_name(what: &str, name: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '%' | '|');
    match name {
        "" => illegal(format!("{what}'s name is empty")),
        _ if name.len() > NAME_MAX => illegal(format!("{name:?} is longer than {NAME_MAX} letters")),
        _ if !name.chars().all(fits) => illegal(format!("{name:?} has a letter that is none of a-z A-Z 0-9 _ - % |")),
        _ => Ok(()),
    }
}

/// A message as a server gave it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Received {
    /// Its topic.
    pub topic: String,
    /// The id that its sender gave it.
    pub message_id: String,
    /// What it says.
    pub body: Bytes,
    /// Its tag.
    pub tag: Option<String>,
    /// Its keys.
    pub keys: Vec<String>,
    /// The sender's properties, and what the broker adds.
    pub properties: HashMap<String, String>,
    /// Its message group, if it has one.
    pub group: Option<String>,
    /// When it was made, by the sender's clock.
    pub born_at: Option<SystemTime>,
    /// The queue that it lies in.
    pub queue_id: i32,
    /// Its place in the queue; the same message twice in a topic has two.
    pub queue_offset: Option<i64>,
}

impl Received {
    /// What the server sent, or why it cannot be what was sent to the server.
    pub(crate) fn of_wire(message: wire::Message) -> Result<Self, String> {
        let properties = message.system_properties.unwrap_or_default();
        let topic = message.topic.map(|topic| topic.name).unwrap_or_default();
        if let Some(digest) = properties.body_digest.as_ref().filter(|digest| digest.r#type == digest::CRC32) {
            let found = format!("{:X}", crc32fast::hash(&message.body));
            if !digest.checksum.trim_start_matches('0').eq_ignore_ascii_case(found.trim_start_matches('0')) {
                return Err(format!("its checksum is {found} and not {}", digest.checksum));
            }
        }
        let body = if properties.body_encoding == encoding::GZIP { inflate(&message.body)? } else { message.body };
        Ok(Self {
            topic,
            message_id: properties.message_id,
            body,
            tag: properties.tag,
            keys: properties.keys,
            properties: message.user_properties,
            group: properties.message_group,
            born_at: properties.born_timestamp.and_then(|at| at.try_into().ok()),
            queue_id: properties.queue_id,
            queue_offset: properties.queue_offset,
        })
    }
}

/// Other clients compress bodies, by gzip or zlib.
fn inflate(body: &Bytes) -> Result<Bytes, String> {
    let mut inflated = Vec::new();
    let read = if body.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(&body[..]).take(INFLATED_MAX + 1).read_to_end(&mut inflated)
    } else {
        flate2::read::ZlibDecoder::new(&body[..]).take(INFLATED_MAX + 1).read_to_end(&mut inflated)
    };
    match read {
        Ok(_) if inflated.len() as u64 <= INFLATED_MAX => Ok(inflated.into()),
        Ok(_) => Err(format!("it is compressed and larger than {INFLATED_MAX} bytes")),
        Err(e) => Err(format!("it is compressed, and {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const MAX: usize = 1_000;

    fn whole() -> Message {
        Message::new("t", "body").with_tag("a").with_key("k1").with_key("k2").with_property("shop", "7")
    }

    #[test]
    fn a_message_goes_out_as_it_was_made_and_its_kind_follows_from_what_it_has() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let kind = |message: Message| message.to_wire(MAX).expect("legal").system_properties.expect("set").message_type;
        assert_eq!(kind(whole()), message_type::NORMAL);
        assert_eq!(kind(whole().in_group("g")), message_type::FIFO);
        assert_eq!(kind(whole().deliver_at(at)), message_type::DELAY);
        let wire = whole().to_half(MAX, Some(Duration::from_secs(10))).expect("legal");
        let properties = wire.system_properties.clone().expect("set");
        assert_eq!(properties.message_type, message_type::TRANSACTION);
        assert_eq!(properties.orphaned_transaction_recovery_duration, Some(wire::duration(Duration::from_secs(10))));
        assert_eq!((properties.tag.as_deref(), properties.keys.join(" ")), (Some("a"), "k1 k2".to_owned()));
        let back = Received::of_wire(wire).expect("whole");
        assert_eq!((back.topic.as_str(), &back.body[..], back.properties["shop"].as_str()), ("t", &b"body"[..], "7"));
    }

    #[test]
    fn what_is_not_legal_is_not_sent() {
        let many = |n: usize| (0..n).fold(whole(), |message, n| message.with_property(format!("p{n}"), "x"));
        for message in [
            Message::new("", "body"),
            Message::new("a b", "body"),
            Message::new("x".repeat(128), "body"),
            Message::new("t", ""),
            Message::new("t", vec![0; MAX + 1]),
            whole().with_tag(""),
            whole().with_tag("a|b"),
            whole().with_tag("a b"),
            whole().with_key(""),
            whole().with_key("a b"),
            whole().with_key("a\u{1}b"),
            whole().in_group(" "),
            whole().in_group("g".repeat(64)),
            whole().with_property("a b", "x"),
            whole().with_property("a", " "),
            whole().with_property("a", "x\u{2}"),
            whole().with_property("a", "x".repeat(PROPERTIES_BYTES_MAX)),
            many(PROPERTIES_MAX),
            whole().in_group("g").deliver_at(now()),
        ] {
            assert!(matches!(message.to_wire(MAX), Err(Error::Illegal(_))), "{message:?}");
        }
        for message in [whole().in_group("g"), whole().deliver_at(now())] {
            assert!(matches!(message.to_half(MAX, None), Err(Error::Illegal(_))));
        }
        for message in [many(PROPERTIES_MAX - 1), Message::new("t", vec![0; MAX]), whole().in_group("g".repeat(63))] {
            assert!(message.to_wire(MAX).is_ok());
        }
    }

    fn stored(body: impl Into<Bytes>, body_encoding: i32, checksum: Option<&str>) -> wire::Message {
        let body_digest = checksum.map(|checksum| wire::Digest { r#type: digest::CRC32, checksum: checksum.to_owned() });
        let properties = SystemProperties { body_encoding, body_digest, ..SystemProperties::default() };
        wire::Message { body: body.into(), system_properties: Some(properties), ..wire::Message::default() }
    }

    #[test]
    fn a_body_that_changed_on_its_way_is_noticed() {
        // The CRC-32 of "123456789" is CBF43926.
        assert!(Received::of_wire(stored("123456789", 1, Some("CBF43926"))).is_ok());
        assert!(Received::of_wire(stored("123456788", 1, Some("CBF43926"))).expect_err("changed").contains("CBF43926"));
        assert!(Received::of_wire(stored("123456788", 1, None)).is_ok());
        assert!(Received::of_wire(wire::Message::default()).is_ok(), "unknown enumerations and missing parts are borne");
    }

    #[test]
    fn compressed_bodies_of_other_clients_are_read_and_bombs_are_not() {
        let level = flate2::Compression::fast();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
        gzip.write_all(b"hello").expect("in memory");
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
        zlib.write_all(b"hello").expect("in memory");
        for body in [gzip.finish().expect("in memory"), zlib.finish().expect("in memory")] {
            assert_eq!(&Received::of_wire(stored(body, encoding::GZIP, None)).expect("whole").body[..], b"hello");
        }
        assert!(Received::of_wire(stored("no gzip", encoding::GZIP, None)).is_err());
        let mut bomb = flate2::write::ZlibEncoder::new(Vec::new(), level);
        std::io::copy(&mut std::io::repeat(0).take(INFLATED_MAX + 1), &mut bomb).expect("in memory");
        assert!(Received::of_wire(stored(bomb.finish().expect("in memory"), encoding::GZIP, None)).is_err());
    }

    #[test]
    fn names_are_looked_at_before_anything_is_sent() {
        for name in ["", "a b", "ü", "a/b", &"x".repeat(NAME_MAX + 1)] {
            assert!(matches!(legal_name("a topic", name), Err(Error::Illegal(_))), "{name:?}");
        }
        for name in ["order_tx", "%DLQ%group", "a-b|c", &"x".repeat(NAME_MAX)] {
            assert_eq!(legal_name("a topic", name), Ok(()));
        }
    }
}
