//! The simulator on the protocol as it is, and on itself. `cargo xtask sim` runs more.

use sale::order::Status;
use sim::PATHS;
use sim::executor::Random;
use sim::exhaustive::on_all_cores;
use sim::schedule::{Plan, run, tell};
use sim::weather::{KINDS, Weather};
use std::collections::BTreeSet;

/// Seeds in CI.
const SEEDS: u64 = 6_000;
/// Everything that happens to a schedule, by the names under which it is counted.
const FAULTS: [&str; 22] = [
    "call refused",
    "call lost",
    "reply lost",
    "call slow",
    "reply slow",
    "call late",
    "crash before a call",
    "crash after a call",
    "gate wiped",
    "gate restarted",
    "gate rewound",
    "fail-over to a lagging replica",
    "node stands still",
    "clock jumps",
    "settlement forgotten",
    "delivered after a rollback",
    "delivered once more",
    "half message dropped",
    "delivery held back",
    "poison",
    "two rebuilders",
    "audit by a node",
];

#[test]
fn random_schedules_break_no_law() {
    let ends = on_all_cores(SEEDS as usize, |seed| run(&Plan::of(seed as u64), false));
    let failed: Vec<u64> = (0..).zip(&ends).filter(|(_, end)| end.failure.is_some()).map(|(seed, _)| seed).collect();
    let told = failed.first().map(|&seed| tell(&Plan::of(seed))).unwrap_or_default();
    assert!(failed.is_empty(), "{} of {SEEDS} seeds fail: {:?}\n{told}", failed.len(), &failed[..failed.len().min(20)]);
    // What is said to happen and never does proves nothing.
    let happened: BTreeSet<&str> = ends.iter().flat_map(|end| end.faults.keys().copied()).collect();
    let missing: Vec<_> = FAULTS.into_iter().filter(|what| !happened.contains(what)).collect();
    let unnamed: Vec<_> = happened.iter().filter(|what| !FAULTS.contains(what)).collect();
    assert!(missing.is_empty() && unnamed.is_empty(), "never happened: {missing:?}; not listed: {unnamed:?}");
    for (path, _) in PATHS {
        assert!(ends.iter().any(|end| end.paths[path] > 0), "no schedule goes this way: {path}");
    }
    for status in Status::ALL.into_iter().filter(|status| *status != Status::Processing) {
        assert!(ends.iter().any(|end| end.statuses.contains_key(status.as_str())), "no order ends as {status:?}");
    }
    println!("{SEEDS} schedules, every law held");
}

#[test]
fn without_faults_nothing_fails_and_no_fault_is_counted() {
    for seed in 0..50 {
        let end = run(&Plan { weather: Weather::default(), ..Plan::of(seed) }, false);
        assert_eq!(end.failure, None, "seed {seed}");
        let faults: Vec<_> = end.faults.keys().filter(|what| !["two rebuilders", "audit by a node"].contains(what)).collect();
        assert!(faults.is_empty(), "{faults:?}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 0..200 {
        let ends = [run(&Plan::of(seed), false), run(&Plan::of(seed), false), run(&Plan::of(seed), true)];
        let what = |end: &sim::schedule::End| (end.us, end.purchases, end.faults.clone(), end.statuses.clone());
        assert_eq!(what(&ends[0]), what(&ends[1]), "seed {seed}");
        assert_eq!(what(&ends[0]), what(&ends[2]), "seed {seed}: a history that is kept changes nothing");
    }
}

#[test]
fn every_kind_of_fault_happens_and_can_be_turned_off() {
    let all = (0..200).map(|seed| Weather::draw(&Random::new(seed))).fold(0, |kinds, weather| {
        kinds
            | KINDS.iter().enumerate().fold(0, |kinds, (at, (_, off))| {
                let mut less = weather;
                off(&mut less);
                kinds | if less == weather { 0 } else { 1 << at }
            })
    });
    assert_eq!(all, (1 << KINDS.len()) - 1, "a kind is never drawn, or turning it off changes nothing");
}
