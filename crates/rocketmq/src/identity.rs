//! Who a client is, as every request says it: its id, its language, the date, and the signature over the date.

use crate::Error;
use crate::access::Credentials;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

type Value = MetadataValue<Ascii>;

/// The version of the protocol's documents that this client was written by.
pub const VERSION: &str = "5.1.0";
const EPOCH_OF_MESSAGE_IDS: u64 = 1_609_459_200; // 2021-01-01, UTC

pub struct Identity {
    pub client_id: String,
    fixed: MetadataMap,
    credentials: Option<Credentials>,
    requests: AtomicU64,
    /// Date and signature of this second.
    stamp: Mutex<(u64, Value, Option<Value>)>,
}

impl Identity {
    pub fn new(role: &str, credentials: Option<Credentials>) -> Result<Self, Error> {
        static CLIENTS: AtomicU32 = AtomicU32::new(0);
        let client_id = format!("{role}@{}@{}@{:x}", std::process::id(), CLIENTS.fetch_add(1, Ordering::Relaxed), seed());
        let mut fixed = MetadataMap::with_capacity(8);
        let id = Value::try_from(client_id.as_str()).map_err(|e| Error::Illegal(format!("client id {client_id:?}: {e}")))?;
        fixed.insert("x-mq-client-id", id);
        fixed.insert("x-mq-language", Value::from_static("RUST"));
        fixed.insert("x-mq-client-version", Value::from_static(VERSION));
        fixed.insert("x-mq-protocol", Value::from_static("v2"));
        let stamp = Mutex::new((u64::MAX, Value::from_static(""), None));
        Ok(Self { client_id, fixed, credentials, requests: AtomicU64::new(0), stamp })
    }

    /// What a request's metadata say.
    pub fn metadata(&self) -> MetadataMap {
        let mut metadata = self.fixed.clone();
        metadata.insert("x-mq-request-id", Value::from(self.requests.fetch_add(1, Ordering::Relaxed)));
        let second = since_1970().as_secs();
        let mut stamp = self.stamp.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if stamp.0 != second {
            let date = date_time(second);
            let signature = self.credentials.as_ref().and_then(|credentials| Value::try_from(sign(credentials, &date)).ok());
            *stamp = (second, Value::try_from(date).unwrap_or_else(|_| Value::from_static("")), signature);
        }
        metadata.insert("x-mq-date-time", stamp.1.clone());
        if let Some(signature) = &stamp.2 {
            metadata.insert("authorization", signature.clone());
        }
        metadata
    }
}

fn sign(credentials: &Credentials, date: &str) -> String {
    let signature: String = credentials.mac([date.as_bytes()]).iter().map(|byte| format!("{byte:02X}")).collect();
    format!("MQv2-HMAC-SHA1 Credential={}, SignedHeaders=x-mq-date-time, Signature={signature}", credentials.access_key)
}

/// A number that other processes do not have.
fn seed() -> u64 {
    static SEED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *SEED.get_or_init(|| std::collections::hash_map::RandomState::new().build_hasher().finish())
}

/// The machine's clock, which servers compare with theirs.
#[expect(clippy::disallowed_methods, reason = "a request and a message say when they were made; nobody decides by it here")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

fn since_1970() -> Duration {
    now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A message's id by the protocol's scheme: version 1, six bytes for the machine (random here), two of the process, the seconds
/// since 2021, a count. 34 hexadecimal digits.
pub fn message_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let seconds = since_1970().as_secs().saturating_sub(EPOCH_OF_MESSAGE_IDS) as u32;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("01{:012X}{:04X}{seconds:08X}{count:08X}", seed() & 0xFFFF_FFFF_FFFF, std::process::id() & 0xFFFF)
}

/// yyyyMMdd'T'HHmmss'Z', in UTC. The days by Howard Hinnant's `civil_from_days`.
fn date_time(second: u64) -> String {
    let (days, time) = (second / 86_400, second % 86_400);
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", time / 3_600, time % 3_600 / 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // date -u -d @SECONDS +%Y%m%dT%H%M%SZ
        for (second, date) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_798_761_599, "20261231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(date_time(second), date);
        }
    }

    #[test]
    fn the_signature_is_that_of_the_date() {
        let credentials = Credentials::new("ak", "sk").expect("legal");
        // printf 20240229T235959Z | openssl dgst -sha1 -hmac sk
        let signed = sign(&credentials, "20240229T235959Z");
        assert_eq!(
            signed,
            "MQv2-HMAC-SHA1 Credential=ak, SignedHeaders=x-mq-date-time, Signature=E6A39564E2458410231C5155D536FF3966D71043"
        );
    }

    #[test]
    fn ids_are_34_digits_and_no_two_are_the_same() {
        let ids: HashSet<String> = (0..1_000).map(|_| message_id()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.len() == 34 && id.starts_with("01") && id.bytes().all(|b| b.is_ascii_hexdigit())));
        let one = Identity::new("producer", None).expect("legal");
        let two = Identity::new("producer", None).expect("legal");
        assert_ne!(one.client_id, two.client_id);
    }

    #[test]
    fn a_request_says_who_when_and_is_signed_if_there_are_credentials() {
        let credentials = Credentials::new("ak", "sk").expect("legal");
        let identity = Identity::new("producer", Some(credentials)).expect("legal");
        let (first, second) = (identity.metadata(), identity.metadata());
        assert_eq!(first.get("x-mq-client-id").expect("set"), identity.client_id.as_str());
        assert_ne!(first.get("x-mq-request-id"), second.get("x-mq-request-id"));
        assert!(first.get("x-mq-date-time").expect("set").to_str().expect("ASCII").ends_with('Z'));
        assert!(first.get("authorization").expect("signed").to_str().expect("ASCII").starts_with("MQv2-HMAC-SHA1 Credential=ak,"));
        assert!(Identity::new("producer", None).expect("legal").metadata().get("authorization").is_none());
    }
}
