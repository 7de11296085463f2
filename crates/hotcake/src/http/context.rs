//! What every handler needs: the application, the asker's language, the answer's form, the request's name. Also what a
//! request must be before a handler sees it: the server has started, its path names are well formed.

use super::App;
use super::envelope::{self, Envelope};
use super::problem::{Code, Language, Place, Problem};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use sale::ports::Fault;
use sale::words::{OrderId, SaleId};
use serde::Serialize;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a handler knows of the request around it.
#[derive(Clone, Debug)]
pub struct Context {
    /// Everything that the server is made of.
    pub app: Arc<App>,
    /// The asker's language.
    pub language: Language,
    /// The answer's form.
    pub envelope: Envelope,
    given: Option<HeaderValue>,
}

impl Context {
    /// Of a request, whether the server has started or not.
    pub fn of(parts: &Parts, app: &Arc<App>) -> Self {
        let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let id = parts.headers.get("x-request-id");
        let sane = |id: &&HeaderValue| {
            matches!(id.len(), 1..=64) && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
        };
        Self {
            app: app.clone(),
            language: text(header::ACCEPT_LANGUAGE).map_or(Language::En, Language::accepted),
            envelope: if parts.uri.path().starts_with("/v1/admin/") { Envelope::None } else { app.envelope },
            given: id.filter(sane).cloned(),
        }
    }

    /// The request's name: the one that it came with, else a new one.
    pub fn request_id(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        match &self.given {
            Some(id) => id.to_str().unwrap_or_default().to_owned(),
            None => format!("{:08x}-{}", self.app.node as u32, COUNT.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// A problem for this asker.
    pub fn problem(&self, code: Code) -> Problem {
        Problem::new(code, self)
    }

    /// A request that is wrong at one place.
    pub fn invalid(&self, pointer: &str, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::invalid(self, vec![Place::new(pointer, code, detail)])
    }

    /// A store gave no answer. Logged here, once.
    pub fn fault(&self, doing: &'static str, fault: &Fault) -> Problem {
        let request_id = self.request_id();
        tracing::warn!(doing, request_id, what = %fault.what, "a store gave no answer");
        Problem::plain(Code::StoreUnavailable, self.language, self.envelope, request_id)
    }

    /// An answer.
    pub fn answer(&self, status: StatusCode, code: &str, body: &impl Serialize) -> Response {
        envelope::answer(self.envelope, status, code, body)
    }

    /// An answer of 200.
    pub fn ok(&self, body: &impl Serialize) -> Response {
        self.answer(StatusCode::OK, "ok", body)
    }
}

impl FromRequestParts<Arc<App>> for Context {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let context = Self::of(parts, app);
        // Before the start is done the sales are not known, and "no such sale" would be a lie.
        if app.started.load(Ordering::Acquire) { Ok(context) } else { Err(context.problem(Code::Recovering)) }
    }
}

/// The sale that the path names.
pub struct InSale(pub SaleId);

/// The order that the path names.
pub struct OfOrder(pub OrderId);

/// The number that the path names.
pub struct Numbered(pub u64);

async fn named<T: FromStr>(parts: &mut Parts, app: &Arc<App>, name: &'static str, code: &'static str, detail: &str) -> Result<T, Problem> {
    let found = match RawPathParams::from_request_parts(parts, app).await {
        Ok(params) => params.iter().find(|(key, _)| *key == name).and_then(|(_, text)| text.parse().ok()),
        // Not UTF-8 once decoded.
        Err(_) => None,
    };
    found.ok_or_else(|| Context::of(parts, app).invalid(&format!("path:{name}"), code, detail))
}

impl FromRequestParts<Arc<App>> for InSale {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        named(parts, app, "sale", "invalid_sale_id", "a sale's id is 1 to 20 of a-z, 0-9 and -").await.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for OfOrder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        named(parts, app, "order", "invalid_order_id", "an order's id is its sale's id, a dash and 32 hex digits").await.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Numbered {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        named(parts, app, "id", "invalid_id", "a whole number").await.map(Self)
    }
}
