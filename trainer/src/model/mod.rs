//! One configurable decoder for the LLaMA family, and what is trained on it.
//!
//! - [`config`]: `config.json` of a supported architecture.
//! - [`decoder`]: weights, forward, and the backward layer by layer.
//! - [`layer`]: one decoder layer, forward and backward.
//! - [`cache`]: keys and values of generated sequences.
//! - [`parameters`]: trained tensors and their gradients, by name.
//!
//! Holds: the names of fields and of parameters are the names of the checkpoint's tensors.

pub mod cache;
pub mod config;
pub mod decoder;
mod grow;
pub mod layer;
pub mod load;
pub mod parameters;
mod rope;

pub use cache::KvCache;
pub use config::ModelConfig;
pub use decoder::{Decoder, Pass, Shell};
pub use parameters::{Gradients, Parameter, Parameters};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
