//! The form of answers that say yes: plain JSON, or wrapped as `{success, code, message, data}` for front ends that
//! expect it. Knows nothing of what is answered.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

pub use crate::config::Envelope;

/// An answer in JSON.
pub fn answer(envelope: Envelope, status: StatusCode, code: &str, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(512);
    serde_json::to_writer(&mut bytes, body).expect("an answer's body is made of what JSON knows");
    if envelope == Envelope::Result {
        bytes = wrapped(true, code, "", &bytes);
    }
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A body, wrapped. `data` is JSON already.
pub fn wrapped(success: bool, code: &str, message: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 96);
    let text = |out: &mut Vec<u8>, text: &str| serde_json::to_writer(out, text).expect("a string becomes JSON");
    out.extend_from_slice(if success { b"{\"success\":true,\"code\":" } else { b"{\"success\":false,\"code\":" });
    text(&mut out, code);
    out.extend_from_slice(b",\"message\":");
    text(&mut out, message);
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(data);
    out.push(b'}');
    out
}
