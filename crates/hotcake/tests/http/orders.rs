//! Purchases over HTTP: one answer per key, whatever the client does. Each test ends in an audit.

use crate::demo::{Answer, Server, read_until};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Write as _;

#[test]
fn a_purchase_from_its_order_to_its_refund() {
    let server = Server::start();
    let bought = server.buy("demo", "alice", "k", 1).is(201, "confirmed");
    let id = bought.text("id").to_owned();
    assert_eq!(bought.header("location"), format!("/v1/orders/{id}"));
    assert_eq!((bought.body["amount"].as_i64(), bought.text("currency")), (Some(990), "CNY"));
    let path = format!("/v1/orders/{id}");
    server.buyer("alice", "GET", &path, &[], None).is(200, "confirmed");
    let missing = server.buyer("alice", "GET", "/v1/orders/demo-00000000000000000000000000000000", &[], None).is(404, "not_found");
    let foreign = server.buyer("mallory", "GET", &path, &[], None).is(404, "not_found");
    let body = |answer: &Answer| {
        let mut body = answer.body.clone();
        body.as_object_mut().expect("an object").remove("request_id").expect("a request_id");
        body
    };
    assert_eq!(body(&missing), body(&foreign), "somebody else's order looks like none");
    server.buyer("mallory", "POST", &format!("{path}/cancel"), &[], None).is(404, "not_found");
    server.buyer("mallory", "POST", &format!("{path}/pay"), &[], None).is(404, "not_found");
    let paid = server.buyer("alice", "POST", &format!("{path}/pay"), &[("idempotency-key", "p")], None).is(200, "paid");
    assert_eq!((paid.text("status"), paid.body["payment"]["state"].as_str()), ("paid", Some("settled")));
    server.buyer("alice", "POST", &format!("{path}/pay"), &[("idempotency-key", "p")], None).is(200, "paid");
    let due = server.buyer("alice", "POST", &format!("{path}/pay"), &[("idempotency-key", "q")], None).is(200, "refund_due");
    // The gateway gives the second payment back; the first one still pays the order.
    let refunded =
        |payment: &Value| server.admin("POST", &format!("/v1/admin/orders/{id}/refunded"), Some(&json!({ "payment_id": payment })));
    assert_eq!(refunded(&paid.body["payment"]["id"]).is(409, "wrong_status").text("payment_state"), "settled");
    refunded(&json!("another")).is(404, "not_found");
    refunded(&json!("two words")).is(400, "invalid_request");
    let other = server.buy("demo", "bob", "k", 1).is(201, "confirmed").text("id").to_owned();
    let body = json!({ "payment_id": due.body["payment"]["id"] });
    server.admin("POST", &format!("/v1/admin/orders/{other}/refunded"), Some(&body)).is(404, "not_found");
    server.buyer("bob", "POST", &format!("/v1/orders/{other}/cancel"), &[], None).is(200, "cancelled");
    for _ in 0..2 {
        assert_eq!(refunded(&due.body["payment"]["id"]).is(200, "").text("state"), "refunded");
    }
    let late = server.buyer("alice", "POST", &format!("{path}/cancel"), &[], None).is(409, "wrong_status");
    assert_eq!(late.text("order_status"), "paid");
    server.buy("demo", "alice", "k", 1).is(200, "paid");
    server.admin("POST", &format!("/v1/admin/orders/{id}/refund"), None).is(200, "refunded");
    server.buy("demo", "alice", "k", 1).is(200, "refunded");
    let whole = server.admin("GET", &format!("/v1/admin/orders/{id}"), None);
    let line: Vec<_> =
        whole.body["history"].as_array().expect("a history").iter().map(|change| change["to"].as_str().expect("a word")).collect();
    assert_eq!(line, ["asked", "confirmed", "paid", "refunded"]);
    assert_eq!(whole.body["order"]["buyer"], "alice");
    assert_eq!(server.audited("demo")["left"], 100);
}

#[test]
fn without_waiting_the_location_carries_a_ticket() {
    let server = Server::start();
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let answer = server.buyer("alice", "POST", "/v1/sales/demo/orders", &headers, Some("{\"quantity\":1}"));
    assert!(matches!(answer.status, 201 | 202), "{answer:?}");
    if answer.status == 202 {
        assert!(answer.header("location").contains("?ticket="), "{answer:?}");
        assert_eq!((answer.header("retry-after"), answer.code()), ("1", "processing"));
    }
    let path = answer.header("location").to_owned();
    let separator = if path.contains('?') { '&' } else { '?' };
    let shown = server.buyer("alice", "GET", &format!("{path}{separator}wait=10"), &[], None).is(200, "confirmed");
    // A wait for the next change ends when it comes.
    let (path, buyer) = (format!("/v1/orders/{}", shown.text("id")), "alice");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.buyer(buyer, "GET", &format!("{path}?wait=20&after=1"), &[], None));
        server.buyer(buyer, "POST", &format!("{path}/cancel"), &[], None).is(200, "cancelled");
        let seen = waiting.join().expect("an answer").is(200, "cancelled");
        assert_eq!(seen.body["version"], 2);
    });
    server.audited("demo");
}

#[test]
fn c22_units_sell_again_after_cancels() {
    let server = Server::start();
    server.sale("small", 10, 1);
    let ids: Vec<_> = (0..10).map(|n| server.buy("small", &format!("b{n}"), "k", 1).is(201, "confirmed").text("id").to_owned()).collect();
    server.buy("small", "late", "k", 1).is(409, "sold_out");
    let stock = || server.ask("GET", &format!("{}/v1/sales/small", server.url), &[], None).text("stock").to_owned();
    server.until("the public sees it", || (stock() == "sold_out").then_some(()));
    assert_eq!(server.audited("small")["left"], 0);
    for (n, id) in ids.iter().enumerate() {
        server.buyer(&format!("b{n}"), "POST", &format!("/v1/orders/{id}/cancel"), &[], None).is(200, "cancelled");
    }
    for n in 0..10 {
        let buyer = format!("c{n}");
        server.until("a cancelled unit sells again", || (server.buy("small", &buyer, "k", 1).status == 201).then_some(()));
    }
    server.buy("small", "late", "k", 1).is(409, "sold_out");
    assert_eq!(server.audited("small")["live_units"], 10);
}

#[test]
fn c24_the_last_unit_has_one_buyer() {
    const THREADS: usize = 32;
    const EACH: usize = 20;
    let server = Server::start();
    server.sale("last", 1, 1);
    let codes: Vec<String> = std::thread::scope(|scope| {
        let one = |thread: usize| {
            let server = &server;
            scope.spawn(move || {
                (0..EACH).map(|n| server.buy("last", &format!("b{thread}-{n}"), "k", 1).code().to_owned()).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..THREADS).map(one).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("answers")).collect()
    });
    assert_eq!(codes.iter().filter(|code| *code == "confirmed").count(), 1);
    assert_eq!(codes.iter().filter(|code| *code == "sold_out").count(), THREADS * EACH - 1, "{codes:?}");
    let figures = server.audited("last");
    assert_eq!(figures["orders"], json!({ "confirmed": 1 }), "a refusal leaves no row: {figures}");
}

#[test]
fn c25_what_is_too_little_for_three_sells_to_one() {
    let server = Server::start();
    server.sale("threes", 10, 3);
    for n in 0..3 {
        server.buy("threes", &format!("b{n}"), "k", 3).is(201, "confirmed");
    }
    server.buy("threes", "late", "k", 3).is(409, "sold_out");
    assert_eq!(server.audited("threes")["gate_left"], 1, "a refusal takes nothing");
    server.buy("threes", "late", "k1", 1).is(201, "confirmed");
    server.buy("threes", "none", "k", 1).is(409, "sold_out");
    assert_eq!(server.audited("threes")["live_units"], 10);
}

#[test]
fn c26_a_buyer_has_at_most_the_limit_live_over_a_rebuild() {
    let server = Server::start();
    server.sale("two", 10, 2);
    std::thread::scope(|scope| {
        for (key, quantity) in [("a", 1), ("b", 1), ("c", 2)] {
            let server = &server;
            scope.spawn(move || server.buy("two", "alice", key, quantity));
        }
    });
    assert_eq!(server.audited("two")["live_units"], 2);
    server.admin("POST", "/v1/admin/sales/two/rebuild", None).is(200, "");
    let refused = server.buy("two", "alice", "d", 1).is(409, "limit_reached");
    let named = refused.text("order_id");
    server.buyer("bob", "POST", &format!("/v1/orders/{named}/cancel"), &[], None).is(404, "not_found");
    server.buyer("alice", "POST", &format!("/v1/orders/{named}/cancel"), &[], None).is(200, "cancelled");
    // What died makes room.
    server.buy("two", "alice", "e", 1).is(201, "confirmed");
    server.audited("two");
}

#[test]
fn c27_one_key_a_hundred_times_is_one_order() {
    let server = Server::start();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(|| server.buy("demo", "alice", "same", 1))).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let ids: HashSet<_> = answers.iter().map(|answer| answer.text("id").to_owned()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(answers.iter().all(|answer| matches!((answer.status, answer.code()), (201, "confirmed") | (202, "processing"))), "{answers:?}");
    assert_eq!(server.audited("demo")["live_units"], 1);
}

#[test]
fn c28_the_same_key_with_another_quantity_is_refused() {
    let server = Server::start();
    let first = server.buy("demo", "alice", "k", 1).is(201, "confirmed");
    server.buy("demo", "alice", "k", 2).is(422, "idempotency_mismatch");
    let again = server.buy("demo", "alice", "k", 1).is(201, "confirmed");
    assert_eq!((again.text("id"), again.body["quantity"].as_u64()), (first.text("id"), Some(1)));
    assert_eq!(server.audited("demo")["live_units"], 1);
}

#[test]
fn c29_another_buyers_same_key_is_another_purchase() {
    let server = Server::start();
    let one = server.buy("demo", "alice", "k", 1).is(201, "confirmed");
    let two = server.buy("demo", "bob", "k", 2).is(201, "confirmed");
    assert_ne!(one.text("id"), two.text("id"));
    server.sale("other", 5, 1);
    assert_ne!(server.buy("other", "alice", "k", 1).is(201, "confirmed").text("id"), one.text("id"));
    assert_eq!(server.audited("demo")["live_units"], 3);
}

#[test]
fn c30_a_key_is_visible_ascii_or_made_by_the_server() {
    let server = Server::start();
    let before = server.audited("demo");
    let post = |keys: &[&str]| {
        let mut headers = vec![("content-type", "application/json"), ("prefer", "wait=10")];
        headers.extend(keys.iter().map(|key| ("idempotency-key", *key)));
        server.buyer("alice", "POST", "/v1/sales/demo/orders", &headers, Some("{\"quantity\":1}"))
    };
    for wrong in [vec![""], vec!["with space"], vec!["tab\tkey"], vec!["k\u{e9}y"], vec![&"x".repeat(256)], vec!["a", "b"]] {
        let answer = post(&wrong).is(400, "invalid_request");
        assert_eq!(answer.body["errors"][0]["pointer"], "header:idempotency-key", "{wrong:?}");
    }
    assert_eq!(server.audited("demo"), before);
    post(&[&"x".repeat(255)]).is(201, "confirmed");
    let made = post(&[]).is(201, "confirmed");
    let key = made.header("idempotency-key").to_owned();
    assert_eq!(made.text("idempotency_key"), key);
    assert_eq!(post(&[&key]).is(201, "confirmed").text("id"), made.text("id"));
    assert_eq!(server.audited("demo")["live_units"], 2);
}

#[test]
fn c31_a_retry_finds_its_order_after_a_restart_and_after_the_archive() {
    let mut server = Server::start();
    server.sale("old", 5, 1);
    let first = server.buy("old", "alice", "k", 1).is(201, "confirmed");
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    server.up();
    assert_eq!(server.buy("old", "alice", "k", 1).is(201, "confirmed").text("id"), first.text("id"));
    let id = first.text("id");
    server.buyer("alice", "POST", &format!("/v1/orders/{id}/pay"), &[], None).is(200, "paid");
    server.audited("old");
    server.admin("POST", "/v1/admin/sales/old/close", None).is(200, "");
    let archived = server.admin("POST", "/v1/admin/sales/old/archive", None).is(200, "");
    assert_eq!(archived.text("status"), "archived");
    assert_eq!(server.buy("old", "alice", "k", 1).is(200, "paid").text("id"), id);
    server.buy("old", "bob", "k", 1).is(410, "ended");
    server.audited("old");
}

#[test]
fn c32_a_client_that_hangs_up_leaves_a_whole_purchase_or_none() {
    let server = Server::start();
    server.sale("hang", 50, 1);
    for n in 0..50 {
        let (buyer, body) = (format!("b{n}"), "{\"quantity\":1}");
        let request = format!(
            "POST /v1/sales/hang/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: {}\r\n\r\n{body}",
            server.token(&buyer),
            body.len()
        );
        let mut stream = Server::connect(&server.url);
        // Every other one does not even send its last byte.
        stream.write_all(&request.as_bytes()[..request.len() - n % 2]).expect("sent");
        drop(stream);
    }
    // The same key tells: it finds its order, or makes it.
    for n in 0..50 {
        server.buy("hang", &format!("b{n}"), "k", 1).is(201, "confirmed");
    }
    let figures = server.audited("hang");
    assert_eq!((&figures["live_units"], &figures["orders"]), (&json!(50), &json!({ "confirmed": 50 })));
}

#[test]
fn c56_an_id_never_seen_is_nobodys_whatever_the_ticket() {
    let server = Server::start();
    // A ticket of a purchase that is on its way.
    let mut tries = 0;
    let ticket = server.until("a purchase is answered before its row is there", || {
        tries += 1;
        let (buyer, headers) = (format!("b{tries}"), [("content-type", "application/json"), ("idempotency-key", "k")]);
        let answer = server.buyer(&buyer, "POST", "/v1/sales/demo/orders", &headers, Some("{\"quantity\":1}"));
        answer.header("location").split_once("?ticket=").map(|(_, ticket)| (buyer, ticket.to_owned()))
    });
    let (buyer, ticket) = ticket;
    let never = "/v1/orders/demo-00000000000000000000000000000000";
    let forged: String = ticket.chars().map(|c| if c == 'A' { 'B' } else { c }).rev().collect();
    for ticket in ["", "x", &ticket, &forged] {
        for (method, path) in [("GET", never.to_owned()), ("POST", format!("{never}/cancel")), ("POST", format!("{never}/pay"))] {
            server.buyer(&buyer, method, &format!("{path}?ticket={ticket}"), &[], None).is(404, "not_found");
        }
    }
    // Somebody else's order is told like none.
    let mine = server.buy("demo", "alice", "k", 1).is(201, "confirmed").text("id").to_owned();
    let unknown = server.buyer("bob", "GET", never, &[("x-request-id", "same")], None).is(404, "not_found");
    let other = server.buyer("bob", "GET", &format!("/v1/orders/{mine}"), &[("x-request-id", "same")], None).is(404, "not_found");
    assert_eq!(other.body, unknown.body);
    server.buyer("bob", "GET", &format!("/v1/orders/{mine}/events"), &[], None).is(404, "not_found");
    server.until("all is recorded", || (server.audited("demo")["holds"].as_u64() == Some(tries + 1)).then_some(()));
    assert_eq!(server.audited("demo")["orders"], json!({ "confirmed": tries + 1 }), "no row of an id that was never asked for");
}

#[test]
fn an_orders_events_resume_after_the_last_one_seen() {
    let server = Server::start();
    let id = server.buy("demo", "alice", "k", 1).is(201, "confirmed").text("id").to_owned();
    let token = server.token("alice");
    let open = |last: &str| {
        let mut stream = Server::connect(&server.url);
        let request = format!("GET /v1/orders/{id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        stream
    };
    let first = read_until(&mut open(""), |got| got.contains("\n\n") && got.contains("id: 1"));
    assert!(first.contains("text/event-stream") && first.contains("event: order") && first.contains("\"status\":\"confirmed\""), "{first}");
    // Who has seen version 1 hears nothing of it again, and of version 2 when it comes.
    let mut resumed = open("Last-Event-ID: 1\r\n");
    server.buyer("alice", "POST", &format!("/v1/orders/{id}/pay"), &[], None).is(200, "paid");
    let then = read_until(&mut resumed, |got| got.contains("id: 2"));
    assert!(then.contains("\"status\":\"paid\"") && !then.contains("id: 1\n"), "{then}");
    let mut sale = Server::connect(&server.url);
    sale.write_all(b"GET /v1/sales/demo/stream HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let seen = read_until(&mut sale, |got| got.contains("\"server_time\""));
    assert!(seen.contains("event: sale") && seen.contains("\"stock\":\"plenty\"") && seen.contains("\"stock_exact\":false"), "{seen}");
    server.audited("demo");
}

/// Sends a webhook, signed over (id, time, body) as the specification says.
fn webhook(server: &Server, secret: &str, at: u64, report: &Value) -> Answer {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let (id, at, body) = ("msg_1", at.to_string(), report.to_string());
    let mut mac =
        Hmac::<sha2::Sha256>::new_from_slice(&base64.decode(secret.trim_start_matches("whsec_")).expect("base64")).expect("a key");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    let signature = format!("v1,{}", base64.encode(mac.finalize().into_bytes()));
    let headers = [("content-type", "application/json"), ("webhook-id", id), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
    server.ask("POST", &format!("{}/v1/webhooks/payment", server.url), &headers, Some(&body))
}

#[test]
fn a_signed_webhook_pays_once_and_an_unsigned_one_never() {
    let server = Server::start();
    let now = jsonwebtoken::get_current_timestamp();
    let id = server.buy("demo", "alice", "k", 2).is(201, "confirmed").text("id").to_owned();
    let report = |amount: i64, currency: &str| json!({ "payment_id": "pay-1", "order_id": id, "amount": amount, "currency": currency });
    let send = |at: u64, report: &Value| webhook(&server, &server.webhook_secret, at, report);
    webhook(&server, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", now, &report(1980, "CNY")).is(401, "bad_signature");
    send(now - 600, &report(1980, "CNY")).is(401, "bad_signature");
    assert_eq!(send(now, &report(990, "CNY")).is(422, "wrong_amount").body["amount"], 1980);
    send(now, &report(1980, "USD")).is(422, "wrong_amount");
    let mut more = report(1980, "CNY");
    more["more"] = json!(1);
    assert_eq!(
        send(now, &more).is(400, "invalid_request").body["errors"][0],
        json!({ "pointer": "/more", "code": "unknown_field", "detail": "there is no such field" })
    );
    server.buyer("alice", "GET", &format!("/v1/orders/{id}"), &[], None).is(200, "confirmed");
    send(now, &report(1980, "CNY")).is(200, "paid");
    send(now, &report(1980, "CNY")).is(200, "paid");
    let other = server.buy("demo", "bob", "k", 2).is(201, "confirmed");
    let reused = json!({ "payment_id": "pay-1", "order_id": other.text("id"), "amount": 1980, "currency": "CNY" });
    send(now, &reused).is(422, "idempotency_mismatch");
    assert_eq!(server.audited("demo")["orders"], json!({ "confirmed": 1, "paid": 1 }));
}

#[test]
fn the_envelope_wraps_what_buyers_see_and_nothing_else() {
    let server = Server::with("[http]\nenvelope = \"result\"\n");
    let bought = server.buy("demo", "alice", "k", 1);
    assert_eq!((bought.status, &bought.body["success"], bought.code()), (201, &json!(true), "confirmed"));
    assert_eq!(bought.body["data"]["status"], "confirmed");
    let refused = server.buy("demo", "alice", "k", 2);
    assert_eq!((refused.status, &refused.body["success"], refused.code()), (422, &json!(false), "idempotency_mismatch"));
    assert_eq!((refused.header("content-type"), refused.body["message"].is_string()), ("application/json", true));
    server.audited("demo");
}

#[test]
fn sales_say_when_they_open_and_need_no_token() {
    let server = Server::start();
    let early = server.buy("demo-soon", "alice", "k", 1).is(409, "not_open");
    assert!(
        !early.text("opens_at").is_empty() && early.header("retry-after").parse::<u64>().is_ok_and(|s| (1..=32).contains(&s)),
        "{early:?}"
    );
    server.buy("nowhere", "alice", "k", 1).is(404, "not_found");
    // C44 is due: purchase tokens do not exist yet, and the address says so.
    let authorization = format!("Bearer {}", server.token("alice"));
    server.ask("POST", &format!("{}/v1/sales/demo/token", server.url), &[("authorization", &authorization)], None).is(404, "not_needed");
    let over = server.buy("demo", "alice", "k", 3).is(400, "invalid_request");
    assert_eq!((over.body["errors"][0]["code"].as_str(), &over.body["quantity_max"]), (Some("above_quantity_max"), &json!(2)));
    let first = server.buy("demo", "alice", "k1", 2).is(201, "confirmed");
    let second = server.buy("demo", "alice", "k2", 1).is(409, "limit_reached");
    assert_eq!(second.text("order_id"), first.text("id"));
    server.admin("POST", "/v1/admin/sales/demo/pause", None).is(200, "");
    let paused = server.buy("demo", "bob", "k", 1).is(503, "paused");
    assert!(paused.header("retry-after").parse::<u64>().is_ok(), "{paused:?}");
    assert_eq!(server.audited("demo")["live_units"], 2);
}
