//! The payment gateway's word: Standard Webhooks, signed, idempotent by the payment's id. Knows no buyer.

use super::context::Context;
use super::orders;
use super::problem::{Code, Problem, ProblemBody};
use super::strict::{self, Object};
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sale::ports::Paying;
use sale::words::{OrderId, PaymentId, Time, UNIT_PRICE_MAX};
use sha2::Sha256;
use utoipa::ToSchema;

/// Seconds that a webhook's time may differ from ours.
const TOLERANCE_S: i64 = 300;

/// The secret in a `whsec_…`, if it is one.
pub fn secret(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
    (bytes.len() >= 24).then_some(bytes)
}

/// What the payment gateway reports.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description; the body is read strictly, field by field")]
pub struct PaymentReport {
    /// The gateway's name for the payment.
    payment_id: String,
    /// What it pays.
    order_id: String,
    /// In minor units.
    amount: i64,
    /// ISO 4217.
    currency: String,
}

/// Take a payment from the gateway.
#[utoipa::path(post, path = "/v1/webhooks/payment", tag = "payment gateway", request_body = PaymentReport,
    params(("webhook-id" = String, Header), ("webhook-timestamp" = String, Header), ("webhook-signature" = String, Header, description = "v1,BASE64 of HMAC-SHA256 over id.timestamp.body")),
    responses((status = 200, body = super::bodies::OrderBody), (status = "default", body = ProblemBody)))]
pub async fn payment(context: Context, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    strict::require_json(&context, &headers)?;
    let bytes = strict::read(&context, &headers, body, context.app.body_max).await?;
    let now = context.app.engine.ledger_now();
    if !context.app.webhook_secret.as_deref().is_some_and(|secret| signed(secret, &headers, &bytes, now)) {
        return Err(context.problem(Code::BadSignature));
    }
    let mut object = Object::parse(&bytes).map_err(|places| Problem::invalid(&context, places))?;
    let payment = object.parsed::<PaymentId>("payment_id");
    let payment = object.required("payment_id", payment);
    let order = object.parsed::<OrderId>("order_id");
    let order = object.required("order_id", order);
    let amount = object.integer("amount", 0, UNIT_PRICE_MAX * i64::from(sale::words::QUANTITY_MAX));
    let amount = object.required("amount", amount);
    let currency = object.parsed::<sale::words::Currency>("currency");
    let currency = object.required("currency", currency);
    let places = object.faults();
    let (Some(payment), Some(order), Some(amount), Some(currency)) = (payment, order, amount, currency) else {
        return Err(Problem::invalid(&context, places));
    };
    if !places.is_empty() {
        return Err(Problem::invalid(&context, places));
    }
    let rows = context.app.engine.ledger().orders(&[order]).await.map_err(|fault| context.fault("looking at an order", &fault))?;
    match rows.into_iter().next().flatten() {
        None => Err(context.problem(Code::NotFound)),
        Some(row) if row.ask.currency != currency => {
            Err(context.problem(Code::WrongAmount).with("amount", row.ask.amount()).with("currency", row.ask.currency.as_str()))
        }
        Some(_) => orders::take(&context, Paying { payment, order, amount }).await,
    }
}

/// Whether one of the signatures is ours, over this body, at about this time.
fn signed(secret: &[u8], headers: &HeaderMap, body: &[u8], now: Time) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(stamp), Some(signatures)) = (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature")) else {
        return false;
    };
    let Ok(at) = stamp.parse::<i64>() else { return false };
    if (now.0 / 1_000).saturating_sub(at).saturating_abs() > TOLERANCE_S {
        return false;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    for part in [id.as_bytes(), b".", stamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    signatures
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
        .any(|theirs| mac.clone().verify_slice(&theirs).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn the_specifications_own_example_verifies_and_nothing_near_it() {
        let secret = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let body = br#"{"test": 2432232314}"#;
        let check = |id: &str, stamp: &str, signature: &str, body: &[u8], now: i64| {
            let mut headers = HeaderMap::new();
            for (name, value) in [("webhook-id", id), ("webhook-timestamp", stamp), ("webhook-signature", signature)] {
                headers.insert(axum::http::HeaderName::from_bytes(name.as_bytes()).expect("a name"), value.parse().expect("a value"));
            }
            signed(&secret, &headers, body, Time(now * 1_000))
        };
        let (id, stamp, signature) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let at = 1_614_265_330;
        assert!(check(id, stamp, signature, body, at));
        assert!(check(id, stamp, &format!("v1,AAAA v2,x {signature}"), body, at + 300));
        assert!(!check(id, stamp, signature, body, at + 301));
        assert!(!check(id, stamp, signature, body, at - 301));
        assert!(!check("msg_other", stamp, signature, body, at));
        assert!(!check(id, "1614265331", signature, body, at));
        assert!(!check(id, stamp, signature, b"{}", at));
        assert!(!check(id, stamp, "", body, at));
        // What is too short, or says nothing of what it is, is no secret.
        assert!(super::secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==").is_none());
        assert!(super::secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_none());
    }
}
