//! Raises and withdrawals. What raises stock goes ledger first, gate second; what lowers it goes gate first. A crash in
//! between undersells, never oversells, and the reconciler completes it by the functions that stand here.

use super::desk::Desk;
use super::{Engine, Stocked};
use crate::ports::{Fault, Fence, Moved, WithdrawHeld, Withdrawal};
use crate::words::{MovementKey, SaleId};

/// Raises applied in one go.
const RAISES_MAX: usize = 100;

impl Engine {
    /// Raises the allotment, once per key.
    pub async fn restock(&self, sale: SaleId, key: &MovementKey, units: i64, actor: &str, reason: &str) -> Result<Stocked, Fault> {
        let Some(desk) = self.known_desk(sale).await? else { return Ok(Stocked::NoSale) };
        if units <= 0 {
            return Ok(Stocked::Refused { left: desk.sale().left });
        }
        match self.stores.ledger.raise(sale, key, units, actor, reason).await? {
            Moved::Done(movement) => {
                self.refresh(&desk).await?;
                if let Some(fence) = desk.fence() {
                    // A gate that does not answer is raised by the reconciler.
                    if let Err(fault) = self.apply_raises(&desk, fence).await {
                        self.faulted(&fault);
                    }
                }
                Ok(Stocked::Done(movement))
            }
            Moved::Mismatch(movement) => Ok(Stocked::Mismatch(movement)),
            Moved::Refused => Ok(Stocked::Refused { left: desk.sale().left }),
            Moved::Stale | Moved::NotNow => Ok(Stocked::NotNow),
        }
    }

    /// Applies to the gate what the ledger has raised and it has not; answers how many.
    pub(super) async fn apply_raises(&self, desk: &Desk, fence: Fence) -> Result<u64, Fault> {
        let mut applied = 0;
        let Ok((mut last, _)) = self.stores.gate.pending(fence).await? else { return Ok(applied) };
        loop {
            let raises = self.stores.ledger.raises(desk.id, last, RAISES_MAX).await?;
            if raises.is_empty() {
                return Ok(applied);
            }
            for raise in raises {
                let number = raise.number.expect("the ledger numbers every raise");
                let Ok((now, fact)) = self.stores.gate.raise(fence, number, raise.units).await? else { return Ok(applied) };
                desk.learn_fact(fact, self.stores.clock.elapsed_us());
                if now < number {
                    // The gate lacks one before this: somebody else is applying them.
                    return Ok(applied);
                }
                last = number;
                applied += 1;
            }
        }
    }

    /// Lowers the allotment by units that nobody holds, once per key.
    pub async fn withdraw(&self, sale: SaleId, withdrawal: &Withdrawal) -> Result<Stocked, Fault> {
        let Some(desk) = self.known_desk(sale).await? else { return Ok(Stocked::NoSale) };
        if withdrawal.units <= 0 {
            return Ok(Stocked::Refused { left: desk.sale().left });
        }
        if let Some(done) = self.withdrawn(sale, &withdrawal.key, withdrawal.units).await? {
            return Ok(done);
        }
        if !desk.sale().status.has_gate() {
            return Ok(Stocked::NotNow);
        }
        let Some(fence) = desk.fence() else { return Ok(Stocked::Recovering) };
        let Ok((held, fact)) = self.stores.gate.withdraw(fence, withdrawal).await? else {
            desk.is_stale_under(fence);
            return Ok(Stocked::Recovering);
        };
        desk.learn_fact(fact, self.stores.clock.elapsed_us());
        match held {
            // The key may stand for other units since an earlier try: those are completed, and they are the answer.
            WithdrawHeld::Held(units) => {
                let done = self.complete_withdrawal(&desk, fence, &Withdrawal { units, ..withdrawal.clone() }).await?;
                Ok(match done {
                    Stocked::Done(movement) if units != withdrawal.units => Stocked::Mismatch(movement),
                    done => done,
                })
            }
            WithdrawHeld::Finished => {
                let done = self.withdrawn(sale, &withdrawal.key, withdrawal.units).await?;
                Ok(done.unwrap_or(Stocked::Refused { left: fact.left }))
            }
            WithdrawHeld::Short(left) => Ok(Stocked::Refused { left }),
        }
    }

    /// The ledger's half of a withdrawal that the gate has taken out. Goes by its key: safe to run twice, by anybody.
    pub(super) async fn complete_withdrawal(&self, desk: &Desk, fence: Fence, withdrawal: &Withdrawal) -> Result<Stocked, Fault> {
        let moved = self.stores.ledger.withdraw(desk.id, fence.epoch, withdrawal).await?;
        let give_back = match moved {
            Moved::Done(_) => false,
            Moved::Mismatch(_) | Moved::Refused => true,
            // The gate is being rebuilt from a ledger without this movement: the units are back.
            Moved::Stale => return Ok(Stocked::Recovering),
            Moved::NotNow => return Ok(Stocked::NotNow),
        };
        if let Ok(fact) = self.stores.gate.finish_withdrawal(fence, &withdrawal.key, give_back).await? {
            desk.learn_fact(fact, self.stores.clock.elapsed_us());
        }
        Ok(match moved {
            Moved::Done(movement) => Stocked::Done(movement),
            Moved::Mismatch(movement) => Stocked::Mismatch(movement),
            Moved::Refused | Moved::Stale | Moved::NotNow => Stocked::Refused { left: desk.sale().left },
        })
    }

    async fn withdrawn(&self, sale: SaleId, key: &MovementKey, units: i64) -> Result<Option<Stocked>, Fault> {
        let movement = self.stores.ledger.movement(sale, key).await?;
        Ok(movement.map(|movement| if movement.units == -units { Stocked::Done(movement) } else { Stocked::Mismatch(movement) }))
    }
}
