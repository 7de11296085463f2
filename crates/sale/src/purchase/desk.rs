//! One sale on this node: what the node knows of it, and the lane in which its asks wait.
//!
//! All of it may be forgotten at any time: the ledger and the gate know better, and a desk only spares asking them.

use super::filter::Filter;
use super::intake::Lane;
use crate::ports::{Fact, Fence};
use crate::words::{Digest, Epoch, Sale, SaleId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

/// One sale on this node.
pub(super) struct Desk {
    pub(super) id: SaleId,
    sale: RwLock<Arc<Sale>>,
    /// The gate of the sale's epoch answered as such, and has not been found otherwise since.
    whole: AtomicBool,
    fact: Mutex<Option<Learned>>,
    known: Mutex<Known>,
    pub(super) lane: Mutex<Lane>,
    walk: Mutex<Walk>,
    /// Holds of dead orders that could not be released yet.
    owed: Mutex<Vec<Digest>>,
}

/// A fact, and when the gate last confirmed that there is nothing newer.
#[derive(Clone, Copy)]
struct Learned {
    fact: Fact,
    at_us: u64,
}

/// The ids that gate and ledger know.
#[derive(Default)]
struct Known {
    filter: Filter,
    /// How far the loading from the ledger has come.
    loading: Loading,
    /// The newest row that was put in; rows behind it were put in before.
    newest: Option<Digest>,
    /// Up to where this epoch's holds were put in.
    heard: (Epoch, u64),
    /// All that ledger and gate had at this moment of the node's clock are in.
    whole_at_us: Option<u64>,
}

/// How far the filter's loading has come: newest orders first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Loading {
    /// Not begun.
    #[default]
    Begin,
    /// The page to read next.
    At(u64),
    /// All of the ledger's ids are in; not yet all of the gate's.
    Holds,
    /// All are in.
    Done,
}

/// Where the reconciler's walks over the holds of an epoch stand.
#[derive(Clone, Copy, Default)]
pub(super) struct Walk {
    /// Positions are of this epoch's holds.
    pub(super) epoch: Epoch,
    /// All holds before this position were seen with a row once.
    pub(super) fresh: u64,
    /// The slow walk over all holds.
    pub(super) round: u64,
}

impl Desk {
    pub(super) fn new(sale: Sale) -> Self {
        Self {
            id: sale.terms.id,
            sale: RwLock::new(Arc::new(sale)),
            whole: AtomicBool::new(false),
            fact: Mutex::default(),
            known: Mutex::default(),
            lane: Mutex::default(),
            walk: Mutex::default(),
            owed: Mutex::default(),
        }
    }

    pub(super) fn sale(&self) -> Arc<Sale> {
        Arc::clone(&self.sale.read().expect("no code panics while it holds a desk"))
    }

    /// Takes a fresher row of the ledger. A new epoch means: the gate is not known to be whole.
    pub(super) fn learn_sale(&self, sale: Sale) {
        let mut slot = self.sale.write().expect("no code panics while it holds a desk");
        if sale.epoch < slot.epoch {
            return;
        }
        if sale.epoch > slot.epoch {
            self.whole.store(false, Ordering::Release);
        }
        if *slot.as_ref() != sale {
            *slot = Arc::new(sale);
        }
    }

    /// The decider that this node asks, or `None` while it is not known to be whole.
    pub(super) fn fence(&self) -> Option<Fence> {
        self.is_whole().then(|| fence_of(&self.sale()))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    /// The gate answered under this fence.
    pub(super) fn is_whole_under(&self, fence: Fence) {
        // The lock keeps a new epoch from slipping in between the comparison and the mark.
        let sale = self.sale.read().expect("no code panics while it holds a desk");
        if fence_of(&sale) == fence && sale.status.has_gate() {
            self.whole.store(true, Ordering::Release);
        }
    }

    /// The gate said that it is not the decider of this fence.
    pub(super) fn is_stale_under(&self, fence: Fence) {
        let sale = self.sale.read().expect("no code panics while it holds a desk");
        if fence_of(&sale) == fence {
            self.whole.store(false, Ordering::Release);
        }
    }

    /// Takes a fact from the gate, if it is not older than what is known.
    pub(super) fn learn_fact(&self, fact: Fact, now_us: u64) {
        let mut slot = lock(&self.fact);
        match slot.as_ref() {
            Some(known) if (known.fact.epoch, known.fact.version) > (fact.epoch, fact.version) => {}
            Some(_) | None => *slot = Some(Learned { fact, at_us: now_us }),
        }
    }

    /// The newest fact of the sale's epoch, whatever its age.
    pub(super) fn fact(&self) -> Option<Fact> {
        let epoch = self.sale().epoch;
        lock(&self.fact).map(|known| known.fact).filter(|fact| fact.epoch == epoch)
    }

    /// The newest fact, if the gate confirmed it lately: the one that may refuse without asking.
    pub(super) fn fresh_fact(&self, now_us: u64, fact_ms: u64) -> Option<Fact> {
        let known = (*lock(&self.fact))?;
        let fresh = now_us.saturating_sub(known.at_us) <= fact_ms * 1_000;
        (fresh && known.fact.epoch == self.sale().epoch).then_some(known.fact)
    }

    /// Whether gate or ledger may know the id. Until the filter is loaded they may know any, and so they may when purchases of
    /// other nodes came last before this moment: a fact would refuse what was bought there.
    pub(super) fn may_know(&self, digest: Digest, stale_before_us: Option<u64>) -> bool {
        let known = lock(&self.known);
        let stale = stale_before_us.is_some_and(|stale_us| known.whole_at_us.is_none_or(|at_us| at_us < stale_us));
        stale || known.loading != Loading::Done || known.filter.may_contain(digest)
    }

    pub(super) fn remember(&self, digests: impl Iterator<Item = Digest>) {
        let mut known = lock(&self.known);
        digests.for_each(|digest| known.filter.insert(digest));
    }

    /// The newest row of the ledger whose id is in the filter.
    pub(super) fn newest(&self) -> Option<Digest> {
        lock(&self.known).newest
    }

    /// Where the next page of this epoch's holds begins.
    pub(super) fn heard(&self, epoch: Epoch) -> u64 {
        let (of, at) = lock(&self.known).heard;
        if of == epoch { at } else { 0 }
    }

    pub(super) fn heard_up_to(&self, epoch: Epoch, at: u64) {
        lock(&self.known).heard = (epoch, at);
    }

    /// All that ledger and gate had at this moment is in the filter.
    pub(super) fn knows_all_of(&self, at_us: u64) {
        lock(&self.known).whole_at_us = Some(at_us);
    }

    pub(super) fn learn_newest(&self, newest: Digest) {
        lock(&self.known).newest = Some(newest);
    }

    pub(super) fn loading(&self) -> Loading {
        lock(&self.known).loading
    }

    /// Puts ids into the filter, and goes on to the next step of its loading.
    pub(super) fn load_known(&self, digests: impl Iterator<Item = Digest>, then: Loading) {
        let mut known = lock(&self.known);
        digests.for_each(|digest| known.filter.insert(digest));
        known.loading = then;
    }

    /// Where the walks over this epoch's holds stand; a new epoch's begin at its first hold.
    pub(super) fn walk_of(&self, epoch: Epoch) -> Walk {
        let walk = *lock(&self.walk);
        if walk.epoch == epoch { walk } else { Walk { epoch, ..Walk::default() } }
    }

    pub(super) fn walked(&self, to: Walk) {
        let mut walk = lock(&self.walk);
        if walk.epoch <= to.epoch {
            *walk = to;
        }
    }

    /// Notes holds that are still to be released. Bounded: what does not fit, the slow walk finds.
    pub(super) fn owe(&self, digests: &[Digest]) {
        const OWED_MAX: usize = 10_000;
        let mut owed = lock(&self.owed);
        let room = OWED_MAX.saturating_sub(owed.len());
        owed.extend(digests.iter().take(room));
    }

    pub(super) fn take_owed(&self) -> Vec<Digest> {
        std::mem::take(&mut *lock(&self.owed))
    }
}

/// The fence of a sale's present epoch.
pub(super) fn fence_of(sale: &Sale) -> Fence {
    Fence { sale: sale.terms.id, epoch: sale.epoch, run: sale.run }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while it holds a lock of the engine")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;
    use crate::words::{RunId, SaleStatus};

    fn sale(epoch: u64, status: SaleStatus) -> Sale {
        let terms = contract::terms(contract::sale("s1"));
        Sale { terms, status, epoch: Epoch(epoch), run: RunId(1), left: 5, allotment: 5, raises: 1, stopped: None }
    }

    #[test]
    fn a_gate_is_whole_under_its_own_fence_and_in_a_sale_that_has_one() {
        let of = |status| {
            let desk = Desk::new(sale(2, status));
            (fence_of(&desk.sale()), desk)
        };
        let (fence, desk) = of(SaleStatus::Open);
        for other in [Fence { epoch: Epoch(1), ..fence }, Fence { run: RunId(2), ..fence }] {
            desk.is_whole_under(other);
            assert_eq!(desk.fence(), None);
        }
        desk.is_whole_under(fence);
        assert_eq!(desk.fence(), Some(fence));
        let (fence, desk) = of(SaleStatus::Draft);
        desk.is_whole_under(fence);
        assert_eq!(desk.fence(), None);
    }

    #[test]
    fn what_was_heard_of_is_of_its_epoch() {
        let desk = Desk::new(sale(2, SaleStatus::Open));
        assert_eq!((desk.newest(), desk.heard(Epoch(2))), (None, 0));
        desk.learn_newest(Digest([7; 16]));
        desk.heard_up_to(Epoch(2), 9);
        assert_eq!((desk.newest(), desk.heard(Epoch(2)), desk.heard(Epoch(3))), (Some(Digest([7; 16])), 9, 0));
    }

    #[test]
    fn walks_go_on_where_they_stood_and_begin_anew_with_an_epoch() {
        let desk = Desk::new(sale(2, SaleStatus::Open));
        let stands = |epoch| {
            let walk = desk.walk_of(Epoch(epoch));
            (walk.epoch, walk.fresh, walk.round)
        };
        assert_eq!(stands(2), (Epoch(2), 0, 0));
        desk.walked(Walk { epoch: Epoch(2), fresh: 7, round: 3 });
        assert_eq!(stands(2), (Epoch(2), 7, 3));
        desk.walked(Walk { epoch: Epoch(2), fresh: 9, round: 4 });
        assert_eq!(stands(2), (Epoch(2), 9, 4));
        assert_eq!(stands(3), (Epoch(3), 0, 0));
        desk.walked(Walk { epoch: Epoch(3), fresh: 1, round: 1 });
        // A pass that began in the epoch before says nothing any more.
        desk.walked(Walk { epoch: Epoch(2), fresh: 99, round: 99 });
        assert_eq!(stands(3), (Epoch(3), 1, 1));
    }
}
