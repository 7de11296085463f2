//! Two reminders for later, and one of them taken back.
//!
//!     cargo run -p rocketmq --example delay_and_recall -- rocketmq://127.0.0.1:8081 NAMESRV BROKER
//!
//! The broker must allow recalls: `recallMessageEnable=true`.

use rocketmq::admin::{Admin, TopicKind};
use rocketmq::{Access, Error, Message, Producer, SimpleConsumer, Subscription};
use std::time::{Duration, SystemTime};

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "an example for whoever has a clock")]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().collect();
    let [_, url, namesrv, broker] = args.as_slice() else { panic!("URL NAMESRV BROKER") };
    let admin = Admin::new(namesrv, broker, Duration::from_secs(3));
    admin.create_topic("example_later", TopicKind::Delay, 4).await?;
    admin.create_group("example_later", 16, false).await?;
    while admin.route("example_later").await?.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let access = Access::new(url)?;
    let subscription = [Subscription::all("example_later")];
    let consumer = SimpleConsumer::start(access.clone(), "example_later", &subscription, Duration::from_secs(5)).await?;
    let producer = Producer::start(access, &["example_later"]).await?;
    let reminder = |key: &str, seconds| {
        Message::new("example_later", "remember").with_key(key).deliver_at(SystemTime::now() + Duration::from_secs(seconds))
    };
    let recalled = producer.send(&reminder("recalled", 3)).await?;
    producer.send(&reminder("kept", 4)).await?;
    let handle = recalled.recall_handle.ok_or_else(|| Error::Illegal("this broker allows no recalls".to_owned()))?;
    producer.recall("example_later", &handle).await?;
    loop {
        let deliveries = consumer.receive("example_later", 32, Duration::from_secs(30)).await?;
        for delivery in &deliveries {
            println!("received {:?}", delivery.message.keys);
        }
        // Only what is done: what was acknowledged does not come again.
        consumer.ack(&deliveries).await.into_iter().collect::<Result<(), _>>()?;
        if !deliveries.is_empty() {
            producer.shutdown().await?;
            return consumer.shutdown().await;
        }
    }
}
