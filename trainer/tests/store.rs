//! What the contract asks of a store, asked of a real server: `MEDTRAIN_TEST_STORE` is a folder in it, emptied here.
//! The server's address and credentials come from the environment, as for `medtrain` itself (`AWS_…`).

use std::thread;

use medtrain_crds::contract::Manifest;
use medtrain_trainer::artifact::{Committed, Created, Store, StoreOptions, commit, hash_file};
use serde_json::json;

fn manifest(run: &str) -> Manifest {
    serde_json::from_value(json!({
        "contract": 1, "key": "0".repeat(64), "kind": "SFT", "stage": "sft", "recipe": 1, "seed": 42, "inputs": {},
        "baseModel": {"uri": "file:///model", "digest": format!("sha256:{}", "1".repeat(64))},
        "prefix": format!("attempt-1-{run}"), "files": [], "finalStep": 10, "metrics": {},
        "data": {"train": {}, "eval": {}}, "bitExact": true, "trainer": {"version": "0"}, "attempt": 1,
        "timings": {"startedAt": "", "finishedAt": "", "seconds": {}},
    }))
    .unwrap()
}

/// Of eight threads that create one object at once; the number of those that were told they did.
fn creators_that_won(store: &Store, path: &str) -> usize {
    thread::scope(|scope| {
        let creators: Vec<_> =
            (0..8).map(|i| scope.spawn(move || store.create(path, format!("by {i}")).unwrap())).collect();
        creators.into_iter().map(|creator| creator.join().unwrap()).filter(|won| *won == Created::Created).count()
    })
}

#[test]
fn a_real_store_keeps_every_promise() {
    let uri = std::env::var("MEDTRAIN_TEST_STORE").expect("MEDTRAIN_TEST_STORE names a folder of a store");
    let store = Store::open(&uri, &StoreOptions::default()).unwrap();
    store.delete("t").unwrap();
    store.probe().unwrap();
    assert_eq!(store.get("t/none").unwrap(), None);
    for round in 0..5 {
        assert_eq!(creators_that_won(&store, &format!("t/create-{round}")), 1);
    }

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("big");
    let bytes: Vec<u8> = (0..30_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&file, &bytes).unwrap();
    let name = "t/a b/big ü.bin";
    let digest = store.upload(&file, name).unwrap();
    assert_eq!(digest, hash_file(&file).unwrap());
    assert_eq!(store.digest(name).unwrap(), Some(digest.clone()));
    let back = dir.path().join("back");
    store.download(name, &back, Some(&digest)).unwrap();
    assert!(std::fs::read(back).unwrap() == bytes);
    let listed: Vec<_> = store.list("t/a b").unwrap().into_iter().map(|found| (found.path, found.size)).collect();
    assert_eq!(listed, [(name.to_owned(), 30_000_000)]);

    let (ours, theirs) = (manifest("aaaaaaaa"), manifest("bbbbbbbb"));
    assert_eq!(commit(&store, "t/stage", &theirs).unwrap(), Committed::Won);
    assert_eq!(commit(&store, "t/stage", &ours).unwrap(), Committed::Lost(Box::new(theirs)));
    store.delete("t").unwrap();
    assert_eq!(store.list("").unwrap(), []);
}
