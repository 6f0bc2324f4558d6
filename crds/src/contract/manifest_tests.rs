use super::*;
use crate::contract::{FirstBatches, RoleTokens, TokenRole};

const GOLDEN: &str = include_str!("golden/manifest.json");
const GOLDEN_CHECKPOINT: &str = include_str!("golden/checkpoint.json");

fn key(digit: &str) -> StageKey {
    StageKey::try_from(digit.repeat(64)).unwrap()
}

fn build() -> TrainerBuild {
    TrainerBuild { version: "0.1.0".into(), git: Some("d7afa09".into()), image_digest: None }
}

fn file(path: &str, size: u64) -> FileEntry {
    FileEntry { path: path.into(), sha256: "e".repeat(64), size }
}

fn manifest() -> Manifest {
    Manifest {
        contract: 1,
        key: key("a"),
        kind: StageKind::SFT,
        stage: "sft".into(),
        recipe: 1,
        seed: 42,
        inputs: BTreeMap::from([(
            Role::Policy,
            ManifestInput {
                uri: "stages/pt-bbbbbbbbbbbb/manifest.json".into(),
                revision: None,
                digest: Digest::sha256(&"c".repeat(64)).unwrap(),
                key: Some(key("b")),
            },
        )]),
        base_model: BaseModel {
            uri: "hf://HuggingFaceTB/SmolLM2-135M-Instruct".into(),
            revision: Some("main".into()),
            digest: Digest::commit(&"d".repeat(40)).unwrap(),
        },
        prefix: "attempt-1-deadbeef".into(),
        files: vec![
            file("attempt-1-deadbeef/adapter/adapter_model.safetensors", 1_000),
            file("attempt-1-deadbeef/merged/config.json", 700),
            file("attempt-1-deadbeef/merged/model.safetensors", 2_000),
        ],
        final_step: 120,
        metrics: BTreeMap::from([("eval_loss".into(), 1.25), ("train_loss".into(), 1.5)]),
        data: DataCounts {
            train: SplitCounts {
                rows: 600,
                examples: 598,
                tokens: 25_000,
                target_tokens: 9_000,
                truncated: 3,
                dropped: BTreeMap::from([("no_target".into(), 2)]),
            },
            eval: SplitCounts::default(),
        },
        loss_mask: Some(LossMask {
            tokens_seen: 25_000,
            tokens_trained: 9_000,
            roles: BTreeMap::from([
                (TokenRole::User, RoleTokens { seen: 14_000, trained: 0 }),
                (TokenRole::Assistant, RoleTokens { seen: 9_000, trained: 9_000 }),
                (TokenRole::Template, RoleTokens { seen: 2_000, trained: 0 }),
            ]),
            truncated_rows: 3,
            dropped_rows: 2,
            first_batches: FirstBatches { steps: 8, sha256: "9".repeat(64) },
        }),
        best_model: Some(BestModel { metric: "eval_loss".into(), value: 1.25, step: 90, loaded: true }),
        early_stop: Some(EarlyStop { step: 120, total_steps: 400 }),
        merge_check: Some(MergeCheck {
            max_logit_diff: 0.000_25,
            mean_logit_diff: 0.000_01,
            token_kl: 1e-9,
            threshold: 0.01,
            lost_deltas: 0.0,
            prompts_sha256: "f".repeat(64),
        }),
        bit_exact: true,
        trainer: build(),
        attempt: 1,
        fencing_token: None,
        timings: Timings {
            started_at: "2026-01-01T00:00:00Z".into(),
            finished_at: "2026-01-01T00:05:00Z".into(),
            seconds: BTreeMap::from([("training".into(), 240.0)]),
        },
    }
}

#[test]
fn manifest_json_is_the_golden_one_and_reads_back() {
    assert_eq!(manifest().to_json(), GOLDEN);
    assert_eq!(Manifest::parse(GOLDEN.as_bytes()), Ok(manifest()));
}

#[test]
fn checkpoint_manifest_is_the_golden_one_and_reads_back() {
    let checkpoint = CheckpointManifest {
        contract: 1,
        key: key("a"),
        kind: StageKind::SFT,
        recipe: 1,
        step: 60,
        total_steps: 120,
        run8: "deadbeef".into(),
        attempt: 1,
        files: vec![file("state.json", 80), file("state.safetensors", 4_000)],
        bit_exact: true,
        device: "cpu: x86-64".into(),
        trainer: build(),
    };
    assert_eq!(checkpoint.to_json(), GOLDEN_CHECKPOINT);
    assert_eq!(CheckpointManifest::parse(GOLDEN_CHECKPOINT.as_bytes()), Ok(checkpoint));
}

#[test]
fn files_are_found_by_the_name_a_reader_knows() {
    let manifest = manifest();
    assert_eq!(manifest.file("merged/config.json").map(|file| file.size), Some(700));
    assert_eq!(manifest.file("config.json"), None);
    assert_eq!(manifest.files_in("merged").count(), 2);
}

#[test]
fn fields_a_later_version_adds_are_ignored_but_a_later_contract_is_refused() {
    let with = |field: &str, value: serde_json::Value| {
        let mut json: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
        json[field] = value;
        Manifest::parse(json.to_string().as_bytes())
    };
    assert_eq!(with("signature", "x".into()), Ok(manifest()));
    assert!(matches!(with("contract", 2.into()), Err(ContractError::Version { found: 2, .. })));
    assert_eq!(
        with("finalStep", "many".into()).unwrap_err().to_string(),
        "manifest.json: finalStep: invalid type: string \"many\", expected u64"
    );
    assert!(
        with("key", "../../x".into())
            .unwrap_err()
            .to_string()
            .starts_with("manifest.json: key: \"../../x\" is no digest")
    );
}

#[test]
fn a_manifest_from_before_certificates_still_reads() {
    let mut json: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    for field in ["lossMask", "bestModel", "earlyStop"] {
        json.as_object_mut().unwrap().remove(field);
    }
    let before = Manifest { loss_mask: None, best_model: None, early_stop: None, ..manifest() };
    assert_eq!(Manifest::parse(json.to_string().as_bytes()), Ok(before));
}

#[test]
fn a_pointer_names_the_manifest_relative_to_the_output() {
    let pointer = Pointer::new(StageKind::RM, key("a"));
    assert_eq!(pointer.manifest, "stages/rm-aaaaaaaaaaaa/manifest.json");
    assert_eq!(Pointer::parse(pointer.to_json().as_bytes()), Ok(pointer));
}
