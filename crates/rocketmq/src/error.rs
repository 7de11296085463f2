//! What is known of a request that did not succeed.

use std::fmt;

/// Why a request did not succeed, and what is known of its effect. Each text says what to do next where there is something to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// The request is not legal; it was not sent.
    Illegal(String),
    /// The server was not reached: the request had no effect.
    NotSent(String),
    /// The request was sent and no answer came: it may have had its effect.
    Unknown(String),
    /// The server answered and refused, with its code: the request had no effect.
    Refused {
        /// The server's own code.
        code: i64,
        /// Its words, and ours where we know more.
        what: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Illegal(what) => write!(f, "not sent, since it is not legal: {what}"),
            Self::NotSent(what) => write!(f, "not sent: {what}"),
            Self::Unknown(what) => write!(f, "sent, and not answered: {what}"),
            Self::Refused { code, what } => write!(f, "refused with code {code}: {what}"),
        }
    }
}

impl std::error::Error for Error {}
