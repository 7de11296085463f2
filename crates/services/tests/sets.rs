//! Real servers: two sets side by side, each server killed, stopped, continued and started again with what it stored.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

use services::{Service, Set, Status, install};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

/// Where this test's sets lie; the jars are shared with `cargo xtask services`.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/services")
}

/// A set that is gone when the test is over, however it ends.
struct Lent(Set);

impl Drop for Lent {
    fn drop(&mut self) {
        let _ = self.0.wipe();
    }
}

/// `None`: a package is missing, which is said aloud; under CI it is a failure.
fn lent(name: &str) -> Option<Lent> {
    let missing = install::missing();
    if missing.is_empty() {
        let lent = Lent(Set::open(&root(), name).unwrap());
        lent.0.wipe().unwrap();
        return Some(lent);
    }
    let what = format!("SKIPPED: real servers; they need {}", missing.join(" and "));
    assert!(std::env::var("CI").is_err(), "{what}. Under CI a skip is a failure.");
    println!("{what}");
    None
}

fn redis(set: &Set, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", set.ports.redis)).unwrap();
    stream.write_all(command.as_bytes()).unwrap();
    let mut answer = [0; 256];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn two_sets_stand_side_by_side_and_keep_what_they_stored_over_a_kill() {
    let (Some(one), Some(two)) = (lent("test-one"), lent("test-two")) else { return };
    for Lent(set) in [&one, &two] {
        set.up(Service::Redis).unwrap();
        set.up(Service::Mariadb).unwrap();
    }
    assert_eq!(redis(&one.0, "SET who one\r\n"), "+OK\r\n");
    assert_eq!(redis(&two.0, "GET who\r\n"), "$-1\r\n", "they are two");
    for service in [Service::Redis, Service::Mariadb] {
        let Status::Up(before) = one.0.status(service) else { panic!("{:?}", one.0.status(service)) };
        one.0.up(service).unwrap();
        assert_eq!(one.0.status(service), Status::Up(before), "who is up is left alone");
        one.0.kill9(service).unwrap();
        assert_eq!(one.0.status(service), Status::Down);
        one.0.up(service).unwrap();
        assert!(matches!(one.0.status(service), Status::Up(pid) if pid != before));
        one.0.stop(service).unwrap();
        assert!(matches!(one.0.status(service), Status::Stopped(_)));
        one.0.cont(service).unwrap();
        assert!(matches!(one.0.status(service), Status::Up(_) | Status::Silent(_)));
    }
    assert_eq!(redis(&one.0, "GET who\r\n"), "$3\r\none\r\n", "it was in the file");
    one.0.wipe().unwrap();
    one.0.up(Service::Redis).unwrap();
    assert_eq!(redis(&one.0, "GET who\r\n"), "$-1\r\n");
}

#[test]
fn a_broker_is_ready_when_it_says_so_and_after_a_kill_too() {
    let Some(lent) = lent("test-broker") else { return };
    let set = &lent.0;
    for service in [Service::Namesrv, Service::Broker] {
        set.up(service).unwrap();
        assert!(matches!(set.status(service), Status::Up(_)));
    }
    set.kill9(Service::Broker).unwrap();
    assert!(matches!(set.status(Service::Namesrv), Status::Up(_)), "one at a time");
    set.up(Service::Broker).unwrap();
    assert!(matches!(set.status(Service::Broker), Status::Up(_)));
}

#[test]
fn names_are_looked_at() {
    for name in ["", "../up", "a b", "a/b"] {
        assert!(Set::open(&root(), name).is_err(), "{name:?}");
    }
    assert!(Service::named("redis-server").unwrap_err().contains("redis, mariadb, namesrv, broker"));
}
