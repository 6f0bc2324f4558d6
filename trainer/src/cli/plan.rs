//! `medtrain plan`: what a training would do, before anything is trained.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;

use medtrain_crds::resolve::Resolved;
use medtrain_crds::stage::StageKind;
use serde::Serialize;
use serde_json::json;

use super::training_file;
use crate::data::{legend, preview, preview_pair};
use crate::failure::{Failure, Result};
use crate::preflight::{self, Forecast, Preflight, Workspace};

/// Show what a training would do: stages, what is done already, steps, tokens, memory, every problem at once
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// The MedicalTraining, a YAML file
    pub file: PathBuf,
    /// Set a field for this call, e.g. stages.sft.train.maxSteps=3; may be given again
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<String>,
    /// Caches and scratch, may be deleted at any time [default: medtrain in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
    /// Print one JSON object, for programs
    #[arg(long)]
    pub json: bool,
    /// Print N training rows of each stage as the model sees them, tokens with loss marked. Shows row contents
    #[arg(long, value_name = "N", conflicts_with = "json")]
    pub preview: Option<usize>,
    /// Look at this stage only
    #[arg(long, value_name = "STAGE")]
    pub only: Option<String>,
    /// Write the plan to the output, where `medtrain stage` finds it
    #[arg(long)]
    pub write: bool,
}

/// # Errors
/// Every problem of the file (64) or of the inputs.
pub fn run(args: PlanArgs) -> std::result::Result<(), Vec<Failure>> {
    let one = |failure: Failure| vec![failure];
    let (_, resolved) = training_file::load(&args.file, &args.sets)?;
    let ws = Workspace::open(&resolved, training_file::folder(&args.file), args.workdir).map_err(one)?;
    let looked = match &args.only {
        Some(only) => preflight::preflight_stage(&resolved, &ws, only),
        None => preflight::preflight(&resolved, &ws),
    };
    if args.json {
        let problems = looked.as_ref().err().map_or(&[][..], Vec::as_slice);
        let report = report(&resolved, &ws, looked.as_ref().ok(), problems).map_err(one)?;
        say(&format!("{report:#}\n")).map_err(one)?;
    }
    let found = looked?;
    if !args.json {
        say(&table(&resolved, &ws, &found)).map_err(one)?;
    }
    if let Some(rows) = args.preview {
        let color = std::io::stdout().is_terminal();
        say(&previews(&resolved, &found, &ws, rows, color).map_err(one)?).map_err(one)?;
    }
    if args.write {
        let written = found.write(&ws).map_err(one)?;
        if !args.json {
            say(&format!("plan written: {}\n", written.uri)).map_err(one)?;
        }
    }
    Ok(())
}

/// A reader that has gone away (`medtrain plan … | head`) has what it wanted.
fn say(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::internal(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    code: u8,
    reason: &'a str,
    message: &'a str,
}

/// All that was found, for programs and people.
///
/// # Errors
/// As [`Preflight::stored_plan`].
pub(super) fn report(
    resolved: &Resolved,
    ws: &Workspace,
    found: Option<&Preflight>,
    problems: &[Failure],
) -> Result<serde_json::Value> {
    let plan = found.filter(|_| problems.is_empty()).map(|found| found.stored_plan(ws)).transpose()?;
    let plan = plan.map(|plan| json!({"sha256": plan.digest(), "path": plan.path()}));
    let stages = found.map_or(&[][..], |found| &found.stages);
    let warnings = found.map_or(&[][..], |found| &found.warnings);
    let notes = found.map_or(&[][..], |found| &found.notes);
    let problems: Vec<Problem> = problems
        .iter()
        .map(|failure| Problem { code: failure.exit.code(), reason: failure.exit.reason(), message: &failure.message })
        .collect();
    Ok(json!({
        "training": resolved.name, "namespace": resolved.namespace, "output": ws.store.uri(), "seed": resolved.seed,
        "plan": plan, "stages": stages, "notes": notes, "warnings": warnings, "problems": problems,
    }))
}

/// One row a stage, then notes and warnings.
fn table(resolved: &Resolved, ws: &Workspace, found: &Preflight) -> String {
    let mut rows = vec![
        ["STAGE", "KIND", "INPUTS", "KEY", "DONE", "ROWS", "TOKENS", "STEPS", "EPOCHS", "MEMORY"].map(str::to_owned),
    ];
    rows.extend(found.stages.iter().map(row));
    let mut widths = [0; 10];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = format!("{} (seed {}) -> {}\n\n", resolved.name, resolved.seed, ws.store.uri());
    for row in rows {
        let mut line = String::new();
        for (place, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Figures to the right, text to the left.
            let _ = if place >= 5 { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if !(found.notes.is_empty() && found.warnings.is_empty()) {
        text.push('\n');
    }
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for warning in &found.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn row(stage: &Forecast) -> [String; 10] {
    let inputs: Vec<String> = stage.inputs.iter().map(|(role, source)| format!("{role}<-{source}")).collect();
    let (train, eval) = (&stage.data.train, &stage.data.eval);
    let examples = match eval.examples {
        0 => train.examples.to_string(),
        held_out => format!("{}+{held_out}", train.examples),
    };
    let memory = stage.memory.map_or_else(String::new, |memory| {
        let too_much = if stage.fits == Some(false) { " !" } else { "" };
        format!("{} MiB{too_much}", memory.total >> 20)
    });
    let steps = match stage.rollouts {
        Some(rollouts) => format!("{} ({rollouts} rollouts)", stage.steps),
        None => stage.steps.to_string(),
    };
    [
        stage.name.clone(),
        stage.kind.to_string(),
        inputs.join(" "),
        stage.key.key12().to_owned(),
        if stage.done { "yes" } else { "no" }.to_owned(),
        examples,
        count(train.tokens),
        steps,
        stage.epochs.map_or_else(String::new, |epochs| format!("{epochs:.2}")),
        memory,
    ]
}

/// `999`, `12.3k`, `4.56M`.
fn count(tokens: u64) -> String {
    match tokens {
        0..1_000 => tokens.to_string(),
        1_000..1_000_000 => format!("{:.1}k", tokens as f64 / 1e3),
        _ => format!("{:.2}M", tokens as f64 / 1e6),
    }
}

/// The first rows of each stage's training data.
fn previews(resolved: &Resolved, found: &Preflight, ws: &Workspace, rows: usize, color: bool) -> Result<String> {
    let mut text = format!("\n{}\n", legend(color));
    for forecast in &found.stages {
        let stage = found
            .plan
            .stage(&forecast.name)
            .ok_or_else(|| Failure::internal(format!("stage \"{}\" is not in its own plan", forecast.name)))?;
        let tokenizer = preflight::stage_tokenizer(ws, &found.plan, stage)?;
        let template = preflight::stage_template(stage, &tokenizer)?;
        // What preflight has read.
        let scan = resolved.stage(&forecast.name).map(|stage| stage.dataset.max_scan_bytes);
        let data = preflight::sampled_data(ws, stage, scan, &tokenizer, template.as_ref())?.train;
        for row in 0..rows.min(data.len()) {
            let shown = match stage.kind {
                StageKind::RM => preview_pair(&data.pair(row)?, &tokenizer, color)?,
                _ => preview(&data.row(row)?, &tokenizer, color)?,
            };
            let _ = writeln!(text, "\n=== {}: {} ===\n{shown}", stage.name, data.origin(row));
        }
    }
    Ok(text)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
