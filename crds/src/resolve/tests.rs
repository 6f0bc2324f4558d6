use super::*;
use crate::stage::{IntervalStrategy, StageKind, Tuning};
use crate::training::read;

fn yaml(spec: &str, stages: &[&str]) -> String {
    let spec = if spec.is_empty() { "model: {uri: m}" } else { spec };
    let stages: String = stages.iter().map(|stage| format!("\n  - {{{stage}}}")).collect();
    format!(
        "apiVersion: medtrain.io/v1alpha1\nkind: MedicalTraining\nmetadata: {{name: t}}\nspec:\n  {spec}\n  stages:{stages}\n"
    )
}

const PT: &str = "name: pt, kind: PT, dataset: {train: [a.txt]}";
const SFT: &str = "name: sft, kind: SFT, dataset: {train: [a.jsonl]}";
const RM: &str = "name: rm, kind: RM, dataset: {train: [a.jsonl]}";
const PPO: &str = "name: ppo, kind: PPO, dataset: {train: [a.jsonl]}";

fn resolved(spec: &str, stages: &[&str]) -> Resolved {
    load(&read(&yaml(spec, stages), "t.yaml").unwrap()).unwrap_or_else(|errors| panic!("{errors:#?}")).1
}

fn errors(spec: &str, stages: &[&str]) -> Vec<String> {
    let value = read(&yaml(spec, stages), "t.yaml").unwrap();
    load(&value).map(|_| ()).unwrap_err().iter().map(ToString::to_string).collect()
}

fn with(stage: &str, more: &str) -> String {
    format!("{stage}, {more}")
}

fn from(stage: &str) -> Source {
    Source::Stage(stage.to_string())
}

#[test]
fn inputs_follow_the_usual_shape_of_a_pipeline() {
    let stages = resolved("", &[PT, SFT, RM, PPO]).stages;
    let inputs: Vec<Vec<_>> = stages.into_iter().map(|stage| stage.inputs.into_iter().collect()).collect();
    assert_eq!(inputs[0], [(Role::Policy, Source::Model)]);
    assert_eq!(inputs[1], [(Role::Policy, from("pt"))]);
    assert_eq!(inputs[2], [(Role::Base, from("sft"))]);
    assert_eq!(inputs[3], [(Role::Policy, from("sft")), (Role::Reference, from("sft")), (Role::Reward, from("rm"))]);
}

#[test]
fn without_sft_rm_and_ppo_take_pt_or_the_model() {
    assert_eq!(resolved("", &[PT, RM]).stages[1].inputs[&Role::Base], from("pt"));
    assert_eq!(resolved("", &[RM, PPO]).stages[1].inputs[&Role::Reference], Source::Model);
}

#[test]
fn the_reference_follows_a_named_policy() {
    let other = SFT.replace("sft", "sft2");
    let ppo = with(PPO, "inputs: {policy: {from: sft}}");
    let stages = resolved("", &[SFT, &with(&other, "inputs: {policy: {from: sft}}"), RM, &ppo]).stages;
    assert_eq!(stages[3].inputs[&Role::Reference], from("sft"));
    assert_eq!(stages[2].inputs[&Role::Base], from("sft2"));
}

#[test]
fn inputs_by_uri_keep_their_revision_in_one_place() {
    for input in ["{uri: hf://a/b@main}", "{uri: hf://a/b, revision: main}", "{uri: hf://a/b@main, revision: main}"] {
        let stages = resolved("", &[&with(SFT, &format!("inputs: {{policy: {input}}}"))]).stages;
        let source = Source::Uri { uri: "hf://a/b".into(), revision: Some("main".into()) };
        assert_eq!(stages[0].inputs[&Role::Policy], source, "{input}");
    }
    let two = resolved("", &[SFT, RM, &with(PPO, "inputs: {reference: {uri: x}, reward: {uri: hf://a/b@v1}}")]);
    assert_eq!(two.external_inputs().into_iter().collect::<Vec<_>>(), [("hf://a/b", Some("v1")), ("x", None)]);
}

#[test]
fn edges_that_do_not_type_check_say_what_fits() {
    let cases: &[(&[&str], &str)] = &[
        (
            &[SFT, RM, "name: ppo, kind: PPO, dataset: {train: [a.jsonl]}, inputs: {policy: {from: rm}}"],
            "stages[2].inputs.policy: \"rm\" is a reward model (one score per sequence); PPO needs a causal model: use an SFT or PT stage, or drop the line to take \"sft\"",
        ),
        (
            &[SFT, RM, "name: ppo, kind: PPO, dataset: {train: [a.jsonl]}, inputs: {reward: {from: sft}}"],
            "stages[2].inputs.reward: \"sft\" is a causal model; PPO needs a reward model here: use an RM stage, or drop the line to take \"rm\"",
        ),
        (
            &[SFT, PPO],
            "stages[1].inputs.reward: \"ppo\" needs a reward model and no RM stage comes before it; add one, or name one by {uri: …}",
        ),
        (
            &["name: sft, kind: SFT, dataset: {train: [a.jsonl]}, inputs: {policy: {from: pt}}"],
            "stages[0].inputs.policy: there is no stage \"pt\"; no stage comes before, or drop the line to take the model",
        ),
        (
            &["name: sft, kind: SFT, dataset: {train: [a.jsonl]}, inputs: {policy: {from: pt}}", PT],
            "stages[0].inputs.policy: \"pt\" is listed after \"sft\"; move it up",
        ),
        (
            &["name: sft, kind: SFT, dataset: {train: [a.jsonl]}, inputs: {policy: {from: sft}}"],
            "stages[0].inputs.policy: \"sft\" is this stage itself, or drop the line to take the model",
        ),
        (
            &[
                "name: a, kind: SFT, dataset: {train: [a.jsonl]}, inputs: {policy: {from: b}}",
                "name: b, kind: SFT, dataset: {train: [a.jsonl]}, inputs: {policy: {from: a}}",
            ],
            "stages[0].inputs.policy: \"b\" itself needs \"a\": a cycle; break it",
        ),
        (
            &["name: rm, kind: RM, dataset: {train: [a.jsonl]}, inputs: {policy: {uri: x}}"],
            "stages[0].inputs.policy: a stage of kind RM has no policy; it takes base",
        ),
        (
            &["name: sft, kind: SFT, dataset: {train: [a.jsonl]}, inputs: {policy: {}}"],
            "stages[0].inputs.policy: needs either from (a stage) or uri",
        ),
    ];
    for (stages, text) in cases {
        assert_eq!(errors("", stages), [*text]);
    }
}

#[test]
fn an_adapter_of_a_stage_brings_its_base_along() {
    let more = with(&SFT.replace("sft", "more"), "inputs: {adapter: {from: sft}}");
    let stages = resolved("", &[PT, SFT, &more]).stages;
    assert_eq!(stages[2].inputs[&Role::Policy], from("pt"));
    assert_eq!(stages[2].inputs[&Role::Adapter], from("sft"));
    assert_eq!(
        errors("", &[PT, SFT, &more.replace("adapter:", "policy: {from: sft}, adapter:")]),
        [
            "stages[2].inputs.adapter: the adapter of \"sft\" belongs to the model that \"sft\" started from; drop inputs.policy"
        ]
    );
    assert_eq!(
        errors("", &[&with(SFT, "full: {}"), &more]),
        ["stages[1].inputs.adapter: \"sft\" trains all weights and leaves no adapter; take it as policy"]
    );
    assert_eq!(
        errors("", &[&with(SFT, "full: {}, inputs: {adapter: {uri: x}}")]),
        [
            "stages[0].inputs.adapter: continues an adapter, but the stage trains all weights; remove full or the adapter"
        ]
    );
}

#[test]
fn lora_is_merged_field_by_field_and_full_replaces_it() {
    let spec = "model: {uri: m}\n  lora: {rank: 4, alpha: 32, dropout: 0.1}";
    let stages = [
        with(SFT, "lora: {rank: 16, targetModules: [v_proj, q_proj, v_proj]}"),
        with(&SFT.replace("sft", "b"), "full: {}"),
        RM.to_string(),
        PPO.to_string(),
    ];
    let stages = resolved(spec, &stages.each_ref().map(String::as_str)).stages;
    let Tuning::Lora(lora) = &stages[0].tuning else { panic!("LoRA is asked for") };
    assert_eq!((lora.rank, lora.alpha, lora.dropout), (16, 32.0, 0.1));
    assert_eq!(lora.target_modules, ["q_proj", "v_proj"]);
    assert_eq!(stages[1].tuning, Tuning::Full);
    let Tuning::Lora(rm) = &stages[2].tuning else { panic!("LoRA is the default") };
    assert_eq!(rm.target_modules, hyperparameters::ALL_LINEAR);
    let Tuning::Lora(ppo) = &stages[3].tuning else { panic!("LoRA is the default") };
    assert_eq!((ppo.rank, ppo.dropout), (4, 0.0), "the pipeline's dropout is not for PPO");
    let full = "model: {uri: m}\n  full: {}";
    assert_eq!(resolved(full, &[SFT]).stages[0].tuning, Tuning::Full);
    assert!(matches!(resolved(full, &[&with(SFT, "lora: {}")]).stages[0].tuning, Tuning::Lora(_)));
}

#[test]
fn a_stage_says_everything_that_is_wrong_with_it() {
    let cases: &[(&str, &[&str])] = &[
        (
            "name: sft, kind: SFT",
            &["stages[0].dataset.train: SFT stages need data; list files or globs, like train: [\"data/*.jsonl\"]"],
        ),
        (
            "name: s-1, kind: SFT, dataset: {train: [a]}",
            &[
                "stages[0].name: \"s-1\" must be lower-case letters and digits, begin with a letter, and have at most 12 characters",
            ],
        ),
        (
            "name: plan, kind: SFT, dataset: {train: [a]}",
            &["stages[0].name: \"plan\" is reserved; choose another name"],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a]}, ppo: {gamma: 1}, reward: {}",
            &[
                "stages[0].ppo: is for PPO stages, but \"sft\" is SFT; remove it or move it",
                "stages[0].reward: is for RM stages, but \"sft\" is SFT; remove it or move it",
            ],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a]}, train: {blockSize: 64}",
            &["stages[0].train.blockSize: has no meaning in SFT stages (only in PT); remove the line"],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a]}, lora: {}, full: {}",
            &["stages[0].full: lora and full exclude each other; remove one"],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a], eval: [b], evalFraction: 0.1}",
            &["stages[0].dataset.evalFraction: eval and evalFraction exclude each other; remove one"],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a, b], weights: [1]}",
            &["stages[0].dataset.weights: has 1 entries for 2 of train; give one weight for each"],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a], format: preference}",
            &[
                "stages[0].dataset.format: SFT stages can't read preference; they read alpaca, conversations, messages, prompt_completion",
            ],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [ftp://a, hf://a/b]}",
            &[
                "stages[0].dataset.train[0]: ftp:// can't be used here; use a path or one of hf://, file://, s3://, gs://, az://",
                "stages[0].dataset.train[1]: \"hf://a/b\" is no data of the hub; write hf://datasets/organisation/name/path",
            ],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a]}, train: {lrSchedulerType: constant, warmupRatio: 0.1}",
            &["stages[0].train.warmupRatio: has no meaning with lrSchedulerType constant; use constant_with_warmup"],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a]}, train: {evalStrategy: epoch}",
            &[
                "stages[0].train.evalStrategy: there is nothing to evaluate on; set dataset.eval or dataset.evalFraction, or remove the line",
            ],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a]}, train: {earlyStoppingPatience: 3, loadBestModelAtEnd: true}",
            &[
                "stages[0].train.earlyStoppingPatience: compares evaluations on held-out rows; set dataset.eval or dataset.evalFraction, or remove the line",
                "stages[0].train.loadBestModelAtEnd: compares evaluations on held-out rows; set dataset.eval or dataset.evalFraction, or remove the line",
            ],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a], eval: [e]}, train: {evalStrategy: 'no', metricForBestModel: eval_loss}",
            &[
                "stages[0].train.metricForBestModel: compares evaluations; set train.evalStrategy to steps or epoch, or remove the line",
            ],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a], eval: [e]}, train: {earlyStoppingThreshold: 0.1, greaterIsBetter: true}",
            &[
                "stages[0].train.earlyStoppingThreshold: has no meaning without earlyStoppingPatience; set that too, or remove the line",
                "stages[0].train.greaterIsBetter: has no meaning without metricForBestModel; set that too, or remove the line",
            ],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a]}, lora: {targetModules: [all-linear, q_prj]}",
            &["stages[0].lora.targetModules: all-linear stands alone; remove it or the others"],
        ),
        (
            "name: sft, kind: SFT, dataset: {train: [a]}, lora: {targetModules: [q_prj], modulesToSave: [wte]}",
            &[
                "stages[0].lora.targetModules: \"q_prj\" is no module that can be named here; known are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj; did you mean \"q_proj\"?",
                "stages[0].lora.modulesToSave: \"wte\" is no module that can be named here; known are embed_tokens, lm_head",
            ],
        ),
    ];
    for (stage, texts) in cases {
        assert_eq!(errors("", &[stage]), *texts);
    }
}

#[test]
fn a_vocabulary_is_kept_in_its_order_and_what_can_be_no_token_is_told_by_its_place() {
    let vocabulary = |stage: &str, tokens: &str| with(stage, &format!("vocabulary: {{addTokens: [{tokens}]}}"));
    let stages = resolved("", &[&vocabulary(PT, "心肌梗死, \" stent\"")]).stages;
    assert_eq!(stages[0].vocabulary.as_ref().unwrap().add_tokens, ["心肌梗死", " stent"]);
    assert_eq!(
        errors("", &[&vocabulary(PT, "stent, \"\\t \", \"a\\nb\", stent"), &vocabulary(RM, "x"), &vocabulary(SFT, "")]),
        [
            "stages[0].vocabulary.addTokens[1]: \"\\t \" is only white space; remove it",
            "stages[0].vocabulary.addTokens[2]: \"a\\nb\" holds a line break or another control character; a token is a piece of one line",
            "stages[0].vocabulary.addTokens[3]: \"stent\" is there twice, first as addTokens[0]; remove one of them",
            "stages[1].vocabulary: has no meaning in RM stages (only in PT, SFT): they keep the tokens of the model that they start from; move it to the PT or SFT stage before",
            "stages[2].vocabulary.addTokens: is empty; list tokens, or remove vocabulary",
        ]
    );
    assert_eq!(
        errors("", &[&vocabulary(SFT, "x, \"\"")]),
        ["stages[0].vocabulary.addTokens[1]: is empty; fill it in or remove the line"]
    );
    assert_eq!(
        errors("", &[&with(&vocabulary(SFT, "x"), "inputs: {adapter: {uri: a}}")]),
        ["stages[0].vocabulary: an adapter that is continued keeps its tokens; remove vocabulary or inputs.adapter"]
    );
    assert_eq!(
        errors("", &[&vocabulary(PT, "x"), &with(SFT, "inputs: {adapter: {from: pt}}")]),
        ["stages[1].inputs.adapter: the adapter of \"pt\" has tokens that its base lacks; take \"pt\" as policy"]
    );
}

#[test]
fn problems_of_form_and_meaning_are_reported_together_but_once() {
    let stage = "name: sft, kind: SFT, dataset: {train: a.jsonl}, train: {maxStep: 3, blockSize: 64}";
    assert_eq!(
        errors("", &[stage, &with(PPO, "ppo: {batchSize: 10, minNewTokens: 999}")]),
        [
            "stages[0].dataset.train: must be a list, found the text \"a.jsonl\"; put it in square brackets",
            "stages[0].train.maxStep: unknown field; did you mean \"maxSteps\"?",
            "stages[0].train.blockSize: has no meaning in SFT stages (only in PT); remove the line",
            "stages[1].inputs.reward: \"ppo\" needs a reward model and no RM stage comes before it; add one, or name one by {uri: …}",
            "stages[1].ppo.miniBatchSize: batchSize 10 is no multiple of miniBatchSize 16; change one",
            "stages[1].ppo.minNewTokens: 999 is more than maxNewTokens 128; change one",
        ]
    );
}

#[test]
fn what_is_wrong_with_the_pipeline_as_a_whole() {
    let cases: &[(&str, &[&str])] = &[
        ("model: {}", &["model: needs a uri (or random with a tokenizer)"]),
        ("model: {uri: m, random: {}}", &["model: uri and random exclude each other; keep one"]),
        (
            "model: {random: {a: 1}, tokenizer: \"ftp://x\"}",
            &["model.tokenizer: ftp:// can't be used here; use a path or one of hf://, file://, s3://, gs://, az://"],
        ),
        ("model: {random: {a: 1}}", &["model.tokenizer: is missing; a random model needs a tokenizer from somewhere"]),
        ("model: {uri: m, revision: main}", &["model.revision: is for models of a hub (hf://…); remove the line"]),
        ("model: {uri: \"hf://a/b@x\", revision: y}", &["model.revision: is \"y\", but the URI says @x; keep one"]),
        (
            "model: {uri: \"hf://gpt2\"}",
            &[
                "model.uri: \"hf://gpt2\" is no model of the hub; write hf://organisation/name or hf://organisation/name@revision",
            ],
        ),
        (
            "model: {uri: m}\n  output: {uri: \"hf://a/b\"}",
            &["output.uri: hf:// can't be used here; use a path or one of file://, s3://, gs://, az://"],
        ),
        ("model: {uri: m}\n  lora: {}\n  full: {}", &["full: lora and full exclude each other; remove one"]),
        (
            "model: {uri: m}\n  queueName: A_b",
            &["queueName: \"A_b\" is no name of a queue (lower-case letters, digits, hyphens and dots)"],
        ),
        (
            "model: {uri: m}\n  storage: [{uriPrefix: \"s3://\"}, {uriPrefix: \"s3://\"}]",
            &["storage[1].uriPrefix: is there twice; keep one of them"],
        ),
        (
            "model: {uri: m}\n  lora: {targetModules: [foo]}",
            &[
                "lora.targetModules: \"foo\" is no module that can be named here; known are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
            ],
        ),
    ];
    for (spec, texts) in cases {
        assert_eq!(errors(spec, &[SFT, RM]), *texts, "{spec}");
    }
    assert_eq!(errors("", &[SFT, SFT])[0], "stages[1].name: \"sft\" is there twice; names must differ");
    let long = yaml("", &[SFT]).replace("{name: t}", &format!("{{name: {}}}", "x".repeat(35)));
    let error = &load(&read(&long, "t.yaml").unwrap()).map(|_| ()).unwrap_err()[0];
    assert!(error.path == "metadata.name" && error.message.ends_with("at most 34 characters"), "{error}");
}

#[test]
fn values_set_in_code_are_held_to_the_same_ranges() {
    let mut training = MedicalTraining::parse(&yaml("", &[SFT]), "t.yaml").unwrap();
    training.spec.stages[0].lora = Some(crate::stage::LoraSpec { rank: Some(0), ..Default::default() });
    assert_eq!(
        resolve(&training).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["stages[0].lora.rank: 0 is not allowed; it must be a whole number from 1 to 1024"]
    );
}

#[test]
fn evaluation_is_on_by_default_only_if_there_is_something_to_evaluate_on() {
    assert_eq!(resolved("", &[SFT]).stages[0].train.eval_strategy, IntervalStrategy::No);
    let stage = "name: sft, kind: SFT, dataset: {train: [a], evalFraction: 0.1}";
    assert_eq!(resolved("", &[stage]).stages[0].train.eval_strategy, IntervalStrategy::Steps);
}

#[test]
fn the_models_chat_template_is_the_default_of_stages_that_talk() {
    let spec = "model: {uri: m, chatTemplate: chatml}";
    let stages = resolved(spec, &[PT, SFT, &with(RM, "train: {chatTemplate: llama3}")]).stages;
    let templates = stages.iter().map(|stage| stage.train.chat_template.as_deref()).collect::<Vec<_>>();
    assert_eq!(templates, [None, Some("chatml"), Some("llama3")]);
}

#[test]
fn every_example_resolves() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path.display().to_string();
            let (_, resolved) = load(&read(&std::fs::read_to_string(&path).unwrap(), &name).unwrap())
                .unwrap_or_else(|errors| panic!("{name}: {errors:#?}"));
            assert!(resolved.stages.iter().all(|stage| StageKind::ALL.contains(&stage.kind)));
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen} examples");
}
