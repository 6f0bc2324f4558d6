use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::contract::Digest;
use crate::resolve::{
    DataIdentity, FileIdentity, Identities, Plan, PlannedInput, Resolved, ResolvedStage, Role, load, plan,
};
use crate::training::{SpecError, read};

const PIPELINE: &str = include_str!("../../examples/pipeline.yaml");

fn file(uri: &str, content: &str) -> FileIdentity {
    FileIdentity {
        uri: uri.into(),
        sha256: Some(canonical::sha256_hex(content.as_bytes())),
        etag: None,
        size: 1,
        entry: 0,
    }
}

fn identities(resolved: &Resolved) -> Identities {
    let data = |stage: &ResolvedStage| {
        let eval = if stage.dataset.eval.is_empty() { Vec::new() } else { vec![file("e", "eval")] };
        (stage.name.clone(), DataIdentity { train: vec![file("a", "one"), file("b", "two")], eval })
    };
    Identities {
        model: Digest::commit(&"c".repeat(40)).unwrap(),
        inputs: BTreeMap::new(),
        data: resolved.stages.iter().map(data).collect(),
    }
}

fn resolved(yaml: &str) -> Resolved {
    load(&read(yaml, "t.yaml").unwrap()).unwrap_or_else(|errors| panic!("{errors:#?}")).1
}

fn planned(yaml: &str) -> Plan {
    let resolved = resolved(yaml);
    plan(&resolved, &identities(&resolved)).unwrap()
}

fn keys(plan: &Plan) -> Vec<StageKey> {
    plan.stages.iter().map(|stage| stage.key.clone()).collect()
}

#[test]
fn the_key_of_a_known_stage_is_the_golden_one() {
    let plan = planned(PIPELINE);
    let content = canonical::to_string(&key_content(&plan.stages[3])).unwrap();
    assert_eq!(
        content,
        format!(
            concat!(
                r#"{{"contract":1,"data":{{"train":["sha256:{one}","sha256:{two}"]}},"#,
                r#""inputs":{{"policy":"{sft}","reference":"{sft}","reward":"{rm}"}},"kind":"PPO","#,
                r#""ppo":{{"batchSize":64,"cliprange":0.2,"cliprangeValue":0.2,"gamma":1,"initKlCoef":0.05,"#,
                r#""klController":"adaptive","klHorizon":10000,"klTarget":6,"lam":0.95,"maxNewTokens":128,"#,
                r#""minNewTokens":1,"miniBatchSize":16,"missingEosPenalty":1,"numPpoEpochs":4,"targetKl":0.1,"#,
                r#""temperature":1,"topP":1,"vfCoef":0.1,"whitenAdvantages":true}},"recipe":1,"seed":42,"#,
                r#""train":{{"adamBeta1":0.9,"adamBeta2":0.999,"adamEpsilon":0.00001,"learningRate":0.0000141,"#,
                r#""lrSchedulerType":"linear","maxGradNorm":1,"maxLength":512,"numTrainEpochs":1,"overlong":"drop","#,
                r#""warmupRatio":0,"weightDecay":0}},"tuning":{{"lora":{{"alpha":16,"rank":8,"#,
                r#""targetModules":["q_proj","k_proj","v_proj","o_proj","gate_proj","up_proj","down_proj"]}}}}}}"#
            ),
            one = canonical::sha256_hex(b"one"),
            two = canonical::sha256_hex(b"two"),
            sft = plan.stages[1].key,
            rm = plan.stages[2].key,
        )
    );
    assert_eq!(
        keys(&plan).iter().map(StageKey::key12).collect::<Vec<_>>(),
        GOLDEN_KEYS,
        "every finished stage of every user is run again if these change"
    );
}

const GOLDEN_KEYS: [&str; 4] = ["fc92f2df8b8a", "a4488c03b069", "31cf4c64d695", "d7cd31e19337"];

/// Every field of a planned stage's hyperparameters: another value, and whether it makes another key.
/// `Same` and `Other` are for the kind in whose plan the field is changed, `beside` another if it needs one.
const FIELDS: &[(&str, &str, Effect)] = &[
    ("SFT", "train.adamBeta1=0.8", Effect::Other),
    ("SFT", "train.adamBeta2=0.8", Effect::Other),
    ("SFT", "train.adamEpsilon=1e-6", Effect::Other),
    ("PT", "train.blockSize=64", Effect::Other),
    ("SFT", "train.chatTemplate=chatml", Effect::Other),
    ("SFT", "train.evalSteps=7", Effect::Same),
    ("SFT", "train.evalStrategy=epoch", Effect::Same),
    ("SFT", "train.gradientAccumulationSteps=8", Effect::Other),
    ("SFT", "train.gradientCheckpointing=true", Effect::Same),
    ("SFT", "train.learningRate=1e-3", Effect::Other),
    ("SFT", "train.logSamples=true", Effect::Same),
    ("SFT", "train.loggingFirstStep=false", Effect::Same),
    ("SFT", "train.loggingSteps=7", Effect::Same),
    ("SFT", "train.lrSchedulerType=linear", Effect::Other),
    ("SFT", "train.maxEvalSamples=7", Effect::Other),
    ("SFT", "train.maxGradNorm=0", Effect::Other),
    ("SFT", "train.maxLength=64", Effect::Other),
    ("SFT", "train.maxSteps=7", Effect::Other),
    ("SFT", "train.maxTrainSamples=7", Effect::Other),
    ("SFT", "train.numTrainEpochs=0.5", Effect::Other),
    ("SFT", "train.overlong=drop", Effect::Other),
    ("SFT", "train.packing=true", Effect::Other),
    ("SFT", "train.perDeviceEvalBatchSize=7", Effect::Same),
    ("SFT", "train.perDeviceTrainBatchSize=7", Effect::Other),
    ("PPO", "train.perDeviceTrainBatchSize=7", Effect::Same),
    ("SFT", "train.saveDtype=float32", Effect::Other),
    ("SFT", "train.saveSteps=7", Effect::Same),
    ("SFT", "train.saveStrategy=epoch", Effect::Same),
    ("SFT", "train.saveTotalLimit=7", Effect::Same),
    ("SFT", "train.trainOnInputs=true", Effect::Other),
    ("SFT", "train.warmupRatio=0.5", Effect::Other),
    ("SFT", "train.warmupSteps=7", Effect::Other),
    ("SFT", "train.weightDecay=0.5", Effect::Other),
    ("SFT", "train.earlyStoppingPatience=7", Effect::Other),
    ("SFT", "train.earlyStoppingThreshold=0.7 beside train.earlyStoppingPatience=7", Effect::Other),
    ("SFT", "train.loadBestModelAtEnd=true", Effect::Other),
    ("SFT", "train.metricForBestModel=eval_accuracy beside train.loadBestModelAtEnd=true", Effect::Other),
    ("SFT", "train.metricForBestModel=eval_loss beside train.loadBestModelAtEnd=true", Effect::Same),
    ("SFT", "train.greaterIsBetter=true beside train.loadBestModelAtEnd=true", Effect::Other),
    ("SFT", "train.greaterIsBetter=false beside train.loadBestModelAtEnd=true", Effect::Same),
    ("SFT", "train.evalSteps=7 beside train.loadBestModelAtEnd=true", Effect::Other),
    ("SFT", "train.evalStrategy=epoch beside train.earlyStoppingPatience=7", Effect::Other),
    ("SFT", "train.evalSteps=7 beside train.metricForBestModel=eval_loss", Effect::Same),
    ("PPO", "ppo.batchSize=32", Effect::Other),
    ("PPO", "ppo.cliprange=0.3", Effect::Other),
    ("PPO", "ppo.cliprangeValue=0.3", Effect::Other),
    ("PPO", "ppo.earlyStopping=true", Effect::Other),
    ("PPO", "ppo.earlyStoppingAfterStep=true", Effect::Other),
    ("PPO", "ppo.gamma=0.9", Effect::Other),
    ("PPO", "ppo.initKlCoef=0.3", Effect::Other),
    ("PPO", "ppo.klController=fixed", Effect::Other),
    ("PPO", "ppo.klHorizon=7", Effect::Other),
    ("PPO", "ppo.klTarget=7", Effect::Other),
    ("PPO", "ppo.lam=0.9", Effect::Other),
    ("PPO", "ppo.maxNewTokens=7", Effect::Other),
    ("PPO", "ppo.minNewTokens=7", Effect::Other),
    ("PPO", "ppo.miniBatchSize=8", Effect::Other),
    ("PPO", "ppo.missingEosPenalty=0", Effect::Other),
    ("PPO", "ppo.numPpoEpochs=7", Effect::Other),
    ("PPO", "ppo.preset=trl-2023", Effect::Other),
    ("PPO", "ppo.rewardBaseline=-1", Effect::Other),
    ("PPO", "ppo.targetKl=7", Effect::Other),
    ("PPO", "ppo.temperature=0.7", Effect::Other),
    ("PPO", "ppo.topK=7", Effect::Other),
    ("PPO", "ppo.topP=0.7", Effect::Other),
    ("PPO", "ppo.totalEpisodes=7", Effect::Other),
    ("PPO", "ppo.vHeadInitStrategy=uniform", Effect::Other),
    ("PPO", "ppo.vfCoef=0.7", Effect::Other),
    ("PPO", "ppo.whitenAdvantages=false", Effect::Other),
    ("PPO", "ppo.whitenRewards=true", Effect::Other),
    ("RM", "reward.centerRewardsCoefficient=0.01", Effect::Other),
    ("RM", "reward.normalizeScores=false", Effect::Other),
    ("SFT", "lora.alpha=7", Effect::Other),
    ("SFT", "lora.dropout=0", Effect::Other),
    ("SFT", "lora.modulesToSave=[lm_head]", Effect::Other),
    ("SFT", "lora.rank=7", Effect::Other),
    ("SFT", "lora.targetModules=[q_proj]", Effect::Other),
    ("SFT", "lora.useRslora=true", Effect::Other),
    ("PT", "dataset.evalFraction=0.1", Effect::Other),
    ("SFT", "dataset.weights=[2]", Effect::Other),
    ("SFT", "dataset.format=messages", Effect::Other),
    ("SFT", "dataset.maxScanBytes=7", Effect::Same),
    ("PT", "vocabulary.addTokens=[x]", Effect::Other),
    ("SFT", "vocabulary.addTokens=[x]", Effect::Other),
    ("SFT", "full={}", Effect::Other),
    ("SFT", "podTemplate.image=other", Effect::Same),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Effect {
    Same,
    Other,
}

fn with(assignments: &[String]) -> Plan {
    let mut value = read(PIPELINE, "t.yaml").unwrap();
    for assignment in assignments {
        crate::training::set_override(&mut value, assignment).unwrap();
    }
    let (_, resolved) = load(&value).unwrap_or_else(|errors: Vec<SpecError>| panic!("{assignments:?}: {errors:#?}"));
    plan(&resolved, &identities(&resolved)).unwrap()
}

#[test]
fn every_field_changes_the_key_or_is_known_not_to() {
    for (kind, assignment, effect) in FIELDS {
        let stage = kind.to_lowercase();
        let (assignment, beside) = assignment.split_once(" beside ").map_or((*assignment, None), |(a, b)| (a, Some(b)));
        let set = |assignment: &str| format!("stages.{stage}.{assignment}");
        let mut assignments: Vec<String> = beside.into_iter().map(set).collect();
        let before = with(&assignments);
        assignments.push(set(assignment));
        let after = with(&assignments);
        let of = |plan: &Plan| plan.stage(&stage).unwrap().key.clone();
        let seen = if of(&before) == of(&after) { Effect::Same } else { Effect::Other };
        assert_eq!(seen, *effect, "{kind} {assignment}");
    }
}

/// Every field of the resource outside of its stages, likewise; what it does is seen in every stage's key.
const FIELDS_OF_ALL: &[(&str, Effect)] = &[
    ("cacheSalt=again", Effect::Other),
    ("hub={endpoint: 'https://hub.example', secretRef: {name: other}}", Effect::Same),
    ("lora.alpha=7", Effect::Other),
    ("lora.dropout=0", Effect::Other),
    ("lora.modulesToSave=[lm_head]", Effect::Other),
    ("lora.rank=7", Effect::Other),
    ("lora.targetModules=[q_proj]", Effect::Other),
    ("lora.useRslora=true", Effect::Other),
    ("output.uri=s3://other", Effect::Same),
    ("podTemplate.image=other", Effect::Same),
    ("queueName=other", Effect::Same),
    ("retryToken=again", Effect::Same),
    ("seed=7", Effect::Other),
    ("storage=[]", Effect::Same),
    ("suspend=true", Effect::Same),
    ("ttlSecondsAfterFinished=5", Effect::Same),
];

/// Fields that one assignment does not tell enough about, and the test that does.
const FIELDS_WITH_THEIR_OWN_TEST: &[(&str, fn())] = &[
    ("model.chatTemplate", a_chat_template_of_the_model_is_one_of_each_stage_that_reads_dialogues),
    ("model.uri", the_first_model_is_its_digest_not_where_it_lies),
    ("model.revision", the_first_model_is_its_digest_not_where_it_lies),
    ("model.random", a_random_model_is_its_configuration_tokenizer_and_seed),
    ("model.tokenizer", a_random_model_is_its_configuration_tokenizer_and_seed),
    ("stages.name", names_change_no_key),
    ("stages.kind", the_key_of_a_known_stage_is_the_golden_one),
    ("stages.inputs", an_input_is_what_it_holds_in_its_role),
    ("stages.dataset.train", data_is_what_is_in_it_in_its_order_not_where_it_lies),
    ("stages.dataset.eval", data_is_what_is_in_it_in_its_order_not_where_it_lies),
];

/// Paths of all fields, arrays without their index: what has fields of its own is named by them, but for those that
/// have one entry as a whole.
fn fields_of_the_resource() -> Vec<String> {
    fn collect(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        let whole = ["hub", "podTemplate", "storage", "stages.inputs", "stages.podTemplate"].contains(&path);
        let properties = schema["properties"].as_object().or(schema["items"]["properties"].as_object());
        match properties.filter(|_| !whole) {
            None => found.push(path.into()),
            Some(properties) => {
                for (name, schema) in properties {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    collect(schema, &path, found);
                }
            }
        }
    }
    let definition: serde_json::Value =
        serde_yaml::from_str(include_str!("../../generated/medicaltrainings.yaml")).unwrap();
    let mut found = Vec::new();
    collect(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], "", &mut found);
    found
}

#[test]
fn a_preset_has_the_key_of_its_values_written_out_and_written_values_win() {
    let preset = crate::stage::PpoPreset::Trl2023;
    let named = "stages.ppo.ppo.preset=trl-2023".to_string();
    let all: Vec<String> = preset
        .values()
        .iter()
        .map(|value| format!("stages.ppo.{}.{}={}", value.section.name(), value.name, plain(&value.value.to_json())))
        .collect();
    let of = |assignments: &[String]| with(assignments).stage("ppo").unwrap().key.clone();
    assert_eq!(of(std::slice::from_ref(&named)), of(&all));
    let defaults = preset.values().iter().map(|value| {
        let default = value.section.defaults(StageKind::PPO)[value.name].clone();
        assert_ne!(default, value.value.to_json(), "{} is the default anyway", value.name);
        format!("stages.ppo.{}.{}={}", value.section.name(), value.name, plain(&default))
    });
    let over: Vec<String> = std::iter::once(named).chain(defaults).collect();
    assert_eq!(of(&over), of(&[]));
}

/// As it stands on the right of `--set`.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[test]
fn every_field_of_the_resource_is_in_a_table_above() {
    let of_stages = FIELDS.iter().map(|(_, assignment, _)| format!("stages.{assignment}"));
    let of_all = FIELDS_OF_ALL.iter().map(|(assignment, _)| (*assignment).to_string());
    let in_tables: std::collections::BTreeSet<String> = of_stages
        .chain(of_all)
        .map(|assignment| assignment.split('=').next().unwrap_or_default().to_string())
        .map(|field| if field.contains("podTemplate") { field.replace(".image", "") } else { field })
        .chain(FIELDS_WITH_THEIR_OWN_TEST.iter().map(|(field, _)| (*field).to_string()))
        .collect();
    let fields = fields_of_the_resource();
    assert!(fields.len() > 80, "the definition was misread: {fields:?}");
    let missing: Vec<_> = fields.iter().filter(|field| !in_tables.contains(*field)).collect();
    assert!(missing.is_empty(), "no entry says whether these change a key: {missing:?}");
    let unknown: Vec<_> = in_tables.iter().filter(|field| !fields.contains(field)).collect();
    assert!(unknown == ["stages.full"], "entries for fields that do not exist: {unknown:?}");
}

#[test]
fn every_field_outside_of_stages_changes_all_keys_or_none() {
    let before = keys(&with(&[]));
    for (assignment, effect) in FIELDS_OF_ALL {
        let after = keys(&with(&[(*assignment).to_string()]));
        for (a, b) in before.iter().zip(&after) {
            let seen = if a == b { Effect::Same } else { Effect::Other };
            assert_eq!(seen, *effect, "{assignment}");
        }
    }
}

#[test]
fn a_chat_template_of_the_model_is_one_of_each_stage_that_reads_dialogues() {
    let of_model = with(&["model.chatTemplate=chatml".into()]);
    let stages = ["sft", "rm", "ppo"].map(|name| format!("stages.{name}.train.chatTemplate=chatml"));
    assert_eq!(keys(&of_model), keys(&with(&stages)));
    let same: Vec<_> = keys(&with(&[])).iter().zip(&keys(&of_model)).map(|(a, b)| a == b).collect();
    assert_eq!(same, [true, false, false, false]);
}

#[test]
fn the_first_model_is_its_digest_not_where_it_lies() {
    let before = keys(&with(&[]));
    assert_eq!(keys(&with(&["model={uri: 'hf://elsewhere/the-same', revision: v1}".into()])), before);
    let resolved = resolved(PIPELINE);
    let mut identities = identities(&resolved);
    identities.model = Digest::commit(&"d".repeat(40)).unwrap();
    let after = keys(&plan(&resolved, &identities).unwrap());
    assert!(before.iter().zip(&after).all(|(a, b)| a != b), "{after:?}");
}

#[test]
fn an_input_is_what_it_holds_in_its_role() {
    let key = |inputs: &str, digest: &[u8]| {
        let resolved = resolved(&PIPELINE.replace("kind: SFT", &format!("kind: SFT\n      inputs: {inputs}")));
        let mut identities = identities(&resolved);
        for uri in ["hf://a/b@v1", "hf://a/c@v1"] {
            identities.inputs.insert(uri.into(), Digest::of(digest));
        }
        plan(&resolved, &identities).unwrap().stage("sft").unwrap().key.clone()
    };
    let policy = key(r#"{policy: {uri: "hf://a/b", revision: v1}}"#, b"one");
    assert_eq!(key(r#"{policy: {uri: "hf://a/c", revision: v1}}"#, b"one"), policy);
    assert_ne!(key(r#"{policy: {uri: "hf://a/b", revision: v1}}"#, b"two"), policy);
    let from = key("{policy: {from: pt}}", b"one");
    assert_ne!(from, policy);
    assert_eq!(from, keys(&planned(PIPELINE))[1], "what follows from the order may be written out");
    assert_ne!(key(r#"{policy: {from: pt}, adapter: {uri: "hf://a/b", revision: v1}}"#, b"one"), from);
}

#[test]
fn a_recipe_changes_the_key() {
    let mut stage = with(&[]).stages.remove(0);
    let before = stage_key(&stage);
    stage.recipe += 1;
    assert_ne!(stage_key(&stage), before);
}

#[test]
fn names_change_no_key() {
    let renamed = PIPELINE.replace("cardio-135m", "other").replace("name: sft", "name: tune");
    let resolved = resolved(&renamed);
    assert_eq!(keys(&plan(&resolved, &identities(&resolved)).unwrap()), keys(&with(&[])));
}

#[test]
fn a_change_reaches_the_stages_after_it_and_no_others() {
    let before = keys(&with(&[]));
    let after = keys(&with(&["stages.rm.train.learningRate=1e-3".into()]));
    let same: Vec<_> = before.iter().zip(&after).map(|(a, b)| a == b).collect();
    assert_eq!(same, [true, true, false, false]);
}

#[test]
fn the_order_of_new_tokens_is_part_of_the_key_for_it_is_that_of_their_ids() {
    let key = |tokens: &str| keys(&with(&[format!("stages.pt.vocabulary={{addTokens: [{tokens}]}}")])).remove(0);
    assert_eq!(key("a, b"), key("\"a\", 'b'"));
    assert_ne!(key("a, b"), key("b, a"));
}

#[test]
fn the_same_global_batch_cut_otherwise_is_the_same_work() {
    let cut = |rows: u32, steps: u32| {
        vec![
            format!("stages.sft.train.perDeviceTrainBatchSize={rows}"),
            format!("stages.sft.train.gradientAccumulationSteps={steps}"),
        ]
    };
    assert_eq!(keys(&with(&cut(16, 1))), keys(&with(&cut(2, 8))));
}

#[test]
fn data_is_what_is_in_it_in_its_order_not_where_it_lies() {
    let resolved = resolved(PIPELINE);
    let key = |change: &dyn Fn(&mut Vec<FileIdentity>)| {
        let mut identities = identities(&resolved);
        change(&mut identities.data.get_mut("pt").unwrap().train);
        keys(&plan(&resolved, &identities).unwrap()).remove(0)
    };
    let before = key(&|_| ());
    assert_eq!(key(&|files| files[0].uri = "elsewhere".into()), before);
    assert_ne!(key(&|files| files.reverse()), before);
    assert_ne!(key(&|files| files[0].sha256 = Some("0".repeat(64))), before);
    let tagged = |files: &mut Vec<FileIdentity>| {
        files[0].etag = files[0].sha256.take();
    };
    assert_ne!(key(&tagged), before, "an ETag is never taken for a digest");
}

#[test]
fn what_nobody_looked_at_is_an_error_for_each() {
    let yaml = PIPELINE
        .replace("      kind: SFT", "      kind: SFT\n      inputs: {policy: {uri: \"hf://a/b\", revision: v1}}");
    let resolved = resolved(&yaml);
    let mut identities = identities(&resolved);
    identities.data.remove("ppo");
    identities.data.get_mut("rm").unwrap().train[0].sha256 = None;
    let errors = plan(&resolved, &identities).unwrap_err();
    assert_eq!(
        errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "stages[1].inputs.policy: nobody has looked at hf://a/b; its digest is not known",
            "stages[2].dataset.train: a: neither sha256 nor ETag is known",
            "stages[3].dataset.train[0]: s3://data/prompts.jsonl matches no file",
        ]
    );
    identities.inputs.insert("hf://a/b@v1".into(), Digest::of(b"x"));
    assert_eq!(plan(&resolved, &identities).unwrap_err().len(), 2);
}

#[test]
fn a_random_model_is_its_configuration_tokenizer_and_seed() {
    let yaml = include_str!("../../examples/random-tiny.yaml");
    let digest = |yaml: &str| match planned(yaml).stages[0].inputs[&Role::Policy].clone() {
        PlannedInput::Random { digest, .. } => digest,
        other => panic!("{other:?}"),
    };
    let before = digest(yaml);
    assert_eq!(digest(&yaml.replace("10000.0", "1e4")), before);
    assert_ne!(digest(&yaml.replace("hidden_size: 64", "hidden_size: 32")), before);
    let plan = planned(yaml);
    assert_eq!(Plan::parse(plan.to_json().as_bytes()).unwrap().digest(), plan.digest());
    assert_ne!(digest(&yaml.replace("  stages:", "  seed: 1\n  stages:")), before);
}

#[test]
fn a_plan_reads_back_and_is_named_by_its_content() {
    let before = planned(PIPELINE);
    let after = Plan::parse(before.to_json().as_bytes()).unwrap();
    assert_eq!(after, before);
    assert_eq!(after.digest(), before.digest());
    assert_eq!(before.path(), format!("plans/{}.json", canonical::sha256_hex(before.to_json().as_bytes())));
    assert!(after.stages.iter().all(|stage| stage_key(stage) == stage.key));
    let stage = before.stage("ppo").unwrap();
    let PlannedInput::Stage { manifest, .. } = &stage.inputs[&Role::Reward] else {
        panic!("a stage makes the reward model")
    };
    assert_eq!(*manifest, before.stage("rm").unwrap().manifest_path());
}

proptest! {
    #[test]
    fn keys_do_not_depend_on_the_order_of_fields_or_the_spelling_of_numbers(
        order in Just((0..4usize).collect::<Vec<_>>()).prop_shuffle(),
        spelling in 0..4usize,
    ) {
        let rate = ["2e-4", "0.0002", "'2.0E-4'", "\"0.00020\""][spelling];
        let fields = [format!("learningRate: {rate}"), "maxSteps: 5".into(), "weightDecay: 0".into(), "warmupRatio: '0.10'".into()];
        let train = order.iter().map(|at| fields[*at].as_str()).collect::<Vec<_>>().join(", ");
        let stage = [format!("train: {{{train}}}"), "name: sft".into(), "kind: SFT".into(), "dataset: {train: [a], eval: [e]}".into()];
        let stage = order.iter().map(|at| stage[*at].as_str()).collect::<Vec<_>>().join(", ");
        let yaml = format!(
            "spec: {{stages: [{{{stage}}}], model: {{uri: m}}}}\n\
             kind: MedicalTraining\nmetadata: {{name: t}}\napiVersion: medtrain.io/v1alpha1\n"
        );
        let plain = "{apiVersion: medtrain.io/v1alpha1, kind: MedicalTraining, metadata: {name: t}, spec: {model: {uri: m}, \
            stages: [{name: sft, kind: SFT, dataset: {train: [a], eval: [e]}, \
            train: {learningRate: 2e-4, maxSteps: 5, weightDecay: 0, warmupRatio: 0.1}}]}}";
        prop_assert_eq!(planned(&yaml).to_json(), planned(plain).to_json());
    }
}
