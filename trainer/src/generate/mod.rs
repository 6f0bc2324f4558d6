//! Text from a model: the parts that know nothing of the model are processors, stop rules and random numbers.

pub mod processors;
pub mod rng;
pub mod stop;

#[cfg(test)]
mod processors_tests;
