//! What a stage looks at once more, since preflight may have seen less or something else.

use std::{fs, path::PathBuf};

use burn_flex::Flex;
use medtrain_crds::{
    contract::{ExitCode, FirstBatches, Reason, TokenRole},
    resolve::{Plan, PlannedInput, PlannedStage, Role},
};

use super::{
    build::{Job, build},
    inputs::model_input,
    monitor::Monitor,
    task::Watch,
    training::Checkpoints,
};
use crate::{
    adapter::BaseRecord,
    checkpoint::State,
    failure::{Failure, Result},
    model::{Parameter, Parameters},
    preflight::{
        self, Workspace,
        fixture::{Lab, SPEC, config, write_model},
    },
    telemetry::{StopSignal, Style, TrainerState},
    weights::peft,
};

/// A training of one SFT stage over the lab's model, with more fields of the stage, and its plan.
fn planned(lab: &Lab, spec: &str, more: &str) -> (Workspace, Plan) {
    lab.training(spec, &format!("    - {{name: sft, kind: SFT, dataset: {{train: [sft.jsonl]}}{more}}}"));
    let (_, ws) = lab.open().unwrap();
    (ws, lab.preflight().unwrap().plan)
}

fn monitor() -> Monitor {
    Monitor::new(Style::Quiet, "stage", "kind").unwrap()
}

fn built(ws: &Workspace, stage: &PlannedStage) -> Result<Job<Flex>> {
    build::<Flex>(ws, stage, &mut monitor(), &Default::default())
}

fn refusal(ws: &Workspace, stage: &PlannedStage) -> Failure {
    built(ws, stage).err().expect("it is refused")
}

#[test]
fn an_adapter_from_a_store_is_held_against_the_base_that_it_records() {
    let lab = Lab::new().with_data();
    lab.write_adapter(32, "org/other");
    let dir = lab.path("adapter");
    let record = BaseRecord { base_model_name_or_path: "org/other".into(), weights_sha256: "ab".repeat(32) };
    record.write(&dir).unwrap();
    lab.training(SPEC, "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl]}}");
    let store = lab.open().unwrap().1.open_store("memory://adapters/recorded").unwrap();
    for name in [peft::CONFIG, peft::WEIGHTS, peft::BASE_RECORD] {
        store.put(name, fs::read(dir.join(name)).unwrap()).unwrap();
    }
    let (ws, plan) = planned(
        &lab,
        SPEC,
        ", inputs: {adapter: {uri: \"memory://adapters/recorded\"}}, lora: {targetModules: [q_proj]}",
    );
    let failure = refusal(&ws, &plan.stages[0]);
    assert_eq!(failure.exit, ExitCode::Input);
    assert!(failure.message.starts_with("sft.inputs.adapter: "), "{failure}");
    assert!(
        failure.message.contains("was trained over \"org/other\" (weights abababababab), not over model "),
        "{failure}"
    );
}

#[test]
fn rows_that_no_sample_saw_must_fit_the_models_positions_too() {
    let lab = Lab::new().with_data();
    let (ws, plan) = planned(&lab, SPEC, ", train: {maxLength: 256}");
    let mut stage = plan.stages[0].clone();
    assert!(built(&ws, &stage).is_ok());
    // As of a plan whose preflight saw the first rows alone.
    lab.lines("sft.jsonl", 3, |_| format!(r#"{{"instruction":"q","output":"{}"}}"#, "z ".repeat(200)));
    (stage.train.max_length, stage.dataset.train[0].sha256) = (2048, None);
    let failure = refusal(&ws, &stage);
    assert_eq!(failure.exit, ExitCode::Config);
    assert_eq!(
        failure.message,
        "sft.train.maxLength: rows reach 422 tokens, but the model knows 256 positions (max_position_embeddings); make it \
         smaller"
    );
}

#[test]
fn the_certificate_does_not_depend_on_how_a_batch_is_cut() {
    let lab = Lab::new().with_data();
    let mask = |more: &str, rows: u32, passes: u32| {
        let train = format!(
            ", train: {{maxSteps: 10, perDeviceTrainBatchSize: {rows}, gradientAccumulationSteps: {passes}{more}}}"
        );
        let (ws, plan) = planned(&lab, SPEC, &train);
        let job = built(&ws, &plan.stages[0]).unwrap();
        job.task.loss_mask(10, &job.counts.train).unwrap()
    };
    for more in ["", ", packing: true"] {
        let whole = mask(more, 8, 1);
        assert_eq!(mask(more, 1, 8), whole);
        assert_eq!(mask(more, 4, 2), whole);
        assert_ne!(mask(more, 4, 1).first_batches, whole.first_batches);
        assert_eq!(whole.first_batches.steps, FirstBatches::STEPS);
        assert!(whole.roles[&TokenRole::User].seen > 0 && whole.roles[&TokenRole::Assistant].trained > 0);
        let of_others = whole.roles.iter().filter(|(role, _)| **role != TokenRole::Assistant);
        assert_eq!(of_others.map(|(_, tokens)| tokens.trained).sum::<u64>(), 0, "{whole}");
    }
    let inputs_too = mask(", trainOnInputs: true", 8, 1);
    assert!(inputs_too.roles[&TokenRole::User].trained > 0, "{inputs_too}");
}

#[test]
fn a_random_model_whose_tokenizer_changed_after_the_plan_fails_the_stage() {
    let lab = Lab::new().with_data();
    let spec = SPEC.replace("{uri: model}", &format!("{{tokenizer: model, random: {}}}", config()));
    let (ws, plan) = planned(&lab, &spec, "");
    let file = lab.path("model/tokenizer_config.json");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, before.clone() + "\n").unwrap();
    let failure = refusal(&ws, &plan.stages[0]);
    assert_eq!(failure.exit, ExitCode::Input);
    assert!(
        failure.message.starts_with("sft.inputs.policy: model: with this tokenizer the random model is sha256:"),
        "{failure}"
    );
    fs::write(&file, before).unwrap();
    assert!(built(&ws, &plan.stages[0]).is_ok());
}

#[test]
fn adapters_name_local_bases_by_paths_that_hold_everywhere() {
    let lab = Lab::new().with_data();
    let (mut ws, plan) = planned(&lab, SPEC, "");
    // The folder of the YAML file, as a shell in this one would write it.
    ws.base = PathBuf::from("../tests/parity");
    for uri in ["gguf/llama.gguf", "fixtures/models/llama"] {
        let digest = preflight::digest_of(&preflight::model(&ws, uri, None).unwrap()).unwrap();
        let mut stage = plan.stages[0].clone();
        stage.inputs.insert(Role::Policy, PlannedInput::External { uri: uri.into(), revision: None, digest });
        let input = model_input::<Flex>(&ws, &stage, Role::Policy, &Default::default()).unwrap().unwrap();
        let path = PathBuf::from(&input.name);
        assert!(path.is_absolute() && path.ends_with(uri) && path.exists(), "{}", input.name);
    }
}

/// Keeps nothing.
struct Nowhere;

impl Checkpoints<Flex> for Nowhere {
    fn save(&mut self, _: State, _: u64, _: &Parameters<Flex>, _: &TrainerState) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_held_out_figure_that_is_no_number_is_told_as_such_before_samples_are_asked_for() {
    let lab = Lab::new().with_data();
    lab.training(
        SPEC,
        "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl], eval: [sft.jsonl]}, train: {maxLength: 160, \
         logSamples: true}}",
    );
    let (_, ws) = lab.open().unwrap();
    let stage = &lab.preflight().unwrap().plan.stages[0];
    let mut job = built(&ws, stage).unwrap();
    for parameter in job.training.parameters.values_mut() {
        let values = vec![f32::NAN; parameter.shape.iter().product()];
        *parameter = Parameter::new(parameter.shape.clone(), values, &Default::default());
    }
    let mut monitor = monitor();
    monitor.show_samples(job.tokenizer.clone());
    let stop = StopSignal::default();
    let mut watch = Watch { monitor: &mut monitor, stop: &stop };
    let failure = job.training.run(job.task.as_task(), &stage.train, &mut Nowhere, &mut watch).unwrap_err();
    assert_eq!((failure.exit, failure.reason), (ExitCode::Internal, Reason::NonFinite), "{failure}");
    assert!(failure.message.starts_with("step 0: eval_loss on the held-out rows is not a number"), "{failure}");
}

#[test]
fn a_stage_that_adds_tokens_trains_their_rows_whatever_else_it_trains() {
    for (model, tuning, trained) in [
        ("model", "lora: {targetModules: [q_proj]}", vec!["model.embed_tokens.weight"]),
        ("untied", "lora: {targetModules: [q_proj]}", vec!["lm_head.weight", "model.embed_tokens.weight"]),
        ("model", "full: {}", vec!["model.embed_tokens.weight"]),
    ] {
        let lab = Lab::new().with_data();
        let mut untied = config();
        untied["tie_word_embeddings"] = false.into();
        write_model(&lab.path("untied"), &untied);
        let spec = SPEC.replace("{uri: model}", &format!("{{uri: {model}}}"));
        let (ws, plan) =
            planned(&lab, &spec, &format!(", {tuning}, vocabulary: {{addTokens: [What helps, on day, Rest, angina]}}"));
        let job = built(&ws, &plan.stages[0]).unwrap();
        assert_eq!((job.base_vocab_size, job.tokenizer.vocab_size()), (304, 305));
        assert_eq!(job.training.tuned.config().vocab_size, 305);
        let parameters = &job.training.parameters;
        let matrices: Vec<_> = parameters.iter().filter(|(_, parameter)| parameter.shape == [305, 32]).collect();
        assert_eq!(matrices.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), trained, "{model} {tuning}");
        let adapted = parameters.keys().filter(|name| name.contains("lora_")).count();
        assert_eq!(adapted, if tuning == "full: {}" { 0 } else { 4 }, "{model} {tuning}");
    }
}
