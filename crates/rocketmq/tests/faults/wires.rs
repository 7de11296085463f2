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
