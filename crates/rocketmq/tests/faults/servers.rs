//! Servers that die, stand still, forget.

use crate::lab;
use crate::lab::{Inbox, POLL, Plan, SECOND, SOON, ignorant, message, wait_out, wait_until};
use crate::load::Load;
use crate::oracle::goes_on;
use crate::{lab_of, lab_with};
use rocketmq::admin::{Admin, TopicKind};
use rocketmq::{Access, Error, Message, SimpleConsumer, Subscription, Verdict};
use services::{Member, Service, Status};
use std::sync::atomic::Ordering;
use tokio::time::Instant;

pub async fn a_broker_killed_under_load_loses_nothing() {
    let lab = lab_of("kill-load");
    let topic = lab.topic("killed", TopicKind::Transaction).await;
    let group = lab.group("killed").await;
    let inbox = Inbox::open(lab.access(), &topic, &group, 4).await;
    let load = Load::start(lab.access(), &topic, 64).await;
    goes_on(&load.oracle, 2_000).await;
    lab.restart(Service::Broker).await;
    goes_on(&load.oracle, 2_000).await;
    let outcome = load.judge("broker kill -9 under 64-way load", lab.access(), &topic, &inbox).await;
    assert!(outcome.unknown + outcome.not_sent > 0, "the load noticed: {outcome}");
}

pub async fn after_a_restart_the_broker_is_answered_at_once() {
    let lab = lab_of("kill-check");
    let topic = lab.topic("restarted", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let plan = Plan::default();
    let producer = plan.producer(lab.access(), &topic).await;
    for n in 0..10 {
        drop(producer.prepare(&message(&topic, &n.to_string())).await.expect("stored"));
    }
    // The broker has begun to ask: what it asks of next is due.
    wait_until(SOON, async || plan.all_checks() > 0).await;
    lab.kill9(Service::Broker).await;
    wait_until(SOON, async || !producer.health()[0].up).await;
    (0..10).for_each(|n| plan.say(&n.to_string(), &[Verdict::Commit]));
    // Long enough for pauses between two tries to grow, if they grew without end.
    wait_out(20 * SECOND).await;
    lab.up(Service::Broker).await;
    let since = Instant::now();
    inbox.wait_for("0").await;
    println!("the first check after the broker's route was registered was answered and delivered after {:?}", since.elapsed());
    let keys: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    inbox.wait_for_all(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(producer.health()[0].up);
    assert!(since.elapsed() < 10 * SECOND, "ten seconds is what a heartbeat would take: {:?}", since.elapsed());
}

pub async fn a_name_server_killed_is_not_missed_until_it_is_back() {
    let lab = lab_of("kill-namesrv");
    let topic = lab.topic("unnamed", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let load = Load::start(lab.access(), &topic, 8).await;
    goes_on(&load.oracle, 200).await;
    lab.kill9(Service::Namesrv).await;
    // A new client finds no route; those that have one go on, also beyond the time after which routes are read again.
    let since = Instant::now();
    while since.elapsed() < 35 * SECOND {
        goes_on(&load.oracle, 100).await;
    }
    lab.up(Service::Namesrv).await;
    // It learns of the topics when the broker registers again, every thirty seconds, and the proxy believes for twenty more that
    // there are none: so long nobody new gets in.
    wait_until(2 * SOON, async || ignorant(lab.access(), &topic).await.is_ok()).await;
    goes_on(&load.oracle, 200).await;
    load.judge("name server kill -9", lab.access(), &topic, &inbox).await;
}

pub async fn a_broker_that_stands_still_for_thirty_seconds_loses_nothing() {
    let lab = lab_of("stop");
    let topic = lab.topic("stopped", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let load = Load::start(lab.access(), &topic, 16).await;
    goes_on(&load.oracle, 500).await;
    // Whoever declares the topic must be able to answer for all of it.
    let producer = load.oracle.producer(lab.access(), &topic).await;
    lab.set.stop(Service::Broker).expect("it stands still");
    assert!(matches!(lab.set.status(Service::Broker), Status::Stopped(_)));
    let since = Instant::now();
    while since.elapsed() < 30 * SECOND {
        // Every call has an end.
        let call = Instant::now();
        let error = producer.prepare(&message(&topic, "stopped")).await.expect_err("nobody answers");
        assert!(matches!(error, Error::Unknown { .. } | Error::NotSent(_)), "{error}");
        assert!(call.elapsed() < 15 * SECOND, "{:?}", call.elapsed());
        wait_out(SECOND / 10).await;
    }
    lab.set.cont(Service::Broker).expect("it goes on");
    goes_on(&load.oracle, 500).await;
    load.judge("broker stopped for 30 s", lab.access(), &topic, &inbox).await;
}

pub async fn two_brokers_behind_two_proxies_survive_the_death_of_any_one() {
    let cluster = tokio::task::block_in_place(|| Cluster::start("cluster"));
    let access = || {
        let [one, two] = cluster.0.grpc_ports();
        Access::new(&format!("rocketmq://127.0.0.1:{one},127.0.0.1:{two}")).expect("a URL")
    };
    let topic = "spread";
    for [namesrv, broker] in cluster.0.broker_ports().map(|port| [cluster.0.namesrv_port(), port]) {
        let admin = Admin::new(&format!("127.0.0.1:{namesrv}"), &format!("127.0.0.1:{broker}"), 3 * SECOND);
        admin.create_topic(topic, TopicKind::Transaction, 4).await.expect("a topic");
        admin.create_group(topic, 17, false).await.expect("a group");
        let is_routed = |route: serde_json::Value| route["brokerDatas"].as_array().map_or(0, Vec::len);
        let brokers = async || admin.route(topic).await.ok().flatten().map_or(0, is_routed);
        let wanted = if broker == cluster.0.broker_ports()[0] { 1 } else { 2 };
        wait_until(SOON, async || brokers().await == wanted).await;
    }
    let inbox = Inbox::open(access(), topic, topic, 4).await;
    let consumer = SimpleConsumer::start(access(), topic, &[Subscription::all(topic)], POLL).await.expect("a consumer");
    assert_eq!(consumer.brokers(topic).await, Ok(2));
    let load = Load::start(access(), topic, 16).await;
    goes_on(&load.oracle, 500).await;
    // Two proxies, and each knows only the half messages that it took.
    assert_eq!(load.oracle.lost_hints.load(Ordering::Relaxed), 0, "each was settled where it was prepared");
    assert_eq!(consumer.health().iter().filter(|endpoint| endpoint.up).count(), 2);
    for member in Member::ALL {
        let set = cluster.0.clone();
        tokio::task::spawn_blocking(move || set.kill9(member)).await.expect("no panic").expect("it is gone");
        goes_on(&load.oracle, 500).await;
        let set = cluster.0.clone();
        tokio::task::spawn_blocking(move || set.up(member)).await.expect("no panic").expect("it starts");
        goes_on(&load.oracle, 500).await;
    }
    load.judge("each of two brokers and two proxies kill -9 in turn", access(), topic, &inbox).await;
}

/// Two brokers and two proxies, which are gone when this is.
struct Cluster(services::Cluster);

impl Cluster {
    fn start(name: &str) -> Self {
        let cluster = Self(services::Cluster::open(&lab::root(), name).expect("a cluster"));
        cluster.0.wipe().expect("nothing is left of the last run");
        cluster.0.up_all().expect("it starts");
        cluster
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in Member::ALL {
            drop(self.0.kill9(member));
        }
        if !std::thread::panicking() {
            drop(self.0.wipe());
        }
    }
}

pub async fn a_proxy_that_forgot_a_half_message_says_so_and_the_check_delivers() {
    let lab = lab_with("forgets", |set| {
        set.with_proxy_setting("transactionDataExpireMillis", 2_000)
            .with_proxy_setting("transactionDataExpireScanPeriodMillis", 500)
            .with_proxy_setting("maxMessageSize", 65_536)
            .with_broker_setting("transactionTimeOut", 8_000)
    });
    let topic = lab.topic("forgotten", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let plan = Plan::default();
    let producer = plan.producer(lab.access(), &topic).await;
    plan.say("key", &[Verdict::Commit]);
    let half = producer.prepare(&message(&topic, "key")).await.expect("stored");
    wait_out(5 * SECOND).await;
    let large = Message::new(&*topic, vec![b'x'; 65_537]);
    let error = producer.prepare(&large).await.expect_err("more than this proxy takes");
    assert!(matches!(&error, Error::Illegal(what) if what.contains("65536")), "{error}");
    let error = half.commit().await.expect_err("the proxy forgot it");
    assert_eq!(error.code(), Some(50_001), "{error}");
    assert!(!error.had_no_effect(), "who says so may have done it before");
    assert_eq!(inbox.count("key"), 0);
    inbox.wait_for("key").await;
    assert_eq!((inbox.count("key"), plan.checks("key")), (1, 1));
}

pub async fn a_half_message_that_nobody_answers_for_is_given_up_by_the_broker() {
    let lab = lab_with("gives-up", |set| set.with_broker_setting("transactionCheckMax", 3));
    let topic = lab.topic("given_up", TopicKind::Transaction).await;
    let producer = Plan::default().producer(lab.access(), &topic).await;
    drop(producer.prepare(&message(&topic, "key")).await.expect("stored"));
    // No goodbye, and nobody else.
    drop(producer);
    wait_until(SOON, async || lab.admin.messages_put("TRANS_CHECK_MAX_TIME_TOPIC").await == Ok(1)).await;
    let inbox = lab.inbox(&topic).await;
    let plan = Plan::default();
    plan.say("key", &[Verdict::Commit]);
    plan.say("marker", &[Verdict::Unknown, Verdict::Commit]);
    let late = plan.producer(lab.access(), &topic).await;
    drop(late.prepare(&message(&topic, "marker")).await.expect("stored"));
    inbox.wait_for("marker").await;
    assert_eq!((plan.checks("key"), inbox.count("key")), (0, 0), "who comes later is not asked any more");
}
