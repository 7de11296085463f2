//! `hotcake audit`: every law, checked by a running server, or in the stores themselves when none runs. Exit 3 on a breach.

use super::remote::Remote;
use super::{configuration, print};
use crate::bench::told;
use crate::cli::Audit;
use crate::config::Config;
use crate::exit::Exit;
use crate::http::admin::audit::ReportBody;
use crate::keys::{Running, random_u64};
use crate::stores;
use crate::tasks::Tasks;
use sale::books::{Report, Tale};
use sale::ports::{Backlog, Fault};
use sale::purchase::{Engine, Stores};
use std::collections::BTreeSet;
use std::path::Path;

/// Runs the verb.
pub fn run(file: Option<&Path>, arguments: Audit) -> Result<(), Exit> {
    let told = match &arguments.told {
        None => None,
        Some(path) => Some(std::fs::read(path).map_err(|e| Exit::usage(format!("{}: cannot be read ({e})", path.display())))?),
    };
    let (report, left) = match asked(file, &arguments, told.as_deref())? {
        Some(report) => (report, None),
        None => read(configuration(file, arguments.server.data_dir.as_deref())?.config, told.as_deref())?,
    };
    if arguments.server.json {
        print(&serde_json::to_string(&report).expect("a report becomes JSON"));
    } else {
        print(&shown(&report));
    }
    match report.breaches.len() {
        0 => left.map_or(Ok(()), |left| Err(Exit::failed(left))),
        n => Err(Exit::breach(format!("{n} breach(es) of a law. Nothing was repaired; look at what is named before anything is sold."))),
    }
}

/// The report of a server, if one is named or runs on the data directory.
fn asked(file: Option<&Path>, arguments: &Audit, told: Option<&[u8]>) -> Result<Option<ReportBody>, Exit> {
    let named = arguments.server.url.is_some() || std::env::var_os("HOTCAKE_URL").is_some();
    if !named {
        let directory = configuration(file, arguments.server.data_dir.as_deref())?.config.data.dir;
        if Running::read(&directory).map_err(Exit::failed)?.is_none() {
            return Ok(None);
        }
    }
    let remote = Remote::find(file, &arguments.server)?;
    let answer = match told {
        None => remote.get("/v1/admin/audit"),
        Some(told) => remote.send("/v1/admin/audit", "application/x-ndjson", told.to_vec()),
    };
    let answer = match answer {
        // A server that was killed leaves its note behind; the directory's lock says for certain whether one is there.
        Err(exit) if exit.code == 4 && !named => return Ok(None),
        answer => answer?,
    };
    serde_json::from_value(answer).map(Some).map_err(|e| Exit::failed(format!("the server's report cannot be read: {e}")))
}

/// A runtime for verbs that open the stores themselves.
pub fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Exit::failed(format!("no thread can be started: {e}")))
}

/// How long stores without a server may take to come to rest; nobody buys meanwhile, so what takes longer is stuck.
const REST_US: u64 = 5_000_000;
/// Between two looks whether they have.
const REST_LOOK_US: u64 = 20_000;

/// The stores, read as a start would find them: what a crash left undecided is decided, what was committed is recorded, the
/// gate is rebuilt from the ledger. With the report comes what could not be done in time, if anything.
fn read(mut config: Config, told: Option<&[u8]>) -> Result<(ReportBody, Option<String>), Exit> {
    if !config.data.dir.is_dir() {
        return Err(Exit::unreachable(format!(
            "{} is not there, and no server is named. Give --data-dir, or --url and --key.",
            config.data.dir.display()
        )));
    }
    let tales: Option<Vec<Tale>> = match told {
        None => None,
        Some(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|e| Exit::usage(format!("--told: {e}")))?;
            Some(told::read(text).map_err(|what| Exit::usage(format!("--told: {what}")))?)
        }
    };
    // Whoever made the half messages is dead: nobody else will settle them, so there is nothing to wait for between two checks.
    config.queue.check_back_ms = config.queue.check_back_ms.min(100);
    runtime()?.block_on(async {
        let opened = stores::open(&config, &config.data.dir).await.map_err(Exit::failed)?;
        // Nobody is shown a ticket here.
        let tickets = [(0, crate::keys::random_hex::<32>().into_bytes())];
        let engine = Engine::new(opened.stores.clone(), config.settings(), random_u64(), &tickets);
        let tasks = Tasks::new();
        tasks.run_engine(&engine);
        let report = async {
            engine.start().await?;
            at_rest(&engine, &opened.stores, tales.as_deref()).await
        };
        let report = report.await;
        tasks.stop().await;
        report
            .map(|(report, left)| (ReportBody::from(&report), left))
            .map_err(|fault| Exit::failed(format!("the stores do not answer: {}", fault.what)))
    })
}

/// The audit once everything has come to rest, or when it has not in time, and then what is still on its way.
async fn at_rest(engine: &Engine, stores: &Stores, tales: Option<&[Tale]>) -> Result<(Report, Option<String>), Fault> {
    let end_us = stores.clock.elapsed_us() + REST_US;
    loop {
        let backlog = stores.queue.backlog().await?;
        let late = stores.clock.elapsed_us() >= end_us;
        if late || backlog.halves + backlog.committed == 0 {
            let report = engine.audit(tales).await?;
            let waiting: BTreeSet<_> = report.waiting().collect();
            if waiting.is_empty() || !report.breaches.is_empty() {
                return Ok((report, None));
            }
            if late {
                let why: Vec<_> = waiting.into_iter().collect();
                return Ok((report, Some(still_moving(&why.join(", "), backlog))));
            }
        }
        stores.clock.sleep_us(REST_LOOK_US).await;
    }
}

fn still_moving(why: &str, backlog: Backlog) -> String {
    let Backlog { halves, committed, .. } = backlog;
    format!(
        "not every law could be checked ({why}): {halves} half message(s) await a decision and {committed} message(s) their record. \
         `hotcake up` goes on with them; ask `hotcake audit` again while it runs. What does not go away is of another version, \
         or of a sale that is stopped (`hotcake doctor`)."
    )
}

/// The report for people: ✓, ✗ or – per law, then what is broken, then the figures.
fn shown(report: &ReportBody) -> String {
    let mut out = String::from("AUDIT\n");
    for law in &report.laws {
        let (mark, why) = match law.verdict.as_str() {
            "holds" => ("✓", String::new()),
            "breached" => ("✗", String::new()),
            _ => ("–", format!(" ({})", law.why.as_deref().unwrap_or("not checked"))),
        };
        out.push_str(&format!("  {mark} {:<3} {}{why}\n", law.law, law.says));
    }
    for breach in &report.breaches {
        out.push_str(&format!("  ✗ {}: {}\n", breach.law, breach.what));
    }
    if let Some(accepted) = &report.accepted {
        out.push_str(&format!("accepted, as buyers were told: {}, found: {}\n", accepted.told, accepted.found));
    }
    for sale in &report.sales {
        let gate = match (sale.gate_left, sale.holds) {
            (Some(left), Some(holds)) => format!("gate {left} left, {holds} holds"),
            _ => "no gate".to_owned(),
        };
        let orders: Vec<_> =
            sale.orders.iter().filter(|(_, count)| **count > 0).map(|(status, count)| format!("{count} {status}")).collect();
        let orders = if orders.is_empty() { "no orders".to_owned() } else { orders.join(", ") };
        out.push_str(&format!(
            "{}: allotment {} = {} left + {} live; {gate}, holdback {}; {orders}\n",
            sale.sale, sale.allotment, sale.left, sale.live_units, sale.holdback
        ));
    }
    out
}
