//! What the tests on real servers share: a broker of their own, inboxes that count what is delivered, and checkers with a plan.

#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a test runs clients beside itself, by the machine's clock")]

use rocketmq::admin::{Admin, TopicKind};
use rocketmq::{Access, Delivery, Error, HalfMessage, Message, SimpleConsumer, Subscription, TransactionalProducer, Verdict};
use services::{Service, Set, install};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

pub const SECOND: Duration = Duration::from_secs(1);
pub const POLL: Duration = Duration::from_secs(5);
/// The shortest that a proxy takes.
pub const INVISIBLE: Duration = Duration::from_secs(10);
/// For whatever should come soon: a busy machine is slow.
pub const SOON: Duration = Duration::from_secs(60);

/// Whether the servers can be had here. Without them it says so; under CI that is a failure.
pub fn can_run() -> bool {
    let missing = install::missing();
    if missing.is_empty() {
        return true;
    }
    let what = format!("SKIPPED: a real broker; it needs {}", missing.join(" and "));
    assert!(std::env::var("CI").is_err(), "{what}. Under CI a skip is a failure.");
    println!("{what}");
    false
}

/// Where servers keep what they have.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/services")
}

/// A name server and a broker, which are gone when this is.
pub struct Lab {
    pub set: Set,
    pub admin: Admin,
}

impl Lab {
    pub fn start_with(name: &str, tuned: impl FnOnce(Set) -> Set) -> Self {
        let set = tuned(Set::open(&root(), name).expect("a set"));
        set.wipe().expect("nothing is left of the last run");
        let admin = Admin::new(&format!("127.0.0.1:{}", set.ports.namesrv), &format!("127.0.0.1:{}", set.ports.broker), 3 * SECOND);
        let lab = Self { set, admin };
        lab.set.up(Service::Namesrv).expect("the name server starts");
        lab.set.up(Service::Broker).expect("the broker starts");
        lab
    }

    pub fn access(&self) -> Access {
        Access::new(&self.set.rocketmq_url()).expect("a URL")
    }

    /// Makes a topic and waits until it has a route: a proxy that is asked before says "no such topic" for twenty seconds.
    pub async fn topic(&self, name: &str, kind: TopicKind) -> String {
        self.admin.create_topic(name, kind, 4).await.expect("a topic");
        wait_until(SOON, async || matches!(self.admin.route(name).await, Ok(Some(_)))).await;
        name.to_owned()
    }

    pub async fn group(&self, name: &str) -> String {
        self.admin.create_group(name, 17, false).await.expect("a group");
        name.to_owned()
    }

    /// A new group with an inbox that has received once, so that it misses nothing.
    pub async fn inbox(&self, topic: &str) -> Inbox {
        let group = self.group(&format!("{topic}_all")).await;
        Inbox::open(self.access(), topic, &group, 1).await
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Logs and stores stay to be looked at, until the next run.
            for service in Service::ALL {
                drop(self.set.kill9(service));
            }
            return;
        }
        drop(self.set.wipe());
    }
}

/// Lets time pass that is part of what is tested: a fault that lasts, an interval between attempts.
pub async fn wait_out(time: Duration) {
    sleep(time).await;
}

/// Waits for a condition.
pub async fn wait_until(limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    assert!(wait_within(limit, &mut holds).await, "it did not come to pass within {limit:?}");
}

/// Whether a condition comes to hold within a time.
pub async fn wait_within(limit: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let by = Instant::now() + limit;
    while Instant::now() < by {
        if holds().await {
            return true;
        }
        wait_out(Duration::from_millis(20)).await;
    }
    false
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Receives and acknowledges all that comes, and counts it by key.
pub struct Inbox {
    seen: Arc<Mutex<HashMap<String, u32>>>,
    pollers: Vec<JoinHandle<()>>,
}

impl Inbox {
    pub async fn open(access: Access, topic: &str, group: &str, pollers: usize) -> Self {
        let consumer = SimpleConsumer::start(access, group, &[Subscription::all(topic)], POLL).await.expect("a consumer");
        let consumer = Arc::new(consumer);
        let seen = Arc::<Mutex<HashMap<String, u32>>>::default();
        let poll = |_| {
            let (consumer, seen, topic) = (consumer.clone(), seen.clone(), topic.to_owned());
            tokio::spawn(async move {
                loop {
                    match consumer.receive(&topic, 32, INVISIBLE).await {
                        Ok(deliveries) => {
                            for delivery in &deliveries {
                                *lock(&seen).entry(key_of(&delivery.message)).or_default() += 1;
                            }
                            // What was not acknowledged comes again, and is counted.
                            drop(consumer.ack(&deliveries).await);
                        }
                        Err(error) => {
                            // Each refusal is told: it may be the reason why nothing comes.
                            if matches!(error, Error::Refused { .. }) {
                                println!("receive of {topic}: {error}");
                            }
                            wait_out(Duration::from_millis(100)).await;
                        }
                    }
                }
            })
        };
        let pollers = (0..pollers).map(poll).collect();
        Self { seen, pollers }
    }

    pub fn count(&self, key: &str) -> u32 {
        lock(&self.seen).get(key).copied().unwrap_or_default()
    }

    pub fn seen(&self) -> HashMap<String, u32> {
        lock(&self.seen).clone()
    }

    pub async fn wait_for(&self, key: &str) {
        self.wait_for_all(&[key]).await;
    }

    pub async fn wait_for_all(&self, keys: &[&str]) {
        let missing = || keys.iter().filter(|key| self.count(key) == 0).collect::<Vec<_>>();
        assert!(wait_within(SOON, async || missing().is_empty()).await, "not delivered: {:?}", missing());
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.pollers.iter().for_each(JoinHandle::abort);
    }
}

pub fn key_of(message: &rocketmq::Received) -> String {
    message.keys.first().cloned().unwrap_or_default()
}

/// What a checker says about each key, one after the other; the last word stays. About what it does not know it says unknown.
#[derive(Clone, Default)]
pub struct Plan(Arc<Mutex<HashMap<String, Planned>>>);

/// What is to be said, and how often it was asked for.
type Planned = (Vec<Verdict>, u32);

impl Plan {
    pub fn say(&self, key: &str, verdicts: &[Verdict]) {
        let mut plan = lock(&self.0);
        plan.entry(key.to_owned()).or_default().0 = verdicts.to_vec();
    }

    pub fn checks(&self, key: &str) -> u32 {
        lock(&self.0).get(key).map(|(_, checks)| *checks).unwrap_or_default()
    }

    pub fn all_checks(&self) -> u32 {
        lock(&self.0).values().map(|(_, checks)| *checks).sum()
    }

    pub fn verdict(&self, half: &HalfMessage) -> Verdict {
        let mut plan = lock(&self.0);
        let (verdicts, checks) = plan.entry(key_of(&half.message)).or_default();
        *checks += 1;
        if verdicts.len() > 1 { verdicts.remove(0) } else { verdicts.first().copied().unwrap_or(Verdict::Unknown) }
    }

    pub async fn producer(&self, access: Access, topic: &str) -> TransactionalProducer {
        let plan = self.clone();
        let checker = move |half: HalfMessage| {
            let verdict = plan.verdict(&half);
            async move { verdict }
        };
        TransactionalProducer::start(access, &[topic], checker).await.expect("a producer")
    }
}

/// A producer that knows of nothing.
pub async fn ignorant(access: Access, topic: &str) -> Result<TransactionalProducer, Error> {
    TransactionalProducer::start(access, &[topic], |_| async { Verdict::Unknown }).await
}

pub fn message(topic: &str, key: &str) -> Message {
    Message::new(topic, format!("body of {key}")).with_tag("tag").with_key(key)
}

/// Receives until a message with this key comes; others are acknowledged.
pub async fn take(consumer: &SimpleConsumer, topic: &str, key: &str) -> Delivery {
    let taking = async {
        loop {
            for delivery in consumer.receive(topic, 1, INVISIBLE).await.expect("receives") {
                if key_of(&delivery.message) == key {
                    return delivery;
                }
                assert_eq!(consumer.ack(&[delivery]).await, [Ok(())]);
            }
        }
    };
    timeout(SOON, taking).await.unwrap_or_else(|_| panic!("{key} does not come"))
}
