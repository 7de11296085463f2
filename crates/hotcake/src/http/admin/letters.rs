//! Messages that were put aside, with their reason, and their replay.

use super::{PageOf, cursor, note, to_the_end};
use crate::http::auth::{Operator, Reader};
use crate::http::bodies::Page;
use crate::http::context::{Context, Numbered};
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::values::time;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use sale::message::{self, Decoded};
use serde::Serialize;
use utoipa::ToSchema;

/// A message that was put aside.
#[derive(Serialize, ToSchema)]
pub struct Letter {
    /// Names it.
    pub id: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: String,
    /// Bytes of its body.
    pub bytes: usize,
    /// The sale that it is of, if it can be read.
    pub sale: Option<String>,
    /// The orders that it carries, if it can be read.
    pub orders: Vec<String>,
}

/// Messages that were put aside, oldest first.
#[utoipa::path(get, path = "/v1/admin/dead-letters", tag = "operators", params(PageOf),
    responses((status = 200, body = Page<Letter>), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn list(context: Context, _: Reader, query: Result<Query<PageOf>, QueryRejection>) -> Result<Response, Problem> {
    let (_, after, limit) = PageOf::of(&context, query)?;
    let parked = context
        .app
        .engine
        .queue()
        .parked(after.unwrap_or(0), limit)
        .await
        .map_err(|fault| context.fault("listing dead letters", &fault))?;
    // A full page may be the last: then the next one is empty.
    let next_cursor = (parked.len() == limit).then(|| parked.last().map_or(0, |letter| letter.id)).map(cursor);
    let items = parked.iter().map(letter).collect();
    Ok(context.ok(&Page { items, next_cursor }))
}

fn letter(parked: &sale::ports::Parked) -> Letter {
    let batch = match message::decode(&parked.body) {
        Decoded::Batch(batch) => Some(batch),
        Decoded::Later(_) | Decoded::Poison(_) => None,
    };
    let orders = |batch: &sale::words::Batch| {
        batch.asks.iter().map(|ask| sale::words::OrderId { sale: batch.sale, digest: ask.digest }.to_string()).collect()
    };
    Letter {
        id: parked.id.to_string(),
        reason: parked.reason.clone(),
        at: time(parked.at),
        bytes: parked.body.len(),
        sale: batch.as_ref().map(|batch| batch.sale.to_string()),
        orders: batch.as_ref().map(orders).unwrap_or_default(),
    }
}

/// Deliver a message again.
#[utoipa::path(post, path = "/v1/admin/dead-letters/{id}/replay", tag = "operators", params(("id" = u64, Path)),
    responses((status = 200, body = String), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn replay(context: Context, Numbered(id): Numbered, Operator(actor): Operator) -> Result<Response, Problem> {
    let replayed = to_the_end(&context, "replay", |engine| async move { engine.queue().replay(id).await }).await?;
    if replayed {
        Ok(note(&actor, "replay", &id, context.ok(&serde_json::json!({ "replayed": id.to_string() }))))
    } else {
        Err(context.problem(Code::NotFound))
    }
}
