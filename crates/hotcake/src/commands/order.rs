//! `hotcake order …`: an operator's look at orders, by a running server.

use super::print;
use super::remote::Remote;
use super::table::{field, table};
use crate::cli::{OnOrder, Server};
use crate::exit::Exit;
use sale::words::{OrderId, SaleId};
use serde_json::{Value, json};
use std::path::Path;

const NAMES: [&str; 7] = ["id", "status", "buyer", "quantity", "amount", "created_at", "updated_at"];
const PAYMENT: [&str; 4] = ["id", "state", "amount", "at"];

fn rows(orders: &[Value]) -> Vec<Vec<String>> {
    orders.iter().map(|order| NAMES.iter().map(|name| field(order, name)).collect()).collect()
}

fn id(text: &str) -> Result<OrderId, Exit> {
    text.parse().map_err(|invalid| Exit::usage(format!("{text:?}: {invalid}")))
}

/// `order show`: the order and its timeline.
pub fn show(file: Option<&Path>, on: &OnOrder) -> Result<(), Exit> {
    let whole = Remote::find(file, &on.server)?.get(&format!("/v1/admin/orders/{}", id(&on.order)?))?;
    if on.server.json {
        print(&whole.to_string());
        return Ok(());
    }
    print(&table(&NAMES, &rows(std::slice::from_ref(&whole["order"]))));
    for name in ["reason", "pay_by", "successor"] {
        if !whole["order"][name].is_null() {
            print(&format!("{name}: {}", field(&whole["order"], name)));
        }
    }
    let listed = |list: &str, names: &[&str]| {
        let items = whole[list].as_array().map_or(&[][..], Vec::as_slice);
        let rows: Vec<_> = items.iter().map(|item| names.iter().map(|name| field(item, name)).collect()).collect();
        if !rows.is_empty() {
            print(&format!("\n{}", table(names, &rows)));
        }
    };
    listed("history", &["at", "to", "source"]);
    listed("payments", &PAYMENT);
    Ok(())
}

/// `order list`.
pub fn list(file: Option<&Path>, sale: &str, limit: usize, cursor: Option<&str>, server: &Server) -> Result<(), Exit> {
    let remote = Remote::find(file, server)?;
    let sale: SaleId = sale.parse().map_err(|invalid| Exit::usage(format!("{sale:?}: {invalid}")))?;
    let mut path = format!("/v1/admin/orders?sale={sale}&limit={limit}");
    if let Some(cursor) = cursor {
        if !cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(Exit::usage("--cursor is the next_cursor of an earlier list"));
        }
        path.push_str(&format!("&cursor={cursor}"));
    }
    let page = remote.get(&path)?;
    if server.json {
        print(&page.to_string());
        return Ok(());
    }
    print(&table(&NAMES, &rows(page["items"].as_array().map_or(&[], Vec::as_slice))));
    if let Some(next) = page["next_cursor"].as_str() {
        eprintln!("more: --cursor {next}");
    }
    Ok(())
}

/// `order refund`.
pub fn refund(file: Option<&Path>, on: &OnOrder) -> Result<(), Exit> {
    let order = Remote::find(file, &on.server)?.post(&format!("/v1/admin/orders/{}/refund", id(&on.order)?), &json!({}))?;
    print(&if on.server.json { order.to_string() } else { table(&NAMES, &rows(&[order])) });
    Ok(())
}

/// `order refunded`.
pub fn refunded(file: Option<&Path>, on: &OnOrder, payment: &str) -> Result<(), Exit> {
    let path = format!("/v1/admin/orders/{}/refunded", id(&on.order)?);
    let payment = Remote::find(file, &on.server)?.post(&path, &json!({ "payment_id": payment }))?;
    let row = PAYMENT.iter().map(|name| field(&payment, name)).collect();
    print(&if on.server.json { payment.to_string() } else { table(&PAYMENT, &[row]) });
    Ok(())
}
