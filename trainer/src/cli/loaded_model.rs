//! A model as the commands that run one load it: base, adapter and tokenizer, each checked against the others.

use std::path::{Path, PathBuf};

use crate::{
    adapter::{self, BaseRecord, LoadedAdapter},
    data::Tokenizer,
    failure::{Failure, Result},
    model::{Decoder, ModelConfig, load},
    ops::LmBackend,
    weights::{
        Hub, ModelFiles, Sources,
        hub_uri::HubUri,
        peft::{self, AdapterConfig},
        source::did_you_mean,
    },
};

/// Longest context that is prepared for; models that claim more get this (their tables alone would take gigabytes).
const MAX_CONTEXT: usize = 128 * 1024;

/// Which model runs
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// A model directory, a .gguf file, or hf://org/name[@revision]; an adapter's directory stands for the adapter on
    /// the base that it names
    #[arg(long, value_name = "DIR|URI")]
    pub model: String,
    /// A LoRA adapter for the model: a directory that PEFT or a stage wrote, or hf://org/name
    #[arg(long, value_name = "DIR|URI")]
    pub adapter: Option<String>,
    /// Put the adapter on this model even if it was trained over other weights
    #[arg(long)]
    pub force_base: bool,
    /// Where imports of .gguf files are kept; may be deleted at any time
    #[arg(long, value_name = "DIR", default_value = ".medtrain")]
    pub workdir: PathBuf,
    /// Threads to compute with (default: all CPUs that this process may use); results do not depend on it
    #[arg(long, value_name = "N", env = "MEDTRAIN_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

impl ModelArgs {
    /// Runs `work` on as many threads as were asked for.
    pub fn on_threads<R: Send>(&self, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        let threads = self.threads.map_or_else(crate::device::thread_count, |threads| Ok(threads.into()))?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map_err(|error| Failure::internal(format!("{threads} threads can't be started: {error}")))?.install(work)
    }

    fn directory(&self, uri: &str) -> Result<PathBuf> {
        if !uri.contains("://") && !uri.ends_with(".gguf") {
            let dir = PathBuf::from(uri);
            if !dir.is_dir() {
                return Err(Failure::input(format!(
                    "{uri}: no such directory; give a model directory, a .gguf file, or hf://org/name for a model of \
                     the Hugging Face hub"
                )));
            }
            require_any(&dir, &["config.json", peft::CONFIG])?;
            return Ok(dir);
        }
        let fetch = |uri: &str, _: &Path| {
            Err(Failure::config(format!(
                "{uri}: can't be run from an object store; copy it here, or give a directory, a .gguf file or hf://org/name"
            )))
        };
        let sources = Sources { hub: Hub::from_env(), workdir: &self.workdir, base: Path::new("."), fetch: &fetch };
        Ok(sources.model(uri, None)?.dir)
    }

    /// The directories of the base and of the adapter.
    fn directories(&self) -> Result<(PathBuf, Option<PathBuf>)> {
        let model = self.directory(&self.model)?;
        match (&self.adapter, peft::is_adapter(&model) && !model.join("config.json").is_file()) {
            (None, false) => Ok((model, None)),
            (Some(adapter), false) => {
                let adapter = self.directory(adapter)?;
                match peft::is_adapter(&adapter) {
                    true => Ok((model, Some(adapter))),
                    false => Err(Failure::input(format!(
                        "{}: no {}, so this is not an adapter; a whole model goes to --model",
                        adapter.display(),
                        peft::CONFIG
                    ))),
                }
            }
            (Some(_), true) => Err(Failure::config(format!(
                "--model {}: is an adapter, and --adapter gives another; one adapter at a time: merge the first one \
                 (medtrain merge) and put the second on the result",
                self.model
            ))),
            (None, true) => Ok((self.base_of(&model)?, Some(model))),
        }
    }

    /// The base that an adapter names: a path relative to the adapter, or a model of the hub. A `.gguf` file is none of the
    /// hub's by its name alone.
    fn base_of(&self, adapter: &Path) -> Result<PathBuf> {
        let (config, _) = peft::load_adapter(adapter)?;
        let Some(name) = config.base_model_name_or_path else {
            return Err(Failure::input(format!(
                "{}: the adapter names no base; give the base as --model and this as --adapter",
                adapter.display()
            )));
        };
        let near = adapter.join(&name);
        if near.is_dir() {
            return Ok(near);
        }
        if near.is_file() && name.ends_with(".gguf") {
            return self.directory(&near.display().to_string());
        }
        let hub = format!("hf://{name}");
        match HubUri::parse(&hub) {
            Ok(uri) if uri.path.is_none() && !name.ends_with(".gguf") => self.directory(&hub),
            _ => Err(Failure::input(format!(
                "{}: the adapter's base \"{name}\" is not there; give the base as --model and this as --adapter",
                adapter.display()
            ))),
        }
    }

    /// Loads base and adapter.
    ///
    /// # Errors
    /// 65 for what is missing, damaged or made for another base; hub errors as [`Hub::files`].
    pub fn load<B: LmBackend>(&self, device: &B::Device) -> Result<LoadedModel<B>> {
        let (dir, adapter_dir) = self.directories()?;
        let config = ModelConfig::load(&dir)?;
        let positions = config.max_position_embeddings.min(MAX_CONTEXT);
        let model = load::map::<B>(&dir, positions, device)?;
        let adapter = match &adapter_dir {
            Some(adapter_dir) => Some(adapter::load::<B>(adapter_dir, &dir, &config, device)?),
            None => None,
        };
        let doubt = match adapter_dir.as_deref().zip(adapter.as_ref()) {
            Some((at, adapter)) => check_base(&adapter.config, at, &model, (&self.model, &dir), self.force_base)?,
            None => None,
        };
        let model = match &adapter {
            Some(adapter) => adapter.grow(model)?,
            None => model,
        };
        Ok(LoadedModel { model, adapter, dir, adapter_dir, doubt })
    }
}

/// Refuses a folder that holds none of `files`, and names the folder in it that does.
///
/// # Errors
/// 65 as said.
pub(super) fn require_any(dir: &Path, files: &[&str]) -> Result<()> {
    if !dir.is_dir() {
        return Err(Failure::input(format!("{}: no such directory", dir.display())));
    }
    match files.iter().any(|file| dir.join(file).is_file()) {
        true => Ok(()),
        false => Err(Failure::input(format!(
            "{}: holds no {}{}",
            dir.display(),
            files.join(" and no "),
            did_you_mean(dir, files)
        ))),
    }
}

/// Is the model, found at `dir` by `uri`, the base of this adapter? By the weights that the adapter records; a sentence of
/// doubt if it records none and names another base, or if `force` takes another one.
///
/// # Errors
/// 65 for other weights than the recorded ones, unless `force`; as [`BaseRecord::read`].
pub(super) fn check_base<B: LmBackend>(
    config: &AdapterConfig,
    adapter_dir: &Path,
    model: &Decoder<B>,
    (uri, dir): (&str, &Path),
    force: bool,
) -> Result<Option<String>> {
    let Some(record) = BaseRecord::read(adapter_dir)? else {
        return Ok(other_name(config, adapter_dir, uri, dir));
    };
    match record.contradicts(adapter_dir, &dir.display().to_string(), &adapter::weights_digest(model)?) {
        Some(other) if !force => Err(Failure::input(format!(
            "{other}; give the model that it was trained over, or --force-base if this one is meant"
        ))),
        other => Ok(other.map(|other| format!("{other}; its answers may make no sense"))),
    }
}

/// A sentence if the adapter names another base than the one it is put on. Shapes agree, so it may be meant.
fn other_name(adapter: &AdapterConfig, adapter_dir: &Path, uri: &str, base: &Path) -> Option<String> {
    let name = adapter.base_model_name_or_path.as_deref()?;
    let near = adapter_dir.join(name);
    let same = match (near.canonicalize(), base.canonicalize()) {
        (Ok(near), Ok(base)) => near == base,
        // Somewhere else, or of the hub: only a name of the hub can be compared.
        _ => match HubUri::parse(uri) {
            Ok(given) => given.repo == name,
            Err(_) => true,
        },
    };
    let (adapter_dir, base) = (adapter_dir.display(), base.display());
    (!same).then(|| format!("{adapter_dir} was trained on \"{name}\", not on {base}; its answers may make no sense"))
}

/// What [`ModelArgs::load`] loads.
pub struct LoadedModel<B: LmBackend> {
    pub model: Decoder<B>,
    pub adapter: Option<LoadedAdapter<B>>,
    pub dir: PathBuf,
    pub adapter_dir: Option<PathBuf>,
    /// A sentence if the adapter names another base.
    pub doubt: Option<String>,
}

impl<B: LmBackend> LoadedModel<B> {
    /// What makes this a reward model: the adapter or the base, in words.
    pub fn reward_model(&self) -> Option<String> {
        let adapter = self.adapter_dir.as_ref().filter(|_| self.adapter.as_ref().is_some_and(|a| a.is_reward_model()));
        if let Some(dir) = adapter {
            return Some(format!("{}: the adapter of a reward model", dir.display()));
        }
        let architecture = self.model.config().raw.get("architectures")?.get(0)?.as_str()?;
        architecture.ends_with("ForSequenceClassification").then(|| format!("{}: a reward model", self.dir.display()))
    }

    /// The reward head `[hidden]`: the adapter's or the base's own.
    ///
    /// # Errors
    /// 65 if the base's weights can't be read.
    pub fn score_head(&self) -> Result<Option<Vec<f32>>> {
        if let Some(score) = self.adapter.as_ref().and_then(|adapter| adapter.score.clone()) {
            return Ok(Some(score));
        }
        let files = ModelFiles::open(&self.dir)?;
        if !files.contains("score.weight") {
            return Ok(None);
        }
        let (shape, score) = files.read_f32("score.weight")?;
        match shape == [1, self.model.config().hidden_size] {
            true => Ok(Some(score)),
            false => Err(Failure::input(format!(
                "{}: \"score.weight\" has shape {shape:?}; a reward model has one score",
                self.dir.display()
            ))),
        }
    }

    /// The tokenizer in `given`, else the one saved with the adapter, else the model's.
    ///
    /// # Errors
    /// 65 if it has ids that the model has no embedding for.
    pub fn tokenizer(&self, given: Option<&Path>) -> Result<Tokenizer> {
        let with_adapter = self.adapter_dir.as_deref().filter(|dir| dir.join("tokenizer.json").is_file());
        let dir = given.or(with_adapter).unwrap_or(&self.dir);
        let tokenizer = Tokenizer::load(dir)?;
        tokenizer.check_fits(self.model.config().vocab_size).map_err(|failure| failure.at(dir.display()))?;
        Ok(tokenizer)
    }
}

#[cfg(test)]
#[path = "loaded_model_tests.rs"]
mod tests;
