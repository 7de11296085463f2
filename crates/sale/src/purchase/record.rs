//! The consumer: takes committed messages, merges them, records them in one transaction, and acknowledges each by itself.
//!
//! A message is acknowledged only after the ledger's commit. What cannot be recorded by trying again is parked with its
//! reason and never holds up its neighbours; what it carried is recorded from its holds.

use super::desk::lock;
use super::{Engine, Stage};
use crate::message::{self, Decoded};
use crate::order::{Order, Source, Status};
use crate::ports::{Fault, Handle, Message, Recorded, Sheaf, Unrecordable};
use crate::words::{Batch, BatchId};
use std::collections::HashMap;
use std::sync::Mutex;

/// Messages that one pass takes.
const MESSAGES_MAX: usize = 64;
/// How long a message that could not be recorded waits for its next delivery.
const AGAIN_MS: u64 = 500;
/// How long a message of a later version waits: for a newer node, or for an upgrade.
const LATER_VERSION_MS: u64 = 5_000;

/// Batches that the ledger did not take while it took their neighbours, and how often.
#[derive(Default)]
pub(super) struct Failures(Mutex<HashMap<BatchId, u32>>);

impl Failures {
    /// Batches that are remembered; what is forgotten is only tried a little longer.
    const MAX: usize = 10_000;

    fn count(&self, batch: BatchId) -> u32 {
        let mut counts = lock(&self.0);
        if counts.len() >= Self::MAX {
            counts.clear();
        }
        let count = counts.entry(batch).or_default();
        *count += 1;
        *count
    }

    fn forget(&self, batch: BatchId) {
        lock(&self.0).remove(&batch);
    }
}

/// A message that is a batch.
struct Carried {
    handle: Handle,
    deliveries: u32,
    batch: Batch,
    /// The batch as it came: recording takes the asks, and a second try reads them again.
    body: Vec<u8>,
}

impl Engine {
    /// Records what the queue has; waits at most `wait_ms` for something.
    pub async fn record_pass(&self, wait_ms: u64) -> Result<(), Fault> {
        let messages = self.stores.queue.receive(MESSAGES_MAX, wait_ms).await?;
        let mut carried = self.unpack(messages).await;
        while !carried.is_empty() {
            let rest = carried.split_off(self.merged(&carried));
            self.record_merged(carried).await;
            carried = rest;
        }
        Ok(())
    }

    /// How many of the first messages go into one transaction.
    fn merged(&self, carried: &[Carried]) -> usize {
        let mut asks = 0;
        let fits = carried.iter().take_while(|message| {
            asks += message.batch.asks.len();
            asks <= self.settings.merge_max
        });
        fits.count().max(1)
    }

    /// Decodes messages; what is no batch goes its own way.
    async fn unpack(&self, messages: Vec<Message>) -> Vec<Carried> {
        let mut carried = Vec::with_capacity(messages.len());
        for message in messages {
            match message::decode(&message.body) {
                Decoded::Batch(batch) => {
                    carried.push(Carried { handle: message.handle, deliveries: message.deliveries, batch, body: message.body })
                }
                Decoded::Later(_) => self.stores.queue.later(vec![message.handle], LATER_VERSION_MS).await,
                Decoded::Poison(why) => self.park(message.handle, &why).await,
            }
        }
        carried
    }

    /// Records messages together; if the ledger does not take them so, each by itself.
    async fn record_merged(&self, mut carried: Vec<Carried>) {
        let sheaves = carried.iter_mut().map(sheaf).collect();
        match self.record_sheaves(sheaves).await {
            Ok(results) => self.acknowledge(carried, results).await,
            Err(fault) => {
                self.faulted(&fault);
                // The first time, all come again together: most faults pass. After that each is tried alone, so that one
                // which the ledger cannot take does not hold up its neighbours.
                if carried.len() == 1 || carried.iter().all(|message| message.deliveries == 1) {
                    self.stores.queue.later(carried.into_iter().map(|message| message.handle).collect(), AGAIN_MS).await;
                } else {
                    self.record_singly(carried).await;
                }
            }
        }
    }

    async fn record_singly(&self, carried: Vec<Carried>) {
        let mut failed = Vec::new();
        let mut one_went = false;
        for mut message in carried {
            if let Decoded::Batch(batch) = message::decode(&message.body) {
                message.batch = batch;
            }
            match self.record_sheaves(vec![sheaf(&mut message)]).await {
                Ok(results) => {
                    one_went = true;
                    self.acknowledge(vec![message], results).await;
                }
                Err(fault) => failed.push((message, fault)),
            }
        }
        for (message, fault) in failed {
            // Only a neighbour that went shows that it is the message and not the ledger: only those failures count.
            if one_went && self.failures.count(message.batch.id) >= self.settings.deliveries_max {
                self.park(
                    message.handle,
                    &format!("not recorded while its neighbours were, {} times: {fault}", self.settings.deliveries_max),
                )
                .await;
            } else {
                self.stores.queue.later(vec![message.handle], AGAIN_MS).await;
            }
        }
    }

    /// Acknowledges what was recorded, parks what never will be.
    async fn acknowledge(&self, carried: Vec<Carried>, results: Vec<Result<(), Unrecordable>>) {
        let mut done = Vec::with_capacity(carried.len());
        for (message, result) in carried.into_iter().zip(results) {
            match result {
                Ok(()) => {
                    self.failures.forget(message.batch.id);
                    done.push(message.handle);
                }
                Err(Unrecordable::UnknownSale) => {
                    self.park(message.handle, &format!("the ledger has no sale {}", message.batch.sale)).await
                }
                Err(Unrecordable::DeletedByHand(digest)) => {
                    let why = format!(
                        "order {}-{} has a history but no row: deleted by hand; the sale is stopped",
                        message.batch.sale,
                        digest.hex()
                    );
                    self.park(message.handle, &why).await;
                }
                Err(Unrecordable::Stopped) => {
                    self.park(message.handle, &format!("sale {} is stopped: a law was found broken", message.batch.sale)).await
                }
            }
        }
        if !done.is_empty() {
            self.stores.queue.ack(done, self.recorded_seq()).await;
        }
    }

    async fn park(&self, handle: Handle, why: &str) {
        self.meters.parked.add(1);
        if let Err(fault) = self.stores.queue.park(handle, why).await {
            // It is delivered again, and parked then.
            self.faulted(&fault);
        }
    }

    /// Records sheaves; all recording goes through here. Whoever calls it tells those who wait for the rows.
    pub(super) async fn record_rows(&self, sheaves: Vec<Sheaf>) -> Result<Vec<Result<Vec<Order>, Unrecordable>>, Fault> {
        let Recorded { sheaves, seq } = self.timed(Stage::Record, self.stores.ledger.record(sheaves)).await?;
        self.note_seq(seq);
        let (mut rows, mut rejected, mut lag_ms) = (0, 0, 0);
        for order in sheaves.iter().flatten().flatten() {
            rows += 1;
            rejected += u64::from(order.status == Status::Rejected);
            lag_ms += u64::try_from(order.created_at.since_ms(order.ask.asked_at)).unwrap_or(0);
        }
        self.meters.records.add(rows);
        self.meters.rejected.add(rejected);
        self.meters.lag_ms.add(lag_ms);
        for orders in sheaves.iter().flatten() {
            if let Some(desk) = orders.first().and_then(|order| self.desk(order.sale)) {
                desk.remember(orders.iter().map(|order| order.ask.digest));
            }
        }
        Ok(sheaves)
    }

    /// Records the sheaves of messages: the rows go to those who wait for them.
    async fn record_sheaves(&self, sheaves: Vec<Sheaf>) -> Result<Vec<Result<(), Unrecordable>>, Fault> {
        let mut results = Vec::new();
        for rows in self.record_rows(sheaves).await? {
            results.push(match rows {
                Ok(orders) => {
                    self.after_record(orders).await;
                    Ok(())
                }
                Err(why) => Err(why),
            });
        }
        Ok(results)
    }

    /// Releases the holds of those that the ledger refused, then tells: first the row, then the answer, then the release
    /// would do as well; the row is there either way.
    async fn after_record(&self, orders: Vec<Order>) {
        let dead: Vec<_> = orders.iter().filter(|order| order.status.is_dead()).map(|order| (order.sale, order.ask.digest)).collect();
        self.watch.tell(orders);
        if let Some(&(sale, _)) = dead.first()
            && let Some(desk) = self.desk(sale)
        {
            let digests: Vec<_> = dead.into_iter().map(|(_, digest)| digest).collect();
            self.release(&desk, &digests).await;
        }
    }
}

fn sheaf(message: &mut Carried) -> Sheaf {
    Sheaf { sale: message.batch.sale, epoch: message.batch.epoch, source: Source::Message, asks: std::mem::take(&mut message.batch.asks) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_batch_and_forgotten_when_it_is_recorded() {
        let (failures, [a, b]) = (Failures::default(), [1, 2].map(|number| BatchId { node: 1, number }));
        assert_eq!([a, a, b, a].map(|batch| failures.count(batch)), [1, 2, 1, 3]);
        failures.forget(a);
        assert_eq!([a, b].map(|batch| failures.count(batch)), [1, 2]);
    }
}
