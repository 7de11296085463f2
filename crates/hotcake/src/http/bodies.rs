//! How orders, sales, movements and payments look in JSON, for buyers and for operators. Knows no request.

use super::values::{At, Written, time};
use sale::order::{Change, Order, Payment, Reason, Status};
use sale::ports::Movement;
use sale::purchase::SaleView;
use sale::words::{Currency, OrderId, SaleId, SaleStatus};
use serde::Serialize;
use utoipa::ToSchema;

/// An order as its buyer sees it.
#[derive(Serialize, ToSchema)]
pub struct OrderBody {
    /// What became of the request; equal to `status` for a plain look.
    pub code: &'static str,
    /// The order's id.
    #[schema(value_type = String)]
    pub id: Written<OrderId>,
    /// The sale's id.
    #[schema(value_type = String)]
    pub sale: Written<SaleId>,
    /// processing, confirmed, paid, cancelled, expired, rejected, refunded.
    pub status: &'static str,
    /// Why it was rejected: sold_out, limit_reached, stale_epoch, lost, refund_due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
    /// Price of one unit, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<i64>,
    /// What it costs, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub currency: Option<Written<Currency>>,
    /// Counts the changes of the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// When it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub created_at: Option<Written<At>>,
    /// When its status changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub updated_at: Option<Written<At>>,
    /// Until when it can be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub pay_by: Option<Written<At>>,
    /// The order that a late payment bought in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub successor: Option<Written<OrderId>>,
    /// Ask with it as `?ticket=` while there is no row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The key that names this purchase; sent back when the server made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The payment, in the answer to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentBody>,
    /// Who bought; for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buyer: Option<String>,
}

impl OrderBody {
    /// A row.
    pub fn of(order: &Order) -> Self {
        Self {
            reason: order.reason.map(Reason::as_str),
            quantity: Some(order.ask.quantity.get()),
            unit_price: Some(order.ask.unit_price.minor()),
            amount: Some(order.ask.amount()),
            currency: Some(Written(order.ask.currency)),
            version: Some(order.version),
            created_at: Some(Written(At(order.created_at))),
            updated_at: Some(Written(At(order.updated_at))),
            pay_by: order.pay_by.filter(|_| order.status == Status::Confirmed).map(|at| Written(At(at))),
            successor: order.successor.map(|digest| Written(OrderId { sale: order.sale, digest })),
            ..Self::plain(order.id(), order.status)
        }
    }

    /// A purchase without a row.
    pub fn processing(id: OrderId, ticket: Option<String>) -> Self {
        Self { ticket, ..Self::plain(id, Status::Processing) }
    }

    /// The same for an operator.
    pub fn with_buyer(order: &Order) -> Self {
        Self { buyer: Some(order.ask.buyer.as_str().to_owned()), ..Self::of(order) }
    }

    fn plain(id: OrderId, status: Status) -> Self {
        Self {
            code: status.as_str(),
            id: Written(id),
            sale: Written(id.sale),
            status: status.as_str(),
            reason: None,
            quantity: None,
            unit_price: None,
            amount: None,
            currency: None,
            version: None,
            created_at: None,
            updated_at: None,
            pay_by: None,
            successor: None,
            ticket: None,
            idempotency_key: None,
            payment: None,
            buyer: None,
        }
    }
}

/// A payment.
#[derive(Serialize, ToSchema, Clone)]
pub struct PaymentBody {
    /// The payment gateway's name for it.
    pub id: String,
    /// settled, late, refund_due, refunded.
    pub state: String,
    /// In minor units of the order's currency.
    pub amount: i64,
    /// The order that it bought, when it came late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bought: Option<String>,
    /// When it was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl PaymentBody {
    /// As the ledger keeps it.
    pub fn of(payment: &Payment) -> Self {
        let bought = payment.bought.map(|digest| OrderId { sale: payment.order.sale, digest }.to_string());
        Self {
            id: payment.id.as_str().to_owned(),
            state: payment.state.as_str().to_owned(),
            amount: payment.amount,
            bought,
            at: Some(time(payment.at)),
        }
    }
}

/// A sale as buyers see it.
#[derive(Serialize, ToSchema, PartialEq, Clone)]
pub struct SaleBody {
    /// The sale's id.
    pub id: String,
    /// Shown to buyers.
    pub title: String,
    /// A label that several sales may share.
    pub campaign: String,
    /// What is sold.
    pub sku: String,
    /// In minor units.
    pub unit_price: i64,
    /// ISO 4217.
    pub currency: String,
    /// open, paused, recovering, ended.
    pub status: String,
    /// When selling starts.
    pub opens_at: String,
    /// When selling ends.
    pub closes_at: String,
    /// Units that one buyer may have.
    pub limit_per_buyer: u32,
    /// Most units in one purchase.
    pub quantity_max: u32,
    /// Seconds to pay in.
    pub pay_within_s: u32,
    /// queued.
    pub flow: String,
    /// Whether a purchase token is needed.
    pub token: bool,
    /// plenty, few, sold_out.
    pub stock: String,
    /// Always false: the public sees the stock coarsely.
    pub stock_exact: bool,
    /// The server's clock, for the countdown.
    pub server_time: String,
}

impl SaleBody {
    /// What a buyer may see, if the sale is shown to buyers.
    pub fn of(view: &SaleView) -> Option<Self> {
        let sale = &view.sale;
        let terms = &sale.terms;
        let over = view.now >= terms.closes_at;
        let status = match sale.status {
            SaleStatus::Draft | SaleStatus::Archived => return None,
            SaleStatus::Ended => "ended",
            SaleStatus::Open if over => "ended",
            SaleStatus::Open | SaleStatus::Paused if sale.stopped.is_some() => "paused",
            SaleStatus::Paused => "paused",
            SaleStatus::Open if view.recovering => "recovering",
            SaleStatus::Open => "open",
        };
        let left = view.fact.map_or(sale.left - terms.holdback, |fact| fact.left);
        let stock = match left {
            ..=0 => "sold_out",
            // A tenth of what was ever on sale, and never less than a handful.
            left if left <= (sale.allotment / 10).max(5) => "few",
            _ => "plenty",
        };
        Some(Self {
            id: terms.id.to_string(),
            title: terms.title.clone(),
            campaign: terms.campaign.clone(),
            sku: terms.sku.clone(),
            unit_price: terms.unit_price.minor(),
            currency: terms.currency.as_str().to_owned(),
            status: status.to_owned(),
            opens_at: time(terms.opens_at),
            closes_at: time(terms.closes_at),
            limit_per_buyer: terms.limit_per_buyer,
            quantity_max: terms.quantity_max,
            pay_within_s: terms.pay_within_s,
            flow: "queued".to_owned(),
            token: false,
            stock: stock.to_owned(),
            stock_exact: false,
            server_time: time(view.now),
        })
    }
}

/// A sale as operators see it.
#[derive(Serialize, ToSchema)]
pub struct AdminSaleBody {
    /// The sale's id.
    pub id: String,
    /// Shown to buyers.
    pub title: String,
    /// A label that several sales may share.
    pub campaign: String,
    /// The message's tag.
    pub goods_type: String,
    /// What is sold.
    pub sku: String,
    /// In minor units.
    pub unit_price: i64,
    /// ISO 4217.
    pub currency: String,
    /// Units kept out of the gate.
    pub holdback: i64,
    /// Units that one buyer may have.
    pub limit_per_buyer: u32,
    /// Most units in one purchase.
    pub quantity_max: u32,
    /// When selling starts.
    pub opens_at: String,
    /// When selling ends.
    pub closes_at: String,
    /// Seconds to pay in.
    pub pay_within_s: u32,
    /// queued.
    pub flow: String,
    /// Whether a purchase token is needed.
    pub token: bool,
    /// draft, open, paused, recovering, ended, archived.
    pub status: String,
    /// Who decides now.
    pub epoch: u64,
    /// Units not taken by a live order, by the ledger.
    pub left: i64,
    /// Restocks minus withdrawals; the first units are a restock.
    pub allotment: i64,
    /// The number of the last raise.
    pub raises: u64,
    /// The gate's stock, as this node learned it last.
    pub gate_left: Option<i64>,
    /// Which law was found broken; the sale admits and records nothing until somebody has looked.
    pub stopped: Option<String>,
    /// The server's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_time: Option<String>,
}

impl AdminSaleBody {
    /// As the ledger keeps it.
    pub fn of(sale: &sale::words::Sale) -> Self {
        let terms = &sale.terms;
        Self {
            id: terms.id.to_string(),
            title: terms.title.clone(),
            campaign: terms.campaign.clone(),
            goods_type: terms.goods_type.clone(),
            sku: terms.sku.clone(),
            unit_price: terms.unit_price.minor(),
            currency: terms.currency.as_str().to_owned(),
            holdback: terms.holdback,
            limit_per_buyer: terms.limit_per_buyer,
            quantity_max: terms.quantity_max,
            opens_at: time(terms.opens_at),
            closes_at: time(terms.closes_at),
            pay_within_s: terms.pay_within_s,
            flow: "queued".to_owned(),
            token: false,
            status: sale.status.as_str().to_owned(),
            epoch: sale.epoch.0,
            left: sale.left,
            allotment: sale.allotment,
            raises: sale.raises,
            gate_left: None,
            stopped: sale.stopped.clone(),
            server_time: None,
        }
    }

    /// With what this node knows beside.
    pub fn with_view(sale: &sale::words::Sale, view: Option<&SaleView>) -> Self {
        let mut body = Self::of(sale);
        if let Some(view) = view {
            if view.recovering && sale.status.has_gate() {
                body.status = "recovering".to_owned();
            }
            body.gate_left = view.fact.filter(|fact| fact.epoch == sale.epoch).map(|fact| fact.left);
            body.server_time = Some(time(view.now));
        }
        body
    }
}

/// A movement of stock.
#[derive(Serialize, ToSchema)]
pub struct MovementBody {
    /// Names it; done once.
    pub key: String,
    /// Positive: a restock. Negative: a withdrawal.
    pub units: i64,
    /// A raise's number.
    pub number: Option<u64>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: String,
}

impl MovementBody {
    /// As the ledger keeps it.
    pub fn of(movement: &Movement) -> Self {
        Self {
            key: movement.key.as_str().to_owned(),
            units: movement.units,
            number: movement.number,
            actor: movement.actor.clone(),
            reason: movement.reason.clone(),
            at: time(movement.at),
        }
    }
}

/// One line of an order's timeline.
#[derive(Serialize, ToSchema)]
pub struct ChangeBody {
    /// The status before; `null` for the line that made the row.
    pub from: Option<String>,
    /// The status after; `asked` for the moment of the ask.
    pub to: String,
    /// When.
    pub at: String,
    /// message, hold, buyer, payment, clock, operator, ticket.
    pub source: String,
}

impl ChangeBody {
    /// As the ledger keeps it.
    pub fn of(change: &Change) -> Self {
        let from = (change.from != Status::Processing).then(|| change.from.as_str().to_owned());
        Self { from, to: change.to.as_str().to_owned(), at: time(change.at), source: change.source.as_str().to_owned() }
    }
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Give it as `?cursor=` for the next page; `null` at the end. Opaque.
    pub next_cursor: Option<String>,
}
