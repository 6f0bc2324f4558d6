//! The command line: what each command takes, how it ends.
//!
//! Holds: every command ends with an exit code of the contract; errors go to standard error, one sentence each, results
//! to standard output.

mod chat;
pub mod compute;
#[cfg(test)]
pub(crate) mod fixture;
pub mod generate;
pub mod import;
mod interrupts;
mod loaded_model;
pub mod logits;
pub mod merge;
pub mod plan;
mod predictions;
pub mod preflight;
pub mod run;
mod speaker;
pub mod stage;
mod summary;
mod termination;
pub mod training_file;
pub mod verify;

use std::process::ExitCode as ProcessExit;

use clap::{Parser, Subcommand};
use medtrain_crds::contract::ExitCode;

use crate::failure::Failure;

#[derive(Debug, Parser)]
#[command(
    name = "medtrain",
    version,
    about = "Trains medical language models: continued pre-training, fine-tuning, reward modelling, PPO",
    long_about = "Trains medical language models from one YAML file, on a laptop or in a cluster: continued \
                  pre-training, supervised fine-tuning, reward modelling and PPO, with LoRA in each stage and merged \
                  models between them.\n\n\
                  Start with `medtrain plan FILE` (looks, changes nothing), then `medtrain run FILE`. Whatever was \
                  finished before is used again, and an interrupted run goes on where it stopped.",
    after_help = "Exit codes: 0 done, 64 configuration, 65 input missing or changed, 66 data, 70 internal, 71 device, \
                  75 IO (disk full, store unreachable), 77 permission, 85 stopped with a checkpoint."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a training would do: stages, what is done already, steps, tokens, memory, every problem at once.
    Plan(plan::PlanArgs),
    /// Run a training: all stages of a YAML file, one after another.
    Run(run::RunArgs),
    /// Run one stage of a written plan; this is what a pod does.
    Stage(stage::StageArgs),
    /// Look at a training as `plan` does and write its plan to the store; this is what a preflight pod does.
    Preflight(preflight::PreflightArgs),
    /// Chat with a model, answer one prompt, or answer a file of prompts.
    Generate(Box<generate::GenerateArgs>),
    /// Fold an adapter into its base model and check that the logits stay the same.
    Merge(merge::MergeArgs),
    /// Turn a GGUF file into a Hugging Face model directory.
    Import(import::ImportArgs),
    /// Hash an artifact's files again and compare with its manifest.
    Verify(verify::VerifyArgs),
    /// Logits of given token ids as JSON, for comparing with other implementations.
    #[command(hide = true)]
    Logits(logits::LogitsArgs),
}

/// Parses the command line and runs it.
pub fn main() -> ProcessExit {
    end_on_panic();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let help = !error.use_stderr();
            // Nothing is left to do when the terminal is gone.
            let _ = error.print();
            return ProcessExit::from(if help { 0 } else { ExitCode::Config.code() });
        }
    };
    let run = || match cli.command {
        Command::Plan(args) => plan::run(args),
        Command::Run(args) => run::run(args),
        Command::Stage(args) => stage::run(args).map_err(one),
        Command::Preflight(args) => preflight::run(args),
        Command::Generate(args) => generate::run(*args).map_err(one),
        Command::Logits(args) => logits::run(args).map_err(one),
        Command::Merge(args) => merge::run(args).map_err(one),
        Command::Import(args) => import::run(args).map_err(one),
        Command::Verify(args) => verify::run(args).map_err(one),
    };
    // The message of a panic was printed by its hook; what is left is an exit code that the contract knows.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let sentence =
            "this is a bug in medtrain; please report the lines above and the command. Finished work is kept";
        Err(vec![Failure::internal(sentence)])
    });
    match result {
        Ok(()) => ProcessExit::SUCCESS,
        Err(failures) => {
            for failure in &failures {
                let mark = if failure.exit == ExitCode::Checkpointed { "" } else { "error: " };
                eprintln!("{mark}{failure}");
            }
            // Several problems of one check: the first names the code.
            ProcessExit::from(failures.first().map_or(ExitCode::Internal, |failure| failure.exit).code())
        }
    }
}

/// A bug ends the process with 70, whatever thread it shows on. What a panic says may quote text of a data row, so it
/// is shown only to those who ask for it.
fn end_on_panic() {
    let whole = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The reader has gone away (`medtrain logits … | head`) and has what it wanted; commands print when they are done.
        let message = panic.payload_as_str().unwrap_or_default();
        if message.starts_with("failed printing to stdout: Broken pipe") {
            std::process::exit(0);
        }
        if whole {
            hook(panic);
        }
        let place = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        eprintln!(
            "error: medtrain panicked{place}; this is a bug, please report it (RUST_BACKTRACE=1 shows more; it may show \
             text of your data)"
        );
        std::process::exit(ExitCode::Internal.code().into());
    }));
}

fn one(failure: Failure) -> Vec<Failure> {
    vec![failure]
}
