//! What buyers do, and what they are told: the shadow of the world that the laws about tales are judged by.

use super::{NATURE, World, buyer};
use crate::executor::Group;
use crate::history::{About, brief};
use futures_util::future::{Either, select};
use sale::books::{Tale, Told};
use sale::ports::Clock as _;
use sale::purchase::{Answer, Cancelled, Shown, Wish};
use sale::words::*;
use std::pin::pin;
use std::sync::Arc;

impl World {
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
        // For as long as a fact may live on another node, that node may not know the purchase.
        let lag_us = self.settings.fact_ms * 1_000;
        let shown_live = self.shown_live.borrow().get(&id).is_some_and(|&at_us| self.clock.elapsed_us() > at_us + lag_us);
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
        if let (true, Some(Answer::Refused(refusal))) = (shown_live, &answer) {
            self.contradictions.borrow_mut().push(format!("{id}: was shown, and then refused: {refusal:?}"));
        }
        let (told, amount) = match &answer {
            None => (Told::Nothing, None),
            Some(Answer::Row(order)) => (Told::Row(order.status), Some(order.ask.amount())),
            Some(Answer::Processing { .. }) => (Told::Processing, None),
            Some(Answer::Refused(_)) => (Told::Refused, None),
            Some(Answer::Busy(_)) => (Told::Busy, None),
        };
        if matches!(told, Told::Row(status) if status.is_live()) {
            self.shown_live.borrow_mut().entry(id).or_insert(self.clock.elapsed_us());
        }
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

    /// Purchases that were shown and then refused: one purchase has one answer.
    pub fn contradictions(&self) -> Vec<String> {
        self.contradictions.borrow().clone()
    }

    /// What all buyers were told.
    pub fn tales(&self) -> Vec<Tale> {
        self.tales.borrow().values().cloned().collect()
    }
}
