//! A client of Apache RocketMQ 5: the v2 protocol over gRPC for messages, the remoting protocol for administration.
//!
//! - [`Producer`] sends plain, ordered and delayed messages; [`TransactionalProducer`] prepares half messages and answers the
//!   broker's check-back; [`SimpleConsumer`] receives, and acknowledges message by message; [`Admin`] makes topics and groups and
//!   reads offsets and lag.
//! - [`Access`] says where the proxies are and how one comes in: TLS, signed requests, limits of time, an [`Observer`].
//! - [`Error`] says what is known of a request that did not succeed: that it surely had no effect, or that nobody knows.
//!
//! It needs Tokio and no protoc. It knows nothing of what the messages say.
//!
//! ```no_run
//! use rocketmq::{Access, Message, Producer, SimpleConsumer, Subscription};
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), rocketmq::Error> {
//! let access = Access::new("rocketmq://127.0.0.1:8081")?;
//! let producer = Producer::start(access.clone(), &["orders"]).await?;
//! producer.send(&Message::new("orders", "one more").with_key("order-1")).await?;
//!
//! let consumer = SimpleConsumer::start(access, "billing", &[Subscription::all("orders")], Duration::from_secs(10)).await?;
//! let deliveries = consumer.receive("orders", 32, Duration::from_secs(30)).await?;
//! for delivery in &deliveries {
//!     println!("{:?}", delivery.message.body);
//! }
//! for result in consumer.ack(&deliveries).await {
//!     result?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A half message, what it stands for, and its commit. The checker stands in for a commit that was lost:
//!
//! ```no_run
//! use rocketmq::{Access, HalfMessage, Message, TransactionalProducer, Verdict};
//!
//! # async fn is_paid(_: &str) -> Option<bool> { None }
//! # async fn pay(_: &str) -> bool { true }
//! # async fn example() -> Result<(), rocketmq::Error> {
//! let checker = |half: HalfMessage| async move {
//!     match is_paid(half.message.keys.first().map_or("", String::as_str)).await {
//!         Some(true) => Verdict::Commit,
//!         Some(false) => Verdict::Rollback,
//!         None => Verdict::Unknown, // not known now: the broker asks again
//!     }
//! };
//! let access = Access::new("rocketmq://127.0.0.1:8081")?;
//! let producer = TransactionalProducer::start(access, &["payments"], checker).await?;
//! let half = producer.prepare(&Message::new("payments", "paid").with_key("order-1")).await?;
//! let told = if pay("order-1").await { half.commit().await } else { half.rollback().await };
//! if let Err(error) = told {
//!     eprintln!("the broker will ask: {error}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a broker promises, and what not
//!
//! As measured with Apache RocketMQ 5.5.0; the tests `conformance` and `faults` say each by name.
//!
//! - **At least once.** A message may arrive more than once: after a lost answer, after a crash of the broker (what was settled or
//!   acknowledged just before it may be forgotten), when its invisible time ran out. Give it a key of your own and look that up.
//! - **A commit is a hint.** A proxy answers OK before its broker has it. Only the consumer knows that a message is there.
//! - **Check-back asks anybody** who declared the topic, so every one of them must be able to answer for every half message of
//!   it, from what is stored and not from memory. While nobody is there the broker counts its questions all the same, and after
//!   `transactionCheckMax` of them gives the message up, which is then never delivered: let `transactionCheckInterval × transactionCheckMax` be longer than any outage.
//! - **A topic is there when the proxies say so.** One that was asked too early, or whose name server has just been started, says
//!   for twenty seconds more that there is none.
//! - **A new group begins at the end** of an older topic: let it receive once before the first message.
//!
//! # When servers are away
//!
//! A client keeps a telemetry stream to every endpoint, and opens it again after 0.1 to 1 s, or 10 s where it was refused. By it the
//! broker asks about half messages and knows who receives, so while none is up, sends, half messages and receives wait for it within
//! their limit and are then [`Error::NotSent`]; where it was refused they are [`Error::Refused`] at once. Settling and acknowledging do
//! not wait. Endpoints that did not answer are passed over for three seconds if there are others.
//!
//! # Setting up
//!
//! A name server, a broker, and a proxy, whose gRPC port is 8081. Topics with their kind (`message.type`) and groups must exist: a
//! proxy makes none. By [`Admin`], or `mqadmin updateTopic -a +message.type=TRANSACTION …` and `mqadmin updateSubGroup …`.
//!
//! Not there: push consumers, namespaces, batches in one request, renewal of invisible times, client certificates.

mod access;
pub mod admin;
mod allowed;
mod check;
mod client;
mod consumer;
mod delivery;
mod error;
mod identity;
mod message;
mod observe;
mod producer;
mod remoting;
mod route;
mod session;
mod sessions;
mod tasks;
mod telemetry;
mod wire;

pub use access::Access;
pub use admin::Admin;
pub use bytes::Bytes;
pub use check::{HalfMessage, Verdict};
pub use consumer::{SimpleConsumer, Subscription};
pub use delivery::Delivery;
pub use error::Error;
pub use message::{Message, Received};
pub use observe::{EndpointHealth, Observer};
pub use producer::{Half, Producer, Sent, TransactionalProducer};
