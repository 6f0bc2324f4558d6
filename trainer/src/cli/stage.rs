//! `medtrain stage`: what a pod runs. Everything is in `stage.json` and the environment.

use std::path::{Path, PathBuf};

use medtrain_crds::contract::{Digest, ExitCode, Manifest, StageConfig, TerminationMessage};
use medtrain_crds::resolve::Plan;

use super::{
    compute::ComputeArgs,
    run::start,
    termination::{self, POD_LOG},
};
use crate::{
    artifact::{Access, RunId, Store, sha256_hex},
    device::Device,
    failure::{Failure, Result},
    preflight::Workspace,
    stages::{StageRun, monitor::Monitor},
    telemetry::{Server, StopSignal, Style},
};

#[derive(Debug, clap::Args)]
#[command(
    long_about = "Runs one stage of a plan that `medtrain plan --write` or a preflight pod has put into the store. The \
                  environment says which attempt this is (MEDTRAIN_ATTEMPT, POD_UID) and holds the store's \
                  credentials. The outcome is written as JSON to the termination log."
)]
pub struct StageArgs {
    /// stage.json: which plan, which stage.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Caches and scratch; may be deleted at any time.
    #[arg(long, env = "MEDTRAIN_WORKDIR", value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Number of this attempt, from 1.
    #[arg(long, env = "MEDTRAIN_ATTEMPT", default_value_t = 1, value_name = "N")]
    attempt: u32,
    /// Serve /metrics and /progress here.
    #[arg(long, env = "MEDTRAIN_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where the outcome is written; in a pod Kubernetes reads it from here.
    #[arg(long, env = "MEDTRAIN_TERMINATION_LOG", default_value = POD_LOG, value_name = "FILE")]
    termination_log: PathBuf,
    /// One JSON object a line on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: ComputeArgs,
}

pub fn run(args: StageArgs) -> Result<()> {
    let result = args.compute.on_threads(|device| stage(&args, device));
    let message = match &result {
        Ok((uri, manifest)) => {
            let mut message = TerminationMessage::new(ExitCode::Done, "");
            message.manifest_uri = Some(uri.clone());
            message.manifest_digest = Some(Digest::of(manifest.to_json().as_bytes()));
            message.step = Some(manifest.final_step);
            message.artifact_bytes = Some(manifest.files.iter().map(|file| file.size).sum());
            message.metrics = manifest.metrics.clone();
            message
        }
        Err(failure) => {
            let mut message = TerminationMessage::new(failure.exit, failure.message.clone());
            message.reason = failure.reason.name().to_string();
            message
        }
    };
    termination::write(&args.termination_log, &message.to_json());
    result.map(|_| ())
}

fn stage(args: &StageArgs, device: Device) -> Result<(String, Manifest)> {
    let stop = StopSignal::install()?;
    let bytes = std::fs::read(&args.config).map_err(|error| Failure::io(&args.config, &error))?;
    let config =
        StageConfig::parse(&bytes).map_err(|error| Failure::config(format!("{}: {error}", args.config.display())))?;
    let plan = read_plan(&config)?;
    let stage = plan
        .stage(&config.stage)
        .ok_or_else(|| Failure::config(format!("{}: has no stage \"{}\"", config.plan.uri, config.stage)))?;
    let output =
        plan.output.as_deref().ok_or_else(|| Failure::config(format!("{}: names no output", config.plan.uri)))?;
    let workspace = Workspace::of_stage(output, Path::new("/"), args.workdir.clone(), config.storage.clone())?;
    let mut monitor = Monitor::new(Style::choose(args.json), &stage.name, stage.kind.name())?;
    let _server = match &args.listen {
        Some(listen) => Some(Server::start(listen, monitor.metrics(), monitor.progress())?),
        None => None,
    };
    let attempt = StageRun {
        workspace: &workspace,
        plan: &plan,
        stage,
        run: RunId::from_env()?,
        attempt: args.attempt,
        fencing_token: std::env::var("POD_UID").ok(),
        device,
        stop: &stop,
    };
    let end = start(&attempt, &mut monitor).map_err(|failure| workspace.explain(failure))?;
    Ok((workspace.store.uri_of(&stage.manifest_path()), end.manifest().clone()))
}

/// The plan that `stage.json` points at, if its bytes are the ones it means.
fn read_plan(config: &StageConfig) -> Result<Plan> {
    let uri = &config.plan.uri;
    let (folder, name) = uri.rsplit_once('/').ok_or_else(|| Failure::config(format!("{uri}: is no URI of a plan")))?;
    let store = Store::open(folder, &Access::in_pod(config.storage.clone()).options(uri))?;
    let bytes = store.get(name)?.ok_or_else(|| {
        Failure::input(format!("{uri}: not found; the preflight that writes it has not run or its output was deleted"))
    })?;
    let found = sha256_hex(&bytes);
    if found != config.plan.sha256 {
        return Err(Failure::input(format!("{uri}: sha256 is {found}, expected {}", config.plan.sha256)));
    }
    Plan::parse(&bytes).map_err(|error| Failure::input(format!("{uri}: {error}")))
}
