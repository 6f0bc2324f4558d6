//! Trained tensors and their gradients, by the names they have in a checkpoint.
//!
//! Holds: iteration is in name order, so sums over parameters and files made from them never depend on insertion.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};

use crate::ops::{LmBackend, to_host};

/// A trained tensor, stored flat.
#[derive(Clone, Debug)]
pub struct Parameter<B: LmBackend> {
    pub shape: Vec<usize>,
    pub value: Tensor<B, 1>,
}

impl<B: LmBackend> Parameter<B> {
    pub fn new(shape: Vec<usize>, values: Vec<f32>, device: &B::Device) -> Self {
        let length = values.len();
        debug_assert_eq!(length, shape.iter().product::<usize>());
        Self { shape, value: Tensor::from_data(TensorData::new(values, [length]), device) }
    }

    /// The tensor as a matrix; a view of the same buffer.
    pub fn matrix(&self) -> Tensor<B, 2> {
        self.value.clone().reshape([self.shape[0], self.shape[1]])
    }

    pub fn vector(&self) -> Tensor<B, 1> {
        self.value.clone()
    }

    pub fn to_host(&self) -> Vec<f32> {
        to_host(&self.value)
    }
}

pub type Parameters<B> = BTreeMap<String, Parameter<B>>;

/// Gradients of one accumulated batch.
#[derive(Debug)]
pub struct Gradients<B: LmBackend> {
    by_name: BTreeMap<String, Tensor<B, 1>>,
}

impl<B: LmBackend> Default for Gradients<B> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new() }
    }
}

impl<B: LmBackend> Gradients<B> {
    /// Adds a gradient to what has been gathered under `name`.
    pub fn add<const D: usize>(&mut self, name: String, gradient: Tensor<B, D>) {
        let length = gradient.shape().num_elements();
        let gradient = gradient.reshape([length]);
        let total = match self.by_name.remove(&name) {
            Some(total) => B::add(total, &gradient),
            None => gradient,
        };
        self.by_name.insert(name, total);
    }

    pub fn get(&self, name: &str) -> Option<&Tensor<B, 1>> {
        self.by_name.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Euclidean norm over all tensors, summed in name order.
    pub fn global_norm(&self) -> f64 {
        B::sum_squares(self.by_name.values()).sqrt()
    }
}
