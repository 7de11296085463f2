//! A load of half messages, and what came of it.

use crate::lab::Inbox;
use crate::oracle::{Oracle, Outcome};
use rocketmq::Access;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

/// A load that runs until it is told to stop.
pub struct Load {
    pub oracle: Oracle,
    stop: Arc<AtomicBool>,
    running: JoinHandle<()>,
}

impl Load {
    pub async fn start(access: Access, topic: &str, ways: usize) -> Self {
        let oracle = Oracle::default();
        let producer = Arc::new(oracle.producer(access, topic).await);
        let stop = Arc::new(AtomicBool::new(false));
        let running = {
            let (oracle, topic, stop) = (oracle.clone(), topic.to_owned(), stop.clone());
            tokio::spawn(async move { oracle.load(producer, &topic, ways, stop).await })
        };
        Self { oracle, stop, running }
    }

    /// Ends it, and judges what came of it.
    pub async fn judge(self, what: &str, access: Access, topic: &str, inbox: &Inbox) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.running.await.expect("no panic");
        let outcome = self.oracle.judge(access, topic, inbox).await;
        println!("{what}: {outcome}");
        assert_eq!((outcome.missing, outcome.wrongly_delivered), (0, 0), "{outcome}");
        outcome
    }
}
