//! `medtrain preflight`: `medtrain plan` as a pod. Everything is in `preflight.json` and the environment.
//!
//! Holds: a plan is in the store only if nothing is wrong; the answer in the termination log has the reason of the exit
//! code; what only works on a machine of one's own (relative paths, a default output) is refused with its field.

use std::path::PathBuf;

use medtrain_crds::contract::{
    ExitCode, PlanRef, PreflightConfig, PreflightMessage, StageForecast, StageLimits, StoreAccess, layout, pod,
};
use medtrain_crds::resolve::{self, Resolved};
use medtrain_crds::training::{InputSpec, MedicalTraining, PodTemplate};

use super::{
    plan::report,
    termination::{self, POD_LOG},
};
use crate::{
    artifact::{Access, sha256_hex},
    failure::Failure,
    preflight::{Forecast, Preflight, Workspace, preflight, preflight_stage},
    telemetry::StopSignal,
};

#[derive(Debug, clap::Args)]
#[command(
    long_about = "Looks at all inputs of a training as `medtrain plan` does, and writes the plan, a pointer a stage and a \
                  report to the store. The environment holds the stores' credentials. The outcome is written as JSON \
                  to the termination log."
)]
pub struct PreflightArgs {
    /// preflight.json: the training, what its pods may use, which stages to look at.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Caches and scratch; may be deleted at any time.
    #[arg(long, env = pod::env::WORKDIR, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Where the outcome is written; in a pod Kubernetes reads it from here.
    #[arg(long, env = "MEDTRAIN_TERMINATION_LOG", default_value = POD_LOG, value_name = "FILE")]
    termination_log: PathBuf,
}

/// What was found, as far as it got.
#[derive(Default)]
struct Answer {
    plan: Option<PlanRef>,
    stages: Vec<StageForecast>,
    report_uri: Option<String>,
}

type Problems = Vec<Failure>;

/// # Errors
/// Every problem of the resource (64) or of its inputs; 85 on SIGTERM, by ending the process.
pub fn run(args: PreflightArgs) -> std::result::Result<(), Problems> {
    let mut answer = Answer::default();
    let result = StopSignal::install().map_err(one).and_then(|_| look(&args, &mut answer));
    let problems = result.as_ref().err().map_or(&[][..], Vec::as_slice);
    let reason = problems.first().map_or(ExitCode::Done, |first| first.exit).reason().to_owned();
    let errors = problems.iter().map(|problem| problem.message.clone()).collect();
    let Answer { plan, stages, report_uri } = answer;
    let message = PreflightMessage { reason, plan, stages, errors, more_errors: 0, report_uri };
    termination::write(&args.termination_log, &message.to_json());
    result
}

fn one(failure: Failure) -> Problems {
    vec![failure]
}

fn look(args: &PreflightArgs, answer: &mut Answer) -> std::result::Result<(), Problems> {
    let bytes = std::fs::read(&args.config).map_err(|error| one(Failure::io(&args.config, &error)))?;
    let config = PreflightConfig::parse(&bytes)
        .map_err(|error| one(Failure::config(format!("{}: {error}", args.config.display()))))?;
    let value = serde_yaml::to_value(&config.training)
        .map_err(|error| one(Failure::config(format!("{}: training: {error}", args.config.display()))))?;
    let (training, resolved) = resolve::load(&value)
        .map_err(|errors| errors.into_iter().map(|error| Failure::config(error.to_string())).collect::<Problems>())?;
    let output = only_in_a_cluster(&training)?;
    let access = access(&training)?;
    let ws = Workspace::in_pod(&output, args.workdir.clone(), access, resolved.hub.as_ref()).map_err(one)?;
    let looked = survey(&config, &resolved, &ws);
    let (found, mut problems) = match looked {
        Ok(found) => (Some(found), Vec::new()),
        Err(problems) => (None, problems),
    };
    if let Some(found) = &found {
        problems.extend(beyond_limits(&config, &training, &found.stages));
        answer.stages = found.stages.iter().map(forecast).collect();
    }
    let path = layout::report_path(&resolved.namespace, &resolved.name, &sha256_hex(&bytes)[..12]);
    let written = report(&resolved, &ws, found.as_ref(), &problems)
        .and_then(|report| ws.store.put(&path, format!("{report:#}\n")))
        .map(|()| ws.store.uri_of(&path));
    match written {
        Ok(uri) => answer.report_uri = Some(uri),
        // A store that can't be written is a problem already, the first one.
        Err(_) if !problems.is_empty() => {}
        Err(failure) => problems.push(failure),
    }
    match found {
        Some(found) if problems.is_empty() => {
            if config.only.is_empty() {
                answer.plan = Some(found.write(&ws).map_err(one)?);
            }
            Ok(())
        }
        _ => Err(problems.into_iter().map(|failure| ws.explain(failure)).collect()),
    }
}

/// The whole training, or the stages that are asked for.
fn survey(config: &PreflightConfig, resolved: &Resolved, ws: &Workspace) -> std::result::Result<Preflight, Problems> {
    let mut only = config.only.iter();
    let Some(first) = only.next() else { return preflight(resolved, ws) };
    let mut found = preflight_stage(resolved, ws, first)?;
    for name in only {
        found.stages.extend(preflight_stage(resolved, ws, name)?.stages);
    }
    Ok(found)
}

fn forecast(found: &Forecast) -> StageForecast {
    StageForecast {
        name: found.name.clone(),
        key: found.key.key12().to_owned(),
        done: found.done,
        steps: found.steps,
        mib: found.memory.map(|memory| memory.total.div_ceil(1 << 20)),
    }
}

/// The output, if every path means the same in every pod.
fn only_in_a_cluster(training: &MedicalTraining) -> std::result::Result<String, Problems> {
    let spec = &training.spec;
    let mut problems = Vec::new();
    let mut absolute = |place: String, uri: &str| {
        if !uri.contains("://") && !uri.starts_with('/') {
            problems.push(Failure::config(format!(
                "{place}: {uri} is a relative path, which means nothing in a pod; write a URI such as s3://bucket/{uri}, \
                 or an absolute path in a mounted volume"
            )));
        }
    };
    let model = [("model.uri", &spec.model.uri), ("model.tokenizer", &spec.model.tokenizer)];
    let output = [("output.uri", &spec.output.as_ref().map(|output| output.uri.clone()))];
    for (place, uri) in model.into_iter().chain(output) {
        uri.iter().for_each(|uri| absolute(place.to_owned(), uri));
    }
    for (at, stage) in spec.stages.iter().enumerate() {
        let inputs = stage.inputs.clone().unwrap_or_default();
        let roles: [(&str, &Option<InputSpec>); 5] = [
            ("policy", &inputs.policy),
            ("base", &inputs.base),
            ("reference", &inputs.reference),
            ("reward", &inputs.reward),
            ("adapter", &inputs.adapter),
        ];
        for (role, input) in roles {
            if let Some(uri) = input.as_ref().and_then(|input| input.uri.as_ref()) {
                absolute(format!("stages[{at}].inputs.{role}.uri"), uri);
            }
        }
        let dataset = stage.dataset.clone().unwrap_or_default();
        for (field, entries) in [("train", &dataset.train), ("eval", &dataset.eval)] {
            for (entry, uri) in entries.iter().enumerate() {
                absolute(format!("stages[{at}].dataset.{field}[{entry}]"), uri);
            }
        }
    }
    match &spec.output {
        Some(output) if problems.is_empty() => Ok(output.uri.clone()),
        Some(_) => Err(problems),
        None => {
            problems.insert(
                0,
                Failure::config(
                    "output: is missing; name where artifacts go, such as output: {uri: \"s3://models/med\"}",
                ),
            );
            Err(problems)
        }
    }
}

/// How the stores of the resource are reached from here.
fn access(training: &MedicalTraining) -> std::result::Result<Access, Problems> {
    let storage = &training.spec.storage;
    let entry = |(index, spec): (usize, &medtrain_crds::training::StorageSpec)| StoreAccess {
        uri_prefix: spec.uri_prefix.clone(),
        endpoint: spec.endpoint.clone(),
        region: spec.region.clone(),
        ca_file: spec.ca_config_map_ref.as_ref().map(|_| pod::ca_file(index)),
    };
    let access = Access::in_pod(storage.iter().enumerate().map(entry).collect());
    let secrets = storage.iter().enumerate().filter_map(|(index, spec)| Some((index, spec.secret_ref.as_ref()?)));
    let empty: Problems = secrets
        .filter(|(index, _)| !access.has_credentials(*index))
        .map(|(index, secret)| {
            let name = &secret.name;
            let sentence = format!(
                "storage[{index}].secretRef: nothing of the secret {name} is in this pod; its keys are variables such as \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            );
            Failure::new(ExitCode::Permission, sentence)
        })
        .collect();
    if empty.is_empty() { Ok(access) } else { Err(empty) }
}

/// Stages that need more memory than their pods get.
fn beyond_limits(config: &PreflightConfig, training: &MedicalTraining, stages: &[Forecast]) -> Problems {
    let spec = &training.spec;
    let check = |stage: &Forecast| {
        let needed = stage.memory?.total;
        let StageLimits { memory, accelerator_memory } = *config.limits.get(&stage.name)?;
        let on_accelerator = accelerator_memory.is_some();
        let allowed = accelerator_memory.or(memory).filter(|allowed| needed > *allowed)?;
        let sets = |template: &PodTemplate| match on_accelerator {
            true => template.accelerator_memory.is_some(),
            false => template.resources.as_ref().is_some_and(|set| set.pointer("/limits/memory").is_some()),
        };
        let at = spec.stages.iter().position(|named| named.name == stage.name)?;
        // The field that holds the value; for a default of the operator, the one that overrides it.
        let shared =
            spec.pod_template.as_ref().is_some_and(sets) && !spec.stages[at].pod_template.as_ref().is_some_and(sets);
        let place = if shared { String::new() } else { format!("stages[{at}].") };
        let field = if on_accelerator { "acceleratorMemory" } else { "resources.limits.memory" };
        Some(Failure::config(format!(
            "{place}podTemplate.{field}: stage \"{}\" takes about {} MiB at its peak, but has {} MiB; raise it, make \
             train.perDeviceTrainBatchSize smaller, or set train.gradientCheckpointing: true",
            stage.name,
            needed.div_ceil(1 << 20),
            allowed >> 20
        )))
    };
    stages.iter().filter_map(check).collect()
}
