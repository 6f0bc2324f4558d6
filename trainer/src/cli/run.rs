//! `medtrain run`: a whole training on this machine.

use std::path::PathBuf;

use burn_flex::Flex;
use medtrain_crds::contract::{ExitCode, Phase};
use medtrain_crds::resolve::{PlannedStage, Resolved, Role};

use super::{
    compute::ComputeArgs,
    summary::{self, Row},
    training_file,
};
use crate::{
    artifact::RunId,
    device::Device,
    failure::{Failure, Result},
    preflight::{Preflight, Workspace, preflight, preflight_stage},
    stages::{StageEnd, StageRun, monitor::Monitor},
    telemetry::{Server, StopSignal, Style},
};

#[derive(Debug, clap::Args)]
#[command(
    long_about = "Runs the stages of a training file in order on this machine. Everything is checked first: the file, \
                  the models, every data row. A stage that is finished is used again, whoever made it; an interrupted \
                  one goes on from its newest checkpoint. Ctrl-C writes a checkpoint and stops."
)]
pub struct RunArgs {
    /// The training: a MedicalTraining resource as YAML.
    file: PathBuf,
    /// Override a field: --set stages.sft.train.maxSteps=10. May be given several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Run this stage alone; what it needs must be finished.
    #[arg(long, value_name = "STAGE")]
    only: Option<String>,
    /// Caches and scratch; may be deleted at any time. The default is medtrain in the user's cache directory.
    #[arg(long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Serve /metrics and /progress here, such as 127.0.0.1:9090 or :9090.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Prompts, one a line, that the model answers at the end as it was and as it is.
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// One JSON object a line on standard output instead of progress bars and tables.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: ComputeArgs,
}

pub fn run(args: RunArgs) -> std::result::Result<(), Vec<Failure>> {
    let (_, resolved) = training_file::load(&args.file, &args.sets)?;
    let outcome = args.compute.on_threads(|device| Ok(train(&args, &resolved, device)));
    outcome.map_err(|failure| vec![failure])?
}

fn train(args: &RunArgs, resolved: &Resolved, device: Device) -> std::result::Result<(), Vec<Failure>> {
    let one = |failure: Failure| vec![failure];
    let stop = StopSignal::install().map_err(one)?;
    let folder = training_file::folder(&args.file);
    let workspace = Workspace::open(resolved, folder, args.workdir.clone()).map_err(one)?;
    let questions = args.questions.as_deref().map(summary::questions).transpose().map_err(one)?;
    if !args.json {
        eprintln!("checking {} …", args.file.display());
    }
    let found = match &args.only {
        Some(stage) => preflight_stage(resolved, &workspace, stage)?,
        None => preflight(resolved, &workspace)?,
    };
    found.notes.iter().for_each(|note| eprintln!("note: {note}"));
    found.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let done = all_stages(args, &workspace, &found, questions.as_deref(), device, &stop);
    done.map_err(|failure| one(workspace.explain(failure)))
}

fn all_stages(
    args: &RunArgs,
    workspace: &Workspace,
    found: &Preflight,
    questions: Option<&[String]>,
    device: Device,
    stop: &StopSignal,
) -> Result<()> {
    let wanted = |stage: &&PlannedStage| args.only.as_ref().is_none_or(|only| stage.name == *only);
    let chosen: Vec<&PlannedStage> = found.plan.stages.iter().filter(wanted).collect();
    found.write(workspace)?;
    let mut rows = Vec::new();
    for stage in chosen {
        if stop.stop_requested() {
            let sentence = format!("stopped before stage \"{}\"; run the same command again to go on", stage.name);
            return Err(Failure::new(ExitCode::Checkpointed, sentence));
        }
        rows.push(run_stage(args, workspace, found, stage, device, stop)?);
    }
    summary::print(&rows, args.json);
    match questions {
        Some(questions) => summary::ask(questions, &first_model(workspace, found)?, last_model(&rows).as_deref()),
        None => Ok(()),
    }
}

fn run_stage(
    args: &RunArgs,
    workspace: &Workspace,
    found: &Preflight,
    stage: &PlannedStage,
    device: Device,
    stop: &StopSignal,
) -> Result<Row> {
    let mut monitor = Monitor::new(Style::choose(args.json), &stage.name, stage.kind.name())?;
    let _server = match &args.listen {
        Some(listen) => Some(Server::start(listen, monitor.metrics(), monitor.progress())?),
        None => None,
    };
    monitor.phase(Phase::Starting);
    let attempt = StageRun {
        workspace,
        plan: &found.plan,
        stage,
        run: RunId::from_env()?,
        attempt: 1,
        fencing_token: None,
        device,
        stop,
    };
    let end = start(&attempt, &mut monitor)?;
    Ok(Row::new(workspace, stage, end.manifest(), matches!(end, StageEnd::Cached(_))))
}

/// Runs an attempt on its device.
pub fn start(attempt: &StageRun, monitor: &mut Monitor) -> Result<StageEnd> {
    match attempt.device {
        Device::Cpu => attempt.run::<Flex>(monitor, &Default::default()),
        #[cfg(feature = "cuda")]
        Device::Cuda(ordinal) => attempt.run::<crate::ops::Cuda>(monitor, &burn_cuda::CudaDevice::new(ordinal)),
        #[cfg(feature = "wgpu")]
        device @ Device::Wgpu(_) => attempt.run::<crate::ops::Wgpu>(monitor, &crate::ops::wgpu_device(device)?),
        // No request resolves to a device that the binary was built without.
        #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
        device => Err(Failure::device(format!("this medtrain was built without {device}; use --device cpu"))),
    }
}

/// Directory of the model that the pipeline started from.
fn first_model(workspace: &Workspace, found: &Preflight) -> Result<PathBuf> {
    let stage = found.plan.stages.first().ok_or_else(|| Failure::config("the training has no stage"))?;
    let role = if stage.inputs.contains_key(&Role::Policy) { Role::Policy } else { Role::Base };
    crate::stages::inputs::model_input::<Flex>(workspace, stage, role, &Default::default())?
        .map(|input| input.dir)
        .ok_or_else(|| Failure::config(format!("{}: names no model", stage.name)))
}

/// Directory of the last model that answers (a reward model does not).
fn last_model(rows: &[Row]) -> Option<PathBuf> {
    rows.iter().rev().find(|row| row.answers).and_then(|row| row.merged.clone())
}
