//! Commands as strict JSON: no duplicate keys, no floats, no unknown fields, nothing behind the end. Reads bodies within
//! their limits and says for each fault where it is. Knows no command.

use super::context::Context;
use super::problem::{Code, Place, Problem};
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Reads a body of at most `max` bytes, within the time for bodies.
pub async fn read(context: &Context, headers: &HeaderMap, body: Body, max: usize) -> Result<Bytes, Problem> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > max as u64) {
        return Err(context.problem(Code::BodyTooLarge).close());
    }
    let limit = Duration::from_millis(context.app.body_timeout_ms);
    match within(limit, Limited::new(body, max).collect()).await {
        Some(Ok(body)) => Ok(body.to_bytes()),
        Some(Err(e)) if e.is::<LengthLimitError>() => Err(context.problem(Code::BodyTooLarge).close()),
        Some(Err(_)) => Err(context.invalid("", "torn_body", "the body ended before its length, or its chunks are malformed").close()),
        None => Err(context.problem(Code::RequestTimeout).close()),
    }
}

/// What `work` comes to, if it does within the limit. A body that came with its head is there at the second look, since the
/// first one is what makes the connection read it: the timer is set for the others only.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut looked = false;
    let soon = poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if !std::mem::replace(&mut looked, true) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(None),
    });
    match soon.await {
        Some(done) => Some(done),
        None => tokio::time::timeout(limit, work).await.ok(),
    }
}

/// Whether the content type is JSON; anything else is refused, so that a form of another site cannot send commands.
pub fn require_json(context: &Context, headers: &HeaderMap) -> Result<(), Problem> {
    let fits = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|text| {
        let mut parts = text.split(';').map(str::trim);
        let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
        json && parts.all(|parameter| parameter.eq_ignore_ascii_case("charset=utf-8"))
    });
    if fits { Ok(()) } else { Err(context.invalid("header:content-type", "not_json", "Content-Type: application/json")) }
}

/// A command: one JSON object, as a tree in which nothing was overlooked.
pub async fn command(context: &Context, headers: &HeaderMap, body: Body) -> Result<Object, Problem> {
    require_json(context, headers)?;
    let bytes = read(context, headers, body, context.app.body_max).await?;
    Object::parse(&bytes).map_err(|places| Problem::invalid(context, places))
}

/// What JSON can say, with floats told from integers.
#[derive(Clone, PartialEq, Debug)]
enum Node {
    Null,
    Bool(bool),
    Integer(i128),
    Float,
    Text(String),
    Array,
    Object(Vec<(String, Node)>),
}

/// An object whose fields are taken one by one; what nobody took is unknown, and what went wrong is remembered.
#[derive(Debug)]
pub struct Object {
    fields: Vec<(String, Node)>,
    places: Vec<Place>,
}

impl Object {
    /// Reads a body. The faults, if it is not one JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<Place>> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let mut duplicates = Vec::new();
        let node = Tree { path: String::new(), duplicates: &mut duplicates }.deserialize(&mut deserializer).and_then(|node| {
            deserializer.end()?;
            Ok(node)
        });
        match node {
            Err(e) => Err(vec![Place::new("", "invalid_json", format!("not one JSON object: line {}, column {}", e.line(), e.column()))]),
            Ok(_) if !duplicates.is_empty() => {
                Err(duplicates.into_iter().map(|pointer| Place::new(pointer, "duplicate_key", "each key once")).collect())
            }
            Ok(Node::Object(fields)) => Ok(Self { fields, places: Vec::new() }),
            Ok(_) => Err(vec![Place::new("", "wrong_type", "an object")]),
        }
    }

    fn take(&mut self, name: &str) -> Option<Node> {
        let at = self.fields.iter().position(|(key, _)| key == name)?;
        Some(self.fields.swap_remove(at).1)
    }

    /// Remembers a fault.
    pub fn wrong(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        self.places.push(Place::new(format!("/{name}"), code, detail));
    }

    /// An integer of the range, if the field is there.
    pub fn integer(&mut self, name: &str, low: i64, high: i64) -> Option<i64> {
        let detail = || format!("a whole number from {low} to {high}");
        match self.take(name)? {
            Node::Integer(n) => match i64::try_from(n) {
                Ok(n) if (low..=high).contains(&n) => return Some(n),
                _ => self.wrong(name, "out_of_range", detail()),
            },
            _ => self.wrong(name, "wrong_type", detail()),
        }
        None
    }

    /// A text, if the field is there.
    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Node::Text(text) => return Some(text),
            _ => self.wrong(name, "wrong_type", "a string"),
        }
        None
    }

    /// A text that is a value of its own, if the field is there.
    pub fn parsed<T: std::str::FromStr<Err = sale::words::Invalid>>(&mut self, name: &str) -> Option<T> {
        match self.text(name)?.parse() {
            Ok(value) => Some(value),
            Err(invalid) => {
                self.wrong(name, invalid.code, invalid.what);
                None
            }
        }
    }

    /// `only`, `false`, `null` or nothing; other values are for later versions.
    pub fn not_yet(&mut self, name: &str, only: &str, detail: &str) {
        let fine = match self.take(name) {
            None | Some(Node::Null) => true,
            Some(Node::Text(text)) => text == only,
            Some(Node::Bool(value)) => !value,
            Some(_) => false,
        };
        if !fine {
            self.wrong(name, "not_supported", detail);
        }
    }

    /// What is required and neither there nor faulted already.
    pub fn required<T>(&mut self, name: &str, value: Option<T>) -> Option<T> {
        let pointer = format!("/{name}");
        if value.is_none() && !self.places.iter().any(|place| place.pointer == pointer) {
            self.places.push(Place::new(pointer, "missing", "this field is required"));
        }
        value
    }

    /// All faults, fields that nobody took among them.
    pub fn faults(mut self) -> Vec<Place> {
        for (name, _) in std::mem::take(&mut self.fields) {
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            self.places.push(Place::new(pointer.chars().take(100).collect::<String>(), "unknown_field", "there is no such field"));
        }
        self.places
    }
}

struct Tree<'a> {
    path: String,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Node, E> {
        Ok(Node::Integer(i128::from(n)))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Node, E> {
        Ok(Node::Integer(i128::from(n)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Float)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut index = 0;
        while seq.next_element_seed(Tree { path: format!("{}/{index}", self.path), duplicates: &mut *self.duplicates })?.is_some() {
            index += 1;
        }
        Ok(Node::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        // Commands have a dozen fields; more is somebody trying out our patience.
        const FIELDS_MAX: usize = 64;
        let mut fields: Vec<(String, Node)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if fields.len() == FIELDS_MAX {
                return Err(A::Error::custom("too many fields"));
            }
            let path: String = format!("{}/{name}", self.path).chars().take(100).collect();
            if fields.iter().any(|(known, _)| *known == name) {
                self.duplicates.push(path.clone());
            }
            let node = map.next_value_seed(Tree { path, duplicates: &mut *self.duplicates })?;
            fields.push((name, node));
        }
        Ok(Node::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_object_is_refused_with_its_place() {
        let deep = "[".repeat(10_000);
        let check = |text: &[u8], pointer: &str, code: &str| {
            let places = Object::parse(text).expect_err("refused");
            assert_eq!((places[0].pointer.as_str(), places[0].code), (pointer, code), "{:?}", String::from_utf8_lossy(text));
        };
        check(b"", "", "invalid_json");
        check(b"{\"quantity\":1} x", "", "invalid_json");
        check(b"\xef\xbb\xbf{\"quantity\":1}", "", "invalid_json");
        check(b"{\"quantity\":1,}", "", "invalid_json");
        check(b"{\"x\":\"\xff\"}", "", "invalid_json");
        check(deep.as_bytes(), "", "invalid_json");
        check(b"[]", "", "wrong_type");
        check(b"{\"quantity\":1,\"quantity\":2}", "/quantity", "duplicate_key");
        check(b"{\"a\":[0,{\"b\":1,\"b\":1}]}", "/a/1/b", "duplicate_key");
        let fields = |count: usize| format!("{{{}}}", (0..count).map(|n| format!("\"f{n}\":1")).collect::<Vec<_>>().join(","));
        assert!(Object::parse(fields(64).as_bytes()).is_ok());
        check(fields(65).as_bytes(), "", "invalid_json");
    }

    #[test]
    fn a_field_is_what_it_must_be_or_says_why_not() {
        let check = |text: &str, expect: &[(&str, &str)]| {
            let mut object = Object::parse(text.as_bytes()).expect("an object");
            let quantity = object.integer("quantity", 1, 1_000);
            object.required("quantity", quantity);
            let places = object.faults();
            let found: Vec<_> = places.iter().map(|place| (place.pointer.as_str(), place.code)).collect();
            assert_eq!(found, expect, "{text}");
        };
        check("{\"quantity\":1}", &[]);
        check("{}", &[("/quantity", "missing")]);
        for wrong in ["1.0", "1e2", "\"1\"", "null", "true", "[]", "{}", "18446744073709551616", "-0.0"] {
            check(&format!("{{\"quantity\":{wrong}}}"), &[("/quantity", "wrong_type")]);
        }
        for wrong in ["0", "-1", "1001", "2147483648", "9223372036854775808", "-9223372036854775808"] {
            check(&format!("{{\"quantity\":{wrong}}}"), &[("/quantity", "out_of_range")]);
        }
        check("{\"quantity\":1,\"a/b\":2}", &[("/a~1b", "unknown_field")]);
    }
}
