//! Our side of `make bench` where a step is measured; the other side is tests/bench/peer.py, both are driven by
//! tests/bench/bench.py.
//!
//! `bench_step WORKLOAD.json` loads the model and says that it is ready; then every line `step` of standard input asks
//! for one step, answered by one line of JSON with its figures, `forecast` for the memory that a stage of that shape would
//! plan with, and `roofline` for what a training step's matrix products take by themselves. It ends when its input does, so a step can be profiled by hand:
//! `yes step | head -3 | bench_step WORKLOAD.json`.
//!
//! Holds: the timed code is the stages' own (task, clipping, optimiser; the sampler), on the CPU.

mod roofline;
mod training;

use std::{
    io::{BufRead, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use burn_flex::Flex;
use medtrain_trainer::{
    cli::compute::ComputeArgs,
    device::memory,
    failure::{Failure, Result},
    generate::{Generation, Request, SamplingArgs, StopRules},
    model::{Decoder, load},
    weights::ModelFiles,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use training::Train;

const SEED: u64 = 42;

/// What both sides do at each step.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Workload {
    /// A Hugging Face directory.
    model: PathBuf,
    threads: usize,
    /// Token ids: the sequences of a batch, the sides of pairs (chosen, rejected, chosen, …), or prompts.
    ids: Vec<Vec<u32>>,
    task: Task,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Task {
    /// Optimiser steps on the same sequences, pairs or prompts; of PPO, a rollout and all epochs over it.
    Train(Box<Train>),
    /// Greedy decoding of all prompts as one batch; nothing ends a response early.
    Generate { max_new_tokens: u32 },
}

/// What a step has to show for its time.
#[derive(Default, Serialize)]
struct Done {
    /// Tokens read by a training step; new tokens of a generation or a PPO step.
    tokens: usize,
    /// The first update's loss of the step, before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<f64>,
    /// The new tokens of each prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<Vec<Vec<u32>>>,
    /// Of PPO: what was sampled and how it was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<Value>,
}

/// What answers `step`, `forecast`, and `roofline` where there is one.
struct Work {
    step: Box<dyn FnMut() -> Result<Done>>,
    trained_parameters: usize,
    /// Of training: a `MemoryEstimate`.
    forecast: Value,
    roofline: Option<Box<dyn FnOnce() -> Value>>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench_step: {failure}");
            ExitCode::from(failure.exit.code())
        }
    }
}

fn run() -> Result<()> {
    let path = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or_else(|| Failure::config("usage: bench_step WORKLOAD.json (tests/bench/bench.py writes one a row)"))?;
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::io(&path, &error))?;
    let workload: Workload = serde_json::from_str(&text)
        .map_err(|error| Failure::config(format!("{}: not a workload: {error}", path.display())))?;

    ComputeArgs { device: "cpu".into(), threads: Some(workload.threads) }.on_threads(|_| serve(workload))
}

/// Takes a step for each line `step` of standard input, and answers with its figures.
fn serve(workload: Workload) -> Result<()> {
    let longest = workload.ids.iter().map(Vec::len).max().unwrap_or(0);
    let new = match &workload.task {
        Task::Train(train) => train.max_new_tokens(),
        Task::Generate { max_new_tokens } => *max_new_tokens as usize,
    };
    // A PPO response that was cut off is scored with a stop token after it.
    let model = load::load::<Flex>(&workload.model, longest + new + 1, &Default::default())?;
    let stored = ModelFiles::open(&workload.model)?.dtype("model.embed_tokens.weight")?;
    let mut work = match workload.task {
        Task::Train(train) => train.start(model, stored, workload.ids)?,
        Task::Generate { max_new_tokens } => generation(model, workload.ids, max_new_tokens)?,
    };

    let versions = json!({"medtrain": env!("CARGO_PKG_VERSION")});
    answer(&json!({"versions": versions, "trainedParameters": work.trained_parameters}))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::internal(format!("standard input: {error}")))?;
        match line.trim() {
            "step" => {
                let started = Instant::now();
                let done = (work.step)()?;
                let seconds = started.elapsed().as_secs_f64();
                let mut figures = json!(done);
                figures["seconds"] = seconds.into();
                figures["peakRss"] = memory::peak().into();
                answer(&figures)?;
            }
            "forecast" => answer(&work.forecast)?,
            "roofline" => match work.roofline.take() {
                Some(roofline) => answer(&roofline())?,
                None => answer(&Value::Null)?,
            },
            other => return Err(Failure::config(format!("standard input: \"{other}\" is no question; ask step"))),
        }
    }
    Ok(())
}

/// Writes one line, at once.
fn answer(figures: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{figures}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::internal(format!("standard output: {error}")))
}

/// Continues every prompt by `max_new_tokens`.
fn generation(model: Decoder<Flex>, ids: Vec<Vec<u32>>, max_new_tokens: u32) -> Result<Work> {
    let args = SamplingArgs::greedy(max_new_tokens);
    let stop = StopRules::new(Vec::new(), Vec::new(), max_new_tokens)?;
    let requests: Vec<Request> = (0..).zip(ids).map(|(stream, ids)| Request { ids, stream }).collect();
    let step = move || {
        let generation = Generation {
            model: &model,
            adapter: None,
            args: &args,
            stop: &stop,
            tokenizer: None,
            batch: requests.len(),
        };
        let completions = generation
            .run(&requests, &mut |_| {}, &|| false)?
            .ok_or_else(|| Failure::internal("a generation that nobody interrupts was interrupted"))?;
        let ids: Vec<Vec<u32>> = completions.into_iter().map(|completion| completion.ids).collect();
        Ok(Done { tokens: ids.iter().map(Vec::len).sum(), ids: Some(ids), ..Done::default() })
    };
    Ok(Work { step: Box::new(step), trained_parameters: 0, forecast: Value::Null, roofline: None })
}
