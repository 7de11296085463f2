//! The buyer's limit: `limit_reached` is said only after the orders that take the room were seen alive in the ledger.

use super::Engine;
use super::buy::answer_all;
use super::desk::Desk;
use super::intake::{Outcome, Pending};
use crate::order::{Order, Source};
use crate::ports::{Fault, Fence, Sheaf};
use crate::words::{Ask, Busy, Digest, OrderId, Refusal};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// Before `limit_reached` is said: which of the buyer's holds are live orders? Answers those that have one for each
    /// hold; gives back those of whose holds one was released, since there may be room now.
    pub(super) async fn limited(&self, desk: &Desk, fence: Fence, limited: Vec<(Pending, Vec<Ask>)>) -> Vec<Pending> {
        if limited.is_empty() {
            return Vec::new();
        }
        // In the order of their ids: what is recorded must follow from the seed, not from a table's random keys.
        let holds: BTreeMap<_, _> = limited.iter().flat_map(|(_, holds)| holds).map(|ask| (ask.digest, ask.clone())).collect();
        let alive = match self.alive(desk, fence, holds).await {
            Ok(alive) => alive,
            Err(fault) => {
                self.faulted(&fault);
                answer_all(limited.into_iter().map(|(pending, _)| pending).collect(), || Outcome::Busy(Busy::Overloaded));
                return Vec::new();
            }
        };
        let mut again = Vec::new();
        for (pending, holds) in limited {
            match holds.first() {
                Some(first) if holds.iter().all(|hold| alive.contains(&hold.digest)) => {
                    let live = OrderId { sale: desk.id, digest: first.digest };
                    pending.answer(Outcome::Refused(Refusal::LimitReached(live)));
                }
                // A quantity above the limit of a buyer who holds nothing: admission lets none through, an older node may.
                None => pending.answer(Outcome::Refused(Refusal::Quantity { quantity_max: desk.sale().terms.limit_per_buyer })),
                Some(_) => again.push(pending),
            }
        }
        again
    }

    /// Which of these holds have a live order. A dead one is released, one without a row is recorded from its hold.
    async fn alive(&self, desk: &Desk, fence: Fence, mut holds: BTreeMap<Digest, Ask>) -> Result<BTreeSet<Digest>, Fault> {
        let ids: Vec<_> = holds.keys().map(|&digest| OrderId { sale: desk.id, digest }).collect();
        let mut rows: Vec<Order> = self.stores.ledger.orders(&ids).await?.into_iter().flatten().collect();
        for order in &rows {
            holds.remove(&order.ask.digest);
        }
        if !holds.is_empty() {
            let sheaf = Sheaf { sale: desk.id, epoch: fence.epoch, source: Source::Hold, asks: holds.into_values().collect() };
            let recorded: Vec<Order> = self.record_rows(vec![sheaf]).await?.into_iter().flatten().flatten().collect();
            self.watch.tell(recorded.clone());
            rows.extend(recorded);
        }
        let dead: Vec<_> = rows.iter().filter(|order| order.status.is_dead()).map(|order| order.ask.digest).collect();
        if !dead.is_empty() {
            self.release(desk, &dead).await;
        }
        Ok(rows.iter().filter(|order| order.status.is_live()).map(|order| order.ask.digest).collect())
    }
}
