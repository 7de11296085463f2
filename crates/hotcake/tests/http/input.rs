//! Bad input over HTTP: refused with a code, nothing touched, no panic. Each test ends in an audit equal to the one before.

use crate::demo::{Answer, Server};
use crate::end::now;
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::Duration;

const JSON: (&str, &str) = ("content-type", "application/json");

fn post(server: &Server, body: &str) -> Answer {
    server.buyer("alice", "POST", "/v1/sales/demo/orders", &[JSON, ("idempotency-key", "k")], Some(body))
}

/// A purchase in bytes, with whatever body.
fn request(server: &Server, sale: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST /v1/sales/{sale}/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n{headers}\r\n",
        server.token("alice")
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn with_length(server: &Server, body: &[u8]) -> Vec<u8> {
    request(server, "demo", &format!("Connection: close\r\nContent-Length: {}\r\n", body.len()), body)
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("no answer")
}

#[test]
fn c40_a_quantity_is_a_whole_number_from_one() {
    let server = Server::start();
    let before = server.audited("demo");
    for (wrong, code) in [
        ("0", "out_of_range"),
        ("-1", "out_of_range"),
        ("2147483648", "out_of_range"),
        ("9223372036854775808", "out_of_range"),
        ("18446744073709551616", "wrong_type"),
        ("1.0", "wrong_type"),
        ("1e2", "wrong_type"),
        ("\"1\"", "wrong_type"),
        ("null", "wrong_type"),
        ("true", "wrong_type"),
        ("[]", "wrong_type"),
        ("[1]", "wrong_type"),
        ("{}", "wrong_type"),
    ] {
        let answer = post(&server, &format!("{{\"quantity\":{wrong}}}")).is(400, "invalid_request");
        let place = &answer.body["errors"][0];
        assert_eq!((place["pointer"].as_str(), place["code"].as_str()), (Some("/quantity"), Some(code)), "{wrong}");
    }
    assert_eq!(post(&server, "{}").is(400, "invalid_request").body["errors"][0]["code"], "missing");
    let nameless = post(&server, "[1]").is(400, "invalid_request");
    assert_eq!(nameless.body["errors"][0]["code"], "wrong_type", "a list is no command, even one that would fit");
    let extra = post(&server, "{\"quantity\":1,\"unit_price\":1}").is(400, "invalid_request");
    assert_eq!(extra.body["errors"][0], json!({ "pointer": "/unit_price", "code": "unknown_field", "detail": "there is no such field" }));
    assert_eq!(server.audited("demo"), before);
}

#[test]
fn c41_what_is_not_one_json_object_is_refused_at_once() {
    let server = Server::start();
    let before = server.audited("demo");
    let deep = "[".repeat(10_000);
    let deep_object = "{\"a\":".repeat(2_000);
    let bodies: [&[u8]; 14] = [
        b"",
        b"{\"quantity\":1,\"quantity\":1}",
        b"{\"quantity\":1,\"quantity\":2}",
        b"\xef\xbb\xbf{\"quantity\":1}",
        b"{\"quantity\":1} trailing",
        b"{\"quantity\":1}{\"quantity\":1}",
        b"{\"quantity\":1}\0",
        b"{\"quantity\":\xff}",
        b"{\"quan\xfftity\":1}",
        b"{\"quantity\":01}",
        b"{quantity:1}",
        b"[{\"quantity\":1}]",
        deep.as_bytes(),
        deep_object.as_bytes(),
    ];
    for body in bodies {
        let since = now();
        let answer = server.raw(&with_length(&server, body), |_| false);
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
        assert_eq!(status(&answer), "400", "{shown:?}: {answer}");
        assert!(answer.contains("\"code\":\"invalid_request\""), "{shown:?}: {answer}");
        assert!(since.elapsed() < Duration::from_secs(1), "{shown:?} took {:?}", since.elapsed());
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/json; charset=utf-16", ""] {
        let answer = server.buyer("alice", "POST", "/v1/sales/demo/orders", &[("content-type", kind)], Some("{\"quantity\":1}"));
        assert_eq!(answer.is(400, "invalid_request").body["errors"][0]["code"], "not_json", "{kind:?}");
    }
    for path in ["/v1/orders/demo-0%00", "/v1/orders/x", "/v1/orders/demo-0123456789ABCDEF0123456789ABCDEF", "/v1/orders/%ff%fe"] {
        server.buyer("alice", "GET", path, &[], None).is(400, "invalid_request");
    }
    assert_eq!(server.audited("demo"), before);
}

#[test]
fn c42_bodies_have_a_size_an_end_and_one_length() {
    let server = Server::with("[http]\nbody_timeout_ms = 300\n");
    let before = server.audited("demo");
    let whole = |answer: &str| answer.contains("\r\n\r\n");
    let declared = server.raw(&request(&server, "demo", "Content-Length: 1073741824\r\n", b"{"), whole);
    assert_eq!(status(&declared), "413", "{declared}");
    // A gigabyte in chunks: refused after the first kilobytes, so the sender cannot send it all.
    let mut stream = Server::connect(&server.url);
    stream.write_all(&request(&server, "demo", "Transfer-Encoding: chunked\r\n", b"")).expect("sent");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let sent = (0..16_384).take_while(|_| stream.write_all(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 1_000, "{sent} chunks of 64 KiB were taken");
    let chunked = server.raw(&request(&server, "demo", "Transfer-Encoding: chunked\r\n", chunk.as_bytes()), whole);
    assert_eq!(status(&chunked), "413", "{chunked}");
    let short = server.raw(&request(&server, "demo", "Content-Length: 10\r\n", b"{\"qua"), whole);
    assert_eq!(status(&short), "408", "{short}");
    assert!(short.to_lowercase().contains("connection: close"), "what was not read would be taken for the next request: {short}");
    for lengths in
        ["Content-Length: 14\r\nContent-Length: 15\r\n", "Content-Length: +14\r\n", "Content-Length: -1\r\n", "Transfer-Encoding: gzip\r\n"]
    {
        let answer = server.raw(&request(&server, "demo", lengths, b"{\"quantity\":1}"), whole);
        assert_eq!(status(&answer), "400", "{lengths:?}: {answer}");
    }
    assert_eq!(server.audited("demo"), before);
    // hyper takes Transfer-Encoding alone and hides the Content-Length, as RFC 9112 (6.1) allows if the connection ends
    // with the answer, which it sees to: so nothing can be smuggled in behind it, whichever of the two a proxy believed.
    let smuggled = b"e\r\n{\"quantity\":1}\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    for both in ["Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "Content-Length: 14\r\nTransfer-Encoding: chunked\r\n"] {
        let answer = server.raw(&request(&server, "demo", both, smuggled), |_| false);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{both:?}: {answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{both:?}: {answer}");
    }
    server.audited("demo");
}

#[test]
fn slow_and_idle_connections_are_closed() {
    let server = Server::with("[http]\nhead_timeout_ms = 300\n");
    let slow = server.raw(b"GET /livez HTTP/1.1\r\nHo", |_| false);
    assert!(slow.is_empty() || status(&slow) == "408", "{slow}");
    // Kept alive after an answer, then closed when nothing comes.
    let idle = server.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", |_| false);
    assert_eq!(idle.matches("HTTP/1.1 200").count(), 1, "{idle}");
    let long = server.raw(format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(300_000)).as_bytes(), |_| false);
    assert!(long.is_empty() || status(&long) == "431", "{}", &long[..long.len().min(100)]);
    server.audited("demo");
}

#[test]
fn c45_only_a_whole_and_valid_token_is_somebody() {
    use base64::Engine as _;
    let server = Server::start();
    let before = server.audited("demo");
    let now = jsonwebtoken::get_current_timestamp();
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = |change: fn(&mut Value)| {
        let mut claims = json!({ "sub": "alice", "aud": "hotcake", "exp": now + 600 });
        change(&mut claims);
        claims
    };
    let none = |alg: &str| {
        format!("{}.{}.", base64.encode(format!("{{\"alg\":\"{alg}\",\"typ\":\"JWT\"}}")), base64.encode(claims(|_| ()).to_string()))
    };
    let good = server.token("alice");
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let swapped = {
        let secret = jsonwebtoken::EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
        jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS512), &claims(|_| ()), &secret).expect("a token")
    };
    let wrong = [
        ("none", none("none")),
        ("None", none("None")),
        ("RS256 by name", none("RS256")),
        ("another key and algorithm", swapped),
        ("HS512 with our key", {
            let keys = std::fs::read(server.path().join("data/development-keys.json")).expect("keys");
            let keys: Value = serde_json::from_slice(&keys).expect("JSON");
            let secret = jsonwebtoken::EncodingKey::from_secret(keys["buyer_secret"].as_str().expect("a secret").as_bytes());
            jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS512), &claims(|_| ()), &secret).expect("a token")
        }),
        ("no signature", format!("{head}.")),
        ("a flipped signature", format!("{head}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..])),
        ("exp as text", server.signed(&claims(|c| c["exp"] = json!("4000000000")))),
        ("no exp", server.signed(&claims(|c| drop(c.as_object_mut().expect("an object").remove("exp"))))),
        ("expired", server.signed(&claims(|c| c["exp"] = json!(1_600_000_000)))),
        ("negative exp", server.signed(&claims(|c| c["exp"] = json!(-1)))),
        ("no sub", server.signed(&claims(|c| drop(c.as_object_mut().expect("an object").remove("sub"))))),
        ("an empty sub", server.signed(&claims(|c| c["sub"] = json!("")))),
        ("a sub with a line end", server.signed(&claims(|c| c["sub"] = json!("a\nb")))),
        ("a long sub", server.signed(&claims(|c| c["sub"] = json!("x".repeat(65))))),
        ("no aud", server.signed(&claims(|c| drop(c.as_object_mut().expect("an object").remove("aud"))))),
        ("another aud", server.signed(&claims(|c| c["aud"] = json!("pancake")))),
        ("not yet", server.signed(&claims(|c| c["nbf"] = json!(4_000_000_000_u64)))),
        ("100 kB", "x".repeat(100_000)),
        ("5 kB and signed", server.signed(&claims(|c| c["more"] = json!("x".repeat(5_000))))),
        ("nothing", String::new()),
        ("an operator's key", server.key.clone()),
    ];
    for (what, token) in wrong {
        let authorization = format!("Bearer {token}");
        let answer = server.ask(
            "POST",
            &format!("{}/v1/sales/demo/orders", server.url),
            &[("authorization", &authorization), JSON],
            Some("{\"quantity\":1}"),
        );
        assert_eq!(
            (answer.status, answer.code(), answer.header("www-authenticate")),
            (401, "unauthorized", "Bearer"),
            "{what}: {:?}",
            answer.body
        );
    }
    let twice = [("authorization", format!("Bearer {good}")), ("authorization", format!("Bearer {good}"))];
    let twice: Vec<_> = twice.iter().map(|(name, value)| (*name, value.as_str())).chain([JSON]).collect();
    server.ask("POST", &format!("{}/v1/sales/demo/orders", server.url), &twice, Some("{\"quantity\":1}")).is(401, "unauthorized");
    for scheme in ["Basic", "Token", ""] {
        let headers = [("authorization", &*format!("{scheme} {good}")), JSON];
        server.ask("POST", &format!("{}/v1/sales/demo/orders", server.url), &headers, Some("{\"quantity\":1}")).is(401, "unauthorized");
    }
    assert_eq!(server.audited("demo"), before);
    // The same with a token as it should be, audience as a list too.
    let listed = format!("Bearer {}", server.signed(&claims(|c| c["aud"] = json!(["other", "hotcake"]))));
    let headers = [("authorization", listed.as_str()), JSON, ("prefer", "wait=10")];
    server.ask("POST", &format!("{}/v1/sales/demo/orders", server.url), &headers, Some("{\"quantity\":1}")).is(201, "confirmed");
    server.audited("demo");
}

#[test]
fn c46_ids_cannot_carry_syntax() {
    let server = Server::start();
    let before = server.audited("demo");
    let long = "x".repeat(10_000);
    let ids = [
        "demo%7D",
        "de%0D%0Amo",
        "demo*",
        "%22demo%22",
        "';drop%20table%20orders;--",
        "%F0%9F%A5%9E",
        "demo%00",
        "DEMO",
        "-demo",
        "demo-",
        &long,
    ];
    for id in ids {
        let shown = &id[..id.len().min(40)];
        server.buyer("alice", "GET", &format!("/v1/sales/{id}"), &[], None).is(400, "invalid_request");
        let answer = server.buyer("alice", "POST", &format!("/v1/sales/{id}/orders"), &[JSON], Some("{\"quantity\":1}"));
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{shown}");
    }
    let terms = |name: &str, value: &str| {
        let mut terms = json!({ "id": "fresh", "title": "t", "sku": "s", "unit_price": 1, "currency": "CNY", "units": 1, "opens_at": "2020-01-01T00:00:00Z", "closes_at": "2099-01-01T00:00:00Z" });
        terms[name] = json!(value);
        server.admin("POST", "/v1/admin/sales", Some(&terms))
    };
    for wrong in ["a}b", "a\r\nb", "a*b", "a\"b", "'; drop table orders; --", &long, "🥞", ""] {
        for name in ["id", "goods_type"] {
            let answer = terms(name, wrong).is(400, "invalid_request");
            assert_eq!(answer.body["errors"][0]["pointer"], format!("/{name}"), "{wrong}");
        }
    }
    for wrong in ["a\r\nb", &long, "a\u{0}b", ""] {
        for name in ["sku", "title"] {
            terms(name, wrong).is(400, "invalid_request");
        }
    }
    // What is syntax nowhere here is a title like any other.
    terms("title", "'; drop table orders; -- 🥞 \"*\"").is(201, "");
    assert_eq!(server.audited("demo"), before);
}

#[test]
fn c47_names_cannot_forge_a_line_of_the_log() {
    let server = Server::start();
    let forged = "a%0d%0a2026-01-01T00:00:00Z ERROR hotcake: forged";
    server.ask("GET", &format!("{}/v1/sales/{}", server.url, forged.replace(' ', "%20")), &[("x-request-id", "id ERROR forged")], None);
    let reason = json!({ "key": "k", "units": 1, "reason": "x\u{1b}[2J {\"level\":\"ERROR\"}" });
    server.admin("POST", "/v1/admin/sales/demo/restock", Some(&reason)).is(400, "invalid_request");
    let good = json!({ "key": "{\"level\":\"ERROR\"}", "units": 1, "reason": "{\"level\":\"ERROR\"} ERROR forged" });
    server.admin("POST", "/v1/admin/sales/demo/restock", Some(&good)).is(200, "");
    let log = server.log();
    let note = |line: &&str| line.contains("an operator's command was done");
    assert_eq!(log.lines().filter(note).count(), 1, "{log}");
    assert!(log.lines().all(|line| line.starts_with("20") && !line.contains(" ERROR ") && !line.contains('\u{1b}')), "{log}");
    for secret in [&server.key, &server.token("alice")] {
        assert!(!log.contains(secret.as_str()), "{log}");
    }
    server.audited("demo");
}

#[test]
fn problems_speak_the_askers_language_and_name_the_request() {
    let server = Server::start();
    let url = format!("{}/v1/sales/nowhere", server.url);
    let zh = server.ask("GET", &url, &[("accept-language", "zh-CN,en;q=0.5"), ("x-request-id", "mine-1")], None).is(404, "not_found");
    assert_eq!(
        (zh.text("request_id"), zh.header("x-request-id"), zh.header("content-type")),
        ("mine-1", "mine-1", "application/problem+json")
    );
    assert!(zh.text("detail").contains("不存在"), "{zh:?}");
    let en = server.ask("GET", &url, &[("x-request-id", "not sane!")], None).is(404, "not_found");
    assert!(en.text("detail").starts_with("There is nothing") && en.text("request_id") != "not sane!", "{en:?}");
    assert_eq!(en.text("type"), "/docs/errors#not_found");
    let missing = server.ask("GET", &format!("{}/nowhere", server.url), &[], None).is(404, "not_found");
    assert_eq!((missing.header("x-content-type-options"), missing.header("cache-control")), ("nosniff", "no-store"));
    let method = server.ask("DELETE", &format!("{}/v1/sales", server.url), &[], None).is(405, "method_not_allowed");
    assert!(method.header("allow").contains("GET"), "{method:?}");
    server.audited("demo");
}
