//! Text from a model: [`sampler`] runs it; processors, stop rules and random numbers know nothing of it.

pub mod processors;
pub mod rng;
pub mod sampler;
pub mod stop;

pub use processors::SamplingArgs;
pub use sampler::{Completion, Generation, NewToken, Request};
pub use stop::{FinishReason, StopRules};

#[cfg(test)]
mod processors_tests;
#[cfg(test)]
mod sampler_tests;
