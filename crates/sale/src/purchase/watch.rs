//! Who waits for an order's row on this node: buyers with `Prefer: wait`, long polls and event streams.
//!
//! What this node records or closes answers at once; what another node does is found by asking the ledger now and then.

use super::Engine;
use super::desk::lock;
use super::intake::Outcome;
use crate::order::Order;
use crate::words::{Digest, OrderId};
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::sync::oneshot;

/// How often the ledger is asked for rows that other nodes may have made.
const ASK_EVERY_US: u64 = 200_000;

/// Who waits for which order.
#[derive(Default)]
pub(super) struct Watch {
    waiting: Mutex<HashMap<OrderId, Vec<Waiter>>>,
}

struct Waiter {
    /// Answers an order whose version is above this; zero waits for any row.
    above: u32,
    /// Answered `processing` when it has passed.
    until_us: u64,
    asked_us: u64,
    reply: oneshot::Sender<Outcome>,
}

impl Watch {
    /// Waits for a version of the order above `above`. To be called before what it waits for can happen.
    pub(super) fn expect(&self, id: OrderId, above: u32, now_us: u64, until_us: u64) -> oneshot::Receiver<Outcome> {
        let (reply, answer) = oneshot::channel();
        self.join(id, above, now_us, until_us, reply);
        answer
    }

    pub(super) fn join(&self, id: OrderId, above: u32, now_us: u64, until_us: u64, reply: oneshot::Sender<Outcome>) {
        lock(&self.waiting).entry(id).or_default().push(Waiter { above, until_us, asked_us: now_us, reply });
    }

    /// Tells those who wait what became of their orders.
    pub(super) fn tell(&self, orders: Vec<Order>) {
        let mut waiting = lock(&self.waiting);
        if waiting.is_empty() {
            return;
        }
        for order in orders {
            let id = order.id();
            let Some(mut waiters) = waiting.remove(&id) else { continue };
            // Nearly always there is one, and it waits for just this.
            if waiters.len() == 1 && waiters[0].above < order.version {
                if let Some(waiter) = waiters.pop() {
                    drop(waiter.reply.send(Outcome::Row(Box::new(order))));
                }
                continue;
            }
            let (mut told, rest): (Vec<_>, Vec<_>) = waiters.into_iter().partition(|waiter| order.version > waiter.above);
            if !rest.is_empty() {
                waiting.insert(id, rest);
            }
            // A receiver that is gone hung up; the purchase goes on without it.
            let last = told.pop();
            told.into_iter().for_each(|waiter| drop(waiter.reply.send(Outcome::Row(Box::new(order.clone())))));
            if let Some(waiter) = last {
                drop(waiter.reply.send(Outcome::Row(Box::new(order))));
            }
        }
    }

    /// Answers those whose patience is over or who hung up; names the orders that the ledger should be asked for.
    fn turn(&self, now_us: u64, max: usize) -> Vec<OrderId> {
        let (mut waiting, mut ask) = (lock(&self.waiting), Vec::new());
        waiting.retain(|&id, waiters| {
            let (over, rest): (Vec<_>, Vec<_>) =
                std::mem::take(waiters).into_iter().partition(|waiter| waiter.until_us <= now_us || waiter.reply.is_closed());
            over.into_iter().for_each(|waiter| drop(waiter.reply.send(Outcome::Processing)));
            if rest.iter().any(|waiter| waiter.asked_us + ASK_EVERY_US <= now_us) {
                ask.push(id);
            }
            *waiters = rest;
            !waiters.is_empty()
        });
        // A table's order is drawn when the process starts; what is asked must not depend on it.
        ask.sort_unstable();
        ask.truncate(max);
        for id in &ask {
            waiting.entry(*id).and_modify(|waiters| waiters.iter_mut().for_each(|waiter| waiter.asked_us = now_us));
        }
        ask
    }
}

impl Engine {
    /// Ends waits that are over, and asks the ledger for rows that other nodes may have made. To be called every twenty
    /// milliseconds or so.
    pub async fn patience_pass(&self) {
        let ask = self.watch.turn(self.stores.clock.elapsed_us(), self.settings.page_max);
        if ask.is_empty() {
            return;
        }
        match self.stores.ledger.orders(&ask).await {
            Ok(orders) => self.watch.tell(orders.into_iter().flatten().collect()),
            Err(fault) => self.faulted(&fault),
        }
    }

    /// Tells the waiting what became of an order, and takes note that it has a row.
    pub(super) fn tell(&self, order: &Order) {
        if let Some(desk) = self.desk(order.sale) {
            desk.remember(std::iter::once(order.ask.digest));
        }
        self.watch.tell(vec![order.clone()]);
    }
}

/// Digests of orders, for the gate.
pub(super) fn digests(orders: &[Order]) -> Vec<Digest> {
    orders.iter().map(|order| order.ask.digest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;
    use crate::order::Status;
    use crate::words::{Epoch, Time};

    fn order(version: u32) -> Order {
        Order {
            sale: contract::sale("s1"),
            ask: contract::ask(contract::sale("s1"), "ann", 1),
            status: Status::Confirmed,
            reason: None,
            epoch: Epoch(1),
            version,
            created_at: Time(1),
            updated_at: Time(1),
            pay_by: None,
            successor: None,
        }
    }

    /// The version that a waiter was told; `Some(0)` is `processing`.
    fn told(waiter: &mut oneshot::Receiver<Outcome>) -> Option<u32> {
        match waiter.try_recv() {
            Ok(Outcome::Row(order)) => Some(order.version),
            Ok(Outcome::Processing) => Some(0),
            _ => None,
        }
    }

    #[test]
    fn each_is_told_once_and_only_of_a_version_above_the_one_it_knows() {
        for above in [&[0][..], &[3], &[0, 0], &[0, 1, 2, 5], &[5, 5]] {
            let watch = Watch::default();
            let mut waiters: Vec<_> = above.iter().map(|&above| watch.expect(order(1).id(), above, 0, 10)).collect();
            for version in [2, 3] {
                watch.tell(vec![order(version)]);
                for (waiter, &above) in waiters.iter_mut().zip(above) {
                    let first = if above < 2 { 2 } else { 3 };
                    assert_eq!(
                        told(waiter),
                        (version == first && above < version).then_some(version),
                        "above {above} of version {version}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_ledger_is_asked_for_an_order_now_and_then_and_for_so_many_at_once() {
        let watch = Watch::default();
        let ids: Vec<_> =
            ["a", "b", "c"].map(|who| OrderId { digest: contract::ask(order(1).sale, who, 1).digest, ..order(1).id() }).into();
        let mut waiters: Vec<_> = ids.iter().map(|&id| watch.expect(id, 0, 1_000, 900_000)).collect();
        assert_eq!(watch.turn(1_000 + ASK_EVERY_US - 1, 9), []);
        let first = watch.turn(1_000 + ASK_EVERY_US, 2);
        assert_eq!(first.len(), 2);
        let second = watch.turn(1_000 + ASK_EVERY_US, 2);
        assert_eq!(second.len(), 1, "the two were asked for just now");
        assert!(!first.contains(&second[0]));
        assert_eq!(watch.turn(1_000 + 2 * ASK_EVERY_US - 1, 9), []);
        assert_eq!(watch.turn(1_000 + 2 * ASK_EVERY_US, 9).len(), 3);
        assert!(waiters.iter_mut().all(|waiter| told(waiter).is_none()));
        assert_eq!(watch.turn(900_000, 9), [], "whose patience is over is not asked for");
        assert!(waiters.iter_mut().all(|waiter| told(waiter) == Some(0)));
    }
}
