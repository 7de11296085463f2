//! The contract, run on the ports in memory.

use async_trait::async_trait;
use sale::contract::ledger::{self, LedgerRig};
use sale::memory::MemoryLedger;
use sale::ports::Ledger;
use sale::words::{OrderId, Time};
use std::sync::Arc;

struct LedgerInMemory(Arc<MemoryLedger>);

#[async_trait]
impl LedgerRig for LedgerInMemory {
    fn ledger(&self) -> Arc<dyn Ledger> {
        self.0.clone()
    }

    async fn passes(&self, ms: u64) {
        self.0.advance_ms(ms);
    }

    async fn delete_row_by_hand(&self, id: OrderId) -> bool {
        self.0.delete_row_by_hand(id)
    }
}

#[tokio::test]
async fn the_ledger_in_memory_keeps_every_promise() {
    for promise in ledger::promises() {
        println!("ledger: {}", promise.name);
        (promise.keep)(&LedgerInMemory(MemoryLedger::new(Time(1_700_000_000_000)))).await;
    }
}
