//! What is known of a request that did not succeed.

use crate::wire::{Status, code};
use std::error::Error as _;
use std::fmt;

/// Why a request did not succeed, and what is known of its effect. Common ones say what to do next.
///
/// | error | what to do |
/// |---|---|
/// | [`Error::Illegal`] | mend the program; the same request fails again |
/// | [`Error::ShutDown`] | stop |
/// | [`Error::NotSent`] | try again after a pause |
/// | [`Error::Refused`] | as the code says; 42900 passes, 40402 for twenty seconds after a topic was made |
/// | [`Error::Unknown`] | try again only where twice does no harm |
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The request is not legal; it was not sent.
    Illegal(String),
    /// This client was shut down: the request had no effect.
    ShutDown,
    /// The server was not reached: the request had no effect.
    NotSent(String),
    /// The request was sent, and whether it had its effect is not known: no answer came, or one that does not say.
    Unknown {
        /// The server's code, if it answered with one that does not rule out an effect: 50000 and above but for those that say
        /// "not supported", 40800, any that this client does not know; 1 of the remoting protocol.
        code: Option<i64>,
        /// What was seen.
        what: String,
    },
    /// The server answered and refused: the request had no effect.
    Refused {
        /// The server's own code: five digits of the v2 protocol, up to four of the remoting protocol ([`crate::Admin`]),
        /// 1 to 16 of gRPC itself.
        code: i64,
        /// Its words, and ours where we know more.
        what: String,
    },
}

impl Error {
    /// Whether the request surely had no effect.
    pub fn had_no_effect(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }

    /// The server's code, if it gave one.
    pub fn code(&self) -> Option<i64> {
        match self {
            Self::Illegal(_) | Self::ShutDown | Self::NotSent(_) => None,
            Self::Unknown { code, .. } => *code,
            Self::Refused { code, .. } => Some(*code),
        }
    }

    /// This error, after another attempt left its own outcome unknown.
    pub(crate) fn after(self, doubt: Option<Self>) -> Self {
        match doubt {
            Some(doubt) if self.had_no_effect() => {
                Self::Unknown { code: self.code(), what: format!("{self}; an attempt before it may have succeeded: {doubt}") }
            }
            _ => self,
        }
    }

    pub(crate) fn unknown(what: impl Into<String>) -> Self {
        Self::Unknown { code: None, what: what.into() }
    }

    /// Whether the same request may be sent again at once or soon, with a chance that it then succeeds.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Illegal(_) | Self::ShutDown => false,
            Self::NotSent(_) | Self::Unknown { .. } => true,
            Self::Refused { code, .. } => *code == i64::from(code::TOO_MANY_REQUESTS),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Illegal(what) => write!(f, "not sent, since it is not legal: {what}"),
            Self::ShutDown => write!(f, "not sent: this client was shut down"),
            Self::NotSent(what) => write!(f, "not sent: {what}"),
            Self::Unknown { code: None, what } => write!(f, "sent, and the outcome is not known: {what}"),
            Self::Unknown { code: Some(code), what } => write!(f, "sent, and the outcome is not known, code {code}: {what}"),
            Self::Refused { code, what } => write!(f, "refused with code {code}: {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// What an answer's status says. None at all is unknown.
pub fn of_status(status: Option<&Status>) -> Result<(), Error> {
    let Some(status) = status else { return Err(Error::unknown("an answer without a status")) };
    if status.code == code::OK {
        return Ok(());
    }
    let what = match advice(status.code) {
        "" => status.message.clone(),
        advice => format!("{}. {advice}", status.message.trim_end_matches('.')),
    };
    match status.code {
        // Nothing was done for who asks for what the server cannot do, or must not.
        40_000..50_000 if status.code != REQUEST_TIMEOUT => Err(Error::Refused { code: status.code.into(), what }),
        code::NOT_IMPLEMENTED | UNSUPPORTED..=VERIFY_FIFO_UNSUPPORTED => Err(Error::Refused { code: status.code.into(), what }),
        // A flush or a replica that was late, a proxy whose broker did not answer, whatever a newer server may mean.
        _ => Err(Error::Unknown { code: Some(status.code.into()), what }),
    }
}

const CONSUMER_GROUP_NOT_FOUND: i32 = 40_403;
const REQUEST_TIMEOUT: i32 = 40_800;
const UNSUPPORTED: i32 = 50_500;
const VERIFY_FIFO_UNSUPPORTED: i32 = 50_502;

/// What to do about a code.
fn advice(code: i32) -> &'static str {
    match code {
        40_002 => "A topic's name has a-z A-Z 0-9 _ - %; topics of the system are closed to clients.",
        40_011 => "A proxy takes 10 s to 12 h on receive unless it is configured otherwise.",
        40_012 => "A proxy takes at most a day ahead unless maxDelayTimeMills is raised.",
        40_013 => "The message was received again meanwhile, or its handle was replaced.",
        40_014 => "Send it to a topic whose attribute message.type is that of the message, or create the topic anew with it.",
        40_100 => "Look at the access key and its secret, and at the clock: the date is signed.",
        40_300 => "The user needs a rule that allows this on this topic or group.",
        40_402 => "Create the topic first; a proxy that was asked too early says so for twenty seconds more.",
        CONSUMER_GROUP_NOT_FOUND => "Create the consumer group first.",
        41_301 => "Send less, or raise maxMessageSize of proxy and broker.",
        42_900 => "The broker is busy; send again later.",
        _ => "",
    }
}

/// What gRPC says where no status of the protocol came.
pub fn of_grpc(address: &str, status: &tonic::Status) -> Error {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return Error::NotSent(format!("{address}: {}", connecting(error)));
        }
        cause = error.source();
    }
    let what = format!("{address}: {:?}, {}", status.code(), with_sources(status));
    match status.code() {
        tonic::Code::Unimplemented => Error::Refused {
            code: status.code() as i64,
            what: format!("{what}. Is this the gRPC port of a RocketMQ proxy, version 5.3 or later?"),
        },
        // A proxy says so of a consumer's settings.
        tonic::Code::InvalidArgument if what.contains("group not found") => {
            Error::Refused { code: status.code() as i64, what: format!("{what}. {}", advice(CONSUMER_GROUP_NOT_FOUND)) }
        }
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied | tonic::Code::InvalidArgument => {
            Error::Refused { code: status.code() as i64, what }
        }
        _ => Error::unknown(what),
    }
}

fn connecting(error: &(dyn std::error::Error + 'static)) -> String {
    let text = with_sources(error);
    let advice = if text.contains("InvalidContentType") || text.contains("corrupt message") {
        "It does not speak TLS; use rocketmq:// where the proxy takes plaintext."
    } else if text.contains("UnknownIssuer") || text.contains("invalid peer certificate") {
        "The certificate is not one that the given authorities vouch for under this name."
    } else {
        "Is the proxy up, and is this its gRPC port?"
    };
    format!("{text}. {advice}")
}

/// An error and what caused it, each once.
fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = match error.downcast_ref::<tonic::Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: i32) -> Error {
        of_status(Some(&Status { code, message: "words.".to_owned() })).expect_err("it is no OK")
    }

    #[test]
    fn what_a_server_refuses_had_no_effect_and_what_went_wrong_on_its_side_is_unknown() {
        assert_eq!(of_status(Some(&Status { code: code::OK, message: String::new() })), Ok(()));
        for refused in [40_000, 40_014, 40_100, 40_402, 41_301, 42_900, 50_100, 50_500, 50_501] {
            assert!(matches!(said(refused), Error::Refused { code, .. } if code == i64::from(refused)), "{refused}");
            assert!(said(refused).had_no_effect());
        }
        for unknown in [0, 30_000, 40_800, 50_000, 50_001, 50_002, 50_400, 50_401, 50_402, 60_000, 99_999] {
            assert_eq!(said(unknown).code(), Some(unknown.into()));
            assert!(!said(unknown).had_no_effect(), "{unknown}");
        }
        assert!(!of_status(None).expect_err("no status").had_no_effect());
    }

    #[test]
    fn a_code_comes_with_what_to_do() {
        assert_eq!(
            said(40_402).to_string(),
            "refused with code 40402: words. Create the topic first; a proxy that was asked too early says so for twenty seconds more."
        );
        assert_eq!(said(50_001).to_string(), "sent, and the outcome is not known, code 50001: words.");
        assert_eq!(Error::NotSent("x".to_owned()).to_string(), "not sent: x");
    }

    #[test]
    fn what_was_unknown_once_is_not_known_by_a_later_refusal() {
        let doubt = || Some(Error::unknown("no answer"));
        for later in [Error::NotSent(String::new()), Error::ShutDown, said(42_900)] {
            assert!(!later.clone().after(doubt()).had_no_effect());
            assert_eq!(later.clone().after(None), later);
        }
        assert_eq!(said(50_001).after(doubt()), said(50_001));
    }

    #[test]
    fn only_what_may_pass_is_sent_again() {
        assert!(said(42_900).is_passing() && said(50_001).is_passing() && Error::NotSent(String::new()).is_passing());
        assert!(!said(40_014).is_passing() && !Error::Illegal(String::new()).is_passing());
    }
}
