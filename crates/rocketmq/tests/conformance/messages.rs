//! Messages that are received: whole, filtered, again, in order, later, acknowledged.

#![allow(clippy::disallowed_methods, reason = "a test runs clients beside itself, by the machine's clock")]

use crate::lab::{INVISIBLE, Inbox, Lab, POLL, SECOND, SOON, key_of, message, take, wait_out, wait_until};
use rocketmq::admin::TopicKind;
use rocketmq::{Delivery, Error, Message, Producer, SimpleConsumer, Subscription};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout};

pub async fn messages_come_whole_with_tag_keys_properties_and_four_mebibytes(lab: Arc<Lab>) {
    let topic = lab.topic("whole", TopicKind::Normal).await;
    let group = lab.group("whole").await;
    let consumer = SimpleConsumer::start(lab.access(), &group, &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
    assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    let large: Vec<u8> = (0..4 << 20).map(|n: u32| (n % 251) as u8).collect();
    let before = SystemTime::now() - SECOND;
    let sent =
        producer.send(&Message::new(&*topic, large.clone()).with_tag("t").with_key("k1").with_key("k2").with_property("shop", "七")).await;
    let sent = sent.expect("4 MiB are allowed");
    let got = take(&consumer, &topic, "k1").await;
    assert_eq!(got.message.message_id, sent.message_id);
    assert_eq!(got.message.body, large);
    assert_eq!(got.message.tag.as_deref(), Some("t"));
    assert_eq!(got.message.keys, ["k1", "k2"]);
    assert_eq!(got.message.properties.get("shop").map(String::as_str), Some("七"));
    assert!(got.message.born_at.is_some_and(|at| at >= before && at <= SystemTime::now()));
    assert_eq!((got.attempt, got.message.topic.as_str()), (1, "whole"));
    assert_eq!(consumer.ack(&[got]).await, [Ok(())]);
    consumer.shutdown().await.expect("goodbye");
}

pub async fn filters_by_tag_and_by_property(lab: Arc<Lab>) {
    let topic = lab.topic("filters", TopicKind::Normal).await;
    let mut consumers = Vec::new();
    for (group, subscription) in
        [("filter_tag", Subscription::tagged(&*topic, "a || b")), ("filter_sql", Subscription::sql(&*topic, "price > 10"))]
    {
        let group = lab.group(group).await;
        let consumer = SimpleConsumer::start(lab.access(), &group, &[subscription], POLL).await.expect("a consumer");
        assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
        consumers.push(consumer);
    }
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    for (key, tag, price) in [("1", "a", "5"), ("2", "b", "15"), ("3", "c", "20"), ("last", "a", "99")] {
        let message = Message::new(&*topic, "x").with_tag(tag).with_key(key).with_property("price", price);
        producer.send(&message).await.expect("sent");
    }
    for (consumer, expected) in consumers.iter().zip([["1", "2", "last"], ["2", "3", "last"]]) {
        let mut keys = Vec::new();
        let all = async {
            while keys.len() < expected.len() {
                let got = consumer.receive(&topic, 32, INVISIBLE).await.expect("receives");
                keys.extend(got.iter().map(|delivery| key_of(&delivery.message)));
                consumer.ack(&got).await.into_iter().for_each(|done| done.expect("acknowledged"));
            }
        };
        timeout(SOON, all).await.expect("they come");
        keys.sort();
        assert_eq!(keys, expected);
    }
}

pub async fn what_is_not_acknowledged_comes_again_and_goes_to_the_dead_letters(lab: Arc<Lab>) {
    let topic = lab.topic("again", TopicKind::Normal).await;
    lab.admin.create_group("again", 3, false).await.expect("a group");
    let consumer = SimpleConsumer::start(lab.access(), "again", &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
    assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    producer.send(&message(&topic, "key")).await.expect("sent");
    let since = Instant::now();
    let mut first = take(&consumer, &topic, "key").await;
    consumer.change_invisible(&mut first, SECOND).await.expect("told");
    let second = take(&consumer, &topic, "key").await;
    assert!(since.elapsed() < INVISIBLE, "it came before its time, as it was told to");
    let since = Instant::now();
    let third = take(&consumer, &topic, "key").await;
    assert!(since.elapsed() >= INVISIBLE - SECOND, "it was left alone for its time");
    assert_eq!((first.attempt, second.attempt, third.attempt), (1, 2, 3));
    // A proxy puts what has come thrice to the dead letters when it meets it once more.
    let dead = "%DLQ%again";
    let meet = async {
        while lab.admin.messages_put(dead).await.unwrap_or_default() == 0 {
            assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("receives").is_empty(), "it does not come a fourth time");
        }
    };
    timeout(SOON, meet).await.expect("it is a dead letter");
    wait_until(SOON, async || matches!(lab.admin.route(dead).await, Ok(Some(_)))).await;
    let group = lab.group("again_dead").await;
    let undertaker = SimpleConsumer::start(lab.access(), &group, &[Subscription::all(dead)], POLL).await.expect("a consumer");
    let letter = take(&undertaker, dead, "key").await;
    assert_eq!(&letter.message.body[..], b"body of key");
}

pub async fn a_replaced_handle_acknowledges_nothing(lab: Arc<Lab>) {
    let topic = lab.topic("replaced", TopicKind::Normal).await;
    let group = lab.group("replaced").await;
    let consumer = SimpleConsumer::start(lab.access(), &group, &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
    assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    producer.send(&message(&topic, "key")).await.expect("sent");
    let old = take(&consumer, &topic, "key").await;
    let mut new = old.clone();
    consumer.change_invisible(&mut new, SECOND).await.expect("told");
    assert_eq!(consumer.ack(&[old]).await, [Ok(())], "the server says OK");
    let again = take(&consumer, &topic, "key").await;
    assert_eq!(again.attempt, 2, "and delivers it again");
    assert_eq!(consumer.ack(std::slice::from_ref(&again)).await, [Ok(())]);
    assert_eq!(consumer.ack(&[again]).await, [Ok(())], "twice is once");
    // The one in its place does: else it would come again within the next polls.
    producer.send(&message(&topic, "other")).await.expect("sent");
    let mut delivery = take(&consumer, &topic, "other").await;
    consumer.change_invisible(&mut delivery, SECOND).await.expect("told");
    assert_eq!(consumer.ack(&[delivery]).await, [Ok(())]);
    for _ in 0..2 {
        assert_eq!(consumer.receive(&topic, 1, INVISIBLE).await, Ok(Vec::new()));
    }
}

pub async fn dead_letters_by_hand(lab: Arc<Lab>) {
    let topic = lab.topic("by_hand", TopicKind::Normal).await;
    let group = lab.group("by_hand").await;
    let consumer = SimpleConsumer::start(lab.access(), &group, &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
    assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    producer.send(&message(&topic, "key")).await.expect("sent");
    let delivery = take(&consumer, &topic, "key").await;
    consumer.forward_to_dead_letters(&delivery).await.expect("told");
    wait_until(SOON, async || lab.admin.messages_put("%DLQ%by_hand").await.unwrap_or_default() == 1).await;
    assert_eq!(consumer.ack(&[delivery]).await, [Ok(())], "an acknowledgement after it does no harm");
}

pub async fn acknowledging_many_is_told_one_by_one(lab: Arc<Lab>) {
    let topics = [lab.topic("many_a", TopicKind::Normal).await, lab.topic("many_b", TopicKind::Normal).await];
    let group = lab.group("many").await;
    let subscriptions = topics.clone().map(Subscription::all);
    let consumer = SimpleConsumer::start(lab.access(), &group, &subscriptions, POLL).await.expect("a consumer");
    let producer = Producer::start(lab.access(), &[&topics[0], &topics[1]]).await.expect("a producer");
    let mut deliveries: Vec<Delivery> = Vec::new();
    for topic in &topics {
        assert!(consumer.receive(topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
        for n in 0..5 {
            producer.send(&message(topic, &format!("{topic}-{n}"))).await.expect("sent");
        }
        let all = async {
            let wanted = deliveries.len() + 5;
            while deliveries.len() < wanted {
                deliveries.extend(consumer.receive(topic, 32, INVISIBLE).await.expect("receives"));
            }
        };
        timeout(SOON, all).await.expect("they come");
    }
    assert_eq!(consumer.ack(&deliveries).await, vec![Ok(()); 10]);
    assert_eq!(consumer.ack(&[]).await, []);
    for topic in &topics {
        wait_until(SOON, async || lab.admin.lag(&group, topic).await == Ok(0)).await;
    }
    // Of one message that came twice: the handle of the first time is over.
    producer.send(&message(&topics[0], "twice")).await.expect("sent");
    let (first, second) = (take(&consumer, &topics[0], "twice").await, take(&consumer, &topics[0], "twice").await);
    assert_eq!((first.attempt, second.attempt), (1, 2));
    let told = consumer.ack(&[first, second]).await;
    assert!(matches!(&told[..], [Err(Error::Refused { .. }), Ok(())]), "{told:?}");
}

pub async fn delays_are_kept_and_recalled(lab: Arc<Lab>) {
    let topic = lab.topic("delays", TopicKind::Delay).await;
    let group = lab.group("delays").await;
    let consumer = SimpleConsumer::start(lab.access(), &group, &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
    assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    let since = Instant::now();
    let delayed = |key: &str, seconds| message(&topic, key).deliver_at(SystemTime::now() + seconds * SECOND);
    producer.send(&delayed("later", 6)).await.expect("sent");
    let recalled = producer.send(&delayed("recalled", 4)).await.expect("sent");
    producer.send(&delayed("soon", 1)).await.expect("sent");
    producer.recall(&topic, &recalled.recall_handle.expect("delayed messages have one")).await.expect("taken back");
    let mut came = Vec::new();
    for key in ["soon", "later"] {
        let delivery = take(&consumer, &topic, key).await;
        came.push((key, since.elapsed()));
        assert_eq!(consumer.ack(&[delivery]).await, [Ok(())]);
    }
    assert!(came[0].1 >= SECOND && came[1].1 >= 6 * SECOND, "not before their time: {came:?}");
    let late = producer.send(&delayed("late", 1)).await.expect("sent");
    let delivery = take(&consumer, &topic, "late").await;
    assert_eq!(consumer.ack(&[delivery]).await, [Ok(())]);
    let error = producer.recall(&topic, &late.recall_handle.expect("it has one")).await.expect_err("it is delivered");
    assert!(error.code().is_some(), "{error}");
    assert!(producer.recall(&topic, "nonsense").await.is_err());
}

pub async fn too_long_a_delay_is_refused(lab: Arc<Lab>) {
    let topic = lab.topic("long_delay", TopicKind::Delay).await;
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    let in_two_days = message(&topic, "key").deliver_at(SystemTime::now() + 172_800 * SECOND);
    let error = producer.send(&in_two_days).await.expect_err("a proxy takes a day");
    assert_eq!(error.code(), Some(40_012), "{error}");
    assert!(error.to_string().contains("maxDelayTimeMills"));
    assert_eq!(producer.send(&message(&topic, "key")).await.expect_err("no time").code(), Some(40_014));
}

pub async fn an_order_is_kept_and_a_refused_message_holds_up_its_group(lab: Arc<Lab>) {
    let topic = lab.topic("order", TopicKind::Fifo).await;
    lab.admin.create_group("order", 17, true).await.expect("a group");
    let consumer = SimpleConsumer::start(lab.access(), "order", &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
    assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    for n in 0..6 {
        producer.send(&message(&topic, &n.to_string()).in_group("sku-1")).await.expect("sent");
    }
    let mut order: Vec<String> = Vec::new();
    let all = async {
        while order.last().map(String::as_str) != Some("5") {
            for mut delivery in consumer.receive(&topic, 1, INVISIBLE).await.expect("receives") {
                assert_eq!(delivery.message.group.as_deref(), Some("sku-1"));
                let key = key_of(&delivery.message);
                let is_refused = key == "2" && !order.contains(&key);
                order.push(key);
                if is_refused {
                    consumer.change_invisible(&mut delivery, SECOND).await.expect("told");
                } else {
                    assert_eq!(consumer.ack(&[delivery]).await, [Ok(())]);
                }
            }
        }
    };
    timeout(SOON, all).await.expect("they come");
    assert_eq!(order, ["0", "1", "2", "2", "3", "4", "5"]);
}

pub async fn invisible_times_and_polls_are_checked(lab: Arc<Lab>) {
    let topic = lab.topic("invisible", TopicKind::Normal).await;
    let group = lab.group("invisible").await;
    let subscriptions = [Subscription::all(&*topic)];
    for poll in [SECOND, 21 * SECOND] {
        assert!(matches!(SimpleConsumer::start(lab.access(), &group, &subscriptions, poll).await, Err(Error::Illegal(_))));
    }
    let consumer = SimpleConsumer::start(lab.access(), &group, &subscriptions, POLL).await.expect("a consumer");
    let since = Instant::now();
    let error = consumer.receive(&topic, 1, 5 * SECOND).await.expect_err("ten seconds at least");
    assert_eq!(error.code(), Some(40_011), "{error}");
    assert!(since.elapsed() >= SECOND, "who asks again and again does not spin: {:?}", since.elapsed());
    for max in [0, 33] {
        assert!(matches!(consumer.receive(&topic, max, INVISIBLE).await, Err(Error::Illegal(_))));
    }
    assert!(matches!(consumer.receive("elsewhere", 1, INVISIBLE).await, Err(Error::Illegal(_))));
    assert_eq!(consumer.brokers(&topic).await, Ok(1));
}

pub async fn what_was_shut_down_sends_nothing(lab: Arc<Lab>) {
    let topic = lab.topic("shut", TopicKind::Normal).await;
    let group = lab.group("shut").await;
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    let consumer = SimpleConsumer::start(lab.access(), &group, &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
    let consumer = Arc::new(consumer);
    let polling = tokio::spawn({
        let (consumer, topic) = (consumer.clone(), topic.clone());
        async move { consumer.receive(&topic, 1, INVISIBLE).await }
    });
    wait_out(Duration::from_millis(300)).await;
    consumer.shutdown().await.expect("goodbye");
    assert!(polling.is_finished(), "a receive that ran was waited for");
    assert_eq!(polling.await.expect("no panic"), Ok(Vec::new()));
    assert_eq!(consumer.receive(&topic, 1, INVISIBLE).await, Err(Error::ShutDown));
    producer.shutdown().await.expect("goodbye");
    assert_eq!(producer.send(&message(&topic, "key")).await, Err(Error::ShutDown));
    assert_eq!(lab.admin.messages_put(&topic).await, Ok(0));
}

pub async fn offsets_and_lag_are_counted(lab: Arc<Lab>) {
    let topic = lab.topic("lag", TopicKind::Normal).await;
    let group = lab.group("lag").await;
    let consumer = SimpleConsumer::start(lab.access(), &group, &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
    assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
    let producer = Producer::start(lab.access(), &[&topic]).await.expect("a producer");
    for n in 0..7 {
        producer.send(&message(&topic, &n.to_string())).await.expect("sent");
    }
    // The broker counts a little later.
    wait_until(SOON, async || lab.admin.messages_put(&topic).await == Ok(7)).await;
    wait_until(SOON, async || lab.admin.lag(&group, &topic).await == Ok(7)).await;
    let inbox = Inbox::open(lab.access(), &topic, &group, 1).await;
    inbox.wait_for_all(&["0", "1", "2", "3", "4", "5", "6"]).await;
    wait_until(SOON, async || lab.admin.lag(&group, &topic).await == Ok(0)).await;
}
