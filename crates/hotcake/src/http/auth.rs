//! Who is who: buyers by a signed token, operators by an API key with scopes. Knows no sale and no order.

use super::App;
use super::context::Context;
use super::problem::{Code, Problem};
use super::token::TokenKey;
use crate::config::{Auth as Settings, Scope};
use adapters::embedded::clock::date;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use sale::words::BuyerId;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use subtle::{Choice, ConstantTimeEq as _};

/// Verifies buyers and operators.
pub struct Auth {
    buyers: TokenKey,
    operators: Vec<Known>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth")
    }
}

struct Known {
    name: String,
    digest: [u8; 32],
    scopes: Vec<Scope>,
}

impl Auth {
    /// As the configuration says; its contradictions were looked for before.
    pub fn new(settings: &Settings) -> Self {
        let operators = settings
            .operators
            .iter()
            .map(|operator| Known {
                name: operator.name.clone(),
                digest: digest_from_hex(&operator.key_sha256).expect("the configuration's digests were checked"),
                scopes: operator.scopes.clone(),
            })
            .collect();
        Self { buyers: token_key(settings), operators }
    }

    fn buyer(&self, headers: &HeaderMap) -> Option<BuyerId> {
        self.buyers.subject(bearer(headers)?, now_s())?.parse().ok()
    }

    fn operator(&self, headers: &HeaderMap) -> Option<&Known> {
        let digest = <[u8; 32]>::from(Sha256::digest(bearer(headers)?));
        // Every key is compared, to its end, whichever fits.
        let mut found = None;
        for known in &self.operators {
            let fits: Choice = known.digest.ct_eq(&digest);
            if bool::from(fits) {
                found = Some(known);
            }
        }
        found
    }
}

/// What signs and verifies buyers' tokens.
pub fn token_key(settings: &Settings) -> TokenKey {
    TokenKey::new(settings.buyer_secret.as_bytes(), &settings.buyer_audience, settings.buyer_leeway_s)
}

/// A buyer's token, valid for so long from now.
pub fn sign(settings: &Settings, buyer: &BuyerId, valid_for_s: u64) -> String {
    token_key(settings).sign(buyer.as_str(), now_s().saturating_add(valid_for_s))
}

/// Seconds since 1970, by the machine's date: whoever issues tokens has no other.
fn now_s() -> u64 {
    date().0.unsigned_abs() / 1_000
}

/// The SHA-256 of a key, as the configuration holds it.
pub fn digest_hex(key: &str) -> String {
    Sha256::digest(key).iter().map(|b| format!("{b:02x}")).collect()
}

/// Reads sixty-four hex digits.
pub fn digest_from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut out = [0; 32];
    for (at, slot) in out.iter_mut().enumerate() {
        *slot = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(out)
}

/// The one `Authorization: Bearer …`. Two are none: a proxy and we might read different ones.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The buyer who asks.
pub struct Buyer(pub BuyerId);

impl FromRequestParts<Arc<App>> for Buyer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let found = app.auth.buyer(&parts.headers);
        found.map(Self).ok_or_else(|| Context::of(parts, app).problem(Code::Unauthorized))
    }
}

/// The operator who asks, who may read, by the name of the key.
pub struct Reader(#[expect(dead_code, reason = "that there is one is what matters; writers stand in the books")] pub String);

/// An operator who may make and run sales.
pub struct Operator(pub String);

/// An operator who may move stock.
pub struct Stockkeeper(pub String);

fn operator(parts: &Parts, app: &Arc<App>, scope: Scope) -> Result<String, Problem> {
    let context = || Context::of(parts, app);
    if parts.method != Method::GET && cross_origin(&parts.headers) {
        return Err(context().problem(Code::Forbidden).detail("Commands from another site's page are refused."));
    }
    let Some(known) = app.auth.operator(&parts.headers) else { return Err(context().problem(Code::Unauthorized)) };
    if known.scopes.contains(&scope) {
        return Ok(known.name.clone());
    }
    Err(context().problem(Code::Forbidden).with("scope", scope.as_str()))
}

/// Whether a browser says that another site's page sent this.
fn cross_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text(header::HeaderName::from_static("sec-fetch-site")).is_some_and(|site| site != "same-origin" && site != "none") {
        return true;
    }
    let Some(origin) = text(header::ORIGIN) else { return false };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_none() || authority != text(header::HOST)
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        operator(parts, app, Scope::Read).map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        operator(parts, app, Scope::Operate).map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Stockkeeper {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        operator(parts, app, Scope::Stock).map(Self)
    }
}
