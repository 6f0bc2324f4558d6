use medtrain_crds::contract::ExitCode;

use super::*;
use crate::preflight::fixture::Lab;

/// A folder with files that hold their own names.
fn lab(names: &[&str]) -> (Lab, Workspace) {
    let lab = Lab::new();
    lab.training("  model: {uri: model}", "    - {name: pt, kind: PT, dataset: {train: [a.txt]}}");
    for name in names {
        lab.file(name, name);
    }
    let (_, ws) = lab.open().unwrap();
    (lab, ws)
}

fn uris(ws: &Workspace, entry: &str) -> Vec<String> {
    find(ws, entry).unwrap().into_iter().map(|found| found.uri).collect()
}

fn error(ws: &Workspace, entry: &str) -> Failure {
    find(ws, entry).err().unwrap()
}

const FILES: [&str; 6] = ["d/b.txt", "d/a.jsonl.gz", "d/.hidden.txt", "d/notes.md", "d/in/c.json", "e/d.txt"];

#[test]
fn folders_give_their_data_files_sorted() {
    let (_lab, ws) = lab(&FILES);
    assert_eq!(uris(&ws, "d"), ["d/a.jsonl.gz", "d/b.txt", "d/in/c.json"]);
    assert_eq!(uris(&ws, "./e/"), ["e/d.txt"]);
}

#[test]
fn globs_stay_in_a_folder_unless_they_say_otherwise() {
    let (lab, ws) = lab(&FILES);
    assert_eq!(uris(&ws, "d/*"), ["d/a.jsonl.gz", "d/b.txt", "d/notes.md"]);
    assert_eq!(uris(&ws, "**/*.txt"), ["d/b.txt", "e/d.txt"]);
    assert_eq!(uris(&ws, "[de]/?.txt"), ["d/b.txt", "e/d.txt"]);
    let absolute = lab.path("d/*.txt").display().to_string();
    assert_eq!(uris(&ws, &absolute), [absolute.replace('*', "b")]);
    assert_eq!(uris(&ws, &format!("file://{absolute}")), [format!("file://{}", absolute.replace('*', "b"))]);
}

#[test]
fn names_with_the_characters_of_globs_are_names_first() {
    let (_lab, ws) = lab(&["d/a[1].txt", "x y.txt"]);
    assert_eq!(uris(&ws, "d/a[1].txt"), ["d/a[1].txt"]);
    let uri = format!("file://{}/x%20y.txt", ws.base.display());
    assert_eq!(fs::read_to_string(&find(&ws, &uri).unwrap()[0].path).unwrap(), "x y.txt");
}

#[test]
fn what_matches_nothing_is_a_missing_input_that_says_where_it_was_looked_for() {
    let (lab, ws) = lab(&["d/notes.md"]);
    let at = format!("; paths start at the folder of the YAML file, {}", lab.dir.path().display());
    assert_eq!(error(&ws, "x/*.txt").message, format!("x/*.txt: no file matches{at}"));
    assert_eq!(error(&ws, "x.txt").message, format!("x.txt: not found{at}"));
    assert_eq!(error(&ws, "/no/x.txt").message, "/no/x.txt: not found");
    let empty = "d: the folder holds no data; looked for .txt, .jsonl, .json, .ndjson (also with .gz)";
    assert_eq!(error(&ws, "d").message, empty);
    assert!(error(&ws, "d/[").message.starts_with("d/[: not a pattern ("));
    let codes = ["x/*.txt", "x.txt", "d", "d/["].map(|entry| error(&ws, entry).exit);
    assert_eq!(codes, [ExitCode::Input, ExitCode::Input, ExitCode::Input, ExitCode::Config]);
}

#[test]
fn object_stores_are_searched_like_folders() {
    let (_lab, ws) = lab(&[]);
    let store = ws.open_store("memory://searched").unwrap();
    for name in ["d/b.txt", "d/a.txt", "d/in/c.txt", "d/notes.md", "other.txt"] {
        store.put(name, name).unwrap();
    }
    let all = |names: &[&str]| names.iter().map(|name| format!("memory://searched/{name}")).collect::<Vec<_>>();
    assert_eq!(uris(&ws, "memory://searched/d/*.txt"), all(&["d/a.txt", "d/b.txt"]));
    assert_eq!(uris(&ws, "memory://searched/d/"), all(&["d/a.txt", "d/b.txt", "d/in/c.txt"]));
    assert_eq!(uris(&ws, "memory://searched/*.txt"), all(&["other.txt"]));
    assert_eq!(uris(&ws, "memory://searched/d/in/c.txt"), all(&["d/in/c.txt"]));
    let nothing = error(&ws, "memory://searched/d/x.txt");
    assert_eq!(nothing.message, "memory://searched/d/x.txt: not found, neither as a file nor as a folder");
    assert_eq!(error(&ws, "memory://searched/x/*").message, "memory://searched/x/*: no file matches");
}

#[test]
fn a_remote_file_is_copied_again_only_when_it_changed() {
    let (_lab, ws) = lab(&[]);
    let store = ws.open_store("memory://copied").unwrap();
    let uri = "memory://copied/a.txt";
    store.put("a.txt", "one").unwrap();
    let copy = find(&ws, uri).unwrap().remove(0).path;
    fs::write(&copy, "our").unwrap();
    assert_eq!(locate(&ws, uri).unwrap(), copy);
    assert_eq!(fs::read_to_string(&copy).unwrap(), "our", "unchanged in the store: the copy is taken");
    store.put("a.txt", "two").unwrap();
    locate(&ws, uri).unwrap();
    assert_eq!(fs::read_to_string(&copy).unwrap(), "two");
    store.delete("a.txt").unwrap();
    assert_eq!(locate(&ws, uri).unwrap_err().message, "memory://copied/a.txt: not found");
}

#[test]
fn identities_are_in_the_order_of_the_list_and_found_again_by_uri() {
    let (_lab, ws) = lab(&FILES);
    let dataset = DatasetArgs {
        train: vec!["e/d.txt".into(), "d/*.txt".into()],
        eval: vec!["d/in".into()],
        eval_fraction: 0.0,
        weights: vec![2.0, 0.5],
        format: None,
        max_scan_bytes: 1 << 30,
    };
    let (found, failures) = identify(&ws, &dataset, "stages[0].dataset");
    assert!(failures.is_empty());
    let planned = PlannedDataset {
        train: found.train,
        eval: found.eval,
        eval_fraction: 0.0,
        weights: dataset.weights,
        format: None,
    };
    let (train, eval) = data_files(&ws, &planned).unwrap();
    let shown: Vec<_> = train.iter().map(|file| (file.uri.as_str(), file.weight)).collect();
    assert_eq!(shown, [("e/d.txt", 2.0), ("d/b.txt", 0.5)]);
    assert_eq!(eval[0].sha256.as_deref(), Some(crate::artifact::sha256_hex(b"d/in/c.json").as_str()));
}
