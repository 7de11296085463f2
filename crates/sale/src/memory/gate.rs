//! The gate in memory: the reference, and the embedded gate itself. It forgets everything with its process and is
//! rebuilt from the ledger; it knows nothing of who rebuilds it.

use super::holds::Holds;
use crate::ports::{Decision, Fact, Fault, Fence, Fenced, Gate, GateBooks, Held, HoldPage, Opening, Seen, Stale, WithdrawHeld, Withdrawal};
use crate::words::{Ask, Batch, BatchId, BuyerId, Digest, Epoch, MovementKey, RunId, SaleId};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

/// A gate in this process's memory.
pub struct MemoryGate {
    state: Mutex<State>,
}

#[derive(Clone)]
struct State {
    run: RunId,
    sales: BTreeMap<SaleId, SaleGate>,
}

#[derive(Clone, Default)]
struct SaleGate {
    /// What decides. `None` until the first publish.
    current: Option<Layer>,
    /// What a rebuild is writing.
    loading: Option<Layer>,
}

/// All that the gate keeps of one sale in one epoch.
#[derive(Clone, Default)]
struct Layer {
    epoch: Epoch,
    /// The life of the store in which it was published.
    run: RunId,
    version: u64,
    left: i64,
    holds: Holds,
    /// Kept as long as the epoch: a check-back may come at any time.
    decisions: HashMap<BatchId, Decision>,
    raises: u64,
    withdrawals: BTreeMap<MovementKey, Withdrawal>,
    withdrawn: BTreeSet<MovementKey>,
}

/// What a gate held at one moment: for tests that rewind it.
#[derive(Clone)]
pub struct Memory(BTreeMap<SaleId, SaleGate>);

impl MemoryGate {
    /// An empty gate in the life `run`; the caller makes sure that no two lives share a name.
    pub fn new(run: RunId) -> Self {
        Self { state: Mutex::new(State { run, sales: BTreeMap::new() }) }
    }

    /// Forgets everything within the same life, as a flush does.
    pub fn wipe(&self) {
        self.lock().sales.clear();
    }

    /// Forgets everything and begins another life, as a restart does.
    pub fn restart(&self, run: RunId) {
        let mut state = self.lock();
        state.sales.clear();
        state.run = run;
    }

    /// What it holds now.
    pub fn remember(&self) -> Memory {
        Memory(self.lock().sales.clone())
    }

    /// Goes back to what it held then, in another life: a failover to a replica that lagged.
    pub fn rewind(&self, memory: &Memory, run: RunId) {
        let mut state = self.lock();
        state.sales = memory.0.clone();
        state.run = run;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the gate")
    }

    /// Runs `act` on the layer that the fence names, or refuses.
    fn fenced<T>(&self, fence: Fence, act: impl FnOnce(&mut Layer) -> T) -> Result<Fenced<T>, Fault> {
        let mut state = self.lock();
        if state.run != fence.run {
            return Ok(Err(Stale));
        }
        match state.sales.get_mut(&fence.sale).and_then(|sale| sale.current.as_mut()) {
            Some(layer) if layer.epoch == fence.epoch && layer.run == fence.run => Ok(Ok(act(layer))),
            Some(_) | None => Ok(Err(Stale)),
        }
    }
}

impl Layer {
    fn fact(&self) -> Fact {
        Fact { epoch: self.epoch, version: self.version, left: self.left }
    }

    fn change(&mut self, units: i64) {
        self.left += units;
        self.version += 1;
    }

    /// What is to be said of `ask` when `taken` units, `taken_by_buyer` of them this buyer's, are spoken for already.
    /// Duplicates are looked for before anything that could refuse, or a retry of the last unit's winner is told
    /// "sold out".
    fn see(&self, ask: &Ask, limit_per_buyer: u32, taken: i64, taken_by_buyer: i64) -> Seen {
        if let Some(held) = self.holds.get(ask.digest) {
            return if held.same_content(ask) { Seen::Held } else { Seen::Mismatch };
        }
        if self.holds.is_closed(ask.digest) {
            return Seen::Closed;
        }
        let units = ask.quantity.units();
        if self.holds.units_of(&ask.buyer) + taken_by_buyer + units > i64::from(limit_per_buyer) {
            return Seen::Limit(self.holds.of(&ask.buyer).cloned().collect());
        }
        if self.left - taken < units { Seen::Short } else { Seen::Free }
    }

    fn hold(&mut self, batch: &Batch) -> Held {
        match self.decisions.get(&batch.id) {
            Some(Decision::Held) => return Held::All,
            Some(Decision::Void) => return Held::Void,
            None => {}
        }
        let mut taken = 0;
        let mut taken_by: HashMap<&BuyerId, i64> = HashMap::new();
        let mut seen = Vec::with_capacity(batch.asks.len());
        for ask in &batch.asks {
            let by_buyer = taken_by.entry(&ask.buyer).or_default();
            let said = self.see(ask, batch.limit_per_buyer, taken, *by_buyer);
            if said == Seen::Free {
                taken += ask.quantity.units();
                *by_buyer += ask.quantity.units();
            }
            seen.push(said);
        }
        if seen.iter().any(|said| !matches!(said, Seen::Free | Seen::Held)) {
            return Held::None(seen);
        }
        // Nothing may be refused after this line.
        for (ask, said) in batch.asks.iter().zip(&seen) {
            if *said == Seen::Free {
                self.holds.insert(ask.clone());
            }
        }
        self.change(-taken);
        self.decisions.insert(batch.id, Decision::Held);
        Held::All
    }
}

#[async_trait]
impl Gate for MemoryGate {
    async fn run(&self) -> Result<RunId, Fault> {
        Ok(self.lock().run)
    }

    async fn look(&self, fence: Fence, limit_per_buyer: u32, asks: &[Ask]) -> Result<Fenced<(Vec<Seen>, Fact)>, Fault> {
        self.fenced(fence, |layer| (asks.iter().map(|ask| layer.see(ask, limit_per_buyer, 0, 0)).collect(), layer.fact()))
    }

    async fn hold(&self, fence: Fence, batch: &Batch) -> Result<Fenced<(Held, Fact)>, Fault> {
        self.fenced(fence, |layer| (layer.hold(batch), layer.fact()))
    }

    async fn decision_or_void(&self, fence: Fence, batch: BatchId) -> Result<Fenced<Decision>, Fault> {
        self.fenced(fence, |layer| *layer.decisions.entry(batch).or_insert(Decision::Void))
    }

    async fn held(&self, fence: Fence, digests: &[Digest]) -> Result<Fenced<Vec<Option<Ask>>>, Fault> {
        self.fenced(fence, |layer| digests.iter().map(|&digest| layer.holds.get(digest).cloned()).collect())
    }

    async fn holds(&self, fence: Fence, after: u64, max: usize) -> Result<Fenced<HoldPage>, Fault> {
        self.fenced(fence, |layer| {
            let (holds, next) = layer.holds.page(after, max);
            HoldPage { holds, next }
        })
    }

    async fn release(&self, fence: Fence, digests: &[Digest]) -> Result<Fenced<Fact>, Fault> {
        self.fenced(fence, |layer| {
            let units: i64 = digests.iter().filter_map(|&digest| layer.holds.close(digest)).map(|ask| ask.quantity.units()).sum();
            if units > 0 {
                layer.change(units);
            }
            layer.fact()
        })
    }

    async fn raise(&self, fence: Fence, number: u64, units: i64) -> Result<Fenced<(u64, Fact)>, Fault> {
        self.fenced(fence, |layer| {
            if number == layer.raises + 1 {
                layer.raises = number;
                layer.change(units);
            }
            (layer.raises, layer.fact())
        })
    }

    async fn withdraw(&self, fence: Fence, withdrawal: &Withdrawal) -> Result<Fenced<(WithdrawHeld, Fact)>, Fault> {
        self.fenced(fence, |layer| {
            let said = if layer.withdrawn.contains(&withdrawal.key) {
                WithdrawHeld::Finished
            } else if let Some(held) = layer.withdrawals.get(&withdrawal.key) {
                WithdrawHeld::Held(held.units)
            } else if layer.left < withdrawal.units {
                WithdrawHeld::Short(layer.left)
            } else {
                layer.change(-withdrawal.units);
                layer.withdrawals.insert(withdrawal.key.clone(), withdrawal.clone());
                WithdrawHeld::Held(withdrawal.units)
            };
            (said, layer.fact())
        })
    }

    async fn finish_withdrawal(&self, fence: Fence, key: &MovementKey, give_back: bool) -> Result<Fenced<Fact>, Fault> {
        self.fenced(fence, |layer| {
            if let Some(withdrawal) = layer.withdrawals.remove(key) {
                layer.withdrawn.insert(withdrawal.key);
                if give_back {
                    layer.change(withdrawal.units);
                }
            }
            layer.fact()
        })
    }

    async fn pending(&self, fence: Fence) -> Result<Fenced<(u64, Vec<Withdrawal>)>, Fault> {
        self.fenced(fence, |layer| (layer.raises, layer.withdrawals.values().cloned().collect()))
    }

    async fn fact(&self, fence: Fence) -> Result<Fenced<Fact>, Fault> {
        self.fenced(fence, |layer| layer.fact())
    }

    async fn books(&self, fence: Fence) -> Result<Fenced<GateBooks>, Fault> {
        self.fenced(fence, |layer| GateBooks {
            fact: layer.fact(),
            holds: layer.holds.iter().map(|ask| (ask.digest, ask.quantity.get())).collect(),
            raises: layer.raises,
            withdrawals: layer.withdrawals.values().cloned().collect(),
            withdrawn: layer.withdrawn.iter().cloned().collect(),
        })
    }

    async fn load(&self, fence: Fence, holds: Vec<Ask>) -> Result<Fenced<()>, Fault> {
        let mut state = self.lock();
        Ok(state.loading(fence).map(|layer| {
            for ask in holds {
                // A part that is sent again must not be held twice.
                if layer.holds.get(ask.digest).is_none() {
                    layer.holds.insert(ask);
                }
            }
        }))
    }

    async fn publish(&self, fence: Fence, opening: Opening) -> Result<Fenced<Fact>, Fault> {
        let mut state = self.lock();
        let loaded = |layer: &&mut Layer| layer.holds.len() == opening.holds;
        let published = state.loading(fence).and_then(|layer| Some(layer).filter(loaded).ok_or(Stale)).map(|layer| {
            layer.run = fence.run;
            layer.left = opening.left;
            // Now, and not while it sells: a table that grows moves all that is in it.
            layer.holds.reserve(usize::try_from(opening.left).unwrap_or(0));
            layer.raises = opening.raises;
            layer.withdrawn = opening.withdrawals.into_iter().collect();
            layer.fact()
        });
        if published.is_ok() {
            let sale = state.sales.entry(fence.sale).or_default();
            sale.current = sale.loading.take();
        }
        Ok(published)
    }

    async fn drop_sale(&self, fence: Fence) -> Result<(), Fault> {
        let mut state = self.lock();
        let later = state.sales.get(&fence.sale).and_then(|sale| sale.current.as_ref()).is_some_and(|layer| layer.epoch > fence.epoch);
        if !later {
            state.sales.remove(&fence.sale);
        }
        Ok(())
    }
}

impl State {
    /// The layer that this epoch's rebuild writes; an older one's is thrown away.
    fn loading(&mut self, fence: Fence) -> Fenced<&mut Layer> {
        if self.run != fence.run {
            return Err(Stale);
        }
        let sale = self.sales.entry(fence.sale).or_default();
        let passed =
            |layer: &Option<Layer>, by: fn(&Epoch, &Epoch) -> bool| layer.as_ref().is_some_and(|layer| by(&layer.epoch, &fence.epoch));
        if passed(&sale.current, Epoch::ge) || passed(&sale.loading, Epoch::gt) {
            return Err(Stale);
        }
        if passed(&sale.loading, Epoch::lt) {
            sale.loading = None;
        }
        Ok(sale.loading.get_or_insert_with(|| Layer { epoch: fence.epoch, ..Layer::default() }))
    }
}
