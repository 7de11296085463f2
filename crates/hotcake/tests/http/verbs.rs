//! The verbs of the command line: how they find a server, what they read without one, how they end.

use crate::demo::Server;
use adapters::embedded::{EmbeddedQueue, QueueSettings};
use adapters::sqlite::SqliteLedger;
use sale::ports::{Half, Ledger as _, Queue as _, SaleChange};
use sale::words::{Batch, BatchId, SaleId};
use serde_json::{Value, json};
use std::future::Future;

/// What a test does to stores that no process has open.
fn by_hand<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

#[test]
fn a_killed_servers_directory_is_audited_as_a_start_would_find_it() {
    let mut server = Server::start();
    let id = server.buy("demo", "alice", "k", 2).is(201, "confirmed").text("id").to_owned();
    server.signal("KILL");
    assert_eq!(server.ended(), None);
    // Its note is still there, and nobody answers.
    assert!(server.path().join("data/server.json").exists());
    let (code, _, error) = server.verb(&["sale", "list"]);
    assert_eq!(code, 4, "{error}");
    assert!(error.contains("does not answer"), "{error}");
    let (code, out, error) = server.verb(&["audit", "--json"]);
    assert_eq!(code, 0, "{error}");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&report["breaches"], &report["sales"][0]["gate_left"], &report["sales"][0]["holds"]), (&json!([]), &json!(98), &json!(1)));
    server.up();
    assert_eq!(server.buy("demo", "alice", "k", 2).is(201, "confirmed").text("id"), id);
    server.audited("demo");
}

#[test]
fn the_verbs_find_the_server_by_its_directory() {
    let server = Server::start();
    let well = |arguments: &[&str]| {
        let (code, out, error) = server.verb(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{error}");
        out
    };
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&well(arguments)).expect("JSON") };
    let made = json(&["sale", "create", "--id", "cli", "--units", "5", "--price", "100", "--limit", "2", "--open", "--json"]);
    assert_eq!((&made["id"], &made["status"], &made["left"]), (&json!("cli"), &json!("open"), &json!(5)));
    assert!(well(&["sale", "list"]).contains("cli"));
    assert_eq!(json(&["sale", "restock", "cli", "3", "--reason", "more", "--movement", "m", "--json"])["units"], 3);
    assert_eq!(json(&["sale", "withdraw", "cli", "2", "--reason", "less", "--json"])["units"], -2);
    let (code, _, error) = server.verb(&["sale", "withdraw", "cli", "50", "--reason", "all"]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("not_enough_stock") && error.contains("[left: 6]"), "{error}");
    let token = well(&["token", "--buyer", "dora"]);
    let authorization = format!("Bearer {}", token.trim());
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json"), ("prefer", "wait=10")];
    let bought =
        server.ask("POST", &format!("{}/v1/sales/cli/orders", server.url), &headers, Some("{\"quantity\":2}")).is(201, "confirmed");
    let id = bought.text("id");
    assert_eq!(json(&["order", "list", "--sale", "cli", "--json"])["items"][0]["id"], id);
    let shown = well(&["order", "show", id]);
    assert!(shown.contains("dora") && shown.contains("asked") && shown.contains("confirmed"), "{shown}");
    assert_eq!(server.verb(&["order", "refund", id]).0, 1);
    assert_eq!(json(&["sale", "pause", "cli", "--json"])["status"], "paused");
    assert_eq!(json(&["sale", "open", "cli", "--json"])["status"], "open");
    assert_eq!(json(&["rebuild", "cli", "--json"])["status"], "open");
    assert_eq!(json(&["reconcile", "cli", "--json"])["clean"], true);
    assert_eq!(json(&["audit", "--json"])["breaches"], json!([]));
    assert_eq!(json(&["sale", "close", "cli", "--json"])["status"], "ended");
    assert!(well(&["doctor"]).contains("held by the server"));
    assert!(well(&["completions", "bash"]).contains("hotcake"));
    assert_eq!(json(&["openapi"])["openapi"], "3.1.0");
    server.audited("cli");
}

#[test]
fn the_exit_code_says_what_kind_of_no_it_is() {
    let server = Server::start();
    let check = |arguments: &[&str], code: i32, says: &str| {
        let (found, out, error) = server.verb(arguments);
        assert_eq!(found, code, "{arguments:?}: {out}{error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    };
    std::fs::write(server.path().join("bad.toml"), "[gate]\nurl = \"redis://h\"\n").expect("written");
    check(&["sale", "show", "nowhere"], 1, "not_found");
    check(&["sale", "show", "NOT AN ID"], 2, "a sale's id");
    check(&["sale", "list", "--url", "http://127.0.0.1:1", "--key", "k"], 4, "does not answer");
    check(&["sale", "list", "--url", &server.admin_url, "--key", "wrong"], 1, "unauthorized");
    check(&["sale", "list", "--data-dir", "elsewhere"], 4, "no server is known here");
    check(&["audit", "--data-dir", "elsewhere"], 4, "is not there");
    check(&["doctor", "--data-dir", "bad.toml/below"], 4, "would make a promise false");
    check(&["migrate"], 1, "");
    check(&["up", "--data-dir", "new"], 2, "auth.buyer_secret is not set");
    check(&["up", "--demo", "--data-dir", "new", "--listen", "0.0.0.0:0"], 2, "loopback only");
    check(&["up", "--demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], 1, "data");
    check(&["frobnicate"], 2, "");
    check(&["--config", "bad.toml", "config", "check"], 2, "bad.toml:2 (gate.url)");
    check(&["--config", "none.toml", "config", "check"], 2, "cannot be read");
    check(&["config", "init"], 1, "is there already");
    server.audited("demo");
}

#[test]
fn the_doctor_says_what_is_not_there_yet_and_which_sales_are_stopped() {
    let mut server = Server::start();
    let (code, out, error) = server.verb(&["doctor", "--data-dir", "not/there/yet"]);
    assert_eq!(code, 0, "{out}{error}");
    assert!(out.contains("not/there/yet is not there yet; the first `hotcake up` makes it"), "{out}");
    assert!(!server.path().join("not").exists(), "it looks and changes nothing");
    let (code, out, _) = server.verb(&["doctor"]);
    assert!(code == 0 && out.contains("none is stopped"), "{out}");
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    by_hand(async {
        let ledger = SqliteLedger::open(&server.path().join("data/ledger.db")).expect("nobody else has it");
        let stop = SaleChange::Stop("L1: a test found it broken".to_owned());
        ledger.change_sale("demo".parse().expect("an id"), &stop).await.expect("the ledger answers").expect("the sale is there");
    });
    let names_it = |server: &Server| {
        let (code, out, error) = server.verb(&["doctor"]);
        assert_eq!(code, 3, "{out}{error}");
        assert!(out.contains("demo is stopped (L1: a test found it broken)") && out.contains("hotcake sale open demo"), "{out}");
    };
    names_it(&server);
    server.up();
    names_it(&server);
}

/// Leaves a half message behind, as a server does that is killed between its preparation and the gate's answer.
fn leave_half(server: &Server, number: u64, spoil: impl Fn(&mut Vec<u8>)) {
    let (ledger, queue) = (server.path().join("data/ledger.db"), server.path().join("data/queue.db"));
    let sale: SaleId = "demo".parse().expect("an id");
    by_hand(async {
        let ledger = SqliteLedger::open(&ledger).expect("nobody else has it");
        let epoch = ledger.sale(sale).await.expect("the ledger answers").expect("the sale is there").epoch;
        let id = BatchId { node: 7, number };
        let asks = vec![sale::contract::ask(sale, "bob", 1)];
        let mut body = sale::message::encode(&Batch { id, sale, epoch, limit_per_buyer: 2, asks });
        spoil(&mut body);
        let queue = EmbeddedQueue::open(&queue, QueueSettings::default()).expect("nobody else has it");
        queue.prepare(Half { batch: id, tag: "goods".into(), body }).await.expect("the queue answers");
    });
}

#[test]
fn an_audit_without_a_server_decides_what_a_crash_left_undecided_and_says_what_it_cannot() {
    let mut server = Server::start();
    server.buy("demo", "alice", "k", 1).is(201, "confirmed");
    server.signal("KILL");
    assert_eq!(server.ended(), None);
    leave_half(&server, 1, |_| {});
    let (code, out, error) = server.verb(&["audit"]);
    assert_eq!(code, 0, "{error}");
    for law in ["L5", "L6", "L7", "L10"] {
        assert!(out.contains(&format!("✓ {law}")), "{out}");
    }
    // A message of a later version: nobody here can read it.
    leave_half(&server, 2, |body| body[2] += 1);
    let (code, out, error) = server.verb(&["audit"]);
    assert_eq!(code, 1, "{out}{error}");
    assert!(out.contains("– L6") && out.contains("✓ L1"), "{out}");
    assert!(error.contains("1 half message") && error.contains("hotcake up"), "{error}");
}
