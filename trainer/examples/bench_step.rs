//! Our side of `make bench`; the other side is tests/bench/peer.py, both are driven by tests/bench/bench.py.
//!
//! `bench_step WORKLOAD.json` loads the model and says that it is ready; then every line of standard input asks for one
//! step, answered by one line of JSON with its figures. It ends when its input does, so a step can be profiled by hand:
//! `yes step | head -3 | bench_step WORKLOAD.json`.
//!
//! Holds: the timed code is the stages' own (batch, forward, backward, clipping, optimiser; the sampler), on the CPU.

use std::{
    io::{BufRead, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use burn_flex::Flex;
use medtrain_crds::stage::{LoraArgs, Section, StageKind, TrainArgs, Tuning};
use medtrain_trainer::{
    cli::compute::ComputeArgs,
    data::Example,
    device::memory,
    failure::{Failure, Result},
    generate::{Generation, Request, SamplingArgs, StopRules},
    model::{Decoder, Gradients, load},
    optim::{AdamW, adamw::clip_factor},
    stages::{batch::PackedBatch, causal::score_with_grads, task::Tuned},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

const SEED: u64 = 42;

/// What both sides do at each step.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Workload {
    /// A Hugging Face directory.
    model: PathBuf,
    threads: usize,
    /// Token ids: the sequences of a batch, or prompts.
    ids: Vec<Vec<u32>>,
    task: Task,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Task {
    /// Optimiser steps on the same sequences; `train` is laid over the defaults of an SFT stage.
    Train { lora: LoraArgs, train: Map<String, Value> },
    /// Greedy decoding of all prompts as one batch; nothing ends a response early.
    Generate { max_new_tokens: u32 },
}

/// What a step has to show for its time.
#[derive(Default, Serialize)]
struct Done {
    /// Tokens read by a training step; new tokens of a generation.
    tokens: usize,
    /// Mean cross-entropy a target token before the update, nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<f64>,
    /// The new tokens of each prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<Vec<Vec<u32>>>,
}

type Step = Box<dyn FnMut() -> Result<Done>>;

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

/// Takes a step for each line of standard input, and answers with its figures.
fn serve(workload: Workload) -> Result<()> {
    let longest = workload.ids.iter().map(Vec::len).max().unwrap_or(0);
    let new = if let Task::Generate { max_new_tokens } = workload.task { max_new_tokens as usize } else { 0 };
    let model = load::load::<Flex>(&workload.model, longest + new, &Default::default())?;
    let mut step = match workload.task {
        Task::Train { lora, train } => training(model, workload.ids, lora, train)?,
        Task::Generate { max_new_tokens } => generation(model, workload.ids, max_new_tokens)?,
    };

    answer(&json!({"versions": {"medtrain": env!("CARGO_PKG_VERSION")}}))?;
    for line in std::io::stdin().lock().lines() {
        line.map_err(|error| Failure::internal(format!("standard input: {error}")))?;
        let started = Instant::now();
        let done = step()?;
        let seconds = started.elapsed().as_secs_f64();
        let mut figures = json!(done);
        figures["seconds"] = seconds.into();
        figures["peakRss"] = memory::peak().into();
        answer(&figures)?;
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

/// Optimiser steps of an adapter over `model`, at a constant learning rate. Each step is another epoch, so that dropout
/// masks differ as they do in a stage.
fn training(model: Decoder<Flex>, ids: Vec<Vec<u32>>, lora: LoraArgs, train: Map<String, Value>) -> Result<Step> {
    let mut fields = Section::Train.defaults(StageKind::SFT);
    fields.extend(train);
    let args: TrainArgs = serde_json::from_value(Value::Object(fields))
        .map_err(|error| Failure::config(format!("task.train.train: {error}")))?;
    let examples: Vec<Example> = ids
        .into_iter()
        .map(|ids| {
            let all = vec![true; ids.len()];
            Example::single(ids, all)
        })
        .collect();
    let (tuned, mut parameters) = Tuned::new(model, &Tuning::Lora(lora), SEED)?;
    let mut optimizer = AdamW::default();
    Ok(Box::new(move || {
        let epoch = optimizer.updates();
        let rows: Vec<_> = (0..).zip(&examples).map(|(row, example)| ((epoch, row), example.clone())).collect();
        let batch = PackedBatch::new(&rows, SEED);
        let targets = batch.targets.len().max(1) as f64;
        let d_logprobs = vec![(-1.0 / targets) as f32; batch.targets.len()];
        let mut gradients = Gradients::default();
        let view = tuned.view(&parameters)?;
        let scores = score_with_grads(&view, &batch, &d_logprobs, 1.0, args.gradient_checkpointing, &mut gradients)?;
        drop(view);
        let factor = clip_factor(gradients.global_norm(), args.max_grad_norm);
        optimizer.step(&mut parameters, &gradients, args.learning_rate, factor, &args);
        let loss = -scores.logprobs.iter().map(|&logprob| f64::from(logprob)).sum::<f64>() / targets;
        Ok(Done { tokens: batch.ids.len(), loss: Some(loss), ids: None })
    }))
}

/// Continues every prompt by `max_new_tokens`.
fn generation(model: Decoder<Flex>, ids: Vec<Vec<u32>>, max_new_tokens: u32) -> Result<Step> {
    let args = SamplingArgs::greedy(max_new_tokens);
    let stop = StopRules::new(Vec::new(), Vec::new(), max_new_tokens)?;
    let requests: Vec<Request> = (0..).zip(ids).map(|(stream, ids)| Request { ids, stream }).collect();
    Ok(Box::new(move || {
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
        Ok(Done { tokens: ids.iter().map(Vec::len).sum(), loss: None, ids: Some(ids) })
    }))
}
