//! The audit: every law, checked by the one function that everybody uses, and how its report looks in JSON.

use super::to_the_end;
use crate::bench::told;
use crate::http::auth::Reader;
use crate::http::context::Context;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::strict;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use sale::books::{Accepted, Report, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An audit.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ReportBody {
    /// What was found broken.
    pub breaches: Vec<BreachBody>,
    /// Every law.
    pub laws: Vec<LawBody>,
    /// Figures per sale.
    pub sales: Vec<FiguresBody>,
    /// What became of the purchases that buyers were shown as accepted, if the request told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedBody>,
}

/// Purchases that buyers were shown as accepted.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct AcceptedBody {
    /// So many were shown as confirmed or paid.
    pub told: u64,
    /// So many of them have a row of the same content.
    pub found: u64,
}

/// One breach of one law.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct BreachBody {
    /// L1 … L11.
    pub law: String,
    /// What was found.
    pub what: String,
}

/// What became of one law.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct LawBody {
    /// L1 … L11.
    pub law: String,
    /// What it says.
    pub says: String,
    /// holds, breached, unchecked.
    pub verdict: String,
    /// Why it was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Figures of one sale.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct FiguresBody {
    /// Which sale.
    pub sale: String,
    /// Restocks minus withdrawals.
    pub allotment: i64,
    /// Units left in the ledger.
    pub left: i64,
    /// Units of live orders.
    pub live_units: i64,
    /// Units left in the gate.
    pub gate_left: Option<i64>,
    /// Units kept out of the gate.
    pub holdback: i64,
    /// Holds in the gate.
    pub holds: Option<usize>,
    /// Orders by status.
    pub orders: BTreeMap<String, u64>,
}

impl From<&Report> for ReportBody {
    fn from(report: &Report) -> Self {
        let law = |&(law, verdict): &(sale::books::Law, Verdict)| {
            let (verdict, why) = match verdict {
                Verdict::Holds => ("holds", None),
                Verdict::Breached => ("breached", None),
                Verdict::Unchecked(why) => ("unchecked", Some(why.to_owned())),
            };
            LawBody { law: law.as_str().to_owned(), says: law.says().to_owned(), verdict: verdict.to_owned(), why }
        };
        Self {
            breaches: report
                .breaches
                .iter()
                .map(|breach| BreachBody { law: breach.law.as_str().to_owned(), what: breach.what.clone() })
                .collect(),
            laws: report.laws.iter().map(law).collect(),
            sales: report
                .sales
                .iter()
                .map(|figures| FiguresBody {
                    sale: figures.sale.to_string(),
                    allotment: figures.allotment,
                    left: figures.left,
                    live_units: figures.live_units,
                    gate_left: figures.gate_left,
                    holdback: figures.holdback,
                    holds: figures.holds,
                    orders: figures.orders.iter().map(|&(status, count)| (status.as_str().to_owned(), count)).collect(),
                })
                .collect(),
            accepted: report.accepted.map(|Accepted { told, found }| AcceptedBody { told, found }),
        }
    }
}

/// Check every law; those about what buyers were told stay unchecked.
#[utoipa::path(get, path = "/v1/admin/audit", tag = "operators", responses((status = 200, body = ReportBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn look(context: Context, _: Reader) -> Result<Response, Problem> {
    let report = to_the_end(&context, "audit", |engine| async move { engine.audit(None).await }).await?;
    Ok(context.ok(&ReportBody::from(&report)))
}

/// Check every law, with what buyers were told: one JSON object a line, as `bench --told` writes it. An empty body tells nothing.
#[utoipa::path(post, path = "/v1/admin/audit", tag = "operators", request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, body = ReportBody), (status = "default", body = ProblemBody)), security(("operator" = [])))]
pub async fn with_tales(context: Context, _: Reader, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let bytes = strict::read(&context, &headers, body, context.app.told_max).await?;
    let tales = match std::str::from_utf8(&bytes).map_err(|e| e.to_string()).and_then(told::read) {
        Ok(tales) => tales,
        Err(what) => return Err(context.invalid("", "invalid_tale", what)),
    };
    let told = !bytes.is_empty();
    drop(bytes);
    let report = to_the_end(&context, "audit", |engine| async move { engine.audit(told.then_some(tales.as_slice())).await }).await?;
    Ok(context.ok(&ReportBody::from(&report)))
}
