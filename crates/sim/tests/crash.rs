//! Exhaustive: a sale's whole life, with every single call of a port failing once, in every way, and with two of them failing.

use sim::exhaustive::{Failed, pairs, singles, tell};
use sim::life::{BLOWS, Life, live};

/// One pair of blows in so many is tried in CI. `cargo xtask sim --pairs 1` tries all.
const PAIRS_EVERY: usize = 199;

fn none_failed(tried: usize, failed: &Failed) {
    assert!(failed.is_empty(), "{} of {tried} lives broke a law: {failed:?}\n{}", failed.len(), tell(failed));
    println!("{tried} lives, every law held");
}

fn every_call_fails_once(embedded: bool) {
    for life in Life::ALL.into_iter().filter(|life| life.embedded == embedded) {
        let (tried, failed) = singles(life);
        // Every verb is in it: a life that ends early proves nothing.
        assert!(tried > 100 * BLOWS.len(), "{life:?}: {tried} lives");
        none_failed(tried, &failed);
    }
}

#[test]
fn c01_c02_c11_every_call_fails_once_and_the_gate_survives() {
    every_call_fails_once(false);
}

#[test]
fn c08_every_call_fails_once_and_the_gate_dies_with_its_node() {
    every_call_fails_once(true);
}

#[test]
fn two_calls_fail() {
    for life in Life::ALL {
        let (tried, failed) = pairs(life, PAIRS_EVERY, &|_, _| {});
        assert!(tried > 1_000, "{life:?}: {tried} lives");
        none_failed(tried, &failed);
    }
}

#[test]
fn a_life_without_failures_takes_every_step_as_it_is_meant() {
    for life in Life::ALL {
        let lived = live(life, &[], false);
        assert_eq!(lived.failure, None, "{life:?}");
        for call in
            ["queue.checks", "gate.finish_withdrawal", "gate.raise", "gate.release", "gate.publish", "ledger.refund", "ledger.close"]
        {
            assert!(lived.calls.contains(&call), "{life:?}: {call} is never called");
        }
        let batches = lived.calls.iter().filter(|call| **call == "gate.hold").count();
        assert_eq!(batches, 5, "{life:?}: who asks side by side goes in one batch");
        assert_eq!(lived.calls, live(life, &[], true).calls, "{life:?}: the same life again");
    }
}
