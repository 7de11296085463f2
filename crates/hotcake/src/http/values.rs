//! How single values are written in JSON and read from it. Knows no body.

use jiff::Timestamp;
use sale::words::Time;
use serde::{Serialize, Serializer};
use std::fmt;

/// RFC 3339, UTC.
pub fn time(at: Time) -> String {
    At(at).to_string()
}

/// Reads RFC 3339, whatever its offset.
pub fn read_time(text: &str) -> Option<Time> {
    let at: Timestamp = text.parse().ok()?;
    (at.as_millisecond() >= 0).then(|| Time(at.as_millisecond()))
}

/// A value in JSON as the text that it is written as, without a copy of its own.
#[derive(Clone, Copy)]
pub struct Written<T>(pub T);

impl<T: fmt::Display> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// RFC 3339, UTC.
#[derive(Clone, Copy)]
pub struct At(pub Time);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0.0) {
            Ok(at) => at.fmt(f),
            // Years beyond 9999 are nobody's deadline, but a sum may reach them.
            Err(_) => f.write_str("9999-12-31T23:59:59Z"),
        }
    }
}
