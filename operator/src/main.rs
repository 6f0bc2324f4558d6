//! `medtrain-operator`: serve, wait for the lease, reconcile until told to stop.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use clap::Parser;
use kube::{Api, Client};
use medtrain_operator::cli::{Cli, Command};
use medtrain_operator::config::{Defaults, Policy};
use medtrain_operator::controller::run::{Setup, run};
use medtrain_operator::lease::{Election, Fence};
use medtrain_operator::metrics::Metrics;
use medtrain_operator::server::{Health, serve_health, serve_metrics};
use medtrain_operator::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Crd) = cli.command {
        print!("{}", medtrain_crds::k8s::definition_yaml());
        return ExitCode::SUCCESS;
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

async fn operate(cli: Cli) -> anyhow::Result<()> {
    let policy = policy(&cli)?;
    let metrics = Arc::new(Metrics::new()?);
    let health = Arc::new(Health::default());
    let health_server = serve_health(cli.health_listen, health.clone());
    let metrics_server = serve_metrics(cli.metrics_listen, metrics.clone());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
    };
    tokio::select! {
        ended = health_server => ended.context("serving health"),
        ended = metrics_server => ended.context("serving metrics"),
        ended = lead(cli, policy, metrics, health, stop) => ended,
    }
}

/// Acts on the cluster: waits for the lease, then reconciles until `stop` or until the lease is lost.
async fn lead(
    cli: Cli,
    policy: Policy,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("finding the cluster (in a pod, or by KUBECONFIG)")?;
    let version = client.apiserver_version().await.context("asking the Kubernetes API for its version")?;
    health.api_answers.store(true, Ordering::Relaxed);
    tracing::info!(kubernetes = version.git_version, version = env!("CARGO_PKG_VERSION"), "connected");
    tokio::pin!(stop);
    let election = cli.leader_election.then(|| {
        let namespace = cli.lease_namespace.clone().or_else(|| std::env::var("POD_NAMESPACE").ok());
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_string());
        let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
        let began = jiff::Timestamp::now().as_nanosecond();
        Arc::new(Election {
            api: Api::namespaced(client.clone(), &namespace),
            name: cli.lease_name.clone(),
            identity: format!("{host}_{}_{began:x}", std::process::id()),
            fence: Fence::shut(),
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
    health.leads.store(true, Ordering::Relaxed);
    let fence = election.as_ref().map_or_else(Fence::open, |election| election.fence.clone());
    let setup = Setup { client, policy, metrics, fence, health, concurrency: cli.concurrency };
    let (stopper, stopped) = watch::channel(false);
    let namespaces: Vec<_> = cli.namespaces.into_iter().filter(|name| !name.is_empty()).map(Some).collect();
    let scopes = if namespaces.is_empty() { vec![None] } else { namespaces };
    let runs = scopes.into_iter().map(|scope| run(setup.clone(), scope, stopped.clone()));
    let runs = futures::future::join_all(runs);
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
    let _ = stopper.send(true);
    tokio::select! {
        _ = &mut runs => {}
        () = &mut kept => anyhow::bail!("the lease was lost while stopping"),
        () = tokio::time::sleep(std::time::Duration::from_secs(20)) => tracing::warn!("not all was finished in 20 s"),
    }
    if let Some(election) = &election {
        election.release().await;
    }
    Ok(())
}
