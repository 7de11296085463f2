//! `hotcake bench`: puts a server under load over TCP, then audits it with what every buyer was told. A load that does not end
//! in an audit measured nothing.

mod child;
mod clock;
mod generator;
mod latency;
mod line;
mod operator;
mod outcomes;
mod report;
mod run;
mod story;
pub mod told;
mod tokens;
mod wire;

use crate::config::load;
use crate::keys::DevelopmentKeys;
use child::Server;
use operator::Operator;
use report::Report;
use run::{End, Moment, Plan, Run};
use sale::words::SaleId;
use serde_json::Value;
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokens::{Signer, Tokens};

/// Most purchases in one load: their stories are kept in memory for the audit.
const PURCHASES_MAX: i64 = 20_000_000;
/// Tokens are valid for a day.
const TOKEN_VALID_S: u64 = 86_400;
/// Exit codes as the API's page says them.
const BREACH: u8 = 3;
const UNREACHABLE: u8 = 4;

/// Load, then the audit.
#[derive(clap::Args, Debug, Clone)]
pub struct BenchArgs {
    /// A running server's public address; without it a child server is started in a directory of its own
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// That server's operators' address
    #[arg(long, requires = "url", value_name = "URL")]
    pub admin_url: Option<String>,
    /// An operator's API key of it [env: HOTCAKE_KEY]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// That server's data directory: in demo mode its keys sign the buyers' tokens
    #[arg(long, requires = "url", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The sale to buy from; without it one is made and opened
    #[arg(long, requires = "url", value_name = "ID")]
    pub sale: Option<String>,
    /// Purchases to ask for
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=PURCHASES_MAX))]
    pub purchases: u32,
    /// Stop asking after so many seconds, however many purchases are left
    #[arg(long, value_name = "S")]
    pub seconds: Option<f64>,
    /// Units of the sale that is made; a tenth of the purchases without it
    #[arg(long, value_name = "N", conflicts_with = "sale")]
    pub units: Option<i64>,
    /// Distinct buyers; as many as purchases without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=PURCHASES_MAX))]
    pub buyers: Option<u32>,
    /// Units that one buyer may have of the sale that is made
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub limit: u32,
    /// Units of each purchase
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub quantity: u32,
    /// Requests due each second (open loop: latency counts from when a request was due); without it the loop is closed
    #[arg(long, value_name = "N/s")]
    pub rate: Option<f64>,
    /// Connections, kept alive; so many requests are on their way at most
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub connections: u32,
    /// Seconds that a purchase waits for its row (Prefer: wait); 0: not at all
    #[arg(long, default_value_t = 3, value_name = "S", value_parser = clap::value_parser!(u32).range(0..=15))]
    pub wait: u32,
    /// Share of the buyers who cancel their confirmed order at once
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub cancel_percent: u8,
    /// Share of the buyers who pay their confirmed order at once
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub pay_percent: u8,
    /// How long the server may be unreachable before the load gives up
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    pub patience: f64,
    /// Names the run: its buyers, keys and draws; without it a new one is drawn and printed
    #[arg(long, value_name = "N")]
    pub seed: Option<u32>,
    /// Write what every buyer was told, one JSON line per purchase, for `audit --told`
    #[arg(long, value_name = "FILE")]
    pub told: Option<PathBuf>,
    /// Write a page with the results
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
    /// Load only, with made-up tokens: for a server that is no Hotcake, to compare with
    #[arg(long, hide = true, requires = "url")]
    pub bare: bool,
}

/// Why a load was not made: the exit code and a sentence.
struct Failed(u8, String);

impl From<String> for Failed {
    fn from(what: String) -> Self {
        Self(1, what)
    }
}

/// Runs the verb.
pub fn run(args: BenchArgs) -> ExitCode {
    match bench(&args) {
        Ok(code) => code,
        Err(Failed(code, what)) => {
            eprintln!("bench: {what}");
            ExitCode::from(code)
        }
    }
}

fn bench(args: &BenchArgs) -> Result<ExitCode, Failed> {
    check(args)?;
    let seed = args.seed.unwrap_or_else(|| clock::unix_ns() as u32 ^ std::process::id());
    // Dropped at the end: the child is killed, then its directory goes.
    let dir = if args.url.is_none() { Some(tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?) } else { None };
    let server = dir.as_ref().map(|dir| Server::start(dir.path())).transpose()?;
    let url = server.as_ref().map(|server| server.ready.url.as_str()).or(args.url.as_deref()).expect("without a URL a server was started");
    let operator = operator_of(args, server.as_ref())?;

    let sale = match (&args.sale, &operator) {
        (Some(sale), _) => sale.clone(),
        (None, Some(operator)) => {
            let sale = format!("load-{seed:08x}");
            operator.sale(
                &sale,
                args.units.unwrap_or(i64::from(args.purchases / 10).max(1)),
                args.limit.max(args.quantity),
                args.quantity,
            )?;
            sale
        }
        (None, None) => "bare".to_owned(),
    };
    let sale: SaleId = sale.parse().map_err(|e| Failed(2, format!("--sale: {e}")))?;
    let signer = signer(args, dir.as_ref().map(|dir| dir.path()))?;
    let tokens = Tokens::sign(&signer, seed, args.buyers.unwrap_or(args.purchases).min(args.purchases));
    let (address, host) = address_of(url)?;
    let plan = plan(args, address, host, sale, seed);
    let sentences = sentences(args, &plan, &tokens, server.is_some());
    sentences.iter().for_each(|sentence| eprintln!("{sentence}"));

    let told = args.told.as_ref().map(|path| File::create(path).map_err(|e| format!("{}: {e}", path.display()))).transpose()?;
    let run = generator::run(&plan, tokens, told, &mut live_line(plan.purchases)).map_err(|e| format!("the load stopped: {e}"))?;
    clear_live_line();
    let report = audited(sentences, run, operator.as_ref());
    print(args, &report)?;
    Ok(exit_code(&report, operator.is_some()))
}

fn check(args: &BenchArgs) -> Result<(), Failed> {
    let positive = |name: &str, value: Option<f64>| match value {
        Some(value) if !(value > 0.0 && value <= 1e9) => Err(Failed(2, format!("--{name} is a number above zero"))),
        _ => Ok(()),
    };
    positive("rate", args.rate)?;
    positive("seconds", args.seconds)?;
    positive("patience", Some(args.patience))?;
    if u32::from(args.cancel_percent) + u32::from(args.pay_percent) > 100 {
        return Err(Failed(2, "--cancel-percent and --pay-percent are shares of the same buyers: 100 together at most".into()));
    }
    if args.url.is_some() && !args.bare && args.admin_url.is_none() {
        return Err(Failed(2, "--url needs --admin-url too: a load ends in an audit, and operators audit".into()));
    }
    Ok(())
}

fn operator_of(args: &BenchArgs, server: Option<&Server>) -> Result<Option<Operator>, Failed> {
    if let Some(server) = server {
        let key = server.ready.operator_key.as_deref().ok_or_else(|| Failed(1, "the child server printed no operator_key".into()))?;
        return Ok(Some(Operator::new(&server.ready.admin_url, key)));
    }
    let Some(admin_url) = &args.admin_url else { return Ok(None) };
    let key = args.key.clone().or_else(|| std::env::var("HOTCAKE_KEY").ok());
    let key = key.ok_or_else(|| Failed(2, "--admin-url needs --key or HOTCAKE_KEY, an operator's API key".into()))?;
    Ok(Some(Operator::new(admin_url, &key)))
}

/// What signs the buyers' tokens: the keys of the server, or any key for a server that does not look.
fn signer(args: &BenchArgs, dir: Option<&Path>) -> Result<Signer, Failed> {
    let expires = u64::try_from(clock::unix_ns() / 1_000_000_000).unwrap_or(0) + TOKEN_VALID_S;
    if args.bare {
        return Ok(Signer { secret: vec![7; 32], audience: "hotcake".into(), expires });
    }
    // The child's directory, the one that was named, or what the configuration says: in this order.
    let keys = match dir.or(args.data_dir.as_deref()) {
        Some(dir) => DevelopmentKeys::read(dir)?,
        None => None,
    };
    let auth = load::load(None, Vec::new()).map_err(|wrong| Failed(2, wrong.to_string()))?.config.auth;
    let secret = keys.map_or(auth.buyer_secret, |keys| keys.buyer_secret);
    if secret.is_empty() {
        let what =
            "no key to sign the buyers' tokens with: name the server's --data-dir (demo), or set auth.buyer_secret as that server has it";
        return Err(Failed(2, what.into()));
    }
    Ok(Signer { secret: secret.into_bytes(), audience: auth.buyer_audience, expires })
}

fn address_of(url: &str) -> Result<(SocketAddr, String), Failed> {
    let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let wrong = |why: String| Failed(2, format!("--url {url}: {why}; it looks like http://127.0.0.1:8080"));
    let address = host.to_socket_addrs().map_err(|e| wrong(e.to_string()))?.next().ok_or_else(|| wrong("it names no address".into()))?;
    Ok((address, host.to_owned()))
}

fn plan(args: &BenchArgs, address: SocketAddr, host: String, sale: SaleId, run: u32) -> Plan {
    Plan {
        address,
        host,
        sale,
        purchases: args.purchases,
        quantity: args.quantity,
        connections: args.connections as usize,
        rate: args.rate,
        seconds: args.seconds.map(Duration::from_secs_f64),
        wait_s: args.wait,
        cancel_percent: args.cancel_percent,
        pay_percent: args.pay_percent,
        patience: Duration::from_secs_f64(args.patience),
        run,
    }
}

/// What will be done and where, before it is done.
fn sentences(args: &BenchArgs, plan: &Plan, tokens: &Tokens, child: bool) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let target =
        if child { "a server of its own (a child process, over TCP)".to_owned() } else { format!("the server at {}", plan.address) };
    let pace = match args.rate {
        Some(rate) => format!("{rate} due each second (open loop, latency counts from when a request was due)"),
        None => "closed loop: each connection asks again when it is answered".to_owned(),
    };
    let wait =
        if plan.wait_s == 0 { "none waits for its row".to_owned() } else { format!("each waits up to {} s for its row", plan.wait_s) };
    vec![
        format!(
            "{} purchases of {} in {} by {} buyers, over {} connections, against {target}.",
            plan.purchases,
            plan.quantity,
            plan.sale,
            tokens.count(),
            plan.connections
        ),
        format!("{pace}; {wait}; token {} bytes; run {} (--seed {}).", tokens.length(), plan.run, plan.run),
        format!("{cores} cores; the generator is one thread of this process and shares them with a server on this machine."),
    ]
}

fn live_line(purchases: u32) -> impl FnMut(Moment) {
    let shown = std::io::stderr().is_terminal();
    let mut before = Moment::default();
    move |now| {
        let passed = now.elapsed.saturating_sub(before.elapsed).as_secs_f64();
        if !shown || passed < 0.2 {
            return;
        }
        let rate = f64::from(now.ended - before.ended) / passed;
        eprint!(
            "\r\x1b[K{:6.1} s  {} of {purchases} asked, {} answered for good ({rate:.0}/s), {} confirmed",
            now.elapsed.as_secs_f64(),
            now.started,
            now.ended,
            now.confirmed
        );
        before = now;
    }
}

fn clear_live_line() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

/// Asks for the audit and puts everything together.
fn audited(plan: Vec<String>, run: Run, operator: Option<&Operator>) -> Report {
    let ended_early = match &run.end {
        End::Done => None,
        End::Unreachable(why) => Some(why.clone()),
    };
    let audit = match operator {
        None => Err("the server is no Hotcake".to_owned()),
        Some(operator) => {
            let mut lines = Vec::new();
            (0..run.stories.count()).for_each(|number| told::write(&run.stories.tale(number), &mut lines));
            // What a crash left behind is repaired within seconds; until then some laws cannot be checked.
            if run.accepted_before_loss.is_some() { operator.audit_at_rest(&lines) } else { operator.audit(&lines) }
        }
    };
    let (laws, breaches, sales, accepted, no_audit) = match audit {
        Ok(audit) => (audit.laws, audit.breaches, audit.sales, audit.accepted, None),
        Err(why) => (Vec::new(), Vec::new(), Value::Null, Value::Null, Some(why)),
    };
    assert!(run.outcomes.sum() >= u64::from(run.started), "every purchase that was asked for ends once, so that the outcomes add up");
    Report {
        plan,
        laws,
        breaches,
        no_audit,
        sales,
        accepted,
        accepted_before_loss: run.accepted_before_loss,
        outcomes: run.outcomes.rows(),
        purchases: run.outcomes.sum(),
        answered: run.answered,
        confirmed: run.confirmed,
        rates: run.steady,
        confirmed_by_tenth: run.confirmed_by_tenth,
        seconds: run.elapsed.as_secs_f64(),
        generator_cpu_us: run.cpu_us,
        ended_early,
    }
}

fn print(args: &BenchArgs, report: &Report) -> Result<(), Failed> {
    if let Some(path) = &args.report {
        write_file(path, &report.page())?;
    }
    let text = if args.json { serde_json::to_string(report).expect("a report is numbers and strings") + "\n" } else { report.text() };
    std::io::stdout().write_all(text.as_bytes()).map_err(|e| Failed(1, format!("stdout: {e}")))
}

fn write_file(path: &Path, text: &str) -> Result<(), Failed> {
    std::fs::write(path, text).map_err(|e| Failed(1, format!("{}: {e}", path.display())))
}

fn exit_code(report: &Report, audited: bool) -> ExitCode {
    let breached = !report.breaches.is_empty() || report.laws.iter().any(|law| law.verdict == "breached");
    if breached {
        return ExitCode::from(BREACH);
    }
    match (&report.ended_early, &report.no_audit) {
        (Some(_), _) => ExitCode::from(UNREACHABLE),
        // A load without its audit measured nothing, unless there is nobody to audit.
        (None, Some(_)) if audited => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
