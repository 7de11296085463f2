//! Tasks beside a client's own: those that something else counts and waits for. A client's own stand in its `JoinSet`.

/// Starts a task that holds a permit as long as it runs: the permits limit how many there are, and are waited for at the end.
#[expect(clippy::disallowed_methods, reason = "its permit counts it and is waited for at the end")]
pub fn spawn_counted(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
