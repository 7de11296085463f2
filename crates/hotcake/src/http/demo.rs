//! What only a demo has: a token for whoever asks, so that the page works without an identity provider. Never routed
//! elsewhere, and a demo listens on loopback only.

use super::App;
use super::auth;
use super::context::Context;
use super::problem::Problem;
use super::strict;
use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use sale::words::BuyerId;
use std::sync::Arc;

/// `POST /demo/token {"buyer":"…"}`.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/demo/token", post(token))
}

async fn token(context: Context, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let mut object = strict::command(&context, &headers, body).await?;
    let buyer = object.parsed::<BuyerId>("buyer");
    let buyer = object.required("buyer", buyer);
    match (buyer, object.faults()) {
        (Some(buyer), places) if places.is_empty() => {
            let token = auth::sign(&context.app.keys, &buyer, 86_400);
            Ok(context.ok(&serde_json::json!({ "token": token, "buyer": buyer.as_str() })))
        }
        (_, places) => Err(Problem::invalid(&context, places)),
    }
}
