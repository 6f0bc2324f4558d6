//! Models and adapters that are damaged or belong to others.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    BOTH, PLAN, RUN,
    support::{Lab, assert_ok},
    table::{Table, without_keys},
    yaml,
};

/// Where the model of a lab is: a directory of its own instead of a random one.
fn use_model(lab: &Lab, source: &Lab, stage: &str) {
    fs::create_dir(lab.path("model")).unwrap();
    for entry in fs::read_dir(source.artifact(stage).join("merged")).unwrap().flatten() {
        fs::copy(entry.path(), lab.path("model").join(entry.file_name())).unwrap();
    }
    let yaml = fs::read_to_string(lab.path("training.yaml")).unwrap();
    let (before, after) = (yaml.find("  model:").unwrap(), yaml.find("  seed:").unwrap());
    let yaml = format!("{}  model: {{uri: model}}\n{}", &yaml[..before], &yaml[after..]);
    fs::write(lab.path("training.yaml"), yaml).unwrap();
}

fn fixture(path: &str) -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/parity/fixtures").join(path)).unwrap()
}

/// An adapter as PEFT would have left it.
fn copy_without_record(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn cut(lab: &Lab, bytes: u64) {
    let weights = fs::OpenOptions::new().write(true).open(lab.path("model/model.safetensors")).unwrap();
    let length = weights.metadata().unwrap().len();
    weights.set_len(length - bytes).unwrap();
}

#[test]
fn models_and_adapters_that_do_not_fit() {
    let source = Lab::new(1);
    for stage in ["pt", "sft", "rm"] {
        assert_ok(&source.run().args(["--only", stage]).output().unwrap());
    }
    // Of the model that a stage was trained over: PT's for SFT, SFT's for RM.
    let base_of = |stage: &str| {
        let record = source.json(source.artifact(stage).join("adapter/base_model.json"));
        record["weights_sha256"].as_str().unwrap()[..12].to_owned()
    };
    let adapter = fs::canonicalize(source.artifact("sft").join("adapter")).unwrap();
    let foreign = fixture("lora/all_linear/adapter");
    let (adapter, foreign) = (adapter.display(), foreign.display());
    let generate = "generate --model model --prompt CANARY";
    let merge = format!("merge --model model --adapter {foreign} --output merged");
    let mut table = Table::default();

    table.accepted("a good model", |lab| use_model(lab, &source, "pt"), PLAN, &[]);
    let length = fs::metadata(source.artifact("pt").join("merged/model.safetensors")).unwrap().len() - 100;
    let damaged = format!(
        "model/model.safetensors: its {length} bytes are not the length that its header states; the file is damaged or \
         incomplete: download it again"
    );
    let truncated = |lab: &Lab| {
        use_model(lab, &source, "pt");
        cut(lab, 100);
    };
    table.row("truncated weights", truncated, &BOTH, 65, &[&format!("model.uri: {damaged}")]);
    table.row("truncated weights", truncated, &[generate, &merge], 65, &[&damaged]);
    table.row(
        "no weights",
        |lab| {
            use_model(lab, &source, "pt");
            fs::remove_file(lab.path("model/model.safetensors")).unwrap();
        },
        &BOTH,
        65,
        &["model.uri: model: no model.safetensors and no model.safetensors.index.json; the download is incomplete, or this is no model"],
    );
    table.row(
        "no model",
        |lab| {
            use_model(lab, &source, "pt");
            fs::remove_dir_all(lab.path("model")).unwrap();
        },
        &BOTH,
        65,
        &["model.uri: model: no such directory; a model of the hub is written hf://org/name"],
    );

    let misfit = "the tokenizer has 301 tokens, the model only 128 embeddings; they belong to different models: put the \
                  model's own tokenizer files beside its weights";
    let of_another = |lab: &Lab| {
        use_model(lab, &source, "pt");
        for name in ["config.json", "model.safetensors"] {
            fs::copy(fixture("models/llama").join(name), lab.path("model").join(name)).unwrap();
        }
    };
    table.row("another tokenizer", of_another, &BOTH, 65, &[&format!("model.uri: {misfit}")]);
    table.row("another tokenizer", of_another, &[generate, &merge], 65, &[&format!("model: {misfit}")]);
    table.row(
        "a random model that is too small for its tokenizer",
        yaml("vocab_size: 304", "vocab_size: 128"),
        &BOTH,
        64,
        &["model.random: vocab_size is 128, but the tokenizer has 301 tokens; set it to that"],
    );

    let shape = r#"tensor "model.layers.0.mlp.down_proj.lora_A.weight" has shape [4, 48]"#;
    let go_on_from = |lab: &Lab, adapter: &str| {
        lab.edit(
            "training.yaml",
            "      train: {maxSteps: 3, blockSize",
            &format!("      inputs: {{adapter: {{uri: \"{adapter}\"}}}}\n      train: {{maxSteps: 3, blockSize"),
        );
    };
    table.row(
        "an adapter of other shapes",
        |lab| {
            use_model(lab, &source, "pt");
            go_on_from(lab, &foreign.to_string());
        },
        &BOTH,
        65,
        &[&format!(
            "stages[0].inputs.adapter: {foreign}: was trained over another model: {shape}, over this model it would be \
             [4, 64]; name that model as the policy, or drop the adapter"
        )],
    );
    table.row(
        "an adapter of other shapes",
        |lab| use_model(lab, &source, "pt"),
        &[&merge, &format!("{generate} --adapter {foreign}")],
        65,
        &[&format!(
            "{foreign}: an adapter for another base than model: {shape}, the base calls for [4, 64]; it was trained on \
             \"../../../models/llama\""
        )],
    );
    table.row(
        "an adapter whose base is another model of the same shapes",
        |lab| {
            use_model(lab, &source, "sft");
            go_on_from(lab, &adapter.to_string());
        },
        &BOTH,
        65,
        &[&without_keys(&format!(
            "stages[0].inputs.adapter: {adapter}: was trained over ../../../pt-0123456789ab/merged, not over model; name \
             that model as the policy, or drop the adapter"
        ))],
    );
    let (own, other) = (base_of("sft"), base_of("rm"));
    let other_base = without_keys(&format!(
        "{adapter}: was trained over \"../../../pt-0123456789ab/merged\" (weights {own}), not over model (weights {other})"
    ));
    let merge = format!("merge --model model --adapter {adapter} --output merged");
    table.row(
        "an adapter on another model of the same shapes",
        |lab| use_model(lab, &source, "sft"),
        &[&merge, &format!("{generate} --adapter {adapter}")],
        65,
        &[&format!("{other_base}; give the model that it was trained over, or --force-base if this one is meant")],
    );
    table.accepted(
        "an adapter on another model of the same shapes, by force",
        |lab| use_model(lab, &source, "sft"),
        &format!("{merge} --force-base"),
        &[&format!("{other_base}; its answers may make no sense")],
    );
    // It records nothing of its base, and the shapes fit: its name alone, which is relative to it, raises a doubt.
    let unrecorded = source.artifact("sft").join("unrecorded");
    copy_without_record(&source.artifact("sft").join("adapter"), &unrecorded);
    let unrecorded = fs::canonicalize(unrecorded).unwrap();
    let unrecorded = unrecorded.display();
    table.accepted(
        "another program's adapter on another model",
        |lab| use_model(lab, &source, "sft"),
        &format!("merge --model model --adapter {unrecorded} --output merged"),
        &[&without_keys(&format!(
            "{unrecorded} was trained on \"../../../pt-0123456789ab/merged\", not on model; its answers may make no sense"
        ))],
    );
    table.holds();
}

#[test]
fn weights_that_are_no_numbers_stop_the_stage_before_its_first_step() {
    let source = Lab::new(1);
    assert_ok(&source.run().args(["--only", "pt"]).output().unwrap());
    let mut table = Table::default();
    table.row(
        "weights of ones only",
        |lab| {
            use_model(lab, &source, "pt");
            let path = lab.path("model/model.safetensors");
            let mut bytes = fs::read(&path).unwrap();
            let length = bytes.len();
            bytes[length - 64..].fill(0xFF);
            fs::write(&path, bytes).unwrap();
        },
        &[RUN],
        70,
        &["step 0: eval_loss on the held-out rows is not a number; lower train.learningRate, or check that the model itself gives finite logits"],
    );
    table.holds();
}
