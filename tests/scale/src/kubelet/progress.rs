//! `/progress` of all pods: one server, which tells by the address that it was asked under whose turn it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::IncomingStream;
use axum::{Json, Router};
use medtrain_crds::contract::{Phase, Progress, pod};
use tokio::net::TcpListener;

use super::Kubelet;

/// A pod that runs.
pub struct Running {
    pub stage: String,
    pub since: Instant,
    pub takes: Duration,
}

/// The pod's end of a connection.
#[derive(Clone)]
struct Local(Option<IpAddr>);

impl Connected<IncomingStream<'_, TcpListener>> for Local {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(stream.io().local_addr().ok().map(|address| address.ip()))
    }
}

pub async fn serve(kubelet: Arc<Kubelet>) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, pod::METRICS_PORT))).await?;
    let router = Router::new().route("/progress", get(answer)).with_state(kubelet);
    axum::serve(listener, router.into_make_service_with_connect_info::<Local>()).await?;
    Ok(())
}

async fn answer(
    ConnectInfo(Local(address)): ConnectInfo<Local>,
    State(kubelet): State<Arc<Kubelet>>,
) -> Result<Json<Progress>, StatusCode> {
    const TOTAL: u64 = 100;
    let Some(IpAddr::V4(address)) = address else { return Err(StatusCode::NOT_FOUND) };
    let all = kubelet.running.lock().unwrap_or_else(PoisonError::into_inner);
    let running = all.get(&address).ok_or(StatusCode::NOT_FOUND)?;
    let done = running.since.elapsed().as_secs_f64() / running.takes.as_secs_f64();
    let mut progress = Progress::new(&running.stage);
    progress.phase = Phase::Training;
    progress.total = TOTAL;
    progress.step = ((TOTAL as f64 * done) as u64).min(TOTAL);
    progress.loss = Some(2.0 - done.min(1.0));
    Ok(Json(progress))
}
