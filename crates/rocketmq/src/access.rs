//! Where the servers are and how one comes in: addresses, TLS, credentials, limits.

use crate::Error;
use crate::observe::{Nobody, Observer};
use crate::wire;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

const PORT: u16 = 8081;
const REQUEST_LIMIT: Duration = Duration::from_secs(3);
/// A day, in place of whatever is longer.
const LIMIT_MAX: Duration = Duration::from_secs(86_400);
const START_LIMIT: Duration = Duration::from_secs(10);

/// A proxy's gRPC port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Address {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

impl Address {
    pub fn of_wire(address: &wire::Address) -> Option<Self> {
        let port = u16::try_from(address.port).ok().filter(|port| *port > 0)?;
        (!address.host.is_empty()).then(|| Self { host: address.host.clone(), port })
    }
}

/// Whom TLS trusts.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The machine's authorities.
    System,
    /// The authorities of this PEM, and nobody else.
    Own(Arc<[u8]>),
}

#[derive(Clone)]
pub(crate) struct Credentials {
    pub access_key: String,
    secret_key: String,
}

impl Credentials {
    pub fn new(access_key: &str, secret_key: &str) -> Result<Self, Error> {
        // The key stands in a header, between a sign of equality and a comma.
        let fits = |c: char| c.is_ascii_graphic() && c != ',';
        if access_key.is_empty() || secret_key.is_empty() || !access_key.chars().all(fits) {
            let what = "an access key and its secret are not empty, and the key is of printable ASCII without a comma";
            return Err(Error::Illegal(what.to_owned()));
        }
        Ok(Self { access_key: access_key.to_owned(), secret_key: secret_key.to_owned() })
    }

    /// The HMAC-SHA1 of these bytes, one after the other: the protocol knows no other.
    pub fn mac<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let Ok(mac) = Hmac::<Sha1>::new_from_slice(self.secret_key.as_bytes()) else { return Vec::new() };
        parts.into_iter().fold(mac, |mac, part| mac.chain_update(part)).finalize().into_bytes().to_vec()
    }
}

/// The access point of a cluster: the gRPC ports of its proxies, and how one comes in.
///
/// ```
/// use rocketmq::Access;
/// use std::time::Duration;
///
/// let access = Access::new("rocketmq://127.0.0.1:8081")?.with_request_limit(Duration::from_secs(1));
/// let many = Access::new("rocketmqs://key:secret@a.example:8081,b.example:8081")?;
/// assert_eq!(many.to_string(), "rocketmqs://a.example:8081,b.example:8081");
/// # Ok::<(), rocketmq::Error>(())
/// ```
#[derive(Clone)]
pub struct Access {
    pub(crate) addresses: Vec<Address>,
    pub(crate) trust: Option<Trust>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) request_limit: Duration,
    pub(crate) start_limit: Duration,
    pub(crate) access_point_only: bool,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Access {
    /// `rocketmq://HOST[:PORT][,HOST[:PORT] …]`, `rocketmqs://` for TLS by the machine's authorities, `KEY:SECRET@` before the
    /// hosts, as they are, for signed requests. The port is 8081 if none is given.
    pub fn new(url: &str) -> Result<Self, Error> {
        let illegal = |what: &str| Error::Illegal(format!("{what}; an access point is rocketmq://HOST:PORT or rocketmqs://HOST:PORT"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| illegal("the URL has no scheme"))?;
        let trust = match scheme {
            "rocketmq" => None,
            "rocketmqs" => Some(Trust::System),
            other => return Err(illegal(&format!("{other}:// is no scheme of RocketMQ"))),
        };
        let (user, hosts) = match rest.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, rest),
        };
        let addresses =
            hosts.trim_end_matches('/').split(',').map(|host| address(host).ok_or_else(|| illegal(&format!("{host:?} is no HOST:PORT"))));
        let access = Self {
            addresses: addresses.collect::<Result<_, _>>()?,
            trust,
            credentials: None,
            request_limit: REQUEST_LIMIT,
            start_limit: START_LIMIT,
            access_point_only: false,
            observer: Arc::new(Nobody),
        };
        match user.map(|user| user.split_once(':')) {
            None => Ok(access),
            Some(Some((key, secret))) => access.with_credentials(key, secret),
            Some(None) => Err(illegal("before the @ stand KEY:SECRET")),
        }
    }

    /// Signs every request with this key and its secret.
    pub fn with_credentials(mut self, access_key: &str, secret_key: &str) -> Result<Self, Error> {
        self.credentials = Some(Credentials::new(access_key, secret_key)?);
        Ok(self)
    }

    /// Speaks TLS, whatever the URL says, and trusts the certificates of this PEM alone. A PEM without one is told at the start.
    pub fn with_ca(mut self, pem: &[u8]) -> Self {
        self.trust = Some(Trust::Own(pem.into()));
        self
    }

    /// How long one attempt of a request waits for its answer, and before it for an endpoint: 3 s if nothing else is said. How many
    /// attempts there are stands in the table of the crate's page; between them are 10 ms to 1 s, or what the server says.
    pub fn with_request_limit(mut self, limit: Duration) -> Self {
        self.request_limit = limit.min(LIMIT_MAX);
        self
    }

    /// How long a start waits for the first server: 10 s if nothing else is said. Each topic that it looks for comes on top.
    pub fn with_start_limit(mut self, limit: Duration) -> Self {
        self.start_limit = limit.min(LIMIT_MAX);
        self
    }

    /// Goes through the access point for everything, whatever addresses the servers name: for a tunnel, a forwarded port, a
    /// balancer of connections in front of proxies, behind which a commit is lost to check-back where the connection was made
    /// again. Wrong for balancers that spread the requests of a connection, and for several brokers that each have a proxy of their
    /// own (LOCAL mode): a proxy keeps what it knows of a client and its half messages to itself.
    pub fn through_access_point_only(mut self) -> Self {
        self.access_point_only = true;
        self
    }

    /// Who is told of what the client does.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    pub(crate) fn endpoints(&self) -> wire::Endpoints {
        let is_v4 = |address: &Address| address.host.parse::<Ipv4Addr>().is_ok();
        let is_v6 = |address: &Address| address.host.parse::<Ipv6Addr>().is_ok();
        let scheme = if self.addresses.iter().all(is_v4) {
            wire::address_scheme::IPV4
        } else if self.addresses.iter().all(is_v6) {
            wire::address_scheme::IPV6
        } else {
            wire::address_scheme::DOMAIN_NAME
        };
        let addresses = self.addresses.iter().map(|address| wire::Address { host: address.host.clone(), port: address.port.into() });
        wire::Endpoints { scheme, addresses: addresses.collect() }
    }
}

fn address(text: &str) -> Option<Address> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let port = match port {
        None => PORT,
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
    };
    (!host.is_empty() && host.chars().all(fits)).then(|| Address { host: host.to_owned(), port })
}

/// Without the secret.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.addresses.iter().map(Address::to_string).collect();
        write!(f, "rocketmq{}://{}", if self.trust.is_some() { "s" } else { "" }, hosts.join(","))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_strictly_and_shown_without_the_secret() {
        for (url, shown) in [
            ("rocketmq://127.0.0.1:8081", "rocketmq://127.0.0.1:8081"),
            ("rocketmq://broker", "rocketmq://broker:8081"),
            ("rocketmq://a:1,b:2/", "rocketmq://a:1,b:2"),
            ("rocketmq://[::1]:9", "rocketmq://[::1]:9"),
            ("rocketmq://[::1]", "rocketmq://[::1]:8081"),
            ("rocketmqs://k:s3cret@a", "rocketmqs://a:8081"),
        ] {
            let access = Access::new(url).expect(url);
            assert_eq!(access.to_string(), shown);
            assert!(!format!("{access:?}").contains("s3cret"));
        }
        for url in [
            "",
            "a:1",
            "http://a",
            "rocketmq://",
            "rocketmq://a:",
            "rocketmq://a:0",
            "rocketmq://a:70000",
            "rocketmq://a:1,,b:2",
            "rocketmq://a b",
            "rocketmq://k@a",
            "rocketmq://:s@a",
            "rocketmq://k,l:s@a",
            "rocketmq://[x]:1",
            "rocketmq://a/b",
        ] {
            assert!(matches!(Access::new(url), Err(Error::Illegal(_))), "{url:?}");
        }
    }

    #[test]
    fn the_scheme_of_addresses_is_told() {
        let scheme = |url: &str| Access::new(url).expect("legal").endpoints().scheme;
        assert_eq!(scheme("rocketmq://127.0.0.1,10.0.0.1"), wire::address_scheme::IPV4);
        assert_eq!(scheme("rocketmq://[::1]"), wire::address_scheme::IPV6);
        assert_eq!(scheme("rocketmq://127.0.0.1,broker"), wire::address_scheme::DOMAIN_NAME);
    }
}
