//! Hooks for metrics, and what a client says of its health.

use crate::Error;
use std::time::Duration;

/// Told of what a client does. Every method has an empty default; none may block.
pub trait Observer: Send + Sync + 'static {
    /// A request ended: `method` as the protocol names it (`SendMessage`, `AckMessage` …), how, and after how long. Once an
    /// attempt, heartbeats too; of several messages in one request the first that failed. A call that found no endpoint made no
    /// request.
    fn request(&self, method: &'static str, error: Option<&Error>, took: Duration) {
        let _ = (method, error, took);
    }

    /// The telemetry stream to an endpoint came up or went down. While it is down the broker cannot ask about half messages.
    fn telemetry(&self, endpoint: &str, up: bool) {
        let _ = (endpoint, up);
    }

    /// The broker asked about a half message, and this was found; `None`: the checker panicked, took too long, or there were
    /// too many at once. The broker asks again, if that was not its last question.
    fn checked(&self, verdict: Option<crate::Verdict>) {
        let _ = verdict;
    }
}

pub(crate) struct Nobody;

impl Observer for Nobody {}

/// How an endpoint is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct EndpointHealth {
    /// `host:port`.
    pub endpoint: String,
    /// Whether its telemetry stream is open and the server has taken our settings.
    pub up: bool,
    /// Why not, if there is more to say than "not yet".
    pub error: Option<Error>,
}
