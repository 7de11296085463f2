//! What buyers do, and what they are told: the shadow of the world that the laws about tales are judged by.

use super::{NATURE, World, buyer, poll_once, terms};
use crate::executor::Group;
use crate::history::{About, brief};
use futures_util::future::{Either, select};
use sale::books::{Tale, Told};
use sale::ports::{Clock as _, Fault, Fence, Gate as _, Ledger as _};
use sale::purchase::{Answer, Cancelled, Operated, Shown, Wish};
use sale::words::*;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

/// Where a purchase stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// It has a row, live or dead; the epoch is the sale's.
    Row(Epoch),
    /// The gate of this epoch holds it.
    Hold(Epoch),
}

impl World {
    /// Starts so many nodes and opens a sale of so many units; comes back when every node has seen it.
    pub fn open_sale(self: &Rc<Self>, nodes: Group, units: i64, edit: impl FnOnce(&mut Terms)) -> SaleId {
        let mut terms = terms("s1");
        edit(&mut terms);
        let sale = terms.id;
        (1..=nodes).for_each(|node| self.start(node));
        let world = Rc::clone(self);
        self.run_script(async move {
            world.ask(1, move |engine| async move { engine.create(&terms, units, "op").await }).await.unwrap().unwrap().unwrap();
            while !matches!(world.ask(1, move |engine| async move { engine.open(sale).await }).await, Some(Ok(Operated::Done(_)))) {
                world.clock.sleep_us(100_000).await;
            }
            while (1..=nodes).any(|node| !world.sees_whole(node, sale)) {
                world.clock.sleep_us(10_000).await;
            }
        });
        sale
    }

    /// One try of a purchase; what the buyer is told is remembered.
    pub async fn buy(&self, group: Group, sale: SaleId, who: &str, key: &str, quantity: u32, wait_ms: u64) -> Option<Answer> {
        self.buy_within(group, sale, who, key, quantity, wait_ms, None).await
    }

    /// The same by a buyer who hangs up after so many microseconds, and then has been told nothing.
    #[expect(clippy::too_many_arguments, reason = "a purchase, a wait, and how long the buyer has patience")]
    pub async fn buy_within(
        &self,
        group: Group,
        sale: SaleId,
        who: &str,
        key: &str,
        quantity: u32,
        wait_ms: u64,
        patience_us: Option<u64>,
    ) -> Option<Answer> {
        let wish = Wish { sale, buyer: buyer(who), key: key.parse().unwrap(), quantity, wait_ms, ticket: None };
        let id = OrderId::of_purchase(sale, &wish.buyer, &wish.key);
        self.history.name(id.digest, || format!("{who}/{key}"));
        // Until it is answered, a try is one that was told nothing.
        self.told(id, who, quantity, Told::Nothing, None);
        let at = self.tales.borrow()[&id].told.len() - 1;
        let has_answer = self.is_known_to_all(id);
        let clock = Arc::clone(&self.clock);
        let tried = self.ask(group, move |engine| async move {
            let buys = pin!(engine.buy(wish));
            let Some(us) = patience_us else { return Some(buys.await) };
            match select(buys, pin!(clock.sleep_us(us))).await {
                Either::Left((answer, _)) => Some(answer),
                Either::Right(((), _)) => None,
            }
        });
        let answer = tried.await.flatten();
        self.history
            .note(NATURE, &About::ids(&[id]), || format!("{who}/{key} asks node {group} for {quantity} and is told {}", brief(&answer)));
        if let (true, Some(Answer::Refused(refusal))) = (has_answer && self.stands(id).is_some(), &answer) {
            self.found("one answer", format!("{id}: has a row or is held, and was refused: {refusal:?}"));
        }
        let (told, amount) = match &answer {
            None => (Told::Nothing, None),
            Some(Answer::Row(order)) => (Told::Row(order.status), Some(order.ask.amount())),
            Some(Answer::Processing { .. }) => (Told::Processing, None),
            Some(Answer::Refused(_)) => (Told::Refused, None),
            Some(Answer::Busy(_)) => (Told::Busy, None),
        };
        let mut tales = self.tales.borrow_mut();
        let tale = tales.get_mut(&id).expect("the try stands there");
        tale.told[at] = told;
        tale.amount = amount.or(tale.amount);
        answer
    }

    /// Buys until there is an answer that is not "try again": a row, a refusal, or a ticket.
    pub async fn insist(&self, group: Group, sale: SaleId, who: &str, key: &str, quantity: u32) -> Answer {
        loop {
            match self.buy(group, sale, who, key, quantity, 2_000).await {
                Some(Answer::Busy(_)) | None => self.clock.sleep_us(300_000).await,
                Some(Answer::Processing { .. }) => self.clock.sleep_us(100_000).await,
                Some(answer) => return answer,
            }
        }
    }

    /// Shows an order; what the buyer is told is remembered.
    pub async fn show(&self, group: Group, id: OrderId, who: &str, ticket: Option<String>) -> Option<Shown> {
        let owner = buyer(who);
        let shown = self.ask(group, move |engine| async move { engine.order(id, &owner, ticket.as_deref(), None, 0).await }).await?.ok()?;
        self.history.note(NATURE, &About::ids(&[id]), || format!("{who} looks at node {group} and is told {}", brief(&shown)));
        if let Shown::Row(order) = &shown {
            self.told(id, who, order.ask.quantity.get(), Told::Row(order.status), Some(order.ask.amount()));
        }
        Some(shown)
    }

    /// Cancels an order; what the buyer is told is remembered.
    pub async fn cancel(&self, group: Group, id: OrderId, who: &str, ticket: Option<String>) -> Option<Cancelled> {
        let owner = buyer(who);
        let cancelled = self.ask(group, move |engine| async move { engine.cancel(id, &owner, ticket.as_deref()).await }).await?.ok()?;
        self.history.note(NATURE, &About::ids(&[id]), || format!("{who} cancels at node {group} and is told {}", brief(&cancelled)));
        if let Cancelled::Done(order) | Cancelled::Late(order) = &cancelled {
            self.told(id, who, order.ask.quantity.get(), Told::Row(order.status), Some(order.ask.amount()));
        }
        Some(cancelled)
    }

    /// Notes what a buyer was told.
    pub fn told(&self, id: OrderId, who: &str, quantity: u32, told: Told, amount: Option<i64>) {
        let mut tales = self.tales.borrow_mut();
        let tale = tales.entry(id).or_insert_with(|| Tale { id, buyer: buyer(who), quantity, amount: None, told: Vec::new() });
        tale.told.push(told);
        tale.amount = amount.or(tale.amount);
    }

    /// Whether the purchase has stood somewhere for longer than a fact may live on a node that does not know it. Asked at each
    /// try, so that it is known since when.
    fn is_known_to_all(&self, id: OrderId) -> bool {
        let (mut noticed, now_us) = (self.noticed.borrow_mut(), self.clock.elapsed_us());
        let Some(place) = self.stands(id) else {
            noticed.remove(&id);
            return false;
        };
        let (was, since_us) = noticed.entry(id).or_insert((place, now_us));
        if let (Place::Hold(before), Place::Hold(now) | Place::Row(now)) = (*was, place)
            && before != now
        {
            // The epoch in which it was held is over: it was nowhere for a while.
            *since_us = now_us;
        }
        *was = place;
        now_us > *since_us + self.settings.fact_ms * 1_000
    }

    /// Where a purchase stands now.
    fn stands(&self, id: OrderId) -> Option<Place> {
        let now = poll_once(async {
            let Some(sale) = self.ledger.sale(id.sale).await? else { return Ok(None) };
            if self.ledger.orders(&[id]).await?.into_iter().flatten().next().is_some() {
                return Ok(Some(Place::Row(sale.epoch)));
            }
            let fence = Fence { sale: id.sale, epoch: sale.epoch, run: sale.run };
            let held = self.gate().held(fence, &[id.digest]).await?;
            Ok::<_, Fault>(held.ok().and_then(|held| held.into_iter().flatten().next()).map(|_| Place::Hold(sale.epoch)))
        });
        now.expect("stores in memory answer at once").expect("they do not fail")
    }

    /// What all buyers were told.
    pub fn tales(&self) -> Vec<Tale> {
        self.tales.borrow().values().cloned().collect()
    }
}
