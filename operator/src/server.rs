//! `/livez`, `/readyz` and `/metrics`.
//!
//! Holds: ready means that the API server answers (whether or not this replica leads) and, on the leader, that its
//! caches are filled; alive means that the process is not stuck.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// What readiness depends on.
#[derive(Default)]
pub struct Health {
    pub api_answers: AtomicBool,
    pub leads: AtomicBool,
    pub caches_filled: AtomicBool,
}

impl Health {
    /// What is missing; `None`: ready.
    fn missing(&self) -> Option<&'static str> {
        if !self.api_answers.load(Ordering::Relaxed) {
            return Some("the Kubernetes API has not answered yet");
        }
        let filling = self.leads.load(Ordering::Relaxed) && !self.caches_filled.load(Ordering::Relaxed);
        filling.then_some("caches are being filled")
    }
}

/// # Errors
/// An address that can't be listened on.
pub async fn serve_health(address: SocketAddr, health: Arc<Health>) -> std::io::Result<()> {
    let ready = move || {
        let missing = health.missing();
        async move {
            match missing {
                None => (StatusCode::OK, "ok"),
                Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing),
            }
        }
    };
    let router = Router::new().route("/livez", get(|| async { "ok" })).route("/readyz", get(ready));
    axum::serve(TcpListener::bind(address).await?, router).await
}

/// # Errors
/// An address that can't be listened on.
pub async fn serve_metrics(address: SocketAddr, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let router = Router::new().route(
        "/metrics",
        get(move || {
            let text = metrics.text();
            async move { ([("content-type", "text/plain; version=0.0.4")], text) }
        }),
    );
    axum::serve(TcpListener::bind(address).await?, router).await
}
