//! The API's description, generated from the handlers, and a small page that shows it. No file comes from elsewhere.

use super::App;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::{Arc, LazyLock};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

#[derive(OpenApi)]
#[openapi(
    info(title = "Hotcake", description = "A flash-sale order engine. Buyers come with a JWT, operators with an API key, each as Authorization: Bearer; the /v1/admin paths stand on their own listener."),
    modifiers(&Security)
)]
struct Description;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = |format: &str| SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format).build());
        components.add_security_scheme("buyer", bearer("JWT"));
        components.add_security_scheme("operator", bearer("API key"));
    }
}

/// The description as JSON.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let routes = super::public_routes().merge(super::admin_routes());
        let (_, description) = OpenApiRouter::<Arc<App>>::with_openapi(Description::openapi()).merge(routes).split_for_parts();
        description.to_pretty_json().expect("the description is plain values")
    });
    &TEXT
}

const DOCS: &str = include_str!("docs.html");
const DOCS_CODE: &str = include_str!("docs.js");
const ERRORS: &str = include_str!("../../../../docs/errors.md");

/// `/openapi.json`, `/docs`, `/docs/errors`.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/openapi.json", get(async || typed("application/json", text())))
        .route("/docs", get(async || page(DOCS)))
        .route("/docs/docs.js", get(async || typed("text/javascript; charset=utf-8", DOCS_CODE)))
        .route("/docs/errors", get(async || typed("text/plain; charset=utf-8", ERRORS)))
}

fn typed(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

fn page(text: &'static str) -> Response {
    let mut response = typed("text/html; charset=utf-8", text);
    let policy = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
