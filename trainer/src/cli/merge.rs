//! `medtrain merge`: an adapter folded into its base, as a model directory of its own.

use std::path::{Path, PathBuf};

use burn_flex::Flex;
use serde_json::Map;

use super::{
    compute::ComputeArgs,
    loaded_model::{check_base, require_any},
};
use crate::{
    adapter::{self, LoadedAdapter},
    artifact::RunId,
    data::Tokenizer,
    failure::{Failure, Result},
    model::{Decoder, Parameter, Parameters, load},
    ops::LmBackend,
    stages::{
        merging::Merging,
        outputs::{config_fields, read_reward_mean, write_tokenizer},
        reward::SCORE,
    },
    weights::{Dtype, ModelFiles, peft},
};
use medtrain_crds::stage::StageKind;

#[derive(Debug, clap::Args)]
#[command(
    long_about = "Adds the adapter's low-rank updates to the weights of its base and writes the result as a model \
                  directory that transformers loads. Several adapters are folded in one after another, in the order \
                  given. The command fails, and writes nothing, if the merged model does not give the logits of base \
                  and adapter on a fixed set of texts."
)]
pub struct MergeArgs {
    /// The base model's directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Adapter directories as PEFT writes them, in the order to apply.
    #[arg(long, value_name = "DIR", required = true, value_delimiter = ',')]
    adapter: Vec<PathBuf>,
    /// Where to write; must not exist yet.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Put the first adapter on this base even if it was trained over other weights.
    #[arg(long)]
    force_base: bool,
    /// Type to store weights in: float32, bfloat16 or float16; the default is the base's.
    #[arg(long)]
    dtype: Option<Dtype>,
    #[command(flatten)]
    compute: ComputeArgs,
}

pub fn run(args: MergeArgs) -> Result<()> {
    if args.output.exists() {
        return Err(Failure::config(format!("{}: exists already; name a new directory", args.output.display())));
    }
    require_any(&args.model, &["config.json"])?;
    args.adapter.iter().try_for_each(|adapter| require_any(adapter, &[peft::CONFIG]))?;
    let name = args.output.file_name().unwrap_or_default().to_string_lossy();
    let fresh = args.output.with_file_name(format!(".{name}.{}", RunId::random()?.as_str()));
    let done = args.compute.on_threads(|_| merge::<Flex>(&args, &fresh));
    match done {
        Ok(()) => std::fs::rename(&fresh, &args.output).map_err(|error| Failure::io(&args.output, &error))?,
        Err(failure) => {
            // What is half written is of no use; failing to delete it changes nothing about the failure.
            let _ = std::fs::remove_dir_all(&fresh);
            return Err(failure);
        }
    }
    println!("{}", args.output.display());
    Ok(())
}

/// Shapes that fit do not make the right base. The adapters after the first stand on what is merged here, which no stage
/// has rounded to a stored type, so their records can't be compared.
fn check_first_base<B: LmBackend>(args: &MergeArgs, model: &Decoder<B>) -> Result<()> {
    let Some(first) = args.adapter.first() else { return Ok(()) };
    let (config, _) = peft::load_adapter(first)?;
    let base = (args.model.to_string_lossy(), args.model.as_path());
    if let Some(doubt) = check_base(&config, first, model, (&base.0, base.1), args.force_base)? {
        eprintln!("warning: {doubt}");
    }
    Ok(())
}

/// The adapter in `dir`, and `model` with as many tokens as it has. Where the adapter was trained with added tokens, its
/// own tokenizer takes the place of `tokenizer`.
fn fitted<'a, B: LmBackend>(
    dir: &'a Path,
    args: &MergeArgs,
    model: Decoder<B>,
    tokenizer: &mut (Tokenizer, &'a Path),
) -> Result<(LoadedAdapter<B>, Decoder<B>)> {
    let adapter = adapter::load::<B>(dir, &args.model, model.config(), model.device())?;
    let rows = model.config().vocab_size;
    if dir.join("tokenizer.json").is_file() {
        let own = Tokenizer::load(dir)?;
        if own.vocab_size() > tokenizer.0.vocab_size() {
            own.check_fits(adapter.vocab_size).map_err(|failure| failure.at(dir.display()))?;
            *tokenizer = (own, dir);
        }
    } else if adapter.vocab_size > rows {
        return Err(Failure::input(format!(
            "{}: was trained with added tokens ({} rows, the base has {rows}) but holds no tokenizer.json that has them; \
             put the tokenizer that it was trained with beside it",
            dir.display(),
            adapter.vocab_size
        )));
    }
    let model = adapter.grow(model)?;
    Ok((adapter, model))
}

fn merge<B: LmBackend>(args: &MergeArgs, fresh: &Path) -> Result<()> {
    let device = B::Device::default();
    let mut tokenizer = (Tokenizer::load(&args.model)?, args.model.as_path());
    let mut model = load::map::<B>(&args.model, 256, &device)?;
    tokenizer.0.check_fits(model.config().vocab_size).map_err(|failure| failure.at(args.model.display()))?;
    let dtype = match args.dtype {
        Some(dtype) => dtype,
        None => ModelFiles::open(&args.model)?.dtype("model.embed_tokens.weight")?,
    };
    std::fs::create_dir_all(fresh).map_err(|error| Failure::io(fresh, &error))?;
    let architecture = model.config().raw.get("architectures").and_then(|list| list.get(0)).cloned();
    let architecture =
        architecture.as_ref().and_then(serde_json::Value::as_str).unwrap_or("LlamaForCausalLM").to_owned();
    let (last, earlier) = args.adapter.split_last().expect("clap requires one adapter at least");
    check_first_base(args, &model)?;
    for dir in earlier {
        let adapter;
        (adapter, model) = fitted(dir, args, model, &mut tokenizer)?;
        let mut changed = Vec::new();
        adapter::merge(&model, &adapter.lora, &adapter.parameters, |name, weight| {
            changed.push((name.to_owned(), weight))
        });
        changed.into_iter().for_each(|(name, weight)| model.set_weight(&name, weight));
    }
    let (adapter, model) = fitted(last, args, model, &mut tokenizer)?;
    let (tokenizer, tokenizer_dir) = tokenizer;
    if tokenizer_dir == args.model {
        write_tokenizer(&args.model, fresh, &tokenizer, None, true)?;
    } else {
        write_tokenizer(&args.model, fresh, &Tokenizer::load(&args.model)?, None, true)?;
        // Over those of the base, whose generation_config.json stays.
        write_tokenizer(tokenizer_dir, fresh, &tokenizer, None, false)?;
    }
    let mut parameters: Parameters<B> = adapter.parameters.clone();
    let mut config = Map::new();
    if let Some(score) = &adapter.score {
        parameters.insert(SCORE.into(), Parameter::new(vec![1, score.len()], score.clone(), &device));
        config = config_fields(StageKind::RM, &architecture, &tokenizer, read_reward_mean(last)?);
    }
    let lora = Some(&adapter.lora);
    let merging = Merging { model: &model, lora, parameters: &parameters, tokenizer: &tokenizer, dtype, config };
    let check = merging.write(fresh)?;
    eprintln!(
        "checked: largest logit difference {:.1e}, mean {:.1e}, token KL {:.1e} nats, {:.2} % of changes lost in rounding",
        check.max_logit_diff,
        check.mean_logit_diff,
        check.token_kl,
        100.0 * check.lost_deltas
    );
    Ok(())
}
