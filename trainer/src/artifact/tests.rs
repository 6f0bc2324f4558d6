use std::{collections::BTreeMap, time::Duration};

use medtrain_crds::{
    contract::{
        BaseModel, CONTRACT_VERSION, DataCounts, Digest, ExitCode, FileEntry, Manifest, Pointer, StageKey, Timings,
        TrainerBuild,
    },
    stage::StageKind,
};

use super::{unreliable::unreliable, *};

pub(super) fn options(retry: Duration) -> StoreOptions {
    StoreOptions { retry_deadline: retry, ..StoreOptions::default() }
}

pub(super) fn memory(name: &str) -> Store {
    Store::open(&format!("memory://{name}/base"), &options(Duration::ZERO)).unwrap()
}

pub(super) fn local() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("{}/out", dir.path().display()), &options(Duration::ZERO)).unwrap();
    (dir, store)
}

/// Runs a promise against both kinds of store that need no server.
fn on_both(name: &str, promise: impl Fn(&Store)) {
    promise(&memory(name));
    promise(&local().1);
}

fn manifest(run: &str, files: Vec<FileEntry>) -> Manifest {
    Manifest {
        contract: CONTRACT_VERSION,
        key: StageKey::of("{}"),
        kind: StageKind::SFT,
        stage: "sft".into(),
        recipe: 1,
        seed: 42,
        inputs: BTreeMap::new(),
        base_model: BaseModel { uri: "file:///model".into(), revision: None, digest: Digest::of(b"model") },
        prefix: format!("attempt-1-{run}"),
        files,
        final_step: 10,
        metrics: BTreeMap::new(),
        data: DataCounts::default(),
        loss_mask: None,
        best_model: None,
        early_stop: None,
        merge_check: None,
        bit_exact: true,
        trainer: TrainerBuild { version: "0".into(), git: None, image_digest: None },
        attempt: 1,
        fencing_token: None,
        timings: Timings { started_at: String::new(), finished_at: String::new(), seconds: BTreeMap::new() },
    }
}

#[test]
fn what_is_put_is_read_back_and_what_is_not_is_none() {
    on_both("put-get", |store| {
        assert_eq!(store.get("a/b.json").unwrap(), None);
        store.put("a/b.json", "one").unwrap();
        store.put("a/b.json", "two").unwrap();
        assert_eq!(store.get("a/b.json").unwrap().as_deref(), Some(&b"two"[..]));
        assert!(store.exists("a/b.json").unwrap() && !store.exists("a/c.json").unwrap());
    });
}

#[test]
fn of_many_creators_exactly_one_wins() {
    on_both("create", |store| {
        let outcomes: Vec<Created> = std::thread::scope(|scope| {
            let creators: Vec<_> =
                (0..8).map(|i| scope.spawn(move || store.create("one", format!("by {i}")).unwrap())).collect();
            creators.into_iter().map(|c| c.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|o| **o == Created::Created).count(), 1);
    });
}

#[test]
fn a_file_larger_than_a_part_survives_the_round_trip() {
    let bytes: Vec<u8> = (0..20_000_003u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let dir = tempfile::tempdir().unwrap();
    for (name, size) in [("big", bytes.len()), ("exact", 16 << 20), ("empty", 0)] {
        let file = dir.path().join(name);
        std::fs::write(&file, &bytes[..size]).unwrap();
        on_both(&format!("parts-{name}"), |store| {
            let digest = store.upload(&file, "x/y.bin").unwrap();
            assert_eq!(digest, hash_file(&file).unwrap());
            let back = dir.path().join("back/y.bin");
            store.download("x/y.bin", &back, Some(&digest)).unwrap();
            assert!(std::fs::read(&back).unwrap() == bytes[..size]);
        });
    }
}

#[test]
fn a_changed_file_is_refused_with_both_digests_and_leaves_nothing_behind() {
    let store = memory("changed");
    store.put("w.bin", "changed").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let expected = FileDigest { sha256: sha256_hex(b"original"), size: 8 };
    let failure = store.download("w.bin", &dir.path().join("w.bin"), Some(&expected)).unwrap_err();
    assert_eq!(failure.exit, ExitCode::Input);
    assert_eq!(
        failure.message,
        format!(
            "memory://changed/base/w.bin: not the file that was recorded: expected sha256 {} (8 bytes), found {} (7 bytes); it was changed or damaged: restore it, or delete its stage folder to make it again",
            expected.sha256,
            sha256_hex(b"changed")
        )
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn listing_is_sorted_and_relative_and_deleting_takes_the_folder() {
    on_both("list", |store| {
        for path in ["s/b/2", "s/a", "s/b/1", "t/x", "s-other/y"] {
            store.put(path, path.to_owned()).unwrap();
        }
        let paths = |prefix| store.list(prefix).unwrap().into_iter().map(|l| l.path).collect::<Vec<_>>();
        assert_eq!(paths("s"), ["s/a", "s/b/1", "s/b/2"]);
        assert_eq!(paths("none"), Vec::<String>::new());
        store.delete("s").unwrap();
        store.delete("never-there").unwrap();
        assert_eq!(paths(""), ["s-other/y", "t/x"]);
        assert!(store.local_path("s").is_none_or(|p| !p.exists()));
    });
}

#[test]
fn a_good_store_passes_the_probe_and_keeps_no_trace_of_it() {
    on_both("probe", |store| {
        store.probe().unwrap();
        assert_eq!(store.list("").unwrap(), []);
    });
}

#[test]
fn a_file_where_the_output_folder_should_be_is_an_error_not_a_retry() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("out"), "a file").unwrap();
    let store = Store::open(&format!("{}/out/deep", dir.path().display()), &StoreOptions::default()).unwrap();
    assert_ne!(store.probe().unwrap_err().exit, ExitCode::Done);
    assert!(store.put("x", "y").is_err());
}

#[test]
fn a_folder_that_may_not_be_written_ends_with_77() {
    // sysfs takes no new folders, from root neither.
    let store = Store::open("/sys/medtrain-probe", &StoreOptions::default()).unwrap();
    let failure = store.probe().unwrap_err();
    assert_eq!(failure.exit, ExitCode::Permission, "{failure}");
    assert!(failure.message.contains("let this user read and write it"), "{failure}");
    assert_eq!(store.put("x", "y").unwrap_err().exit, ExitCode::Permission);
}

#[test]
fn the_same_memory_store_is_found_again_by_name() {
    memory("shared").put("x", "1").unwrap();
    assert_eq!(memory("shared").get("x").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(memory("not-shared").get("x").unwrap(), None);
}

#[test]
fn the_second_to_commit_reads_the_winners_manifest() {
    on_both("commit", |store| {
        let (ours, theirs) = (manifest("aaaaaaaa", vec![]), manifest("bbbbbbbb", vec![]));
        assert_eq!(read_manifest(store, "stages/sft-1/manifest.json").unwrap(), None);
        assert_eq!(commit(store, "stages/sft-1", &theirs).unwrap(), Committed::Won);
        assert_eq!(commit(store, "stages/sft-1", &ours).unwrap(), Committed::Lost(Box::new(theirs.clone())));
        assert_eq!(read_manifest(store, "stages/sft-1/manifest.json").unwrap(), Some(theirs));
    });
}

#[test]
fn a_commit_whose_answer_was_lost_is_still_won() {
    let store = memory("lost-answer");
    let ours = manifest("aaaaaaaa", vec![]);
    assert_eq!(commit(&store, "s", &ours).unwrap(), Committed::Won);
    assert_eq!(commit(&store, "s", &ours).unwrap(), Committed::Won);
}

#[test]
fn verify_finds_the_changed_and_the_missing_file() {
    on_both("verify", |store| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("adapter")).unwrap();
        for name in ["adapter/b.bin", "a.json", "c.json"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let files = upload_dir(store, dir.path(), "stages/sft-1", "attempt-1-aaaaaaaa").unwrap();
        let paths: Vec<_> = files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(
            paths,
            ["attempt-1-aaaaaaaa/a.json", "attempt-1-aaaaaaaa/adapter/b.bin", "attempt-1-aaaaaaaa/c.json"]
        );
        commit(store, "stages/sft-1", &manifest("aaaaaaaa", files.clone())).unwrap();
        for path in ["stages/sft-1/manifest.json", "stages/sft-1", "stages/sft-1/"] {
            assert!(verify(store, path).unwrap().is_ok());
        }
        let absent = verify(store, "stages/sft-2").unwrap_err().message;
        assert!(
            absent.ends_with("stages/sft-2/manifest.json: not found: the stage is not done, or this is not its folder"),
            "{absent}"
        );

        let back = tempfile::tempdir().unwrap();
        download_dir(store, "stages/sft-1", &files, back.path()).unwrap();
        assert_eq!(std::fs::read(back.path().join("attempt-1-aaaaaaaa/adapter/b.bin")).unwrap(), b"adapter/b.bin");

        store.put("stages/sft-1/attempt-1-aaaaaaaa/a.json", "b.json").unwrap();
        store.delete("stages/sft-1/attempt-1-aaaaaaaa/c.json").unwrap();
        let report = verify(store, "stages/sft-1/manifest.json").unwrap();
        let text = report.to_string();
        assert!(text.contains("3 files") && text.contains("2 not as recorded"), "{text}");
        assert!(
            text.contains("\n  attempt-1-aaaaaaaa/a.json: expected sha256 ") && text.ends_with("c.json: missing"),
            "{text}"
        );
        assert_eq!(report.into_result().unwrap_err().exit, ExitCode::Input);
    });
}

#[test]
fn a_finished_stage_whose_files_are_gone_or_cut_is_an_error_that_says_how_to_go_on() {
    on_both("finished", |store| {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.json", "b.json"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let files = upload_dir(store, dir.path(), "stages/sft-1", "attempt-1-aaaaaaaa").unwrap();
        assert_eq!(finished(store, "stages/sft-1").unwrap(), None);
        let written = manifest("aaaaaaaa", files);
        commit(store, "stages/sft-1", &written).unwrap();
        assert_eq!(finished(store, "stages/sft-1").unwrap(), Some(written));

        store.put("stages/sft-1/attempt-1-aaaaaaaa/b.json", "b").unwrap();
        let cut = finished(store, "stages/sft-1").unwrap_err();
        assert_eq!(cut.exit, ExitCode::Input);
        let expected = "stages/sft-1: is finished by its manifest, but attempt-1-aaaaaaaa/b.json has 1 bytes instead of 6 \
                        (1 of 2 files are not as recorded); restore them, or delete the folder to run the stage again";
        assert!(cut.message.ends_with(expected), "{cut}");
        store.delete("stages/sft-1/attempt-1-aaaaaaaa/a.json").unwrap();
        let gone = finished(store, "stages/sft-1").unwrap_err().message;
        assert!(gone.contains("attempt-1-aaaaaaaa/a.json is gone (2 of 2 files"), "{gone}");
    });
}

#[test]
fn a_manifest_can_not_place_files_outside_its_folder() {
    let store = memory("escape");
    let dir = tempfile::tempdir().unwrap();
    for path in ["../evil", "/evil", "a/../../evil"] {
        let entry = FileEntry { path: path.into(), sha256: sha256_hex(b"x"), size: 1 };
        let failure = download_dir(&store, "s", &[entry], dir.path()).unwrap_err();
        assert_eq!(failure.message, format!("memory://escape/base/s: lists a file outside its own folder: {path:?}"));
    }
}

#[test]
fn a_truncated_manifest_says_what_to_do() {
    let store = memory("truncated");
    store.put("s/manifest.json", "{\"contract\": 1,").unwrap();
    let failure = read_manifest(&store, "s/manifest.json").unwrap_err();
    assert_eq!(failure.exit, ExitCode::Input);
    assert!(failure.message.starts_with("memory://truncated/base/s/manifest.json: "), "{failure}");
}

#[test]
fn latest_follows_the_newest_attempt_and_pointers_name_the_manifest() {
    let (_dir, store) = local();
    store.put("stages/sft-1/attempt-1-aaaaaaaa/x", "1").unwrap();
    store.put("stages/sft-1/attempt-2-bbbbbbbb/x", "2").unwrap();
    for attempt in ["attempt-1-aaaaaaaa", "attempt-2-bbbbbbbb"] {
        link_latest(&store, "sft", &format!("stages/sft-1/{attempt}")).unwrap();
    }
    assert_eq!(std::fs::read(store.local_path("latest/sft/x").unwrap()).unwrap(), b"2");
    assert_eq!(std::fs::read_dir(store.local_path("latest").unwrap()).unwrap().count(), 1);
    link_latest(&memory("no-links"), "sft", "stages/sft-1").unwrap();

    let pointer = Pointer::new(StageKind::SFT, StageKey::of("{}"));
    write_pointer(&store, "trainings/default.demo/sft.json", &pointer).unwrap();
    assert_eq!(read_pointer(&store, "trainings/default.demo/sft.json").unwrap(), Some(pointer));
}

#[test]
fn an_outage_shorter_than_the_deadline_goes_unnoticed() {
    let store = unreliable(2, false, Duration::from_secs(30));
    store.put("x", "1").unwrap();
    assert_eq!(store.get("x").unwrap().as_deref(), Some(&b"1"[..]));
}

#[test]
fn an_outage_longer_than_the_deadline_ends_with_75() {
    let failure = unreliable(usize::MAX, false, Duration::from_millis(300)).put("x", "1").unwrap_err();
    assert_eq!(failure.exit, ExitCode::TransientIo);
    assert!(failure.message.contains("503 Service Unavailable; run again when the store is back"), "{failure}");
}

#[test]
fn a_store_that_ignores_conditional_puts_is_refused() {
    let failure = unreliable(0, true, Duration::ZERO).probe().unwrap_err();
    assert_eq!(failure.exit, ExitCode::Config);
    assert!(failure.message.contains("does not honour conditional writes (If-None-Match: *)"), "{failure}");
}
