use std::{path::Path, time::Duration};

use bytes::Bytes;
use medtrain_crds::contract::{ExitCode, FileEntry};
use object_store::{ObjectStoreExt, memory::InMemory, path::Path as StorePath};

use super::{
    download::{RANGE, Source},
    retry::Trouble,
    tests::{local, memory},
    unreliable::{Fault, Read, Unreliable, over},
    *,
};

const LONG: Duration = Duration::from_secs(60);
/// Two ranges and some bytes.
const LARGE: u64 = 2 * RANGE + 5;

fn content(size: u64, seed: u64) -> Bytes {
    (0..size).map(|i| ((i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn digest(bytes: &[u8]) -> FileDigest {
    FileDigest { sha256: sha256_hex(bytes), size: bytes.len() as u64 }
}

/// How often each read was asked for.
type Reads = Vec<(Read, usize)>;

/// Downloads an object of `size` bytes from `backend`: the outcome, how often each read was asked for, and the file.
fn download(
    backend: Unreliable,
    size: u64,
    expect: Option<&FileDigest>,
    retry: Duration,
) -> (crate::failure::Result<()>, Reads, Option<Vec<u8>>) {
    let (store, backend) = over(backend, retry);
    store.put("x", content(size, 0)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    let outcome = store.download("x", &file, expect);
    let found = std::fs::read(&file).ok();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), usize::from(found.is_some()), "something was left");
    let reads = backend.reads.lock().unwrap().iter().map(|(read, times)| (*read, *times)).collect();
    (outcome, reads, found)
}

fn faulty(fault: fn(Read, usize) -> Option<Fault>) -> Unreliable {
    Unreliable { fault: Some(fault), ..Unreliable::default() }
}

#[test]
fn objects_around_a_ranges_size_arrive_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (_folder, local) = local();
    for store in [&memory("around-a-range"), &local] {
        for size in [0, 1, RANGE - 1, RANGE, RANGE + 1, LARGE] {
            let bytes = content(size, 0);
            let digest = digest(&bytes);
            store.put("x", bytes.clone()).unwrap();
            for expect in [None, Some(&digest)] {
                let file = dir.path().join("x");
                store.download("x", &file, expect).unwrap();
                assert!(std::fs::read(&file).unwrap() == bytes, "{store:?} {size} {expect:?}");
            }
        }
    }
}

#[test]
fn a_large_object_is_asked_for_by_ranges_and_a_small_one_by_one_request() {
    let bytes = content(LARGE, 0);
    let (outcome, reads, found) = download(Unreliable::default(), LARGE, Some(&digest(&bytes)), Duration::ZERO);
    outcome.unwrap();
    assert!(found.unwrap() == bytes);
    let once = [Read::Head, Read::Range(0), Read::Range(RANGE), Read::Range(2 * RANGE)].map(|read| (read, 1));
    assert_eq!(reads, once);

    let (outcome, reads, _) = download(Unreliable::default(), 3, Some(&digest(&content(3, 0))), Duration::ZERO);
    outcome.unwrap();
    assert_eq!(reads, [(Read::Whole, 1)]);
}

#[test]
fn a_range_that_fails_or_ends_early_is_asked_for_again_and_no_other() {
    let outage = |read, times| (read == Read::Range(RANGE) && times < 2).then_some(Fault::Outage);
    let cut = |read, times| (read == Read::Range(RANGE) && times < 2).then_some(Fault::CutTo(1000));
    for backend in [faulty(outage), faulty(cut)] {
        let (outcome, reads, found) = download(backend, LARGE, None, LONG);
        outcome.unwrap();
        assert!(found.unwrap() == content(LARGE, 0));
        let asked = [(Read::Head, 1), (Read::Range(0), 1), (Read::Range(RANGE), 3), (Read::Range(2 * RANGE), 1)];
        assert_eq!(reads, asked);
    }
}

#[test]
fn a_range_that_keeps_ending_early_ends_with_75_and_leaves_nothing() {
    let backend = faulty(|read, _| (read == Read::Range(RANGE)).then_some(Fault::CutTo(7)));
    let (outcome, _, found) = download(backend, LARGE, None, Duration::from_millis(300));
    let failure = outcome.unwrap_err();
    assert_eq!((failure.exit, found), (ExitCode::TransientIo, None));
    let ended = format!("the answer ended at byte {} instead of {}", RANGE + 7, 2 * RANGE);
    assert!(failure.message.contains(&ended), "{failure}");
}

#[test]
fn a_small_object_that_ends_early_is_asked_for_again() {
    let backend = faulty(|read, times| (read == Read::Whole && times == 0).then_some(Fault::CutTo(2)));
    let (outcome, reads, found) = download(backend, 10, Some(&digest(&content(10, 0))), LONG);
    outcome.unwrap();
    assert_eq!((reads, found.unwrap()), (vec![(Read::Whole, 2)], content(10, 0).to_vec()));
}

#[test]
fn an_object_that_changes_between_ranges_is_fetched_anew_and_never_mixed() {
    let replaced: fn(Read, usize) -> Option<Fault> =
        |read, times| (read == Read::Range(RANGE) && times == 0).then(|| Fault::ReplacedBy(content(LARGE + 9, 1)));
    for ignores_conditions in [false, true] {
        let backend = Unreliable { ignores_conditions, ..faulty(replaced) };
        let (outcome, reads, found) = download(backend, LARGE, None, LONG);
        outcome.unwrap();
        assert!(found.unwrap() == content(LARGE + 9, 1));
        assert_eq!(reads[0], (Read::Head, 2));

        let backend = Unreliable { ignores_conditions, ..faulty(replaced) };
        let (outcome, _, found) = download(backend, LARGE, Some(&digest(&content(LARGE, 0))), LONG);
        let failure = outcome.unwrap_err();
        assert!(failure.message.contains("not the file that was recorded"), "{failure}");
        assert_eq!((failure.exit, found), (ExitCode::Input, None));
    }
}

#[test]
fn an_object_that_keeps_changing_ends_with_75() {
    let backend =
        faulty(|read, times| (read == Read::Range(RANGE)).then(|| Fault::ReplacedBy(content(LARGE, times as u64 + 1))));
    let failure = download(backend, LARGE, None, Duration::from_millis(300)).0.unwrap_err();
    assert_eq!(failure.exit, ExitCode::TransientIo);
    assert!(failure.message.contains("the object was changed while it was downloaded"), "{failure}");
}

#[test]
fn a_store_without_tags_is_read_by_one_request_as_its_ranges_could_be_of_two_versions() {
    let (outcome, reads, found) =
        download(Unreliable { untagged: true, ..Unreliable::default() }, LARGE, None, Duration::ZERO);
    outcome.unwrap();
    assert!(found.unwrap() == content(LARGE, 0));
    assert_eq!(reads, [(Read::Head, 1), (Read::Whole, 1)]);
}

#[test]
fn a_failed_download_leaves_the_file_that_was_there() {
    let (store, _) = over(Unreliable::default(), Duration::ZERO);
    store.put("x", content(LARGE, 0)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    std::fs::write(&file, "before").unwrap();
    let other = FileDigest { sha256: sha256_hex(b"other"), size: LARGE };
    assert_eq!(store.download("x", &file, Some(&other)).unwrap_err().exit, ExitCode::Input);
    assert_eq!(store.download("none", &file, Some(&other)).unwrap_err().exit, ExitCode::Input);
    assert_eq!(std::fs::read(&file).unwrap(), b"before");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_full_disk_is_a_transient_failure_that_says_so() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let backend = InMemory::new();
    let at = StorePath::from("x");
    for size in [10, LARGE] {
        backend.put(&at, content(size, 0).into()).await.unwrap();
        let source = Source { backend: &backend, at: &at, uri: "memory://x", local: false, retry_deadline: LONG };
        match source.download(full, None).await {
            Err(Trouble::Here(failure)) => {
                assert_eq!(failure.exit, ExitCode::TransientIo);
                assert!(failure.message.starts_with("/dev/full: no space left on the disk"), "{failure}");
            }
            Err(Trouble::Store(error)) => panic!("taken for the store's: {error}"),
            Ok(digest) => panic!("{digest:?} on a full disk"),
        }
    }
}

#[test]
fn a_folder_of_small_and_large_files_keeps_its_order_and_tells_its_first_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut sizes: Vec<u64> = (0..20).map(|i| i * 1000).collect();
    sizes[3] = LARGE;
    for (index, size) in sizes.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{index:02}")), content(*size, 0)).unwrap();
    }
    let (store, backend) = over(Unreliable::default(), Duration::ZERO);
    let files = upload_dir(&store, folder.path(), "home", "").unwrap();
    let expected = |(index, size): (usize, &u64)| {
        let FileDigest { sha256, size } = digest(&content(*size, 0));
        FileEntry { path: format!("{index:02}"), sha256, size }
    };
    assert_eq!(files, sizes.iter().enumerate().map(expected).collect::<Vec<_>>());

    let back = tempfile::tempdir().unwrap();
    download_dir(&store, "home", &files, back.path()).unwrap();
    for file in &files {
        assert_eq!(hash_file(&back.path().join(&file.path)).unwrap().sha256, file.sha256);
    }
    backend.reads.lock().unwrap().clear();
    store.delete("home/07").unwrap();
    let failure = download_dir(&store, "home", &files, back.path()).unwrap_err();
    assert!(failure.message.contains("home/07: not found"), "{failure}");
    assert!(!backend.reads.lock().unwrap().contains_key(&Read::Range(0)), "a large file was begun after a failure");
}
