//! Good and bad resources with what should be said of them, out of `corpus.yaml` and `examples/`.
//!
//! The same cases run through the checks of this crate (`tests/definition.rs`) and through a real API server
//! (tests/e2e).

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A resource and the verdicts on it.
pub struct Case {
    pub title: String,
    pub resource: Value,
    /// The resource that this one is an update of.
    pub was: Option<Value>,
    /// Where and with what text the definition refuses it; `None`: it accepts it.
    pub refusal: Option<Refusal>,
    /// What the resolver says.
    pub resolver: Resolver,
}

pub struct Refusal {
    /// The field as the API server writes it: `spec.stages[0].name`.
    pub at: String,
    /// A part of the message.
    pub says: String,
}

pub enum Resolver {
    Accepts,
    Refuses,
    /// With such a text.
    Says(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    trainings: BTreeMap<String, Value>,
    examples: BTreeMap<String, Verdict>,
    cases: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verdict {
    at: Option<String>,
    says: Option<String>,
    because: Option<String>,
    resolver: Option<String>,
}

#[derive(Deserialize)]
struct Written {
    case: String,
    training: Option<String>,
    name: Option<String>,
    spec: Option<Value>,
    stage: Option<Value>,
    last: Option<Value>,
    was: Option<Value>,
    #[serde(flatten)]
    verdict: Verdict,
}

/// Every case, and every example of the folder `examples`.
pub fn cases(examples: &Path) -> Vec<Case> {
    let corpus: Corpus = serde_yaml::from_str(include_str!("corpus.yaml")).expect("corpus.yaml is a corpus");
    let written = corpus.cases.into_iter().enumerate().map(|(index, case)| {
        let training = &corpus.trainings[case.training.as_deref().unwrap_or("sft")];
        let name = case.name.unwrap_or_else(|| format!("case-{index}"));
        let mut spec = training.clone();
        merge(&mut spec, case.spec.unwrap_or(json!({})));
        let stages = spec.get_mut("stages").and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default();
        if let Some(change) = case.stage {
            merge(&mut stages[0], change);
        }
        if let (Some(change), Some(last)) = (case.last, stages.last_mut()) {
            merge(last, change);
        }
        let was = case.was.map(|change| {
            let mut spec = training.clone();
            merge(&mut spec, change);
            resource(&name, spec)
        });
        judged(case.case, resource(&name, spec), was, case.verdict)
    });
    let mut cases: Vec<_> = written.collect();
    for (name, verdict) in corpus.examples {
        let text = std::fs::read_to_string(examples.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let resource = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        cases.push(judged(name, resource, None, verdict));
    }
    cases
}

fn resource(name: &str, spec: Value) -> Value {
    let text = json!({"apiVersion": "medtrain.io/v1alpha1", "kind": "MedicalTraining", "metadata": {"name": name}, "spec": spec})
        .to_string()
        .replace("LONG", &"x".repeat(1_100));
    serde_json::from_str(&text).expect("JSON stays JSON")
}

fn judged(title: String, resource: Value, was: Option<Value>, verdict: Verdict) -> Case {
    let refusal = verdict.says.map(|says| {
        let at = verdict.at.unwrap_or_else(|| panic!("{title}: says needs at"));
        let at = if at.starts_with("metadata") { at } else { format!("spec.{at}") };
        Refusal { at, says }
    });
    let resolver = match (verdict.resolver, &refusal, verdict.because) {
        (Some(text), None, None) => Resolver::Says(text),
        (None, Some(_), None) => Resolver::Refuses,
        (None, Some(_), Some(_)) | (None, None, None) => Resolver::Accepts,
        _ => panic!("{title}: a verdict is nothing, says and at, these and because, or resolver"),
    };
    Case { title, resource, was, refusal, resolver }
}

/// RFC 7396: mappings are merged, null removes, everything else replaces.
fn merge(target: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        *target = change;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let fields = target.as_object_mut().expect("made one above");
    for (name, value) in change {
        if value.is_null() {
            fields.remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}
