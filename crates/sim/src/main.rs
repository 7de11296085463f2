//! `sim [--seeds N] [--from S] [--until-caught] [--blind L]`: runs so many schedules on all cores and prints what they came to.
//! `sim --pairs EVERY`: of all pairs of failures in a sale's life, one in so many. Ends with 1 when a law was broken; then the
//! first failures are told with their history.

use sale::books::Law;
use sim::Counts;
use sim::REST_US;
use sim::exhaustive::{pairs, tell as tell_pairs};
use sim::life::Life;
use sim::schedule::{Plan, run, tell};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Failures that are told; the others are counted.
const TOLD: usize = 3;

struct Options {
    seeds: u64,
    from: u64,
    /// End at the first failure and tell nothing but its seed, its law and how many seeds it took.
    until_caught: bool,
    /// A law that is not looked at.
    blind: Option<Law>,
    /// No schedules, but one in so many of all pairs of failures.
    pairs: Option<usize>,
}

#[derive(Default)]
struct Sum {
    schedules: u64,
    us: u64,
    purchases: u64,
    faults: Counts,
    statuses: BTreeMap<&'static str, u64>,
    paths: Counts,
    failed: Vec<(u64, Vec<&'static str>, String)>,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\nusage: sim [--seeds N] [--from S] [--until-caught] [--blind L5] | sim --pairs EVERY");
            return ExitCode::from(2);
        }
    };
    // What panics in a schedule is its failure, and told as one.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(every) = options.pairs {
        return show_pairs(every);
    }
    let started = now();
    let (next, over) = (AtomicU64::new(options.from), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&options, &next, &over, &sum))).collect();
        let shows = std::io::stderr().is_terminal();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::park_timeout(Duration::from_millis(200));
            let sum = sum.lock().expect("no worker panics with it");
            if shows {
                eprint!("\r{} of {} schedules, {} failed", sum.schedules, options.seeds, sum.failed.len());
                let _ = std::io::stderr().flush();
            }
        }
        if shows {
            eprintln!();
        }
    });
    let mut sum = sum.into_inner().expect("no worker panics with it");
    sum.failed.sort_unstable();
    show(&options, &sum, started.elapsed(), threads)
}

#[expect(clippy::disallowed_methods, reason = "the speed of the simulator is told in real time; no order depends on it")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn options() -> Result<Options, String> {
    let mut options = Options { seeds: 1_000, from: 0, until_caught: false, blind: None, pairs: None };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{flag} is a number, not {text:?}"));
        match flag.as_str() {
            "--seeds" => options.seeds = number(value()?)?,
            "--from" => options.from = number(value()?)?,
            "--pairs" => options.pairs = Some(number(value()?)?.max(1) as usize),
            "--until-caught" => options.until_caught = true,
            "--blind" => {
                let name = value()?;
                let law = Law::ALL.into_iter().find(|law| law.as_str() == name);
                options.blind = Some(law.ok_or_else(|| format!("there is no law {name:?}"))?);
            }
            _ => return Err(format!("there is no flag {flag}")),
        }
    }
    Ok(options)
}

/// One in so many of all pairs of failures, life by life.
fn show_pairs(every: usize) -> ExitCode {
    let shows = std::io::stderr().is_terminal();
    let mut all = Vec::new();
    for life in Life::ALL {
        let started = now();
        let (tried, failed) = pairs(life, every, &|done, of| {
            if shows {
                eprint!("\r{done} of {of} first failures");
            }
        });
        println!("{life:?}: {tried} pairs of failures, {} breaches, {:.0} s", failed.len(), started.elapsed().as_secs_f64());
        all.extend(failed);
    }
    print!("{}", tell_pairs(&all));
    if all.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plan(options: &Options, seed: u64) -> Plan {
    let mut plan = Plan::of(seed);
    plan.blind_to.extend(options.blind);
    plan
}

fn work(options: &Options, next: &AtomicU64, over: &AtomicBool, sum: &Mutex<Sum>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= options.from + options.seeds || over.load(Ordering::Relaxed) {
            break;
        }
        let end = run(&plan(options, seed), false);
        let mut sum = sum.lock().expect("no worker panics with it");
        sum.schedules += 1;
        sum.us += end.us;
        sum.purchases += end.purchases;
        end.faults.into_iter().for_each(|(what, times)| *sum.faults.entry(what).or_default() += times);
        end.statuses.into_iter().for_each(|(status, orders)| *sum.statuses.entry(status).or_default() += orders);
        end.paths.into_iter().for_each(|(path, times)| *sum.paths.entry(path).or_default() += times);
        if let Some(failure) = end.failure {
            if options.until_caught {
                over.store(true, Ordering::Relaxed);
            }
            sum.failed.push((seed, failure.laws, failure.what));
        }
    }
}

fn show(options: &Options, sum: &Sum, took: Duration, threads: usize) -> ExitCode {
    let list = |counts: &BTreeMap<&'static str, u64>| counts.iter().map(|(what, n)| format!("{what} {n}")).collect::<Vec<_>>().join(", ");
    if !options.until_caught {
        for (seed, ..) in sum.failed.iter().take(TOLD) {
            println!("{}", tell(&plan(options, *seed)));
        }
        let faults: u64 = sum.faults.values().sum();
        println!("faults: {}", list(&sum.faults));
        println!("ways through the protocol: {}", list(&sum.paths));
        println!("orders at the end: {}", list(&sum.statuses));
        println!(
            "{} schedules (seeds {} to {}), {} purchases, {:.1} simulated hours, {faults} faults, {} breaches; {:.0} schedules/s on {threads} cores",
            sum.schedules,
            options.from,
            options.from + sum.schedules.max(1) - 1,
            sum.purchases,
            sum.us as f64 / 3.6e9,
            sum.failed.len(),
            sum.schedules as f64 / took.as_secs_f64(),
        );
        println!("after the last fault everything comes to rest within {} simulated seconds", REST_US / 1_000_000);
    }
    match sum.failed.first() {
        None => ExitCode::SUCCESS,
        Some((seed, laws, what)) => {
            let laws = if laws.is_empty() { "no law".to_owned() } else { laws.join(" ") };
            println!("caught after {} schedules by seed {seed}: {laws}: {what}", sum.schedules);
            ExitCode::FAILURE
        }
    }
}
