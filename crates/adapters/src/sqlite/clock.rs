//! The embedded ledger's clock: the machine's wall clock when the ledger is opened, and the time that passed since.
//!
//! It never goes back, not over a restart either: a mark in the file stands ahead of every time that was given out. It
//! knows nothing of orders. This is the one place of the ledger that reads the machine's clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How far the stored mark runs ahead of the clock; so often an idle ledger writes, so long its clock may stand still
/// after a crash.
pub(super) const MARK_MS: i64 = 3_000;

/// See the file's head.
pub(super) struct LedgerClock {
    opened: Instant,
    base_ms: i64,
    floor_ms: i64,
    mark_ms: AtomicI64,
}

impl LedgerClock {
    /// A clock that is opened at `wall_ms`. `floor_ms` is the greatest time that the file knows.
    #[expect(clippy::disallowed_methods, reason = "the ledger's clock: time that passes while the process lives")]
    pub(super) fn new(wall_ms: i64, floor_ms: i64) -> Self {
        // A little behind: a restart soon after a crash; the clock stands until the wall clock has caught up, so that
        // restarts do not add up. Far behind: the wall clock was set back; it is not followed.
        let base_ms = if wall_ms < floor_ms - MARK_MS { floor_ms } else { wall_ms };
        Self { opened: Instant::now(), base_ms, floor_ms, mark_ms: AtomicI64::new(floor_ms) }
    }

    /// Now.
    pub(super) fn now_ms(&self) -> i64 {
        let passed = i64::try_from(self.opened.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.base_ms.saturating_add(passed).max(self.floor_ms)
    }

    /// Times up to this one may be given out: the file knows it.
    pub(super) fn mark_ms(&self) -> i64 {
        self.mark_ms.load(Ordering::Acquire)
    }

    /// The file knows a later mark now.
    pub(super) fn marked(&self, mark_ms: i64) {
        self.mark_ms.fetch_max(mark_ms, Ordering::AcqRel);
    }
}

/// The machine's wall clock, in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the ledger's clock starts at the wall clock")]
pub(super) fn wall_ms() -> i64 {
    // Before 1970 there is no sale; a machine whose clock says so gets a clock that starts at zero.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
