//! The reconciler: repairs what a crash, a lost message or a lost reply left behind, by the functions that do the normal
//! work. It takes no input and may run at any time, twice, on every node.
//!
//! For each old hold: is its order dead? Release it. Has it no row? Record it from the hold, under the hold's epoch.

use super::desk::{Desk, Walk};
use super::{Engine, Reconciled};
use crate::order::Source;
use crate::ports::{Fault, Fence, Sheaf};
use crate::words::{Ask, OrderId, SaleId};
use std::sync::Arc;

/// Holds on one page of a background walk. A page is looked at in one go, and purchases wait for that long.
const PAGE: usize = 250;
/// How long a background walk lets others work before its next page, in microseconds.
const BREATH_US: u64 = 250;
/// The same for the slow walk, which is in no hurry: its rows are read beside purchases that are.
const LONG_BREATH_US: u64 = 5_000;
/// Pages of the slow walk over all holds that one pass takes.
const ROUND_PAGES: usize = 20;

/// How a walk learns the statuses of its orders.
#[derive(Clone, Copy)]
enum Reading {
    /// As fast as can be: the first look at each hold keeps pace with what is sold.
    Index,
    /// From the rows themselves, so that one which somebody deleted by hand is missed.
    Rows,
}

/// What one page of holds came to.
struct Page {
    /// Where the next page begins.
    next: Option<u64>,
    /// Holds too young to be acted on were left without a row.
    waiting: bool,
}

impl Engine {
    /// Goes on with the walks over every sale's holds. To be called every second or so.
    pub async fn reconcile_pass(&self) -> Result<Reconciled, Fault> {
        let mut sum = Reconciled::default();
        for desk in self.all_desks() {
            if let Some(fence) = desk.fence()
                && let Err(fault) = self.reconcile_desk(&desk, fence, &mut sum).await
            {
                // The other sales go on; this one goes on where it stood.
                self.faulted(&fault);
            }
        }
        Ok(sum)
    }

    async fn reconcile_desk(&self, desk: &Arc<Desk>, fence: Fence, sum: &mut Reconciled) -> Result<(), Fault> {
        let owed = desk.take_owed();
        if !owed.is_empty() {
            self.release(desk, &owed).await;
        }
        self.complete_movements(desk, fence, sum).await?;
        // Holds that nobody has seen with a row yet. The walk does not pass one that is too young.
        let Walk { mut fresh, mut round, .. } = desk.walk_of(fence.epoch);
        loop {
            let page = self.reconcile_page(desk, fence, fresh, self.settings.hold_age_ms, Reading::Index, sum).await?;
            let Some(page) = page else { return Ok(()) };
            match page.next {
                Some(next) if !page.waiting => fresh = next,
                Some(_) | None => break,
            }
            desk.walked(Walk { epoch: fence.epoch, fresh, round });
            self.stores.clock.sleep_us(BREATH_US).await;
        }
        // All holds, slowly: one whose order died while its release was lost.
        for _ in 0..ROUND_PAGES {
            let page = self.reconcile_page(desk, fence, round, self.settings.hold_age_ms, Reading::Rows, sum).await?;
            let Some(page) = page else { return Ok(()) };
            round = page.next.unwrap_or(0);
            desk.walked(Walk { epoch: fence.epoch, fresh, round });
            if round == 0 {
                break;
            }
            self.stores.clock.sleep_us(LONG_BREATH_US).await;
        }
        Ok(())
    }

    /// One walk over all holds of a sale, of every age. `None`: the gate is not whole, or there is no such sale.
    pub async fn reconcile(&self, sale: SaleId) -> Result<Option<Reconciled>, Fault> {
        let Some(desk) = self.known_desk(sale).await? else { return Ok(None) };
        let Some(fence) = desk.fence() else { return Ok(None) };
        let mut sum = Reconciled::default();
        self.complete_movements(&desk, fence, &mut sum).await?;
        let mut at = 0;
        loop {
            match self.reconcile_page(&desk, fence, at, 0, Reading::Rows, &mut sum).await? {
                None => return Ok(None),
                Some(Page { next: Some(next), .. }) => at = next,
                Some(Page { next: None, .. }) => return Ok(Some(sum)),
            }
            self.stores.clock.sleep_us(BREATH_US).await;
        }
    }

    async fn complete_movements(&self, desk: &Arc<Desk>, fence: Fence, sum: &mut Reconciled) -> Result<(), Fault> {
        let Ok((_, withdrawals)) = self.stores.gate.pending(fence).await? else { return Ok(()) };
        for withdrawal in withdrawals {
            self.complete_withdrawal(desk, fence, &withdrawal).await?;
            sum.withdrawals += 1;
        }
        let raises = self.apply_raises(desk, fence).await?;
        sum.raises += raises;
        self.meters.reconciled_movements.add(raises);
        Ok(())
    }

    /// One page of holds. `None`: the gate is no longer the decider of this fence.
    async fn reconcile_page(
        &self,
        desk: &Arc<Desk>,
        fence: Fence,
        at: u64,
        age_ms: u64,
        reading: Reading,
        sum: &mut Reconciled,
    ) -> Result<Option<Page>, Fault> {
        let Ok(page) = self.stores.gate.holds(fence, at, PAGE.min(self.settings.page_max)).await? else {
            desk.is_stale_under(fence);
            return Ok(None);
        };
        let ids: Vec<_> = page.holds.iter().map(|ask| OrderId { sale: desk.id, digest: ask.digest }).collect();
        let statuses = match reading {
            Reading::Index => self.stores.ledger.statuses(&ids).await?,
            Reading::Rows => {
                let rows = self.stores.ledger.orders(&ids).await?;
                rows.into_iter().map(|row| row.map(|order| order.status)).collect()
            }
        };
        let now = self.ledger_now();
        // An ask from the future is of a node whose clock ran ahead: it is not young until then.
        let old = |ask: &Ask| now.since_ms(ask.asked_at).unsigned_abs() >= age_ms;
        let (mut dead, mut without, mut waiting) = (Vec::new(), Vec::new(), false);
        sum.looked += ids.len() as u64;
        for (ask, status) in page.holds.into_iter().zip(statuses) {
            match status {
                Some(status) if status.is_dead() => dead.push(ask.digest),
                Some(_) => {}
                None if old(&ask) => without.push(ask),
                None => waiting = true,
            }
        }
        if !without.is_empty() {
            let count = without.len() as u64;
            let sheaf = Sheaf { sale: desk.id, epoch: fence.epoch, source: Source::Hold, asks: without };
            // A stopped sale records nothing: its holds stay as they are.
            for orders in self.record_rows(vec![sheaf]).await?.into_iter().flatten() {
                dead.extend(orders.iter().filter(|order| order.status.is_dead()).map(|order| order.ask.digest));
                self.watch.tell(orders);
                sum.recorded += count;
                self.meters.reconciled_recorded.add(count);
            }
        }
        if !dead.is_empty() {
            sum.released += dead.len() as u64;
            self.meters.reconciled_released.add(dead.len() as u64);
            self.release(desk, &dead).await;
        }
        Ok(Some(Page { next: page.next, waiting }))
    }
}
