//! A running server, as an operator's verbs see it: how it is found, how it is asked, what its refusals mean for the exit
//! code. Knows HTTP; knows no verb.

use super::configuration;
use crate::cli::Server;
use crate::exit::Exit;
use crate::keys::{DevelopmentKeys, Running};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer: closing a sale drains it first, an audit reads every row.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Largest answer that is read.
const ANSWER_MAX: u64 = 1 << 30;

/// One server, asked as one operator.
pub struct Remote {
    agent: ureq::Agent,
    url: String,
    key: String,
    /// Where the address came from, for the sentence when nobody answers.
    from: String,
}

impl Remote {
    /// The flags; else HOTCAKE_URL and HOTCAKE_KEY; else the notes in the data directory.
    pub fn find(file: Option<&Path>, server: &Server) -> Result<Self, Exit> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let given_url =
            server.url.clone().map(|url| (url, "--url".to_owned())).or_else(|| Some((variable("HOTCAKE_URL")?, "HOTCAKE_URL".to_owned())));
        let given_key = server.key.clone().or_else(|| variable("HOTCAKE_KEY"));
        if let (Some((url, from)), Some(key)) = (&given_url, &given_key) {
            return Ok(Self::new(url, key, from.clone()));
        }
        let directory = configuration(file, server.data_dir.as_deref())?.config.data.dir;
        let note = directory.join("server.json");
        let (url, from) = match given_url {
            Some(given) => given,
            None => match Running::read(&directory).map_err(Exit::failed)? {
                Some(running) => (running.admin_url, note.display().to_string()),
                None => {
                    return Err(Exit::unreachable(format!(
                        "no server is known here: there is no {}. Start one with `hotcake up --demo`, name its data directory with --data-dir, or its operators' address with --url.",
                        note.display()
                    )));
                }
            },
        };
        let key = match given_key {
            Some(key) => key,
            None => DevelopmentKeys::read(&directory).map_err(Exit::failed)?.map(|keys| keys.operator_key).ok_or_else(|| {
                Exit::usage(format!("no API key is known: {} holds no demo keys. Give one with --key or HOTCAKE_KEY.", directory.display()))
            })?,
        };
        Ok(Self::new(&url, &key, from))
    }

    fn new(url: &str, key: &str, from: String) -> Self {
        // A status is an answer, not an error: its body says what and why.
        let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).proxy(None).build().new_agent();
        Self { agent, url: url.trim_end_matches('/').to_owned(), key: key.to_owned(), from }
    }

    /// GET.
    pub fn get(&self, path: &str) -> Result<Value, Exit> {
        let request = self.agent.get(format!("{}{path}", self.url)).header("authorization", format!("Bearer {}", self.key));
        self.answer(request.call())
    }

    /// POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Exit> {
        self.send(path, "application/json", body.to_string().into_bytes())
    }

    /// POST of anything.
    pub fn send(&self, path: &str, kind: &str, body: Vec<u8>) -> Result<Value, Exit> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("authorization", format!("Bearer {}", self.key));
        self.answer(request.header("content-type", kind).send(body))
    }

    fn answer(&self, asked: Result<axum::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, Exit> {
        let silent = |e: &dyn std::fmt::Display| {
            Exit::unreachable(format!(
                "{} (from {}) does not answer: {e}. Is the server running? `hotcake up` starts one; --url names another.",
                self.url, self.from
            ))
        };
        let mut answer = asked.map_err(|e| silent(&e))?;
        let status = answer.status();
        let text = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string().map_err(|e| silent(&e))?;
        let body: Value = serde_json::from_str(&text)
            .map_err(|e| Exit::failed(format!("{} answered {status}, but not in JSON ({e}). Is it the operators' address?", self.url)))?;
        if status.is_success() {
            return Ok(body);
        }
        Err(refusal(status.as_u16(), &body))
    }
}

/// What a problem means to somebody at a terminal.
fn refusal(status: u16, body: &Value) -> Exit {
    let word = body["code"].as_str().unwrap_or("unknown");
    let mut sentence = format!("{word}: {}", body["detail"].as_str().unwrap_or("the server gave no reason"));
    for (name, value) in body.as_object().into_iter().flatten() {
        if !["type", "title", "status", "code", "detail", "request_id", "errors"].contains(&name.as_str()) {
            sentence.push_str(&format!(" [{name}: {}]", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
    }
    for place in body["errors"].as_array().into_iter().flatten() {
        let text = |name: &str| place[name].as_str().unwrap_or_default().to_owned();
        sentence.push_str(&format!("\n  {}: {} ({})", text("pointer"), text("detail"), text("code")));
    }
    match status {
        400 => Exit::usage(sentence),
        502..=504 => Exit::unreachable(sentence),
        _ => Exit::failed(sentence),
    }
}
