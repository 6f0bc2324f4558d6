use std::{collections::BTreeMap, path::Path};

use medtrain_crds::{
    contract::{CONTRACT_VERSION, CheckpointManifest, ExitCode, StageKey, TrainerBuild},
    stage::StageKind,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::artifact::{RunId, Store, StoreOptions};

fn state(step: u64) -> State {
    let moments: Vec<f32> = (0..6).map(|i| i as f32 * 0.1 + step as f32).collect();
    State {
        step,
        meta: json!({"epoch": 0.125, "sampler": {"seed": u64::MAX, "index": 7}, "log": [1.5, -0.25]}),
        tensors: BTreeMap::from([
            ("optimizer.exp_avg.layers.0.lora_A".into(), Tensor::of_f32([2, 3], &moments)),
            ("rollout.ids".into(), Tensor::of_u32([2], &[7, u32::MAX])),
            ("rollout.cursor".into(), Tensor::of_i64([], &[-1])),
            ("empty".into(), Tensor::of_f32([0, 4], &[])),
        ]),
    }
}

fn run(text: &str) -> RunId {
    RunId::parse(text).unwrap()
}

fn bytes_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |e: std::io::Result<std::fs::DirEntry>| {
        let e = e.unwrap();
        (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())
    };
    std::fs::read_dir(folder).unwrap().map(entry).collect()
}

/// Cuts a file in half, as a crash or a full disk would.
fn truncate(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_state_comes_back_bit_for_bit_nan_payloads_and_signed_zeros_too() {
    let dir = tempfile::tempdir().unwrap();
    let odd = [f32::from_bits(0x7fc0_dead), f32::from_bits(0xff80_0001), -0.0, f32::INFINITY, f32::from_bits(1)];
    let mut state = state(40);
    state.tensors.insert("odd".into(), Tensor::of_f32([5], &odd));
    let folder = save(dir.path(), &state).unwrap();
    let back = load(&folder).unwrap();
    assert_eq!(folder, dir.path().join("checkpoint-40"));
    assert_eq!(back, state);
    let bits = |t: &Tensor| t.to_f32().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(&back.tensors["odd"]), odd.map(f32::to_bits));
    assert_eq!(back.tensors["rollout.ids"].to_u32().unwrap(), [7, u32::MAX]);
    assert_eq!(back.tensors["rollout.ids"].to_f32(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bits_survive_and_equal_states_are_equal_bytes(
        values in prop::collection::vec(any::<u32>(), 0..200),
        names in prop::collection::btree_set("[a-z._0-9]{1,12}", 1..6),
        step in any::<u64>(),
        number in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
    ) {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let floats: Vec<f32> = values.iter().map(|v| f32::from_bits(*v)).collect();
        let tensors = names.into_iter().map(|n| (n, Tensor::of_f32([floats.len()], &floats))).collect();
        let state = State { step, meta: json!({"n": number}), tensors };
        let folders = dirs.each_ref().map(|d| save(d.path(), &state).unwrap());
        let back = load(&folders[0]).unwrap();
        prop_assert_eq!(back.meta["n"].as_f64().map(f64::to_bits), Some(number.to_bits()));
        prop_assert!(back == state);
        prop_assert!(bytes_of(&folders[0]) == bytes_of(&folders[1]));
    }
}

#[test]
fn every_damaged_byte_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = save(dir.path(), &state(1)).unwrap();
    for file in ["state.safetensors", "state.json"] {
        let path = folder.join(file);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x01;
            std::fs::write(&path, &bad).unwrap();
            let outcome = load(&folder);
            // Whitespace between JSON tokens may change without changing what is read.
            assert!(outcome.is_err() || outcome.unwrap() == state(1), "byte {at} of {file}");
        }
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn a_truncated_checkpoint_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let folder = save(dir.path(), &state(1)).unwrap();
    truncate(&folder.join("state.safetensors"));
    let failure = load(&folder).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Input);
    assert!(failure.message.contains("checkpoint-1/state.safetensors: damaged checkpoint: "), "{failure}");
    std::fs::remove_file(folder.join("state.json")).unwrap();
    assert!(load(&folder).unwrap_err().message.ends_with("checkpoint-1/state.json: not found"));
}

#[test]
fn a_draft_carries_extra_files_and_replaces_the_same_step() {
    let dir = tempfile::tempdir().unwrap();
    let mut second = state(5);
    second.meta = json!("second");
    for state in [state(5), second.clone()] {
        let draft = Draft::new(dir.path(), state).unwrap();
        std::fs::write(draft.path().join("trainer_state.json"), "{}").unwrap();
        draft.finish().unwrap();
    }
    let folder = dir.path().join("checkpoint-5");
    assert_eq!(load(&folder).unwrap(), second);
    assert_eq!(
        bytes_of(&folder).into_keys().collect::<Vec<_>>(),
        ["state.json", "state.safetensors", "trainer_state.json"]
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_abandoned_draft_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(Draft::new(dir.path(), state(5)).unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_newest_whole_local_checkpoint_is_found_and_older_ones_pruned() {
    let dir = tempfile::tempdir().unwrap();
    assert!(newest_valid_local(&dir.path().join("none")).unwrap().is_none());
    for step in [9, 10, 100] {
        save(dir.path(), &state(step)).unwrap();
    }
    truncate(&dir.path().join("checkpoint-100/state.json"));
    let newest = newest_valid_local(dir.path()).unwrap().unwrap();
    assert_eq!((newest.state.step, newest.skipped.len()), (10, 1));
    std::fs::create_dir(dir.path().join(".checkpoint-11.deadbeef")).unwrap();
    prune_local(dir.path(), 2).unwrap();
    let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["checkpoint-10", "checkpoint-100"]);
}

fn stores() -> (tempfile::TempDir, [Store; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
    let open = |uri: &str| Store::open(uri, &StoreOptions::default()).unwrap();
    let stores = [open(&format!("memory://{name}")), open(&dir.path().join("store").display().to_string())];
    (dir, stores)
}

fn manifest(step: u64, writer: &str) -> CheckpointManifest {
    CheckpointManifest {
        contract: CONTRACT_VERSION,
        key: StageKey::of("{}"),
        kind: StageKind::SFT,
        recipe: 1,
        step,
        total_steps: 100,
        run8: writer.into(),
        attempt: 1,
        files: Vec::new(),
        bit_exact: true,
        device: "cpu: test".into(),
        trainer: TrainerBuild { version: "0".into(), git: None, image_digest: None },
    }
}

fn published(store: &Store, dir: &Path, steps: &[u64], writer: &str) {
    for step in steps {
        publish(store, "stages/sft-1", &save(dir, &state(*step)).unwrap(), manifest(*step, writer)).unwrap();
    }
}

#[test]
fn the_newest_published_checkpoint_is_restored_whoever_wrote_it() {
    let (dir, stores) = stores();
    for store in stores {
        assert!(newest_valid(&store, "stages/sft-1").unwrap().is_none());
        published(&store, dir.path(), &[9, 10], "aaaaaaaa");
        published(&store, dir.path(), &[20], "bbbbbbbb");
        let restored = restore(&store, "stages/sft-1", &dir.path().join("scratch")).unwrap().unwrap();
        assert_eq!((restored.reference.step, restored.reference.run.as_str()), (20, "bbbbbbbb"));
        assert_eq!(load(&restored.folder).unwrap(), state(20));
        assert_eq!(restored.skipped, Vec::<String>::new());
    }
}

#[test]
fn a_damaged_or_unfinished_checkpoint_falls_back_to_the_one_before() {
    let (dir, stores) = stores();
    for store in stores {
        published(&store, dir.path(), &[1, 2, 3], "aaaaaaaa");
        store.put("stages/sft-1/checkpoints/00000003-aaaaaaaa/state.safetensors", "half").unwrap();
        store.delete("stages/sft-1/checkpoints/00000002-aaaaaaaa/state.json").unwrap();
        store.put("stages/sft-1/checkpoints/00000004-aaaaaaaa/state.json", "no manifest: still uploading").unwrap();
        let (newest, skipped) = newest_valid(&store, "stages/sft-1").unwrap().unwrap();
        assert_eq!(newest.step, 1);
        assert!(
            skipped[0].contains("checkpoints/00000003-aaaaaaaa") && skipped[1].contains("state.json: missing"),
            "{skipped:?}"
        );
        let restored = restore(&store, "stages/sft-1", &dir.path().join("scratch")).unwrap().unwrap();
        assert_eq!((load(&restored.folder).unwrap(), restored.skipped.len()), (state(1), 2));
    }
}

#[test]
fn a_writer_prunes_only_its_own_and_the_committer_all_but_the_newest() {
    let (dir, stores) = stores();
    for store in stores {
        published(&store, dir.path(), &[1, 2], "bbbbbbbb");
        published(&store, dir.path(), &[1, 2, 3], "aaaaaaaa");
        let folders = || {
            let manifests = store.list("stages/sft-1/checkpoints").unwrap().into_iter().map(|l| l.path);
            manifests
                .filter_map(|p| Some(p.strip_suffix("/manifest.json")?.rsplit_once('/')?.1.to_owned()))
                .collect::<Vec<_>>()
        };
        prune(&store, "stages/sft-1", &run("aaaaaaaa"), None).unwrap();
        assert_eq!(folders().len(), 5);
        prune(&store, "stages/sft-1", &run("aaaaaaaa"), Some(1)).unwrap();
        assert_eq!(folders(), ["00000001-bbbbbbbb", "00000002-bbbbbbbb", "00000003-aaaaaaaa"]);
        store.put("stages/sft-1/manifest.json", "done").unwrap();
        store.put("stages/sft-1/checkpoints/00000009-cccccccc/state.json", "no manifest: left unfinished").unwrap();
        prune_finished(&store, "stages/sft-1", None).unwrap();
        assert_eq!(folders(), ["00000001-bbbbbbbb", "00000002-bbbbbbbb", "00000003-aaaaaaaa"]);
        assert!(!store.list("stages/sft-1").unwrap().iter().any(|object| object.path.contains("cccccccc")));
        prune_finished(&store, "stages/sft-1", Some(2)).unwrap();
        assert_eq!(folders(), ["00000002-bbbbbbbb", "00000003-aaaaaaaa"]);
        assert!(store.exists("stages/sft-1/manifest.json").unwrap());
    }
}

#[test]
fn publishing_a_step_twice_keeps_the_first() {
    let (dir, [store, _]) = stores();
    published(&store, dir.path(), &[1], "aaaaaaaa");
    let mut other = state(1);
    other.meta = json!("other");
    publish(&store, "stages/sft-1", &save(dir.path(), &other).unwrap(), manifest(1, "aaaaaaaa")).unwrap();
    let restored = restore(&store, "stages/sft-1", &dir.path().join("scratch")).unwrap().unwrap();
    assert_eq!(load(&restored.folder).unwrap(), state(1));
}
