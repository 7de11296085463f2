//! A whole server over stores in memory, in virtual time: bytes go into a connection, and what comes out must be HTTP.

use crate::config::{Config, Operator, Scope};
use crate::http::problem::Code;
use crate::http::{App, Door, admin, auth, public};
use crate::serve;
use crate::tasks::Tasks;
use crate::up::demo_terms;
use adapters::embedded::clock::date;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sale::memory::{MemoryGate, MemoryLedger, MemoryQueue, QueueSettings};
use sale::ports::Clock;
use sale::purchase::{Engine, Stores};
use sale::words::{RunId, Terms};
use sha2::Sha256;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout};

/// Requests to one server, before a fresh one is made and the laws are looked at.
const REQUESTS: usize = 50;
const SECRET: &[u8] = b"a webhook's secret of many bytes";
const OPERATOR: &str = "an operator's key";

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
    /// What this thread's servers have answered, by status and code.
    static HEARD: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// What was answered so far, and how often: a run that hears one kind of answer only has not come far.
#[cfg(test)]
pub fn heard() -> BTreeMap<String, u64> {
    HEARD.take()
}

/// The first byte says by which door and as whom: bit 0 the operators' door, bit 1 a valid buyer's token, bit 2 a valid
/// operator's key, bit 3 a valid signature of the payment gateway. The rest is the request.
pub fn request(bytes: &[u8]) {
    let Some((&how, rest)) = bytes.split_first() else { return };
    SERVER.with_borrow_mut(|slot| {
        let mut server = slot.take().filter(|server| server.asked.len() < REQUESTS).unwrap_or_else(Server::new);
        let request = server.dressed(how, rest);
        let door = if how & 1 == 0 { server.buyers.clone() } else { server.operators.clone() };
        let limits = &server.config.http;
        let heard = server.runtime.block_on(async {
            let (mut client, there) = tokio::io::duplex(1 << 20);
            let connection = serve::over(there, door, limits);
            let request = &request;
            let asking = async move {
                let mut heard = Vec::new();
                client.write_all(request).await.expect("a pipe of a megabyte");
                // Until the server closes, or nothing has come for longer than any limit of it.
                let mut piece = [0; 4096];
                while let Ok(Ok(n @ 1..)) = timeout(Duration::from_secs(2), client.read(&mut piece)).await {
                    heard.extend_from_slice(&piece[..n]);
                }
                heard
            };
            tokio::join!(asking, connection).0
        });
        server.asked.push(request);
        check(&heard, &server.asked);
        if server.asked.len() == REQUESTS {
            let report = server.runtime.block_on(server.engine.audit(None)).expect("stores in memory answer");
            assert!(report.breaches.is_empty(), "{:?}", report.breaches);
            let stopped = server.engine.sales().into_iter().find_map(|view| view.sale.stopped.clone());
            assert_eq!(stopped, None, "nobody's word stops a sale");
        }
        *slot = Some(server);
    });
}

/// A whole head is answered; every answer is one of HTTP/1.1 and whole, none is an internal error, and a problem says which.
/// `asked`: all that this server was asked, since what it answers to the last may depend on the others.
fn check(heard: &[u8], asked: &[Vec<u8>]) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = || format!("{:?} to the last of {:?}", text(heard), asked.iter().map(|request| text(request)).collect::<Vec<_>>());
    let request = asked.last().map_or(&[][..], Vec::as_slice);
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let is_whole = matches!(httparse::Request::new(&mut fields).parse(request), Ok(httparse::Status::Complete(_)));
    assert!(!heard.is_empty() || !is_whole, "no answer: {}", told());
    let mut rest = heard;
    while !rest.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(length)) = head.parse(rest) else { panic!("no head: {}", told()) };
        let status = head.code.expect("a whole head has a status");
        assert!(status != 500 && (200..600).contains(&status), "{}", told());
        let field = |name: &str| head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value);
        let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<usize>().ok();
        // A stream of events, or a connection that was given up: its length is the rest.
        let body = &rest[length..];
        let length_said = field("content-length").and_then(number);
        // The answer to a HEAD says a length and has no body.
        if body.is_empty() || body.starts_with(b"HTTP/1.1 ") {
            assert!(length_said.unwrap_or(0) == 0 || find(request, b"HEAD ").is_some(), "no body: {}", told());
            rest = body;
            continue;
        }
        assert!(length_said.is_none_or(|length| length <= body.len()), "half a body: {}", told());
        let body = &body[..length_said.unwrap_or(body.len())];
        let kind = field("content-type").unwrap_or_default();
        if kind.starts_with(b"application/problem+json") {
            let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_else(|e| panic!("{e}: {}", told()));
            let code = problem["code"].as_str().unwrap_or_default();
            let known = Code::ALL.iter().find(|known| known.as_str() == code).unwrap_or_else(|| panic!("no such code: {}", told()));
            assert_eq!((problem["status"].as_u64(), known.status()), (Some(u64::from(status)), status), "{}", told());
        }
        let body_is = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        let code = body_is["code"].as_str().or_else(|| body_is["accepted"]["told"].is_u64().then_some("audited with tales"));
        HEARD.with_borrow_mut(|heard| *heard.entry(format!("{status} {}", code.unwrap_or_default())).or_default() += 1);
        if field("content-length").is_none() && status != 204 && status != 304 {
            break;
        }
        rest = &rest[length + if status == 304 { 0 } else { body.len() }..];
    }
}

struct Server {
    runtime: Runtime,
    engine: Arc<Engine>,
    config: Config,
    token: String,
    buyers: Door,
    operators: Door,
    asked: Vec<Vec<u8>>,
}

impl Server {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let mut config = Config::default();
        config.auth.buyer_secret = "a buyer's secret of thirty-two bytes or more".to_owned();
        config.auth.webhook_secret = format!("whsec_{}", STANDARD.encode(SECRET));
        let scopes = vec![Scope::Read, Scope::Operate, Scope::Stock];
        config.auth.operators = vec![Operator { name: "op".to_owned(), key_sha256: auth::digest_hex(OPERATOR), scopes }];
        config.http.head_timeout_ms = 500;
        config.http.body_timeout_ms = 500;
        let buyer = "ann".parse().expect("a name");
        let token = auth::sign(&config.auth, &buyer, 86_400);
        let (engine, buyers, operators) = runtime.block_on(async {
            let clock = Arc::new(Virtual(Instant::now())) as Arc<dyn Clock>;
            let stores = Stores {
                gate: Arc::new(MemoryGate::new(RunId(1))),
                queue: MemoryQueue::new(clock.clone(), QueueSettings::default()),
                ledger: MemoryLedger::new(date()),
                clock: clock.clone(),
            };
            let engine = Engine::new(stores, config.settings(), 1, &[(1, SECRET.to_vec())]);
            let tasks = Tasks::new();
            let app = App::new(engine.clone(), clock, tasks.clone(), &config, true, 1);
            tasks.run_engine(&engine);
            engine.start().await.expect("stores in memory answer");
            let terms = Terms { holdback: 1, ..demo_terms("demo".parse().expect("an id"), "Butter hotcake", date().after_ms(-1_000)) };
            engine.create(&terms, 100, "op").await.expect("stores in memory answer").expect("a new sale");
            engine.open(terms.id).await.expect("stores in memory answer");
            app.started.store(true, Ordering::Release);
            (engine, public(app.clone()), admin(app))
        });
        Self { runtime, engine, config, token, buyers, operators, asked: Vec::new() }
    }

    /// The request with what only who knows a secret can say.
    fn dressed(&self, how: u8, request: &[u8]) -> Vec<u8> {
        let mut extra = String::new();
        if how & 2 != 0 {
            extra += &format!("Authorization: Bearer {}\r\n", self.token);
        } else if how & 4 != 0 {
            extra += &format!("Authorization: Bearer {OPERATOR}\r\n");
        }
        if how & 8 != 0
            && let Some(end) = find(request, b"\r\n\r\n")
        {
            let stamp = self.engine.ledger_now().0 / 1_000;
            let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("HMAC takes keys of any length");
            mac.update(format!("m1.{stamp}.").as_bytes());
            mac.update(&request[end + 4..]);
            let signature = STANDARD.encode(mac.finalize().into_bytes());
            extra += &format!("webhook-id: m1\r\nwebhook-timestamp: {stamp}\r\nwebhook-signature: v1,{signature}\r\n");
        }
        let Some(line) = find(request, b"\r\n") else { return request.to_vec() };
        let mut dressed = request[..line + 2].to_vec();
        dressed.extend_from_slice(extra.as_bytes());
        // So that an input need not count its own bytes.
        if let Some(end) = find(request, b"\r\n\r\n")
            && find(request, b"ontent-").is_none()
            && request.len() > end + 4
        {
            dressed
                .extend_from_slice(format!("Content-Type: application/json\r\nContent-Length: {}\r\n", request.len() - end - 4).as_bytes());
        }
        dressed.extend_from_slice(&request[line + 2..]);
        dressed
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The runtime's time, which goes on by itself when everybody waits.
struct Virtual(Instant);

#[async_trait]
impl Clock for Virtual {
    fn elapsed_us(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
    async fn sleep_us(&self, us: u64) {
        tokio::time::sleep(Duration::from_micros(us)).await;
    }
}
