//! Opens the stores that the configuration names. Knows which product stands behind which URL scheme; knows no protocol.

use crate::config::Config;
use adapters::embedded::{Directory, EmbeddedQueue, QueueSettings, SystemClock};
use adapters::sqlite::SqliteLedger;
use sale::memory::gate::MemoryGate;
use sale::ports::{Ledger as _, Queue as _};
use sale::purchase::Stores;
use sale::words::RunId;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The stores, and the lock that makes them ours. Fields are dropped in this order: the stores close before the lock ends.
pub struct Opened {
    /// What the engine stands on.
    pub stores: Stores,
    /// The data directory's lock.
    pub directory: Directory,
}

/// How often, and how far apart, the lock of a directory that is in use is tried before it is refused: for about a second.
const LOCK_TRIES: u32 = 50;
const LOCK_EVERY: Duration = Duration::from_millis(20);

/// Locks a data directory. An audit without a server may have it for a moment; a server that runs keeps it, and is named.
pub fn lock(directory: &Path) -> Result<Directory, String> {
    let mut tries = 0..LOCK_TRIES;
    let go_on = || {
        std::thread::sleep(LOCK_EVERY);
        tries.next().is_some()
    };
    Directory::open_patiently(directory, go_on).map_err(|e| e.to_string())
}

/// Opens the embedded stores for a server that sells.
pub async fn open_to_sell(config: &Config, directory: &Path) -> Result<Opened, String> {
    open_and(config, directory, true).await
}

/// Below this many free bytes nothing should be sold.
pub const FREE_LEAST: u64 = 256 << 20;

/// Free bytes of the disk on which this directory is.
pub fn free_bytes(directory: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// No commit of a rush should have to make a file longer. Without that it is only slower.
async fn grow(ledger: &SqliteLedger, queue: &EmbeddedQueue) {
    for grown in [ledger.pregrow().await, queue.pregrow().await] {
        if let Err(fault) = grown {
            tracing::warn!(what = %fault.what, "a log could not be grown ahead of the rush");
        }
    }
}

/// Opens the embedded stores for a look or a small change.
pub async fn open(config: &Config, directory: &Path) -> Result<Opened, String> {
    open_and(config, directory, false).await
}

/// Opens the embedded stores in a directory and compares what queue and ledger know of each other.
async fn open_and(config: &Config, directory: &Path, to_sell: bool) -> Result<Opened, String> {
    let mut directory = lock(directory)?;
    let ledger = SqliteLedger::open(&directory.ledger_path()).map_err(|e| e.to_string())?;
    let settings = QueueSettings {
        check_after_ms: config.queue.check_back_ms,
        check_every_ms: config.queue.check_back_ms,
        invisible_ms: config.queue.invisible_ms,
        ..QueueSettings::default()
    };
    let queue = EmbeddedQueue::open(&directory.queue_path(), settings).map_err(|e| e.to_string())?;
    let seq = ledger.seq().await.map_err(|e| e.what)?;
    if let Some(witness) = queue.witness().await.map_err(|e| e.what)?
        && witness > seq
    {
        return Err(format!(
            "the ledger {} has lost rows: it ends at change {seq}, but the queue has seen change {witness} acknowledged. \
             Restore the whole of {} from one backup.",
            directory.ledger_path().display(),
            directory.path().display()
        ));
    }
    directory.settle().map_err(|e| e.to_string())?;
    if to_sell {
        match free_bytes(directory.path()) {
            Ok(free) if free >= FREE_LEAST => grow(&ledger, &queue).await,
            Ok(free) => {
                tracing::warn!(free_mib = free >> 20, "the disk is nearly full: the logs are left short, and the room to what is sold")
            }
            Err(e) => tracing::warn!(error = %e, "free space cannot be read: the logs are left short"),
        }
    }
    let clock = SystemClock::new().map_err(|e| format!("the thread that keeps short waits cannot be started: {e}"))?;
    let gate = MemoryGate::new(RunId(crate::keys::random_u64()));
    let stores = Stores { gate: Arc::new(gate), queue: Arc::new(queue), ledger: Arc::new(ledger), clock: Arc::new(clock) };
    Ok(Opened { stores, directory })
}
