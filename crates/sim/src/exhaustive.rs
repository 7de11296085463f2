//! All ways in which one call, or two, of a sale's life can fail, on all cores. Knows the numbers of calls, nothing of the
//! steps.

use crate::life::{BLOWS, Blow, Life, live};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Lives in which a law was broken: which, and the blows.
pub type Failed = Vec<(Life, Vec<(usize, Blow)>)>;

/// Every call of a life fails once, in every way. How many lives that were, and which failed.
pub fn singles(life: Life) -> (usize, Failed) {
    let calls = live(life, &[], false).calls.len();
    let failed = on_all_cores(calls * BLOWS.len(), |at| {
        let blows = vec![(at / BLOWS.len(), BLOWS[at % BLOWS.len()])];
        (1, if live(life, &blows, false).failure.is_some() { vec![(life, blows)] } else { Vec::new() })
    });
    failed.into_iter().fold((0, Vec::new()), add)
}

/// Two calls of a life fail, the second at any moment after the first: one pair in `every`. `seen` hears how far it is.
pub fn pairs(life: Life, every: usize, seen: &(dyn Fn(usize, usize) + Sync)) -> (usize, Failed) {
    let calls = live(life, &[], false).calls.len();
    let firsts = calls * BLOWS.len();
    let done = AtomicUsize::new(0);
    let failed = on_all_cores(firsts, |at| {
        let first = (at / BLOWS.len(), BLOWS[at % BLOWS.len()]);
        // What comes after the first blow depends on it.
        let later = live(life, &[first], false).calls.len();
        let seconds = (first.0 + 1..later).flat_map(|call| BLOWS.map(|blow| (call, blow)));
        // An offset by the first, so that a sample has all kinds of pairs.
        let sample = seconds.skip(at % every).step_by(every);
        let lives = sample.map(|second| vec![first, second]).map(|blows| {
            let failed = live(life, &blows, false).failure.is_some();
            (1, if failed { vec![(life, blows)] } else { Vec::new() })
        });
        let sum = lives.fold((0, Vec::new()), add);
        seen(done.fetch_add(1, Ordering::Relaxed) + 1, firsts);
        sum
    });
    failed.into_iter().fold((0, Vec::new()), add)
}

/// The first of the failed lives, with its history; empty if there is none.
pub fn tell(failed: &Failed) -> String {
    let Some((life, blows)) = failed.first() else { return String::new() };
    let lived = live(*life, blows, true);
    let on = |&(at, blow): &(usize, Blow)| format!("{blow:?} at call {at} ({})", lived.calls.get(at).unwrap_or(&"none"));
    let blows: Vec<String> = blows.iter().map(on).collect();
    format!("{life:?}, {}: {}\n{}", blows.join(" and "), lived.failure.as_deref().unwrap_or("does not fail again"), lived.history)
}

fn add((tried, mut failed): (usize, Failed), (more, also): (usize, Failed)) -> (usize, Failed) {
    failed.extend(also);
    (tried + more, failed)
}

/// Does each of so many pieces of work once, on all cores, and gives what they came to in their order.
pub fn on_all_cores<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let share = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                break done;
            }
            done.push((at, work(at)));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(share)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a life's panic is its failure")).collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, done)| done).collect()
}
