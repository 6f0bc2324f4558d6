//! AdamW over named parameters, with global-norm clipping.
//!
//! Holds: moments are f32 and belong to a parameter's name; decay applies to matrices only, not to norms and biases, as
//! in transformers' `get_decay_parameter_names`; the clip factor is PyTorch's `clip_grad_norm_`:
//! `min(1, max_norm / (norm + 1e-6))` over all gradients together.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use medtrain_crds::stage::TrainArgs;

use crate::{
    checkpoint::Tensor as Stored,
    failure::{Failure, Result},
    model::{Gradients, Parameters, decoder::upload},
    ops::{AdamWStep, LmBackend, to_host},
};

/// First and second moment of every parameter, and how many updates they have seen.
#[derive(Debug)]
pub struct AdamW<B: LmBackend> {
    moments: BTreeMap<String, [Tensor<B, 1>; 2]>,
    updates: u64,
}

impl<B: LmBackend> Default for AdamW<B> {
    fn default() -> Self {
        Self { moments: BTreeMap::new(), updates: 0 }
    }
}

/// Factor on all gradients so that their global norm is at most `max_norm`; 0 = no limit.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

impl<B: LmBackend> AdamW<B> {
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// One update of every parameter that has a gradient.
    pub fn step(
        &mut self,
        parameters: &mut Parameters<B>,
        gradients: &Gradients<B>,
        learning_rate: f64,
        gradient_scale: f64,
        args: &TrainArgs,
    ) {
        self.updates += 1;
        for (name, parameter) in parameters.iter_mut() {
            let Some(gradient) = gradients.get(name) else { continue };
            let empty = Tensor::empty([0], &gradient.device());
            let value = std::mem::replace(&mut parameter.value, empty);
            let [first, second] = self.moments.remove(name).unwrap_or_else(|| {
                let zeros = || Tensor::zeros(value.dims(), &gradient.device());
                [zeros(), zeros()]
            });
            let step = AdamWStep {
                learning_rate,
                beta1: args.adam_beta1,
                beta2: args.adam_beta2,
                epsilon: args.adam_epsilon,
                weight_decay: if parameter.shape.len() > 1 { args.weight_decay } else { 0.0 },
                step: self.updates,
                gradient_scale,
            };
            let [value, first, second] = B::adamw(value, first, second, gradient, step);
            parameter.value = value;
            self.moments.insert(name.clone(), [first, second]);
        }
    }

    /// The moments as `adam1/<name>` and `adam2/<name>`.
    pub fn save(&self, into: &mut BTreeMap<String, Stored>) {
        for (name, moments) in &self.moments {
            for (moment, tensor) in ["adam1", "adam2"].iter().zip(moments) {
                into.insert(format!("{moment}/{name}"), Stored::of_f32([tensor.dims()[0]], &to_host(tensor)));
            }
        }
    }

    /// # Errors
    /// 65 when the tensors are not those of `parameters`.
    pub fn load(
        parameters: &Parameters<B>,
        stored: &BTreeMap<String, Stored>,
        updates: u64,
        device: &B::Device,
    ) -> Result<Self> {
        let mut moments = BTreeMap::new();
        for (name, parameter) in parameters {
            let read = |moment: &str| -> Result<Option<Tensor<B, 1>>> {
                let Some(tensor) = stored.get(&format!("{moment}/{name}")) else { return Ok(None) };
                let values = tensor.to_f32().filter(|v| v.len() == parameter.shape.iter().product::<usize>());
                let values = values.ok_or_else(|| {
                    Failure::input(format!("checkpoint: optimiser state of \"{name}\" does not fit the parameter"))
                })?;
                Ok(Some(upload::<B>(values, device)))
            };
            if let (Some(first), Some(second)) = (read("adam1")?, read("adam2")?) {
                moments.insert(name.clone(), [first, second]);
            }
        }
        Ok(Self { moments, updates })
    }
}

#[cfg(test)]
mod tests {
    use burn_flex::Flex;
    use serde_json::Value;

    use super::*;
    use crate::{
        model::Parameter,
        parity::{self, numbers},
    };

    /// Ten steps with clipping and decay groups, for each setting of tests/parity/optim_fixtures.py.
    #[test]
    fn ten_steps_equal_torch() {
        let json = parity::fixture("optim");
        let cases = json["adamw"].as_array().unwrap();
        assert!(cases.len() >= 3);
        for case in cases {
            let number = |name: &str| case[name].as_f64().unwrap();
            let args = TrainArgs {
                adam_beta1: case["betas"][0].as_f64().unwrap(),
                adam_beta2: case["betas"][1].as_f64().unwrap(),
                adam_epsilon: number("eps"),
                weight_decay: number("weight_decay"),
                max_grad_norm: number("max_grad_norm"),
                ..crate::data::prepare::tests::train_args()
            };
            let undecayed: Vec<&str> = case["no_decay"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let mut parameters: Parameters<Flex> = BTreeMap::new();
            for (name, start) in case["start"].as_object().unwrap() {
                let values = numbers(start);
                // A shape of one dimension is what exempts a tensor from decay.
                let shape = if undecayed.contains(&name.as_str()) { vec![values.len()] } else { vec![1, values.len()] };
                parameters.insert(name.clone(), Parameter::new(shape, values, &Default::default()));
            }
            let mut optimizer = AdamW::default();
            for step in case["steps"].as_array().unwrap() {
                let mut gradients = Gradients::default();
                for (name, gradient) in step["grads"].as_object().unwrap() {
                    gradients.add(name.clone(), upload::<Flex>(numbers(gradient), &Default::default()));
                }
                let norm = gradients.global_norm();
                let expected = step["grad_norm"].as_f64().unwrap();
                parity::hold_relative("AdamW: norm that is clipped", "", norm, expected, 1e-6);
                let factor = clip_factor(norm, args.max_grad_norm);
                optimizer.step(&mut parameters, &gradients, step["lr"].as_f64().unwrap(), factor, &args);
                for (name, expected) in step["params"].as_object().unwrap() {
                    let (ours, theirs) = (parameters[name].to_host(), numbers(expected));
                    parity::hold_values("AdamW: parameters", name, &ours, &theirs, |v| v.abs().max(0.1), 2e-6);
                }
            }
        }
    }
}
