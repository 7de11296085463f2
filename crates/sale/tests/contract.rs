//! The contract, run on the ports in memory.

use async_trait::async_trait;
use sale::contract::gate::{self, GateRig};
use sale::contract::ledger::{self, LedgerRig};
use sale::contract::queue::{self, QueueRig, QueueTimes};
use sale::memory::{ManualClock, MemoryGate, MemoryLedger, MemoryQueue, QueueSettings};
use sale::ports::{Gate, Ledger, Queue};
use sale::words::{OrderId, RunId, Time};
use std::sync::Arc;

struct GateInMemory(Arc<MemoryGate>);

#[async_trait]
impl GateRig for GateInMemory {
    fn gate(&self) -> Arc<dyn Gate> {
        self.0.clone()
    }

    async fn another_life(&self) -> bool {
        self.0.restart(RunId(4_712));
        true
    }

    async fn wipe(&self) -> bool {
        self.0.wipe();
        true
    }
}

struct QueueInMemory {
    clock: Arc<ManualClock>,
    queue: Arc<MemoryQueue>,
}

const QUEUE: QueueSettings = QueueSettings { check_after_ms: 600, check_every_ms: 300, invisible_ms: 1_000, messages_max: 10_000 };

#[async_trait]
impl QueueRig for QueueInMemory {
    fn queue(&self) -> Arc<dyn Queue> {
        self.queue.clone()
    }

    fn times(&self) -> QueueTimes {
        let QueueSettings { check_after_ms, check_every_ms, invisible_ms, .. } = QUEUE;
        QueueTimes { check_after_ms, check_every_ms, invisible_ms, wait_ms: 0 }
    }

    async fn passes(&self, ms: u64) {
        self.clock.advance_ms(ms);
    }

    async fn reopen(&self) -> bool {
        // The broker is another process: what a node's crash leaves of it is all of it.
        true
    }
}

struct LedgerInMemory(Arc<MemoryLedger>);

#[async_trait]
impl LedgerRig for LedgerInMemory {
    fn ledger(&self) -> Arc<dyn Ledger> {
        self.0.clone()
    }

    async fn passes(&self, ms: u64) {
        self.0.advance_ms(ms);
    }

    async fn reopen(&self) -> bool {
        // It outlives the node that used it.
        true
    }

    async fn delete_row_by_hand(&self, id: OrderId) -> bool {
        self.0.delete_row_by_hand(id)
    }
}

#[tokio::test]
async fn the_gate_in_memory_keeps_every_promise() {
    for promise in gate::promises() {
        println!("gate: {}", promise.name);
        (promise.keep)(&GateInMemory(Arc::new(MemoryGate::new(RunId(4_711))))).await;
    }
}

#[tokio::test]
async fn the_queue_in_memory_keeps_every_promise() {
    for promise in queue::promises() {
        println!("queue: {}", promise.name);
        let clock = ManualClock::new();
        let queue = MemoryQueue::new(clock.clone(), QUEUE);
        (promise.keep)(&QueueInMemory { clock, queue }).await;
    }
}

#[tokio::test]
async fn the_ledger_in_memory_keeps_every_promise() {
    for promise in ledger::promises() {
        println!("ledger: {}", promise.name);
        (promise.keep)(&LedgerInMemory(MemoryLedger::new(Time(1_700_000_000_000)))).await;
    }
}
