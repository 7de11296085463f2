//! The real binary, killed and stopped under load, over one data directory: whatever a buyer was told stays true.
//! One machine, so at most one of these tests loads at a time.

#[path = "../server/end.rs"]
mod end;
mod load;
#[path = "../server/mod.rs"]
mod server;

use adapters::embedded::Directory;
use end::now;
use load::{Draws, Server, wait_for};
use server::hotcake;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

/// Kills in a row over one directory.
const ROUNDS: u64 = 22;
/// Two loads at once on two cores measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// Lines of a file of tales so far.
fn lines_of(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Every round: a load, kill -9 at a drawn moment, a start on the same directory, the audit with what all buyers of all rounds
/// so far were told. In odd rounds the load rides through the kill: its buyers send what got no answer again, with their keys,
/// to the server that was started in the same place.
#[test]
fn c02_c11_kill_nine_under_load_twenty_times_in_a_row_loses_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let seed = std::env::var("HOTCAKE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| u64::from(std::process::id()));
    println!("HOTCAKE_SEED={seed}");
    let mut draws = Draws(seed);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut server = Server::start(dir.path(), "127.0.0.1:0");
    server.sale("kill", 1_000_000);
    let mut told = String::new();
    let mut confirmed = 0;
    for round in 0..ROUNDS {
        let rides_through = round % 2 == 1;
        let file = dir.path().join(format!("told-{round}"));
        let (purchases, patience) = if rides_through { ("6000", "20") } else { ("200000", "0.3") };
        let run = (seed as u32).wrapping_mul(1000).wrapping_add(round as u32).to_string();
        let args = ["--purchases", purchases, "--patience", patience, "--seed", &run, "--cancel-percent", "10", "--pay-percent", "10"];
        let load = server.load(dir.path(), "kill", &file, &args);

        wait_for("the load's first answers", Duration::from_secs(20), || (lines_of(&file) > 0).then_some(()));
        let moment = now() + Duration::from_micros(draws.below(if rides_through { 120_000 } else { 400_000 }));
        wait_for("the drawn moment", Duration::from_secs(2), || (now() >= moment).then_some(()));
        let address = server.address().to_owned();
        drop(server);
        let killed = now();
        let mut riding = Some(load);
        if !rides_through {
            let (code, said) = riding.take().expect("it was put there").end();
            assert_eq!(code, Some(4), "round {round}: the generator says that the server is unreachable");
            let before = said["accepted_before_loss"].as_u64();
            let tales = lines_of(&file) as u64;
            assert!(
                before.is_some_and(|before| (1..=tales).contains(&before)),
                "round {round}: accepted {before:?} before the kill, {tales} tales"
            );
        }
        let over = killed.elapsed();
        server = Server::start(dir.path(), if rides_through { &address } else { "127.0.0.1:0" });
        let started = killed.elapsed();
        if let Some(load) = riding {
            let (_, said) = load.end();
            // Its own audit cannot reach the new operators' address; every purchase must have come to its end all the same.
            let outcomes: Vec<&str> =
                said["outcomes"].as_array().expect("outcomes").iter().filter_map(|row| row["outcome"].as_str()).collect();
            let settled = outcomes.iter().all(|outcome| ["confirmed", "paid", "cancelled"].contains(outcome));
            assert!(settled, "round {round}: purchases without an end: {outcomes:?}");
        }
        told += &std::fs::read_to_string(&file).expect("the tales are there");
        let answered = killed.elapsed();
        let sales = server.audit(&told);
        let figures = sales.as_array().expect("figures").iter().find(|figures| figures["sale"] == "kill").expect("the sale's figures");
        let orders: u64 = figures["orders"].as_object().expect("orders by status").values().filter_map(serde_json::Value::as_u64).sum();
        assert!(orders > confirmed, "round {round}: orders only grow, {confirmed} before and {orders} now");
        confirmed = orders;
        println!(
            "round {round}: after the kill: load over {over:.1?}, started {started:.1?}, tales whole {answered:.1?}, audited {:.1?}",
            killed.elapsed()
        );
    }
    println!("{ROUNDS} kills, {confirmed} orders, {} tales", told.lines().count());
}

/// The status of one GET over a connection of its own; nothing when none stands.
fn get(address: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split(' ').nth(1)?.parse().ok()
}

#[test]
fn c35_sigterm_under_load_says_not_ready_first_drains_and_loses_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut server = Server::start(dir.path(), "127.0.0.1:0");
    server.sale("stop", 1_000_000);
    let file = dir.path().join("told");
    let load = server.load(dir.path(), "stop", &file, &["--purchases", "400000", "--patience", "0.3"]);
    wait_for("the load's first answers", Duration::from_secs(20), || (lines_of(&file) > 0).then_some(()));
    let address = server.address().to_owned();
    assert_eq!(get(&address, "/readyz"), Some(200));

    let told_to_stop = now();
    server.0.signal("TERM");
    // While it is not ready it still serves: it says so itself, before its listener closes.
    let first_other = wait_for("readiness to change", Duration::from_secs(5), || match get(&address, "/readyz") {
        Some(200) => None,
        other => Some(other),
    });
    assert_eq!(first_other, Some(503), "not ready is said before the listener is closed");
    let ended = server.0.ended(Duration::from_secs(12)).expect("it ends");
    assert!(told_to_stop.elapsed() <= Duration::from_secs(10), "drained in {:?}", told_to_stop.elapsed());
    assert_eq!(ended, Some(0), "a stop that was asked for is no failure");
    load.end();

    let server = Server::start(dir.path(), "127.0.0.1:0");
    server.audit(&std::fs::read_to_string(&file).expect("the tales are there"));
}

#[test]
fn c35_a_second_sigterm_ends_it_at_once_and_the_next_start_is_whole() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut server = Server::start(dir.path(), "127.0.0.1:0");
    let address = server.address().to_owned();
    // A request whose body never comes: an orderly stop waits for it until its time is over, which is seconds.
    let made = hotcake().args(["token", "--buyer", "slow", "--data-dir"]).arg(dir.path()).output().expect("the binary starts");
    let token = String::from_utf8(made.stdout).expect("a token is ASCII");
    let mut slow = TcpStream::connect(&address).expect("the server listens");
    let head = "Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{";
    let request = format!("POST /v1/sales/demo/orders HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n{head}", token.trim());
    slow.write_all(request.as_bytes()).expect("the server reads");
    server.0.signal("TERM");
    wait_for("the stop to begin", Duration::from_secs(5), || (get(&address, "/readyz") != Some(200)).then_some(()));
    server.0.signal("TERM");
    let second = now();
    let ended = server.0.ended(Duration::from_secs(8)).expect("it ends");
    assert_eq!(ended, Some(1), "what was on its way was not waited for");
    assert!(second.elapsed() < Duration::from_secs(1), "ended {:?} after the second signal", second.elapsed());
    drop(slow);
    Server::start(dir.path(), "127.0.0.1:0").audit("");
}

#[test]
fn a_second_server_on_a_directory_is_refused_and_told_whose_it_is() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let first = Server::start(dir.path(), "127.0.0.1:0");
    let mut second = hotcake();
    second.args(["up", "--demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path());
    let output = second.current_dir(dir.path()).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("process {}", first.0.child.id())), "it names the process that has the directory: {said}");
    assert_eq!(get(first.address(), "/livez"), Some(200), "the first one goes on");
}

#[test]
fn a_start_waits_for_an_audit_that_has_the_directory_for_a_moment() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let audit = Directory::open(&data).expect("nobody else has it");
    let mut up = hotcake();
    up.args(["up", "--demo", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    let mut up = up.current_dir(dir.path()).stdout(Stdio::piped()).spawn().expect("the binary starts");
    wait_for("the start to meet the lock", Duration::from_secs(20), || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", up.id())).ok()?;
        let has_lock = files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|file| file == data.join("lock")));
        let ended = up.try_wait().expect("it is ours").is_some();
        (has_lock || ended).then_some(())
    });
    drop(audit);
    let mut line = String::new();
    BufReader::new(up.stdout.take().expect("stdout is piped")).read_line(&mut line).expect("stdout is read");
    // It fails only when it is gone already.
    let _ = up.kill();
    up.wait().expect("it is ours");
    assert!(line.contains("\"ready\""), "it started as soon as the directory was free: {line:?}");
}
