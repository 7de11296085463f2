//! The operator's side of a load: makes the sale, opens it, asks for the audit. Knows the operators' API over HTTP only.

use super::clock;
use super::report::LawLine;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longest wait for an operator's answer; an audit of a million orders takes its time.
const TIMEOUT: Duration = Duration::from_secs(300);

/// So long a load that lost its server waits for an audit in which every law was checked. `hotcake config check` says how
/// long the repair takes: less than this with the defaults.
const REPAIR_MAX: Duration = Duration::from_secs(30);

/// Speaks to one server as one operator.
pub struct Operator {
    agent: ureq::Agent,
    url: String,
    key: String,
}

/// What the audit said.
pub struct Audit {
    /// Each law's verdict.
    pub laws: Vec<LawLine>,
    /// Each breach in words.
    pub breaches: Vec<String>,
    /// Figures of the sales.
    pub sales: Value,
    /// Purchases shown as accepted, and those of them that are there.
    pub accepted: Value,
}

impl Operator {
    /// `url` is the operators' address.
    pub fn new(url: &str, key: &str) -> Self {
        // A status is an answer, not an error: its body says what and why.
        let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build().new_agent();
        Self { agent, url: url.trim_end_matches('/').to_owned(), key: key.to_owned() }
    }

    /// Makes a sale of `units` and opens it.
    pub fn sale(&self, id: &str, units: i64, limit: u32, quantity: u32) -> Result<(), String> {
        let terms = json!({
            "id": id, "title": "A load test", "sku": "LOAD-1", "unit_price": 9900, "currency": "CNY", "units": units,
            "limit_per_buyer": limit, "quantity_max": quantity, "opens_at": "2020-01-01T00:00:00Z", "closes_at": "2099-01-01T00:00:00Z",
            "pay_within_s": 3600,
        });
        self.post("/v1/admin/sales", terms.to_string().as_bytes(), "application/json")?;
        self.post(&format!("/v1/admin/sales/{id}/open"), b"{}", "application/json")?;
        Ok(())
    }

    /// All laws, against what the buyers were told: lines of JSON as `told.rs` writes them.
    pub fn audit(&self, told: &[u8]) -> Result<Audit, String> {
        let said = self.post("/v1/admin/audit", told, "application/x-ndjson")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let law = |line: &Value| {
            let law = text(&line["law"])?;
            Some(LawLine { law, verdict: text(&line["verdict"])?, why: text(&line["why"]) })
        };
        let laws = said["laws"].as_array().ok_or_else(|| format!("the audit's answer has no laws: {said}"))?;
        let laws = laws
            .iter()
            .map(|line| law(line).ok_or_else(|| format!("the audit's answer has a law without a verdict: {line}")))
            .collect::<Result<_, _>>()?;
        let breach = |breach: &Value| format!("{}: {}", breach["law"].as_str().unwrap_or("?"), breach["what"].as_str().unwrap_or("?"));
        let breaches = said["breaches"].as_array().map(|all| all.iter().map(breach).collect()).unwrap_or_default();
        Ok(Audit { laws, breaches, sales: said["sales"].clone(), accepted: said["accepted"].clone() })
    }

    /// The same, asked for until every law was checked: what a crash left behind is repaired within seconds. At most for half a
    /// minute, then as it is.
    pub fn audit_at_rest(&self, told: &[u8]) -> Result<Audit, String> {
        let until = clock::now() + REPAIR_MAX;
        until_checked(|| self.audit(told), || wait_a_second(until))
    }

    fn post(&self, path: &str, body: &[u8], content_type: &str) -> Result<Value, String> {
        let address = format!("{}{path}", self.url);
        let asked = self
            .agent
            .post(&address)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", content_type)
            .send(body);
        let mut answer = asked.map_err(|e| format!("{address}: {e}; is that the operators' address of a running server?"))?;
        let status = answer.status();
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string().map_err(|e| format!("{address}: {e}"))?;
        if !status.is_success() {
            return Err(format!("{address}: {status}: {text}"));
        }
        serde_json::from_str(&text).map_err(|e| format!("{address}: not JSON: {e}"))
    }
}

/// Asks until every law was checked, or `again` says that it has been long enough.
fn until_checked(mut ask: impl FnMut() -> Result<Audit, String>, mut again: impl FnMut() -> bool) -> Result<Audit, String> {
    loop {
        let audit = ask()?;
        if audit.laws.iter().all(|law| law.verdict != "unchecked") || !audit.breaches.is_empty() || !again() {
            return Ok(audit);
        }
    }
}

/// Waits; whether there is time for more.
fn wait_a_second(until: Instant) -> bool {
    let is_time = clock::now() < until;
    if is_time {
        std::thread::sleep(Duration::from_secs(1));
    }
    is_time
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(verdict: &str, breach: Option<&str>) -> Audit {
        let laws = vec![LawLine { law: "L6".into(), verdict: verdict.into(), why: None }];
        Audit { laws, breaches: breach.map(str::to_owned).into_iter().collect(), sales: Value::Null, accepted: Value::Null }
    }

    #[test]
    fn after_a_loss_the_audit_is_asked_for_until_every_law_was_checked() {
        let asked = |answers: &[(&str, Option<&str>)], patience: usize| {
            let (mut at, mut waits) = (0, 0);
            let ask = || {
                at += 1;
                Ok(audit(answers[at - 1].0, answers[at - 1].1))
            };
            let end = until_checked(ask, || {
                waits += 1;
                waits <= patience
            });
            (end.expect("an audit").laws.remove(0).verdict, at)
        };
        let late = [("unchecked", None), ("unchecked", None), ("holds", None)];
        assert_eq!(asked(&late, 9), ("holds".to_owned(), 3));
        assert_eq!(asked(&late, 1), ("unchecked".to_owned(), 2), "there is an end to it");
        assert_eq!(asked(&[("unchecked", Some("L1"))], 9).1, 1, "a breach is told at once");
        assert_eq!(asked(&[("holds", None)], 9).1, 1);
    }
}
