//! Buying: admit, look, half message, hold, settle. The order of these steps is the protocol; all of them stand here.
//!
//! ```text
//! buy:    admit ─▶ sold-out fact ─▶ lane ─┐                     (no I/O so far)
//! decide: ◀───────────────────────────────┘
//!         rows of ids that may be known ─▶ gate.look ─▶ queue.prepare ─▶ gate.hold ─▶ queue.settle
//! ```

use super::Engine;
use super::desk::{Desk, fence_of};
use super::intake::{Outcome, Pending, id_of};
use super::orders::Found;
use super::{Answer, Stage, Wish};
use crate::admit::{Denied, admit, admit_late};
use crate::message;
use crate::order::Order;
use crate::ports::{Decision, Fence, Half, Held, Receipt, Seen, Verdict};
use crate::words::{Ask, Batch, BatchId, Busy, Digest, OrderId, Refusal, Sale, SaleId};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How often an unknown hold is asked for before its buyers are answered `processing`.
const DECISION_TRIES: u32 = 3;

/// What became of a batch.
enum Tried {
    /// All of it is held.
    Held,
    /// Nothing is held, and it is known what the gate says of each.
    Seen(Vec<Seen>),
    /// Nothing is held, now or later; void is not a refusal.
    Void,
    /// It is not known whether it is held.
    Unknown,
    /// Nothing was decided or touched.
    Busy(Busy),
}

impl Engine {
    /// A buyer's wish, from admission to its answer.
    pub async fn buy(&self, wish: Wish) -> Answer {
        let Some(desk) = self.desk(wish.sale) else {
            return if self.no_such_sale().is_ok() { Answer::Refused(Refusal::UnknownSale) } else { Answer::Busy(Busy::Recovering) };
        };
        let sale = desk.sale();
        let id = OrderId::of_purchase(wish.sale, &wish.buyer, &wish.key);
        let now = self.ledger_now();
        let known = desk.may_know(id.digest, self.stale_before_us())
            || wish.ticket.as_deref().is_some_and(|ticket| self.tickets.read(ticket, id, &wish.buyer).is_some());
        let admitted = match admit(&sale, desk.is_whole(), wish.quantity, now) {
            Ok(admitted) => admitted,
            Err(denied) => return self.denied(&desk, id, &wish, known, denied).await,
        };
        if !known
            && let Some(fact) = desk.fresh_fact(self.stores.clock.elapsed_us(), self.settings.fact_ms)
            && fact.left < admitted.quantity.units()
        {
            return Answer::Refused(Refusal::SoldOut { left: fact.left });
        }
        let ask = Ask {
            digest: id.digest,
            buyer: wish.buyer,
            quantity: admitted.quantity,
            unit_price: sale.terms.unit_price,
            currency: sale.terms.currency,
            pay_within_s: sale.terms.pay_within_s,
            asked_at: now,
            late: None,
        };
        // The ticket is made before the ask is given away, for those who may need it.
        let until_us = (wish.wait_ms > 0).then(|| self.stores.clock.elapsed_us() + wish.wait_ms * 1_000);
        let terms = Ask { buyer: ask.buyer.clone(), late: None, ..ask };
        match self.submit(&desk, ask, known, until_us) {
            Err(busy) => Answer::Busy(busy),
            Ok(outcome) => match outcome.await {
                Ok(Outcome::Row(order)) => self.row_answers(&terms, order),
                Ok(Outcome::Refused(refusal)) => Answer::Refused(refusal),
                Ok(Outcome::Busy(busy)) => Answer::Busy(busy),
                // The intake was stopped with the ask on its way: unknown is not "no".
                Ok(Outcome::Processing) | Err(_) => Answer::Processing { id, ticket: self.tickets.issue(id, &terms) },
            },
        }
    }

    /// A row found under the key is the answer, unless the key was used for something else.
    fn row_answers(&self, ask: &Ask, order: Box<Order>) -> Answer {
        if order.ask.same_content(ask) { Answer::Row(order) } else { Answer::Refused(Refusal::Mismatch) }
    }

    /// What admission denies is said only of a purchase that does not exist already.
    async fn denied(&self, desk: &Desk, id: OrderId, wish: &Wish, known: bool, denied: Denied) -> Answer {
        if known {
            match self.find(desk, id).await {
                Ok(Found::Row(order)) => {
                    let same = order.ask.quantity.get() == wish.quantity;
                    return if same { Answer::Row(order) } else { Answer::Refused(Refusal::Mismatch) };
                }
                Ok(Found::Hold(held)) if held.quantity.get() != wish.quantity => return Answer::Refused(Refusal::Mismatch),
                Ok(Found::Hold(held)) => return Answer::Processing { id, ticket: self.tickets.issue(id, &held) },
                // It may be held: unknown is not "no".
                Ok(Found::Unclear) if matches!(denied, Denied::Refused(_)) => return Answer::Busy(Busy::Recovering),
                Ok(Found::Nothing | Found::Unclear) => {}
                Err(fault) => {
                    self.faulted(&fault);
                    return Answer::Busy(Busy::Overloaded);
                }
            }
        }
        match denied {
            Denied::Refused(refusal) => Answer::Refused(refusal),
            Denied::Busy(busy) => Answer::Busy(busy),
        }
    }

    /// Decides a group of asks of one sale: rounds of look and batch, until each is answered.
    pub(super) async fn decide(&self, desk: &Desk, group: Vec<Pending>) {
        let mut open = self.answer_known(desk, group).await;
        while !open.is_empty() {
            let sale = desk.sale();
            let Some(fence) = desk.fence() else { return answer_all(open, || Outcome::Busy(Busy::Recovering)) };
            let (fits, rest) = self.look(desk, fence, &sale, open).await;
            open = rest;
            if !fits.is_empty() {
                open.extend(self.take(desk, fence, &sale, fits).await);
            }
            let (spent, going): (Vec<_>, Vec<_>) = open.into_iter().partition(|pending| pending.tries >= self.settings.tries_max);
            answer_all(spent, || Outcome::Busy(Busy::Overloaded));
            open = going;
        }
    }

    /// What is free is admitted once more: the sale may have been paused or ended while it waited. Not earlier, since what
    /// is held already is told so whatever the sale has become.
    fn still_admitted(&self, sale: &Sale, open: Vec<Pending>) -> Vec<Pending> {
        let now = self.ledger_now();
        let mut still = Vec::with_capacity(open.len());
        for pending in open {
            let admitted = match pending.ask.late {
                Some(_) => admit_late(sale, true),
                None => admit(sale, true, pending.ask.quantity.get(), now).map(|_| ()),
            };
            match admitted {
                Ok(()) => still.push(pending),
                Err(Denied::Refused(refusal)) => pending.answer(Outcome::Refused(refusal)),
                Err(Denied::Busy(busy)) => pending.answer(Outcome::Busy(busy)),
            }
        }
        still
    }

    /// Answers those of the perhaps known that have a row; gives back the others.
    async fn answer_known(&self, desk: &Desk, group: Vec<Pending>) -> Vec<Pending> {
        let (known, mut open): (Vec<_>, Vec<_>) = group.into_iter().partition(|pending| pending.known);
        match self.answer_rows(desk, known).await {
            Ok(without) => open.extend(without),
            // Nothing was touched, and nobody knows what they are: they may ask again.
            Err(unanswered) => answer_all(unanswered, || Outcome::Busy(Busy::Overloaded)),
        }
        open
    }

    /// Answers those that have a row; gives back those without, or all of them if the ledger does not answer.
    async fn answer_rows(&self, desk: &Desk, group: Vec<Pending>) -> Result<Vec<Pending>, Vec<Pending>> {
        if group.is_empty() {
            return Ok(group);
        }
        let ids: Vec<_> = group.iter().map(|pending| id_of(desk, pending)).collect();
        let rows = match self.stores.ledger.orders(&ids).await {
            Ok(rows) => rows,
            Err(fault) => {
                self.faulted(&fault);
                return Err(group);
            }
        };
        let mut without = Vec::new();
        for (pending, row) in group.into_iter().zip(rows) {
            match row {
                Some(order) => pending.answer(Outcome::Row(Box::new(order))),
                None => without.push(pending),
            }
        }
        Ok(without)
    }

    /// Asks the gate, read only: answers what needs no write, picks those that fit together, and gives back the rest.
    async fn look(&self, desk: &Desk, fence: Fence, sale: &Sale, mut open: Vec<Pending>) -> (Vec<Pending>, Vec<Pending>) {
        open.iter_mut().for_each(|pending| pending.tries += 1);
        let asks: Vec<Ask> = open.iter().map(|pending| pending.ask.clone()).collect();
        let (seen, fact) = match self.timed(Stage::Look, self.stores.gate.look(fence, sale.terms.limit_per_buyer, &asks)).await {
            Ok(Ok(said)) => said,
            Ok(Err(_)) => {
                desk.is_stale_under(fence);
                answer_all(open, || Outcome::Busy(Busy::Recovering));
                return (Vec::new(), Vec::new());
            }
            Err(fault) => {
                self.faulted(&fault);
                answer_all(open, || Outcome::Busy(Busy::Overloaded));
                return (Vec::new(), Vec::new());
            }
        };
        desk.learn_fact(fact, self.stores.clock.elapsed_us());
        let (free, rest) = self.answer_seen(desk, fence, open, seen).await;
        let free = self.still_admitted(sale, free);
        // Only what fits together goes into a half message: the others would make the gate refuse all of it. So a buyer
        // stands in it once, since the look judged each ask by itself.
        let (mut left, mut buyers) = (fact.left, HashSet::new());
        let (fits, later): (Vec<_>, Vec<_>) = free.into_iter().partition(|pending| {
            let fits = pending.ask.quantity.units() <= left && buyers.insert(pending.ask.buyer.clone());
            left -= if fits { pending.ask.quantity.units() } else { 0 };
            fits
        });
        (fits, later.into_iter().chain(rest).collect())
    }

    /// Answers each ask by what the gate sees of it. Gives back those that are free, and those to be looked at again.
    async fn answer_seen(&self, desk: &Desk, fence: Fence, asks: Vec<Pending>, seen: Vec<Seen>) -> (Vec<Pending>, Vec<Pending>) {
        let (mut free, mut again, mut rows, mut limited) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (pending, seen) in asks.into_iter().zip(seen) {
            match seen {
                Seen::Free => free.push(pending),
                Seen::Held | Seen::Closed => rows.push(pending),
                Seen::Mismatch => pending.answer(Outcome::Refused(Refusal::Mismatch)),
                Seen::Short => pending.answer(Outcome::Refused(Refusal::SoldOut { left: desk.fact().map_or(0, |fact| fact.left) })),
                Seen::Limit(holds) => limited.push((pending, holds)),
            }
        }
        self.held(desk, rows).await;
        again.extend(self.limited(desk, fence, limited).await);
        (free, again)
    }

    /// Answers asks that the gate holds or has released: by their row, else `processing`.
    async fn held(&self, desk: &Desk, asks: Vec<Pending>) {
        let open = self.answer_rows(desk, asks).await.unwrap_or_else(|unanswered| unanswered);
        self.await_rows(desk, open);
    }

    /// Held: who wants the row is put among those who wait for it, the others are answered now.
    fn await_rows(&self, desk: &Desk, asks: Vec<Pending>) {
        let now_us = self.stores.clock.elapsed_us();
        for pending in asks {
            let id = id_of(desk, &pending);
            if pending.until_us.is_none() && !pending.has_twins() {
                pending.answer(Outcome::Processing);
                continue;
            }
            for (until_us, reply) in pending.into_replies() {
                self.watch.join(id, 0, now_us, until_us.unwrap_or(now_us), reply);
            }
        }
    }

    /// One batch: half message, hold, settle. Gives back those that are to be looked at again.
    async fn take(&self, desk: &Desk, fence: Fence, sale: &Sale, group: Vec<Pending>) -> Vec<Pending> {
        let batch = Batch {
            id: BatchId { node: self.node, number: self.batches.fetch_add(1, Ordering::Relaxed) },
            sale: desk.id,
            epoch: fence.epoch,
            limit_per_buyer: sale.terms.limit_per_buyer,
            asks: group.iter().map(|pending| pending.ask.clone()).collect(),
        };
        let (tried, receipt) = self.try_batch(desk, fence, sale, &batch).await;
        match tried {
            Tried::Held => {
                // Who waits must wait before the message can be recorded.
                self.await_rows(desk, group);
                self.settle(receipt, Verdict::Commit).await;
                Vec::new()
            }
            Tried::Seen(seen) => {
                self.settle(receipt, Verdict::Rollback).await;
                let (mut later, again) = self.answer_seen(desk, fence, group, seen).await;
                later.extend(again);
                later
            }
            Tried::Void => {
                self.settle(receipt, Verdict::Rollback).await;
                group
            }
            Tried::Unknown => {
                // Nothing is said to the broker: it asks, and the gate's record answers.
                self.await_rows(desk, group);
                Vec::new()
            }
            Tried::Busy(busy) => {
                self.settle(receipt, Verdict::Rollback).await;
                answer_all(group, || Outcome::Busy(busy));
                Vec::new()
            }
        }
    }

    /// Prepares and holds a batch. The hold is sent once; whatever is unknown afterwards is asked, never sent again.
    async fn try_batch(&self, desk: &Desk, fence: Fence, sale: &Sale, batch: &Batch) -> (Tried, Option<Receipt>) {
        // Before the hold, so that no retry finds the stock gone and its own id unknown.
        desk.remember(batch.asks.iter().map(|ask| ask.digest));
        let half = Half { batch: batch.id, tag: sale.terms.goods_type.clone(), body: message::encode(batch) };
        let receipt = match self.timed(Stage::Prepare, self.stores.queue.prepare(half)).await {
            Ok(receipt) => receipt,
            Err(fault) => {
                // A half message that was stored after all is checked back, found without a hold, and voided.
                self.faulted(&fault);
                return (Tried::Busy(Busy::Overloaded), None);
            }
        };
        self.meters.batches.add(batch.asks.len() as u64);
        let tried = match self.timed(Stage::Hold, self.stores.gate.hold(fence, batch)).await {
            Ok(Ok((held, fact))) => {
                desk.learn_fact(fact, self.stores.clock.elapsed_us());
                match held {
                    Held::All => Tried::Held,
                    Held::Void => Tried::Void,
                    Held::None(seen) => {
                        self.meters.batches_refused.add(1);
                        Tried::Seen(seen)
                    }
                }
            }
            Ok(Err(_)) => {
                desk.is_stale_under(fence);
                Tried::Busy(Busy::Recovering)
            }
            Err(fault) => {
                self.faulted(&fault);
                self.meters.holds_unknown.add(1);
                self.ask_decision(fence, batch.id).await
            }
        };
        (tried, Some(receipt))
    }

    /// What became of a hold whose answer is unknown. Only `void` lets its purchases go again; a gate that is no longer
    /// the decider cannot tell, since somebody may have committed on its word before.
    async fn ask_decision(&self, fence: Fence, batch: BatchId) -> Tried {
        for _ in 0..DECISION_TRIES {
            match self.stores.gate.decision_or_void(fence, batch).await {
                Ok(Ok(Decision::Held)) => return Tried::Held,
                Ok(Ok(Decision::Void)) => return Tried::Void,
                Ok(Err(_)) => return Tried::Unknown,
                Err(fault) => self.faulted(&fault),
            }
        }
        Tried::Unknown
    }

    async fn settle(&self, receipt: Option<Receipt>, verdict: Verdict) {
        if let Some(receipt) = receipt {
            self.stores.queue.settle(receipt, verdict).await;
        }
    }

    /// The desk of a sale.
    pub(super) fn desk(&self, sale: SaleId) -> Option<Arc<Desk>> {
        self.desks.read().expect("no code panics while it holds the desks").get(&sale).map(Arc::clone)
    }

    /// Releases the holds of dead orders; what cannot be released now is tried again by the reconciler.
    pub(super) async fn release(&self, desk: &Desk, dead: &[Digest]) {
        let fence = fence_of(&desk.sale());
        match self.stores.gate.release(fence, dead).await {
            Ok(Ok(fact)) => desk.learn_fact(fact, self.stores.clock.elapsed_us()),
            // The rebuild that follows loads no dead order; one that was read as live a moment ago is found by the walk.
            Ok(Err(_)) => desk.owe(dead),
            Err(fault) => {
                self.faulted(&fault);
                desk.owe(dead);
            }
        }
    }
}

pub(super) fn answer_all(group: Vec<Pending>, outcome: impl Fn() -> Outcome) {
    group.into_iter().for_each(|pending| pending.answer(outcome()));
}
