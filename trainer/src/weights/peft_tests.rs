use super::*;
use crate::parity;

fn config() -> AdapterConfig {
    AdapterConfig {
        task_type: TaskType::CausalLm,
        r: 2,
        lora_alpha: 16.0,
        lora_dropout: 0.05,
        target_modules: vec!["v_proj".into(), "q_proj".into()],
        use_rslora: false,
        modules_to_save: vec!["lm_head".into()],
        ensure_weight_tying: false,
        base_model_name_or_path: Some("../merged".into()),
    }
}

fn tensor(shape: &[usize]) -> TensorData {
    let len = shape.iter().product();
    TensorData { shape: shape.to_vec(), data: (0..len).map(|i: usize| i as f32 / 7.0).collect() }
}

const Q: &str = "model.layers.0.self_attn.q_proj";

fn tensors() -> AdapterTensors {
    AdapterTensors::from([
        (format!("{Q}.lora_A.weight"), tensor(&[2, 3])),
        (format!("{Q}.lora_B.weight"), tensor(&[4, 2])),
        ("lm_head.weight".to_owned(), tensor(&[5, 3])),
    ])
}

fn saved() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    save_adapter(dir.path(), &config(), &tensors()).unwrap();
    dir
}

fn edited(edit: impl FnOnce(&mut Json)) -> String {
    let dir = saved();
    let path = dir.path().join(CONFIG);
    let mut json: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut json);
    std::fs::write(&path, json.to_string()).unwrap();
    load_adapter(dir.path()).unwrap_err().message.replace(&dir.path().display().to_string(), "DIR")
}

/// Replaces the weights by tensors of one value per name, each of shape `[2, 2]`.
fn load_with_names(names: &[&str]) -> Result<(AdapterConfig, AdapterTensors)> {
    let dir = saved();
    let list: Vec<_> = names.iter().map(|name| ((*name).to_owned(), vec![2, 2])).collect();
    save_file(&dir.path().join(WEIGHTS), &list, Dtype::Float32, |_| Ok([0.5; 4])).unwrap();
    load_adapter(dir.path())
}

#[test]
fn an_adapter_reads_back_as_it_was_saved_with_sorted_modules() {
    let (read, values) = load_adapter(saved().path()).unwrap();
    assert_eq!(read.target_modules, ["q_proj", "v_proj"]);
    assert_eq!(AdapterConfig { target_modules: config().target_modules, ..read }, config());
    assert_eq!(values, tensors());
}

#[test]
fn equal_adapters_give_equal_bytes_whatever_the_order_of_modules() {
    let (a, b) = (saved(), tempfile::tempdir().unwrap());
    let mut reversed = config();
    reversed.target_modules.reverse();
    save_adapter(b.path(), &reversed, &tensors()).unwrap();
    for file in [CONFIG, WEIGHTS] {
        assert_eq!(std::fs::read(a.path().join(file)).unwrap(), std::fs::read(b.path().join(file)).unwrap(), "{file}");
    }
}

#[test]
fn stored_names_and_types_are_those_of_peft() {
    let dir = saved();
    let files = ModelFiles::open_file(&dir.path().join(WEIGHTS)).unwrap();
    assert_eq!(
        files.names().collect::<Vec<_>>(),
        [
            "base_model.model.lm_head.weight",
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
            "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
        ]
    );
    let json: Json = serde_json::from_slice(&std::fs::read(dir.path().join(CONFIG)).unwrap()).unwrap();
    assert_eq!(json["lora_alpha"].to_string(), "16");
    assert_eq!(json["inference_mode"], true);
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert!(keys.is_sorted());
}

#[test]
fn adapters_of_peft_load_and_save_back_to_the_same_bytes() {
    let fixtures = parity::path("peft");
    for (name, task_type, tensors) in [("causal", TaskType::CausalLm, 9), ("reward", TaskType::SeqCls, 9)] {
        let theirs = fixtures.join(name);
        let (config, values) = load_adapter(&theirs).unwrap();
        assert_eq!((config.task_type, config.r, values.len()), (task_type, 4, tensors));
        let ours = tempfile::tempdir().unwrap();
        save_adapter(ours.path(), &config, &values).unwrap();
        let bytes = |dir: &Path| std::fs::read(dir.join(WEIGHTS)).unwrap();
        parity::hold_same("adapter of peft: bytes saved again", name, &bytes(ours.path()), &bytes(&theirs));
        let json = |dir: &Path| -> Json { serde_json::from_slice(&std::fs::read(dir.join(CONFIG)).unwrap()).unwrap() };
        for (key, value) in json(ours.path()).as_object().unwrap() {
            assert_eq!(json(&theirs).get(key), Some(value), "{name}: {key}");
        }
    }
}

#[test]
fn older_spellings_of_names_load() {
    let (_, tensors) = load_with_names(&[
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight",
        "base_model.model.lm_head.modules_to_save.default.weight",
    ])
    .unwrap();
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "lm_head.weight",
            "model.layers.0.self_attn.q_proj.lora_A.weight",
            "model.layers.0.self_attn.q_proj.lora_B.weight"
        ]
    );
}

#[test]
fn a_reward_adapter_keeps_its_score_head() {
    let dir = tempfile::tempdir().unwrap();
    let config = AdapterConfig { task_type: TaskType::SeqCls, modules_to_save: vec!["score".into()], ..config() };
    let mut tensors = tensors();
    tensors.remove("lm_head.weight");
    tensors.insert("score.weight".to_owned(), tensor(&[1, 3]));
    save_adapter(dir.path(), &config, &tensors).unwrap();
    let (read, values) = load_adapter(dir.path()).unwrap();
    assert_eq!((read.task_type, values), (TaskType::SeqCls, tensors));
}

#[test]
fn a_pattern_of_target_modules_becomes_the_modules_that_are_there() {
    let dir = saved();
    let path = dir.path().join(CONFIG);
    let mut json: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["target_modules"] = json!(".*_proj");
    std::fs::write(&path, json.to_string()).unwrap();
    assert_eq!(load_adapter(dir.path()).unwrap().0.target_modules, ["q_proj"]);
}

#[test]
fn unsupported_features_are_refused_by_name() {
    const WAY_OUT: &str = "; merge the adapter with PEFT first (merge_and_unload) and use the merged model";
    for (key, value, problem) in [
        ("use_dora", json!(true), "use_dora can't be used"),
        ("bias", json!("all"), "bias \"all\" can't be used (\"none\" can)"),
        ("peft_type", json!("IA3"), "peft_type IA3 can't be used (LORA can)"),
        ("velora_config", json!({"scale": 1}), "velora_config can't be used"),
        ("rank_pattern", json!({"q_proj": 4}), "rank_pattern can't be used"),
        ("layers_to_transform", json!([0]), "layers_to_transform can't be used"),
        (
            "init_lora_weights",
            json!("pissa_niter_4"),
            "init_lora_weights \"pissa_niter_4\" needs base weights that PEFT changed",
        ),
    ] {
        let error = edited(|json| json[key] = value);
        assert_eq!(error, format!("DIR/adapter_config.json: {problem}{WAY_OUT}"));
    }
    assert_eq!(
        edited(|json| json["task_type"] = json!("SEQ_2_SEQ_LM")),
        "DIR/adapter_config.json: task_type SEQ_2_SEQ_LM can't be used (CAUSAL_LM and SEQ_CLS can)"
    );
}

#[test]
fn tensors_that_do_not_fit_the_configuration_are_refused() {
    assert!(edited(|json| json["r"] = json!(4)).ends_with("has shape [2, 3]; the configured rank is 4"));
    assert!(
        edited(|json| json["target_modules"] = json!(["k_proj"]))
            .ends_with("a module that target_modules doesn't name")
    );
    assert!(
        edited(|json| json["modules_to_save"] = Json::Null)
            .ends_with("is neither a LoRA matrix nor in modules_to_save")
    );
    let half = load_with_names(&["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"]).unwrap_err();
    assert!(half.message.ends_with("has no lora_B beside it"), "{half}");
    let dora = load_with_names(&["base_model.model.q_proj.lora_magnitude_vector.weight"]).unwrap_err();
    assert!(dora.message.ends_with("belongs to DoRA, which can't be used"), "{dora}");
    let foreign = load_with_names(&["lora_unet_down"]).unwrap_err();
    assert!(foreign.message.ends_with("is not named as PEFT does (base_model.model.…)"), "{foreign}");
}

#[test]
fn a_pickled_adapter_says_how_to_convert_it() {
    let dir = saved();
    std::fs::rename(dir.path().join(WEIGHTS), dir.path().join("adapter_model.bin")).unwrap();
    let error = load_adapter(dir.path()).unwrap_err().message;
    assert!(error.contains("adapter_model.bin, a pickle; convert them to safetensors"), "{error}");
}

#[test]
fn rank_stabilised_scaling_divides_by_the_root_of_the_rank() {
    assert_eq!(config().scaling(), 8.0);
    assert_eq!(AdapterConfig { r: 4, use_rslora: true, ..config() }.scaling(), 8.0);
}
