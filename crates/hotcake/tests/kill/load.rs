//! A demo over one data directory, killed and started again, and the load generator against it. Knows no case.

use crate::end::wait_within;
use crate::server::{Process, hotcake};
use serde_json::Value;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Asks again until there is an answer; fails after the limit and says what it waited for.
pub fn wait_for<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    wait_within(limit, look).unwrap_or_else(|| panic!("waited {limit:?} for {what}"))
}

/// After a crash a server is at rest once what was undecided has been checked back and old holds looked after: here sooner than
/// by default, so that the tests need not wait for it.
const SOONER: [(&str, &str); 2] = [("HOTCAKE_QUEUE__CHECK_BACK_MS", "500"), ("HOTCAKE_PROTOCOL__HOLD_AGE_MS", "500")];

/// A demo server over a directory that outlives it.
pub struct Server(pub Process);

impl Server {
    /// Starts on a directory and waits until it is ready. `listen`: port 0 takes a free one.
    pub fn start(dir: &Path, listen: &str) -> Self {
        Self(Process::up(listen, |command| {
            command.args(["--demo", "--data-dir"]).arg(dir).current_dir(dir).env("HOTCAKE_LOG__FILTER", "error").envs(SOONER)
        }))
    }

    fn said(&self, field: &str) -> &str {
        self.0.said(field)
    }

    /// Where buyers come, as `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.said("url").trim_start_matches("http://")
    }

    /// A POST as the operator.
    pub fn operate(&self, path: &str, body: &[u8]) -> Value {
        let agent =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(60))).build().new_agent();
        let address = format!("{}{path}", self.said("admin_url"));
        let key = format!("Bearer {}", self.said("operator_key"));
        let mut answer = agent
            .post(&address)
            .header("authorization", &key)
            .header("content-type", "application/json")
            .send(body)
            .expect("the server answers");
        let mut text = String::new();
        answer.body_mut().as_reader().read_to_string(&mut text).expect("the answer is text");
        assert!(answer.status().is_success(), "{address}: {}: {text}", answer.status());
        serde_json::from_str(&text).expect("the answer is JSON")
    }

    /// Makes a sale and opens it.
    pub fn sale(&self, id: &str, units: u32) {
        let terms = serde_json::json!({ "id": id, "title": "Killed often", "sku": "K-1", "unit_price": 9900, "currency": "CNY", "units": units,
            "limit_per_buyer": 2, "quantity_max": 2, "opens_at": "2020-01-01T00:00:00Z", "closes_at": "2099-01-01T00:00:00Z", "pay_within_s": 3600 });
        self.operate("/v1/admin/sales", terms.to_string().as_bytes());
        self.operate(&format!("/v1/admin/sales/{id}/open"), b"");
    }

    /// The audit with what all buyers were told: waits until the server is at rest, so that every law was checked, and then
    /// every law must hold. Returns the figures of the sales.
    pub fn audit(&self, told: &str) -> Value {
        let report = wait_for("an audit at rest", Duration::from_secs(20), || {
            let report = self.operate("/v1/admin/audit", told.as_bytes());
            let breached = report["breaches"].as_array().is_some_and(|breaches| !breaches.is_empty());
            let laws = report["laws"].as_array().expect("the report has laws");
            assert_eq!(laws.len(), 11, "{report}");
            // Without tales, the laws about them have nothing to look at.
            let about_tales = |law: &Value| told.is_empty() && ["L8", "L9", "L11"].contains(&law["law"].as_str().unwrap_or_default());
            let checked = laws.iter().all(|law| law["verdict"] != "unchecked" || about_tales(law));
            (breached || checked).then_some(report)
        });
        assert_eq!(report["breaches"], serde_json::json!([]), "laws were broken");
        let accepted = &report["accepted"];
        assert!(told.is_empty() || (accepted["told"].is_u64() && accepted["told"] == accepted["found"]), "{accepted}");
        report["sales"].clone()
    }

    /// The load generator against this server; `told` gets what every buyer was told.
    pub fn load(&self, dir: &Path, sale: &str, told: &Path, args: &[&str]) -> Load {
        let mut command = hotcake();
        command.args([
            "bench",
            "--json",
            "--url",
            self.said("url"),
            "--admin-url",
            self.said("admin_url"),
            "--key",
            self.said("operator_key"),
        ]);
        command.args(["--sale", sale, "--connections", "64", "--data-dir"]).arg(dir).arg("--told").arg(told).args(args);
        command.current_dir(dir).stdout(Stdio::piped()).stderr(Stdio::null());
        Load(command.spawn().expect("the generator starts"))
    }
}

/// A load under way. Dropping it kills it.
pub struct Load(Child);

impl Load {
    /// Waits for its end: the exit code, and the JSON that it printed.
    pub fn end(mut self) -> (Option<i32>, Value) {
        let mut text = String::new();
        self.0.stdout.take().expect("stdout is piped").read_to_string(&mut text).expect("stdout is text");
        let status = self.0.wait().expect("it is ours");
        (status.code(), serde_json::from_str(&text).unwrap_or_else(|e| panic!("the generator printed no JSON: {e} in {text:?}")))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Numbers from a seed: one step of splitmix64 each.
pub struct Draws(pub u64);

impl Draws {
    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end
    }
}
