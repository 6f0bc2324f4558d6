use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor, value::Error as ValueError};

use super::shape::{self, Field, ROOT, Shape};
use super::*;
use crate::stage::Section;

/// A deserialiser that learns the field names of a struct and gives nothing.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ValueError> {
        Err(de::Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ValueError> {
        *self.0 = fields;
        Err(de::Error::custom("names only"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields_of<T: for<'de> Deserialize<'de> + fmt::Debug>() -> BTreeSet<&'static str> {
    let mut names: &'static [&'static str] = &[];
    T::deserialize(FieldNames(&mut names)).unwrap_err();
    names.iter().copied().collect()
}

fn names_in(table: &[Field]) -> BTreeSet<&'static str> {
    table.iter().map(|field| field.name).collect()
}

#[test]
fn the_field_table_names_exactly_the_fields_of_the_types() {
    let Shape::Object(root) = ROOT else { panic!("the root is an object") };
    assert_eq!(names_in(root), fields_of::<MedicalTraining>());
    assert_eq!(names_in(shape::SPEC), fields_of::<MedicalTrainingSpec>());
    assert_eq!(names_in(shape::MODEL), fields_of::<ModelSpec>());
    assert_eq!(names_in(shape::OUTPUT), fields_of::<OutputSpec>());
    assert_eq!(names_in(shape::STORAGE), fields_of::<StorageSpec>());
    assert_eq!(names_in(shape::HUB), fields_of::<HubSpec>());
    assert_eq!(names_in(shape::STAGE), fields_of::<StageSpec>());
    assert_eq!(names_in(shape::INPUTS), fields_of::<InputsSpec>());
    assert_eq!(names_in(shape::DATASET), fields_of::<DatasetSpec>());
    assert_eq!(names_in(shape::VOCABULARY), fields_of::<VocabularySpec>());
    assert_eq!(names_in(shape::POD_TEMPLATE), fields_of::<PodTemplate>());
    assert_eq!(BTreeSet::from(["from", "uri", "revision"]), fields_of::<InputSpec>());
    assert_eq!(BTreeSet::from(["name"]), fields_of::<LocalRef>());
    assert!(fields_of::<FullSpec>().is_empty());
}

#[test]
fn the_hyperparameter_table_names_exactly_the_fields_people_write() {
    let names = |section: Section| section.parameters().iter().map(|parameter| parameter.name).collect::<BTreeSet<_>>();
    assert_eq!(names(Section::Train), fields_of::<TrainSpec>());
    assert_eq!(names(Section::Ppo), fields_of::<PpoSpec>());
    assert_eq!(names(Section::Reward), fields_of::<RewardSpec>());
    assert_eq!(names(Section::Lora), fields_of::<LoraSpec>());
}

#[test]
fn every_data_format_is_in_the_field_table() {
    for format in DataFormat::ALL {
        let yaml = stage(&format!("dataset: {{format: {}}}", format.name()));
        let training = MedicalTraining::parse(&yaml, "t.yaml").unwrap();
        assert_eq!(training.spec.stages[0].dataset.as_ref().unwrap().format, Some(format));
    }
}

fn resource(spec: &str) -> String {
    format!(
        "apiVersion: medtrain.io/v1alpha1\nkind: MedicalTraining\nmetadata: {{name: t}}\nspec:\n  {}",
        spec.replace('\n', "\n  ")
    )
}

fn stage(fields: &str) -> String {
    resource(&format!("model: {{uri: m}}\nstages:\n- {{name: sft, kind: SFT, {fields}}}"))
}

fn errors(yaml: &str) -> Vec<String> {
    MedicalTraining::parse(yaml, "t.yaml").unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn numbers_may_be_bare_or_quoted() {
    for rate in ["2e-4", "'2e-4'", "0.0002", "\"0.0002\"", "2.0e-4"] {
        let training = MedicalTraining::parse(&stage(&format!("train: {{learningRate: {rate}}}")), "t.yaml").unwrap();
        assert_eq!(training.spec.stages[0].train.as_ref().unwrap().learning_rate.unwrap().to_f64(), 2e-4, "{rate}");
    }
}

#[test]
fn every_problem_is_reported_at_once_with_path_and_way_out() {
    let yaml = stage(
        "train: {learnRate: 1, maxSteps: ten, warmupRatio: 2}, datasets: {}, learningRate: 1e-4, lora: [8], full: true",
    );
    assert_eq!(
        errors(&yaml.replace("model: {uri: m}", "model: {url: m}\nouput: {}").replace("\nouput", "\n  ouput")),
        [
            "model.url: unknown field; did you mean \"uri\"?",
            "ouput: unknown field; did you mean \"output\"?",
            "stages[0].train.learnRate: unknown field; did you mean \"learningRate\"?",
            "stages[0].train.maxSteps: must be a whole number from 1 to 1000000000, found the text \"ten\"",
            "stages[0].train.warmupRatio: 2 is not allowed; it must be a number at least 0 and below 1",
            "stages[0].datasets: unknown field; did you mean \"dataset\"?",
            "stages[0].learningRate: unknown field; it belongs under \"train\"",
            "stages[0].lora: must be a mapping, found a list",
            "stages[0].full: must be empty, found true; write {}",
        ]
    );
}

#[test]
fn names_of_other_trainers_lead_to_ours() {
    let cases = [
        ("train: {learning_rate: 1}", "learningRate"),
        ("train: {evaluation_strategy: no}", "evalStrategy"),
        ("train: {maxSeqLength: 1}", "maxLength"),
        ("lora: {r: 8}", "rank"),
        ("lora: {lora_alpha: 8}", "alpha"),
        ("ppo: {klCoef: 1}", "initKlCoef"),
        ("ppo: {kl_coef: 1}", "initKlCoef"),
    ];
    for (fields, ours) in cases {
        assert!(
            errors(&stage(fields))[0].ends_with(&format!("did you mean {ours:?}?")),
            "{fields}: {:?}",
            errors(&stage(fields))
        );
    }
}

#[test]
fn what_is_missing_says_what_to_write() {
    assert_eq!(
        errors("{}"),
        [
            "apiVersion: is missing; write apiVersion: medtrain.io/v1alpha1",
            "kind: is missing; write kind: MedicalTraining",
            "metadata: is missing; write metadata: {name: …}",
            "spec: is missing; a training needs a spec with model and stages",
        ]
    );
    assert_eq!(
        errors(&resource("stages: [{kind: sft}]")),
        [
            "stages[0].kind: the text \"sft\" is not allowed; it must be one of PT, SFT, RM, PPO; did you mean \"SFT\"?",
            "stages[0].name: is missing; name the stage, like sft",
            "model: is missing; write model: {uri: …}",
        ]
    );
    assert_eq!(
        errors(&resource("model: {uri: m}\nstages: []").replace("{name: t}", "{name: 5}")),
        ["metadata.name: must be text, found the number 5"]
    );
}

#[test]
fn text_that_is_no_resource_says_where() {
    assert_eq!(errors(""), ["t.yaml: is empty; it should hold a MedicalTraining"]);
    assert_eq!(errors("- a"), ["t.yaml: holds no mapping; it should start with apiVersion: medtrain.io/v1alpha1"]);
    assert_eq!(errors("a: 1\n---\nb: 2"), ["t.yaml: holds several YAML documents; keep one MedicalTraining a file"]);
    let syntax = errors("spec:\n  model: {uri: m\n  seed: 1");
    assert!(syntax[0].starts_with("t.yaml: is not valid YAML: ") && syntax[0].contains("line 3"), "{syntax:?}");
    let twice = errors("spec: 1\nspec: 2");
    assert!(twice[0].contains("duplicate entry"), "{twice:?}");
    let wrong = errors("apiVersion: v1\nkind: Pod\nmetadata: {name: t}\nspec: {model: {uri: m}, stages: []}");
    assert_eq!(wrong[0], "apiVersion: the text \"v1\" is not allowed; it must be medtrain.io/v1alpha1");
}

#[test]
fn yaml_that_json_cannot_hold_is_an_error_with_a_path() {
    assert_eq!(errors(&resource("model: {uri: m}\nstages: []\nseed: .inf")), ["seed: .inf is no finite number"]);
    assert_eq!(
        errors(&resource("model: !x {uri: m}\nstages: []")),
        ["model: the YAML tag !x means nothing here; remove it"]
    );
    assert_eq!(
        errors(&resource("model: {uri: m, 1: 2}\nstages: []")),
        ["model: has a field whose name is no text; put quotes around it"]
    );
}

#[test]
fn metadata_status_and_pod_leaves_are_carried_as_they_are() {
    let yaml = resource(
        "model: {uri: m}\nstages: []\npodTemplate: {resources: {limits: {nvidia.com/gpu: 1}}, tolerations: [{operator: Exists}]}",
    )
    .replace("{name: t}", "{name: t, labels: {team: x}, uid: abc, creationTimestamp: null}");
    let training = MedicalTraining::parse(&format!("{yaml}\nstatus: {{conditions: []}}"), "t.yaml").unwrap();
    assert_eq!(training.metadata.other["labels"]["team"], "x");
    let written = serde_yaml::to_string(&training).unwrap();
    assert_eq!(MedicalTraining::parse(&written, "t.yaml").unwrap(), training);
    assert_eq!(
        errors(&resource("model: {uri: m}\nstages: []\npodTemplate: {hostNetwork: true}"))[0]
            .split(';')
            .next()
            .unwrap(),
        "podTemplate.hostNetwork: unknown field"
    );
}

#[test]
fn anchors_and_merge_keys_work() {
    let yaml =
        resource("model: {uri: m}\nstages:\n- &a {name: a, kind: SFT, train: {maxSteps: 3}}\n- {<<: *a, name: b}");
    let training = MedicalTraining::parse(&yaml, "t.yaml").unwrap();
    assert_eq!(training.spec.stages[1].name, "b");
    assert_eq!(training.spec.stages[1].train, training.spec.stages[0].train);
}
