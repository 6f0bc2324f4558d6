//! Folding an adapter into the weights it stands beside.

use super::{EMBEDDING, HEAD, Projection};
use crate::{
    model::{Decoder, ModelConfig, Parameters},
    ops::LmBackend,
};
use medtrain_crds::stage::LoraArgs;

/// `W + scale · B A` in f32 for every adapted projection, as PEFT's `merge_and_unload` computes it; saved modules
/// replace the base's. Calls `visit` with the name, shape and merged values of every changed tensor, one at a time.
pub fn merge<B: LmBackend>(
    model: &Decoder<B>,
    lora: &LoraArgs,
    parameters: &Parameters<B>,
    mut visit: impl FnMut(&str, burn::tensor::Tensor<B, 2>),
) {
    let config: &ModelConfig = model.config();
    for layer in 0..config.num_hidden_layers {
        for projection in Projection::ALL {
            let path = projection.path(layer);
            let pair =
                (parameters.get(&format!("{path}.lora_A.weight")), parameters.get(&format!("{path}.lora_B.weight")));
            let (Some(a), Some(b)) = pair else { continue };
            let delta = b.matrix().matmul(a.matrix()).mul_scalar(lora.scale());
            visit(&format!("{path}.weight"), B::thaw(model.projection(layer, projection)) + delta);
        }
        // What stands in for it is in memory now.
        model.release();
    }
    for name in [EMBEDDING, HEAD] {
        if let Some(saved) = parameters.get(name) {
            visit(name, saved.matrix());
        }
    }
}
