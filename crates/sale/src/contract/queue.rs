//! What every [`Queue`](crate::ports::Queue) promises.
