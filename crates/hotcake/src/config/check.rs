//! What is wrong with a configuration as a set: values that contradict each other, products that are not built yet,
//! secrets that are none. Knows the keys; knows no file.

use super::{Config, RECONCILE_EVERY_MS, WATCH_EVERY_MS};

/// The keys that the domain's own faults name.
const PROTOCOL_KEYS: [&str; 11] = [
    "protocol.hold_age_ms",
    "protocol.stuck_ms",
    "protocol.lease_ms",
    "protocol.fact_ms",
    "protocol.batch_max",
    "protocol.gather_us",
    "protocol.tries_max",
    "protocol.merge_max",
    "protocol.asks_max",
    "protocol.deliveries_max",
    "protocol.page_max",
];

impl Config {
    /// Within this time, whatever a crash left behind is repaired, while all stores answer: the hold grows old, a pass
    /// begins; before that, perhaps a rebuild whose winner died with the lease.
    pub fn repair_ms(&self) -> u64 {
        self.protocol.lease_ms + self.protocol.drain_ms + self.protocol.hold_age_ms + 2 * RECONCILE_EVERY_MS
    }

    /// What is wrong with the values as a set: each a key and a sentence that says what to change.
    pub fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut check = |fits: bool, key: &'static str, what: String| {
            if !fits {
                found.push((key, what));
            }
        };
        let (p, h, q) = (&self.protocol, &self.http, &self.queue);
        // What the domain asks for, in its own words; then what the periods of the loops add to it.
        for (key, invalid) in self.settings().faults() {
            check(false, PROTOCOL_KEYS.iter().find(|known| known.ends_with(key)).copied().unwrap_or("protocol"), invalid.what);
        }
        let stuck_least = p.hold_age_ms + q.check_back_ms + 2 * RECONCILE_EVERY_MS;
        check(
            p.stuck_ms > stuck_least,
            "protocol.stuck_ms",
            format!(
                "stuck_ms ({}) must exceed hold_age_ms + queue.check_back_ms + two passes of the reconciler ({stuck_least}), or a purchase that is still on its way would be closed as lost",
                p.stuck_ms
            ),
        );
        check(
            p.lease_ms <= 600_000,
            "protocol.lease_ms",
            format!("lease_ms ({}) keeps the other nodes waiting: at most 600000", p.lease_ms),
        );
        check(p.drain_ms <= 60_000, "protocol.drain_ms", format!("drain_ms ({}) keeps a sale closed: at most 60000", p.drain_ms));
        check(
            p.fact_ms >= 3 * WATCH_EVERY_MS,
            "protocol.fact_ms",
            format!(
                "fact_ms ({}) must be {} or more: a node looks every {WATCH_EVERY_MS} ms, and sold out would lapse between two looks",
                p.fact_ms,
                3 * WATCH_EVERY_MS
            ),
        );
        check(
            q.check_back_ms >= 100,
            "queue.check_back_ms",
            format!("check_back_ms ({}) below 100 asks about batches that are being decided", q.check_back_ms),
        );
        check(
            q.invisible_ms >= 1_000,
            "queue.invisible_ms",
            format!("invisible_ms ({}) below 1000 repeats messages that are being recorded", q.invisible_ms),
        );
        check(h.connections_max >= 1, "http.connections_max", "connections_max of 0 would serve nobody".into());
        check((1_024..=1_048_576).contains(&h.body_max), "http.body_max", format!("body_max ({}) is from 1024 to 1048576", h.body_max));
        check((8_192..=1_048_576).contains(&h.head_max), "http.head_max", format!("head_max ({}) is from 8192 to 1048576", h.head_max));
        check(
            h.head_timeout_ms >= 100,
            "http.head_timeout_ms",
            format!("head_timeout_ms ({}) below 100 cuts slow phones off", h.head_timeout_ms),
        );
        check(
            h.body_timeout_ms >= 100,
            "http.body_timeout_ms",
            format!("body_timeout_ms ({}) below 100 cuts slow phones off", h.body_timeout_ms),
        );
        check(
            h.stop_ms >= h.notice_ms && h.stop_ms <= 600_000,
            "http.stop_ms",
            format!("stop_ms ({}) is from notice_ms ({}) to 600000", h.stop_ms, h.notice_ms),
        );
        self.products(&mut check);
        self.secrets(&mut check);
        found
    }

    fn products(&self, check: &mut impl FnMut(bool, &'static str, String)) {
        let later =
            |url: &str, only: &str| format!("{:?}: only \"{only}\" so far; redis, rocketmq and mysql are not built yet", redacted(url));
        check(self.gate.url == "memory:", "gate.url", later(&self.gate.url, "memory:"));
        check(self.queue.url == "embedded:", "queue.url", later(&self.queue.url, "embedded:"));
        check(self.ledger.url == "sqlite:", "ledger.url", later(&self.ledger.url, "sqlite:"));
    }

    fn secrets(&self, check: &mut impl FnMut(bool, &'static str, String)) {
        let a = &self.auth;
        check(a.buyer_algorithms == ["HS256"], "auth.buyer_algorithms", "only [\"HS256\"] so far".into());
        check(!a.buyer_audience.is_empty(), "auth.buyer_audience", "a token's aud is required, so it cannot be empty".into());
        check(a.buyer_leeway_s <= 300, "auth.buyer_leeway_s", "at most 300 seconds".into());
        let long = |secret: &str| secret.is_empty() || secret.len() >= 32;
        check(long(&a.buyer_secret), "auth.buyer_secret", "at least 32 bytes; `openssl rand -hex 32` makes one".into());
        check(long(&a.ticket_secret), "auth.ticket_secret", "at least 32 bytes; `openssl rand -hex 32` makes one".into());
        check(long(&a.ticket_secret_old), "auth.ticket_secret_old", "at least 32 bytes".into());
        let numbers = a.ticket_secret_old.is_empty() || a.ticket_number != a.ticket_number_old;
        check(numbers, "auth.ticket_number_old", "two ticket keys need two numbers".into());
        let webhook = a.webhook_secret.is_empty() || crate::http::webhook::secret(&a.webhook_secret).is_some();
        check(webhook, "auth.webhook_secret", "whsec_ and at least 24 bytes in base64 (Standard Webhooks)".into());
        for operator in &a.operators {
            let name = operator.name.parse::<sale::words::BuyerId>().is_ok();
            check(name, "auth.operators", "an operator's name is 1 to 64 bytes without control characters".into());
            let hex = crate::http::auth::digest_from_hex(&operator.key_sha256).is_some();
            check(
                hex,
                "auth.operators",
                format!("key_sha256 of operator {:?} is not 64 hex digits: `printf %s KEY | sha256sum` prints it", operator.name),
            );
            check(
                !operator.scopes.is_empty(),
                "auth.operators",
                format!("operator {:?} has no scopes: read, operate, stock", operator.name),
            );
        }
    }
}

/// A URL without what may be a password in it.
fn redacted(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &url[..scheme], &url[at..]),
        _ => url.to_owned(),
    }
}
