//! `/livez`, `/readyz` and `/metrics`.
//!
//! Holds: ready means that the API server answered a moment ago (whether or not this replica leads) and, on the leader,
//! that its caches are filled; alive means that timers of this process still fire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use kube::Client;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Between two looks at the API server.
const PERIOD: Duration = Duration::from_secs(5);
/// Without an answer for so long a replica is not ready.
const SILENT_AFTER: Duration = Duration::from_secs(30);
/// Without a timer that fires for so long a process is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// A moment that is written again and again.
pub struct Beat {
    start: Instant,
    /// Milliseconds after `start`; `u64::MAX`: never yet.
    last: AtomicU64,
}

impl Beat {
    fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(u64::MAX) }
    }

    pub fn beat(&self) {
        self.last.store(self.start.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Since the last one.
    fn age(&self) -> Option<Duration> {
        match self.last.load(Ordering::Relaxed) {
            u64::MAX => None,
            last => Some(self.start.elapsed().saturating_sub(Duration::from_millis(last))),
        }
    }
}

/// What the two answers depend on.
pub struct Health {
    /// Whenever the process looks after itself.
    pub alive: Beat,
    /// Whenever the API server answers.
    pub api_answered: Beat,
    pub leads: AtomicBool,
    /// Watched scopes whose caches are not filled yet.
    pub unfilled: AtomicUsize,
}

impl Default for Health {
    fn default() -> Self {
        let alive = Beat::new();
        alive.beat();
        Self { alive, api_answered: Beat::new(), leads: AtomicBool::new(false), unfilled: AtomicUsize::new(1) }
    }
}

impl Health {
    /// Asks the API server for its version for ever, a few seconds apart.
    pub async fn watch(&self, client: Client) {
        loop {
            self.alive.beat();
            match tokio::time::timeout(PERIOD, client.apiserver_version()).await {
                Ok(Ok(_)) => self.api_answered.beat(),
                Ok(Err(error)) => tracing::debug!(%error, "the Kubernetes API does not answer"),
                Err(_) => tracing::debug!("the Kubernetes API does not answer in time"),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Why the process should be ended; `None`: it should not.
    fn stuck(&self) -> Option<String> {
        let age = self.alive.age()?;
        (age > STUCK_AFTER).then(|| format!("timers have not fired for {} s", age.as_secs()))
    }

    /// What is missing; `None`: ready.
    fn missing(&self) -> Option<String> {
        let Some(age) = self.api_answered.age() else {
            return Some("the Kubernetes API has not answered yet".to_string());
        };
        if age > SILENT_AFTER {
            return Some(format!("the Kubernetes API has not answered for {} s", age.as_secs()));
        }
        let filling = self.leads.load(Ordering::Relaxed) && self.unfilled.load(Ordering::Relaxed) > 0;
        filling.then(|| "caches are being filled".to_string())
    }
}

fn answer(problem: Option<String>) -> (StatusCode, String) {
    match problem {
        None => (StatusCode::OK, "ok".to_string()),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, problem),
    }
}

/// # Errors
/// An address that can't be listened on.
pub async fn serve_health(address: SocketAddr, health: Arc<Health>) -> std::io::Result<()> {
    let (live, ready) = (health.clone(), health);
    let router = Router::new()
        .route("/livez", get(move || std::future::ready(answer(live.stuck()))))
        .route("/readyz", get(move || std::future::ready(answer(ready.missing()))));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(beat: &mut Beat, age: Duration) {
        beat.start = Instant::now().checked_sub(age).unwrap();
        beat.last = AtomicU64::new(0);
    }

    #[test]
    fn a_standby_is_ready_once_the_api_server_answers_a_leader_once_its_caches_are_filled() {
        let health = Health::default();
        assert_eq!(health.missing().as_deref(), Some("the Kubernetes API has not answered yet"));
        health.api_answered.beat();
        assert_eq!(health.missing(), None);
        health.leads.store(true, Ordering::Relaxed);
        assert_eq!(health.missing().as_deref(), Some("caches are being filled"));
        health.unfilled.store(0, Ordering::Relaxed);
        assert_eq!(health.missing(), None);
    }

    #[test]
    fn silence_of_the_api_server_takes_readiness_and_only_stuck_timers_take_the_process() {
        let mut health = Health::default();
        ago(&mut health.api_answered, SILENT_AFTER + Duration::from_secs(1));
        assert_eq!(health.missing().as_deref(), Some("the Kubernetes API has not answered for 31 s"));
        assert_eq!(health.stuck(), None);
        ago(&mut health.alive, STUCK_AFTER + Duration::from_secs(1));
        assert_eq!(health.stuck().as_deref(), Some("timers have not fired for 61 s"));
    }
}
