//! The configuration: its keys and their defaults. What contradicts itself is `config/check.rs`, reading files and the
//! environment is `config/load.rs`; nothing here knows where a value came from.
//!
//! Each key is explained in `hotcake.toml` at the root of the repository, which is kept equal to these defaults by a test.

pub mod check;
pub mod load;

use sale::purchase::Settings;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The default configuration as a text, every key explained.
pub const DEFAULT_TEXT: &str = include_str!("../../../hotcake.toml");

/// Everything that can be configured.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the embedded stores live.
    pub data: Data,
    /// Listeners and their limits.
    pub http: Http,
    /// Which gate.
    pub gate: Gate,
    /// Which queue.
    pub queue: Queue,
    /// Which ledger.
    pub ledger: Ledger,
    /// The protocol's times and limits.
    pub protocol: Settings,
    /// Who is who.
    pub auth: Auth,
    /// What is logged.
    pub log: Log,
}

/// Where the embedded stores live.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// The directory.
    pub dir: PathBuf,
}

/// Listeners and their limits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// The buyers' API.
    pub listen: SocketAddr,
    /// The operators' API.
    pub admin_listen: SocketAddr,
    /// How answers are wrapped.
    pub envelope: Envelope,
    /// Threads that serve; 0 = half of the cores.
    pub workers: usize,
    /// Most connections at once.
    pub connections_max: usize,
    /// Most event streams at once.
    pub streams_max: usize,
    /// Most bytes of a request's head.
    pub head_max: usize,
    /// Most bytes of a command.
    pub body_max: usize,
    /// Most bytes of what an operator sends to the audit.
    pub told_max: usize,
    /// Longest time from a connection's opening, or its last answer, to the end of the next head.
    pub head_timeout_ms: u64,
    /// Longest time for a body to arrive.
    pub body_timeout_ms: u64,
    /// How long readiness is false before the listeners close.
    pub notice_ms: u64,
    /// Longest time for everything on its way to finish at a stop.
    pub stop_ms: u64,
}

/// How answers are wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// As they are.
    None,
    /// `{success, code, message, data}`.
    Result,
}

/// Which gate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// `memory:`
    pub url: String,
}

/// Which queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// `embedded:`
    pub url: String,
    /// Where the batches go.
    pub topic: String,
    /// Who receives them.
    pub group: String,
    /// Age of an undecided half message at its first check-back.
    pub check_back_ms: u64,
    /// How long a delivery waits for its acknowledgement before it is repeated.
    pub invisible_ms: u64,
}

/// Which ledger.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// `sqlite:`
    pub url: String,
}

/// Who is who. A `…_file` names a file that holds the secret beside it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    pub buyer_algorithms: Vec<String>,
    pub buyer_audience: String,
    pub buyer_leeway_s: u64,
    pub buyer_secret: String,
    pub buyer_secret_file: String,
    pub webhook_secret: String,
    pub webhook_secret_file: String,
    pub ticket_secret: String,
    pub ticket_secret_file: String,
    pub ticket_number: u8,
    pub ticket_secret_old: String,
    pub ticket_secret_old_file: String,
    pub ticket_number_old: u8,
    pub operators: Vec<Operator>,
}

/// An operator's API key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Stands as the actor in the books.
    pub name: String,
    /// Sixty-four hex digits.
    pub key_sha256: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// What an operator may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look at sales, orders, movements, audits.
    Read,
    /// Make and run sales, refund orders.
    Operate,
    /// Restock and withdraw.
    Stock,
}

impl Scope {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Stock => "stock",
        }
    }
}

/// What is logged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or directives such as `info,hotcake=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Default for Data {
    fn default() -> Self {
        Self { dir: "data".into() }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            envelope: Envelope::None,
            workers: 0,
            connections_max: 10_000,
            streams_max: 1_000,
            head_max: 131_072,
            body_max: 16_384,
            told_max: 268_435_456,
            head_timeout_ms: 15_000,
            body_timeout_ms: 5_000,
            notice_ms: 200,
            stop_ms: 10_000,
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self { url: "memory:".into() }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            url: "embedded:".into(),
            topic: "hotcake-orders".into(),
            group: "hotcake-recorder".into(),
            check_back_ms: Settings::default().check_after_ms,
            invisible_ms: 30_000,
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self { url: "sqlite:".into() }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            buyer_algorithms: vec!["HS256".into()],
            buyer_audience: "hotcake".into(),
            buyer_leeway_s: 5,
            buyer_secret: String::new(),
            buyer_secret_file: String::new(),
            webhook_secret: String::new(),
            webhook_secret_file: String::new(),
            ticket_secret: String::new(),
            ticket_secret_file: String::new(),
            ticket_number: 1,
            ticket_secret_old: String::new(),
            ticket_secret_old_file: String::new(),
            ticket_number_old: 0,
            operators: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

/// Milliseconds between two passes of the reconciler.
pub const RECONCILE_EVERY_MS: u64 = 1_000;
/// Milliseconds between two looks at the gate.
pub const WATCH_EVERY_MS: u64 = 300;
/// Milliseconds between two passes that expire orders.
pub const CLOCK_EVERY_MS: u64 = 1_000;

impl Config {
    /// The protocol's settings. When the queue checks back is a key of the queue.
    pub fn settings(&self) -> Settings {
        Settings { check_after_ms: self.queue.check_back_ms, ..self.protocol.clone() }
    }
}
