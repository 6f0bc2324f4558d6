//! What the MedTrain operator and trainer must agree on, and nothing else.
//!
//! - [`training`]: the `MedicalTraining` resource as people write it.
//! - [`stage`]: stage kinds and their hyperparameters, with defaults and ranges.
//! - [`resolve`]: pure functions from a resource to a [`resolve::Plan`] of stages with content keys.
//! - [`contract`]: the files and codes that cross a process border (plan, manifest, exit codes, progress).
//!
//! Holds: no IO, no clock, no randomness; the same input gives the same plan, byte for byte.

pub mod contract;
pub mod resolve;
pub mod stage;
pub mod training;
