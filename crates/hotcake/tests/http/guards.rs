//! Guards of the server that no other test needs: limits of connections and streams, what ends with a stop, what only a
//! demo has, and a ledger that was put back. Each test here is the one that notices when its line is left out.

use crate::demo::{LIMIT, Server, read_until};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::time::Duration;

#[test]
fn only_a_demo_pays_by_itself_and_gives_tokens_away() {
    let server = Server::without_demo();
    server.sale("real", 5, 1);
    let id = server.buy("real", "alice", "k", 1).is(201, "confirmed").text("id").to_owned();
    let refused = server.buyer("alice", "POST", &format!("/v1/orders/{id}/pay"), &[], None);
    assert_eq!(refused.code(), "demo_only", "{refused:?}");
    let headers = [("content-type", "application/json")];
    server.ask("POST", &format!("{}/demo/token", server.url), &headers, Some("{\"buyer\":\"eve\"}")).is(404, "not_found");
    assert_eq!(server.audited("real")["orders"], json!({ "confirmed": 1 }));
}

#[test]
fn who_finds_no_place_waits_until_one_is_free() {
    let server = Server::with("[http]\nconnections_max = 2\n");
    let sitting: Vec<_> = (0..2).map(|_| Server::connect(&server.url)).collect();
    // Both have their places: each is answered.
    let mut sitting: Vec<_> = sitting
        .into_iter()
        .map(|mut stream| {
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
            assert!(read_until(&mut stream, |got| got.contains("ok\n")).contains("200 OK"));
            stream
        })
        .collect();
    let mut third = Server::connect(&server.url);
    third.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    third.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit");
    let early = third.read(&mut [0; 1]).expect_err("nobody answers yet");
    assert!(matches!(early.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{early}");
    third.set_read_timeout(Some(LIMIT)).expect("a limit");
    drop(sitting.pop());
    assert!(read_until(&mut third, |_| false).contains("200 OK"));
}

fn events(server: &Server, buyer: &str, id: &str) -> std::net::TcpStream {
    let mut stream = Server::connect(&server.url);
    let token = server.token(buyer);
    let request = format!("GET /v1/orders/{id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

#[test]
fn streams_have_their_most_and_end_with_their_order() {
    let server = Server::with("[http]\nstreams_max = 1\n");
    let id = server.buy("demo", "alice", "k", 1).is(201, "confirmed").text("id").to_owned();
    let mut stream = events(&server, "alice", &id);
    assert!(read_until(&mut stream, |got| got.contains("id: 1")).contains("id: 1"));
    server.buyer("alice", "GET", &format!("/v1/orders/{id}/events"), &[], None).is(503, "overloaded");
    server.buyer("alice", "POST", &format!("/v1/orders/{id}/cancel"), &[], None).is(200, "cancelled");
    let end = read_until(&mut stream, |got| got.ends_with("0\r\n\r\n"));
    assert!(end.contains("\"status\":\"cancelled\"") && end.ends_with("0\r\n\r\n"), "{end}");
    // Its seat is free again.
    server.until("a seat", || read_until(&mut events(&server, "alice", &id), |got| got.contains("\n\n")).contains("id: 2").then_some(()));
    server.audited("demo");
}

#[test]
fn a_stop_answers_those_who_wait_and_does_not_wait_for_them() {
    let mut server = Server::start();
    let id = server.buy("demo", "alice", "k", 1).is(201, "confirmed").text("id").to_owned();
    let mut waiting = Server::connect(&server.url);
    let token = server.token("alice");
    let request = format!("GET /v1/orders/{id}?wait=20&after=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    waiting.write_all(request.as_bytes()).expect("sent");
    // A second question on another connection is answered after the first was read.
    server.buyer("alice", "GET", &format!("/v1/orders/{id}"), &[], None).is(200, "confirmed");
    let since = crate::end::now();
    server.signal("TERM");
    let answer = read_until(&mut waiting, |_| false);
    assert!(answer.contains("200 OK") && answer.contains("\"version\":1"), "{answer:?}");
    assert_eq!(server.ended(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(8), "it took {:?}", since.elapsed());
}

#[test]
fn c34_a_ledger_that_was_put_back_is_refused() {
    let mut server = Server::start();
    let stop = |server: &mut Server| {
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0));
    };
    server.buy("demo", "alice", "k", 1).is(201, "confirmed");
    stop(&mut server);
    let (ledger, older) = (server.path().join("data/ledger.db"), server.path().join("older.db"));
    std::fs::copy(&ledger, &older).expect("copied");
    server.up();
    server.buy("demo", "bob", "k", 1).is(201, "confirmed");
    stop(&mut server);
    assert_eq!(server.verb(&["audit"]).0, 0);
    std::fs::copy(&older, &ledger).expect("copied");
    let (code, _, error) = server.verb(&["audit"]);
    assert!(code == 1 && error.contains("has lost rows"), "{code}: {error}");
}

#[test]
fn c34_a_directory_that_was_used_is_not_begun_anew_and_its_secrets_are_its_users() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut server = Server::start();
    let data = server.path().join("data");
    for name in ["development-keys.json", "ticket-secret", "server.json"] {
        let mode = std::fs::metadata(data.join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    std::fs::remove_file(data.join("queue.db")).expect("removed");
    let (code, _, error) = server.verb(&["audit"]);
    assert!(code == 1 && error.contains("queue.db is missing"), "{code}: {error}");
}
