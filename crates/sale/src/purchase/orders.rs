//! An order seen and ended by its buyer or by time: show, cancel, expire, lost.
//!
//! Where a status comes from: a row in the ledger; else a hold in the gate; else the ticket. What gives stock back goes
//! ledger first, gate second: the order is closed in the ledger, then its hold is released.

use super::desk::Desk;
use super::intake::Outcome;
use super::{Cancelled, Engine, Shown};
use crate::order::{Order, Status, Step};
use crate::ports::{Closed, Closing, Fault, Refunding};
use crate::words::{Ask, BuyerId, OrderId, SaleId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What there is of a purchase.
pub(super) enum Found {
    Row(Box<Order>),
    /// No row; the gate holds it.
    Hold(Ask),
    /// No row and no hold; the gate answered and is whole.
    Nothing,
    /// No row, and the gate cannot tell.
    Unclear,
}

impl Engine {
    /// An order as its buyer may see it. Waits at most `wait_ms` for a version above `after` (`None`: for a row).
    pub async fn order(
        &self,
        id: OrderId,
        buyer: &BuyerId,
        ticket: Option<&str>,
        after: Option<u32>,
        wait_ms: u64,
    ) -> Result<Shown, Fault> {
        if wait_ms == 0 {
            return self.show(id, buyer, ticket).await;
        }
        // First wait, then look, so that nothing that happens in between is missed.
        let now_us = self.stores.clock.elapsed_us();
        let change = self.watch.expect(id, after.unwrap_or(0), now_us, now_us + wait_ms * 1_000);
        let shown = self.show(id, buyer, ticket).await?;
        let wait = match &shown {
            Shown::Row(order) => after.is_some_and(|after| order.version <= after) && !order.status.is_dead(),
            Shown::Processing => true,
            Shown::Unknown => false,
        };
        if !wait {
            return Ok(shown);
        }
        match change.await {
            // Whose it is was asked above: an id names one buyer's purchase.
            Ok(Outcome::Row(order)) => Ok(Shown::Row(order)),
            Ok(_) | Err(_) => self.show(id, buyer, ticket).await,
        }
    }

    async fn show(&self, id: OrderId, buyer: &BuyerId, ticket: Option<&str>) -> Result<Shown, Fault> {
        let Some(desk) = self.desk(id.sale) else { return self.no_such_sale().map(|()| Shown::Unknown) };
        let ticketed = ticket.and_then(|ticket| self.tickets.read(ticket, id, buyer));
        let mine = |owner: &BuyerId, shown| if owner == buyer { shown } else { Shown::Unknown };
        Ok(match (self.find(&desk, id).await?, ticketed) {
            (Found::Row(order), _) => mine(&order.ask.buyer.clone(), Shown::Row(order)),
            (Found::Hold(ask), _) => mine(&ask.buyer, Shown::Processing),
            (Found::Nothing, Some(ask)) => match self.is_stuck(&ask).await? {
                true => self.lost(&desk, id, ask).await?,
                false => Shown::Processing,
            },
            (Found::Unclear, Some(_)) => Shown::Processing,
            (Found::Nothing, None) => Shown::Unknown,
            // It may be held: "no such order" would be a lie.
            (Found::Unclear, None) => return Err(unclear()),
        })
    }

    pub(super) async fn find(&self, desk: &Desk, id: OrderId) -> Result<Found, Fault> {
        if let Some(order) = self.stores.ledger.orders(&[id]).await?.into_iter().next().flatten() {
            return Ok(Found::Row(Box::new(order)));
        }
        if !desk.sale().status.has_gate() {
            // Draft: nothing was ever held. Archived: all was recorded before the gate was dropped.
            return Ok(Found::Nothing);
        }
        let Some(fence) = desk.fence() else { return Ok(Found::Unclear) };
        match self.stores.gate.held(fence, &[id.digest]).await {
            Ok(Ok(held)) => Ok(held.into_iter().next().flatten().map_or(Found::Nothing, Found::Hold)),
            Ok(Err(_)) => {
                desk.is_stale_under(fence);
                Ok(Found::Unclear)
            }
            Err(fault) => {
                self.faulted(&fault);
                Ok(Found::Unclear)
            }
        }
    }

    async fn is_stuck(&self, ask: &Ask) -> Result<bool, Fault> {
        // From the future: this node is behind, or the one that made it ran ahead.
        if ask.asked_at > self.ledger_now() {
            self.read_time().await?;
        }
        Ok(self.ledger_now().since_ms(ask.asked_at).unsigned_abs() > self.settings.stuck_ms)
    }

    /// A purchase that left nothing within the stuck limit: first the row that says so, then the answer.
    async fn lost(&self, desk: &Desk, id: OrderId, ask: Ask) -> Result<Shown, Fault> {
        // Before the row is made, which may be while nobody hears the answer.
        desk.remember(std::iter::once(id.digest));
        Ok(match self.stores.ledger.close(id, Closing::Lost, Some(ask)).await? {
            Closed::Row(order, step) => {
                if matches!(step, Step::Move { .. }) {
                    self.meters.lost.add(1);
                }
                self.tell(&order);
                Shown::Row(order)
            }
            Closed::NoRow => Shown::Processing,
        })
    }

    /// Cancels an order, or a purchase that has no row yet: then a tombstone, which the late message finds.
    pub async fn cancel(&self, id: OrderId, buyer: &BuyerId, ticket: Option<&str>) -> Result<Cancelled, Fault> {
        let Some(desk) = self.desk(id.sale) else { return self.no_such_sale().map(|()| Cancelled::Unknown) };
        let ticketed = ticket.and_then(|ticket| self.tickets.read(ticket, id, buyer));
        let tombstone = match (self.find(&desk, id).await?, ticketed) {
            (Found::Row(order), _) if order.ask.buyer == *buyer => None,
            (Found::Hold(ask), _) if ask.buyer == *buyer => Some(ask),
            (Found::Row(_) | Found::Hold(_), _) | (Found::Nothing, None) => return Ok(Cancelled::Unknown),
            (Found::Unclear, None) => return Err(unclear()),
            (Found::Nothing | Found::Unclear, Some(ask)) => Some(ask),
        };
        desk.remember(std::iter::once(id.digest));
        match self.stores.ledger.close(id, Closing::Cancel, tombstone).await? {
            Closed::Row(order, step) => {
                if matches!(step, Step::Move { .. }) {
                    self.closed(&desk, &order).await;
                }
                Ok(if order.status == Status::Cancelled { Cancelled::Done(order) } else { Cancelled::Late(order) })
            }
            // A stopped sale takes no tombstone.
            Closed::NoRow => Err(Fault::none("the sale is stopped: nothing is recorded in it until an operator has looked")),
        }
    }

    /// Expires orders whose time to pay is over by the ledger's clock, and finishes payments that came too late. To be
    /// called every second or so.
    pub async fn clock_pass(&self) -> Result<(), Fault> {
        let mut dead: BTreeMap<SaleId, Vec<Order>> = BTreeMap::new();
        for id in self.stores.ledger.due(self.settings.page_max).await? {
            if let Closed::Row(order, Step::Move { .. }) = self.stores.ledger.close(id, Closing::Expire, None).await? {
                self.meters.expired.add(1);
                dead.entry(id.sale).or_default().push(*order);
            }
        }
        for (sale, orders) in dead {
            if let Some(desk) = self.desk(sale) {
                self.release(&desk, &super::watch::digests(&orders)).await;
            }
            self.watch.tell(orders);
        }
        self.finish_late_payments().await
    }

    /// Refunds a paid order, by an operator.
    pub async fn refund(&self, id: OrderId) -> Result<Refunding, Fault> {
        let refunding = self.stores.ledger.refund(id).await?;
        if let (Refunding::Refunded(order), Some(desk)) = (&refunding, self.desk(id.sale)) {
            self.closed(&desk, order).await;
        }
        Ok(refunding)
    }

    /// An order has died: its hold is released, and those who wait are told.
    async fn closed(&self, desk: &Arc<Desk>, order: &Order) {
        self.release(desk, &[order.ask.digest]).await;
        self.tell(order);
    }
}

fn unclear() -> Fault {
    Fault::none("there is no row, and the gate cannot tell whether there is a hold")
}
