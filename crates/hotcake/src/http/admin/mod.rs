//! The operators' API, on its own listener. Each handler asks for the scope it needs by its argument's type. The modules
//! in reading order:

pub mod sales;
pub mod stock;
pub mod orders;
pub mod letters;
pub mod audit;

use super::context::Context;
use super::problem::{Code, Problem};
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sale::ports::Fault;
use sale::purchase::Engine;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Longest page.
pub const LIMIT_MAX: usize = 200;

/// Which page of a list.
#[derive(Deserialize, IntoParams, Default)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageOf {
    /// The sale's id, where the list is of one.
    pub sale: Option<String>,
    /// What the last page's `next_cursor` said.
    pub cursor: Option<String>,
    /// Items on a page, 1 to 200; 50 without it.
    pub limit: Option<usize>,
}

impl PageOf {
    /// Checks a query: the place to go on from, and how many.
    pub fn of(context: &Context, query: Result<Query<Self>, QueryRejection>) -> Result<(Self, Option<u64>, usize), Problem> {
        let Ok(Query(page)) = query else { return Err(context.invalid("query:", "invalid_query", "sale=ID, cursor=TEXT, limit=1 to 200")) };
        let limit = page.limit.unwrap_or(50);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(context.invalid("query:limit", "out_of_range", format!("limit is from 1 to {LIMIT_MAX}")));
        }
        let after = match &page.cursor {
            None => None,
            Some(text) => {
                Some(read_cursor(text).ok_or_else(|| context.invalid("query:cursor", "invalid_cursor", "a next_cursor of this list"))?)
            }
        };
        Ok((page, after, limit))
    }
}

/// A place in a list, opaque to the asker.
pub fn cursor(at: u64) -> String {
    URL_SAFE_NO_PAD.encode(at.to_be_bytes())
}

fn read_cursor(text: &str) -> Option<u64> {
    let bytes: [u8; 8] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    Some(u64::from_be_bytes(bytes))
}

/// Runs an operator's work to its end, whether the operator waits for it or not.
pub async fn to_the_end<T, F>(context: &Context, doing: &'static str, work: impl FnOnce(Arc<Engine>) -> F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Fault>> + Send + 'static,
{
    let done = context.app.tasks.to_the_end(doing, work(context.app.engine.clone())).await;
    done.ok_or_else(|| context.problem(Code::Internal))?.map_err(|fault| context.fault(doing, &fault))
}

/// Says who did what; the books say it too.
pub fn note(actor: &str, verb: &'static str, what: &impl std::fmt::Display, answer: Response) -> Response {
    tracing::info!(actor, verb, what = %what, "an operator's command was done");
    answer
}
