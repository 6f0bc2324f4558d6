//! The optimiser: its step and the learning rate of each step.

pub mod schedule;
