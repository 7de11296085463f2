//! Orders, as operators look at them and refund them.

use super::{PageOf, cursor, note, to_the_end};
use crate::http::auth::{Operator, Reader};
use crate::http::bodies::{ChangeBody, OrderBody, Page, PaymentBody, time};
use crate::http::context::{Context, OfOrder};
use crate::http::problem::{Code, Problem, ProblemBody};
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use sale::ports::Refunding;
use sale::words::SaleId;
use serde::Serialize;
use utoipa::ToSchema;

/// A sale's orders, newest first.
#[utoipa::path(get, path = "/v1/admin/orders", tag = "operators", params(PageOf),
    responses((status = 200, body = Page<OrderBody>), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn list(context: Context, _: Reader, query: Result<Query<PageOf>, QueryRejection>) -> Result<Response, Problem> {
    let (page, after, limit) = PageOf::of(&context, query)?;
    let Some(sale) = page.sale.as_deref().and_then(|text| text.parse::<SaleId>().ok()) else {
        return Err(context.invalid("query:sale", "invalid_sale_id", "sale=ID says of which sale"));
    };
    let ledger = context.app.engine.ledger();
    let fault = |fault| context.fault("listing orders", &fault);
    if ledger.sale(sale).await.map_err(fault)?.is_none() {
        return Err(context.problem(Code::NotFound));
    }
    let page = ledger.page(sale, after, limit).await.map_err(fault)?;
    let items = page.orders.iter().map(OrderBody::with_buyer).collect();
    Ok(context.ok(&Page { items, next_cursor: page.next.map(cursor) }))
}

/// An order with its timeline.
#[derive(Serialize, ToSchema)]
pub struct WholeOrder {
    /// The order.
    pub order: OrderBody,
    /// What happened, oldest first; the first line is the ask.
    pub history: Vec<ChangeBody>,
    /// Its payments.
    pub payments: Vec<PaymentBody>,
}

/// One order, its timeline and its payments.
#[utoipa::path(get, path = "/v1/admin/orders/{order}", tag = "operators", params(("order" = String, Path)),
    responses((status = 200, body = WholeOrder), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn show(context: Context, OfOrder(id): OfOrder, _: Reader) -> Result<Response, Problem> {
    let ledger = context.app.engine.ledger();
    let fault = |fault| context.fault("looking at an order", &fault);
    let Some(order) = ledger.orders(&[id]).await.map_err(fault)?.into_iter().next().flatten() else {
        return Err(context.problem(Code::NotFound));
    };
    let asked = ChangeBody { from: None, to: "asked".to_owned(), at: time(order.ask.asked_at), source: "buyer".to_owned() };
    let changes = ledger.history(id).await.map_err(fault)?;
    let history = std::iter::once(asked).chain(changes.iter().map(ChangeBody::of)).collect();
    let payments = ledger.payments(id).await.map_err(fault)?.iter().map(PaymentBody::of).collect();
    Ok(context.ok(&WholeOrder { order: OrderBody::with_buyer(&order), history, payments }))
}

/// Give the money of a paid order back, and its units to the sale.
#[utoipa::path(post, path = "/v1/admin/orders/{order}/refund", tag = "operators", params(("order" = String, Path)),
    responses((status = 200, body = OrderBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn refund(context: Context, OfOrder(id): OfOrder, Operator(actor): Operator) -> Result<Response, Problem> {
    match to_the_end(&context, "refund", |engine| async move { engine.refund(id).await }).await? {
        Refunding::Refunded(order) => Ok(note(&actor, "refund", &id, context.ok(&OrderBody::with_buyer(&order)))),
        Refunding::NotPaid(order) => Err(context.problem(Code::WrongStatus).with("order_status", order.status.as_str())),
        Refunding::NoOrder => Err(context.problem(Code::NotFound)),
    }
}
