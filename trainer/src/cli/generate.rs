//! `medtrain generate`: chat with a model, answer one prompt, or answer a file of prompts.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use burn_flex::Flex;

use super::{
    chat::{self, Chat},
    interrupts::Interrupts,
    loaded_model::{LoadedModel, ModelArgs},
    predictions,
    speaker::{Speaker, record},
};
use crate::{
    data::{ChatTemplate, Message},
    failure::{Failure, Result},
    generate::{FinishReason, Request, SamplingArgs, StopRules},
    ops::LmBackend,
};

const EXAMPLES: &str = "\
Examples:
  medtrain generate --model outputs/demo/sft/merged
      chat on the terminal; /help lists the commands
  medtrain generate --model hf://org/name --adapter outputs/demo/sft/adapter --prompt 'What helps against migraine?'
      one answer on standard output
  medtrain generate --model outputs/demo/ppo/merged --data-file questions.txt --predictions-file answers.jsonl --greedy
      one JSON object a question: {\"prompt\", \"response\", \"finishReason\": eos|stopString|length, \"newTokens\"}

A data file holds a question a line (.txt), or JSON rows (.jsonl, .json) with prompt, question, instruction and input,
messages or conversations; each may be gzipped.";

/// Chat with a model, answer one prompt, or answer a file of prompts
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Take the tokenizer from here instead of from the adapter or the model
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,

    /// Answer this one prompt and leave
    #[arg(long, value_name = "TEXT", conflicts_with = "data_file")]
    pub prompt: Option<String>,
    /// Answer every prompt of this file and leave (formats: --help)
    #[arg(long, value_name = "FILE")]
    pub data_file: Option<PathBuf>,
    /// Write the answers to this file, one JSON object a line, whole or not at all (default: standard output)
    #[arg(long, value_name = "FILE", requires = "data_file", conflicts_with = "prompt")]
    pub predictions_file: Option<PathBuf>,
    /// Prompts of the data file that are answered at once; more is faster until memory is full
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch_size: u16,
    /// System message for dialogues that have none of their own
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Chat template: a built-in's name or a template's text (default: the model's own)
    #[arg(long, value_name = "NAME|TEXT")]
    pub chat_template: Option<String>,
    /// Continue the text as it stands, without a chat template: for models that were only pre-trained
    #[arg(long, conflicts_with_all = ["chat_template", "system"])]
    pub raw: bool,
    /// Answers as JSON objects, one a line
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub sampling: SamplingOptions,
}

/// How tokens are chosen
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingOptions {
    /// Below 1 likelier tokens are preferred more, above 1 less; 0 = always the likeliest, as --greedy
    #[arg(long, value_name = "T", default_value_t = 0.2)]
    pub temperature: f64,
    /// Draw among the K likeliest tokens only; 0 = all
    #[arg(long, value_name = "K", default_value_t = 40)]
    pub top_k: u32,
    /// Draw among the likeliest tokens that together hold this share of the probability; 1 = all
    #[arg(long, value_name = "P", default_value_t = 0.9)]
    pub top_p: f64,
    /// Above 1 makes tokens that prompt or answer already hold less likely; 1 = off
    #[arg(long, value_name = "X", default_value_t = 1.1)]
    pub repetition_penalty: f64,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub max_new_tokens: u32,
    /// Shortest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub min_new_tokens: u32,
    /// End the answer before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// The same seed, model and question give the same answer
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Always take the likeliest token: no chance, and no temperature, top-k and top-p
    #[arg(long)]
    pub greedy: bool,
}

impl SamplingOptions {
    fn args(&self) -> Result<SamplingArgs> {
        let args = SamplingArgs {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            min_new_tokens: self.min_new_tokens,
            max_new_tokens: self.max_new_tokens,
            do_sample: !self.greedy && self.temperature != 0.0,
            seed: self.seed,
        };
        args.validate().map(|()| args)
    }
}

/// # Errors
/// 64 for arguments that can't be, 65 for models that can't be loaded or don't fit, 66 for wrong rows.
pub fn run(args: GenerateArgs) -> Result<()> {
    let threads = args.model.clone();
    threads.on_threads(move || {
        // What is wrong with arguments and prompts is told before minutes are spent on weights.
        args.sampling.args()?;
        if let Some(file) = &args.data_file {
            predictions::read(file)?;
        }
        if let Some(file) = &args.predictions_file {
            writable(file)?;
        }
        let loaded = args.model.load::<Flex>(&Default::default())?;
        generate(&args, &loaded)
    })
}

/// # Errors
/// 65 when there is no folder to write `file` to.
fn writable(file: &Path) -> Result<()> {
    match file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) if !parent.is_dir() => {
            Err(Failure::config(format!("--predictions-file {}: its folder does not exist", file.display())))
        }
        _ => Ok(()),
    }
}

fn generate<B: LmBackend>(args: &GenerateArgs, loaded: &LoadedModel<B>) -> Result<()> {
    if let Some(reward_model) = loaded.reward_model() {
        return Err(Failure::input(format!(
            "{reward_model} gives one score to a dialogue and can't write; give the model of an SFT or PPO stage"
        )));
    }
    if let Some(doubt) = &loaded.doubt {
        eprintln!("warning: {doubt}");
    }
    let tokenizer = loaded.tokenizer(args.tokenizer.as_deref())?;
    let template = match args.raw {
        true => None,
        false => Some(template(args, &tokenizer)?),
    };
    let mut eos = template.as_ref().map_or(tokenizer.eos_ids(), ChatTemplate::stop_ids).to_vec();
    eos.extend(tokenizer.document_separator().filter(|separator| !eos.contains(separator)));
    let sampling = args.sampling.args()?;
    let stop = StopRules::new(eos, args.sampling.stop.clone(), sampling.max_new_tokens)?;
    let adapter = loaded.adapter.as_ref().map(|adapter| adapter.view(loaded.model.config()));
    let (model, system) = (&loaded.model, args.system.clone());
    let mut speaker = Speaker { model, adapter, tokenizer: &tokenizer, template, system, sampling, stop };
    match (&args.data_file, &args.prompt) {
        (Some(file), _) => {
            let lines = predictions::predict(&speaker, file, args.batch_size.into())?;
            match &args.predictions_file {
                Some(file) => predictions::write_whole(file, &lines),
                None => print(&lines),
            }
        }
        (None, Some(prompt)) => one(&speaker, prompt, args.json),
        (None, None) => interactive(args, &mut speaker),
    }
}

fn template(args: &GenerateArgs, tokenizer: &crate::data::Tokenizer) -> Result<ChatTemplate> {
    ChatTemplate::resolve(args.chat_template.as_deref(), tokenizer).map_err(|mut failure| {
        if args.chat_template.is_none() {
            failure.message.push_str("; --raw continues plain text without one");
        }
        failure
    })
}

/// One answer, streamed unless it is JSON.
fn one<B: LmBackend>(speaker: &Speaker<B>, prompt: &str, json: bool) -> Result<()> {
    let ids = speaker.encode(&[Message::user(prompt)], None)?;
    let mut text = String::new();
    let mut printed = Ok(());
    let mut tokens = 0;
    let mut finish: Option<FinishReason> = None;
    speaker.answer(
        &[Request { ids, stream: 0 }],
        1,
        &mut |token| {
            text.push_str(token.text);
            tokens += 1;
            finish = token.finish;
            if !json && printed.is_ok() {
                printed = print(token.text);
            }
        },
        &|| false,
    )?;
    printed?;
    print(&match json {
        true => format!("{}\n", record(prompt, &text, finish, tokens)),
        false => "\n".to_owned(),
    })
}

fn interactive<B: LmBackend>(args: &GenerateArgs, speaker: &mut Speaker<B>) -> Result<()> {
    let asks = io::stdin().is_terminal();
    if asks {
        eprintln!("{}: type a question.\n{}", args.model.model, chat::HELP);
    }
    let interrupts = Interrupts::install()?;
    let json = args.json;
    let (mut out, mut notes) = (io::stdout().lock(), io::stderr());
    Chat { speaker, out: &mut out, notes: &mut notes, asks, json, interrupts: &interrupts }.run(&mut io::stdin().lock())
}

/// A reader that left (`… | head`) is no failure.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::internal(format!("standard output can't be written: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "generate_tests.rs"]
mod tests;
