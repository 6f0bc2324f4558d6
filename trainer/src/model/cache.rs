//! Keys and values of the sequences being generated.

use burn::tensor::Tensor;

use super::ModelConfig;
use crate::ops::LmBackend;

/// A cache with room for `slots` sequences of `capacity` tokens; a sequence keeps its slot for life.
pub struct KvCache<B: LmBackend> {
    /// `(keys, values)` of each layer, `[slots, capacity, kv_heads·d]`; keys are rotated. `None` only while a layer
    /// writes.
    pub(super) layers: Vec<Option<(Tensor<B, 3>, Tensor<B, 3>)>>,
    /// Tokens that each slot holds.
    lengths: Vec<usize>,
    capacity: usize,
}

impl<B: LmBackend> KvCache<B> {
    pub fn new(config: &ModelConfig, slots: usize, capacity: usize, device: &B::Device) -> Self {
        let width = config.num_key_value_heads * config.head_dim;
        let empty = || Tensor::zeros([slots, capacity, width], device);
        Self {
            layers: (0..config.num_hidden_layers).map(|_| Some((empty(), empty()))).collect(),
            lengths: vec![0; slots],
            capacity,
        }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn length(&self, slot: usize) -> usize {
        self.lengths[slot]
    }

    /// Forgets what `slot` holds after `length` tokens.
    pub fn truncate(&mut self, slot: usize, length: usize) {
        self.lengths[slot] = self.lengths[slot].min(length);
    }

    pub(super) fn grow(&mut self, slot: usize, by: usize) {
        self.lengths[slot] += by;
        debug_assert!(self.lengths[slot] <= self.capacity);
    }
}
