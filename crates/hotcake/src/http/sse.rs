//! Event streams: an order's changes, a sale's state. A stream ends when the server stops, its number is bounded, and a
//! heartbeat every 15 seconds keeps it open. Knows no store.

use super::auth::Buyer;
use super::bodies::{OrderBody, SaleBody};
use super::context::{Context, InSale, OfOrder};
use super::envelope::{Envelope, wrapped};
use super::orders::{Look, look_of};
use super::problem::{Code, Problem, ProblemBody};
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use sale::purchase::Shown;
use sale::words::{BuyerId, OrderId, SaleId};
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Milliseconds between two signs of life.
const HEARTBEAT_MS: u64 = 15_000;
/// Milliseconds between two looks at a sale.
const LOOK_MS: u64 = 500;

fn event(context: &Context, kind: &str, code: &str, body: &impl Serialize) -> Event {
    let mut bytes = serde_json::to_vec(body).expect("a body is made of what JSON knows");
    if context.envelope == Envelope::Result {
        bytes = wrapped(true, code, "", &bytes);
    }
    Event::default().event(kind).data(String::from_utf8(bytes).expect("JSON is UTF-8"))
}

fn seat(context: &Context) -> Result<OwnedSemaphorePermit, Problem> {
    let problem = || context.problem(Code::Overloaded).detail("Too many event streams are open; poll with ?wait= instead.");
    context.app.streams.clone().try_acquire_owned().map_err(|_| problem())
}

struct OrderStream {
    context: Context,
    id: OrderId,
    buyer: BuyerId,
    ticket: Option<String>,
    seen: Option<u32>,
    over: bool,
    _seat: OwnedSemaphorePermit,
}

/// An order's changes. `id` is its version; `Last-Event-ID` resumes.
#[utoipa::path(get, path = "/v1/orders/{order}/events", tag = "buyers", params(("order" = String, Path), Look, ("Last-Event-ID" = Option<u32>, Header)),
    responses((status = 200, description = "event: order, id: its version, data: the order", content_type = "text/event-stream", body = String), (status = "default", body = ProblemBody)),
    security(("buyer" = [])))]
pub async fn order(
    context: Context,
    OfOrder(id): OfOrder,
    Buyer(buyer): Buyer,
    headers: HeaderMap,
    query: Result<Query<Look>, QueryRejection>,
) -> Result<Response, Problem> {
    let look = look_of(&context, &headers, query)?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    // A stream of nothing would keep its reader waiting for ever: who asks for what is not there is told so first.
    match context.app.engine.order(id, &buyer, look.ticket.as_deref(), None, 0).await {
        Ok(Shown::Unknown) => return Err(context.problem(Code::NotFound)),
        Ok(Shown::Row(_) | Shown::Processing) => {}
        Err(fault) => return Err(context.fault("looking at an order", &fault)),
    }
    let state = OrderStream { _seat: seat(&context)?, context, id, buyer, ticket: look.ticket, seen: last.or(look.after), over: false };
    Ok(Sse::new(stream::unfold(state, next_of_order)).into_response())
}

async fn next_of_order(mut state: OrderStream) -> Option<(Result<Event, Infallible>, OrderStream)> {
    if state.over {
        return None;
    }
    let app = state.context.app.clone();
    let asked = app.engine.order(state.id, &state.buyer, state.ticket.as_deref(), state.seen, HEARTBEAT_MS);
    let event = match app.tasks.unless_closing(asked).await? {
        Ok(Shown::Row(order)) if state.seen.is_none_or(|seen| order.version > seen) => {
            state.seen = Some(order.version);
            state.over = order.status.is_dead();
            let body = OrderBody::of(&order);
            event(&state.context, "order", body.code, &body).id(order.version.to_string())
        }
        // Nothing new within the heartbeat's time.
        Ok(Shown::Row(_) | Shown::Processing) => Event::default().comment("still here"),
        Ok(Shown::Unknown) => return None,
        Err(fault) => {
            // The reader comes back by itself and resumes.
            tracing::warn!(what = %fault.what, "an order's event stream ends: a store gave no answer");
            return None;
        }
    };
    Some((Ok(event), state))
}

struct SaleStream {
    context: Context,
    id: SaleId,
    shown: Option<SaleBody>,
    quiet_ms: u64,
    _seat: OwnedSemaphorePermit,
}

/// A sale's state, whenever it changes.
#[utoipa::path(get, path = "/v1/sales/{sale}/stream", tag = "buyers", params(("sale" = String, Path)),
    responses((status = 200, description = "event: sale, data: the sale", content_type = "text/event-stream", body = String), (status = "default", body = ProblemBody)))]
pub async fn sale(context: Context, InSale(id): InSale) -> Result<Response, Problem> {
    if context.app.engine.sale(id).as_ref().and_then(SaleBody::of).is_none() {
        return Err(context.problem(Code::NotFound));
    }
    let state = SaleStream { _seat: seat(&context)?, context, id, shown: None, quiet_ms: 0 };
    Ok(Sse::new(stream::unfold(state, next_of_sale)).into_response())
}

async fn next_of_sale(mut state: SaleStream) -> Option<(Result<Event, Infallible>, SaleStream)> {
    loop {
        let body = state.context.app.engine.sale(state.id).as_ref().and_then(SaleBody::of)?;
        // The clock alone is no change.
        let same = state.shown.as_ref().is_some_and(|shown| SaleBody { server_time: shown.server_time.clone(), ..body.clone() } == *shown);
        if !same {
            state.quiet_ms = 0;
            state.shown = Some(body.clone());
            let event = event(&state.context, "sale", "ok", &body);
            return Some((Ok(event), state));
        }
        if state.quiet_ms >= HEARTBEAT_MS {
            state.quiet_ms = 0;
            return Some((Ok(Event::default().comment("still here")), state));
        }
        state.context.app.tasks.unless_closing(tokio::time::sleep(Duration::from_millis(LOOK_MS))).await?;
        state.quiet_ms += LOOK_MS;
    }
}
