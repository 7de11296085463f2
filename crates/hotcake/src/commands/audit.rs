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
use sale::books::Tale;
use sale::purchase::Engine;
use std::path::Path;

/// Runs the verb.
pub fn run(file: Option<&Path>, arguments: Audit) -> Result<(), Exit> {
    let told = match &arguments.told {
        None => None,
        Some(path) => Some(std::fs::read(path).map_err(|e| Exit::usage(format!("{}: cannot be read ({e})", path.display())))?),
    };
    let report = match asked(file, &arguments, told.as_deref())? {
        Some(report) => report,
        None => read(&configuration(file, arguments.server.data_dir.as_deref())?.config, told.as_deref())?,
    };
    if arguments.server.json {
        print(&serde_json::to_string(&report).expect("a report becomes JSON"));
    } else {
        print(&shown(&report));
    }
    match report.breaches.len() {
        0 => Ok(()),
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

/// The stores, read as a start would find them: the gate is rebuilt from the ledger after the queue's messages were recorded.
fn read(config: &Config, told: Option<&[u8]>) -> Result<ReportBody, Exit> {
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
    runtime()?.block_on(async {
        let opened = stores::open(config, &config.data.dir).await.map_err(Exit::failed)?;
        // Nobody is shown a ticket here.
        let tickets = [(0, crate::keys::random_hex::<32>().into_bytes())];
        let engine = Engine::new(opened.stores.clone(), config.protocol.settings(config.queue.check_back_ms), random_u64(), &tickets);
        let tasks = Tasks::new();
        tasks.run_engine(&engine);
        let report = async {
            engine.start().await?;
            engine.audit(tales.as_deref()).await
        };
        let report = report.await;
        tasks.stop().await;
        report.map(|report| ReportBody::from(&report)).map_err(|fault| Exit::failed(format!("the stores do not answer: {}", fault.what)))
    })
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
