//! A server in a directory that removes itself, asked over HTTP as buyers and operators do. Knows no case.

use crate::end::wait_within;
use crate::server::{Process, hotcake};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for anything.
pub const LIMIT: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    pub fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or("")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Asserts status and code.
    #[track_caller]
    pub fn is(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{:?}", self.body);
        self
    }
}

/// A server that may be stopped and started again.
pub struct Server {
    process: Option<Process>,
    directory: tempfile::TempDir,
    pub url: String,
    pub admin_url: String,
    pub key: String,
    secret: String,
    pub webhook_secret: String,
    agent: ureq::Agent,
    log: PathBuf,
    configuration: String,
    demo: bool,
}

/// Signs buyers' tokens where there is no demo.
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// What a server that is no demo is started with. The operator's key is "reader"; this is its SHA-256.
const KEYS: &str = "[[auth.operators]]\nname = \"op\"\nscopes = [\"read\", \"operate\", \"stock\"]\nkey_sha256 = \"3d0941964aa3ebdcb00ccef58b1bb399f9f898465e9886d5aec7f31090a0fb30\"\n";

impl Server {
    /// A demo with the defaults.
    pub fn start() -> Self {
        Self::with("")
    }

    /// A demo with a configuration file.
    pub fn with(configuration: &str) -> Self {
        Self::of(configuration, true)
    }

    /// A server with keys of its own.
    pub fn without_demo() -> Self {
        Self::of(&format!("[auth]\nbuyer_secret = \"{SECRET}\"\n{KEYS}"), false)
    }

    fn of(configuration: &str, demo: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let agent = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build().new_agent();
        let none = String::new;
        let log = directory.path().join("log");
        let mut server = Self {
            process: None,
            directory,
            url: none(),
            admin_url: none(),
            key: none(),
            secret: none(),
            webhook_secret: none(),
            agent,
            log,
            configuration: configuration.to_owned(),
            demo,
        };
        server.up();
        server
    }

    /// Starts it (again) in its directory.
    pub fn up(&mut self) {
        std::fs::write(self.path().join("hotcake.toml"), &self.configuration).expect("written");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("a log");
        let process = Process::up("127.0.0.1:0", |command| {
            command.args(self.demo.then_some("--demo")).current_dir(self.directory.path()).stderr(log)
        });
        let text = |name: &str| process.said(name).to_owned();
        (self.url, self.admin_url) = (text("url"), text("admin_url"));
        if !self.demo {
            (self.key, self.secret, self.process) = ("reader".to_owned(), SECRET.to_owned(), Some(process));
            return;
        }
        self.key = text("operator_key");
        self.process = Some(process);
        let keys = std::fs::read(self.path().join("data/development-keys.json")).expect("keys");
        let keys: Value = serde_json::from_slice(&keys).expect("JSON");
        self.secret = keys["buyer_secret"].as_str().expect("a secret").to_owned();
        self.webhook_secret = keys["webhook_secret"].as_str().expect("a secret").to_owned();
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    /// Waits until it has ended; its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let ended = self.process.take().expect("it runs").ended(LIMIT);
        ended.unwrap_or_else(|| panic!("the server does not end; the log: {}", self.log()))
    }

    /// A verb of the command line, in the server's directory: exit code, stdout, stderr.
    pub fn verb(&self, arguments: &[&str]) -> (i32, String, String) {
        let done = hotcake().args(arguments).current_dir(self.path()).output();
        let done = done.expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code().unwrap_or(-1), text(&done.stdout), text(&done.stderr))
    }

    /// A token with these claims.
    pub fn signed(&self, claims: &Value) -> String {
        let key = jsonwebtoken::EncodingKey::from_secret(self.secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256), claims, &key).expect("a token")
    }

    /// A buyer's token.
    pub fn token(&self, buyer: &str) -> String {
        self.signed(&json!({ "sub": buyer, "aud": "hotcake", "exp": jsonwebtoken::get_current_timestamp() + 3_600 }))
    }

    /// Any request.
    pub fn ask(&self, method: &str, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let mut request = axum::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = match body {
            Some(body) => self.agent.run(request.body(body.to_owned()).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        }
        .unwrap_or_else(|e| panic!("{method} {url}: {e}; the log: {}", self.log()));
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned())).collect();
        let text = answer.body_mut().read_to_string().expect("a body");
        Answer { status: answer.status().as_u16(), headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    /// A buyer's request.
    pub fn buyer(&self, buyer: &str, method: &str, path: &str, more: &[(&str, &str)], body: Option<&str>) -> Answer {
        let authorization = format!("Bearer {}", self.token(buyer));
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(more);
        self.ask(method, &format!("{}{path}", self.url), &headers, body)
    }

    /// A purchase that waits for its row.
    pub fn buy(&self, sale: &str, buyer: &str, key: &str, quantity: u32) -> Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", key), ("prefer", "wait=10")];
        self.buyer(buyer, "POST", &format!("/v1/sales/{sale}/orders"), &headers, Some(&format!("{{\"quantity\":{quantity}}}")))
    }

    /// An operator's request.
    pub fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let authorization = format!("Bearer {}", self.key);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        self.ask(method, &format!("{}{path}", self.admin_url), &headers, body.map(Value::to_string).as_deref())
    }

    /// Makes a sale and opens it.
    pub fn sale(&self, id: &str, units: i64, limit: u32) {
        let terms = json!({ "id": id, "title": id, "sku": id, "unit_price": 990, "currency": "CNY", "units": units, "limit_per_buyer": limit,
            "opens_at": "2020-01-01T00:00:00Z", "closes_at": "2099-01-01T00:00:00Z" });
        assert_eq!(self.admin("POST", "/v1/admin/sales", Some(&terms)).status, 201);
        assert_eq!(self.admin("POST", &format!("/v1/admin/sales/{id}/open"), None).status, 200);
    }

    /// The figures of one sale after an audit that finds nothing broken.
    #[track_caller]
    pub fn audited(&self, sale: &str) -> Value {
        let report = self.admin("GET", "/v1/admin/audit", None);
        assert_eq!((report.status, &report.body["breaches"]), (200, &json!([])), "{:?}", report.body);
        let laws = report.body["laws"].as_array().expect("laws");
        assert!(laws.iter().all(|law| law["verdict"] != "breached") && laws.len() == 11, "{laws:?}");
        report.body["sales"].as_array().expect("sales").iter().find(|figures| figures["sale"] == sale).expect("the sale").clone()
    }

    /// Waits until a condition holds.
    #[track_caller]
    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        wait_within(LIMIT, look).unwrap_or_else(|| panic!("not within {LIMIT:?}: {what}; the log: {}", self.log()))
    }

    /// A connection to the buyers' (or operators') listener.
    pub fn connect(url: &str) -> TcpStream {
        let stream = TcpStream::connect(url.strip_prefix("http://").expect("a URL")).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream
    }

    /// Sends bytes and reads until the server closes or `enough` of the answer is there.
    pub fn raw(&self, bytes: &[u8], enough: impl Fn(&str) -> bool) -> String {
        let mut stream = Self::connect(&self.url);
        // The server may answer and close before everything was sent.
        let _ = stream.write_all(bytes);
        read_until(&mut stream, enough)
    }
}

/// Reads until the other side closes or it is enough.
pub fn read_until(stream: &mut TcpStream, enough: impl Fn(&str) -> bool) -> String {
    let mut got = Vec::new();
    let mut part = [0; 4_096];
    loop {
        match stream.read(&mut part) {
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("within {LIMIT:?} the server neither says enough nor closes; it said {:?}", String::from_utf8_lossy(&got))
            }
            Ok(0) | Err(_) => break,
            Ok(n) => got.extend_from_slice(&part[..n]),
        }
        if enough(&String::from_utf8_lossy(&got)) {
            break;
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}
