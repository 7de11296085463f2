//! Which ways through the protocol a world has taken: a schedule that never rebuilds says nothing of rebuilds.

use super::World;
use crate::Counts;
use sale::purchase::Meters;

/// A way's name, and how often one process went it.
type Path = (&'static str, fn(&Meters) -> u64);

/// What is looked at.
pub const PATHS: [Path; 15] = [
    ("batch of one", |m| m.batches.steps().next().map_or(0, |(_, one)| one)),
    ("batch of several", |m| m.batches.steps().skip(1).map(|(_, more)| more).sum()),
    ("batch refused", |m| m.batches_refused.get()),
    ("hold unknown", |m| m.holds_unknown.get()),
    ("checked back: commit", |m| m.checks_committed.get()),
    ("checked back: rollback", |m| m.checks_rolled_back.get()),
    ("checked back: unknown", |m| m.checks_unknown.get()),
    ("rejected by the ledger", |m| m.rejected.get()),
    ("message parked", |m| m.parked.get()),
    ("recorded from its hold", |m| m.reconciled_recorded.get()),
    ("released by the reconciler", |m| m.reconciled_released.get()),
    ("movement completed by the reconciler", |m| m.reconciled_movements.get()),
    ("gate rebuilt", |m| m.rebuilds.get()),
    ("expired", |m| m.expired.get()),
    ("lost", |m| m.lost.get()),
];

impl World {
    /// How often which way was taken, by all processes that ever ran.
    pub fn paths(&self) -> Counts {
        let engines = self.engines.borrow();
        PATHS.into_iter().map(|(name, times)| (name, engines.iter().map(|engine| times(engine.meters())).sum())).collect()
    }
}
