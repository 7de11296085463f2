//! Wires that are cut, slow, and swallow what the server says.

#![allow(clippy::disallowed_methods, reason = "a test runs clients beside itself, by the machine's clock")]

use crate::lab::{INVISIBLE, Inbox, POLL, Plan, SECOND, SOON, message, take, wait_out, wait_until};
use crate::lab_of;
use crate::load::Load;
use crate::oracle::goes_on;
use crate::tap::Tap;
use rocketmq::admin::TopicKind;
use rocketmq::{Access, Error, Producer, SimpleConsumer, Subscription, Verdict};
use std::sync::Arc;
use tokio::time::timeout;

fn tapped(tap: &Tap) -> Access {
    Access::new(&format!("rocketmq://127.0.0.1:{}", tap.port)).expect("a URL").through_access_point_only()
}

pub async fn a_wire_that_is_cut_slow_and_swallows_answers_loses_nothing() {
    let lab = lab_of("wire");
    let topic = lab.topic("wired", TopicKind::Transaction).await;
    let group = lab.group("wired").await;
    let (one, two) = (Tap::to(lab.set.ports.grpc).await, Tap::to(lab.set.ports.grpc).await);
    let inbox = Inbox::open(tapped(&two), &topic, &group, 2).await;
    let load = Load::start(tapped(&one), &topic, 16).await;
    for round in 0..3 {
        for tap in [&one, &two] {
            goes_on(&load.oracle, 200).await;
            match round {
                0 => tap.cut(),
                1 => tap.slow(SECOND / 10),
                _ => tap.swallow(),
            }
            wait_out(2 * SECOND).await;
            tap.heal();
        }
    }
    goes_on(&load.oracle, 200).await;
    load.judge("wires cut, slow, swallowing", lab.access(), &topic, &inbox).await;
}

pub async fn an_ordered_receive_whose_answer_is_lost_is_answered_again() {
    let lab = lab_of("ordered");
    let topic = lab.topic("ordered", TopicKind::Fifo).await;
    lab.admin.create_group("ordered", 17, true).await.expect("a group");
    let tap = Tap::to(lab.set.ports.grpc).await;
    let consumer = SimpleConsumer::start(tapped(&tap), "ordered", &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
    assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    producer.send(&message(&topic, "key").in_group("sku-1")).await.expect("sent");
    tap.swallow();
    // For longer than the test waits: it comes again only to who asks as the one who missed it.
    let long = 10 * SOON;
    consumer.receive(&topic, 1, long).await.expect_err("no answer");
    tap.heal();
    let received = async {
        loop {
            if let Ok(deliveries) = consumer.receive(&topic, 1, long).await
                && !deliveries.is_empty()
            {
                return deliveries;
            }
        }
    };
    let deliveries = timeout(SOON, received).await.expect("it comes again at once");
    assert_eq!(consumer.ack(&deliveries).await, [Ok(())]);
}

pub async fn an_answer_that_is_swallowed_is_unknown_and_the_broker_asks() {
    let lab = lab_of("swallow");
    let topic = lab.topic("swallowed", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let tap = Tap::to(lab.set.ports.grpc).await;
    let plan = Plan::default();
    let producer = plan.producer(tapped(&tap).with_request_limit(SECOND), &topic).await;
    plan.say("key", &[Verdict::Commit]);
    tap.swallow();
    let error = producer.prepare(&message(&topic, "key")).await.expect_err("no answer");
    assert!(matches!(error, Error::Unknown { code: None, .. }) && !error.had_no_effect(), "{error}");
    tap.cut();
    wait_until(SOON, async || !producer.health()[0].up).await;
    let error = producer.prepare(&message(&topic, "never")).await.expect_err("no wire");
    assert!(error.had_no_effect(), "{error}");
    tap.heal();
    inbox.wait_for("key").await;
    // What had been stored a second time would come before a half message that is prepared now and asked about twice.
    plan.say("marker", &[Verdict::Unknown, Verdict::Unknown, Verdict::Commit]);
    wait_until(SOON, async || producer.health()[0].up).await;
    drop(producer.prepare(&message(&topic, "marker")).await.expect("stored"));
    inbox.wait_for("marker").await;
    assert_eq!((inbox.count("key"), inbox.count("never")), (1, 0));
    // What may come more than once is sent again until it is known to have arrived.
    let plain = lab.topic("swallowed_plain", TopicKind::Normal).await;
    let group = lab.group("swallowed_plain").await;
    let consumer = SimpleConsumer::start(lab.access(), &group, &[Subscription::all(&*plain)], POLL).await.expect("a consumer");
    assert!(consumer.receive(&plain, 1, INVISIBLE).await.expect("nothing yet").is_empty());
    let sender = Producer::start(tapped(&tap).with_request_limit(SECOND), &[&plain]).await.expect("a producer");
    let sender = Arc::new(sender);
    let send = |key: &str| {
        let (sender, message) = (sender.clone(), message(&plain, key));
        tokio::spawn(async move { sender.send(&message).await })
    };
    tap.swallow();
    let sending = send("again");
    wait_until(SOON, async || lab.admin.messages_put(&plain).await == Ok(1)).await;
    tap.heal();
    sending.await.expect("no panic").expect("sent at last");
    take(&consumer, &plain, "again").await;
    // What was unknown once stays unknown, though the attempts after it surely did nothing.
    let before = lab.admin.messages_put(&plain).await.expect("a count");
    tap.swallow();
    let sending = send("lost");
    wait_until(SOON, async || lab.admin.messages_put(&plain).await.is_ok_and(|put| put > before)).await;
    tap.cut();
    let error = sending.await.expect("no panic").expect_err("no wire");
    assert!(!error.had_no_effect(), "{error}");
    take(&consumer, &plain, "lost").await;
}
