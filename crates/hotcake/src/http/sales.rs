//! Sales as buyers see them: the list, one of them, the purchase token that is not needed yet.

use super::bodies::{Page, SaleBody};
use super::context::{Context, InSale};
use super::problem::{Code, Problem, ProblemBody};
use axum::response::Response;

/// Sales that are shown to buyers, by id.
#[utoipa::path(get, path = "/v1/sales", tag = "buyers", responses((status = 200, body = Page<SaleBody>), (status = "default", body = ProblemBody)))]
pub async fn list(context: Context) -> Response {
    let items = context.app.engine.sales().iter().filter_map(SaleBody::of).collect();
    context.ok(&Page { items, next_cursor: None })
}

/// One sale, with the server's time for the countdown.
#[utoipa::path(get, path = "/v1/sales/{sale}", tag = "buyers", params(("sale" = String, Path)),
    responses((status = 200, body = SaleBody), (status = "default", body = ProblemBody)))]
pub async fn show(context: Context, InSale(id): InSale) -> Result<Response, Problem> {
    let body = context.app.engine.sale(id).as_ref().and_then(SaleBody::of);
    body.map(|body| context.ok(&body)).ok_or_else(|| context.problem(Code::NotFound))
}

/// The purchase token of a sale that asks for one. None does so far.
#[utoipa::path(post, path = "/v1/sales/{sale}/token", tag = "buyers", params(("sale" = String, Path)),
    responses((status = "default", description = "`not_needed`: order at once", body = ProblemBody)))]
pub async fn token(context: Context, InSale(id): InSale) -> Problem {
    let shown = context.app.engine.sale(id).as_ref().and_then(SaleBody::of).is_some();
    context.problem(if shown { Code::NotNeeded } else { Code::NotFound })
}
