//! `medtrain-operator`: serve, wait for the lease, reconcile until told to stop.
//!
//! Holds: a replica that stops on SIGTERM finishes the reconciles in progress, then hands the lease over; one that lost
//! its lease ends at once.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use kube::{Api, Client};
use medtrain_operator::api;
use medtrain_operator::check::{Findings, Place, check};
use medtrain_operator::cli::{Cli, Command};
use medtrain_operator::config::{Defaults, Policy};
use medtrain_operator::controller::run::{Setup, run};
use medtrain_operator::lease::{Election, Fence, Timing};
use medtrain_operator::metrics::Metrics;
use medtrain_operator::server::{Health, serve_health, serve_metrics};
use medtrain_operator::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

/// Seconds of a pod's grace (30) that stopping may take.
const STOP_WITHIN: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Some(Command::Crd) => {
            print!("{}", medtrain_crds::k8s::definition_yaml());
            return ExitCode::SUCCESS;
        }
        Some(Command::Check { ready_url }) => return report(look(&cli, ready_url.as_deref()).await),
        None => {}
    }
    if let Err(error) = telemetry::init(cli.log_format, &cli.log) {
        eprintln!("--log {:?}: {error}", cli.log);
        return ExitCode::FAILURE;
    }
    match operate(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the operator stops");
            ExitCode::FAILURE
        }
    }
}

fn policy(cli: &Cli) -> anyhow::Result<Policy> {
    let defaults = match &cli.config {
        None => Defaults::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            Defaults::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?
        }
    };
    Ok(Policy {
        trainer_image: cli.trainer_image.clone(),
        image_pull_policy: cli.image_pull_policy.clone().filter(|policy| !policy.is_empty()),
        max_attempts: cli.max_attempts,
        backoff_seconds: cli.backoff_seconds.into(),
        max_disruptions: cli.max_disruptions,
        pending_deadline_seconds: cli.pending_deadline_seconds.into(),
        active_deadline_seconds: cli.active_deadline_seconds.into(),
        lost_node_after_seconds: cli.lost_node_after_seconds.into(),
        progress_interval_seconds: cli.progress_interval_seconds.into(),
        defaults,
    })
}

/// Namespaces to watch; none: all.
fn watched(cli: &Cli) -> Vec<String> {
    cli.namespaces.iter().filter(|name| !name.is_empty()).cloned().collect()
}

/// Where the Lease is.
fn lease_namespace(cli: &Cli, client: &Client) -> String {
    let own = cli.lease_namespace.clone().or_else(|| std::env::var("POD_NAMESPACE").ok());
    own.unwrap_or_else(|| client.default_namespace().to_string())
}

async fn look(cli: &Cli, ready_url: Option<&str>) -> anyhow::Result<Findings> {
    let client = api::client(Arc::new(Metrics::new()?)).await?;
    let lease = cli.leader_election.then(|| (lease_namespace(cli, &client), cli.lease_name.clone()));
    check(&client, &Place { namespaces: watched(cli), lease }, ready_url).await
}

fn report(looked: anyhow::Result<Findings>) -> ExitCode {
    let findings = match looked {
        Ok(findings) => findings,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    for (sign, lines) in [("ok", &findings.good), ("note", &findings.notes), ("PROBLEM", &findings.problems)] {
        for line in lines {
            println!("{sign}: {line}");
        }
    }
    if findings.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn operate(cli: Cli) -> anyhow::Result<()> {
    let policy = policy(&cli)?;
    let metrics = Arc::new(Metrics::new()?);
    let health = Arc::new(Health::default());
    let client = api::client(metrics.clone()).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
    };
    tokio::select! {
        ended = serve_health(cli.health_listen, health.clone()) => ended.context("serving health"),
        ended = serve_metrics(cli.metrics_listen, metrics.clone()) => ended.context("serving metrics"),
        () = health.watch(client.clone()) => anyhow::bail!("nobody looks after this process any more"),
        ended = lead(cli, policy, client, metrics, health.clone(), stop) => ended,
    }
}

/// Acts on the cluster: waits for the lease, then reconciles until `stop` or until the lease is lost.
async fn lead(
    cli: Cli,
    policy: Policy,
    client: Client,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    tokio::pin!(stop);
    let election = cli.leader_election.then(|| {
        let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
        let began = jiff::Timestamp::now().as_nanosecond();
        Arc::new(Election {
            api: Api::namespaced(client.clone(), &lease_namespace(&cli, &client)),
            name: cli.lease_name.clone(),
            identity: format!("{host}_{}_{began:x}", std::process::id()),
            fence: Fence::shut(),
            timing: Timing::default(),
        })
    });
    if let Some(election) = &election {
        tokio::select! {
            () = election.acquire() => {}
            () = &mut stop => return Ok(()),
        }
    }
    tracing::info!("leading");
    metrics.set_leader(true);
    let namespaces = watched(&cli);
    let scopes: Vec<_> = if namespaces.is_empty() { vec![None] } else { namespaces.into_iter().map(Some).collect() };
    health.unfilled.store(scopes.len(), Ordering::Relaxed);
    health.leads.store(true, Ordering::Relaxed);
    let fence = election.as_ref().map_or_else(Fence::open, |election| election.fence.clone());
    let slots = Arc::new(Semaphore::new(usize::from(cli.concurrency)));
    let setup = Setup { client, policy, metrics, fence, health, slots: slots.clone() };
    let runs = futures::future::join_all(scopes.into_iter().map(|scope| run(setup.clone(), scope)));
    tokio::pin!(runs);
    let kept = async {
        match &election {
            Some(election) => election.keep().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(kept);
    tokio::select! {
        _ = &mut runs => anyhow::bail!("the watches ended"),
        () = &mut kept => anyhow::bail!("the lease was lost; another replica may lead"),
        () = &mut stop => {}
    }
    tracing::info!("stopping; what was begun is finished");
    // With all slots nothing is in progress, and nothing begins as long as they are held.
    let _held = tokio::select! {
        held = slots.acquire_many(u32::from(cli.concurrency)) => held.ok(),
        _ = &mut runs => None,
        () = &mut kept => anyhow::bail!("the lease was lost while stopping"),
        () = tokio::time::sleep(STOP_WITHIN) => {
            tracing::warn!("not all was finished in {} s", STOP_WITHIN.as_secs());
            None
        }
    };
    if let Some(election) = &election {
        election.release().await;
    }
    Ok(())
}
