//! Sales, as operators make and run them.

use super::{note, to_the_end};
use crate::http::auth::{Operator, Reader};
use crate::http::bodies::{AdminSaleBody, Page};
use crate::http::context::{Context, InSale};
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::strict::{self, Object};
use crate::http::values::read_time;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use sale::ports::Fault;
use sale::purchase::{Engine, Operated};
use sale::words::{Currency, Price, QUANTITY_MAX, Sale, SaleId, Terms, Time, UNIT_PRICE_MAX, UNITS_MAX};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A new sale.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description; the body is read strictly, field by field")]
pub struct NewSale {
    /// 1 to 20 of a-z, 0-9 and -.
    id: String,
    /// Shown to buyers.
    title: String,
    /// A label that several sales may share; empty without it.
    campaign: Option<String>,
    /// The message's tag; `goods` without it.
    goods_type: Option<String>,
    /// What is sold.
    sku: String,
    /// In minor units.
    unit_price: i64,
    /// ISO 4217.
    currency: String,
    /// Units to sell.
    units: i64,
    /// Units kept out of the gate; 0 without it.
    holdback: Option<i64>,
    /// Units that one buyer may have; 1 without it.
    limit_per_buyer: Option<u32>,
    /// Most units in one purchase; the limit without it, as far as the limit allows.
    quantity_max: Option<u32>,
    /// RFC 3339.
    opens_at: String,
    /// RFC 3339.
    closes_at: String,
    /// Seconds to pay in; 900 without it.
    pay_within_s: Option<u32>,
    /// `queued`, the only one so far.
    flow: Option<String>,
    /// `false`, the only one so far.
    token: Option<bool>,
}

/// Make a sale, as a draft. The same content again answers the same sale.
#[utoipa::path(post, path = "/v1/admin/sales", tag = "operators", request_body = NewSale,
    responses((status = 201, body = AdminSaleBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn create(context: Context, Operator(actor): Operator, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let object = strict::command(&context, &headers, body).await?;
    let (terms, units) = terms_of(object).map_err(|places| Problem::invalid(&context, places))?;
    let id = terms.id;
    let name = actor.clone();
    match to_the_end(&context, "create a sale", |engine| async move { engine.create(&terms, units, &name).await }).await? {
        Ok(sale) => Ok(note(&actor, "create", &id, context.answer(StatusCode::CREATED, "ok", &shown(&context, &sale)))),
        Err(other) => Err(context.problem(Code::SaleExists).with("sale_status", other.status.as_str())),
    }
}

fn terms_of(mut object: Object) -> Result<(Terms, i64), Vec<crate::http::problem::Place>> {
    let number = |n: i64| u32::try_from(n).expect("the range was checked");
    let id = object.parsed::<SaleId>("id");
    let id = object.required("id", id);
    let title = object.text("title");
    let title = object.required("title", title);
    let campaign = object.text("campaign").unwrap_or_default();
    let goods_type = object.text("goods_type").unwrap_or_else(|| "goods".to_owned());
    let sku = object.text("sku");
    let sku = object.required("sku", sku);
    let unit_price = object.integer("unit_price", 0, UNIT_PRICE_MAX);
    let unit_price = object.required("unit_price", unit_price);
    let currency = object.parsed::<Currency>("currency");
    let currency = object.required("currency", currency);
    let units = object.integer("units", 0, UNITS_MAX);
    let units = object.required("units", units);
    let holdback = object.integer("holdback", 0, UNITS_MAX).unwrap_or(0);
    let limit_per_buyer = object.integer("limit_per_buyer", 1, UNITS_MAX).map_or(1, number);
    let quantity_max = object.integer("quantity_max", 1, i64::from(QUANTITY_MAX)).map_or(limit_per_buyer.min(QUANTITY_MAX), number);
    let opens_at = moment(&mut object, "opens_at");
    let closes_at = moment(&mut object, "closes_at");
    let pay_within_s = object.integer("pay_within_s", 1, 604_800).map_or(900, number);
    object.not_yet("flow", "queued", "only \"queued\" so far");
    object.not_yet("token", "", "only false so far");
    let mut places = object.faults();
    let (Some(id), Some(title), Some(sku), Some(unit_price), Some(currency), Some(units), Some(opens_at), Some(closes_at)) =
        (id, title, sku, unit_price, currency, units, opens_at, closes_at)
    else {
        return Err(places);
    };
    let unit_price = Price::new(unit_price).expect("the range was checked");
    let terms = Terms {
        id,
        title,
        campaign,
        goods_type,
        sku,
        unit_price,
        currency,
        holdback,
        limit_per_buyer,
        quantity_max,
        opens_at,
        closes_at,
        pay_within_s,
    };
    let faults =
        terms.faults(units).into_iter().filter(|(pointer, _)| !places.iter().any(|place| place.pointer == *pointer)).collect::<Vec<_>>();
    places.extend(faults.into_iter().map(|(pointer, invalid)| crate::http::problem::Place::new(pointer, invalid.code, invalid.what)));
    if places.is_empty() { Ok((terms, units)) } else { Err(places) }
}

fn moment(object: &mut Object, name: &'static str) -> Option<Time> {
    let text = object.text(name);
    let text = object.required(name, text)?;
    let at = read_time(&text);
    if at.is_none() {
        object.wrong(name, "invalid_time", "RFC 3339, for example 2026-11-11T00:00:00+08:00");
    }
    at
}

fn shown(context: &Context, sale: &Sale) -> AdminSaleBody {
    AdminSaleBody::with_view(sale, context.app.engine.sale(sale.terms.id).as_ref())
}

/// All sales, by id.
#[utoipa::path(get, path = "/v1/admin/sales", tag = "operators", responses((status = 200, body = Page<AdminSaleBody>), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn list(context: Context, _: Reader) -> Result<Response, Problem> {
    let sales = context.app.engine.ledger().sales().await.map_err(|fault| context.fault("listing sales", &fault))?;
    let items = sales.iter().map(|sale| shown(&context, sale)).collect();
    Ok(context.ok(&Page { items, next_cursor: None }))
}

/// One sale.
#[utoipa::path(get, path = "/v1/admin/sales/{sale}", tag = "operators", params(("sale" = String, Path)),
    responses((status = 200, body = AdminSaleBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn show(context: Context, InSale(id): InSale, _: Reader) -> Result<Response, Problem> {
    let sale = context.app.engine.ledger().sale(id).await.map_err(|fault| context.fault("looking at a sale", &fault))?;
    sale.map(|sale| context.ok(&shown(&context, &sale))).ok_or_else(|| context.problem(Code::NotFound))
}

async fn operate<F>(
    context: &Context,
    actor: &str,
    id: SaleId,
    verb: &'static str,
    work: impl FnOnce(Arc<Engine>) -> F,
) -> Result<Response, Problem>
where
    F: Future<Output = Result<Operated, Fault>> + Send + 'static,
{
    match to_the_end(context, verb, work).await? {
        Operated::Done(sale) => Ok(note(actor, verb, &id, context.ok(&shown(context, &sale)))),
        Operated::NotNow(sale) => {
            let problem = context.problem(Code::WrongStatus).with("sale_status", sale.status.as_str());
            Err(match sale.stopped {
                Some(law) => problem.with("stopped", law),
                None => problem,
            })
        }
        Operated::Recovering => Err(context.problem(Code::Recovering)),
        Operated::NoSale => Err(context.problem(Code::NotFound)),
    }
}

/// Start selling, between opens_at and closes_at.
#[utoipa::path(post, path = "/v1/admin/sales/{sale}/open", tag = "operators", params(("sale" = String, Path)),
    responses((status = 200, body = AdminSaleBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn open(context: Context, InSale(id): InSale, Operator(actor): Operator) -> Result<Response, Problem> {
    operate(&context, &actor, id, "open", |engine| async move { engine.open(id).await }).await
}

/// Stop selling for now.
#[utoipa::path(post, path = "/v1/admin/sales/{sale}/pause", tag = "operators", params(("sale" = String, Path)),
    responses((status = 200, body = AdminSaleBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn pause(context: Context, InSale(id): InSale, Operator(actor): Operator) -> Result<Response, Problem> {
    operate(&context, &actor, id, "pause", |engine| async move { engine.pause(id).await }).await
}

/// Stop selling for good.
#[utoipa::path(post, path = "/v1/admin/sales/{sale}/close", tag = "operators", params(("sale" = String, Path)),
    responses((status = 200, body = AdminSaleBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn close(context: Context, InSale(id): InSale, Operator(actor): Operator) -> Result<Response, Problem> {
    operate(&context, &actor, id, "close", |engine| async move { engine.close_sale(id).await }).await
}

/// Take an ended sale, whose orders are all final, out of the gate.
#[utoipa::path(post, path = "/v1/admin/sales/{sale}/archive", tag = "operators", params(("sale" = String, Path)),
    responses((status = 200, body = AdminSaleBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn archive(context: Context, InSale(id): InSale, Operator(actor): Operator) -> Result<Response, Problem> {
    operate(&context, &actor, id, "archive", |engine| async move { engine.archive(id).await }).await
}

/// Rebuild the sale's gate from the ledger.
#[utoipa::path(post, path = "/v1/admin/sales/{sale}/rebuild", tag = "operators", params(("sale" = String, Path)),
    responses((status = 200, body = AdminSaleBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn rebuild(context: Context, InSale(id): InSale, Operator(actor): Operator) -> Result<Response, Problem> {
    operate(&context, &actor, id, "rebuild", |engine| async move { engine.rebuild(id).await }).await
}

/// What a reconciler's pass found and mended.
#[derive(Serialize, ToSchema)]
pub struct ReconciledBody {
    /// Nothing was out of order.
    pub clean: bool,
    /// Holds looked at.
    pub looked: u64,
    /// Orders recorded from their hold.
    pub recorded: u64,
    /// Holds of dead orders released.
    pub released: u64,
    /// Raises applied to the gate.
    pub raises: u64,
    /// Withdrawals completed.
    pub withdrawals: u64,
}

/// One pass of the reconciler, over holds of every age.
#[utoipa::path(post, path = "/v1/admin/sales/{sale}/reconcile", tag = "operators", params(("sale" = String, Path)),
    responses((status = 200, body = ReconciledBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn reconcile(context: Context, InSale(id): InSale, Operator(actor): Operator) -> Result<Response, Problem> {
    match to_the_end(&context, "reconcile", |engine| async move { engine.reconcile(id).await }).await? {
        None => Err(context.problem(Code::NotFound)),
        Some(done) => {
            let (clean, sale::purchase::Reconciled { looked, recorded, released, raises, withdrawals }) = (done.clean(), done);
            let body = ReconciledBody { clean, looked, recorded, released, raises, withdrawals };
            Ok(note(&actor, "reconcile", &id, context.ok(&body)))
        }
    }
}
