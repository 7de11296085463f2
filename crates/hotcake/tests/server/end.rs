//! How a server is told to end, and waits with a limit. Knows no case.

use crate::server::Process;
use std::process::Command;
use std::time::{Duration, Instant};

/// The machine's clock; real processes live by it.
#[expect(clippy::disallowed_methods, reason = "limits of waits for real processes")]
pub fn now() -> Instant {
    Instant::now()
}

/// Asks again until there is an answer; `None` when there is none within the limit.
pub fn wait_within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = now() + limit;
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Process {
    /// Sends a signal to this process alone.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "the process takes a signal");
    }

    /// Waits until it has ended: its exit code. `None`: not within the limit.
    pub fn ended(&mut self, limit: Duration) -> Option<Option<i32>> {
        wait_within(limit, || self.child.try_wait().expect("it is ours")).map(|status| status.code())
    }
}
