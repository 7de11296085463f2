//! Which queues a topic has and behind which endpoints they lie: asked once, read again now and then, and kept while nobody
//! answers.

use crate::Error;
use crate::access::Address;
use crate::client::Client;
use crate::session;
use crate::wire::{self, Resource, code, permission};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// For how long "there is no such topic" is believed. A proxy believes its own for twenty seconds.
const NO_TOPIC_FOR: Duration = Duration::from_secs(1);

/// A queue of a topic.
#[derive(Clone, PartialEq, Debug)]
pub struct Queue {
    pub wire: wire::MessageQueue,
    /// The endpoints that lead to its broker.
    pub addresses: Vec<Address>,
    pub broker: String,
}

impl Queue {
    /// Whether it takes messages of this kind alone. Who does not say is believed to.
    pub fn takes_only(&self, message_type: i32) -> bool {
        self.wire.accept_message_types.iter().all(|accepted| *accepted == message_type)
    }

    /// Whether it says so.
    pub fn says_only(&self, message_type: i32) -> bool {
        self.wire.accept_message_types == [message_type]
    }
}

/// The queues of a topic that may be used.
#[derive(Default, PartialEq, Debug)]
pub struct Route {
    pub writable: Vec<Queue>,
    /// One of each broker: a receive takes from all queues of its queue's broker.
    pub readable: Vec<Queue>,
    turn: Turn,
}

/// Whose turn it is. Two routes are the same whoever's it is.
#[derive(Default, Debug)]
struct Turn(AtomicUsize);

impl PartialEq for Turn {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Route {
    /// `only`: the addresses to use instead of those that the queues name.
    fn of(queues: Vec<wire::MessageQueue>, only: Option<&[Address]>) -> Self {
        let mut route = Self::default();
        for wire in queues {
            let Some(broker) = &wire.broker else { continue };
            // Others than the master are read by nobody but their master.
            if broker.id != 0 {
                continue;
            }
            let named = broker.endpoints.iter().flat_map(|endpoints| &endpoints.addresses).filter_map(Address::of_wire);
            let addresses = only.map_or_else(|| named.collect(), <[Address]>::to_vec);
            let queue = Queue { addresses, broker: broker.name.clone(), wire };
            let may = |what| queue.wire.permission == permission::READ_WRITE || queue.wire.permission == what;
            if may(permission::READ) && !route.readable.iter().any(|one| one.broker == queue.broker) {
                route.readable.push(queue.clone());
            }
            if may(permission::WRITE) {
                route.writable.push(queue);
            }
        }
        route
    }

    pub fn next_turn(&self) -> usize {
        self.turn.0.fetch_add(1, Ordering::Relaxed)
    }

    /// The queue of a message group: always the same while the queues are the same.
    pub fn queue_of(&self, group: &str) -> Option<&Queue> {
        // FNV-1a. It must not change from one version or process to the next.
        let hash = group.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        self.writable.get((hash % self.writable.len().max(1) as u64) as usize)
    }
}

#[derive(Clone)]
enum Known {
    Route(Arc<Route>),
    NoTopic(Instant, Error),
}

#[derive(Default)]
pub struct Routes {
    known: Mutex<HashMap<String, Known>>,
    /// One asks; who comes meanwhile finds the answer.
    asking: tokio::sync::Mutex<()>,
}

impl Routes {
    /// A topic's route.
    pub async fn of(&self, client: &Arc<Client>, topic: &str) -> Result<Arc<Route>, Error> {
        if let Some(known) = self.look(topic) {
            return known;
        }
        // Who waits for a server does not hold up the others.
        client.any_up(client.access.request_limit).await?;
        let Ok(_turn) = timeout(client.access.request_limit, self.asking.lock()).await else {
            return Err(Error::NotSent(format!("the route of {topic} is not known: others are asked for, and not answered")));
        };
        match self.look(topic) {
            Some(known) => known,
            None => self.ask(client, topic).await,
        }
    }

    fn look(&self, topic: &str) -> Option<Result<Arc<Route>, Error>> {
        match self.known().get(topic)? {
            Known::Route(route) => Some(Ok(route.clone())),
            Known::NoTopic(since, error) => (since.elapsed() < NO_TOPIC_FOR).then(|| Err(error.clone())),
        }
    }

    async fn ask(&self, client: &Arc<Client>, topic: &str) -> Result<Arc<Route>, Error> {
        let session = client.any_up(client.access.request_limit).await?;
        let request = wire::QueryRouteRequest { topic: Some(Resource::named(topic)), endpoints: Some(client.access.endpoints()) };
        let asked: Result<wire::QueryRouteResponse, _> = session.ask(&session::QUERY_ROUTE, request, client.access.request_limit).await;
        match asked {
            Ok(answer) => {
                let only = client.access.access_point_only.then_some(client.access.addresses.as_slice());
                Ok(self.note(topic, Route::of(answer.message_queues, only)))
            }
            Err(error) if error.code() == Some(code::TOPIC_NOT_FOUND.into()) => {
                self.note_missing(topic, &error);
                Err(error)
            }
            // To ask is not to do: it has no effect that could be unknown.
            Err(Error::Unknown { what, .. }) => Err(Error::NotSent(format!("the route of {topic} is not known: {what}"))),
            Err(error) => Err(error),
        }
    }

    /// What a server says; the route that is known if it is the same, so that its turn goes on.
    fn note(&self, topic: &str, route: Route) -> Arc<Route> {
        let mut known = self.known();
        if let Some(Known::Route(old)) = known.get(topic)
            && **old == route
        {
            return old.clone();
        }
        let route = Arc::new(route);
        known.insert(topic.to_owned(), Known::Route(route.clone()));
        route
    }

    /// A server says that there is no such topic: believed for a moment, if no route is known.
    fn note_missing(&self, topic: &str, error: &Error) {
        let mut known = self.known();
        if !matches!(known.get(topic), Some(Known::Route(_))) {
            known.insert(topic.to_owned(), Known::NoTopic(Instant::now(), error.clone()));
        }
    }

    /// Asks anew, since a server says that there is no such topic. It may be a name server that has just been started: what is
    /// known stays until there is another route.
    pub async fn doubt(&self, client: &Arc<Client>, topic: &str) {
        if let Err(error) = self.ask(client, topic).await {
            tracing::debug!(topic, %error, "no other route is known");
        }
    }

    /// Reads all routes again. While nobody answers, what is known stays.
    pub async fn read_again(&self, client: &Arc<Client>) {
        self.known().retain(|_, known| matches!(known, Known::Route(_)));
        let topics: Vec<String> = self.known().keys().cloned().collect();
        for topic in topics {
            if let Err(error) = self.ask(client, &topic).await {
                tracing::debug!(topic, %error, "the route was not read again");
            }
        }
    }

    /// Whereto the routes lead.
    pub fn addresses(&self) -> HashSet<Address> {
        let known = self.known();
        let routes = known.values().filter_map(|known| match known {
            Known::Route(route) => Some(route),
            Known::NoTopic(..) => None,
        });
        routes.flat_map(|route| route.writable.iter().chain(&route.readable)).flat_map(|queue| queue.addresses.clone()).collect()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(id: i32, permission: i32, broker: &str, broker_id: i32) -> wire::MessageQueue {
        let address = wire::Address { host: broker.to_owned(), port: 8081 };
        let endpoints = Some(wire::Endpoints { scheme: 3, addresses: vec![address] });
        let broker = Some(wire::Broker { name: broker.to_owned(), id: broker_id, endpoints });
        wire::MessageQueue { id, permission, broker, ..wire::MessageQueue::default() }
    }

    #[test]
    fn only_masters_and_what_is_permitted_are_used_and_a_broker_is_read_once() {
        let queues = vec![
            queue(0, permission::READ_WRITE, "a", 0),
            queue(1, permission::WRITE, "a", 0),
            queue(0, permission::READ, "b", 0),
            queue(1, permission::READ, "b", 0),
            queue(0, permission::READ_WRITE, "c", 1),
            queue(0, 1, "d", 0),
            queue(0, 77, "e", 0),
            wire::MessageQueue::default(),
        ];
        let route = Route::of(queues.clone(), None);
        let of = |queues: &[Queue]| queues.iter().map(|queue| (queue.broker.clone(), queue.wire.id)).collect::<Vec<_>>();
        assert_eq!(of(&route.writable), [("a".to_owned(), 0), ("a".to_owned(), 1)]);
        assert_eq!(of(&route.readable), [("a".to_owned(), 0), ("b".to_owned(), 0)]);
        assert_eq!(route.writable[0].addresses[0].to_string(), "a:8081");
        let only = [Address { host: "tunnel".to_owned(), port: 1 }];
        assert_eq!(Route::of(queues, Some(&only)).writable[1].addresses, only);
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_route_stays_and_no_topic_is_believed_for_a_moment() {
        let routes = Routes::default();
        let missing = Error::Refused { code: code::TOPIC_NOT_FOUND.into(), what: "no topic".to_owned() };
        let of = |ids: std::ops::Range<i32>| Route::of(ids.map(|id| queue(id, permission::READ_WRITE, "a", 0)).collect(), None);
        routes.note_missing("t", &missing);
        assert_eq!(routes.look("t"), Some(Err(missing.clone())));
        tokio::time::advance(NO_TOPIC_FOR).await;
        assert_eq!(routes.look("t"), None, "it may be there by now");
        let first = routes.note("t", of(0..2));
        routes.note_missing("t", &missing);
        assert_eq!(routes.look("t"), Some(Ok(first.clone())), "a name server that has just been started knows none");
        assert!(Arc::ptr_eq(&routes.note("t", of(0..2)), &first), "the same route goes on with its turn");
        assert!(!Arc::ptr_eq(&routes.note("t", of(0..4)), &first));
        assert_eq!(routes.look("t").and_then(Result::ok).map(|route| route.writable.len()), Some(4));
        assert_eq!(routes.addresses(), HashSet::from([Address { host: "a".to_owned(), port: 8081 }]));
    }

    #[test]
    fn a_message_group_keeps_its_queue() {
        let route = Route::of((0..8).map(|id| queue(id, permission::READ_WRITE, "a", 0)).collect(), None);
        let of = |group: &str| route.queue_of(group).expect("there are queues").wire.id;
        assert_eq!(of("sku-1"), of("sku-1"));
        let used: std::collections::HashSet<i32> = (0..100).map(|n| of(&format!("sku-{n}"))).collect();
        assert_eq!(used.len(), 8);
        assert_eq!(Route::default().queue_of("sku-1"), None);
    }
}
