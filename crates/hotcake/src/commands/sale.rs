//! `hotcake sale …`, `reconcile`, `rebuild`: an operator's work on sales, by a running server.

use super::print;
use super::remote::Remote;
use super::table::{field, table};
use crate::cli::{Moving, OnSale, SaleCreate, Server};
use crate::exit::Exit;
use crate::http::values::{read_time, time};
use sale::words::SaleId;
use serde_json::{Value, json};
use std::path::Path;

const DAY_MS: i64 = 86_400_000;

fn show_all(sales: &[Value], as_json: bool, whole: &Value) {
    if as_json {
        return print(&whole.to_string());
    }
    let names = ["id", "status", "title", "left", "allotment", "gate_left", "holdback", "opens_at", "closes_at"];
    let rows: Vec<_> = sales.iter().map(|sale| names.iter().map(|name| field(sale, name)).collect()).collect();
    print(&table(&names, &rows));
    for sale in sales.iter().filter(|sale| !sale["stopped"].is_null()) {
        print(&format!("{} is stopped: {}", field(sale, "id"), field(sale, "stopped")));
    }
}

fn show_one(sale: &Value, as_json: bool) {
    show_all(std::slice::from_ref(sale), as_json, sale);
}

/// The id, checked here because it becomes part of a path.
fn id(text: &str) -> Result<SaleId, Exit> {
    text.parse().map_err(|invalid| Exit::usage(format!("{text:?}: {invalid}")))
}

/// `sale create`.
pub fn create(file: Option<&Path>, wanted: SaleCreate) -> Result<(), Exit> {
    let remote = Remote::find(file, &wanted.server)?;
    let sale = id(&wanted.id)?;
    let wrong = |name: &str| Exit::usage(format!("--{name} is RFC 3339, for example 2026-11-11T00:00:00+08:00"));
    let opens_at = match &wanted.opens_at {
        Some(text) => read_time(text).ok_or_else(|| wrong("opens-at"))?,
        // By this machine's clock: the operator's "now". What decides is the ledger's clock and the time written here.
        None => adapters::embedded::clock::date(),
    };
    let closes_at = match &wanted.closes_at {
        Some(text) => read_time(text).ok_or_else(|| wrong("closes-at"))?,
        None => opens_at.after_ms(DAY_MS),
    };
    let body = json!({
        "id": wanted.id, "title": wanted.title.as_ref().unwrap_or(&wanted.id), "sku": wanted.sku.as_ref().unwrap_or(&wanted.id),
        "campaign": wanted.campaign, "goods_type": wanted.goods_type, "unit_price": wanted.price, "currency": wanted.currency,
        "units": wanted.units, "holdback": wanted.holdback, "limit_per_buyer": wanted.limit,
        "quantity_max": wanted.quantity_max.unwrap_or(wanted.limit.min(sale::words::QUANTITY_MAX)),
        "opens_at": time(opens_at), "closes_at": time(closes_at), "pay_within_s": wanted.pay_within,
    });
    let mut made = remote.post("/v1/admin/sales", &body)?;
    if wanted.open {
        made = remote.post(&format!("/v1/admin/sales/{sale}/open"), &json!({}))?;
    }
    show_one(&made, wanted.server.json);
    Ok(())
}

/// `sale list`.
pub fn list(file: Option<&Path>, server: &Server) -> Result<(), Exit> {
    let page = Remote::find(file, server)?.get("/v1/admin/sales")?;
    show_all(page["items"].as_array().map_or(&[], Vec::as_slice), server.json, &page);
    Ok(())
}

/// `sale show`.
pub fn show(file: Option<&Path>, on: &OnSale) -> Result<(), Exit> {
    let sale = Remote::find(file, &on.server)?.get(&format!("/v1/admin/sales/{}", id(&on.sale)?))?;
    show_one(&sale, on.server.json);
    Ok(())
}

/// `sale open`, `pause`, `close`, `archive`; `rebuild`.
pub fn operate(file: Option<&Path>, on: &OnSale, verb: &str) -> Result<(), Exit> {
    let sale = Remote::find(file, &on.server)?.post(&format!("/v1/admin/sales/{}/{verb}", id(&on.sale)?), &json!({}))?;
    show_one(&sale, on.server.json);
    Ok(())
}

/// `sale restock`, `sale withdraw`.
pub fn movement(file: Option<&Path>, moving: Moving, verb: &str) -> Result<(), Exit> {
    let remote = Remote::find(file, &moving.server)?;
    let made = moving.movement.is_none();
    let key = moving.movement.unwrap_or_else(crate::keys::random_hex::<8>);
    if made && !moving.server.json {
        eprintln!("movement key {key}: if this fails midway, repeat it with --movement {key}");
    }
    let body = json!({ "key": key, "units": moving.units, "reason": moving.reason });
    let done = remote.post(&format!("/v1/admin/sales/{}/{verb}", id(&moving.sale)?), &body)?;
    if moving.server.json {
        print(&done.to_string());
    } else {
        let names = ["key", "units", "actor", "reason", "at"];
        print(&table(&names, &[names.iter().map(|name| field(&done, name)).collect()]));
    }
    Ok(())
}

/// `reconcile`.
pub fn reconcile(file: Option<&Path>, on: &OnSale) -> Result<(), Exit> {
    let done = Remote::find(file, &on.server)?.post(&format!("/v1/admin/sales/{}/reconcile", id(&on.sale)?), &json!({}))?;
    if on.server.json {
        print(&done.to_string());
    } else {
        let names = ["looked", "recorded", "released", "raises", "withdrawals"];
        print(&table(&names, &[names.iter().map(|name| field(&done, name)).collect()]));
        print(if done["clean"] == true { "Nothing was out of order." } else { "What was out of order is mended." });
    }
    Ok(())
}
