//! The intake: asks that arrive while the previous batch of their sale is on its way form the next one.
//!
//! Grouping is decided here and nowhere else. A lane is a sale's queue of asks; one batch of a lane is on its way at a
//! time; lanes do not wait for each other. An idle lane adds no delay.

use super::Engine;
use super::desk::{Desk, lock};
use crate::order::Order;
use crate::words::{Ask, Busy, Digest, OrderId, Refusal};
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, oneshot};

/// What became of an ask.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It has a row.
    Row(Box<Order>),
    /// Held, or unknown: `processing`.
    Processing,
    /// Decided against.
    Refused(Refusal),
    /// Nothing was decided or touched.
    Busy(Busy),
}

/// An ask on its way, and who wants to know.
pub(super) struct Pending {
    pub(super) ask: Ask,
    /// Gate or ledger may know the id: its row is looked up first.
    pub(super) known: bool,
    /// Until when its buyer waits for the row; `None`: the decision is enough.
    pub(super) until_us: Option<u64>,
    /// Batches that it went through.
    pub(super) tries: u32,
    reply: oneshot::Sender<Outcome>,
    /// The same ask again, while this one was waiting: it shares the outcome.
    twins: Vec<Pending>,
    _flight: Flight,
}

/// Counts an ask among those on their way for as long as it lives, so that a drain knows when there are none.
struct Flight(Arc<AtomicUsize>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Pending {
    pub(super) fn answer(self, outcome: Outcome) {
        for twin in self.twins {
            twin.answer(outcome.clone());
        }
        // A receiver that is gone hung up; the purchase went its way all the same.
        drop(self.reply.send(outcome));
    }

    pub(super) fn has_twins(&self) -> bool {
        !self.twins.is_empty()
    }

    /// The ask is decided: what is left is somebody who waits for its row, until then, or not.
    pub(super) fn into_replies(self) -> Vec<(Option<u64>, oneshot::Sender<Outcome>)> {
        let mut replies = vec![(self.until_us, self.reply)];
        replies.extend(self.twins.into_iter().flat_map(Self::into_replies));
        replies
    }
}

/// The asks of one sale that wait for the next batch.
#[derive(Default)]
pub(super) struct Lane {
    waiting: Vec<Pending>,
    /// A batch is on its way, or about to be formed.
    busy: bool,
    /// Size of the last batch.
    last: usize,
}

/// The lanes that have something to do.
#[derive(Default)]
pub(super) struct Intake {
    ready: Mutex<Vec<Arc<Desk>>>,
    wake: Notify,
    flight: Arc<AtomicUsize>,
    closing: AtomicBool,
}

impl Engine {
    /// Puts an ask into its sale's lane. `Err`: too much is on its way, nothing was touched.
    pub(super) fn submit(
        &self,
        desk: &Arc<Desk>,
        ask: Ask,
        known: bool,
        until_us: Option<u64>,
    ) -> Result<oneshot::Receiver<Outcome>, Busy> {
        let ahead = self.intake.flight.fetch_add(1, Ordering::AcqRel);
        let flight = Flight(Arc::clone(&self.intake.flight));
        if ahead >= self.settings.asks_max || self.intake.closing.load(Ordering::Acquire) || self.is_backed_up() {
            return Err(Busy::Overloaded);
        }
        let (reply, answer) = oneshot::channel();
        let mut lane = lock(&desk.lane);
        lane.waiting.push(Pending { ask, known, until_us, tries: 0, reply, twins: Vec::new(), _flight: flight });
        if !lane.busy {
            lane.busy = true;
            lock(&self.intake.ready).push(Arc::clone(desk));
            self.intake.wake.notify_one();
        }
        Ok(answer)
    }

    /// Forms batches and decides them, until no lane has anything left. Waits at most `wait_ms` for asks.
    pub async fn intake_pass(&self, wait_ms: u64) {
        let mut lanes = FuturesUnordered::new();
        loop {
            for desk in std::mem::take(&mut *lock(&self.intake.ready)) {
                lanes.push(self.run_lane(desk));
            }
            let woken = pin!(self.intake.wake.notified());
            if lanes.is_empty() {
                let patience = pin!(self.stores.clock.sleep_us(wait_ms * 1_000));
                if let Either::Right(_) = select(woken, patience).await {
                    return;
                }
            } else if let Either::Right(_) = select(woken, lanes.next()).await
                && lanes.is_empty()
                && lock(&self.intake.ready).is_empty()
            {
                return;
            }
        }
    }

    /// Sends a lane's asks on their way, batch after batch, until none waits.
    async fn run_lane(&self, desk: Arc<Desk>) {
        loop {
            let crowd = lock(&desk.lane).last;
            // Small batches cost most: where the last one was a crowd, the next one gathers.
            if crowd >= self.settings.gather_from && self.settings.gather_us > 0 {
                self.stores.clock.sleep_us(self.settings.gather_us).await;
            }
            let group = {
                let mut lane = lock(&desk.lane);
                if lane.waiting.is_empty() {
                    lane.last = 0;
                    lane.busy = false;
                    return;
                }
                let group = lane.next(self.settings.batch_max);
                lane.last = group.len();
                group
            };
            if !group.is_empty() {
                self.decide(&desk, group).await;
            }
        }
    }

    /// From now on every ask is answered `overloaded`; comes back when none is on its way.
    pub async fn drain(&self) {
        self.intake.closing.store(true, Ordering::Release);
        while self.asks_in_flight() > 0 {
            self.stores.clock.sleep_us(2_000).await;
        }
    }

    /// Asks on their way on this node.
    pub fn asks_in_flight(&self) -> usize {
        self.intake.flight.load(Ordering::Acquire)
    }
}

impl Lane {
    /// Takes at most `size` purchases out, the oldest first. A purchase stands at most once in a batch: the same ask again
    /// shares the first one's outcome, one with other content waits for the next batch. Whose buyer hung up while it waited
    /// goes nowhere: nothing was touched for it, and a purchase that nobody waits for would be a ghost.
    fn next(&mut self, size: usize) -> Vec<Pending> {
        let mut group: Vec<Pending> = Vec::with_capacity(size);
        let mut places: HashMap<Digest, usize> = HashMap::with_capacity(size);
        let mut rest = Vec::new();
        for pending in self.waiting.drain(..) {
            let place = places.get(&pending.ask.digest).copied();
            let waits = place.map_or(group.len() == size, |at| !group[at].ask.same_content(&pending.ask));
            match place {
                _ if waits => rest.push(pending),
                _ if pending.reply.is_closed() => {}
                Some(at) => {
                    group[at].known |= pending.known;
                    group[at].twins.push(pending);
                }
                None => {
                    places.insert(pending.ask.digest, group.len());
                    group.push(pending);
                }
            }
        }
        self.waiting = rest;
        group
    }
}

/// The order's id of a pending ask.
pub(super) fn id_of(desk: &Desk, pending: &Pending) -> OrderId {
    OrderId { sale: desk.id, digest: pending.ask.digest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[test]
    fn a_purchase_is_looked_up_when_any_of_its_tries_may_be_known() {
        for known in [[false, true], [true, false], [false, false]] {
            let (mut lane, mut receivers) = (Lane::default(), Vec::new());
            for known in known {
                let (reply, answer) = oneshot::channel();
                receivers.push(answer);
                let (ask, flight) = (contract::ask(contract::sale("s1"), "ann", 1), Flight(Arc::default()));
                flight.0.fetch_add(1, Ordering::AcqRel);
                lane.waiting.push(Pending { ask, known, until_us: None, tries: 0, reply, twins: Vec::new(), _flight: flight });
            }
            let group = lane.next(9);
            assert_eq!((group.len(), group[0].twins.len(), group[0].known), (1, 1, known[0] || known[1]));
        }
    }
}
