//! The Jobs and ConfigMaps that a training becomes, as text: a change of them is seen in review.
//!
//! `MEDTRAIN_WRITE_GOLDEN=1 cargo test -p medtrain-operator --test objects` writes them anew.

use std::path::{Path, PathBuf};

use medtrain_operator::config::{Defaults, Policy};
use medtrain_operator::controller::build;
use medtrain_operator::controller::decide::Work;
use medtrain_operator::controller::validate::{Training, validate};
use medtrain_operator::resource::RawTraining;
use serde_json::Value;

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)
}

fn training() -> Training {
    let text = std::fs::read_to_string(golden("training.yaml")).unwrap();
    let raw = |text: &str| serde_yaml::from_str::<RawTraining>(text).unwrap();
    let hash = validate(&raw(&text), &Defaults::default()).hash;
    let training = validate(&raw(&text.replace("HASH", &hash)), &Defaults::default());
    assert_eq!(training.spec.as_ref().err(), None);
    training
}

fn objects(work: &Work) -> [Value; 2] {
    let training = training();
    let map = build::config_map(&training, work).expect("a ConfigMap");
    let job = build::job(&training, work, &Policy::new("unused")).expect("a Job").expect("a template that is taken");
    [serde_json::to_value(map).unwrap(), serde_json::to_value(job).unwrap()]
}

fn works() -> [(&'static str, Work); 3] {
    let stage = || "sft".to_string();
    [
        ("preflight.yaml", Work::Preflight { attempt: 1 }),
        ("stage.yaml", Work::Stage { stage: stage(), attempt: 2 }),
        ("probe.yaml", Work::Probe { stage: stage(), attempt: 2, probe: 1 }),
    ]
}

#[test]
fn jobs_and_config_maps_are_as_they_were() {
    for (file, work) in works() {
        let documents = objects(&work).map(|object| serde_yaml::to_string(&object).unwrap());
        let text = documents.join("---\n");
        if std::env::var_os("MEDTRAIN_WRITE_GOLDEN").is_some() {
            std::fs::write(golden(file), &text).unwrap();
        }
        let wanted = std::fs::read_to_string(golden(file)).unwrap_or_default();
        assert!(text == wanted, "{file} is another now (MEDTRAIN_WRITE_GOLDEN=1 writes it anew):\n{text}");
    }
}

#[test]
fn only_a_stage_asks_for_accelerators_and_waits_in_the_queue() {
    for (file, work) in works() {
        let [_, job] = objects(&work);
        let is_stage = matches!(work, Work::Stage { .. });
        let limits = &job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"];
        assert_eq!(limits.get("nvidia.com/gpu").is_some(), is_stage, "{file}");
        assert_eq!(job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name").is_some(), is_stage, "{file}");
        assert_eq!(job["spec"]["suspend"], is_stage, "{file}");
    }
}

#[test]
fn every_pod_passes_the_restricted_level_and_has_no_api_token() {
    for (file, work) in works() {
        let [_, job] = objects(&work);
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false, "{file}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{file}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{file}");
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{file}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{file}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{file}");
        }
        assert!(!pod["volumes"].to_string().contains("hostPath"), "{file}");
    }
}
