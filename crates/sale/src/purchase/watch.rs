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
        let mut ask = Vec::new();
        lock(&self.waiting).retain(|&id, waiters| {
            let (over, mut rest): (Vec<_>, Vec<_>) =
                std::mem::take(waiters).into_iter().partition(|waiter| waiter.until_us <= now_us || waiter.reply.is_closed());
            over.into_iter().for_each(|waiter| drop(waiter.reply.send(Outcome::Processing)));
            if ask.len() < max && rest.iter().any(|waiter| waiter.asked_us + ASK_EVERY_US <= now_us) {
                rest.iter_mut().for_each(|waiter| waiter.asked_us = now_us);
                ask.push(id);
            }
            *waiters = rest;
            !waiters.is_empty()
        });
        // A table's order is drawn when the process starts; what is asked must not depend on it.
        ask.sort_unstable();
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
