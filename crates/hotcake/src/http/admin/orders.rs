//! Orders, as operators look at them and refund them.

use super::{PageOf, cursor, note, to_the_end};
use crate::http::auth::{Operator, Reader};
use crate::http::bodies::{ChangeBody, OrderBody, Page, PaymentBody};
use crate::http::context::{Context, OfOrder};
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::strict;
use crate::http::values::time;
use axum::body::Body;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use sale::order::PaymentState;
use sale::ports::Refunding;
use sale::words::{PaymentId, SaleId};
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

/// A payment that was given back.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description; the body is read strictly, field by field")]
pub struct GivenBack {
    /// The payment gateway's name for it.
    payment_id: String,
}

/// Note that the payment gateway has given a payment back that was refund_due. The order stays as it is.
#[utoipa::path(post, path = "/v1/admin/orders/{order}/refunded", tag = "operators", params(("order" = String, Path)), request_body = GivenBack,
    responses((status = 200, body = PaymentBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn refunded(
    context: Context,
    OfOrder(id): OfOrder,
    Operator(actor): Operator,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut object = strict::command(&context, &headers, body).await?;
    let payment = object.parsed::<PaymentId>("payment_id");
    let (payment, places) = (object.required("payment_id", payment), object.faults());
    let Some(payment) = payment.filter(|_| places.is_empty()) else { return Err(Problem::invalid(&context, places)) };
    match to_the_end(&context, "refunded", |engine| async move { engine.refunded(id, &payment).await }).await? {
        Some(payment) if payment.state == PaymentState::Refunded => {
            let what = format!("{id} {}", payment.id.as_str());
            Ok(note(&actor, "refunded", &what, context.ok(&PaymentBody::of(&payment))))
        }
        Some(payment) => Err(context.problem(Code::WrongStatus).with("payment_state", payment.state.as_str())),
        None => Err(context.problem(Code::NotFound)),
    }
}
