//! The audit of live stores: reads the gate first, the ledger second, and lets `books` judge.

use super::desk::{Desk, fence_of};
use super::Engine;
use crate::books::{self, Books, Report, Tale};
use crate::ports::Fault;
use std::sync::Arc;

/// Reconciler walks after which a sale that keeps changing is audited as it is, not as one at rest.
const REST_TRIES: usize = 3;

impl Engine {
    /// Reads the stores and checks every law. `told`: what buyers were told, if somebody knows.
    pub async fn audit(&self, told: Option<&[Tale]>) -> Result<Report, Fault> {
        let mut books = Vec::new();
        for desk in self.all_desks() {
            books.extend(self.books_of(&desk).await?);
        }
        Ok(self.judged(books::audit(&books, told)))
    }

    /// The audit of one sale.
    pub(super) async fn audit_of(&self, desk: &Arc<Desk>) -> Result<Report, Fault> {
        let books: Vec<_> = self.books_of(desk).await?.into_iter().collect();
        Ok(self.judged(books::audit(&books, None)))
    }

    fn judged(&self, report: Report) -> Report {
        self.meters.breaches.add(report.breaches.len() as u64);
        report
    }

    async fn books_of(&self, desk: &Arc<Desk>) -> Result<Option<Books>, Fault> {
        let mut at_rest = false;
        for _ in 0..REST_TRIES {
            at_rest = self.is_quiet().await? && self.reconcile(desk.id).await?.is_some_and(|found| found.clean());
            if at_rest {
                break;
            }
        }
        let fence = fence_of(&desk.sale());
        let gate = match desk.sale().status.has_gate() {
            true => self.stores.gate.books(fence).await?.ok(),
            false => None,
        };
        let Some(ledger) = self.stores.ledger.books(desk.id).await? else { return Ok(None) };
        // Books of two epochs say nothing about each other.
        let gate = gate.filter(|gate| gate.fact.epoch == ledger.sale.epoch);
        // Whatever arrived since the walk ended the rest.
        let at_rest = at_rest && self.is_quiet().await?;
        Ok(Some(Books { at_rest: at_rest && gate.is_some(), gate, ledger }))
    }

    /// Nothing is on its way, on this node and in the queue.
    async fn is_quiet(&self) -> Result<bool, Fault> {
        let backlog = self.stores.queue.backlog().await?;
        Ok(self.asks_in_flight() == 0 && backlog.halves == 0 && backlog.committed == 0)
    }
}
