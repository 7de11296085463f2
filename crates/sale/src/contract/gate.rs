//! What every [`Gate`](crate::ports::Gate) promises.
