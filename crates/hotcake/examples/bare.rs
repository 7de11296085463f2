//! The yardstick: a bare axum server on one thread that reads a purchase's JSON and answers with as many bytes as Hotcake does,
//! and does nothing else. `cargo xtask bench` loads it with the same generator in alternating rounds.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Purchase {
    quantity: u32,
}

/// An order as Hotcake shows it.
#[derive(Serialize)]
struct Order {
    code: &'static str,
    id: String,
    sale: String,
    status: &'static str,
    quantity: u32,
    unit_price: i64,
    amount: i64,
    currency: &'static str,
    version: u32,
    created_at: &'static str,
    updated_at: &'static str,
    pay_by: &'static str,
}

async fn buy(Path(sale): Path<String>, Json(purchase): Json<Purchase>) -> (StatusCode, Json<Order>) {
    let order = Order {
        code: "confirmed",
        id: format!("{sale}-00112233445566778899aabbccddeeff"),
        sale,
        status: "confirmed",
        quantity: purchase.quantity,
        unit_price: 9_900,
        amount: 9_900 * i64::from(purchase.quantity),
        currency: "CNY",
        version: 1,
        created_at: "2026-01-01T00:00:00.123Z",
        updated_at: "2026-01-01T00:00:00.123Z",
        pay_by: "2026-01-01T01:00:00.123Z",
    };
    (StatusCode::CREATED, Json(order))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{{\"event\":\"ready\",\"url\":\"http://{}\"}}", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/v1/sales/{sale}/orders", post(buy))).await
}
