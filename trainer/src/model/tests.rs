//! Logits, loss and every gradient of tiny models against transformers and PEFT (tests/parity/model_fixtures.py,
//! lora_fixtures.py), and what must not change a result: packing, gradient checkpointing, the cache.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use medtrain_crds::stage::LoraArgs;
use serde_json::Value;

use super::{decoder::Pass, load, *};
use crate::{
    adapter::{self, Adapter},
    data::prepare::tests::train_args,
    ops::{LmBackend, Segments, to_host},
    optim::AdamW,
    parity,
    weights::{ModelFiles, peft},
};

/// Two right f32 implementations differ by up to 6e-6 on these models (tests/parity/README.md).
const TOLERANCE: f64 = 2e-5;

struct Case {
    rows: Vec<Vec<u32>>,
    labels: Vec<Vec<i64>>,
    json: Value,
    expect: ModelFiles,
}

impl Case {
    fn open(dir: &Path, rows_from: &Path) -> Self {
        let read = |path: PathBuf| -> Value { serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap() };
        let json = read(dir.join("expect.json"));
        let rows = read(rows_from.join("expect.json"));
        Self {
            rows: serde_json::from_value(rows["input_ids"].clone()).unwrap(),
            labels: serde_json::from_value(rows["labels"].clone()).unwrap(),
            json,
            expect: ModelFiles::open_file(&dir.join("expect.safetensors")).unwrap(),
        }
    }

    fn packed(&self) -> (Vec<u32>, Segments) {
        (self.rows.concat(), Segments::from_lengths(self.rows.iter().map(Vec::len)))
    }

    /// Rows of the packed batch that predict a trained token, and that token.
    fn targets(&self) -> (Vec<usize>, Vec<u32>) {
        let mut start = 0;
        let mut found = (Vec::new(), Vec::new());
        for (row, labels) in self.rows.iter().zip(&self.labels) {
            for (position, &label) in labels.iter().enumerate().skip(1).filter(|(_, label)| **label >= 0) {
                found.0.push(start + position - 1);
                found.1.push(label as u32);
            }
            start += row.len();
        }
        found
    }
}

/// The mean cross-entropy over the case's targets and all gradients.
fn train(model: &Decoder<Flex>, adapter: Option<&Adapter<Flex>>, case: &Case, pass: &Pass) -> (f64, Gradients<Flex>) {
    let (ids, segments) = case.packed();
    let (rows, targets) = case.targets();
    let mut gradients = Gradients::default();
    let n = ids.len();
    let loss = model
        .loss_and_grads(&ids, &segments, adapter, pass, &mut gradients, |hidden, gradients| {
            let index: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
            let index = Tensor::<Flex, 1, burn::tensor::Int>::from_data(
                TensorData::new(index, [rows.len()]),
                &Default::default(),
            );
            let weight = 1.0 / rows.len() as f32;
            let picked = hidden.clone().select(0, index.clone());
            let trained = model.head_is_trained(adapter, pass);
            let d_logprobs = vec![-weight; rows.len()];
            let head = model.head(adapter);
            let (scores, dh, dw) = Flex::token_scores_backward(&picked, head, &targets, 1.0, &d_logprobs, trained);
            if let Some(dw) = dw {
                gradients.add(model.head_name(adapter).into(), dw);
            }
            let zeros = Tensor::zeros([n, hidden.dims()[1]], &Default::default());
            let d_hidden = zeros.select_assign(0, index, dh, burn::tensor::IndexingUpdateOp::Add);
            let loss = scores.logprobs.iter().map(|&l| -f64::from(l)).sum::<f64>() / rows.len() as f64;
            Ok((loss, d_hidden))
        })
        .unwrap();
    (loss, gradients)
}

const FAMILIES: [&str; 7] = ["llama", "llama3_rope", "llama_linear_rope", "mistral", "qwen2", "qwen3", "smollm2"];

#[test]
fn logits_loss_and_every_gradient_of_each_family_equal_transformers() {
    for family in FAMILIES {
        let dir = parity::fixture_path("models").join(family);
        let case = Case::open(&dir, &dir);
        let model = load::load::<Flex>(&dir, 32, &Default::default()).unwrap();
        let (ids, segments) = case.packed();
        let logits = model.logits(&model.hidden(&ids, &segments, None), None);
        for (row, range) in segments.ranges().enumerate() {
            let ours = to_host(&logits.clone().narrow(0, range.start, range.len()));
            let theirs = case.expect.read_f32(&format!("logits.{row}")).unwrap().1;
            parity::hold_all("model: logits", family, &ours, &theirs, TOLERANCE);
        }
        for gradient_checkpointing in [false, true] {
            let pass = Pass { train_base: true, gradient_checkpointing, ..Pass::default() };
            let (loss, gradients) = train(&model, None, &case, &pass);
            let expected = case.json["loss"].as_f64().unwrap();
            parity::hold_relative("model: loss", family, loss, expected, 2e-6);
            let expected: Vec<&str> = case.expect.names().filter_map(|name| name.strip_prefix("grad.")).collect();
            assert_eq!(gradients.names().collect::<Vec<_>>(), expected, "{family}");
            for name in expected {
                let theirs = case.expect.read_f32(&format!("grad.{name}")).unwrap().1;
                let ours = to_host(gradients.get(name).unwrap());
                parity::hold_all("model: gradients", &format!("{family} {name}"), &ours, &theirs, TOLERANCE);
            }
        }
    }
}

fn lora_args(config: &peft::AdapterConfig) -> LoraArgs {
    LoraArgs {
        rank: config.r as u32,
        alpha: config.lora_alpha,
        dropout: 0.0,
        target_modules: config.target_modules.clone(),
        use_rslora: config.use_rslora,
        modules_to_save: config.modules_to_save.clone(),
    }
}

fn parameters_of(tensors: peft::AdapterTensors) -> Parameters<Flex> {
    let parameter = |tensor: peft::TensorData| Parameter::new(tensor.shape, tensor.data, &Default::default());
    tensors.into_iter().map(|(name, tensor)| (name, parameter(tensor))).collect()
}

#[test]
fn adapters_written_by_peft_give_its_logits_gradients_and_merged_weights() {
    let base = parity::fixture_path("models/llama");
    let model = load::load::<Flex>(&base, 32, &Default::default()).unwrap();
    for name in ["all_linear", "rslora", "lm_head_saved", "embed_saved", "attention_only"] {
        let dir = parity::fixture_path("lora").join(name);
        let case = Case::open(&dir, &base);
        let (config, tensors) = peft::load_adapter(&dir.join("adapter")).unwrap();
        let lora = lora_args(&config);
        let parameters = parameters_of(tensors);
        let adapter = Adapter::view(model.config(), &lora, &parameters);
        let (ids, segments) = case.packed();
        let logits = model.logits(&model.hidden(&ids, &segments, Some(&adapter)), Some(&adapter));

        let mut merged = model.clone();
        let mut merged_weights = BTreeMap::new();
        adapter::merge(&model, &lora, &parameters, |name, weight| {
            merged_weights.insert(name.to_owned(), to_host(&weight));
            merged.set_weight(name, weight);
        });
        let merged_logits = merged.logits(&merged.hidden(&ids, &segments, None), None);
        for (row, range) in segments.ranges().enumerate() {
            for (what, ours) in [("logits", &logits), ("merged_logits", &merged_logits)] {
                let ours = to_host(&ours.clone().narrow(0, range.start, range.len()));
                let theirs = case.expect.read_f32(&format!("{what}.{row}")).unwrap().1;
                parity::hold_all(&format!("adapter of peft: {what}"), name, &ours, &theirs, TOLERANCE);
            }
        }
        let checked = case.json["merged_weight"].as_str().unwrap();
        let theirs = case.expect.read_f32(&format!("merged.{checked}")).unwrap().1;
        let ours = &merged_weights[checked];
        parity::hold_all("adapter of peft: merged weights", &format!("{name} {checked}"), ours, &theirs, TOLERANCE);

        let (loss, gradients) = train(&model, Some(&adapter), &case, &Pass::default());
        let expected = case.json["loss"].as_f64().unwrap();
        parity::hold_relative("adapter of peft: loss", name, loss, expected, 2e-6);
        let ours: Vec<&str> = gradients.names().collect();
        let mut checked = 0;
        for full in case.expect.names().filter(|name| name.starts_with("grad.")) {
            let short = full.trim_start_matches("grad.").trim_start_matches("base_model.model.");
            assert!(ours.contains(&short), "{name}: no gradient for {short}");
            let theirs = case.expect.read_f32(full).unwrap().1;
            let ours = to_host(gradients.get(short).unwrap());
            parity::hold_all("adapter of peft: gradients", &format!("{name} {short}"), &ours, &theirs, TOLERANCE);
            checked += 1;
        }
        assert_eq!(checked, ours.len(), "{name}");
    }
}

/// A step of a saved head beside an adapter that stays as it is: the merge may come before it or after it.
#[test]
fn merging_then_training_is_training_then_merging() {
    let base = parity::fixture_path("models/llama");
    let case = Case::open(&base, &base);
    let model = load::load::<Flex>(&base, 32, &Default::default()).unwrap();
    let (config, tensors) = peft::load_adapter(&parity::fixture_path("lora/lm_head_saved/adapter")).unwrap();
    let lora = lora_args(&config);
    let parameters = parameters_of(tensors);
    let merged = |parameters: &Parameters<Flex>| {
        let mut merged = model.clone();
        adapter::merge(&model, &lora, parameters, |name, weight| merged.set_weight(name, weight));
        merged
    };
    let step = |model: &Decoder<Flex>, parameters: &Parameters<Flex>| {
        let adapter = Adapter::view(model.config(), &lora, parameters);
        let head = train(model, Some(&adapter), &case, &Pass::default()).1.get("lm_head.weight").unwrap().clone();
        let mut stepped = parameters.clone();
        let mut trained = Parameters::from([("lm_head.weight".to_owned(), stepped["lm_head.weight"].clone())]);
        let mut gradients = Gradients::default();
        gradients.add("lm_head.weight".to_owned(), head);
        AdamW::default().step(&mut trained, &gradients, 1e-2, 1.0, &train_args());
        stepped.append(&mut trained);
        stepped
    };

    let first_merged = merged(&parameters);
    // Over the merged weights an adapter that does nothing yet, whose head goes on from the merged one.
    let mut fresh = adapter::init(&first_merged, &lora, 3).unwrap();
    fresh.insert("lm_head.weight".to_owned(), parameters["lm_head.weight"].clone());
    let trained_later = step(&first_merged, &fresh);
    let trained_first = step(&model, &parameters);

    let head = |parameters: &Parameters<Flex>| parameters["lm_head.weight"].to_host();
    assert!(parity::l2(&head(&trained_first), &head(&parameters)) > 1e-3, "the step moves nothing");
    assert!(parity::l2(&head(&trained_first), &head(&trained_later)) < 1e-5);
    let (ids, segments) = case.packed();
    let logits = |model: &Decoder<Flex>| to_host(&model.logits(&model.hidden(&ids, &segments, None), None));
    let mut later = first_merged.clone();
    adapter::merge(&first_merged, &lora, &trained_later, |name, weight| later.set_weight(name, weight));
    assert!(parity::l2(&logits(&merged(&trained_first)), &logits(&later)) < 1e-5);
}

/// tests/parity/vocabulary_fixtures.py.
#[test]
fn grown_models_and_the_adapters_that_peft_saved_over_them_give_its_logits_gradients_and_merged_logits() {
    for (name, trained_matrices) in [("tied", 1), ("untied", 2)] {
        let dir = parity::fixture_path("vocabulary").join(name);
        let case = Case::open(&dir, &dir);
        let base = parity::fixture_path(case.json["base"].as_str().unwrap());
        let model = load::load::<Flex>(&base, 32, &Default::default()).unwrap();
        let pieces: Vec<Vec<u32>> = serde_json::from_value(case.json["pieces"].clone()).unwrap();
        let known = model.config().vocab_size;
        let rows = known + pieces.len();
        let grown = model.grown(rows, &(known as u32..).zip(pieces).collect()).unwrap();
        let loaded = adapter::load::<Flex>(&dir.join("adapter"), &base, model.config(), &Default::default()).unwrap();
        assert_eq!(loaded.vocab_size, rows, "{name}");
        let saved = loaded.parameters.keys().filter(|name| !name.contains("lora_")).count();
        assert_eq!(saved, trained_matrices, "{name}");
        // Its new rows are the adapter's, whatever the base's are.
        let under = loaded.grow(model.clone()).unwrap();
        let view = loaded.view(under.config());
        let mut merged = under.clone();
        adapter::merge(&under, &loaded.lora, &loaded.parameters, |name, weight| merged.set_weight(name, weight));
        let (ids, segments) = case.packed();
        for (what, model, adapter) in
            [("grown_logits", &grown, None), ("logits", &under, Some(&view)), ("merged_logits", &merged, None)]
        {
            let logits = model.logits(&model.hidden(&ids, &segments, adapter), adapter);
            assert_eq!((logits.dims()[1], &model.config().raw["vocab_size"]), (rows, &rows.into()));
            for (row, range) in segments.ranges().enumerate() {
                let ours = to_host(&logits.clone().narrow(0, range.start, range.len()));
                let theirs = case.expect.read_f32(&format!("{what}.{row}")).unwrap().1;
                parity::hold_all(&format!("grown vocabulary: {what}"), name, &ours, &theirs, TOLERANCE);
            }
        }
        assert_eq!(merged.head_name(None) == "lm_head.weight", name == "untied");
        let (loss, gradients) = train(&grown, Some(&view), &case, &Pass::default());
        let expected = case.json["loss"].as_f64().unwrap();
        parity::hold_relative("grown vocabulary: loss", name, loss, expected, 2e-6);
        let stored: Vec<&str> =
            case.expect.names().filter_map(|name| name.strip_prefix("grad.base_model.model.")).collect();
        assert_eq!(gradients.names().collect::<Vec<_>>(), stored, "{name}");
        for tensor in stored {
            let theirs = case.expect.read_f32(&format!("grad.base_model.model.{tensor}")).unwrap().1;
            let ours = to_host(gradients.get(tensor).unwrap());
            parity::hold_all("grown vocabulary: gradients", &format!("{name} {tensor}"), &ours, &theirs, TOLERANCE);
        }
    }
}

#[test]
fn growing_keeps_every_known_bit_and_never_shrinks() {
    let dir = parity::fixture_path("models/llama3_rope");
    let model = load::load::<Flex>(&dir, 32, &Default::default()).unwrap();
    let (known, width) = (model.config().vocab_size, model.config().hidden_size);
    let embedding = |model: &Decoder<Flex>| to_host(&Flex::thaw(model.embedding()));
    let pieces = BTreeMap::from([(known as u32 + 1, vec![3, 4])]);
    let grown = model.grown(known + 2, &pieces).unwrap();
    let (before, after) = (embedding(&model), embedding(&grown));
    assert_eq!(after[..known * width], before);
    assert_eq!(after[known * width..][..width], vec![0.0; width]);
    let mean: Vec<f32> = (0..width)
        .map(|i| ((f64::from(before[3 * width + i]) + f64::from(before[4 * width + i])) / 2.0) as f32)
        .collect();
    assert_eq!(after[(known + 1) * width..], mean);
    assert_eq!(grown.max_positions(), model.max_positions());
    // Rows that are no tokens yet become some: nothing is cut off, nothing is added.
    let within = model.grown(known - 10, &BTreeMap::from([(known as u32 - 1, vec![3])])).unwrap();
    assert_eq!(within.config().vocab_size, known);
    assert_eq!(embedding(&within)[(known - 1) * width..], before[3 * width..][..width]);
    let failure = model.grown(known, &BTreeMap::from([(known as u32, vec![3])])).unwrap_err();
    assert!(failure.message.contains("has no place"), "{failure}");
}

fn smollm2() -> (Decoder<Flex>, Case) {
    let dir = parity::fixture_path("models/smollm2");
    (load::load::<Flex>(&dir, 32, &Default::default()).unwrap(), Case::open(&dir, &dir))
}

fn fresh_adapter(model: &Decoder<Flex>, dropout: f64) -> (LoraArgs, Parameters<Flex>) {
    let lora = LoraArgs {
        rank: 3,
        alpha: 6.0,
        dropout,
        target_modules: adapter::Projection::ALL.map(|p| p.name().to_owned()).to_vec(),
        use_rslora: false,
        modules_to_save: vec![],
    };
    let mut parameters = adapter::init(model, &lora, 11).unwrap();
    for (index, (name, parameter)) in parameters.iter_mut().enumerate() {
        if name.contains("lora_B") {
            let mut values = parameter.to_host();
            crate::generate::rng::Stream::new(5, crate::generate::rng::Purpose::Init, index as u64).fill_normal(
                &mut values,
                0,
                0.0,
                0.3,
            );
            *parameter = Parameter::new(parameter.shape.clone(), values, &Default::default());
        }
    }
    (lora, parameters)
}

#[test]
fn gradient_checkpointing_changes_no_bit_even_with_dropout() {
    let (model, case) = smollm2();
    let (lora, parameters) = fresh_adapter(&model, 0.2);
    let adapter = Adapter::view(model.config(), &lora, &parameters);
    let keys = Some(Arc::new((0..22).map(|i| i * 2_654_435_761_u32.rotate_left(3)).collect::<Vec<u32>>()));
    let run = |gradient_checkpointing| {
        let pass = Pass { dropout_keys: keys.clone(), gradient_checkpointing, train_base: false };
        let (loss, gradients) = train(&model, Some(&adapter), &case, &pass);
        let values: Vec<Vec<u32>> = gradients
            .names()
            .map(|name| to_host(gradients.get(name).unwrap()).iter().map(|v| v.to_bits()).collect())
            .collect();
        (loss.to_bits(), values)
    };
    let kept = run(false);
    assert!(kept == run(true));
    let without = train(&model, Some(&adapter), &case, &Pass::default()).0;
    assert_ne!(kept.0, without.to_bits(), "dropout is on");
}

#[test]
fn a_cached_continuation_gives_the_hidden_states_of_the_whole_row() {
    let (model, case) = smollm2();
    let (ids, segments) = case.packed();
    let whole = model.hidden(&ids, &segments, None);
    let mut cache = KvCache::new(model.config(), 3, 16, model.device());
    let prompts = Segments::from_lengths([6, 4]);
    let slots = [2, 0];
    let start: Vec<u32> = [&case.rows[0][..6], &case.rows[1][..4]].concat();
    model.prefill(&start, &prompts, &slots, None, &mut cache);
    for step in 0..5 {
        let next = [case.rows[0][6 + step], case.rows[1][4 + step]];
        let hidden = model.decode(&next, &slots, None, &mut cache);
        for (row, position) in [(0, 6 + step), (1, 13 + 4 + step)] {
            let (ours, whole) = (hidden.clone().narrow(0, row, 1), whole.clone().narrow(0, position, 1));
            assert!(parity::l2(&to_host(&ours), &to_host(&whole)) < 1e-5);
        }
    }
    assert_eq!([cache.length(2), cache.length(0), cache.length(1)], [11, 9, 0]);
}

#[test]
fn an_unsupported_architecture_is_refused_with_the_list_of_supported_ones() {
    let config = serde_json::json!({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"});
    let message = ModelConfig::from_json(config).unwrap_err().message;
    assert_eq!(
        message,
        "architecture \"GPT2LMHeadModel\" is not supported; supported are LlamaForCausalLM, MistralForCausalLM, \
         Qwen2ForCausalLM, Qwen3ForCausalLM (this covers Llama 2/3, SmolLM2, Mistral, Qwen2, Qwen2.5, Qwen3)"
    );
}

#[test]
fn a_scaling_of_rope_that_is_not_implemented_is_refused() {
    let text = std::fs::read_to_string(parity::fixture_path("models/llama/config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["rope_parameters"] = serde_json::json!({"rope_type": "yarn", "factor": 4.0});
    let message = ModelConfig::from_json(config).unwrap_err().message;
    assert_eq!(message, "rope scaling \"yarn\" is not supported; supported are default, linear, llama3");
}
