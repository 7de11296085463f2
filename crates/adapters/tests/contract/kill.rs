//! What was answered survives `kill -9` and a full disk.
//!
//! The test runs this very binary a second time as its victim: a process that works on a data directory and says on
//! standard output what it was answered, until it is killed.

use super::settings;
use adapters::embedded::{Directory, EmbeddedQueue};
use adapters::sqlite::SqliteLedger;
use futures_util::future::join_all;
use sale::order::{Source, Status};
use sale::ports::{BumpAsk, Effect, Half, Ledger, Queue, Sheaf, Verdict};
use sale::words::{Ask, BatchId, Epoch, OrderId, RunId, SaleId, SaleStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Set in the victim only: the directory that it works on.
const VICTIM: &str = "HOTCAKE_TEST_VICTIM";
/// The number of its round.
const ROUND: &str = "HOTCAKE_TEST_ROUND";
/// Set in the victim of the full disk: the queue's file.
const FULL: &str = "HOTCAKE_TEST_FULL";
const PER_ROUND: u64 = 1_000_000;

fn half(number: u64) -> Half {
    Half { batch: BatchId { node: 1, number }, tag: "sku".into(), body: body(number) }
}

fn body(number: u64) -> Vec<u8> {
    (0..(number * 131) % 12_000).map(|at| (at ^ number) as u8).chain(number.to_be_bytes()).collect()
}

fn number(body: &[u8]) -> u64 {
    let number = u64::from_be_bytes(body[body.len() - 8..].try_into().unwrap());
    assert!(body == self::body(number), "the body of {number} has changed");
    number
}

// --- the victim

/// Does nothing by itself: it is what `c34_whatever_was_answered_survives_kill_9` starts and kills.
#[tokio::test]
async fn the_victim_of_kill_9() {
    let Some(path) = std::env::var_os(VICTIM).map(PathBuf::from) else { return println!("a victim only when started by the kill test") };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let directory = Directory::open(&path).unwrap();
    let queue = EmbeddedQueue::open(&directory.queue_path(), settings()).unwrap();
    let lanes = join_all((0..4).map(|lane| produce(&queue, round * PER_ROUND, lane)));
    tokio::join!(lanes, consume(&queue, round));
}

/// What may be lost is said before it is done, what may not is said after it was answered.
async fn produce(queue: &EmbeddedQueue, base: u64, lane: u64) {
    for at in 0..PER_ROUND / 4 {
        let number = base + at * 4 + lane;
        let receipt = queue.prepare(half(number)).await.unwrap();
        println!("@ prepared {number}");
        let verdict = match number % 11 {
            0..=7 => Verdict::Commit,
            8 | 9 => Verdict::Rollback,
            _ => continue,
        };
        println!("@ {} {number}", if verdict == Verdict::Commit { "commit" } else { "rollback" });
        queue.settle(receipt, verdict).await;
    }
}

async fn consume(queue: &EmbeddedQueue, round: u64) {
    for count in 1.. {
        for message in queue.receive(16, 1_000).await.unwrap() {
            let number = number(&message.body);
            match number % 13 {
                0 => {
                    println!("@ parking {number}");
                    queue.park(message.handle, "thirteen").await.unwrap();
                    println!("@ parked {number}");
                }
                1 => {} // stays away until the end
                _ => {
                    let seq = round * PER_ROUND + count;
                    println!("@ acking {number}");
                    println!("@ witness {seq}");
                    queue.ack(vec![message.handle], seq).await;
                }
            }
        }
    }
}

/// Does nothing by itself: it is what `c34_every_recorded_order_survives_kill_9` starts and kills.
#[tokio::test]
async fn the_recording_victim_of_kill_9() {
    let Some(path) = std::env::var_os(VICTIM).map(PathBuf::from) else { return println!("a victim only when started by the kill test") };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let directory = Directory::open(&path).unwrap();
    let ledger = SqliteLedger::open(&directory.ledger_path()).unwrap();
    let sale = sale::contract::sale("killed");
    if let Ok(made) = ledger.create_sale(&sale::contract::terms(sale), 1_000_000, "suite").await.unwrap() {
        let ask = BumpAsk { sale, seen: made.epoch, run: RunId(1), to: Some(SaleStatus::Open), lease_ms: 60_000 };
        ledger.bump(ask).await.unwrap();
        println!("@ opened 1");
    }
    join_all((0..4).map(|lane| record(&ledger, sale, round * PER_ROUND, lane))).await;
}

async fn record(ledger: &SqliteLedger, sale: SaleId, base: u64, lane: u64) {
    for at in 0..PER_ROUND / 64 {
        let numbers = (0..8).map(|n| base + (at * 4 + lane) * 8 + n);
        let asks: Vec<Ask> = numbers.clone().map(|number| buyer(sale, number)).collect();
        let sheaf = Sheaf { sale, epoch: Epoch(1), source: Source::Message, asks };
        let recorded = ledger.record(vec![sheaf]).await.unwrap();
        assert!(recorded.sheaves[0].is_ok());
        for number in numbers {
            println!("@ recorded {number}");
        }
        println!("@ seq {}", recorded.seq);
    }
}

fn buyer(sale: SaleId, number: u64) -> Ask {
    sale::contract::ask(sale, &format!("buyer-{number}"), 1 + (number % 2) as u32)
}

/// Does nothing by itself: it is what `c34_a_disk_that_takes_no_more_is_no_false_ok` starts.
#[tokio::test]
async fn the_victim_of_a_full_disk() {
    let Some(path) = std::env::var_os(FULL).map(PathBuf::from) else {
        return println!("a victim only when started by the full disk's test");
    };
    let queue = EmbeddedQueue::open(&path, settings()).unwrap();
    let mut refused = 0;
    for number in 0.. {
        match queue.prepare(half(number)).await {
            Ok(_) => println!("@ prepared {number}"),
            Err(fault) => {
                assert_eq!(fault.effect, Effect::None, "{fault}");
                println!("@ refused {number}");
                refused += 1;
            }
        }
        if refused == 20 {
            // Nothing is tidied up: what was answered must do.
            std::process::exit(0);
        }
    }
}

// --- the one who kills

/// What the victims said: word by word the numbers that they said it of.
#[derive(Default)]
struct Said(BTreeMap<String, BTreeSet<u64>>);

impl Said {
    fn hear(&mut self, line: &str) -> bool {
        let Some((word, number)) = line.rsplit_once("@ ").and_then(|(_, said)| said.split_once(' ')) else { return false };
        let Ok(number) = number.trim_end().parse() else { return false };
        self.0.entry(word.to_owned()).or_default().insert(number);
        true
    }

    fn of(&self, word: &str) -> BTreeSet<u64> {
        self.0.get(word).cloned().unwrap_or_default()
    }

    fn has(&self, word: &str, number: u64) -> bool {
        self.0.get(word).is_some_and(|numbers| numbers.contains(&number))
    }
}

/// Starts a victim, hears `lines` lines of it, kills it wherever it is then, and hears out what it had still said.
fn kill_after(victim: &str, path: &Path, round: u64, lines: usize, said: &mut Said) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", victim, "--nocapture", "--test-threads=1"])
        .env(VICTIM, path)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(victim.stdout.take().unwrap());
    let mut heard = 0;
    let mut line = String::new();
    while heard < lines {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the victim died by itself in round {round}");
        heard += usize::from(said.hear(&line));
    }
    victim.kill().unwrap();
    // The last line may be cut off: then it was not said.
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut out, &mut rest).unwrap();
    for line in rest.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n")) {
        said.hear(&String::from_utf8_lossy(line));
    }
    assert!(!victim.wait().unwrap().success());
}

#[tokio::test]
async fn c34_whatever_was_answered_survives_kill_9() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("data");
    let mut said = Said::default();
    let mut witness_before = None;
    for (round, lines) in [1_usize, 40, 397, 1_500, 4_001, 6_007].into_iter().enumerate() {
        kill_after("kill::the_victim_of_kill_9", &path, round as u64, lines, &mut said);
        // The kernel has let go of the lock.
        let directory = Directory::open(&path).unwrap();
        let queue = EmbeddedQueue::open(&directory.queue_path(), settings()).unwrap();
        let witness = queue.witness().await.unwrap();
        assert!(witness <= said.of("witness").last().copied(), "round {round}: a sequence that nobody named");
        assert!(witness >= witness_before, "round {round}: the witness went back");
        witness_before = witness;
        survived(&queue, &said, round).await;
    }
    for word in ["prepared", "commit", "rollback", "acking", "parked"] {
        assert!(said.of(word).len() > 50, "the victims hardly ever did {word}: the test shows nothing");
    }
}

async fn survived(queue: &EmbeddedQueue, said: &Said, round: usize) {
    let mut found: BTreeMap<u64, &str> = BTreeMap::new();
    let halves = queue.checks(usize::MAX, 0).await.unwrap().into_iter().map(|check| (check.body, "half"));
    let messages = queue.receive(usize::MAX, 0).await.unwrap().into_iter().map(|message| (message.body, "message"));
    let parked = queue.parked(0, usize::MAX).await.unwrap().into_iter().map(|parked| (parked.body, "parked"));
    for (body, place) in halves.chain(messages).chain(parked) {
        let number = number(&body);
        assert_eq!(found.insert(number, place), None, "round {round}: {number} is there twice");
        assert!(place != "message" || said.has("commit", number), "round {round}: {number} is delivered and nobody said commit");
        assert!(place != "parked" || said.has("parking", number), "round {round}: nobody parked {number}");
    }
    for number in said.of("prepared") {
        let place = found.get(&number).copied().unwrap_or("gone");
        let may: &[&str] = if said.has("parked", number) {
            &["parked"]
        } else if said.has("parking", number) {
            &["half", "message", "parked"]
        } else if said.has("acking", number) {
            &["half", "message", "gone"]
        } else if said.has("commit", number) {
            &["half", "message"]
        } else if said.has("rollback", number) {
            &["half", "gone"]
        } else {
            &["half"]
        };
        assert!(may.contains(&place), "round {round}: {number} is {place}; it may be {may:?}");
    }
}

#[tokio::test]
async fn c34_every_recorded_order_survives_kill_9() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("data");
    let sale = sale::contract::sale("killed");
    let mut said = Said::default();
    for (round, lines) in [1_usize, 100, 999, 5_003, 20_011].into_iter().enumerate() {
        kill_after("kill::the_recording_victim_of_kill_9", &path, round as u64, lines, &mut said);
        let directory = Directory::open(&path).unwrap();
        let ledger = SqliteLedger::open(&directory.ledger_path()).unwrap();
        assert!(ledger.seq().await.unwrap() >= said.of("seq").last().copied().unwrap_or(0), "round {round}: the sequence went back");
        let recorded = said.of("recorded");
        let asks: Vec<Ask> = recorded.iter().map(|&number| buyer(sale, number)).collect();
        for asks in asks.chunks(500) {
            let ids: Vec<OrderId> = asks.iter().map(|ask| OrderId { sale, digest: ask.digest }).collect();
            for (ask, row) in asks.iter().zip(ledger.orders(&ids).await.unwrap()) {
                let row = row.unwrap_or_else(|| panic!("round {round}: {} was recorded and is gone", ask.buyer));
                assert_eq!((&row.ask, row.status), (ask, Status::Confirmed), "round {round}");
            }
        }
        let books = ledger.books(sale).await.unwrap();
        let Some(books) = books else {
            assert!(said.of("opened").is_empty(), "round {round}: the sale is gone");
            continue;
        };
        let report = sale::books::audit(&[sale::books::Books { gate: None, ledger: books, at_rest: false }], None);
        assert!(report.breaches.is_empty(), "round {round}: {:?}", report.breaches);
    }
    assert!(said.of("recorded").len() > 1_000, "the victims recorded hardly anything: the test shows nothing");
}

#[tokio::test]
async fn c34_a_disk_that_takes_no_more_is_no_false_ok() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("queue.db");
    // The kernel refuses to let a file grow beyond a megabyte or half of one, as the shell counts.
    let victim = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "kill::the_victim_of_a_full_disk", "--nocapture", "--test-threads=1"])
        .env(FULL, &path)
        .output()
        .unwrap();
    let mut said = Said::default();
    for line in String::from_utf8_lossy(&victim.stdout).lines() {
        said.hear(line);
    }
    assert!(victim.status.success(), "{}", String::from_utf8_lossy(&victim.stderr));
    let prepared = said.of("prepared");
    assert!(prepared.len() > 20 && said.of("refused").len() == 20, "{} prepared", prepared.len());
    let queue = EmbeddedQueue::open(&path, settings()).unwrap();
    let there: BTreeSet<u64> = queue.checks(usize::MAX, 0).await.unwrap().iter().map(|check| number(&check.body)).collect();
    assert_eq!(there, prepared, "what was answered with Ok is there, what was refused is not");
    queue.prepare(half(1)).await.expect("there is room again");
}
