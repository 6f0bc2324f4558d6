use std::collections::BTreeSet;

use super::*;
use crate::parity;
use crate::weights::ModelFiles;
use crate::weights::gguf::TensorInfo;
use medtrain_crds::contract::ExitCode;

fn fixture(name: &str) -> PathBuf {
    parity::path("gguf").join(name)
}

fn json(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn import(dir: &Path, dtype: Dtype) -> Result<Imported> {
    import_gguf(&fixture("llama.gguf"), dir, dtype)
}

fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

#[test]
fn every_tensor_has_the_bits_that_the_reference_gives_under_its_hugging_face_name() {
    for name in ["llama", "spm", "kquant"] {
        let dir = tempfile::tempdir().unwrap();
        import_gguf(&fixture(&format!("{name}.gguf")), dir.path(), Dtype::Float32).unwrap();
        let expected = json(&fixture(&format!("{name}.json")))["tensors"].clone();
        let files = ModelFiles::open(dir.path()).unwrap();
        let names: BTreeSet<&str> = files.names().collect();
        assert_eq!(names, expected.as_object().unwrap().keys().map(String::as_str).collect());
        for name in names {
            let bytes: Vec<u8> = files.read_f32(name).unwrap().1.iter().flat_map(|v| v.to_le_bytes()).collect();
            let ours = json!(hex::encode(Sha256::digest(bytes)));
            parity::hold_same("GGUF: imported tensors", name, &ours, &expected[name]);
        }
    }
}

#[test]
fn the_configuration_says_what_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let Imported::New(report) = import(dir.path(), Dtype::BFloat16).unwrap() else { panic!("nothing was imported") };
    assert_eq!((report.architecture, report.layers, report.tied_embeddings), ("LlamaForCausalLM", 1, true));
    let config = json(&dir.path().join("config.json"));
    for (key, value) in [
        ("architectures", json!(["LlamaForCausalLM"])),
        ("model_type", json!("llama")),
        ("hidden_size", json!(32)),
        ("intermediate_size", json!(64)),
        ("num_attention_heads", json!(4)),
        ("num_key_value_heads", json!(2)),
        ("head_dim", json!(8)),
        ("rms_norm_eps", json!(1e-5)),
        ("rope_theta", json!(100000.0)),
        ("tie_word_embeddings", json!(true)),
        ("bos_token_id", json!(1)),
        ("eos_token_id", json!(2)),
        ("pad_token_id", json!(0)),
        ("torch_dtype", json!("bfloat16")),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
    let files = ModelFiles::open(dir.path()).unwrap();
    assert_eq!(files.dtype("model.norm.weight").unwrap(), Dtype::BFloat16);
}

#[test]
fn two_imports_give_the_same_bytes_and_leave_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let (a, b) = (parent.path().join("a"), parent.path().join("b"));
    import(&a, Dtype::Float32).unwrap();
    import(&b, Dtype::Float32).unwrap();
    assert_eq!(tree(&a), tree(&b));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
}

#[test]
fn a_second_import_into_the_same_directory_does_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    import(&dir, Dtype::Float32).unwrap();
    assert_eq!(import(&dir, Dtype::Float32).unwrap(), Imported::Already);
}

#[test]
fn another_directory_content_is_never_overwritten() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    import(&dir, Dtype::Float32).unwrap();
    let other = import(&dir, Dtype::Float16).unwrap_err();
    assert_eq!(other.exit, ExitCode::Config);
    assert_eq!(
        other.message,
        format!(
            "{}: the directory is not empty and holds no import of this file as float16; name another one or remove it",
            dir.display()
        )
    );
    fs::write(dir.join("config.json"), "{}").unwrap();
    let changed = import(&dir, Dtype::Float32).unwrap_err();
    assert!(
        changed.message.ends_with("files of the earlier import were changed; remove the directory and import again")
    );
    assert_eq!(fs::read(dir.join("config.json")).unwrap(), b"{}");
}

#[test]
fn the_rest_of_an_interrupted_import_is_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    fs::create_dir(parent.path().join("model.tmp")).unwrap();
    fs::write(parent.path().join("model.tmp/model.safetensors"), "half").unwrap();
    import(&dir, Dtype::Float32).unwrap();
    assert!(ModelFiles::open(&dir).is_ok());
    assert!(!parent.path().join("model.tmp").exists());
}

#[test]
fn a_damaged_file_is_named_and_leaves_no_directory() {
    let parent = tempfile::tempdir().unwrap();
    let (source, dir) = (parent.path().join("m.gguf"), parent.path().join("model"));
    let whole = fs::read(fixture("llama.gguf")).unwrap();
    // Longer steps than one byte: each parses thousands of strings; the parser's own test goes byte by byte.
    for len in (0..whole.len()).step_by(97) {
        fs::write(&source, &whole[..len]).unwrap();
        let error = import_gguf(&source, &dir, Dtype::Float32).unwrap_err();
        assert!(error.message.starts_with(&source.display().to_string()), "{error}");
        assert_eq!(error.exit, ExitCode::Input);
    }
    assert!(!dir.exists() && !parent.path().join("model.tmp").exists());
}

#[test]
fn what_does_not_fit_the_architecture_is_named() {
    let bytes = fs::read(fixture("llama.gguf")).unwrap();
    let problem = |edit: &dyn Fn(&mut Gguf)| {
        let mut gguf = Gguf::parse(&bytes).unwrap();
        edit(&mut gguf);
        ModelPlan::new(&gguf).err().unwrap().message
    };
    let set = |gguf: &mut Gguf, key: &str, value| drop(gguf.metadata.insert(key.into(), value));
    use crate::weights::gguf::Value;
    assert!(
        problem(&|g| set(g, "general.architecture", Value::String("gemma3".into())))
            .starts_with("architecture \"gemma3\"")
    );
    assert!(problem(&|g| set(g, "llama.expert_count", Value::Unsigned(8))).contains("mixture of experts"));
    assert!(
        problem(&|g| set(g, "llama.block_count", Value::Unsigned(2)))
            .starts_with("tensor \"blk.1.attn_norm.weight\" is missing")
    );
    assert!(
        problem(&|g| set(g, "llama.rope.dimension_count", Value::Unsigned(4))).contains("partial rotary embedding")
    );
    assert!(
        problem(&|g| drop(g.metadata.remove("llama.embedding_length")))
            .starts_with("metadata key \"llama.embedding_length\" is missing")
    );
    assert!(
        problem(&|g| drop(g.tensors.remove("blk.0.attn_q.weight")))
            .starts_with("tensor \"blk.0.attn_q.weight\" is missing")
    );
    assert_eq!(
        problem(&|g| set(g, "llama.feed_forward_length", Value::Unsigned(65))),
        "tensor \"blk.0.ffn_gate.weight\" has shape [64, 32]; the metadata of the file implies [65, 32]"
    );
    let extra = problem(&|g| {
        let bias = g.tensors["output_norm.weight"].clone();
        g.tensors.insert("blk.0.attn_sinks.weight".into(), bias);
    });
    assert!(extra.starts_with("tensor \"blk.0.attn_sinks.weight\" has no place in a LlamaForCausalLM"), "{extra}");
}

#[test]
fn only_llama_has_its_attention_rows_put_back_in_order() {
    let llama = Gguf::parse(&fs::read(fixture("llama.gguf")).unwrap()).unwrap();
    let permuted = |gguf: &Gguf| -> Vec<(String, Option<usize>)> {
        let tensors = ModelPlan::new(gguf).map_err(|e| e.message).unwrap().tensors;
        tensors.into_iter().filter(|t| t.permuted_heads.is_some()).map(|t| (t.name, t.permuted_heads)).collect()
    };
    let name = |projection: &str| format!("model.layers.0.self_attn.{projection}_proj.weight");
    assert_eq!(permuted(&llama), [(name("q"), Some(4)), (name("k"), Some(2))]);

    let as_architecture = |name: &str| {
        let mut gguf = Gguf::parse(&fs::read(fixture("llama.gguf")).unwrap()).unwrap();
        let keys: Vec<_> = llama.metadata.iter().filter_map(|(k, v)| Some((k.strip_prefix("llama.")?, v))).collect();
        gguf.metadata.extend(keys.into_iter().map(|(key, value)| (format!("{name}.{key}"), value.clone())));
        gguf.metadata.insert("general.architecture".into(), crate::weights::gguf::Value::String(name.into()));
        gguf
    };
    let add = |gguf: &mut Gguf, tensor: &str, len: usize| {
        let info = TensorInfo { shape: vec![len], ..llama.tensors["output_norm.weight"].clone() };
        gguf.tensors.insert(format!("blk.0.{tensor}"), info);
    };
    let mut qwen2 = as_architecture("qwen2");
    assert!(ModelPlan::new(&qwen2).err().unwrap().message.starts_with("tensor \"blk.0.attn_q.bias\" is missing"));
    for (tensor, len) in [("attn_q.bias", 32), ("attn_k.bias", 16), ("attn_v.bias", 16)] {
        add(&mut qwen2, tensor, len);
    }
    assert_eq!(permuted(&qwen2), []);
    let mut qwen3 = as_architecture("qwen3");
    for tensor in ["attn_q_norm.weight", "attn_k_norm.weight"] {
        add(&mut qwen3, tensor, 8);
    }
    assert_eq!(permuted(&qwen3), []);
}
