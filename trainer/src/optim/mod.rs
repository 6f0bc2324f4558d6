//! From gradients to new parameters: AdamW and the learning-rate schedules.

pub mod adamw;
pub mod schedule;

pub use adamw::AdamW;
