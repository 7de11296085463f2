//! Who decides: opening, rebuilding, closing and archiving a sale, and finding a gate that is not whole.
//!
//! Opening a sale is its first rebuild. Whoever changes who decides bumps the epoch, in the ledger transaction that sets
//! the new state; what an older epoch decided is refused from then on, wherever it turns up.

use super::desk::{Desk, Loading, fence_of, lock};
use super::{Engine, Operated};
use crate::admit::is_settled;
use crate::ports::{BumpAsk, Bumped, Fault, Opening, Rebuild, SaleChange};
use crate::words::{Ask, Sale, SaleId, SaleStatus, Terms};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;

/// Holds written to the gate in one call.
const LOAD_MAX: usize = 10_000;
/// How often a drain looks whether the consumer has caught up.
const DRAIN_LOOK_US: u64 = 10_000;
/// Pages of rows that one pass puts into a sale's filter.
const KNOWN_PAGES: usize = 20;
/// Pages of holds, which are smaller.
const HELD_PAGES: usize = 100;

/// What came of trying to make a gate whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wholeness {
    Whole,
    /// Another node has the lease, or the gate changed meanwhile: try again later.
    NotYet,
    /// The sale's status does not allow it.
    NotNow,
    NoSale,
}

impl Engine {
    /// Reads all sales and makes every gate whole. To be called once, while records are being passed.
    pub async fn start(&self) -> Result<(), Fault> {
        self.note_seq(self.stores.ledger.seq().await?);
        self.refresh_all().await?;
        self.mend_gates().await
    }

    /// Refreshes what this node knows of its sales; finds gates that are not whole and rebuilds them. To be called every
    /// 300 milliseconds or so.
    pub async fn watch_pass(&self) -> Result<(), Fault> {
        self.read_what_others_did().await?;
        let mut mending = pin!(self.mend_gates());
        loop {
            let while_it_waits = pin!(self.stores.clock.sleep_us(self.settings.fact_ms * 500));
            match select(mending.as_mut(), while_it_waits).await {
                Either::Left((mended, _)) => return mended,
                // One sale's rebuild is no reason to know less of the others.
                Either::Right(_) => {
                    if let Err(fault) = self.read_what_others_did().await {
                        self.faulted(&fault);
                    }
                }
            }
        }
    }

    /// The sales, the queue's backlog, and all purchases that gate and ledger know.
    async fn read_what_others_did(&self) -> Result<(), Fault> {
        self.refresh_all().await?;
        self.note_backlog().await;
        for desk in self.all_desks() {
            // Until it is heard, any purchase is taken for one that may be known.
            if let Err(fault) = self.load_known(&desk).await {
                self.faulted(&fault);
            }
        }
        Ok(())
    }

    /// Rebuilds the gates that are not whole, after one wait for the consumer for all of them.
    async fn mend_gates(&self) -> Result<(), Fault> {
        let mut broken = Vec::new();
        for desk in self.all_desks() {
            let sale = desk.sale();
            if sale.status.has_gate() && sale.stopped.is_none() && !self.check_whole(&desk).await? {
                broken.push(desk);
            }
        }
        if broken.is_empty() {
            return Ok(());
        }
        self.wait_for_consumer(false).await;
        for desk in broken {
            // Another node may have mended it while this one waited.
            self.refresh(&desk).await?;
            if !self.check_whole(&desk).await? {
                self.make_whole(&desk, None).await?;
            }
        }
        Ok(())
    }

    /// Makes a sale, as a draft.
    pub async fn create(&self, terms: &Terms, units: i64, actor: &str) -> Result<Result<Sale, Sale>, Fault> {
        let made = self.stores.ledger.create_sale(terms, units, actor).await?;
        self.desk_of(made.as_ref().unwrap_or_else(|there| there).clone());
        Ok(made)
    }

    /// Opens a draft, or a paused sale again.
    pub async fn open(&self, sale: SaleId) -> Result<Operated, Fault> {
        let Some(desk) = self.fresh_desk(sale).await? else { return Ok(Operated::NoSale) };
        let now = desk.sale();
        match now.status {
            SaleStatus::Open if now.stopped.is_none() && self.check_whole(&desk).await? => {
                Ok(Operated::Done(Box::new(now.as_ref().clone())))
            }
            SaleStatus::Draft | SaleStatus::Open | SaleStatus::Paused => self.operate(&desk, Some(SaleStatus::Open)).await,
            SaleStatus::Ended | SaleStatus::Archived => Ok(Operated::NotNow(Box::new(now.as_ref().clone()))),
        }
    }

    /// Stops selling for now.
    pub async fn pause(&self, sale: SaleId) -> Result<Operated, Fault> {
        self.change(sale, SaleChange::Pause, |status| matches!(status, SaleStatus::Paused)).await
    }

    /// Stops selling for good: first admits nobody, then lets holds and messages arrive, then changes who decides.
    pub async fn close_sale(&self, sale: SaleId) -> Result<Operated, Fault> {
        match self.change(sale, SaleChange::End, |status| matches!(status, SaleStatus::Ended)).await? {
            Operated::Done(_) => match self.desk(sale) {
                Some(desk) => self.operate(&desk, Some(SaleStatus::Ended)).await,
                None => Ok(Operated::NoSale),
            },
            other => Ok(other),
        }
    }

    /// Takes an ended sale whose orders are all settled and whose laws hold out of the gate.
    pub async fn archive(&self, sale: SaleId) -> Result<Operated, Fault> {
        let Some(desk) = self.fresh_desk(sale).await? else { return Ok(Operated::NoSale) };
        let now = desk.sale();
        let settled = match self.stores.ledger.books(sale).await? {
            Some(books) => books.orders.iter().all(|order| is_settled(order.status)),
            None => return Ok(Operated::NoSale),
        };
        let ready = now.status == SaleStatus::Ended && settled && self.is_lawful_at_rest(&desk).await?;
        if now.status != SaleStatus::Archived && !ready {
            return Ok(Operated::NotNow(Box::new(now.as_ref().clone())));
        }
        let fence = fence_of(&now);
        let operated = self.change(sale, SaleChange::Archive, |status| matches!(status, SaleStatus::Archived)).await?;
        if matches!(operated, Operated::Done(_)) {
            self.stores.gate.drop_sale(fence).await?;
        }
        Ok(operated)
    }

    /// Builds a sale's gate anew, whatever it holds.
    pub async fn rebuild(&self, sale: SaleId) -> Result<Operated, Fault> {
        let Some(desk) = self.fresh_desk(sale).await? else { return Ok(Operated::NoSale) };
        let now = desk.sale();
        if now.status.has_gate() { self.operate(&desk, None).await } else { Ok(Operated::NotNow(Box::new(now.as_ref().clone()))) }
    }

    async fn operate(&self, desk: &Arc<Desk>, to: Option<SaleStatus>) -> Result<Operated, Fault> {
        desk.is_stale_under(fence_of(&desk.sale()));
        // An end lets what was held before it arrive as a message too.
        self.wait_for_consumer(to == Some(SaleStatus::Ended)).await;
        self.refresh(desk).await?;
        Ok(match self.make_whole(desk, to).await? {
            Wholeness::Whole => Operated::Done(Box::new(desk.sale().as_ref().clone())),
            Wholeness::NotYet => Operated::Recovering,
            Wholeness::NotNow => Operated::NotNow(Box::new(desk.sale().as_ref().clone())),
            Wholeness::NoSale => Operated::NoSale,
        })
    }

    async fn change(&self, sale: SaleId, change: SaleChange, is_done: fn(SaleStatus) -> bool) -> Result<Operated, Fault> {
        let Some(changed) = self.stores.ledger.change_sale(sale, &change).await? else { return Ok(Operated::NoSale) };
        self.desk_of(changed.clone());
        Ok(if is_done(changed.status) { Operated::Done(Box::new(changed)) } else { Operated::NotNow(Box::new(changed)) })
    }

    /// Asks the gate whether it is the sale's decider, and learns its stock.
    async fn check_whole(&self, desk: &Desk) -> Result<bool, Fault> {
        let fence = fence_of(&desk.sale());
        match self.stores.gate.fact(fence).await? {
            Ok(fact) => {
                desk.learn_fact(fact, self.stores.clock.elapsed_us());
                desk.is_whole_under(fence);
                Ok(true)
            }
            Err(_) => {
                desk.is_stale_under(fence);
                Ok(false)
            }
        }
    }

    /// The rebuild. Fails closed from its first line; one node of many does it, fenced in the ledger.
    async fn make_whole(&self, desk: &Arc<Desk>, to: Option<SaleStatus>) -> Result<Wholeness, Fault> {
        let seen = desk.sale();
        desk.is_stale_under(fence_of(&seen));
        let run = self.stores.gate.run().await?;
        let lease_ms = i64::try_from(self.settings.lease_ms).unwrap_or(i64::MAX);
        let ask = BumpAsk { sale: desk.id, seen: seen.epoch, run, to, lease_ms };
        let Rebuild { sale, live, withdrawals } = match self.stores.ledger.bump(ask).await? {
            Bumped::Won(rebuild) => *rebuild,
            Bumped::Moved(_) | Bumped::Leased(_) => {
                self.refresh(desk).await?;
                return Ok(Wholeness::NotYet);
            }
            Bumped::NotNow(_) => {
                self.refresh(desk).await?;
                return Ok(Wholeness::NotNow);
            }
            Bumped::NoSale => return Ok(Wholeness::NoSale),
        };
        let fence = fence_of(&sale);
        let opening = Opening { left: sale.left - sale.terms.holdback, holds: live.len() as u64, raises: sale.raises, withdrawals };
        desk.learn_sale(sale);
        desk.remember(live.iter().map(|ask| ask.digest));
        let mut live = live.into_iter();
        loop {
            let part: Vec<Ask> = live.by_ref().take(LOAD_MAX).collect();
            if part.is_empty() {
                break;
            }
            if self.stores.gate.load(fence, part).await?.is_err() {
                return Ok(Wholeness::NotYet);
            }
        }
        let Ok(fact) = self.stores.gate.publish(fence, opening).await? else { return Ok(Wholeness::NotYet) };
        self.stores.ledger.whole(desk.id, fence.epoch).await?;
        desk.learn_fact(fact, self.stores.clock.elapsed_us());
        desk.is_whole_under(fence);
        self.meters.rebuilds.add(1);
        Ok(Wholeness::Whole)
    }

    /// Lets the consumer catch up, so that fewer accepted holds are refused by the new epoch. A rebuild does not wait for
    /// half messages: their node may be dead. A broker that does not answer is not waited for at all.
    async fn wait_for_consumer(&self, halves_too: bool) {
        let until_us = self.stores.clock.elapsed_us() + self.settings.drain_ms * 1_000;
        while self.stores.clock.elapsed_us() < until_us {
            match self.stores.queue.backlog().await {
                Ok(backlog) if backlog.committed > 0 || (halves_too && backlog.halves > 0) => {
                    self.stores.clock.sleep_us(DRAIN_LOOK_US).await
                }
                Ok(_) | Err(_) => return,
            }
        }
    }

    async fn refresh_all(&self) -> Result<(), Fault> {
        let asked_us = self.stores.clock.elapsed_us();
        self.read_time().await?;
        for sale in self.stores.ledger.sales().await? {
            self.desk_of(sale);
        }
        *lock(&self.read_at_us) = Some(asked_us);
        Ok(())
    }

    pub(super) async fn refresh(&self, desk: &Desk) -> Result<(), Fault> {
        if let Some(sale) = self.stores.ledger.sale(desk.id).await? {
            desk.learn_sale(sale);
        }
        Ok(())
    }

    /// The desk of a sale; one that another node has just made is read.
    pub(super) async fn known_desk(&self, sale: SaleId) -> Result<Option<Arc<Desk>>, Fault> {
        match self.desk(sale) {
            Some(desk) => Ok(Some(desk)),
            None => self.fresh_desk(sale).await,
        }
    }

    async fn fresh_desk(&self, sale: SaleId) -> Result<Option<Arc<Desk>>, Fault> {
        // A sale that opens "now" by the ledger's clock is open when this node has opened it.
        self.read_time().await?;
        let row = self.stores.ledger.sale(sale).await?;
        Ok(row.map(|row| self.desk_of(row)))
    }

    /// The desk of a sale as the ledger just showed it; made if there was none.
    fn desk_of(&self, sale: Sale) -> Arc<Desk> {
        if let Some(desk) = self.desk(sale.terms.id) {
            desk.learn_sale(sale);
            return desk;
        }
        let mut desks = self.desks.write().expect("no code panics while it holds the desks");
        Arc::clone(desks.entry(sale.terms.id).or_insert_with(|| Arc::new(Desk::new(sale))))
    }

    pub(super) fn all_desks(&self) -> Vec<Arc<Desk>> {
        self.desks.read().expect("no code panics while it holds the desks").values().map(Arc::clone).collect()
    }

    /// Goes on putting the ids that ledger and gate know into a sale's filter: first all rows, then all holds, and then, where
    /// others write too, what is new.
    async fn load_known(&self, desk: &Desk) -> Result<(), Fault> {
        for _ in 0..KNOWN_PAGES {
            let after = match desk.loading() {
                Loading::Begin => None,
                Loading::At(at) => Some(at),
                Loading::Holds => {
                    if self.load_held(desk).await? {
                        desk.load_known(std::iter::empty(), Loading::Done);
                    }
                    return Ok(());
                }
                // All that comes now comes by this node.
                Loading::Done if self.stores.ledger.is_exclusive() => return Ok(()),
                Loading::Done => {
                    let at_us = self.stores.clock.elapsed_us();
                    // Holds first: what ended as a row between the two is found as a row.
                    if self.load_held(desk).await? && self.load_newest(desk).await? {
                        desk.knows_all_of(at_us);
                    }
                    return Ok(());
                }
            };
            let page = self.stores.ledger.page(desk.id, after, self.settings.page_max).await?;
            if after.is_none()
                && let Some(newest) = page.orders.first()
            {
                desk.learn_newest(newest.ask.digest);
            }
            desk.load_known(page.orders.iter().map(|order| order.ask.digest), page.next.map_or(Loading::Holds, Loading::At));
        }
        Ok(())
    }

    /// Puts what the gate holds into the filter, from where the last pass ended. `true`: to its end.
    async fn load_held(&self, desk: &Desk) -> Result<bool, Fault> {
        if !desk.sale().status.has_gate() {
            return Ok(true);
        }
        let Some(fence) = desk.fence() else { return Ok(false) };
        for _ in 0..HELD_PAGES {
            let Ok(page) = self.stores.gate.holds(fence, desk.heard(fence.epoch), self.settings.page_max).await? else {
                desk.is_stale_under(fence);
                return Ok(false);
            };
            desk.remember(page.holds.iter().map(|ask| ask.digest));
            let Some(next) = page.next else { return Ok(true) };
            desk.heard_up_to(fence.epoch, next);
        }
        Ok(false)
    }

    /// Puts the rows that other nodes made since the last pass into a loaded filter. `true`: all of them.
    async fn load_newest(&self, desk: &Desk) -> Result<bool, Fault> {
        if !desk.sale().status.has_gate() {
            // Nobody buys in a draft, and all of an archive was recorded before it was one.
            return Ok(true);
        }
        let (seen, mut after, mut newest) = (desk.newest(), None, None);
        for _ in 0..KNOWN_PAGES {
            let page = self.stores.ledger.page(desk.id, after, self.settings.page_max).await?;
            newest = newest.or_else(|| page.orders.first().map(|order| order.ask.digest));
            let fresh = page.orders.iter().map(|order| order.ask.digest).take_while(|&digest| Some(digest) != seen);
            let count = fresh.clone().count();
            desk.remember(fresh);
            after = page.next;
            if count < page.orders.len() || after.is_none() {
                if let Some(newest) = newest {
                    desk.learn_newest(newest);
                }
                return Ok(true);
            }
        }
        // More than one pass can read: any id may be known until all is loaded again.
        desk.load_known(std::iter::empty(), Loading::Begin);
        Ok(false)
    }
}
