//! What a finished run says: a table of stages, and answers before and after.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use burn_flex::Flex;
use medtrain_crds::{
    contract::{Manifest, metrics},
    resolve::PlannedStage,
    stage::StageKind,
};
use serde_json::json;

use crate::{
    data::{ChatTemplate, Message, Tokenizer},
    failure::{Failure, Result},
    generate::{
        processors::SamplingArgs,
        sampler::{Generation, Request},
        stop::StopRules,
    },
    model::load,
    preflight::Workspace,
};

/// A stage's line of the table.
pub struct Row {
    name: String,
    kind: StageKind,
    cached: bool,
    manifest: Manifest,
    artifact: String,
    /// The merged model, if it is a folder of this machine.
    pub merged: Option<PathBuf>,
    /// Whether the model talks.
    pub answers: bool,
}

impl Row {
    pub fn new(workspace: &Workspace, stage: &PlannedStage, manifest: &Manifest, cached: bool) -> Self {
        let home = format!("{}/{}", stage.dir(), manifest.prefix);
        let local = workspace.store.local_path(&home);
        Self {
            name: stage.name.clone(),
            kind: stage.kind,
            cached,
            manifest: manifest.clone(),
            artifact: local.as_ref().map_or_else(|| workspace.store.uri_of(&home), |path| shown(path)),
            merged: local.map(|path| path.join("merged")),
            answers: stage.kind != StageKind::RM,
        }
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.manifest.metrics.get(name).copied()
    }

    /// `3.10 -> 2.85`.
    fn change(&self, name: &str, digits: usize) -> String {
        let show = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        format!("{} -> {}", show(self.figure(&format!("{name}_before"))), show(self.figure(name)))
    }

    /// The first figure with the interval of its change, then a second one.
    fn figures(&self) -> String {
        let (first, digits) = match self.kind {
            StageKind::PPO => (metrics::EVAL_REWARD, 2),
            StageKind::PT | StageKind::SFT | StageKind::RM => (metrics::EVAL_LOSS, 3),
        };
        if self.figure(first).is_none() {
            return "none: no rows were held out".to_owned();
        }
        let interval = match (self.figure("eval_change_low"), self.figure("eval_change_high")) {
            (Some(low), Some(high)) => format!(" (95 %: {low:+.3} to {high:+.3})"),
            _ => String::new(),
        };
        let second = match self.kind {
            StageKind::PT | StageKind::SFT => format!("perplexity {}", self.change(metrics::EVAL_PERPLEXITY, 1)),
            StageKind::RM => format!("accuracy {}", self.change(metrics::EVAL_ACCURACY, 2)),
            StageKind::PPO => format!("KL {}", self.change("eval_kl", 2)),
        };
        format!("{} {}{interval}, {second}", first.replace('_', " "), self.change(first, digits))
    }

    fn seconds(&self) -> f64 {
        self.manifest.timings.seconds.values().sum()
    }
}

/// A path below the current directory is shown from there.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let relative = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    relative.unwrap_or(path).display().to_string()
}

pub fn print(rows: &[Row], as_json: bool) {
    for row in rows {
        if as_json {
            let line = json!({
                "event": "stage",
                "stage": row.name,
                "kind": row.kind.name(),
                "cached": row.cached,
                "steps": row.manifest.final_step,
                "seconds": row.seconds(),
                "metrics": row.manifest.metrics,
                "lossMask": row.manifest.loss_mask,
                "bestModel": row.manifest.best_model,
                "earlyStop": row.manifest.early_stop,
                "artifact": row.artifact,
            });
            println!("{line}");
        }
    }
    if as_json {
        return;
    }
    println!("\n{:<8} {:<4} {:>7} {:>9} {:>7}  held out, before -> after", "stage", "kind", "steps", "tokens", "time");
    for row in rows {
        let tokens = row.figure("num_input_tokens_seen").unwrap_or(0.0);
        let time = if row.cached { "cached".to_owned() } else { format!("{:.0} s", row.seconds()) };
        println!(
            "{:<8} {:<4} {:>7} {:>9} {:>7}  {}",
            row.name,
            row.kind.name(),
            row.manifest.final_step,
            tokens,
            time,
            row.figures()
        );
    }
    println!();
    for row in rows {
        println!("{:<8} {}", row.name, row.artifact);
        notes(&row.manifest).iter().for_each(|note| println!("{:<8} {note}", ""));
    }
}

/// What a manifest says of a stage's end and of what its loss fell on, a line each.
pub fn notes(manifest: &Manifest) -> Vec<String> {
    let stop = manifest.early_stop.as_ref();
    let stop = stop.map(|stop| format!("stopped early at step {} of {}", stop.step, stop.total_steps));
    let best = manifest.best_model.as_ref().map(|best| {
        let has = if best.loaded { "has" } else { "does not have" };
        format!("best {} {:.4} at step {}; the artifact {has} its weights", best.metric, best.value, best.step)
    });
    stop.into_iter().chain(best).chain(manifest.loss_mask.as_ref().map(ToString::to_string)).collect()
}

/// The lines of a file of questions.
///
/// # Errors
/// 65 when there is none, 66 when it is no text; as [`Failure::io`].
pub fn questions(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => Failure::data(format!("{}: is no text; save it as UTF-8", file.display())),
        _ => Failure::io(file, &error),
    });
    let text = text.map_err(|failure| failure.at("--questions"))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Prints the answers of two models to each of `prompts`; without `after`, of one.
pub fn ask(prompts: &[String], before: &Path, after: Option<&Path>) -> Result<()> {
    let first = answers(before, prompts)?;
    let second = after.map(|after| answers(after, prompts)).transpose()?;
    for (index, prompt) in prompts.iter().enumerate() {
        println!("\n{prompt}\n  before: {}", first[index]);
        if let Some(second) = &second {
            println!("  after:  {}", second[index]);
        }
    }
    Ok(())
}

fn answers(model: &Path, prompts: &[String]) -> Result<Vec<String>> {
    const NEW_TOKENS: u32 = 80;
    let tokenizer = Tokenizer::load(model)?;
    let template = ChatTemplate::resolve(None, &tokenizer)?;
    let requests = prompts
        .iter()
        .enumerate()
        .map(|(index, prompt)| {
            let ids = template.encode_prompt(&tokenizer, &[Message::user(prompt)], None)?;
            Ok(Request { ids, stream: index as u64 })
        })
        .collect::<Result<Vec<_>>>()?;
    let longest = requests.iter().map(|request| request.ids.len()).max().unwrap_or(0);
    let decoder = load::load::<Flex>(model, longest + NEW_TOKENS as usize + 1, &Default::default())?;
    let args = SamplingArgs { repetition_penalty: 1.1, ..SamplingArgs::greedy(NEW_TOKENS) };
    let stop = StopRules::new(template.stop_ids().to_vec(), Vec::new(), NEW_TOKENS)?;
    let generation = Generation {
        model: &decoder,
        adapter: None,
        args: &args,
        stop: &stop,
        tokenizer: Some(&tokenizer),
        batch: requests.len(),
    };
    let done = generation.run(&requests, &mut |_| {}, &|| false)?.unwrap_or_default();
    Ok(done.into_iter().map(|completion| completion.text.trim().replace('\n', " ")).collect())
}
