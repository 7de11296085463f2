//! Payments and their messages, both or neither: the half message first, then the payment, then the commit or the rollback. The last
//! commit is never sent, as after a crash; the broker asks, and the checker looks the payment up.
//!
//!     cargo run -p rocketmq --example transaction -- rocketmq://127.0.0.1:8081 NAMESRV BROKER

use rocketmq::admin::{Admin, TopicKind};
use rocketmq::{Access, Error, HalfMessage, Message, SimpleConsumer, Subscription, TransactionalProducer, Verdict};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Copy)]
enum Payment {
    Done,
    Declined,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().collect();
    let [_, url, namesrv, broker] = args.as_slice() else { panic!("URL NAMESRV BROKER") };
    let admin = Admin::new(namesrv, broker, Duration::from_secs(3));
    admin.create_topic("example_tx", TopicKind::Transaction, 4).await?;
    admin.create_group("example_tx", 16, false).await?;
    while admin.route("example_tx").await?.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let access = Access::new(url)?;
    let consumer = SimpleConsumer::start(access.clone(), "example_tx", &[Subscription::all("example_tx")], Duration::from_secs(5)).await?;

    // In a real system a table: whoever is asked must find it, also after this process is gone.
    let payments = Arc::<Mutex<HashMap<String, Payment>>>::default();
    let checker = {
        let payments = payments.clone();
        move |half: HalfMessage| {
            let key = half.message.keys.first().cloned().unwrap_or_default();
            let found = payments.lock().map(|payments| payments.get(&key).copied());
            let verdict = match found {
                Ok(Some(Payment::Done)) => Verdict::Commit,
                // Stored: it cannot be done any more.
                Ok(Some(Payment::Declined)) => Verdict::Rollback,
                // No record is no "no": it may be on its way. The broker asks again.
                Ok(None) | Err(_) => Verdict::Unknown,
            };
            println!("asked about {key}: {verdict:?}");
            async move { verdict }
        }
    };
    let producer = TransactionalProducer::start(access, &["example_tx"], checker).await?;
    for (key, payment, tells) in
        [("payment-1", Payment::Done, true), ("payment-2", Payment::Declined, true), ("payment-3", Payment::Done, false)]
    {
        let half = producer.prepare(&Message::new("example_tx", "paid").with_key(key)).await?;
        if let Ok(mut payments) = payments.lock() {
            payments.insert(key.to_owned(), payment);
        }
        let told = match payment {
            Payment::Done if tells => half.commit().await,
            Payment::Declined if tells => half.rollback().await,
            Payment::Done | Payment::Declined => continue,
        };
        if let Err(error) = told {
            println!("the broker will ask about {key}: {error}");
        }
    }
    let mut received = HashSet::new();
    while received.len() < 2 {
        let deliveries = consumer.receive("example_tx", 32, Duration::from_secs(30)).await?;
        for delivery in &deliveries {
            println!("received {:?}", delivery.message.keys);
            received.extend(delivery.message.keys.clone());
        }
        consumer.ack(&deliveries).await.into_iter().collect::<Result<(), _>>()?;
    }
    producer.shutdown().await?;
    consumer.shutdown().await
}
