//! `cargo xtask bench`: Hotcake embedded against a bare axum server, in alternating rounds under one generator with the same
//! request bytes. It prints ratios: rates of one machine mean nothing on another.

mod figures;
mod server;

use crate::machine;
use crate::steps::{cargo, now, run as run_command};
use figures::Figure;
use serde_json::{Value, json};
use server::Server;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// More purchases a second than any machine answers: what bounds a round is its time.
const RATE_MAX: f64 = 200_000.0;
/// Orders of the dear part.
const MANY: u32 = 1_000_000;
/// The sale of the sold-out rounds has so few units that nearly every answer says "sold out".
const FEW_UNITS: u32 = 100;

struct Options {
    long: bool,
    rounds: usize,
    seconds: f64,
    connections: u32,
    out: Option<PathBuf>,
}

/// Builds, measures, prints, writes the file.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let options = options(args)?;
    run_command(&mut cargo(root, &["build", "--release", "--package", "hotcake", "--bins", "--example", "bare"]))?;
    let dir = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
    let machine = machine::describe(dir.path());
    let how = how(root, &options);
    println!("{machine:#}\n{how}\n");

    let mut figures = closed_loop(root, &options)?;
    let accepted = figures.iter().find(|figure| figure.name == "accepted/s").map_or(0.0, Figure::median);
    figures.extend(half_load(root, &options, accepted / 2.0)?);
    if options.long {
        figures.extend(many_orders(root, &options)?);
    }
    println!();
    figures.iter().for_each(|figure| println!("{}", figure.line()));
    let written = json!({ "machine": machine, "how": how, "figures": figures.iter().map(Figure::json).collect::<Vec<_>>() });
    let today = machine::said_by(Command::new("date").args(["-u", "+%Y-%m-%d"]));
    let out = options.out.unwrap_or_else(|| root.join(format!("bench-{today}.json")));
    std::fs::write(&out, format!("{written:#}\n")).map_err(|e| format!("{}: {e}", out.display()))?;
    println!("\nwritten to {}", out.display());
    Ok(())
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options { long: false, rounds: 5, seconds: 3.0, connections: 256, out: None };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
        let number = |text: &String| {
            text.parse::<f64>().ok().filter(|n| *n > 0.0).ok_or_else(|| format!("{flag} is a number above zero, not {text:?}"))
        };
        match flag.as_str() {
            "--long" => options.long = true,
            "--rounds" => options.rounds = number(value()?)? as usize,
            "--seconds" => options.seconds = number(value()?)?,
            "--connections" => options.connections = number(value()?)? as u32,
            "--out" => options.out = Some(value()?.into()),
            _ => return Err(format!("there is no flag {flag}")),
        }
    }
    // Half a second is left out at the start, and another must remain.
    if options.seconds < 1.1 || options.rounds == 0 {
        return Err("--seconds is at least 1.1 and --rounds at least 1".into());
    }
    Ok(options)
}

/// Generator, connections and gathering window stand with every figure.
fn how(root: &Path, options: &Options) -> String {
    let shown =
        Command::new(root.join("target/release/hotcake")).args(["config", "show", "--json"]).current_dir(std::env::temp_dir()).output();
    let shown: Value = shown.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default();
    let window = shown["protocol.gather_us"]["value"].as_str().map_or_else(|| "its default".to_owned(), |us| format!("{us} µs"));
    format!(
        "generator hotcake bench (one thread), {} keep-alive connections, gathering window {window}, Prefer: wait=3, limit 2, distinct buyers; {} rounds of {} s, the first 0.5 s left out",
        options.connections, options.rounds, options.seconds
    )
}

fn words(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// As fast as it goes: bare, accepted, sold out, in turn.
fn closed_loop(root: &Path, options: &Options) -> Result<Vec<Figure>, String> {
    let purchases = (options.seconds * RATE_MAX) as u32;
    let load = |units: u32| {
        let (purchases, seconds, connections) = (purchases.to_string(), options.seconds.to_string(), options.connections.to_string());
        let mut args = words(&["--purchases", &purchases, "--seconds", &seconds, "--connections", &connections]);
        args.extend(words(&["--units", &units.to_string()]));
        args
    };
    let mut accepted = Figure::new("accepted ÷ bare", "201 after the ledger's commit, per second");
    let mut sold_out = Figure::new("sold out ÷ bare", "409 per second");
    let mut cpu = Figure::new("cpu, accepted (bare ÷ hotcake)", "processor time per purchase, server and generator together");
    let mut rates = [
        Figure::new("bare/s", "this machine only"),
        Figure::new("accepted/s", "this machine only"),
        Figure::new("sold out/s", "this machine only"),
    ];
    for round in 1..=options.rounds {
        let bare = measured(&Server::bare(root)?, root, &load(0), "answered")?;
        let dir = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
        let server = Server::hotcake(root, dir.path())?;
        let taken = measured(&server, root, &load(purchases), "confirmed")?;
        let refused = measured(&server, root, &load(FEW_UNITS), "answered")?;
        println!("round {round}: bare {:.0}/s, accepted {:.0}/s, sold out {:.0}/s", bare.rate, taken.rate, refused.rate);
        accepted.rounds.push(taken.rate / bare.rate);
        sold_out.rounds.push(refused.rate / bare.rate);
        cpu.rounds.push(bare.cpu_us / taken.cpu_us);
        for (figure, load) in rates.iter_mut().zip([&bare, &taken, &refused]) {
            figure.rounds.push(load.rate);
        }
    }
    Ok([accepted, sold_out, cpu].into_iter().chain(rates).collect())
}

struct Measured {
    rate: f64,
    cpu_us: f64,
}

fn measured(server: &Server, root: &Path, args: &[String], rate: &str) -> Result<Measured, String> {
    let before = server.cpu_s();
    let said = server.load(root, args)?;
    // The audit's share is in the server's time: it is small beside seconds of full load, and not to Hotcake's advantage.
    let server_us = (server.cpu_s() - before) * 1e6 / said["purchases"].as_f64().unwrap_or(1.0);
    Ok(Measured { rate: number(&said, &["rates", rate])?, cpu_us: server_us + number(&said, &["generator_cpu_us"])? })
}

/// At half of what was accepted, open loop: how slow the slowest hundredth is, at the same rate for both.
fn half_load(root: &Path, options: &Options, rate: f64) -> Result<Vec<Figure>, String> {
    let purchases = (options.seconds * rate) as u32;
    let (count, rate_text, connections) = (purchases.to_string(), format!("{rate:.0}"), options.connections.to_string());
    let args = words(&["--purchases", &count, "--rate", &rate_text, "--connections", &connections, "--units", &count]);
    let note = format!("open loop at {rate:.0}/s, half of accepted/s; time from when a request was due");
    let mut ratio = Figure::new("p99 at half load ÷ bare", note);
    let mut p99 = [Figure::new("bare p99 ms", "the same rate"), Figure::new("hotcake p99 ms", "to the 201")];
    for round in 1..=options.rounds {
        let bare = number(&Server::bare(root)?.load(root, &args)?, &["answered", "p99_ms"])?;
        let dir = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
        let hotcake = number(&Server::hotcake(root, dir.path())?.load(root, &args)?, &["confirmed", "p99_ms"])?;
        println!("half load, round {round}: p99 bare {bare:.2} ms, hotcake {hotcake:.2} ms");
        ratio.rounds.push(hotcake / bare);
        p99[0].rounds.push(bare);
        p99[1].rounds.push(hotcake);
    }
    Ok(std::iter::once(ratio).chain(p99).collect())
}

/// What a million orders change: the rate, the memory, the restart.
fn many_orders(root: &Path, options: &Options) -> Result<Vec<Figure>, String> {
    let dir = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
    let server = Server::hotcake(root, dir.path())?;
    let args = |purchases: u32| {
        let (count, connections) = (purchases.to_string(), options.connections.to_string());
        words(&["--purchases", &count, "--connections", &connections, "--units", &count])
    };
    // A first sale warms everything up, so that the second one's growth is its orders.
    server.load(root, &args(MANY / 50))?;
    let before = server.rss_kb();
    let many = MANY + MANY / 10;
    let (said, held) = std::thread::scope(|scope| {
        let (over, is_over) = sync_channel::<()>(0);
        let held = scope.spawn({
            let server = &server;
            move || last_while_selling(server, f64::from(many + MANY / 50), &is_over)
        });
        let said = server.load(root, &args(many));
        drop(over);
        said.map(|said| (said, held.join().expect("sampling does not panic")))
    })?;
    let mut memory = Figure::new("RSS per order, bytes", "growth of the server while it sold, over the orders held when it was last read");
    let (orders, rss_kb) = held.ok_or("the server's memory could not be read while it sold")?;
    memory.rounds.push((rss_kb - before) * 1024.0 / (orders - f64::from(MANY / 50)));
    let mut flat =
        Figure::new("rate after 10^6 ÷ after 10^3", "confirmed per second in one sale, the last tenth against a tenth at the start");
    flat.rounds.push(flatness(&said)?);
    drop(server);

    let mut restart = Figure::new("restart with 10^6 orders, s", "from the start of the process after a kill -9 to its ready line");
    for _ in 0..options.rounds.min(3) {
        let start = now();
        drop(Server::hotcake(root, dir.path())?);
        restart.rounds.push(start.elapsed().as_secs_f64());
    }
    Ok(vec![flat, memory, restart])
}

/// Orders recorded and kilobytes held, read together for the last time before everything was sold: what comes then is the
/// audit, whose memory the allocator keeps.
fn last_while_selling(server: &Server, all: f64, is_over: &Receiver<()>) -> Option<(f64, f64)> {
    let mut last = None;
    while is_over.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
        let (rss_kb, orders) = (server.rss_kb(), server.metric("hotcake_record_size_sum"));
        match orders {
            Some(orders) if orders < all => last = Some((orders, rss_kb)),
            _ => {}
        }
    }
    last
}

/// The rate over the last `MANY / 10` orders, divided by that over as many once the first thousand (and the first half second) are over.
fn flatness(said: &Value) -> Result<f64, String> {
    let tenths: Vec<f64> = said["confirmed_by_tenth"]
        .as_array()
        .ok_or("the generator printed no confirmed_by_tenth")?
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    // The first half second warms up, the last tenth is not whole.
    let whole = tenths.get(5..tenths.len().saturating_sub(1)).unwrap_or_default();
    let rate = |tenths: &mut dyn Iterator<Item = &f64>| {
        let (mut orders, mut seconds) = (0.0, 0.0);
        while orders < f64::from(MANY / 10) {
            orders += tenths.next()?;
            seconds += 0.1;
        }
        Some(orders / seconds)
    };
    let (first, last) = (rate(&mut whole.iter()), rate(&mut whole.iter().rev()));
    first.zip(last).map(|(first, last)| last / first).ok_or_else(|| "the load was too short for flatness".to_owned())
}

fn number(said: &Value, path: &[&str]) -> Result<f64, String> {
    let value = path.iter().fold(said, |value, name| &value[*name]);
    value.as_f64().ok_or_else(|| format!("the generator printed no {}: {said}", path.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flatness_compares_the_ends_of_a_run() {
        let mut tenths = vec![1.0; 5];
        tenths.extend([10_000.0; 20]);
        tenths.extend([5_000.0; 21]);
        tenths.push(3.0);
        let ratio = flatness(&json!({ "confirmed_by_tenth": tenths })).expect("the run is long enough");
        assert!((ratio - 0.5).abs() < 1e-9, "{ratio}");
        assert!(flatness(&json!({ "confirmed_by_tenth": [1.0, 2.0] })).is_err());
    }
}
