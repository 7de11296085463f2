//! A client's sessions by endpoint: opened when somebody first asks for one, let go of when no route has led there for long.

use crate::Error;
use crate::access::Address;
use crate::session::Session;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A broker that died leaves the routes at once, and is to be answered within a second of its return.
const KEPT_FOR: Duration = Duration::from_secs(600);

#[derive(Default)]
pub struct Sessions {
    kept: Mutex<HashMap<Address, Kept>>,
}

struct Kept {
    session: Arc<Session>,
    /// When a route last led there.
    routed_at: Instant,
}

impl Sessions {
    /// The session of an endpoint; made by the first who asks, and `opened` is told of it.
    pub fn of(
        &self,
        address: &Address,
        make: impl FnOnce() -> Result<Session, Error>,
        opened: impl FnOnce(&Arc<Session>),
    ) -> Result<Arc<Session>, Error> {
        let mut kept = self.kept();
        if let Some(kept) = kept.get(address) {
            return Ok(kept.session.clone());
        }
        let session = Arc::new(make()?);
        kept.insert(address.clone(), Kept { session: session.clone(), routed_at: Instant::now() });
        opened(&session);
        Ok(session)
    }

    pub fn all(&self) -> Vec<Arc<Session>> {
        self.kept().values().map(|kept| kept.session.clone()).collect()
    }

    pub fn up(&self) -> Vec<Arc<Session>> {
        self.kept().values().filter(|kept| kept.session.is_up()).map(|kept| kept.session.clone()).collect()
    }

    /// Takes out those to which none of these has led for long.
    pub fn retire(&self, routed: &HashSet<Address>) -> Vec<Arc<Session>> {
        let now = Instant::now();
        let mut kept = self.kept();
        for (_, kept) in kept.iter_mut().filter(|(address, _)| routed.contains(*address)) {
            kept.routed_at = now;
        }
        kept.extract_if(|_, kept| now.duration_since(kept.routed_at) >= KEPT_FOR).map(|(_, kept)| kept.session).collect()
    }

    pub fn take_all(&self) -> Vec<Arc<Session>> {
        self.kept().drain().map(|(_, kept)| kept.session).collect()
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Address, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::identity::Identity;

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_is_opened_once_and_let_go_of_when_no_route_has_led_there_for_long() {
        let access = Access::new("rocketmq://127.0.0.1:1").expect("a URL");
        let identity = Arc::new(Identity::new("producer", None).expect("an identity"));
        let sessions = Sessions::default();
        let opened = std::cell::Cell::new(0);
        let of = |host: &str| {
            let address = Address { host: host.to_owned(), port: 8081 };
            let make = || Session::new(address.clone(), &access, identity.clone());
            sessions.of(&address, make, |_| opened.set(opened.get() + 1)).expect("a session");
            address
        };
        let (stays, leaves) = (of("stays"), of("leaves"));
        of("stays");
        assert_eq!((opened.get(), sessions.all().len()), (2, 2));
        let routed = HashSet::from([stays.clone()]);
        assert!(sessions.retire(&routed).is_empty(), "a broker that died may be back in a moment");
        tokio::time::advance(KEPT_FOR / 2).await;
        assert!(sessions.retire(&HashSet::from([stays, leaves.clone()])).is_empty());
        tokio::time::advance(KEPT_FOR - Duration::from_secs(1)).await;
        assert!(sessions.retire(&routed).is_empty(), "it was seen half a time ago");
        tokio::time::advance(Duration::from_secs(1)).await;
        let gone = sessions.retire(&routed);
        assert!(gone.len() == 1 && gone[0].address == leaves);
        assert_eq!(sessions.all().len(), 1);
        of("leaves");
        assert_eq!(opened.get(), 3, "who is asked for again is opened again");
    }
}
