//! `hotcake up`: opens the stores, starts the engine and the listeners, says where they are, and stops in order. Knows
//! the order of a start and of a stop; knows nothing of what is served.

use crate::cli;
use crate::config::load::{self, Flag, Loaded};
use crate::config::{Config, LogFormat};
use crate::exit::Exit;
use crate::http::{self, App, auth};
use crate::keys::{DevelopmentKeys, Running, random_u64, ticket_keys};
use crate::tasks::Tasks;
use crate::{serve, stores};
use sale::purchase::Engine;
use sale::words::{BuyerId, SaleId, Terms, Time};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use toml::Value;

/// Runs the server until it is told to stop.
pub fn run(file: Option<&Path>, arguments: cli::Up) -> Result<(), Exit> {
    let Loaded { mut config, .. } = load::load(file, flags(&arguments)).map_err(|wrong| Exit::usage(wrong.to_string()))?;
    log(&config).map_err(Exit::usage)?;
    if arguments.demo {
        require_loopback(&config)?;
        config.auth.operators.retain(|operator| operator.name != crate::keys::DEMO_OPERATOR);
    } else {
        require_keys(&config)?;
    }
    // This thread's runtime carries the engine's passes; buyers are served by threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Exit::failed(format!("the server's threads cannot be started: {e}. Allow this user more threads.")))?;
    runtime.block_on(serve_until_told(config, arguments))
}

fn flags(arguments: &cli::Up) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    if let Some(dir) = &arguments.data_dir {
        flags.push(("data", "dir", Value::String(dir.display().to_string()), "--data-dir"));
    }
    if let Some(listen) = arguments.listen {
        flags.push(("http", "listen", Value::String(listen.to_string()), "--listen"));
    }
    if let Some(listen) = arguments.admin_listen {
        flags.push(("http", "admin_listen", Value::String(listen.to_string()), "--admin-listen"));
    }
    flags
}

fn require_loopback(config: &Config) -> Result<(), Exit> {
    for (key, address) in [("http.listen", config.http.listen), ("http.admin_listen", config.http.admin_listen)] {
        if !address.ip().is_loopback() {
            return Err(Exit::usage(format!(
                "{key} is {address}, and a demo's keys are known to everybody on this machine: a demo listens on loopback only (127.0.0.1 or ::1). \
                 Without --demo, with keys of your own, it may listen anywhere."
            )));
        }
    }
    Ok(())
}

fn require_keys(config: &Config) -> Result<(), Exit> {
    let missing = if config.auth.buyer_secret.is_empty() {
        "auth.buyer_secret"
    } else if config.auth.operators.is_empty() {
        "auth.operators"
    } else {
        return Ok(());
    };
    Err(Exit::usage(format!(
        "{missing} is not set, so nobody could come in. Set it (hotcake.toml says how), or start a demo with `hotcake up --demo`."
    )))
}

/// The log: to stderr, one line per event; a text format escapes control characters by itself.
fn log(config: &Config) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log.filter).map_err(|e| format!("log.filter: {e}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => lines.with_ansi(false).fmt_fields(crate::logline::Fields).init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

fn bind(key: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Exit> {
    let listener = TcpListener::bind(address)
        .map_err(|e| Exit::failed(format!("{key}: {address} cannot be listened on ({e}). Name another address.")))?;
    let bound = listener.local_addr().map_err(|e| Exit::failed(format!("{key}: {e}")))?;
    Ok((listener, bound))
}

async fn serve_until_told(mut config: Config, arguments: cli::Up) -> Result<(), Exit> {
    let mut signals = Signals::new()?;
    let opened = stores::open_to_sell(&config, &config.data.dir).await.map_err(Exit::failed)?;
    let directory = opened.directory.path().to_owned();
    let keys = if arguments.demo { Some(DevelopmentKeys::of(&directory).map_err(Exit::failed)?) } else { None };
    if let Some(keys) = &keys {
        keys.fill(&mut config.auth);
        tracing::warn!("demo: development keys are in use; whoever uses this machine can read them");
    }
    let (public, public_at) = bind("http.listen", config.http.listen)?;
    let (admin, admin_at) = bind("http.admin_listen", config.http.admin_listen)?;

    let node = random_u64();
    let tickets = ticket_keys(&config.auth, &directory).map_err(Exit::failed)?;
    let engine = Engine::new(opened.stores.clone(), config.settings(), node, &tickets);
    let tasks = Tasks::new();
    let app = App::new(engine.clone(), opened.stores.clock.clone(), tasks.clone(), &config, arguments.demo, node);
    tasks.run_engine(&engine);
    let threads = match config.http.workers {
        // Half of the cores: the other half carries what they accept to the disk.
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        threads => threads,
    };
    serve::serve(&tasks, threads, vec![(public, http::public(app.clone())), (admin, http::admin(app.clone()))], &config.http)
        .map_err(|e| Exit::failed(format!("the threads that serve cannot be started: {e}. Allow this user more threads.")))?;

    let started = async {
        engine.start().await.map_err(|fault| {
            Exit::failed(format!("the gates cannot be made whole: {}. Look at the stores, then start again.", fault.what))
        })?;
        if arguments.demo { demo_sales(&engine).await } else { Ok(()) }
    };
    tokio::select! {
        done = started => done?,
        () = signals.next() => return Ok(()),
    }
    app.started.store(true, Ordering::Release);
    let running = Running { url: format!("http://{public_at}"), admin_url: format!("http://{admin_at}"), pid: std::process::id() };
    running.write(&directory).map_err(Exit::failed)?;
    say_ready(&arguments, &running, &directory, keys.as_ref(), &config);

    signals.next().await;
    stop(&app, &engine, &tasks, &config, &mut signals).await;
    Running::remove(&directory);
    drop(engine);
    drop(app);
    // The stores write what waits and close; the lock ends last.
    drop(opened);
    Ok(())
}

/// Readiness first, then the listeners, then what is on its way; a second signal ends it at once.
async fn stop(app: &Arc<App>, engine: &Arc<Engine>, tasks: &Tasks, config: &Config, signals: &mut Signals) {
    tracing::info!("stopping: readiness is false from now on");
    app.draining.store(true, Ordering::Release);
    let notice = Duration::from_millis(config.http.notice_ms);
    let limit = Duration::from_millis(config.http.stop_ms).saturating_sub(notice);
    let orderly = async {
        tokio::time::sleep(notice).await;
        tasks.close();
        let finished = tokio::time::timeout(limit, async {
            engine.drain().await;
            tasks.served().await;
        });
        if finished.await.is_err() {
            tracing::warn!(
                stop_ms = config.http.stop_ms,
                asks = engine.asks_in_flight(),
                "not everything finished in time; what is left is decided at the next start"
            );
        }
        // What this waits for ends by itself within a pass.
        let _ = tokio::time::timeout(Duration::from_secs(2), tasks.stop()).await;
    };
    tokio::select! {
        () = orderly => tracing::info!("stopped"),
        () = signals.next() => {
            tracing::warn!("a second signal: stopping at once");
            std::process::exit(1);
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Exit> {
        let wrong = |e: std::io::Error| Exit::failed(format!("signals cannot be listened for: {e}"));
        Ok(Self { terminate: signal(SignalKind::terminate()).map_err(wrong)?, interrupt: signal(SignalKind::interrupt()).map_err(wrong)? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The demo's open sale.
pub const DEMO_SALE: &str = "demo";
const DEMO_SOON: &str = "demo-soon";
const HOUR_MS: i64 = 3_600_000;

/// One sale that is open, one that opens in thirty seconds; those that are there stay as they are.
async fn demo_sales(engine: &Arc<Engine>) -> Result<(), Exit> {
    let wrong = |fault: sale::ports::Fault| Exit::failed(format!("the demo's sales cannot be made: {}", fault.what));
    let now = engine.ledger().now().await.map_err(wrong)?;
    let sales = [(DEMO_SALE, "Butter hotcake", 100, now), (DEMO_SOON, "Honey hotcake", 50, now.after_ms(30_000))];
    for (id, title, units, opens_at) in sales {
        let id: SaleId = id.parse().expect("a demo's id is an id");
        if engine.ledger().sale(id).await.map_err(wrong)?.is_some() {
            continue;
        }
        let made = engine.create(&demo_terms(id, title, opens_at), units, crate::keys::DEMO_OPERATOR).await.map_err(wrong)?;
        if made.is_ok() {
            engine.open(id).await.map_err(wrong)?;
        }
    }
    Ok(())
}

pub(crate) fn demo_terms(id: SaleId, title: &str, opens_at: Time) -> Terms {
    Terms {
        id,
        title: title.to_owned(),
        campaign: "Demo".to_owned(),
        goods_type: "goods".to_owned(),
        sku: format!("{id}-1"),
        unit_price: sale::words::Price::new(990).expect("a price"),
        currency: "CNY".parse().expect("a currency"),
        holdback: 0,
        limit_per_buyer: 2,
        quantity_max: 2,
        opens_at,
        closes_at: opens_at.after_ms(24 * HOUR_MS),
        pay_within_s: 900,
    }
}

fn say_ready(arguments: &cli::Up, running: &Running, directory: &Path, keys: Option<&DevelopmentKeys>, config: &Config) {
    tracing::info!(url = running.url, admin_url = running.admin_url, "ready");
    if arguments.json {
        let mut line = serde_json::json!({ "event": "ready", "url": running.url, "admin_url": running.admin_url, "data_dir": directory, "pid": running.pid });
        if let Some(keys) = keys {
            line["operator_key"] = keys.operator_key.clone().into();
            line["sale"] = DEMO_SALE.into();
        }
        println!("{line}");
    } else if let Some(keys) = keys {
        let buyer: BuyerId = "alice".parse().expect("a name is a buyer's id");
        let token = auth::sign(&config.auth, &buyer, 86_400);
        print!("{}", demo_lines(running, directory, keys, &token));
    } else {
        println!("buyers     {}\noperators  {}", running.url, running.admin_url);
    }
}

/// What to paste into a shell, in this order.
fn demo_lines(running: &Running, directory: &Path, keys: &DevelopmentKeys, token: &str) -> String {
    let Running { url, admin_url, .. } = running;
    let key = &keys.operator_key;
    let program = std::env::args().next().unwrap_or_else(|| "hotcake".to_owned());
    let place = if directory == Config::default().data.dir { String::new() } else { format!(" --data-dir '{}'", directory.display()) };
    format!(
        r#"A demo, with development keys of its own; on this machine only.

  page       {url}/            two sales: {DEMO_SALE} is open, {DEMO_SOON} opens in 30 s
  API        {url}/docs
  operators  {admin_url}/docs

Paste, in this order: buy, show, pay, audit. TOKEN is the buyer alice's, for a day; each key names one purchase.

TOKEN='{token}'
buy() {{ curl -s {url}/v1/sales/{DEMO_SALE}/orders -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H "Idempotency-Key: $1" -H 'Prefer: wait=3' -w '\n' -d '{{"quantity":1}}'; }}
buy first
ORDER={url}/v1/orders/$(buy first | sed 's/.*"id":"\([^"]*\)".*/\1/')
curl -s -w '\n' "$ORDER" -H "Authorization: Bearer $TOKEN"
curl -s -w '\n' -X POST "$ORDER/pay" -H "Authorization: Bearer $TOKEN"

Another one, cancelled:

ORDER={url}/v1/orders/$(buy second | sed 's/.*"id":"\([^"]*\)".*/\1/')
curl -s -w '\n' -X POST "$ORDER/cancel" -H "Authorization: Bearer $TOKEN"

As an operator:

curl -s -w '\n' {admin_url}/v1/admin/audit -H 'Authorization: Bearer {key}'
{program} sale list{place}
{program} audit{place}
{program} token --buyer bob{place}
"#
    )
}
