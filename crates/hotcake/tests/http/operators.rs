//! The operators' side of HTTP: who may do what, movements, a sale's life, the audit, the stop, the metrics.

use crate::demo::{Server, read_until};
use serde_json::{Value, json};
use std::io::Write as _;

fn movement(key: &str, units: i64) -> Value {
    json!({ "key": key, "units": units, "reason": "a test" })
}

#[test]
fn c38_a_restock_is_done_once_per_key_while_the_sale_runs() {
    let server = Server::start();
    server.sale("few", 3, 1);
    for n in 0..3 {
        server.buy("few", &format!("b{n}"), "k", 1).is(201, "confirmed");
    }
    server.buy("few", "late", "k", 1).is(409, "sold_out");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let one = || server.admin("POST", "/v1/admin/sales/few/restock", Some(&movement("again", 2)));
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body), "{answers:?}");
    assert_eq!((answers[0].text("actor"), &answers[0].body["units"]), ("demo-operator", &json!(2)));
    assert_eq!(
        server.admin("POST", "/v1/admin/sales/few/restock", Some(&movement("again", 3))).is(422, "idempotency_mismatch").body["units"],
        2
    );
    server.until("the units sell", || (server.buy("few", "late", "k", 1).status == 201).then_some(()));
    let figures = server.audited("few");
    assert_eq!((&figures["allotment"], &figures["left"], &figures["gate_left"]), (&json!(5), &json!(1), &json!(1)));
}

#[test]
fn c39_a_withdrawal_takes_only_what_nobody_holds() {
    let server = Server::start();
    server.sale("some", 5, 2);
    server.buy("some", "alice", "k", 2).is(201, "confirmed");
    let post = |verb: &str, body: &Value| server.admin("POST", &format!("/v1/admin/sales/some/{verb}"), Some(body));
    let refused = post("withdraw", &movement("w1", 4)).is(409, "not_enough_stock");
    assert_eq!(refused.body["left"], 3);
    assert_eq!(post("withdraw", &movement("w2", 3)).is(200, "").body["units"], -3);
    post("withdraw", &movement("w2", 3)).is(200, "");
    post("withdraw", &movement("w2", 2)).is(422, "idempotency_mismatch");
    server.buy("some", "bob", "k", 1).is(409, "sold_out");
    for wrong in [
        json!(0),
        json!(-1),
        json!(1_000_000_001),
        json!(i64::MAX),
        json!(9_223_372_036_854_775_808_u64),
        json!("1"),
        json!(1.0),
        json!(null),
    ] {
        let body = json!({ "key": "w3", "units": wrong, "reason": "r" });
        for verb in ["withdraw", "restock"] {
            assert_eq!(post(verb, &body).is(400, "invalid_request").body["errors"][0]["pointer"], "/units", "{wrong}");
        }
    }
    post("restock", &json!({ "key": "r1", "units": 1_000_000_000, "reason": "r" })).is(409, "not_enough_stock");
    for wrong in ["-1", "2147483648", "9223372036854775808", "1.0", "\"1\""] {
        let units: Value = serde_json::from_str(wrong).expect("JSON");
        let terms = json!({ "id": "fresh", "title": "t", "sku": "s", "unit_price": 1, "currency": "CNY", "units": units, "opens_at": "2020-01-01T00:00:00Z", "closes_at": "2099-01-01T00:00:00Z" });
        server.admin("POST", "/v1/admin/sales", Some(&terms)).is(400, "invalid_request");
    }
    let figures = server.audited("some");
    assert_eq!((&figures["allotment"], &figures["left"], &figures["gate_left"]), (&json!(2), &json!(0), &json!(0)));
    // The books of the movements, by pages.
    let first = server.admin("GET", "/v1/admin/sales/some/movements?limit=1", None).is(200, "");
    let cursor = first.text("next_cursor").to_owned();
    assert_eq!(first.body["items"][0]["units"], 5);
    let second = server.admin("GET", &format!("/v1/admin/sales/some/movements?limit=1&cursor={cursor}"), None).is(200, "");
    assert_eq!((&second.body["items"][0]["units"], &second.body["next_cursor"]), (&json!(-3), &json!(null)));
    server.admin("GET", "/v1/admin/sales/some/movements?cursor=junk!", None).is(400, "invalid_request");
    server.admin("GET", "/v1/admin/sales/some/movements?limit=0", None).is(400, "invalid_request");
    server.admin("GET", "/v1/admin/sales/nowhere/movements", None).is(404, "not_found");
}

#[test]
fn c48_operators_have_a_door_of_their_own_and_scopes() {
    // The SHA-256 of "reader".
    let reader = "3d0941964aa3ebdcb00ccef58b1bb399f9f898465e9886d5aec7f31090a0fb30";
    let server = Server::with(&format!("[[auth.operators]]\nname = \"reader\"\nkey_sha256 = \"{reader}\"\nscopes = [\"read\"]\n"));
    let before = server.audited("demo");
    let authorization = format!("Bearer {}", server.key);
    for (method, path) in
        [("GET", "/v1/admin/sales"), ("POST", "/v1/admin/sales/demo/restock"), ("GET", "/v1/admin/audit"), ("POST", "/v1/admin/sales")]
    {
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        server.ask(method, &format!("{}{path}", server.url), &headers, (method == "POST").then_some("{}")).is(404, "not_found");
        server.ask(method, &format!("{}{path}", server.admin_url), &[], (method == "POST").then_some("{}")).is(401, "unauthorized");
        let buyer = format!("Bearer {}", server.token("alice"));
        server
            .ask(method, &format!("{}{path}", server.admin_url), &[("authorization", &buyer)], (method == "POST").then_some("{}"))
            .is(401, "unauthorized");
    }
    let read = |method: &str, path: &str, body: Option<&str>| {
        let headers = [("authorization", "Bearer reader"), ("content-type", "application/json")];
        server.ask(method, &format!("{}{path}", server.admin_url), &headers, body)
    };
    read("GET", "/v1/admin/sales", None).is(200, "");
    read("GET", "/v1/admin/audit", None).is(200, "");
    let movement = movement("k", 1).to_string();
    assert_eq!(read("POST", "/v1/admin/sales/demo/restock", Some(&movement)).is(403, "forbidden").text("scope"), "stock");
    assert_eq!(read("POST", "/v1/admin/sales/demo/withdraw", Some(&movement)).is(403, "forbidden").text("scope"), "stock");
    for verb in ["open", "pause", "close", "archive", "rebuild", "reconcile"] {
        assert_eq!(read("POST", &format!("/v1/admin/sales/demo/{verb}"), None).is(403, "forbidden").text("scope"), "operate", "{verb}");
    }
    read("POST", "/v1/admin/orders/demo-00000000000000000000000000000000/refund", None).is(403, "forbidden");
    read("POST", "/v1/admin/orders/demo-00000000000000000000000000000000/refunded", Some("{\"payment_id\":\"p\"}")).is(403, "forbidden");
    read("POST", "/v1/admin/dead-letters/1/replay", None).is(403, "forbidden");
    assert_eq!(server.audited("demo"), before);
}

#[test]
fn c49_another_sites_page_cannot_command() {
    let server = Server::start();
    let before = server.audited("demo");
    let authorization = format!("Bearer {}", server.key);
    let from = |name: &str, value: &str| {
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json"), (name, value)];
        server.ask("POST", &format!("{}/v1/admin/sales/demo/pause", server.admin_url), &headers, Some("{}"))
    };
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", &server.url),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = from(name, value).is(403, "forbidden");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{answer:?}");
    }
    assert_eq!(server.audited("demo"), before);
    from("origin", &server.admin_url).is(200, "");
    for url in [
        format!("{}/", server.url),
        format!("{}/docs", server.url),
        format!("{}/docs", server.admin_url),
        format!("{}/v1/sales", server.url),
    ] {
        let page = server.ask("GET", &url, &[], None);
        assert_eq!(page.status, 200, "{url}");
        assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"), "{url}: {page:?}");
        assert_eq!((page.header("x-content-type-options"), page.header("access-control-allow-origin")), ("nosniff", ""), "{url}");
    }
}

#[test]
fn a_sale_from_its_draft_to_its_archive() {
    let server = Server::start();
    let terms = |units: i64| json!({ "id": "life", "title": "Life", "sku": "s", "unit_price": 1, "currency": "CNY", "units": units, "holdback": 1, "opens_at": "2020-01-01T00:00:00+08:00", "closes_at": "2099-01-01T00:00:00Z" });
    let make = |units| server.admin("POST", "/v1/admin/sales", Some(&terms(units)));
    let made = make(3);
    assert_eq!((made.status, made.text("status"), made.text("opens_at")), (201, "draft", "2019-12-31T16:00:00Z"));
    let again = make(3);
    assert_eq!(
        (again.status, again.text("status"), &again.body["allotment"]),
        (201, "draft", &json!(3)),
        "the same content again is the same sale"
    );
    make(4).is(409, "sale_exists");
    server.ask("GET", &format!("{}/v1/sales/life", server.url), &[], None).is(404, "not_found");
    server.buy("life", "alice", "k", 1).is(404, "not_found");
    let operate = |verb: &str| server.admin("POST", &format!("/v1/admin/sales/life/{verb}"), None);
    assert_eq!(operate("archive").is(409, "wrong_status").text("sale_status"), "draft");
    assert_eq!(operate("open").is(200, "").text("status"), "open");
    server.buy("life", "alice", "k", 1).is(201, "confirmed");
    server.buy("life", "bob", "k", 1).is(201, "confirmed");
    // The third unit is held back.
    server.buy("life", "carol", "k", 1).is(409, "sold_out");
    assert_eq!(operate("pause").is(200, "").text("status"), "paused");
    assert_eq!(operate("open").is(200, "").text("status"), "open");
    let rebuilt = operate("rebuild").is(200, "");
    assert!(rebuilt.body["epoch"].as_u64() > made.body["epoch"].as_u64(), "{rebuilt:?}");
    assert_eq!(operate("reconcile").is(200, "").body["clean"], true);
    server.audited("life");
    assert_eq!(operate("close").is(200, "").text("status"), "ended");
    server.buy("life", "carol", "k", 1).is(410, "ended");
    operate("archive").is(409, "wrong_status");
    for missing in ["open", "pause", "close", "archive", "rebuild", "reconcile"] {
        server.admin("POST", &format!("/v1/admin/sales/nowhere/{missing}"), None).is(404, "not_found");
    }
    let page = server.admin("GET", "/v1/admin/orders?sale=life&limit=1", None).is(200, "");
    assert_eq!(page.body["items"][0]["buyer"], "bob");
    let next = server.admin("GET", &format!("/v1/admin/orders?sale=life&limit=1&cursor={}", page.text("next_cursor")), None).is(200, "");
    assert_eq!(next.body["items"][0]["buyer"], "alice");
    server.admin("GET", "/v1/admin/orders", None).is(400, "invalid_request");
    assert_eq!(server.admin("GET", "/v1/admin/dead-letters", None).is(200, "").body, json!({ "items": [], "next_cursor": null }));
    server.admin("POST", "/v1/admin/dead-letters/7/replay", None).is(404, "not_found");
    server.audited("life");
}

#[test]
fn the_audit_hears_what_buyers_were_told_and_a_lie_is_a_breach() {
    let server = Server::start();
    let id = server.buy("demo", "alice", "k", 1).is(201, "confirmed").text("id").to_owned();
    let told = |status: &str, id: &str| {
        format!("{{\"id\":\"{id}\",\"buyer\":\"alice\",\"quantity\":1,\"amount\":990,\"told\":[{{\"row\":\"{status}\"}}]}}\n")
    };
    let tale = server.path().join("told");
    std::fs::write(&tale, told("confirmed", &id)).expect("written");
    let (code, out, _) = server.verb(&["audit", "--told", "told"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("✓ L8") && out.contains("✓ L9"), "{out}");
    std::fs::write(&tale, told("confirmed", "demo-00000000000000000000000000000000")).expect("written");
    let (code, out, error) = server.verb(&["audit", "--told", "told", "--json"]);
    assert_eq!(code, 3, "{out}{error}");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["breaches"][0]["law"], "L8");
    std::fs::write(&tale, "{\"id\":").expect("written");
    assert_eq!(server.verb(&["audit", "--told", "told"]).0, 2);
    server.audited("demo");
}

#[test]
fn a_stop_says_so_first_and_finishes_what_is_on_its_way() {
    let mut server = Server::with("[http]\nnotice_ms = 1500\n");
    let get = |path: &str| server.ask("GET", &format!("{}{path}", server.url), &[], None);
    assert_eq!((get("/livez").status, get("/readyz").status), (200, 200));
    let id = server.buy("demo", "alice", "k", 1).is(201, "confirmed").text("id").to_owned();
    let mut stream = Server::connect(&server.url);
    let token = server.token("alice");
    stream
        .write_all(format!("GET /v1/orders/{id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n").as_bytes())
        .expect("sent");
    assert!(read_until(&mut stream, |got| got.contains("id: 1")).contains("id: 1"));
    server.signal("TERM");
    server.until("readiness is false", || (get("/readyz").status == 503).then_some(()));
    assert_eq!(get("/livez").status, 200);
    // Whoever comes meanwhile is still served.
    server.buy("demo", "bob", "k", 1).is(201, "confirmed");
    assert_eq!(server.ended(), Some(0));
    // The stream ended with the server, in order.
    assert!(read_until(&mut stream, |_| false).ends_with("0\r\n\r\n"));
    assert!(!server.path().join("data/server.json").exists());
    let (code, out, error) = server.verb(&["audit"]);
    assert_eq!(code, 0, "{out}{error}");
    assert!(out.contains("100 = 98 left + 2 live; gate 98 left, 2 holds"), "{out}");
    server.up();
    assert_eq!(server.buy("demo", "bob", "k", 1).is(201, "confirmed").body["sale"], "demo");
    server.audited("demo");
}

#[test]
fn the_metrics_and_the_description_are_there() {
    let server = Server::start();
    server.buy("demo", "alice", "k", 1).is(201, "confirmed");
    server.buy("demo", "alice", "k", 2).is(422, "idempotency_mismatch");
    let text = |path: &str| match server.ask("GET", &format!("{}{path}", server.url), &[], None).body {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let metrics = text("/metrics");
    for line in [
        "hotcake_purchases_total{code=\"confirmed\"} 1",
        "hotcake_purchases_total{code=\"idempotency_mismatch\"} 1",
        "hotcake_purchase_duration_seconds_count 2",
        "hotcake_stock_units{sale=\"demo\",layer=\"gate\",state=\"left\"} 99",
        "hotcake_orders{sale=\"demo\",status=\"confirmed\"} 1",
        "hotcake_batch_size_sum 1.0",
        "hotcake_batch_size_bucket{le=\"1.0\"} 1",
        "hotcake_batch_size_bucket{le=\"+Inf\"} 1",
        "hotcake_record_size_sum 1.0",
        "hotcake_stage_duration_seconds_count{stage=\"prepare\"} 1",
        "hotcake_stage_duration_seconds_count{stage=\"hold\"} 1",
        "hotcake_stage_duration_seconds_bucket{le=\"+Inf\",stage=\"record\"} 1",
        "hotcake_breaches_total 0",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in {metrics}");
    }
    assert!(!metrics.contains("alice"), "{metrics}");
    let api: Value = serde_json::from_str(&text("/openapi.json")).expect("JSON");
    assert_eq!(api["openapi"], "3.1.0");
    for path in [
        "/v1/sales/{sale}/orders",
        "/v1/orders/{order}",
        "/v1/orders/{order}/events",
        "/v1/admin/sales/{sale}/restock",
        "/v1/webhooks/payment",
    ] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    assert!(text("/docs").contains("/docs/docs.js") && text("/docs/errors").contains("### sold_out"));
    server.audited("demo");
}

#[test]
fn c37_what_was_taken_before_the_close_is_recorded_with_its_terms() {
    let server = Server::start();
    server.sale("closing", 30, 1);
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let buy = |buyer: &str| server.buyer(buyer, "POST", "/v1/sales/closing/orders", &headers, Some("{\"quantity\":1}"));
    let taken: Vec<_> = (0..20).map(|n| buy(&format!("b{n}"))).collect();
    assert_eq!(server.admin("POST", "/v1/admin/sales/closing/close", None).is(200, "").text("status"), "ended");
    buy("late").is(410, "ended");
    for (n, answer) in taken.iter().enumerate() {
        assert!(matches!(answer.status, 201 | 202), "{answer:?}");
        let shown = server.buyer(&format!("b{n}"), "GET", answer.header("location"), &[], None).is(200, "confirmed");
        assert_eq!(shown.body["amount"], 990);
    }
    server.admin("POST", "/v1/admin/sales/closing/withdraw", Some(&movement("w", 11))).is(409, "not_enough_stock");
    server.admin("POST", "/v1/admin/sales/closing/withdraw", Some(&movement("w10", 10))).is(200, "");
    assert_eq!((server.audited("closing")["live_units"].clone(), server.audited("closing")["left"].clone()), (json!(20), json!(0)));
}
