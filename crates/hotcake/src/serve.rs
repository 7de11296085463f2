//! Listeners: connections within their limits, and an end that finishes what was begun. Knows HTTP/1 and time-outs;
//! knows no path.

use crate::config::Http;
use crate::http::Door;
use crate::tasks::Tasks;
use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Milliseconds after an accept failed for want of descriptors.
const AFTER_ACCEPT_MS: u64 = 50;

/// Serves doors, each on its listener, until the tasks close: on so many threads, each of which accepts by itself.
pub fn serve(tasks: &Tasks, threads: usize, listeners: Vec<(std::net::TcpListener, Door)>, limits: &Http) -> std::io::Result<()> {
    let places: Vec<_> = listeners.iter().map(|_| Arc::new(Semaphore::new(limits.connections_max))).collect();
    let http = http(limits);
    let mut ports = Vec::new();
    for ((listener, door), places) in listeners.into_iter().zip(places) {
        listener.set_nonblocking(true)?;
        ports.push((Arc::new(listener), door, places));
    }
    tasks.serve_on_threads(threads, || {
        let (tasks, ports, http) = (tasks.clone(), ports.clone(), http.clone());
        async move {
            for (listener, door, places) in ports {
                match listener.try_clone().and_then(TcpListener::from_std) {
                    Ok(listener) => tasks.serve(accept(tasks.clone(), listener, door, http.clone(), places)),
                    Err(e) => tracing::error!(error = %e, "a thread cannot accept connections"),
                }
            }
        }
    })
}

fn http(limits: &Http) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Runs from the connection's opening, or the last answer, to the end of the next head: slow heads and idle
    // connections end by the same clock.
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_timeout_ms))
        .max_buf_size(limits.head_max)
        .keep_alive(true)
        // Head and body are short: one copy costs less than what the kernel does for two pieces.
        .writev(false)
        .half_close(false);
    http
}

async fn accept(tasks: Tasks, listener: TcpListener, door: Door, http: http1::Builder, places: Arc<Semaphore>) {
    loop {
        // A place first: who finds none waits in the kernel's queue, whose length is the kernel's limit.
        let Some(place) = tasks.unless_closing(places.clone().acquire_owned()).await else { return };
        let Ok(place) = place else { return };
        let Some(accepted) = tasks.unless_closing(listener.accept()).await else { return };
        match accepted {
            Ok((stream, _)) => {
                // An answer is one write: nothing to gain from waiting for more.
                if stream.set_nodelay(true).is_err() {
                    continue;
                }
                let (tasks, door, http) = (tasks.clone(), door.clone(), http.clone());
                tasks.clone().serve(async move {
                    connection(&tasks, stream, door, &http).await;
                    drop(place);
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(AFTER_ACCEPT_MS)).await;
            }
        }
    }
}

/// One connection over something else than a socket.
#[cfg(any(test, fuzzing))]
pub async fn over(stream: tokio::io::DuplexStream, door: Door, limits: &Http) {
    connection(&Tasks::new(), stream, door, &http(limits)).await;
}

async fn connection(tasks: &Tasks, stream: impl AsyncRead + AsyncWrite + Unpin, door: Door, http: &http1::Builder) {
    let door = Arc::new(door);
    let service = service_fn(move |request: Request<Incoming>| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(dressed(door.answer(request.map(Body::new)).await)) }
    });
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut closing = pin!(tasks.closing());
    let mut listening = false;
    let ended = poll_fn(|cx| {
        // What ends a connection early is the other side's: nothing that anybody here could act on.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        // Asked for once: a task keeps its waker, and being woken it finds the sign. A look at the sign costs nothing.
        if !std::mem::replace(&mut listening, true) || tasks.is_closing() {
            return closing.as_mut().poll(cx).map(|()| false);
        }
        Poll::Pending
    });
    if !ended.await {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// Headers of every answer. A page with a policy of its own keeps it.
fn dressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    }
    response
}
