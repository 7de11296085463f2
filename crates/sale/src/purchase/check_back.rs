//! The check-back: the broker asks what became of a half message that nobody settled.
//!
//! Commit only on a `held` that was read; rollback only on evidence: void, or an epoch that is over. Everything else is
//! unknown, and the broker asks again. Any node may answer: nothing is answered from this process's memory.

use super::Engine;
use super::desk::fence_of;
use crate::message::{self, Decoded};
use crate::ports::{Check, Decision, Fault, Verdict};
use crate::words::{Batch, SaleStatus};

/// Half messages that one pass takes.
const CHECKS_MAX: usize = 64;

impl Engine {
    /// Answers the broker's questions; waits at most `wait_ms` for some.
    pub async fn check_back_pass(&self, wait_ms: u64) -> Result<(), Fault> {
        for check in self.stores.queue.checks(CHECKS_MAX, wait_ms).await? {
            let verdict = self.check_back(&check).await;
            match verdict {
                Verdict::Commit => self.meters.checks_committed.add(1),
                Verdict::Rollback => self.meters.checks_rolled_back.add(1),
                Verdict::Unknown => self.meters.checks_unknown.add(1),
            }
            self.stores.queue.settle(check.receipt, verdict).await;
        }
        Ok(())
    }

    async fn check_back(&self, check: &Check) -> Verdict {
        match message::decode(&check.body) {
            Decoded::Batch(batch) => self.verdict(&batch).await,
            // A newer node can read it.
            Decoded::Later(_) => Verdict::Unknown,
            // Nobody will ever read it, so nobody could record it: what it carried is recorded from its holds.
            Decoded::Poison(_) => Verdict::Rollback,
        }
    }

    async fn verdict(&self, batch: &Batch) -> Verdict {
        let sale = match self.stores.ledger.sale(batch.sale).await {
            Ok(Some(sale)) => sale,
            // No sale is ever deleted: an unknown one is a ledger that is not the one the batch was made with.
            Ok(None) => return Verdict::Unknown,
            Err(fault) => {
                self.faulted(&fault);
                return Verdict::Unknown;
            }
        };
        // The epoch is the evidence; an archived sale was at rest, so whatever it held has its row.
        if batch.epoch < sale.epoch || sale.status == SaleStatus::Archived {
            return Verdict::Rollback;
        }
        let mut fence = fence_of(&sale);
        fence.epoch = batch.epoch;
        match self.stores.gate.decision_or_void(fence, batch.id).await {
            Ok(Ok(Decision::Held)) => Verdict::Commit,
            Ok(Ok(Decision::Void)) => Verdict::Rollback,
            Ok(Err(_)) => Verdict::Unknown,
            Err(fault) => {
                self.faulted(&fault);
                Verdict::Unknown
            }
        }
    }
}
