//! What is wrong with a world, how it comes to rest, and its audit.

use super::{NATURE, World, poll_once};
use crate::faulty::Fate;
use sale::books::{Books, Report, Verdict, audit};
use sale::ports::{Clock as _, Fence, Gate as _, Ledger as _, Queue as _};
use std::any::Any;
use std::cell::Cell;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Simulated time after the end of all faults in which everything must have come to rest, in microseconds.
pub const REST_US: u64 = 40_000_000;
/// How often the laws that hold at every instant are looked at.
const LOOK_US: u64 = 100_000;

/// A broken law, a purchase that is stuck, or a panic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// When, in simulated microseconds.
    pub at_us: u64,
    /// The laws that do not hold; none when it is a panic or nothing comes to an end.
    pub laws: Vec<&'static str>,
    /// In words.
    pub what: String,
}

impl World {
    /// Audits the stores themselves as they are at this instant, by the books of the gate and then the ledger.
    pub fn audit_now(&self, at_rest: bool) -> Report {
        let now = |future: std::pin::Pin<Box<dyn Future<Output = Option<Vec<Books>>> + '_>>| poll_once(future).flatten();
        let books = now(Box::pin(async {
            let mut books = Vec::new();
            for sale in self.ledger.sales().await.ok()? {
                let fence = Fence { sale: sale.terms.id, epoch: sale.epoch, run: sale.run };
                let gate = self.gate().books(fence).await.ok()?.ok();
                let ledger = self.ledger.books(sale.terms.id).await.ok()??;
                books.push(Books { at_rest: at_rest && gate.is_some(), gate, ledger });
            }
            Some(books)
        }))
        .expect("stores in memory answer at once");
        audit(&books, Some(&self.tales()))
    }

    /// What breaks a law by this report.
    pub fn judge(&self, report: &Report, when: &str) -> Option<Failure> {
        let seen: Vec<_> = report.breaches.iter().filter(|breach| !self.blind_to.contains(&breach.law)).collect();
        if seen.is_empty() {
            return None;
        }
        let mut laws: Vec<&'static str> = seen.iter().map(|breach| breach.law.as_str()).collect();
        laws.sort_unstable();
        laws.dedup();
        let mut what = when.to_owned();
        for breach in seen.iter().take(4) {
            let _ = write!(what, "; {}: {}", breach.law.as_str(), breach.what);
        }
        Some(Failure { at_us: self.clock.elapsed_us(), laws, what })
    }

    /// Something is wrong, once and for all. The first of such things is kept.
    pub fn found(&self, law: &'static str, what: String) {
        self.fails(Failure { at_us: self.clock.elapsed_us(), laws: if law.is_empty() { Vec::new() } else { vec![law] }, what });
    }

    /// The same, of a failure.
    pub fn fails(&self, failure: Failure) {
        self.failure.borrow_mut().get_or_insert(failure);
    }

    /// The first thing that was found wrong.
    pub fn failure(&self) -> Option<Failure> {
        self.failure.borrow().clone()
    }

    /// From now on the laws that hold at every instant are looked at ten times a second.
    pub fn watch(self: &Rc<Self>) {
        let world = Rc::clone(self);
        self.executor.spawn(NATURE, async move {
            while world.failure.borrow().is_none() {
                world.clock.sleep_us(LOOK_US).await;
                if let Some(failure) = world.judge(&world.audit_now(false), "on the way") {
                    world.fails(failure);
                }
            }
        });
    }

    /// Waits until everything is at rest and every law holds, and fails if that takes longer than [`REST_US`]. Whoever is dead
    /// is started again.
    pub async fn comes_to_rest(self: &Rc<Self>, least_us: u64) {
        let since_us = self.clock.elapsed_us();
        loop {
            self.revive();
            self.clock.sleep_us(4 * LOOK_US).await;
            if self.failure.borrow().is_some() {
                return;
            }
            let past_us = self.clock.elapsed_us() - since_us;
            if past_us < least_us {
                continue;
            }
            match self.unrest() {
                None => return,
                Some(failure) if past_us >= REST_US => return self.fails(failure),
                Some(_) => {}
            }
        }
    }

    /// Why this is no rest, or no lawful one.
    fn unrest(&self) -> Option<Failure> {
        let report = self.audit_now(true);
        let is_unchecked = |verdict: &Verdict| matches!(verdict, Verdict::Unchecked(_));
        let unchecked = report.laws.iter().find(|(law, verdict)| is_unchecked(verdict) && !self.blind_to.contains(law));
        let left = poll_once(self.queue.backlog()).and_then(Result::ok).unwrap_or_default();
        let what = match unchecked {
            Some((law, Verdict::Unchecked(why))) => format!("at rest {} cannot be checked: {why}", law.as_str()),
            _ if left.halves + left.committed > 0 => {
                format!("at rest {} half messages and {} messages are left in the queue", left.halves, left.committed)
            }
            _ => return self.judge(&report, "at rest"),
        };
        let nothing = Failure { at_us: self.clock.elapsed_us(), laws: Vec::new(), what };
        Some(self.judge(&report, "at rest").unwrap_or(nothing))
    }

    /// Does something; what panics in it is a failure.
    pub fn catching<T>(&self, doing: impl FnOnce() -> T) -> Option<T> {
        let told = |panic: Box<dyn Any + Send>| {
            let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            self.found("", format!("panic: {}", text.unwrap_or_default()));
        };
        catch_unwind(AssertUnwindSafe(doing)).map_err(told).ok()
    }

    /// Runs a script to its end, then lets everything come to rest with no further faults, and audits.
    pub fn run(self: &Rc<Self>, script: impl Future<Output = ()> + 'static) {
        self.run_script(script);
        self.rest();
        self.assert_lawful(true);
    }

    /// Runs a script to its end.
    pub fn run_script(self: &Rc<Self>, script: impl Future<Output = ()> + 'static) {
        let done = Rc::new(Cell::new(false));
        let end = Rc::clone(&done);
        self.executor.spawn(NATURE, async move {
            script.await;
            end.set(true);
        });
        let ran = self.run_until(3_000_000, || done.get());
        assert!(
            ran.is_ok(),
            "the script came to no end: {}; calls: {:?}",
            ran.unwrap_err(),
            self.calls().iter().rev().take(30).collect::<Vec<_>>()
        );
    }

    /// All faults end, and half a minute passes.
    pub fn rest(self: &Rc<Self>) {
        self.heal();
        let world = Rc::clone(self);
        self.run_script(async move { world.clock.sleep_us(30_000_000).await });
    }

    /// All faults end, and whoever was up once is up again.
    pub fn heal(self: &Rc<Self>) {
        self.fates(|_, _| Fate::Pass);
        self.healed.set(true);
        self.broker.behave();
        self.turn_all();
        self.history.everybody(NATURE, || "all faults end".to_owned());
        self.revive();
    }

    /// Whoever was up once is up again.
    fn revive(&self) {
        let once_up = self.started.borrow().clone();
        for group in once_up {
            self.executor.thaw(group);
            if !self.is_up(group) {
                self.start(group);
            }
        }
    }

    /// Every law holds.
    ///
    /// # Panics
    /// One does not.
    pub fn assert_lawful(&self, at_rest: bool) {
        let report = self.audit_now(at_rest);
        assert!(report.breaches.is_empty(), "{:#?}\n{:#?}", report.breaches, report.sales);
        assert_eq!(self.failure(), None);
        if at_rest {
            for (law, verdict) in &report.laws {
                assert_eq!(*verdict, Verdict::Holds, "{}", law.as_str());
            }
        }
    }
}
