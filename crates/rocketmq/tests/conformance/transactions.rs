//! Half messages: committed, rolled back, asked about; and what is refused before anything is sent.

use crate::lab::{Lab, POLL, Plan, SECOND, SOON, ignorant, lock, message, wait_out, wait_until};
use Verdict::{Commit, Rollback, Unknown};
use rocketmq::admin::TopicKind;
use rocketmq::{Access, Error, Message, Observer, Producer, SimpleConsumer, Subscription, TransactionalProducer, Verdict};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

pub async fn what_is_committed_is_delivered_once_and_what_is_rolled_back_never_and_neither_is_asked_about(lab: Arc<Lab>) {
    let topic = lab.topic("tx_basic", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let plan = Plan::default();
    let producer = plan.producer(lab.access(), &topic).await;
    for n in 0..5 {
        producer.prepare(&message(&topic, &format!("commit-{n}"))).await.expect("stored").commit().await.expect("told");
        producer.prepare(&message(&topic, &format!("rollback-{n}"))).await.expect("stored").rollback().await.expect("told");
    }
    // One that is asked about twice comes after all that could be asked about before it.
    plan.say("marker", &[Unknown, Unknown, Commit]);
    drop(producer.prepare(&message(&topic, "marker")).await.expect("stored"));
    inbox.wait_for("marker").await;
    let once = (0..5).map(|n| format!("commit-{n}")).chain(["marker".to_owned()]).map(|key| (key, 1));
    assert_eq!(inbox.seen(), once.collect());
    assert_eq!(plan.all_checks(), 3, "only the marker was asked about");
    producer.shutdown().await.expect("goodbye");
}

pub async fn a_silent_half_message_becomes_what_the_checker_says(lab: Arc<Lab>) {
    let topic = lab.topic("tx_silent", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let plan = Plan::default();
    let producer = plan.producer(lab.access(), &topic).await;
    plan.say("commit", &[Commit]);
    plan.say("rollback", &[Rollback]);
    plan.say("marker", &[Unknown, Unknown, Commit]);
    for key in ["commit", "rollback", "marker"] {
        drop(producer.prepare(&message(&topic, key)).await.expect("stored"));
    }
    inbox.wait_for_all(&["commit", "marker"]).await;
    assert_eq!((inbox.count("commit"), inbox.count("rollback")), (1, 0));
    assert_eq!((plan.checks("commit"), plan.checks("rollback")), (1, 1));
}

pub async fn unknown_is_asked_again_until_somebody_knows(lab: Arc<Lab>) {
    let topic = lab.topic("tx_unknown", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let plan = Plan::default();
    let producer = plan.producer(lab.access(), &topic).await;
    plan.say("key", &[Unknown, Unknown, Unknown, Commit]);
    drop(producer.prepare(&message(&topic, "key")).await.expect("stored"));
    inbox.wait_for("key").await;
    assert_eq!((inbox.count("key"), plan.checks("key")), (1, 4));
}

pub async fn a_checker_that_panics_is_asked_again(lab: Arc<Lab>) {
    let topic = lab.topic("tx_panic", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let (plan, told) = (Plan::default(), Arc::<Told>::default());
    let access = lab.access().with_observer(told.clone());
    let producer = asked_again(access, &topic, &plan, 1, || async { panic!("on purpose: a checker that panics") }).await;
    inbox.wait_for("0").await;
    assert_eq!((inbox.count("0"), plan.checks("0")), (1, 2));
    assert_eq!(*lock(&told.checks), [None, Some(Commit)], "who watches is told");
    drop(producer);
}

/// What an observer was told.
#[derive(Default)]
struct Told {
    checks: Mutex<Vec<Option<Verdict>>>,
    requests: Mutex<Vec<&'static str>>,
}

impl Observer for Told {
    fn checked(&self, verdict: Option<Verdict>) {
        lock(&self.checks).push(verdict);
    }

    fn request(&self, method: &'static str, _: Option<&Error>, _: Duration) {
        lock(&self.requests).push(method);
    }
}

pub async fn checkers_that_never_end_are_cut_off_and_asked_again(lab: Arc<Lab>) {
    let topic = lab.topic("tx_endless", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let plan = Plan::default();
    // More than may run at once: somebody must make room.
    let count = 70;
    let producer = asked_again(lab.access(), &topic, &plan, count, std::future::pending).await;
    let keys: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    inbox.wait_for_all(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // Whatever still runs is cut off: a shutdown does not wait for it for ever.
    timeout(SOON, producer.shutdown()).await.expect("it ends").expect("goodbye");
}

/// Half messages of which the checker does this when it is asked first, and which it commits when it is asked again.
async fn asked_again<F>(
    access: Access,
    topic: &str,
    plan: &Plan,
    count: usize,
    first: impl Fn() -> F + Send + Sync + 'static,
) -> TransactionalProducer
where
    F: Future<Output = Verdict> + Send + 'static,
{
    (0..count).for_each(|n| plan.say(&n.to_string(), &[Unknown, Commit]));
    let plan = plan.clone();
    let checker = move |half| {
        let verdict = plan.verdict(&half);
        let first = (verdict == Unknown).then(&first);
        async move {
            match first {
                Some(first) => first.await,
                None => verdict,
            }
        }
    };
    let producer = TransactionalProducer::start(access, &[topic], checker).await.expect("a producer");
    for n in 0..count {
        drop(producer.prepare(&message(topic, &n.to_string())).await.expect("stored"));
    }
    producer
}

pub async fn a_shutdown_waits_for_a_checker_and_its_answer(lab: Arc<Lab>) {
    let topic = lab.topic("tx_last_word", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let asked = Arc::new(Semaphore::new(0));
    let checker = {
        let asked = asked.clone();
        move |_| {
            asked.add_permits(1);
            async {
                wait_out(SECOND).await;
                Commit
            }
        }
    };
    let producer = TransactionalProducer::start(lab.access(), &[&topic], checker).await.expect("a producer");
    drop(producer.prepare(&message(&topic, "key")).await.expect("stored"));
    drop(timeout(SOON, asked.acquire()).await.expect("it is asked"));
    producer.shutdown().await.expect("goodbye");
    // Nobody else could have said it.
    inbox.wait_for("key").await;
}

pub async fn with_a_recovery_time_a_late_commit_changes_nothing_and_the_check_delivers(lab: Arc<Lab>) {
    let topic = lab.topic("tx_late", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let plan = Plan::default();
    // Longer than the broker's own time until it asks.
    let producer = plan.producer(lab.access(), &topic).await.with_recovery(2 * SECOND).expect("whole seconds");
    let half = producer.prepare(&message(&topic, "key")).await.expect("stored");
    wait_until(SOON, async || plan.checks("key") > 0).await;
    half.commit().await.expect("the proxy says OK, which means nothing");
    // Were it delivered by that commit, then before a half message that is prepared later and asked about twice.
    plan.say("marker", &[Unknown, Unknown, Commit]);
    drop(producer.prepare(&message(&topic, "marker")).await.expect("stored"));
    inbox.wait_for("marker").await;
    assert_eq!(inbox.count("key"), 0, "a late commit is not heeded, since a recovery duration is set");
    plan.say("key", &[Commit]);
    inbox.wait_for("key").await;
}

pub async fn without_a_recovery_time_a_late_commit_delivers(lab: Arc<Lab>) {
    let topic = lab.topic("tx_late_heeded", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let plan = Plan::default();
    let producer = plan.producer(lab.access(), &topic).await;
    let half = producer.prepare(&message(&topic, "key")).await.expect("stored");
    wait_until(SOON, async || plan.checks("key") > 0).await;
    half.commit().await.expect("told");
    inbox.wait_for("key").await;
}

pub async fn a_sibling_is_asked_when_the_producer_is_gone(lab: Arc<Lab>) {
    let topic = lab.topic("tx_sibling", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let (one, two) = (Plan::default(), Plan::default());
    let producer = one.producer(lab.access(), &topic).await;
    let sibling = two.producer(lab.access(), &topic).await;
    two.say("key", &[Commit]);
    drop(producer.prepare(&message(&topic, "key")).await.expect("stored"));
    // No goodbye.
    drop(producer);
    inbox.wait_for("key").await;
    assert_eq!(inbox.count("key"), 1);
    assert!(two.checks("key") >= 1);
    sibling.shutdown().await.expect("goodbye");
}

pub async fn wrong_topics_and_bodies_are_told_with_what_to_do(lab: Arc<Lab>) {
    let plain = lab.topic("wrong_plain", TopicKind::Normal).await;
    let transactional = lab.topic("wrong_tx", TopicKind::Transaction).await;
    let says = |error: Error, code: Option<i64>, words: &str| {
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.had_no_effect(), "{error}");
    };
    let error = ignorant(lab.access(), &plain).await.err().expect("not transactional");
    says(error, None, "is for messages of the kind NORMAL: create it with message.type=TRANSACTION");
    let mixed = lab.topic("wrong_mixed", TopicKind::Mixed).await;
    let error = ignorant(lab.access(), &mixed).await.err().expect("not transactional alone");
    says(error, None, "is for messages of the kind NORMAL, FIFO, DELAY, TRANSACTION: create it with message.type=TRANSACTION");
    let error = ignorant(lab.access(), "wrong_nowhere").await.err().expect("no topic");
    says(error, Some(40_402), "Create the topic first");
    let error = TransactionalProducer::start(lab.access(), &[], |_| async { Unknown }).await.err().expect("no topic");
    says(error, None, "declares its topics");
    let error = Producer::start(lab.access(), &[&transactional]).await.err().expect("it would be asked");
    says(error, None, "start a TransactionalProducer");
    let error = Producer::start(lab.access(), &["wrong_nowhere"]).await.err().expect("no topic");
    says(error, Some(40_402), "Create the topic first");
    let producer = Producer::start(lab.access(), &[&plain]).await.expect("a producer");
    says(producer.send(&message(&transactional, "key")).await.expect_err("the wrong kind"), Some(40_014), "message.type");
    says(producer.send(&message("wrong_nowhere", "key")).await.expect_err("no topic"), Some(40_402), "Create the topic first");
    says(producer.send(&Message::new(&*plain, "")).await.expect_err("no body"), None, "empty");
    says(producer.send(&Message::new(&*plain, vec![b'x'; (4 << 20) + 1])).await.expect_err("too large"), None, "4194304");
    says(producer.send(&message(&plain, "a key")).await.expect_err("a space"), None, "no space");
    let producer = ignorant(lab.access(), &transactional).await.expect("a producer");
    for recovery in [Duration::ZERO, SECOND / 2, 3_601 * SECOND] {
        let producer = ignorant(lab.access(), &transactional).await.expect("a producer");
        says(producer.with_recovery(recovery).err().expect("not whole, or not in bounds"), None, "whole seconds");
    }
    says(producer.prepare(&message(&plain, "key")).await.expect_err("not declared"), None, "declared");
    says(producer.prepare(&message(&transactional, "key").in_group("g")).await.expect_err("ordered"), None, "half message");
    let start = async |group: &str, subscription: Subscription| {
        SimpleConsumer::start(lab.access(), group, &[subscription], POLL).await.err().expect("something is missing")
    };
    says(start("wrong_group", Subscription::all(&*plain)).await, Some(3), "Create the consumer group first");
    let group = lab.group("right_group").await;
    says(start(&group, Subscription::all("wrong_nowhere")).await, Some(40_402), "Create the topic first");
    for tags in ["", "a | b", "a b", "a ||", "||"] {
        says(start(&group, Subscription::tagged(&*plain, tags)).await, None, "filter");
    }
}

pub async fn a_client_that_says_goodbye_is_gone_at_once(lab: Arc<Lab>) {
    let topic = lab.topic("goodbye", TopicKind::Transaction).await;
    let told = Arc::<Told>::default();
    let producer = Plan::default().producer(lab.access().with_observer(told.clone()), &topic).await;
    let connected = async || {
        lab.admin.producers(&topic).await.is_ok_and(|clients| clients["connectionSet"].as_array().is_some_and(|set| !set.is_empty()))
    };
    wait_until(SOON, connected).await;
    let health = producer.health();
    assert!(health.len() == 1 && health[0].up && health[0].error.is_none(), "{health:?}");
    wait_until(SOON, async || lock(&told.requests).contains(&"Heartbeat")).await;
    producer.shutdown().await.expect("goodbye");
    assert_eq!(lock(&told.requests).last(), Some(&"NotifyClientTermination"));
    let since = Instant::now();
    wait_until(SOON, async || !connected().await).await;
    assert!(since.elapsed() < 5 * SECOND, "it would be two minutes without a goodbye: {:?}", since.elapsed());
}
