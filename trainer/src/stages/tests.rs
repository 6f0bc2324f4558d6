//! What must not change a step's loss and gradients: how examples are batched, packed and accumulated. And what a
//! checkpoint must bring back.

use std::collections::BTreeMap;

use burn_flex::Flex;
use medtrain_crds::stage::{LoraArgs, Tuning};

use super::{
    batch::{Identity, PackedBatch},
    causal::score_with_grads,
    rollout::{Episode, Rollout},
    task::Tuned,
};
use crate::{
    data::Example,
    generate::rng::{Purpose, Stream},
    model::{Gradients, Parameter, Parameters, load},
    ops::to_host,
};

fn tuned() -> (Tuned<Flex>, Parameters<Flex>) {
    let dir = crate::parity::fixture_path("models/smollm2");
    let model = load::load::<Flex>(&dir, 64, &Default::default()).unwrap();
    let lora = LoraArgs {
        rank: 4,
        alpha: 8.0,
        dropout: 0.3,
        target_modules: crate::adapter::Projection::ALL.map(|p| p.name().to_owned()).to_vec(),
        use_rslora: false,
        modules_to_save: vec![],
    };
    let (tuned, mut parameters) = Tuned::new(model, &Tuning::Lora(lora), 5).unwrap();
    for (index, (name, parameter)) in parameters.iter_mut().enumerate() {
        if name.contains("lora_B") {
            let mut values = parameter.to_host();
            Stream::new(9, Purpose::Init, index as u64).fill_normal(&mut values, 0, 0.0, 0.3);
            *parameter = Parameter::new(parameter.shape.clone(), values, &Default::default());
        }
    }
    (tuned, parameters)
}

/// Rows of different lengths, each with an untrained beginning.
fn examples() -> Vec<(Identity, Example)> {
    let draw = Stream::new(3, Purpose::Init, 0);
    (0..6_u64)
        .map(|row| {
            let length = 6 + 5 * (row as usize % 4);
            let ids = (0..length as u64).map(|place| draw.below(100 * row + place, 128) as u32).collect();
            let mask = (0..length).map(|place| place >= 3).collect();
            ((1, row), Example::single(ids, mask))
        })
        .collect()
}

/// Loss and gradients of the examples, in passes of the given sizes.
fn pass(order: &[usize], sizes: &[usize]) -> (f64, BTreeMap<String, Vec<f32>>) {
    let (tuned, parameters) = tuned();
    let view = tuned.view(&parameters).unwrap();
    let all = examples();
    let targets: usize = all.iter().map(|(_, example)| example.loss_tokens()).sum();
    let mut gradients = Gradients::default();
    let mut loss = 0.0;
    let mut rest = order;
    for &size in sizes {
        let (now, later) = rest.split_at(size);
        rest = later;
        let chosen: Vec<_> = now.iter().map(|&row| all[row].clone()).collect();
        let batch = PackedBatch::new(&chosen, 5);
        let weights = vec![-1.0 / targets as f32; batch.targets.len()];
        let scores = score_with_grads(&view, &batch, &weights, 1.0, false, &mut gradients).unwrap();
        loss -= scores.logprobs.iter().map(|&l| f64::from(l)).sum::<f64>() / targets as f64;
    }
    assert!(rest.is_empty());
    let values = gradients.names().map(|name| (name.to_owned(), to_host(gradients.get(name).unwrap()))).collect();
    (loss, values)
}

#[test]
fn a_step_does_not_depend_on_how_its_rows_are_packed_accumulated_or_ordered_even_with_dropout() {
    let (loss, gradients) = pass(&[0, 1, 2, 3, 4, 5], &[6]);
    for (order, sizes) in [
        (&[0, 1, 2, 3, 4, 5], &[1, 1, 1, 1, 1, 1][..]),
        (&[0, 1, 2, 3, 4, 5], &[2, 3, 1]),
        (&[5, 2, 0, 4, 1, 3], &[4, 2]),
    ] {
        let (other_loss, other) = pass(order, sizes);
        assert!((loss - other_loss).abs() < 1e-6 * loss, "{sizes:?}: loss {other_loss}, was {loss}");
        for (name, values) in &gradients {
            let scale = values.iter().fold(1e-4_f32, |m, v| m.max(v.abs()));
            let error = values.iter().zip(&other[name]).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / scale;
            assert!(error < 1e-5, "{sizes:?}: {name} differs by {error:e}");
        }
    }
}

#[test]
fn a_rollout_comes_back_from_a_checkpoint_as_it_was() {
    let rollout = Rollout {
        number: 3,
        episodes: vec![
            Episode { prompt: vec![1, 2, 3], response: vec![4], ended: true },
            Episode { prompt: vec![5], response: vec![6, 7], ended: false },
        ],
        old_logprobs: vec![-1.5, -0.25, -3.0],
        old_values: vec![0.1, -0.0, 0.3],
        advantages: vec![1.0, -1.0, 0.5],
        returns: vec![0.0, 2.0, -2.0],
        summary: BTreeMap::from([("objective/kl".to_owned(), 0.1 + 0.2)]),
    };
    let mut tensors = BTreeMap::new();
    let saved = serde_json::to_string(&rollout.save(&mut tensors)).unwrap();
    assert_eq!(Rollout::load(serde_json::from_str(&saved).unwrap(), &tensors).unwrap(), rollout);
    tensors.remove("rollout/returns");
    let message = Rollout::load(serde_json::from_str(&saved).unwrap(), &tensors).unwrap_err().message;
    assert_eq!(message, "checkpoint: rollout tensor \"returns\" is missing or of another type");
}
