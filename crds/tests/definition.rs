//! The definition in a cluster and the resolver say the same of every resource, but for what the corpus lists.

mod admission;
mod corpus;

use std::path::Path;

use admission::Admission;
use corpus::Resolver;
use kube_cel::{ScopeContext, WarningKind, analyze_rule, check_rule_scope};
use medtrain_crds::k8s;
use medtrain_crds::resolve::load;
use serde_json::{Value, json};

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn resolve(resource: &Value) -> Result<(), String> {
    let value = serde_yaml::to_value(resource).unwrap();
    load(&value).map(|_| ()).map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect())
}

#[test]
fn every_case_gets_its_verdict_at_its_field() {
    let admission = Admission::of(&k8s::definition());
    let mut wrong = Vec::new();
    for case in corpus::cases(&examples()) {
        let problems = admission.check(&case.resource, case.was.as_ref());
        let fine = match &case.refusal {
            None => problems.is_empty(),
            // The rule about the name stands at the resource, since a field of metadata can have none.
            Some(refusal) => problems
                .iter()
                .any(|(field, text)| format!("{field}: {text}").contains(&refusal.at) && text.contains(&refusal.says)),
        };
        if !fine {
            wrong.push(format!("{}: {problems:#?}", case.title));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_definition_is_stricter_than_the_resolver_only_where_the_corpus_says_why() {
    let mut wrong = Vec::new();
    for case in corpus::cases(&examples()) {
        let verdict = resolve(&case.resource);
        let fine = match &case.resolver {
            Resolver::Accepts => verdict.is_ok(),
            Resolver::Refuses => verdict.is_err(),
            Resolver::Says(text) => verdict.as_ref().is_err_and(|errors| errors.contains(text)),
        };
        if !fine {
            wrong.push(format!("{}: {verdict:?}", case.title));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_is_in_the_corpus() {
    let titles: Vec<_> = corpus::cases(&examples()).into_iter().map(|case| case.title).collect();
    for entry in std::fs::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".yaml") || titles.contains(&name), "{name} is missing under `examples`");
    }
}

#[test]
fn every_rule_compiles_is_in_scope_and_within_the_budget() {
    let definition = k8s::definition();
    let admission = Admission::of(&definition);
    let mut seen = 0;
    places(admission.schema(), "", &mut |place, schema| {
        let compiled = kube_cel::compile_schema(schema);
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let rule = rule["rule"].as_str().unwrap();
            assert_eq!(check_rule_scope(rule, ScopeContext::CrdValidation), [], "{place}: {rule}");
            let costly = analyze_rule(rule, &compiled, ScopeContext::CrdValidation);
            assert!(costly.iter().all(|warning| warning.kind != WarningKind::CostExceeded), "{place}: {costly:?}");
            seen += 1;
        }
        assert!(!compiled.has_errors(), "{place}: {:?}", compiled.compilation_errors());
    });
    assert!(seen > 90, "{seen} rules");
}

#[test]
fn every_field_is_described() {
    let mut fields = 0;
    places(Admission::of(&k8s::definition()).schema(), "", &mut |place, schema| {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            if (place, name.as_str()) == ("", "metadata") {
                assert_eq!(*field, json!({"type": "object"}), "an API server refuses any more");
                continue;
            }
            let text = field["description"].as_str().unwrap_or_default();
            assert!(text.ends_with(['.', '…']), "{place}.{name}: {text:?}");
            assert!(!text.contains('\n'), "{place}.{name}: {text:?}");
            fields += 1;
        }
    });
    assert!(fields > 500, "{fields} fields");
}

#[test]
fn no_rule_reads_the_pod_template_and_all_else_is_bounded() {
    places(Admission::of(&k8s::definition()).schema(), "", &mut |place, schema| {
        if place.contains("podTemplate") {
            assert!(schema.get("x-kubernetes-validations").is_none(), "{place}");
        } else if place.starts_with(".spec") {
            match schema["type"].as_str() {
                Some("string") => assert!(schema.get("maxLength").or(schema.get("enum")).is_some(), "{place}"),
                Some("array") => assert!(schema.get("maxItems").is_some(), "{place}"),
                Some("integer") => assert!(schema.get("maximum").is_some(), "{place}"),
                _ => {}
            }
        }
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            assert!(!rule.to_string().contains("podTemplate"), "{place}: {rule}");
        }
    });
}

/// Every schema inside of `schema`, with its path.
fn places(schema: &Value, place: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(place, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        places(field, &format!("{place}.{name}"), visit);
    }
    for word in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(word) {
            places(inner, &format!("{place}[]"), visit);
        }
    }
}

#[test]
fn whatever_the_operator_reports_fits_the_definition() {
    let status = json!({
        "observedGeneration": 2,
        "conditions": [{
            "type": "Accepted", "status": "True", "reason": "Planned", "message": "", "observedGeneration": 2,
            "lastTransitionTime": "2026-11-24T12:00:00Z",
        }],
        "summary": {"stage": "sft", "state": "Running", "progress": "20/100", "metric": "1.9", "restarts": 1, "image": "t:1"},
        "preflight": {
            "hash": "0123abcd", "state": "Succeeded", "image": "t:1", "attempt": 1, "jobUID": "u", "charged": 0,
            "reason": "Planned", "message": "m", "errors": ["e"], "moreErrors": 3, "reportUri": "s3://r",
            "retryTime": "2026-11-24T12:00:00Z", "stopping": "Edited",
        },
        "plan": {"hash": "0123abcd", "uri": "s3://p", "sha256": "f", "image": "t:1"},
        "stages": [{
            "name": "sft", "kind": "SFT", "state": "Running", "reason": "Running", "message": "m", "key": "0123456789ab",
            "attempt": 2, "jobUID": "u", "podUID": "p", "chargedAttempts": 1, "unchargedAttempts": 1, "infraRestarts": 1,
            "attemptDisruptions": 1, "stopping": "Edited", "probe": {"attempt": 1, "jobUID": "u"}, "steps": 100, "mib": 900,
            "progress": {
                "phase": "training", "step": 20, "total": 100, "bytes": 0, "loss": "1.9", "tokensPerSecond": "90",
                "etaSeconds": 60, "lastCheckpoint": 10, "observedTime": "2026-11-24T12:00:00Z", "movedTime": "2026-11-24T12:00:00Z",
            },
            "manifestUri": "s3://m", "manifestDigest": "f", "metrics": {"loss": "1.9"},
            "startTime": "2026-11-24T12:00:00Z", "completionTime": "2026-11-24T12:00:00Z",
        }],
        "startTime": "2026-11-24T12:00:00Z",
        "completionTime": "2026-11-24T12:00:00Z",
    });
    let typed: medtrain_crds::training::status::MedicalTrainingStatus = serde_json::from_value(status.clone()).unwrap();
    let written = serde_json::to_value(&typed).unwrap();
    assert_eq!(written["stages"][0].as_object().unwrap().len(), status["stages"][0].as_object().unwrap().len());
    let mut resource = corpus::cases(&examples()).remove(0).resource;
    resource["status"] = written;
    assert_eq!(Admission::of(&k8s::definition()).check(&resource, None), []);
}

#[test]
fn client_side_apply_and_a_helm_release_can_hold_it() {
    let bytes = serde_json::to_vec(&k8s::definition()).unwrap().len();
    assert!(bytes <= 200_000, "{bytes} bytes");
}

#[test]
fn the_checked_in_definition_is_current() {
    let checked_in = include_str!("../generated/medicaltrainings.yaml");
    assert!(checked_in == k8s::definition_yaml(), "run `make crds` and commit the result");
}

#[test]
fn no_word_of_the_yaml_is_a_switch_to_yaml_1_1() {
    let read: Value = serde_yaml::from_str(&k8s::definition_yaml()).unwrap();
    assert_eq!(read, k8s::definition());
    for line in k8s::definition_yaml().lines() {
        let word = line.rsplit(['-', ':', ' ']).next().unwrap_or_default();
        assert!(
            !["y", "n", "yes", "no", "on", "off"].contains(&word.to_lowercase().as_str()) || line.contains('\''),
            "{line}"
        );
    }
}

#[test]
fn kubernetes_own_type_holds_the_definition() {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let typed: CustomResourceDefinition = serde_json::from_value(k8s::definition()).unwrap();
    let columns: Vec<_> = typed.spec.versions[0].additional_printer_columns.iter().flatten().collect();
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["Stage", "Status", "Progress", "Loss/Reward", "Restarts", "Image", "Queue", "Age"]);
    let schema = Admission::of(&k8s::definition()).schema().clone();
    for column in columns.iter().filter(|column| column.json_path != ".metadata.creationTimestamp") {
        let pointer = column.json_path.replace('.', "/properties/");
        assert!(schema.pointer(&pointer).is_some(), "{} shows nothing", column.name);
    }
}

#[test]
fn a_client_writes_what_it_reads() {
    let resource = json!({
        "apiVersion": "medtrain.io/v1alpha1",
        "kind": "MedicalTraining",
        "metadata": {"name": "t"},
        "spec": {
            "model": {"uri": "hf://a/b"},
            "podTemplate": {"resources": {"limits": {"nvidia.com/gpu": 1}}},
            "stages": [{"name": "sft", "kind": "SFT", "train": {"learningRate": "0.0002"}}],
        },
    });
    let training: k8s::MedicalTraining = serde_json::from_value(resource.clone()).unwrap();
    assert_eq!(serde_json::to_value(&training).unwrap(), resource);
    assert_eq!(k8s::MedicalTraining::new("t", training.spec.clone()), training);
}
