use super::*;
use crate::weights::hub_stub::{COMMIT, Fault, Stub};

const FILES: &[(&str, &[u8])] = &[("config.json", b"{}"), ("model.safetensors", b"weights"), ("README.md", b"hello")];

fn stub() -> Stub {
    Stub::new(&[("org/open", FILES), ("org/private", FILES), ("org/gated", FILES), ("org/broken", FILES)])
}

fn get(hub: &Hub, uri: &str) -> Result<HubFiles> {
    hub.files(&HubUri::parse(uri).unwrap(), &|path| path != "README.md")
}

fn error(hub: &Hub, uri: &str) -> (ExitCode, String) {
    let failure = get(hub, uri).unwrap_err();
    (failure.exit, failure.message)
}

#[test]
fn the_wanted_files_of_one_commit_are_downloaded_once() {
    let (stub, cache) = (stub(), tempfile::tempdir().unwrap());
    let found = get(&stub.hub(cache.path()), "hf://org/open").unwrap();
    assert_eq!(found.commit, COMMIT);
    assert_eq!(found.files, ["config.json", "model.safetensors"]);
    assert_eq!(fs::read(found.dir.join("model.safetensors")).unwrap(), b"weights");
    assert!(!stub.requests().iter().any(|request| request.contains("README") || request.contains("/resolve/main/")));
    assert_eq!(get(&stub.hub(cache.path()), "hf://org/open@main").unwrap(), found);
    let again = stub.requests();
    assert!(!again.iter().any(|request| request.contains("/resolve/")), "{again:?}");
}

#[test]
fn a_hub_that_nobody_answers_for_is_not_waited_for_as_long_as_one_that_fails() {
    let (stub, cache) = (stub(), tempfile::tempdir().unwrap());
    // Nothing listens on this port; with the patience for failures the test would not end.
    let endpoint = Some("http://127.0.0.1:1".to_owned());
    let hub = Hub { endpoint, patience: Duration::from_secs(1 << 30), ..stub.hub(cache.path()) };
    let (exit, message) = error(&hub, "hf://org/open");
    assert_eq!(exit, ExitCode::TransientIo);
    assert!(message.starts_with("hf://org/open: no usable answer from http://127.0.0.1:1: "), "{message}");
    assert!(message.ends_with("or set HF_HUB_OFFLINE=1 to use a cached copy"), "{message}");
}

#[test]
fn offline_the_cache_is_used_and_nothing_is_sent() {
    let (stub, cache) = (stub(), tempfile::tempdir().unwrap());
    let online = get(&stub.hub(cache.path()), "hf://org/open@v1").unwrap();
    stub.requests();
    let offline = Hub { offline: true, ..stub.hub(cache.path()) };
    assert_eq!(get(&offline, "hf://org/open@v1").unwrap(), online);
    assert_eq!(get(&offline, &format!("hf://org/open@{COMMIT}")).unwrap(), online);
    let (exit, message) = error(&offline, "hf://org/open@main");
    assert_eq!(exit, ExitCode::Input);
    assert_eq!(
        message,
        format!(
            "hf://org/open@main: not in the cache ({}), and HF_HUB_OFFLINE is set; unset it, or run once with network access",
            cache.path().join("models--org--open").display()
        )
    );
    assert!(stub.requests().is_empty());
}

#[test]
fn a_private_repository_opens_with_the_token_alone() {
    let (stub, cache) = (stub(), tempfile::tempdir().unwrap());
    get(&stub.hub(cache.path()), "hf://org/private").unwrap();
    let wrong = Hub { token: Some("hf_wrong".to_owned()), ..stub.hub(cache.path()) };
    let (exit, message) = error(&wrong, "hf://org/private");
    assert_eq!(exit, ExitCode::Permission);
    assert_eq!(
        message,
        "hf://org/private: the hub wants a token that may read it: set HF_TOKEN; a repository that doesn't exist looks the \
         same without one, so check the name too"
    );
    let (exit, message) = error(&stub.hub(cache.path()), "hf://org/gated");
    assert_eq!(exit, ExitCode::Permission);
    assert!(message.contains("accept its conditions"), "{message}");
}

#[test]
fn unknown_repositories_and_revisions_are_told_apart() {
    let (stub, cache) = (stub(), tempfile::tempdir().unwrap());
    let hub = stub.hub(cache.path());
    let (exit, message) = error(&hub, "hf://org/none");
    assert_eq!(exit, ExitCode::Input);
    assert!(message.starts_with("hf://org/none: no such repository on http://127.0.0.1"), "{message}");
    assert_eq!(error(&hub, "hf://org/open@v9").1, "hf://org/open@v9: the repository has no revision \"v9\"");
    let nothing = hub.files(&HubUri::parse("hf://org/open").unwrap(), &|_| false).unwrap_err().message;
    assert_eq!(nothing, format!("hf://org/open: no file of commit {COMMIT} is one that is needed"));
}

#[test]
fn an_error_page_in_place_of_a_file_is_never_kept() {
    for (fault, problem) in [
        (Fault::ErrorPage, "13 of 7 bytes arrived"),
        (Fault::WrongBytes, "its sha256 is not the one that the hub states"),
    ] {
        let (stub, cache) = (Stub::new(&[("org/open", &FILES[1..2])]), tempfile::tempdir().unwrap());
        stub.fail_next(fault);
        let (exit, message) = error(&stub.hub(cache.path()), "hf://org/open");
        assert_eq!(exit, ExitCode::TransientIo);
        assert!(message.starts_with(&format!("hf://org/open: model.safetensors: {problem}; tried for")), "{message}");
        let found = get(&stub.hub(cache.path()), "hf://org/open").unwrap();
        assert_eq!(fs::read(found.dir.join("model.safetensors")).unwrap(), b"weights");
    }
}

#[test]
fn a_damaged_download_is_tried_again_within_the_patience() {
    let (stub, cache) = (stub(), tempfile::tempdir().unwrap());
    stub.fail_next(Fault::ErrorPage);
    let patient = Hub { patience: Duration::from_secs(30), ..stub.hub(cache.path()) };
    let found = get(&patient, "hf://org/open").unwrap();
    assert_eq!(fs::read(found.dir.join("model.safetensors")).unwrap(), b"weights");
}

#[test]
fn a_hub_that_has_answered_is_waited_for_when_it_can_no_longer_be_reached() {
    let (stub, cache) = (Stub::new(&[("org/open", &FILES[1..2])]), tempfile::tempdir().unwrap());
    // As often as hf-hub itself tries.
    (0..3).for_each(|_| stub.fail_next(Fault::Nowhere));
    let in_a_hurry_to_reach = Hub { patience: Duration::from_secs(60), ..stub.hub(cache.path()) };
    let found = get(&in_a_hurry_to_reach, "hf://org/open").unwrap();
    assert_eq!(fs::read(found.dir.join("model.safetensors")).unwrap(), b"weights");
    let attempts = stub.requests().iter().filter(|request| request.contains("/revision/")).count();
    assert!(attempts > 1, "it was never unreachable");
}

#[test]
fn patience_begins_with_the_first_failure_after_a_file_arrived() {
    let (mut outage, start) = (Outage::default(), Instant::now());
    let mut failed = |second: u64, files: usize| outage.failed(start + Duration::from_secs(second), files).as_secs();
    // Ten minutes of downloading are no failure; an answer without a file is no progress.
    assert_eq!([failed(600, 3), failed(604, 3), failed(620, 3)], [0, 4, 20]);
    assert_eq!([failed(900, 4), failed(903, 4)], [0, 3]);
}

#[test]
fn a_file_of_the_cache_with_another_size_is_replaced() {
    let (stub, cache) = (stub(), tempfile::tempdir().unwrap());
    let found = get(&stub.hub(cache.path()), "hf://org/open").unwrap();
    let blob = found.dir.join("model.safetensors").canonicalize().unwrap();
    fs::write(&blob, b"wei").unwrap();
    get(&stub.hub(cache.path()), "hf://org/open").unwrap();
    assert_eq!(fs::read(found.dir.join("model.safetensors")).unwrap(), b"weights");
}

#[test]
fn a_hub_that_stays_down_is_a_transient_failure_with_a_way_out() {
    let (stub, cache) = (stub(), tempfile::tempdir().unwrap());
    let hub = Hub { endpoint: Some("http://127.0.0.1:9".to_owned()), ..stub.hub(cache.path()) };
    let (exit, message) = error(&hub, "hf://org/open");
    assert_eq!(exit, ExitCode::TransientIo);
    assert!(message.starts_with("hf://org/open: no usable answer from http://127.0.0.1:9: "), "{message}");
    assert!(message.ends_with("check the network and HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use a cached copy"));
    let (exit, message) = error(&stub.hub(cache.path()), "hf://org/broken");
    assert_eq!(exit, ExitCode::TransientIo);
    assert!(message.contains("the hub answers 502"), "{message}");
}

#[test]
fn it_works_inside_an_async_runtime_too() {
    let (stub, cache) = (stub(), tempfile::tempdir().unwrap());
    let hub = stub.hub(cache.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { get(&hub, "hf://org/open").unwrap() });
}
