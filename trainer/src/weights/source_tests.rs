use super::*;
use crate::weights::hub_stub::{COMMIT, Stub};
use crate::weights::{ModelFiles, save_model};

const GGUF: &[u8] = include_bytes!("../../../tests/parity/gguf/llama.gguf");

fn no_fetch(uri: &str, _: &Path) -> Result<()> {
    Err(Failure::internal(format!("{uri} was fetched")))
}

struct Place {
    dir: tempfile::TempDir,
    stub: Stub,
}

impl Place {
    fn new() -> Self {
        let config = ("config.json", b"{}".as_slice());
        let stub = Stub::new(&[
            (
                "org/model",
                &[config, ("model.safetensors", b"w"), ("pytorch_model.bin", b"p"), ("onnx/model.onnx", b"o")],
            ),
            ("org/gguf", &[("q4/model.gguf", GGUF), ("q8/model.gguf", b"other")]),
            ("org/empty", &[config]),
            ("org/adapter", &[(peft::CONFIG, b"{}"), (peft::WEIGHTS, b"w"), (peft::BASE_RECORD, b"{}")]),
            (
                "datasets/org/data",
                &[("a/1.jsonl", b"{}"), ("a/2.jsonl", b"{}"), ("a/b/3.jsonl", b"{}"), ("a/4.txt", b"t")],
            ),
        ]);
        Self { dir: tempfile::tempdir().unwrap(), stub }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn with<R>(&self, fetch: &dyn Fn(&str, &Path) -> Result<()>, test: impl FnOnce(&Sources) -> R) -> R {
        let workdir = self.path("work");
        test(&Sources { hub: self.stub.hub(&self.path("cache")), workdir: &workdir, base: self.dir.path(), fetch })
    }

    fn model(&self, uri: &str) -> Result<ResolvedModel> {
        self.with(&no_fetch, |sources| sources.model(uri, None))
    }

    fn write_model(&self, name: &str) -> PathBuf {
        let dir = self.path(name);
        write_model(&dir);
        dir
    }
}

fn write_model(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("config.json"), "{}").unwrap();
    save_model(dir, &[("w".into(), vec![1])], Dtype::Float32, u64::MAX, |_| Ok([1.0])).unwrap();
}

#[test]
fn a_hub_model_has_its_commit_as_digest_and_only_the_needed_files() {
    let place = Place::new();
    let model = place.model("hf://org/model").unwrap();
    assert_eq!((model.digest.as_str(), model.commit.as_deref()), (COMMIT, Some(COMMIT)));
    let mut names: Vec<_> = fs::read_dir(&model.dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors"]);
    assert!(place.model("hf://org/empty").unwrap_err().message.starts_with("hf://org/empty: "));
}

#[test]
fn the_record_of_an_adapters_base_comes_with_it_and_is_no_part_of_its_digest() {
    let place = Place::new();
    let adapter = place.model("hf://org/adapter").unwrap();
    assert!(adapter.dir.join(peft::BASE_RECORD).is_file());
    let copy = place.path("copy");
    fs::create_dir(&copy).unwrap();
    for name in [peft::CONFIG, peft::WEIGHTS] {
        fs::copy(adapter.dir.join(name), copy.join(name)).unwrap();
    }
    let without = place.model("copy").unwrap().digest;
    fs::write(copy.join(peft::BASE_RECORD), "{}").unwrap();
    assert_eq!(place.model("copy").unwrap().digest, without);
}

#[test]
fn a_local_directory_is_found_by_path_and_by_uri_and_its_digest_is_of_its_content() {
    let place = Place::new();
    let dir = place.write_model("my model");
    let relative = place.model("my model").unwrap();
    assert_eq!((relative.dir.as_path(), &relative.commit), (dir.as_path(), &None));
    assert_eq!(place.model(&dir.display().to_string()).unwrap(), relative);
    let uri = format!("file://{}", dir.display().to_string().replace(' ', "%20"));
    assert_eq!(place.model(&uri).unwrap(), relative);

    let copy = place.write_model("copy");
    fs::write(copy.join("README.md"), "of no weight").unwrap();
    assert_eq!(place.model("copy").unwrap().digest, relative.digest);
    fs::write(copy.join("chat_template.jinja"), "{{ messages }}").unwrap();
    assert_ne!(place.model("copy").unwrap().digest, relative.digest);
}

#[test]
fn a_gguf_file_is_imported_once() {
    let place = Place::new();
    fs::write(place.path("m.gguf"), GGUF).unwrap();
    let model = place.model("m.gguf").unwrap();
    assert!(model.dir.starts_with(place.path("work/imports")));
    assert!(ModelFiles::open(&model.dir).unwrap().contains("model.norm.weight"));
    let written = model.dir.join("model.safetensors").metadata().unwrap().modified().unwrap();
    assert_eq!(place.model("m.gguf").unwrap(), model);
    assert_eq!(model.dir.join("model.safetensors").metadata().unwrap().modified().unwrap(), written);
    let hub = place.model("hf://org/gguf/q4/model.gguf").unwrap();
    assert_eq!((hub.dir, hub.digest, hub.commit.as_deref()), (model.dir, model.digest, Some(COMMIT)));
}

#[test]
fn other_schemes_go_through_fetch() {
    let place = Place::new();
    let fetched = |uri: &str, target: &Path| {
        assert_eq!(uri, "s3://bucket/model");
        write_model(target);
        Ok(())
    };
    let model = place.with(&fetched, |sources| sources.model("s3://bucket/model", None)).unwrap();
    assert_eq!(model.digest, {
        place.write_model("local");
        place.model("local").unwrap().digest
    });
    let gguf = |_: &str, target: &Path| fs::write(target, GGUF).map_err(|e| Failure::io(target, &e));
    let model = place.with(&gguf, |sources| sources.model("s3://bucket/m.gguf", None)).unwrap();
    assert!(model.dir.starts_with(place.path("work/imports")));
}

#[test]
fn files_of_a_data_set_follow_the_glob_in_order() {
    let place = Place::new();
    let names = |uri: &str| {
        let (commit, files) = place.with(&no_fetch, |sources| sources.hub_dataset(uri, None)).unwrap();
        assert_eq!(commit, COMMIT);
        assert!(files.iter().all(|file| file.path.is_file()));
        files.into_iter().map(|file| file.name).collect::<Vec<_>>()
    };
    assert_eq!(names("hf://datasets/org/data/a/*.jsonl"), ["a/1.jsonl", "a/2.jsonl"]);
    assert_eq!(names("hf://datasets/org/data@v1/**/*.jsonl"), ["a/1.jsonl", "a/2.jsonl", "a/b/3.jsonl"]);
    let none = place.with(&no_fetch, |sources| sources.hub_dataset("hf://datasets/org/data/x/*.jsonl", None));
    assert!(none.unwrap_err().message.contains("no file of commit"));
}

#[test]
fn wrong_sources_say_what_they_are() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    fs::create_dir(place.path("dir")).unwrap();
    let error =
        |uri: &str| place.model(uri).unwrap_err().message.replace(&place.dir.path().display().to_string(), "BASE");
    assert_eq!(error("none"), "BASE/none: no such directory; a model of the hub is written hf://org/name");
    assert_eq!(error("file"), "BASE/file: is a file; name a model directory or a .gguf file");
    let neither = "neither config.json nor adapter_config.json, so this is no model and no adapter";
    assert_eq!(error("dir"), format!("BASE/dir: {neither}"));
    for (folder, file) in [("merged", "config.json"), ("adapter", peft::CONFIG)] {
        fs::create_dir(place.path("dir").join(folder)).unwrap();
        fs::write(place.path("dir").join(folder).join(file), "").unwrap();
    }
    assert_eq!(error("dir"), format!("BASE/dir: {neither}; did you mean BASE/dir/adapter or BASE/dir/merged?"));
    assert_eq!(error("none.gguf"), "BASE/none.gguf: not found");
    assert_eq!(error("hf://datasets/org/data/x"), "hf://datasets/org/data/x: is a data set; a model is hf://org/name");
    assert_eq!(
        error("hf://org/model/config.json"),
        "hf://org/model/config.json: only a .gguf file can be named inside a repository"
    );
    let revision = place.with(&no_fetch, |sources| sources.model("dir", Some("v1"))).unwrap_err().message;
    assert_eq!(revision, "dir: revision \"v1\" is for models of the hub (hf://); drop it");
}
