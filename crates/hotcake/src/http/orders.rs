//! Buyers' orders: buy, look, cancel, pay. Each parses, calls one function of the engine and maps its answer.

use super::App;
use super::auth::Buyer;
use super::bodies::OrderBody;
use super::bodies::PaymentBody;
use super::context::{Context, InSale, OfOrder};
use super::problem::{Code, Place, Problem, ProblemBody, jitter};
use super::strict;
use crate::http::envelope;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts as _, Query, RawQuery};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sale::order::{Order, PaymentState, Status};
use sale::ports::{Paid, Paying};
use sale::purchase::{Answer, Cancelled, Shown, Wish};
use sale::words::{Busy, BuyerId, OrderId, PurchaseKey, Quantity, Refusal, SaleId};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Longest wait for a row, in seconds.
pub const WAIT_MAX_S: u64 = 30;

/// What a buyer wishes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Buy {
    /// Units: a whole number from 1 to the sale's quantity_max.
    quantity: u32,
}

/// How to look at an order.
#[derive(Deserialize, IntoParams, Default, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Look {
    /// What the `Location` of a 202 carried.
    pub ticket: Option<String>,
    /// Seconds to wait, 0 to 30, for a row, or for a version above `after`.
    pub wait: Option<u64>,
    /// The version that is known already.
    pub after: Option<u32>,
}

/// Buy.
#[utoipa::path(post, path = "/v1/sales/{sale}/orders", tag = "buyers", request_body = Buy,
    params(("sale" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "Names the purchase: the same key is the same purchase, for ever. Without it the server makes one and returns it."),
           ("Prefer" = Option<String>, Header, description = "wait=N: wait up to N seconds (30 at most) for the row")),
    responses((status = 201, description = "`confirmed`: the ledger has the order", body = OrderBody), (status = 202, description = "`processing`: ask at Location", body = OrderBody),
              (status = 200, description = "The key names an order that is over (or paid)", body = OrderBody),
              (status = "default", description = "sold_out, limit_reached, not_open, ended, paused, recovering, overloaded, rate_limited, idempotency_mismatch, invalid_request …", body = ProblemBody)),
    security(("buyer" = [])))]
pub async fn buy(
    context: Context,
    InSale(sale): InSale,
    Buyer(buyer): Buyer,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    let started_us = context.app.clock.elapsed_us();
    let answer = decided(&context, Who { sale, buyer, ticket: query.as_deref().and_then(ticket_in) }, &headers, body).await;
    context.app.meters.purchase(&answer, context.app.clock.elapsed_us().saturating_sub(started_us));
    answer
}

/// The sale of a request that buys, if its path says so plainly. Whatever is not plain is the router's.
pub fn sale_of_buy(method: &Method, path: &str) -> Option<SaleId> {
    let sale = path.strip_prefix("/v1/sales/")?.strip_suffix("/orders")?;
    (method == Method::POST).then(|| sale.parse().ok()).flatten()
}

/// [`buy`] without the router: the one route that carries the stampede.
pub async fn buy_directly(app: &Arc<App>, sale: SaleId, mut parts: Parts, body: Body) -> Response {
    let bought = async {
        let context = Context::from_request_parts(&mut parts, app).await?;
        let buyer = Buyer::from_request_parts(&mut parts, app).await?;
        let query = RawQuery(parts.uri.query().map(str::to_owned));
        buy(context, InSale(sale), buyer, std::mem::take(&mut parts.headers), query, body).await
    };
    bought.await.unwrap_or_else(IntoResponse::into_response)
}

/// Who buys where, with the ticket of an earlier answer.
struct Who {
    sale: SaleId,
    buyer: BuyerId,
    ticket: Option<String>,
}

/// The ticket in a query as a `Location` carries it: its letters need no escapes.
fn ticket_in(query: &str) -> Option<String> {
    query.split('&').find_map(|pair| pair.strip_prefix("ticket=")).map(str::to_owned)
}

async fn decided(context: &Context, Who { sale, buyer, ticket }: Who, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let (key, made) = key_of(context, headers)?;
    strict::require_json(context, headers)?;
    let bytes = strict::read(context, headers, body, context.app.body_max).await?;
    let quantity = quantity_of(&bytes).map_err(|places| Problem::invalid(context, places))?;
    let wish =
        Wish { sale, buyer, key: key.clone(), quantity, wait_ms: wait_of(headers) * 1_000, ticket: ticket.or_else(|| ticket_of(headers)) };
    let answer = context.app.engine.buy(wish).await;
    let mut response = match answer {
        Answer::Row(order) => bought(context, &order, &key),
        Answer::Processing { id, ticket } => processing(context, id, ticket, &key),
        Answer::Refused(refusal) => Err(refused(context, refusal)),
        Answer::Busy(busy) => Err(context.problem(busy_code(busy))),
    };
    if made && let Ok(response) = &mut response {
        let value = HeaderValue::from_str(key.as_str()).expect("a key is visible ASCII");
        response.headers_mut().insert("idempotency-key", value);
    }
    response
}

/// A row, as the answer to the POST that names it.
fn bought(context: &Context, order: &Order, key: &PurchaseKey) -> Result<Response, Problem> {
    let status = match order.status {
        Status::Processing | Status::Confirmed => StatusCode::CREATED,
        Status::Paid | Status::Cancelled | Status::Expired | Status::Rejected | Status::Refunded => StatusCode::OK,
    };
    let body = OrderBody { idempotency_key: Some(key.as_str().to_owned()), ..OrderBody::of(order) };
    let mut response = context.answer(status, body.code, &body);
    let location = HeaderValue::try_from(format!("/v1/orders/{}", order.id())).expect("an order's id is ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// No row yet: 202, where to ask and when.
fn processing(context: &Context, id: OrderId, ticket: String, key: &PurchaseKey) -> Result<Response, Problem> {
    let location = format!("/v1/orders/{id}?ticket={ticket}");
    let body = OrderBody { idempotency_key: Some(key.as_str().to_owned()), ..OrderBody::processing(id, Some(ticket)) };
    let mut response = context.answer(StatusCode::ACCEPTED, "processing", &body);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(&location).expect("ids and tickets are ASCII"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    Ok(response)
}

fn refused(context: &Context, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::UnknownSale => context.problem(Code::NotFound),
        Refusal::NotOpen(opens_at) => {
            let now = context.app.engine.ledger_now();
            let seconds = opens_at.since_ms(now).max(0).cast_unsigned().div_ceil(1_000);
            // Everybody waits for the same moment; a second's spread is all that is fair.
            let problem = context.problem(Code::NotOpen).with("opens_at", super::values::time(opens_at));
            problem.retry_after_s((seconds + jitter(2)).clamp(1, 86_400))
        }
        Refusal::Ended => context.problem(Code::Ended),
        Refusal::Quantity { quantity_max } => {
            let detail = format!("one purchase of this sale takes at most {quantity_max}");
            context.invalid("/quantity", "above_quantity_max", detail).with("quantity_max", quantity_max)
        }
        // How many are left is not for the public.
        Refusal::SoldOut { .. } => context.problem(Code::SoldOut),
        Refusal::LimitReached(id) => context.problem(Code::LimitReached).with("order_id", id.to_string()),
        Refusal::Mismatch => context.problem(Code::IdempotencyMismatch),
    }
}

fn busy_code(busy: Busy) -> Code {
    match busy {
        Busy::Paused => Code::Paused,
        Busy::Recovering => Code::Recovering,
        Busy::Overloaded => Code::Overloaded,
    }
}

/// The quantity; the slow way only when something is wrong, to say what.
fn quantity_of(bytes: &[u8]) -> Result<u32, Vec<Place>> {
    quickly(bytes).map_or_else(|| strictly(bytes), Ok)
}

/// What nearly every body is. An object only: serde alone would take a list for one whose names were left out.
pub fn quickly(bytes: &[u8]) -> Option<u32> {
    let Buy { quantity } = bytes.starts_with(b"{").then(|| serde_json::from_slice(bytes).ok())??;
    Quantity::new(quantity).is_ok().then_some(quantity)
}

/// Any body, and what is wrong with it.
pub fn strictly(bytes: &[u8]) -> Result<u32, Vec<Place>> {
    let mut object = strict::Object::parse(bytes)?;
    let quantity = object.integer("quantity", 1, i64::from(sale::words::QUANTITY_MAX));
    let quantity = object.required("quantity", quantity);
    match (object.faults(), quantity) {
        (places, Some(quantity)) if places.is_empty() => Ok(quantity as u32),
        (places, _) => Err(places),
    }
}

/// The purchase's name, and whether the server made it.
fn key_of(context: &Context, headers: &HeaderMap) -> Result<(PurchaseKey, bool), Problem> {
    let wrong = |detail: &str| context.invalid("header:idempotency-key", "invalid_idempotency_key", detail);
    let mut all = headers.get_all("idempotency-key").iter();
    match (all.next(), all.next()) {
        (None, _) => Ok((crate::keys::random_hex::<16>().parse().expect("hex digits are a key"), true)),
        (Some(_), Some(_)) => Err(wrong("one key")),
        (Some(only), None) => {
            let text = only.to_str().map_err(|_| wrong("1 to 255 visible ASCII characters"))?;
            text.parse().map(|key| (key, false)).map_err(|invalid: sale::words::Invalid| wrong(&invalid.what))
        }
    }
}

/// `Prefer: wait=N`, in seconds. A preference that cannot be read is no preference (RFC 7240).
fn wait_of(headers: &HeaderMap) -> u64 {
    let all = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut waits =
        all.flat_map(|text| text.split(',')).filter_map(|preference| preference.trim().strip_prefix("wait=")?.trim().parse::<u64>().ok());
    waits.next().unwrap_or(0).min(WAIT_MAX_S)
}

fn ticket_of(headers: &HeaderMap) -> Option<String> {
    Some(headers.get("hotcake-ticket")?.to_str().ok()?.to_owned())
}

/// The query, checked; the ticket also from its header.
pub fn look_of(context: &Context, headers: &HeaderMap, query: Result<Query<Look>, QueryRejection>) -> Result<Look, Problem> {
    let Ok(Query(mut look)) = query else {
        return Err(context.invalid("query:", "invalid_query", "ticket=TEXT, wait=0 to 30, after=VERSION"));
    };
    look.wait = look.wait.map(|wait| wait.min(WAIT_MAX_S));
    look.ticket = look.ticket.filter(|ticket| ticket.len() <= 512).or_else(|| ticket_of(headers));
    Ok(look)
}

/// Look at an order; wait for its row or for its next change.
#[utoipa::path(get, path = "/v1/orders/{order}", tag = "buyers", params(("order" = String, Path), Look),
    responses((status = 200, body = OrderBody), (status = "default", body = ProblemBody)), security(("buyer" = [])))]
pub async fn show(
    context: Context,
    OfOrder(id): OfOrder,
    Buyer(buyer): Buyer,
    headers: HeaderMap,
    query: Result<Query<Look>, QueryRejection>,
) -> Result<Response, Problem> {
    let look = look_of(&context, &headers, query)?;
    let wait_ms = look.wait.unwrap_or(0) * 1_000;
    let asked = context.app.engine.order(id, &buyer, look.ticket.as_deref(), look.after, wait_ms);
    // A stop must not wait for those who wait.
    let shown = match context.app.tasks.unless_closing(asked).await {
        Some(shown) => shown,
        None => context.app.engine.order(id, &buyer, look.ticket.as_deref(), None, 0).await,
    };
    match shown.map_err(|fault| context.fault("looking at an order", &fault))? {
        Shown::Unknown => Err(context.problem(Code::NotFound)),
        Shown::Processing => {
            let mut response = context.answer(StatusCode::OK, "processing", &OrderBody::processing(id, look.ticket));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            Ok(response)
        }
        Shown::Row(order) => {
            let body = OrderBody::of(&order);
            let mut response = context.answer(StatusCode::OK, body.code, &body);
            if !order.status.is_dead() {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Ok(response)
        }
    }
}

/// Cancel, at whatever stage before it is paid.
#[utoipa::path(post, path = "/v1/orders/{order}/cancel", tag = "buyers", params(("order" = String, Path), Look),
    responses((status = 200, body = OrderBody), (status = "default", body = ProblemBody)),
    security(("buyer" = [])))]
pub async fn cancel(
    context: Context,
    OfOrder(id): OfOrder,
    Buyer(buyer): Buyer,
    headers: HeaderMap,
    query: Result<Query<Look>, QueryRejection>,
) -> Result<Response, Problem> {
    let look = look_of(&context, &headers, query)?;
    let engine = context.app.engine.clone();
    let ticket = look.ticket.clone();
    let done = context.app.tasks.to_the_end("cancel", async move { engine.cancel(id, &buyer, ticket.as_deref()).await }).await;
    let done = done.ok_or_else(|| context.problem(Code::Internal))?;
    match done.map_err(|fault| context.fault("cancelling an order", &fault))? {
        Cancelled::Done(order) => Ok(context.answer(StatusCode::OK, "cancelled", &OrderBody::of(&order))),
        Cancelled::Late(order) => Err(context.problem(Code::WrongStatus).with("order_status", order.status.as_str())),
        Cancelled::Unknown => Err(context.problem(Code::NotFound)),
    }
}

/// Pay by the built-in demo gateway.
#[utoipa::path(post, path = "/v1/orders/{order}/pay", tag = "buyers", params(("order" = String, Path), Look,
        ("Idempotency-Key" = Option<String>, Header, description = "The same key is the same payment")),
    responses((status = 200, description = "`paid`; or the order that a late payment bought; or `refund_due`", body = OrderBody), (status = "default", body = ProblemBody)),
    security(("buyer" = [])))]
pub async fn pay(
    context: Context,
    OfOrder(id): OfOrder,
    Buyer(buyer): Buyer,
    headers: HeaderMap,
    query: Result<Query<Look>, QueryRejection>,
) -> Result<Response, Problem> {
    if !context.app.demo {
        return Err(context.problem(Code::DemoOnly));
    }
    let look = look_of(&context, &headers, query)?;
    let engine = context.app.engine.clone();
    let shown = engine.order(id, &buyer, look.ticket.as_deref(), None, 0).await;
    let order = match shown.map_err(|fault| context.fault("looking at an order", &fault))? {
        Shown::Row(order) => order,
        Shown::Processing => return Err(context.problem(Code::WrongStatus).with("order_status", "processing").retry_after_s(1)),
        Shown::Unknown => return Err(context.problem(Code::NotFound)),
    };
    let (key, _) = key_of(&context, &headers)?;
    // The demo gateway's payments are named like purchases: by who and which key.
    let name = OrderId::of_purchase(id.sale, &buyer, &key).digest.hex();
    let payment = format!("demo-{name}").parse().expect("a word and hex digits are a payment's id");
    let paying = Paying { payment, order: id, amount: order.ask.amount() };
    take(&context, paying).await
}

/// Hands a payment to the engine and maps its answer. The webhook does the same.
pub async fn take(context: &Context, paying: Paying) -> Result<Response, Problem> {
    let engine = context.app.engine.clone();
    let theirs = paying.clone();
    let done = context.app.tasks.to_the_end("pay", async move { engine.pay(&theirs).await }).await;
    let done = done.ok_or_else(|| context.problem(Code::Internal))?;
    let (code, state, order) = match done.map_err(|fault| context.fault("taking a payment", &fault))? {
        Paid::Settled(order) => ("paid", PaymentState::Settled, order),
        Paid::Bought(order) => ("bought", PaymentState::Settled, order),
        Paid::Late(order) => ("late", PaymentState::Late, order),
        Paid::RefundDue(order) => ("refund_due", PaymentState::RefundDue, order),
        Paid::Refunded(order) => ("refunded", PaymentState::Refunded, order),
        Paid::NoOrder => return Err(context.problem(Code::NotFound)),
        Paid::WrongAmount(amount) => return Err(context.problem(Code::WrongAmount).with("amount", amount)),
        Paid::Mismatch => return Err(context.problem(Code::IdempotencyMismatch)),
    };
    let bought = (code == "bought").then(|| order.id().to_string());
    let payment =
        PaymentBody { id: paying.payment.as_str().to_owned(), state: state.as_str().to_owned(), amount: paying.amount, bought, at: None };
    let body = OrderBody { code, payment: Some(payment), ..OrderBody::of(&order) };
    Ok(envelope::answer(context.envelope, StatusCode::OK, code, &body))
}
