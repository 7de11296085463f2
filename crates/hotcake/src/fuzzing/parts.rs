//! Parsers without a server: message bodies, tickets, buyers' tokens, names, the configuration.

use crate::config::load::{from_parts, shown};
use crate::http::orders::{quickly, strictly};
use crate::http::token::TokenKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sale::message::{Decoded, decode, encode};
use sale::purchase::Tickets;
use sale::words::*;
use sha2::Sha256;
use std::fmt::Debug;
use std::path::Path;
use std::str::FromStr;

const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

/// What is a batch is the same batch when it is written again. The bytes are a message, and the inside of one.
pub fn message(bytes: &[u8]) {
    whole_message(bytes);
    let mut message = b"HC\x01".to_vec();
    message.extend(crc32fast::hash(bytes).to_be_bytes());
    message.extend(bytes);
    assert!(!matches!(decode(&message), Decoded::Later(_)));
    whole_message(&message);
}

fn whole_message(bytes: &[u8]) {
    match decode(bytes) {
        Decoded::Batch(batch) => match decode(&encode(&batch)) {
            Decoded::Batch(again) => assert_eq!(batch, again),
            other => panic!("what was written from {batch:?} reads as {other:?}"),
        },
        Decoded::Later(_) => {}
        Decoded::Poison(why) => assert!(!why.is_empty()),
    }
}

/// What was issued is read as it was, and nothing else is a ticket. The bytes are a quantity, a price, times, and a text.
pub fn ticket(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    names(&text);
    let (sale, buyer): (SaleId, BuyerId) = ("s1".parse().expect("an id"), "ann".parse().expect("a name"));
    let tickets = Tickets::new(&[(1, SECRET.to_vec())]);
    let word = |at: usize| bytes.get(at..at + 4).map_or(0, |four| u32::from_be_bytes(four.try_into().expect("four bytes")));
    let digest = Digest(std::array::from_fn(|i| bytes.get(i).copied().unwrap_or_default()));
    let id = OrderId { sale, digest };
    if let (Ok(quantity), Ok(unit_price)) = (Quantity::new(word(0)), Price::new(i64::from(word(4)))) {
        let currency = "CNY".parse().expect("a currency");
        let asked_at = Time(i64::from(word(12)) << 10);
        let ask = Ask { digest, buyer: buyer.clone(), quantity, unit_price, currency, pay_within_s: word(8), asked_at, late: None };
        let issued = tickets.issue(id, &ask);
        assert_eq!(tickets.read(&issued, id, &buyer), Some(ask));
        let bob = "bob".parse().expect("a name");
        assert_eq!(tickets.read(&issued, id, &bob), None);
    }
    assert_eq!(tickets.read(&text, id, &buyer), None, "{text}");
}

/// A name that is taken is written as it was read.
fn names(text: &str) {
    fn check<T: FromStr<Err = Invalid> + PartialEq + Debug>(text: &str, written: impl Fn(&T) -> String) {
        match text.parse::<T>() {
            Ok(name) => assert_eq!(written(&name).parse::<T>().as_ref(), Ok(&name)),
            Err(invalid) => assert!(!invalid.what.is_empty()),
        }
    }
    check::<SaleId>(text, SaleId::to_string);
    check::<BuyerId>(text, |name| name.as_str().to_owned());
    check::<PurchaseKey>(text, |name| name.as_str().to_owned());
    check::<OrderId>(text, OrderId::to_string);
    check::<PaymentId>(text, |name| name.as_str().to_owned());
    check::<MovementKey>(text, |name| name.as_str().to_owned());
    check::<Currency>(text, Currency::to_string);
}

/// No text is a token; claims that were signed are a token only if they say so. The bytes are both.
pub fn token(bytes: &[u8]) {
    const NOW_S: u64 = 1_800_000_000;
    let key = TokenKey::new(SECRET, "hotcake", 5);
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(key.subject(&text, NOW_S), None, "{text}");
    let signed = |header: &[u8], claims: &[u8]| {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let about = |claims: &[u8]| serde_json::from_slice::<serde_json::Value>(claims).ok();
    if let Some(subject) = key.subject(&signed(br#"{"alg":"HS256","typ":"JWT"}"#, bytes), NOW_S) {
        let Some(claims) = about(bytes) else {
            // A number that no type of ours holds, in a claim that nobody reads: JSON all the same.
            let json = std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
            assert!(json, "claims of {subject} are no JSON: {text}");
            return;
        };
        assert_eq!(claims["sub"], subject.as_str());
        assert!(claims["exp"].as_f64().is_some_and(|exp| exp > (NOW_S - 5) as f64), "{text}");
        assert!(claims["aud"].to_string().contains("hotcake"), "{text}");
    }
    let good = format!(r#"{{"sub":"ann","aud":"hotcake","exp":{}}}"#, NOW_S + 60);
    if key.subject(&signed(bytes, good.as_bytes()), NOW_S).is_some() {
        assert!(about(bytes).is_none_or(|header| header["alg"] == "HS256"), "{text}");
    }
}

/// A command is one object in which nothing is overlooked: what is read quickly is what is read strictly.
pub fn command(bytes: &[u8]) {
    let strict = strictly(bytes);
    if let Some(quantity) = quickly(bytes) {
        assert_eq!(strict.as_ref().ok(), Some(&quantity), "{}", String::from_utf8_lossy(bytes));
    }
    match strict {
        Ok(quantity) => {
            let said: serde_json::Value = serde_json::from_slice(bytes).expect("a command is JSON");
            assert_eq!(said["quantity"].as_u64(), Some(u64::from(quantity)));
            assert_eq!(said.as_object().map(|object| object.len()), Some(1));
        }
        Err(places) => assert!(!places.is_empty() && places.iter().all(|place| !place.detail.is_empty())),
    }
}

/// A text is a configuration without contradictions, or everything that is wrong is said.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.contains("_file") {
        // Names of files of this machine.
        return;
    }
    match from_parts(Some((Path::new("hotcake.toml"), text)), Vec::new(), Vec::new()) {
        Ok(loaded) => {
            assert!(loaded.config.contradictions().is_empty());
            assert!(!shown(&loaded.config).is_empty());
        }
        Err(wrong) => assert!(!wrong.0.is_empty() && wrong.0.iter().all(|line| !line.trim().is_empty())),
    }
}
