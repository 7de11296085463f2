//! Receiving, message by message in the receiver's hands: acknowledged, kept for longer, put to the dead letters.

use crate::access::Address;
use crate::client::{Client, Phase, Role, Running};
use crate::delivery::{Delivery, read};
use crate::error::of_status;
use crate::identity::message_id;
use crate::message::legal_name;
use crate::session;
use crate::wire::{self, AckMessageEntry, AckMessageRequest, AckMessageResponse, Resource, StatusResponse, code, filter_type};
use crate::{Access, EndpointHealth, Error};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

/// The most that a proxy gives at once.
const RECEIVE_MAX: usize = 32;
/// Beyond its poll, for the way there and back.
const RECEIVE_GRACE: Duration = Duration::from_secs(5);
/// What a proxy makes of a poll.
const LONG_POLLS: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(20);
/// A receive that fails takes this long at least.
const LEAST_FAILURE: Duration = Duration::from_secs(1);
const RECEIVES_MAX: u32 = 1 << 20;

/// A topic, and which of its messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    topic: String,
    filter: i32,
    expression: String,
}

impl Subscription {
    /// All messages of a topic.
    pub fn all(topic: impl Into<String>) -> Self {
        Self::tagged(topic, "*")
    }

    /// Those with one of these tags: `a || b`. Others are consumed for the group all the same, and never come.
    pub fn tagged(topic: impl Into<String>, tags: impl Into<String>) -> Self {
        Self { topic: topic.into(), filter: filter_type::TAG, expression: tags.into() }
    }

    /// Those whose properties fit: `price > 10 and region = 'north'`. The broker must allow it (`enablePropertyFilter`).
    pub fn sql(topic: impl Into<String>, condition: impl Into<String>) -> Self {
        Self { topic: topic.into(), filter: filter_type::SQL, expression: condition.into() }
    }

    /// What no message fits would be consumed, all of it, and never seen.
    fn check(&self) -> Result<(), Error> {
        if self.expression.trim().is_empty() {
            return Err(Error::Illegal(format!("the filter of {} is empty; all messages are *", self.topic)));
        }
        let is_tag = |tag: &str| !tag.is_empty() && !tag.contains(|c: char| c == '|' || c.is_whitespace());
        if self.filter == filter_type::TAG && !self.expression.split("||").all(|tag| is_tag(tag.trim())) {
            return Err(Error::Illegal(format!("the filter {:?} of {}; tags are separated by ||", self.expression, self.topic)));
        }
        Ok(())
    }

    fn expression(&self) -> wire::FilterExpression {
        wire::FilterExpression { r#type: self.filter, expression: self.expression.clone() }
    }
}

/// Receives as a member of a group: what one member has taken, no other sees until its time is over. All members subscribe to the
/// same. Every method takes `&self`: share it in an `Arc`, and let several tasks receive.
pub struct SimpleConsumer {
    running: Running,
    group: String,
    subscriptions: Vec<Subscription>,
    long_poll: Duration,
    receives: Semaphore,
    unanswered: Unanswered,
}

impl SimpleConsumer {
    /// Connects as a member of a group. `long_poll`: how long a receive waits where there is nothing, 5 to 20 s.
    ///
    /// A group that has never received may begin at the end of an older topic: see the crate's page.
    pub async fn start(access: Access, group: &str, subscriptions: &[Subscription], long_poll: Duration) -> Result<Self, Error> {
        legal_name("a group", group)?;
        if !LONG_POLLS.contains(&long_poll) {
            return Err(Error::Illegal(format!("a long poll of {long_poll:?}; proxies take {LONG_POLLS:?}")));
        }
        let entries = subscriptions.iter().map(|one| {
            legal_name("a topic", &one.topic)?;
            one.check()?;
            Ok(wire::SubscriptionEntry { topic: Some(Resource::named(&one.topic)), expression: Some(one.expression()) })
        });
        let twice = |(n, one): (usize, &Subscription)| subscriptions[..n].iter().any(|other| other.topic == one.topic);
        if subscriptions.is_empty() || subscriptions.iter().enumerate().any(twice) {
            return Err(Error::Illegal("a consumer has at least one subscription, and one of each topic".to_owned()));
        }
        let role = Role::Consumer { group: group.to_owned(), subscriptions: entries.collect::<Result<_, _>>()?, long_poll };
        let running = Client::start(access, role).await?;
        for one in subscriptions {
            running.client().routes.of(running.client(), &one.topic).await?;
        }
        Ok(Self {
            running,
            group: group.to_owned(),
            subscriptions: subscriptions.to_vec(),
            long_poll,
            receives: Semaphore::new(RECEIVES_MAX as usize),
            unanswered: Unanswered::default(),
        })
    }

    /// Receives at most `max` messages (1 to 32) of a topic, from one broker, in turn; waits for the first one as long as its
    /// poll lasts. They are hidden from others for `invisible` (proxies take 10 s to 12 h): acknowledge them within it.
    ///
    /// Empty if nothing came within the poll. Let at least as many receives run as the topic has brokers
    /// ([`SimpleConsumer::brokers`]), or the poll of an idle one holds up the others; more for throughput. A receive that is
    /// dropped while it waits, as by `select!`, may lose what the broker sends it until the time is over. A message that cannot be
    /// read (a wrong checksum) is logged and left, and with it what comes after it in its message group: it comes again, and goes to
    /// the dead letters in the end.
    #[tracing::instrument(level = "debug", skip(self))]
    pub async fn receive(&self, topic: &str, max: usize, invisible: Duration) -> Result<Vec<Delivery>, Error> {
        let Some(subscription) = self.subscriptions.iter().find(|one| one.topic == topic) else {
            return Err(Error::Illegal(format!("{topic} is not among the topics that this consumer subscribed to")));
        };
        if !(1..=RECEIVE_MAX).contains(&max) {
            return Err(Error::Illegal(format!("{max} messages; a receive takes 1 to {RECEIVE_MAX}")));
        }
        let Ok(_receiving) = self.receives.acquire().await else { return Err(Error::ShutDown) };
        let since = Instant::now();
        let received = self.receive_once(subscription, max, invisible).await;
        if received.is_err() && !self.running.client().is_ending() {
            // Who asks again and again while nobody can answer does not spin.
            drop(timeout_at(since + LEAST_FAILURE, self.running.client().reaches(Phase::Closes)).await);
        }
        received
    }

    async fn receive_once(&self, subscription: &Subscription, max: usize, invisible: Duration) -> Result<Vec<Delivery>, Error> {
        let (client, topic) = (self.running.client(), subscription.topic.as_str());
        let route = client.routes.of(client, topic).await?;
        let turn = route.next_turn();
        let Some(queue) = client.next_of(&route.readable, turn) else {
            return Err(Error::NotSent(format!("{topic} has no queue that may be read now")));
        };
        let session = client.session_of(queue, turn, self.long_poll).await?;
        let attempt = Attempt::of(&self.unanswered, topic, &queue.broker);
        let request = wire::ReceiveMessageRequest {
            group: client.group(),
            message_queue: Some(queue.wire.clone()),
            filter_expression: Some(subscription.expression()),
            batch_size: max as i32,
            invisible_duration: Some(wire::duration(invisible)),
            auto_renew: false,
            long_polling_timeout: Some(wire::duration(self.long_poll)),
            attempt_id: Some(attempt.id.clone()),
        };
        let received = session.receive(request, self.long_poll + RECEIVE_GRACE).await;
        if received.is_ok() {
            attempt.answered();
        }
        let deliveries = received.and_then(|parts| read(parts, &queue.addresses));
        client.note(&queue.broker, &deliveries);
        if deliveries.as_ref().is_err_and(|error| error.code() == Some(code::TOPIC_NOT_FOUND.into())) {
            client.routes.doubt(client, topic).await;
        }
        deliveries
    }

    /// On how many brokers a topic lies.
    pub async fn brokers(&self, topic: &str) -> Result<usize, Error> {
        let client = self.running.client();
        Ok(client.routes.of(client, topic).await?.readable.len())
    }

    /// Acknowledges messages: the group does not see them again. The results stand in the order of the deliveries.
    ///
    /// `Ok` does not prove that it is gone: with a handle that was replaced a server says OK and delivers it again. After its time
    /// it comes again whatever the server says.
    #[must_use = "what was not acknowledged comes again"]
    #[tracing::instrument(level = "debug", skip_all, fields(deliveries = deliveries.len()))]
    pub async fn ack(&self, deliveries: &[Delivery]) -> Vec<Result<(), Error>> {
        let mut results = vec![Err(Error::unknown("the server did not say")); deliveries.len()];
        let mut sheaves: HashMap<(&str, &[Address]), Vec<usize>> = HashMap::new();
        for (place, delivery) in deliveries.iter().enumerate() {
            sheaves.entry((delivery.message.topic.as_str(), &delivery.addresses)).or_default().push(place);
        }
        for ((topic, addresses), places) in sheaves {
            let sheaf: Vec<&Delivery> = places.iter().map(|place| &deliveries[*place]).collect();
            for (place, result) in places.iter().zip(self.ack_sheaf(topic, addresses, &sheaf).await) {
                results[*place] = result;
            }
        }
        results
    }

    async fn ack_sheaf(&self, topic: &str, addresses: &[Address], sheaf: &[&Delivery]) -> Vec<Result<(), Error>> {
        let client = self.running.client();
        let entry = |delivery: &&Delivery| AckMessageEntry {
            message_id: delivery.message.message_id.clone(),
            receipt_handle: delivery.handle.clone(),
        };
        let request =
            AckMessageRequest { group: client.group(), topic: Some(Resource::named(topic)), entries: sheaf.iter().map(entry).collect() };
        let again = || async {
            let session = client.best_of(addresses, 0)?;
            let answer: AckMessageResponse = session.call(&session::ACK_MESSAGE, request.clone(), client.access.request_limit).await?;
            if answer.entries.is_empty() {
                of_status(answer.status.as_ref())?;
            }
            Ok(answer)
        };
        let answer = match client.try_again(Error::is_passing, again).await {
            Ok(answer) => answer,
            Err(error) => return vec![Err(error); sheaf.len()],
        };
        if answer.entries.is_empty() {
            return vec![Ok(()); sheaf.len()];
        }
        let said: HashMap<&str, _> = answer.entries.iter().map(|entry| (entry.receipt_handle.as_str(), entry.status.as_ref())).collect();
        sheaf.iter().map(|delivery| of_status(said.get(delivery.handle.as_str()).copied().flatten())).collect()
    }

    /// Hides a message for this long from now on; under a second it comes again as soon as the broker looks, which takes it some
    /// seconds. The delivery's handle is replaced: clones that were made before can acknowledge nothing any more, nor can this one
    /// after an [`Error::Unknown`], or a call that was dropped: then it comes again.
    #[tracing::instrument(level = "debug", skip_all, fields(message_id = delivery.message.message_id))]
    pub async fn change_invisible(&self, delivery: &mut Delivery, invisible: Duration) -> Result<(), Error> {
        let client = self.running.client();
        let request = wire::ChangeInvisibleDurationRequest {
            group: client.group(),
            topic: Some(Resource::named(&delivery.message.topic)),
            receipt_handle: delivery.handle.clone(),
            invisible_duration: Some(wire::duration(invisible)),
            message_id: delivery.message.message_id.clone(),
        };
        let again = || async {
            let session = client.best_of(&delivery.addresses, 0)?;
            session.ask(&session::CHANGE_INVISIBLE_DURATION, request.clone(), client.access.request_limit).await
        };
        let answer: wire::ChangeInvisibleDurationResponse = client.try_again(Error::is_passing, again).await?;
        if !answer.receipt_handle.is_empty() {
            delivery.handle = answer.receipt_handle;
        }
        Ok(())
    }

    /// Puts a message to its group's dead letters, from which a consumer of another group can receive it: the topic `%DLQ%` and the
    /// group's name, which is there from the first one on.
    #[tracing::instrument(level = "debug", skip_all, fields(message_id = delivery.message.message_id))]
    pub async fn forward_to_dead_letters(&self, delivery: &Delivery) -> Result<(), Error> {
        let client = self.running.client();
        let attempt = i32::try_from(delivery.attempt).unwrap_or(i32::MAX);
        let request = wire::ForwardMessageToDeadLetterQueueRequest {
            group: client.group(),
            topic: Some(Resource::named(&delivery.message.topic)),
            receipt_handle: delivery.handle.clone(),
            message_id: delivery.message.message_id.clone(),
            delivery_attempt: attempt,
            max_delivery_attempts: attempt,
        };
        let again = || async {
            let session = client.best_of(&delivery.addresses, 0)?;
            session.ask(&session::FORWARD_TO_DEAD_LETTERS, request.clone(), client.access.request_limit).await
        };
        let _: StatusResponse = client.try_again(Error::is_passing, again).await?;
        Ok(())
    }

    /// The group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// How its endpoints are.
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.running.client().health()
    }

    /// Begins no more receives, waits for those that run (as long as a poll lasts: what a broker sends to nobody is hidden from
    /// the others), and says goodbye to the servers. Acknowledge first: afterwards every call is [`Error::ShutDown`], and what is
    /// still in somebody's hands comes again.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let longest = 2 * self.long_poll + RECEIVE_GRACE + LEAST_FAILURE;
        let all = timeout(longest, self.receives.acquire_many(RECEIVES_MAX)).await;
        if all.is_err() {
            tracing::warn!(group = self.group, "receives that still run are not waited for any longer");
        }
        // While all is held: who waited behind it finds it closed.
        self.receives.close();
        drop(all);
        self.running.end().await
    }
}

/// Receives that were not answered, by topic and broker: a broker that keeps an order lets the same attempt in again.
type Unanswered = Mutex<HashMap<(String, String), Vec<String>>>;

/// The attempt of a receive. Whatever ends it without an answer, it is the next one's.
struct Attempt<'a> {
    unanswered: &'a Unanswered,
    of: (String, String),
    id: String,
}

impl<'a> Attempt<'a> {
    fn of(unanswered: &'a Unanswered, topic: &str, broker: &str) -> Self {
        let of = (topic.to_owned(), broker.to_owned());
        let earlier = unanswered.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&of).and_then(Vec::pop);
        Self { unanswered, of, id: earlier.unwrap_or_else(message_id) }
    }

    fn answered(mut self) {
        self.id.clear();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.id.is_empty() {
            let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
            unanswered.entry(self.of.clone()).or_default().push(std::mem::take(&mut self.id));
        }
    }
}
