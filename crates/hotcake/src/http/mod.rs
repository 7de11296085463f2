//! The HTTP API: which path leads to which handler, on which listener. A handler parses, calls one function of the engine
//! and maps its answer; nothing here decides about a purchase. The modules in reading order:

pub mod context;
pub mod problem;
pub mod envelope;
pub mod strict;
pub mod token;
pub mod auth;
pub mod values;
pub mod bodies;
pub mod orders;
pub mod sales;
pub mod sse;
pub mod webhook;
pub mod admin;
pub mod health;
pub mod metrics;
pub mod openapi;
pub mod demo;

use crate::config::{Auth as AuthSettings, Config, Envelope};
use crate::tasks::Tasks;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::http::request::Parts;
use axum::response::Response;
use context::Context;
use problem::{Code, Problem};
use sale::ports::Clock;
use sale::purchase::Engine;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::Semaphore;
use tower_service::Service as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Everything that a handler may need.
pub struct App {
    /// The protocol.
    pub engine: Arc<Engine>,
    /// The node's own time, for durations.
    pub clock: Arc<dyn Clock>,
    /// Whatever must outlive a request.
    pub tasks: Tasks,
    /// Who is who.
    pub auth: auth::Auth,
    /// What signs buyers' tokens; for the demo's own.
    pub keys: AuthSettings,
    /// What signs the payment gateway's webhooks.
    pub webhook_secret: Option<Vec<u8>>,
    /// How buyers' answers are wrapped.
    pub envelope: Envelope,
    /// Most bytes of a command.
    pub body_max: usize,
    /// Most bytes of what buyers were told.
    pub told_max: usize,
    /// Longest time for a body to arrive.
    pub body_timeout_ms: u64,
    /// Event streams that may still be opened.
    pub streams: Arc<Semaphore>,
    /// Development keys, the built-in payment gateway.
    pub demo: bool,
    /// This process's name.
    pub node: u64,
    /// The engine's start is done.
    pub started: AtomicBool,
    /// The process is stopping.
    pub draining: AtomicBool,
    /// What is counted here.
    pub meters: metrics::Meters,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App")
    }
}

impl App {
    /// An application that has not started yet.
    pub fn new(engine: Arc<Engine>, clock: Arc<dyn Clock>, tasks: Tasks, config: &Config, demo: bool, node: u64) -> Arc<Self> {
        Arc::new(Self {
            engine,
            clock,
            tasks,
            auth: auth::Auth::new(&config.auth),
            keys: config.auth.clone(),
            webhook_secret: webhook::secret(&config.auth.webhook_secret),
            envelope: config.http.envelope,
            body_max: config.http.body_max,
            told_max: config.http.told_max,
            body_timeout_ms: config.http.body_timeout_ms,
            streams: Arc::new(Semaphore::new(config.http.streams_max)),
            demo,
            node,
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            meters: metrics::Meters::new(),
        })
    }
}

/// The buyers' routes, described.
pub fn public_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(sales::list))
        .routes(routes!(sales::show))
        .routes(routes!(sse::sale))
        .routes(routes!(sales::token))
        .routes(routes!(orders::buy))
        .routes(routes!(orders::show))
        .routes(routes!(sse::order))
        .routes(routes!(orders::cancel))
        .routes(routes!(orders::pay))
        .routes(routes!(webhook::payment))
        .merge(health_routes())
}

/// The operators' routes, described. None of them exists on the buyers' listener.
pub fn admin_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(admin::sales::list, admin::sales::create))
        .routes(routes!(admin::sales::show))
        .routes(routes!(admin::sales::open))
        .routes(routes!(admin::sales::pause))
        .routes(routes!(admin::sales::close))
        .routes(routes!(admin::sales::archive))
        .routes(routes!(admin::sales::rebuild))
        .routes(routes!(admin::sales::reconcile))
        .routes(routes!(admin::stock::restock))
        .routes(routes!(admin::stock::withdraw))
        .routes(routes!(admin::stock::movements))
        .routes(routes!(admin::orders::list))
        .routes(routes!(admin::orders::show))
        .routes(routes!(admin::orders::refund))
        .routes(routes!(admin::orders::refunded))
        .routes(routes!(admin::letters::list))
        .routes(routes!(admin::letters::replay))
        .routes(routes!(admin::audit::look, admin::audit::with_tales))
}

fn health_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(health::live)).routes(routes!(health::ready)).routes(routes!(metrics::show))
}

/// What a listener serves.
#[derive(Clone)]
pub struct Door {
    router: Router,
    /// Set where buyers come in: their purchases do not go through the router.
    buyers: Option<Arc<App>>,
}

impl Door {
    /// Answers a request.
    pub async fn answer(&self, request: Request<Body>) -> Response {
        if let Some(app) = &self.buyers
            && let Some(sale) = orders::sale_of_buy(request.method(), request.uri().path())
        {
            let (parts, body) = request.into_parts();
            return orders::buy_directly(app, sale, parts, body).await;
        }
        match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// What the buyers' listener serves.
pub fn public(app: Arc<App>) -> Door {
    let router: Router<Arc<App>> = public_routes().into();
    let router = router.merge(openapi::router()).merge(crate::page::router());
    let router = if app.demo { router.merge(demo::router()) } else { router };
    Door { buyers: Some(app.clone()), router: finished(router, app) }
}

/// What the operators' listener serves.
pub fn admin(app: Arc<App>) -> Door {
    let router: Router<Arc<App>> = admin_routes().merge(health_routes()).into();
    Door { buyers: None, router: finished(router.merge(openapi::router()), app) }
}

fn finished(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    router.fallback(nowhere).method_not_allowed_fallback(not_so).with_state(app)
}

async fn nowhere(State(app): State<Arc<App>>, parts: Parts) -> Problem {
    Context::of(&parts, &app).problem(Code::NotFound)
}

async fn not_so(State(app): State<Arc<App>>, parts: Parts) -> Problem {
    Context::of(&parts, &app).problem(Code::MethodNotAllowed)
}
