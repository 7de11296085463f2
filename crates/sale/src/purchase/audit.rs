//! The audit of live stores: reads the gate first, the ledger second, and lets `books` judge. A sale whose ledger breaks a
//! law is stopped; nothing is repaired.

use super::Engine;
use super::desk::{Desk, fence_of};
use crate::books::{self, Books, Law, Report, Tale, Verdict};
use crate::ports::{Fact, Fault, SaleChange};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reconciler walks after which a sale that keeps changing is audited as it is, not as one at rest.
const REST_TRIES: usize = 3;

/// Equal before and after: nothing happened in between.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stillness {
    fact: Fact,
    seq: u64,
    allotment: i64,
}

impl Engine {
    /// Reads the stores and checks every law. `told`: what buyers were told, if somebody knows.
    pub async fn audit(&self, told: Option<&[Tale]>) -> Result<Report, Fault> {
        let mut books = Vec::new();
        for desk in self.all_desks() {
            books.extend(self.books_of(&desk).await?);
        }
        let report = books::audit(&books, told);
        self.stop_broken(&report).await?;
        Ok(report)
    }

    /// Whether a sale is at rest and breaks no law: what an archive asks for.
    pub(super) async fn is_lawful_at_rest(&self, desk: &Arc<Desk>) -> Result<bool, Fault> {
        let books: Vec<_> = self.books_of(desk).await?.into_iter().collect();
        let report = books::audit(&books, None);
        self.stop_broken(&report).await?;
        let rest = |&(law, verdict): &(Law, Verdict)| !matches!(law, Law::L6 | Law::L7 | Law::L10) || verdict == Verdict::Holds;
        Ok(report.breaches.is_empty() && report.laws.iter().all(rest))
    }

    /// A ledger that breaks a law of its own was changed by hand, or by a bug: its sale admits and records nothing until
    /// an operator has looked. No tale speaks of these laws: what somebody says that buyers were told stops no sale.
    async fn stop_broken(&self, report: &Report) -> Result<(), Fault> {
        self.meters.breaches.add(report.breaches.len() as u64);
        let of_the_ledger = report.breaches.iter().filter(|breach| matches!(breach.law, Law::L1 | Law::L2 | Law::L3));
        let broken: BTreeMap<_, _> = of_the_ledger.map(|breach| (breach.sale, breach)).collect();
        for (sale, breach) in broken {
            let why = format!("{}: {}", breach.law.as_str(), breach.what);
            if let Some(stopped) = self.stores.ledger.change_sale(sale, &SaleChange::Stop(why)).await?
                && let Some(desk) = self.desk(sale)
            {
                desk.learn_sale(stopped);
            }
        }
        Ok(())
    }

    async fn books_of(&self, desk: &Arc<Desk>) -> Result<Option<Books>, Fault> {
        let mut still = None;
        for _ in 0..REST_TRIES {
            still = self.stillness(desk).await?;
            if still.is_some() && self.reconcile(desk.id).await?.is_some_and(|found| found.clean()) {
                break;
            }
            still = None;
        }
        let fence = fence_of(&desk.sale());
        let gate = match desk.sale().status.has_gate() {
            true => self.stores.gate.books(fence).await?.ok(),
            false => None,
        };
        let Some(ledger) = self.stores.ledger.books(desk.id).await? else { return Ok(None) };
        // Books of two epochs say nothing about each other.
        let gate = gate.filter(|gate| gate.fact.epoch == ledger.sale.epoch);
        // Whatever happened since the walk ended the rest.
        let at_rest = still.is_some() && self.stillness(desk).await? == still;
        Ok(Some(Books { at_rest: at_rest && gate.is_some(), gate, ledger }))
    }

    /// What would change if anything did: the gate's stock, the ledger's sequence and the allotment, while nothing is on its
    /// way on this node and in the queue. The sequence counts changes of orders only: what another node restocks meanwhile
    /// shows in the allotment, and what it withdraws in the gate's fact.
    async fn stillness(&self, desk: &Desk) -> Result<Option<Stillness>, Fault> {
        let backlog = self.stores.queue.backlog().await?;
        if self.asks_in_flight() > 0 || backlog.halves > 0 || backlog.committed > 0 {
            return Ok(None);
        }
        let Some(sale) = self.stores.ledger.sale(desk.id).await? else { return Ok(None) };
        let seq = self.stores.ledger.seq().await?;
        let fact = self.stores.gate.fact(fence_of(&desk.sale())).await?.ok();
        Ok(fact.map(|fact| Stillness { fact, seq, allotment: sale.allotment }))
    }
}
