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
//! let consumer = SimpleConsumer::start(access.clone(), "billing", &[Subscription::all("orders")], Duration::from_secs(10)).await?;
//! let producer = Producer::start(access, &["orders"]).await?;
//! producer.send(&Message::new("orders", "one more").with_key("order-1")).await?;
//!
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
//! # enum Payment { Paid, Cancelled }
//! # async fn look_up(_: &str) -> Result<Option<Payment>, ()> { Ok(None) }
//! # enum Outcome { Paid, Declined, NotKnown }
//! # async fn pay(_: &str) -> Outcome { Outcome::NotKnown }
//! # async fn example() -> Result<(), rocketmq::Error> {
//! let checker = |half: HalfMessage| async move {
//!     match look_up(half.message.keys.first().map_or("", String::as_str)).await {
//!         Ok(Some(Payment::Paid)) => Verdict::Commit,
//!         // Stored, so that it cannot be paid any more.
//!         Ok(Some(Payment::Cancelled)) => Verdict::Rollback,
//!         // No record is no "no": the payment may be on its way. The broker asks again.
//!         Ok(None) | Err(_) => Verdict::Unknown,
//!     }
//! };
//! let access = Access::new("rocketmq://127.0.0.1:8081")?;
//! let producer = TransactionalProducer::start(access, &["payments"], checker).await?;
//! let half = producer.prepare(&Message::new("payments", "paid").with_key("order-1")).await?;
//! let told = match pay("order-1").await {
//!     Outcome::Paid => half.commit().await,
//!     Outcome::Declined => half.rollback().await,
//!     // Whoever does not know says nothing.
//!     Outcome::NotKnown => return Ok(()),
//! };
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
//! - **At least once, of what the broker still has.** A message may arrive more than once: after a lost answer, after a crash of the
//!   broker (what was settled or acknowledged just before it may be forgotten), when its invisible time ran out. Give it a key of
//!   your own and look that up. It may not arrive at all where a machine lost its power under `flushDiskType=ASYNC_FLUSH` (the
//!   default), a master was replaced under `brokerRole=ASYNC_MASTER`, `fileReservedTime` was over, or the deliveries of its group.
//! - **A commit is a hint.** A proxy answers OK before its broker has it. Only the consumer knows that a message is there.
//! - **Check-back asks anybody** who declared the topic, so every one of them must be able to answer for every half message of
//!   it, from what is stored and not from memory.
//! - **It asks `transactionCheckMax` times at most** (15 by default, `transactionCheckInterval` apart, 30 s by default). Every
//!   question counts: those that nobody was there for, those answered [`Verdict::Unknown`], those whose checker panicked. After the
//!   last one the message goes to the topic `TRANS_CHECK_MAX_TIME_TOPIC` and is never delivered: let interval × number be longer than any outage.
//! - **A topic is there when the proxies say so.** One that was asked too early, or whose name server has just been started, says
//!   for twenty seconds more that there is none.
//! - **A new group begins at the end** of a topic whose first messages are not in the broker's memory any more, each broker's part
//!   by itself when it is first received from; starting a consumer sets no position. Where a group must miss nothing, let it receive
//!   from each broker ([`SimpleConsumer::brokers`] receives) before the first message.
//! - **All members of a group subscribe to the same.** What the filter of the member that receives leaves out is consumed for the whole
//!   group, and does not come again when the filter is widened.
//! - **An order is kept** within a message group while the topic's queues stay the same, all its messages come from one client, each
//!   sent when the one before it was `Ok`, and the consuming group is ordered ([`Admin::create_group`]).
//!
//! # When servers are away
//!
//! A client keeps a telemetry stream to every endpoint, and opens it again after 0.1 to 1 s, or 10 s where it was refused. By it the
//! broker asks about half messages and knows who receives, so while none is up, sends, half messages and receives wait for it within
//! their limit and are then [`Error::NotSent`]; where it was refused they are [`Error::Refused`] at once. Settling and acknowledging do
//! not wait. Endpoints that did not answer are passed over for three seconds if there are others.
//!
//! | call | attempts | each waits for an endpoint, then for an answer |
//! |---|---|---|
//! | send, recall | 3, or what the server's settings say | request limit, request limit |
//! | prepare | the same, but none after an unknown outcome | request limit, request limit |
//! | commit, rollback | 1 | –, request limit |
//! | receive | 1; a failure takes 1 s at least | its poll, its poll and 5 s |
//! | ack, change of the invisible time, dead letter | 3 | –, request limit |
//!
//! A topic's first route takes up to four request limits more. For a limit of your own wrap the call in a timeout: what was cut off has
//! an unknown outcome.
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
