//! Movements of stock: signed deltas with a reason, an actor and a key.

use super::{PageOf, cursor, note, to_the_end};
use crate::http::auth::{Reader, Stockkeeper};
use crate::http::bodies::{MovementBody, Page};
use crate::http::context::{Context, InSale};
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::strict;
use axum::body::Body;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use sale::ports::Withdrawal;
use sale::purchase::Stocked;
use sale::words::{LABEL_MAX, MovementKey, SaleId, UNITS_MAX};
use utoipa::ToSchema;

/// A movement.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description; the body is read strictly, field by field")]
pub struct NewMovement {
    /// Names it: the same key is done once. 1 to 64 visible ASCII characters.
    key: String,
    /// How many, 1 or more; the path says which way.
    units: i64,
    /// Why; 1 to 128 bytes.
    reason: String,
}

struct Wanted {
    key: MovementKey,
    units: i64,
    reason: String,
}

async fn wanted(context: &Context, headers: &HeaderMap, body: Body) -> Result<Wanted, Problem> {
    let mut object = strict::command(context, headers, body).await?;
    let key = object.parsed::<MovementKey>("key");
    let key = object.required("key", key);
    let units = object.integer("units", 1, UNITS_MAX);
    let units = object.required("units", units);
    let reason = object.text("reason");
    if reason.as_ref().is_some_and(|text| text.is_empty() || text.len() > LABEL_MAX || text.chars().any(char::is_control)) {
        object.wrong("reason", "invalid_reason", "1 to 128 bytes without control characters");
    }
    let reason = object.required("reason", reason);
    match (key, units, reason, object.faults()) {
        (Some(key), Some(units), Some(reason), places) if places.is_empty() => Ok(Wanted { key, units, reason }),
        (.., places) => Err(Problem::invalid(context, places)),
    }
}

fn moved(context: &Context, actor: &str, verb: &'static str, id: SaleId, stocked: Stocked) -> Result<Response, Problem> {
    match stocked {
        Stocked::Done(movement) => Ok(note(actor, verb, &id, context.ok(&MovementBody::of(&movement)))),
        Stocked::Mismatch(movement) => Err(context.problem(Code::IdempotencyMismatch).with("units", movement.units)),
        Stocked::Refused { left } => Err(context.problem(Code::NotEnoughStock).with("left", left)),
        Stocked::Recovering => Err(context.problem(Code::Recovering)),
        Stocked::NotNow => Err(context.problem(Code::WrongStatus)),
        Stocked::NoSale => Err(context.problem(Code::NotFound)),
    }
}

/// Add units.
#[utoipa::path(post, path = "/v1/admin/sales/{sale}/restock", tag = "operators", params(("sale" = String, Path)), request_body = NewMovement,
    responses((status = 200, body = MovementBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn restock(
    context: Context,
    InSale(id): InSale,
    Stockkeeper(actor): Stockkeeper,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Wanted { key, units, reason } = wanted(&context, &headers, body).await?;
    let name = actor.clone();
    let work = |engine: std::sync::Arc<sale::purchase::Engine>| async move { engine.restock(id, &key, units, &name, &reason).await };
    let stocked = to_the_end(&context, "restock", work).await?;
    moved(&context, &actor, "restock", id, stocked)
}

/// Take units out: from those that nobody holds.
#[utoipa::path(post, path = "/v1/admin/sales/{sale}/withdraw", tag = "operators", params(("sale" = String, Path)), request_body = NewMovement,
    responses((status = 200, body = MovementBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn withdraw(
    context: Context,
    InSale(id): InSale,
    Stockkeeper(actor): Stockkeeper,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Wanted { key, units, reason } = wanted(&context, &headers, body).await?;
    let withdrawal = Withdrawal { key, units, actor: actor.clone(), reason };
    let stocked = to_the_end(&context, "withdraw", |engine| async move { engine.withdraw(id, &withdrawal).await }).await?;
    moved(&context, &actor, "withdraw", id, stocked)
}

/// A sale's movements, oldest first.
#[utoipa::path(get, path = "/v1/admin/sales/{sale}/movements", tag = "operators", params(("sale" = String, Path), PageOf),
    responses((status = 200, body = Page<MovementBody>), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn movements(
    context: Context,
    InSale(id): InSale,
    _: Reader,
    query: Result<Query<PageOf>, QueryRejection>,
) -> Result<Response, Problem> {
    let (_, after, limit) = PageOf::of(&context, query)?;
    let after = after.unwrap_or(0);
    let ledger = context.app.engine.ledger();
    let fault = |fault| context.fault("listing movements", &fault);
    if ledger.sale(id).await.map_err(fault)?.is_none() {
        return Err(context.problem(Code::NotFound));
    }
    // One more than is shown tells whether there is a next page.
    let movements = ledger.movements(id, after, limit + 1).await.map_err(fault)?;
    let next_cursor = (movements.len() > limit).then(|| cursor(after + limit as u64));
    let items = movements.iter().take(limit).map(MovementBody::of).collect();
    Ok(context.ok(&Page { items, next_cursor }))
}
