//! Promises of [`super::ModelArgs`].

use std::fs;

use burn_flex::Flex;
use medtrain_crds::contract::ExitCode;

use super::*;
use crate::{cli::fixture::model_args, model::fixture::speaking_model};

fn fixture(path: &str) -> String {
    crate::parity::fixture_path(path).display().to_string()
}

fn args(model: &str, adapter: Option<&str>) -> ModelArgs {
    let (model, adapter) = (fixture(model), adapter.map(fixture));
    ModelArgs { model, adapter, force_base: false, workdir: PathBuf::from("unused"), threads: None }
}

fn load(args: &ModelArgs) -> Result<LoadedModel<Flex>> {
    args.load(&Default::default())
}

fn refusal(args: &ModelArgs) -> String {
    load(args).err().expect("it is refused").message
}

#[test]
fn an_adapter_given_as_the_model_brings_the_base_that_it_names() {
    let loaded = load(&args("lora/all_linear/adapter", None)).unwrap();
    assert_eq!(loaded.dir.canonicalize().unwrap(), Path::new(&fixture("models/llama")).canonicalize().unwrap());
    assert!(loaded.adapter.is_some());
    assert_eq!(loaded.doubt, None);
}

#[test]
fn an_adapter_of_the_given_base_raises_no_doubt_and_one_of_a_sibling_does() {
    assert_eq!(load(&args("models/llama", Some("lora/all_linear/adapter"))).unwrap().doubt, None);
    let loaded = load(&args("models/llama3_rope", Some("lora/all_linear/adapter"))).unwrap();
    let doubt = loaded.doubt.unwrap();
    assert!(doubt.contains("was trained on \"../../../models/llama\", not on "), "{doubt}");
    assert!(doubt.ends_with("models/llama3_rope; its answers may make no sense"), "{doubt}");
}

#[test]
fn an_adapter_that_records_its_base_goes_on_other_weights_by_force_alone() {
    let copy = tempfile::tempdir().unwrap();
    for name in [peft::CONFIG, peft::WEIGHTS] {
        fs::copy(Path::new(&fixture("lora/all_linear/adapter")).join(name), copy.path().join(name)).unwrap();
    }
    let on = |model: &str, force_base| {
        load(&ModelArgs { adapter: Some(copy.path().display().to_string()), force_base, ..args(model, None) })
    };
    let llama = load(&args("models/llama", None)).unwrap().model;
    BaseRecord::of(&llama, "org/llama").unwrap().write(copy.path()).unwrap();
    // The name does not count where weights are known.
    assert_eq!(on("models/llama", false).unwrap().doubt, None);

    let failure = on("models/llama3_rope", false).err().unwrap();
    assert_eq!(failure.exit, ExitCode::Input);
    let (adapter, sibling) = (copy.path().display(), fixture("models/llama3_rope"));
    let [ours, theirs] = ["models/llama", "models/llama3_rope"]
        .map(|model| adapter::weights_digest(&load(&args(model, None)).unwrap().model).unwrap()[..12].to_owned());
    let sentence =
        format!("{adapter}: was trained over \"org/llama\" (weights {ours}), not over {sibling} (weights {theirs})");
    assert_eq!(
        failure.message,
        format!("{sentence}; give the model that it was trained over, or --force-base if this one is meant")
    );
    let forced = on("models/llama3_rope", true).unwrap();
    assert_eq!(forced.doubt.unwrap(), format!("{sentence}; its answers may make no sense"));
}

#[test]
fn what_is_not_there_or_no_model_is_told_with_the_way_out() {
    let missing = refusal(&ModelArgs { model: "no/such".into(), ..args("", None) });
    assert_eq!(
        missing,
        "no/such: no such directory; give a model directory, a .gguf file, or hf://org/name for a model of the Hugging \
         Face hub"
    );
    let stage = tempfile::tempdir().unwrap();
    fs::create_dir(stage.path().join("merged")).unwrap();
    fs::write(stage.path().join("merged/config.json"), "{}").unwrap();
    let above = refusal(&model_args(stage.path()));
    let at = stage.path().display();
    assert_eq!(above, format!("{at}: holds no config.json and no adapter_config.json; did you mean {at}/merged?"));
    let swapped = refusal(&args("models/llama", Some("models/llama")));
    assert!(swapped.ends_with("no adapter_config.json, so this is not an adapter; a whole model goes to --model"));
    let two = refusal(&args("lora/rslora/adapter", Some("lora/all_linear/adapter")));
    assert!(two.contains("one adapter at a time"), "{two}");
}

#[test]
fn an_adapter_whose_base_is_gone_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    for name in [peft::CONFIG, peft::WEIGHTS] {
        fs::copy(Path::new(&fixture("lora/all_linear/adapter")).join(name), dir.path().join(name)).unwrap();
    }
    let message = refusal(&model_args(dir.path()));
    let expected =
        "the adapter's base \"../../../models/llama\" is not there; give the base as --model and this as --adapter";
    assert_eq!(message, format!("{}: {expected}", dir.path().display()));
}

#[test]
fn a_base_that_was_a_gguf_file_is_never_taken_for_a_model_of_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    let from = fixture("lora/all_linear/adapter");
    fs::copy(Path::new(&from).join(peft::WEIGHTS), dir.path().join(peft::WEIGHTS)).unwrap();
    let config = fs::read_to_string(Path::new(&from).join(peft::CONFIG)).unwrap();
    let named = |name: &str| {
        fs::write(dir.path().join(peft::CONFIG), config.replace("../../../models/llama", name)).unwrap();
        refusal(&model_args(dir.path()))
    };
    assert!(named("models/x.gguf").contains("the adapter's base \"models/x.gguf\" is not there; give the base"));
}

#[test]
fn reward_models_are_recognised_by_base_and_by_adapter() {
    let base = load(&args("models/llama_reward", None)).unwrap();
    assert!(base.reward_model().unwrap().ends_with("models/llama_reward: a reward model"));
    let adapter = load(&args("models/llama", Some("lora/reward/adapter"))).unwrap();
    assert!(adapter.reward_model().unwrap().ends_with("lora/reward/adapter: the adapter of a reward model"));
    assert_eq!(load(&args("models/llama", None)).unwrap().reward_model(), None);
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_model_is_refused() {
    let speaking = speaking_model();
    let loaded = load(&model_args(speaking.path())).unwrap();
    assert!(loaded.tokenizer(None).is_ok());
    let small = load(&args("models/llama", None)).unwrap();
    let message = small.tokenizer(Some(speaking.path())).err().expect("it is refused").message;
    let tokens = loaded.tokenizer(None).unwrap().vocab_size();
    let expected = format!(
        "{}: the tokenizer has {tokens} tokens, the model only 128 embeddings; they belong to different models: put the \
         model's own tokenizer files beside its weights",
        speaking.path().display()
    );
    assert_eq!(message, expected);
}
