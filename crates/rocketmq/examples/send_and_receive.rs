//! Sends a message and receives it.
//!
//!     cargo run -p rocketmq --example send_and_receive -- rocketmq://127.0.0.1:8081 NAMESRV BROKER
//!
//! The last two are the remoting ports of the name server and the broker: the example makes its topic and its group.

use rocketmq::admin::{Admin, TopicKind};
use rocketmq::{Access, Error, Message, Producer, SimpleConsumer, Subscription};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().collect();
    let [_, url, namesrv, broker] = args.as_slice() else { panic!("URL NAMESRV BROKER") };
    let admin = Admin::new(namesrv, broker, Duration::from_secs(3));
    admin.create_topic("example", TopicKind::Normal, 4).await?;
    admin.create_group("example", 16, false).await?;
    while admin.route("example").await?.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let access = Access::new(url)?;
    let consumer = SimpleConsumer::start(access.clone(), "example", &[Subscription::all("example")], Duration::from_secs(5)).await?;
    let producer = Producer::start(access, &["example"]).await?;
    let sent = producer.send(&Message::new("example", "hello").with_tag("greeting").with_key("example-1")).await?;
    println!("sent {}", sent.message_id);

    loop {
        // Hidden from others for thirty seconds: acknowledge within them, or it comes again.
        let deliveries = consumer.receive("example", 32, Duration::from_secs(30)).await?;
        for delivery in &deliveries {
            println!("received {}: {:?}", delivery.message.message_id, delivery.message.body);
        }
        for (delivery, acknowledged) in deliveries.iter().zip(consumer.ack(&deliveries).await) {
            acknowledged?;
            if delivery.message.message_id == sent.message_id {
                producer.shutdown().await?;
                return consumer.shutdown().await;
            }
        }
    }
}
