//! /metrics: what the server counted itself, and what the engine and the stores say at the moment of the scrape. No id of
//! a buyer or an order becomes a label.

use super::App;
use super::problem::{Code, Problem};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sale::order::Status;
use sale::ports::Backlog;
use sale::purchase::{SaleView, Spread, Stage};
use sale::words::SaleId;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The codes of purchases that are not problems.
const DONE: [&str; 8] = ["confirmed", "processing", "paid", "cancelled", "expired", "rejected", "refunded", "ok"];

/// What the server counts.
#[derive(Debug)]
pub struct Meters {
    done: [AtomicU64; DONE.len()],
    refused: Vec<AtomicU64>,
    duration: Histogram,
}

impl Meters {
    /// All zero.
    pub fn new() -> Self {
        let buckets = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        Self {
            done: std::array::from_fn(|_| AtomicU64::new(0)),
            refused: Code::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            duration: Histogram::new(buckets),
        }
    }

    /// One purchase was answered, so long after it came.
    pub fn purchase(&self, answer: &Result<Response, Problem>, took_us: u64) {
        let count = match answer {
            Ok(response) => match response.status().as_u16() {
                201 => &self.done[0],
                202 => &self.done[1],
                _ => &self.done[DONE.len() - 1],
            },
            Err(problem) => &self.refused[Code::ALL.iter().position(|code| *code == problem.code()).expect("ALL holds every code")],
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.duration.observe(took_us as f64 / 1e6);
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}

/// What was read for one scrape.
#[derive(Debug)]
struct Scrape {
    app: Arc<App>,
    sales: Vec<SaleView>,
    /// Of each sale, as far as the ledger answered.
    orders: Vec<(SaleId, Vec<(Status, u64)>)>,
    backlog: Option<Backlog>,
}

/// The metrics, in OpenMetrics text.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub async fn show(State(app): State<Arc<App>>) -> Response {
    let started = app.started.load(Ordering::Acquire);
    let sales = if started { app.engine.sales() } else { Vec::new() };
    let backlog = if started { app.engine.queue().backlog().await.ok() } else { None };
    let mut orders = Vec::new();
    for view in &sales {
        let id = view.sale.terms.id;
        orders.extend(app.engine.ledger().counts(id).await.ok().map(|counts| (id, counts)));
    }
    let mut registry = Registry::with_prefix("hotcake");
    registry.register_collector(Box::new(Scrape { app, sales, orders, backlog }));
    let mut out = String::with_capacity(8_192);
    match text::encode(&mut out, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], out).into_response(),
        Err(fmt::Error) => axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.purchases(&mut encoder)?;
        self.stock(&mut encoder)?;
        self.queue(&mut encoder)?;
        self.protocol(&mut encoder)
    }
}

type Encoded = Result<(), fmt::Error>;

/// A spread as a histogram; `per` of its values are one unit.
fn encode_spread(spread: &Spread, per: f64, mut encoder: MetricEncoder<'_>) -> Encoded {
    let buckets: Vec<_> = spread.steps().map(|(end, count)| (end.map_or(f64::INFINITY, |end| end as f64 / per), count)).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<[(&str, &str); 0]>(spread.sum() as f64 / per, count, &buckets, None)
}

impl Scrape {
    fn purchases(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let meters = &self.app.meters;
        let codes = DONE.iter().copied().zip(&meters.done).chain(Code::ALL.iter().map(|code| code.as_str()).zip(&meters.refused));
        let mut family = encoder.encode_descriptor("purchases", "Purchases answered, by code", None, MetricType::Counter)?;
        for (code, count) in codes {
            let count = count.load(Ordering::Relaxed);
            if count > 0 || code == "confirmed" {
                ConstCounter::new(count).encode(family.encode_family(&[("code", code)])?)?;
            }
        }
        let duration = encoder.encode_descriptor(
            "purchase_duration",
            "From the request's head to the answer",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        meters.duration.encode(duration)
    }

    fn stock(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let mut family = encoder.encode_descriptor("stock_units", "Units by sale, layer and state", None, MetricType::Gauge)?;
        for view in &self.sales {
            let sale = &view.sale;
            let id = sale.terms.id.to_string();
            let figures = [
                ("ledger", "left", Some(sale.left)),
                ("ledger", "live", Some(sale.allotment - sale.left)),
                ("ledger", "holdback", Some(sale.terms.holdback)),
                ("gate", "left", view.fact.map(|fact| fact.left)),
            ];
            for (layer, state, units) in figures {
                if let Some(units) = units {
                    let labels = [("sale", id.as_str()), ("layer", layer), ("state", state)];
                    ConstGauge::new(units).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        let mut family = encoder.encode_descriptor("orders", "Orders by sale and status", None, MetricType::Gauge)?;
        for (sale, counts) in &self.orders {
            let id = sale.to_string();
            for (status, count) in counts {
                let labels = [("sale", id.as_str()), ("status", status.as_str())];
                ConstGauge::new(i64::try_from(*count).unwrap_or(i64::MAX)).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor("sale_recovering", "1 while the sale's gate is not whole", None, MetricType::Gauge)?;
        for view in &self.sales {
            let id = view.sale.terms.id.to_string();
            ConstGauge::new(i64::from(view.recovering)).encode(family.encode_family(&[("sale", id.as_str())])?)?;
        }
        Ok(())
    }

    fn queue(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let asks = encoder.encode_descriptor("asks_in_flight", "Purchases on their way in this process", None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(self.app.engine.asks_in_flight()).unwrap_or(i64::MAX)).encode(asks)?;
        let Some(backlog) = self.backlog else { return Ok(()) };
        let mut family = encoder.encode_descriptor("queue_messages", "Messages by state", None, MetricType::Gauge)?;
        for (state, count) in [("half", backlog.halves), ("committed", backlog.committed), ("parked", backlog.parked)] {
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(family.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }

    fn protocol(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let m = self.app.engine.meters();
        let counters = [
            ("batches_refused", "Batches of which the gate held nothing", &m.batches_refused),
            ("holds_unknown", "Holds whose answer was unknown", &m.holds_unknown),
            ("rejected_orders", "Rows among them that are rejected", &m.rejected),
            ("parked_messages", "Messages put aside", &m.parked),
            ("store_faults", "Faults of the stores that were met", &m.faults),
            ("rebuilds", "Gates made whole again", &m.rebuilds),
            ("expired_orders", "Orders expired", &m.expired),
            ("lost_purchases", "Purchases closed as lost", &m.lost),
            ("breaches", "Breaches that audits found", &m.breaches),
        ];
        for (name, help, count) in counters {
            ConstCounter::new(count.get()).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let sizes = [
            ("batch_size", "Half messages, by the purchases in them", &m.batches),
            ("record_size", "Record transactions, by the rows that they answered, made or found", &m.records),
        ];
        for (name, help, spread) in sizes {
            encode_spread(spread, 1.0, encoder.encode_descriptor(name, help, None, MetricType::Histogram)?)?;
        }
        let help = "A store's call that a batch waits for, by stage";
        let mut family = encoder.encode_descriptor("stage_duration", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (stage, spread) in Stage::ALL.into_iter().zip(&m.stages) {
            encode_spread(spread, 1e6, family.encode_family(&[("stage", stage.as_str())])?)?;
        }
        let families = [
            (
                "check_backs",
                "Check-backs by outcome",
                "outcome",
                vec![("commit", &m.checks_committed), ("rollback", &m.checks_rolled_back), ("unknown", &m.checks_unknown)],
            ),
            (
                "reconciled",
                "Differences that the reconciler mended",
                "what",
                vec![("recorded", &m.reconciled_recorded), ("released", &m.reconciled_released), ("movement", &m.reconciled_movements)],
            ),
        ];
        for (name, help, label, rows) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (value, count) in rows {
                ConstCounter::new(count.get()).encode(family.encode_family(&[(label, value)])?)?;
            }
        }
        // With record_size_sum: their quotient is the mean lag from ask to record.
        let lag =
            encoder.encode_descriptor("order_lag", "Sum of the times from ask to record", Some(&Unit::Seconds), MetricType::Counter)?;
        ConstCounter::new(m.lag_ms.get() as f64 / 1e3).encode(lag)
    }
}
