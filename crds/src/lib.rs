//! What the MedTrain operator and trainer must agree on, and nothing else.
//!
//! - [`training`]: the `MedicalTraining` resource as people write it.
//! - [`stage`]: stage kinds and their hyperparameters, with defaults and ranges.
//! - [`resolve`]: pure functions from a resource to a [`resolve::Plan`] of stages with content keys.
//! - [`contract`]: the files and codes that cross a process border (plan, manifest, exit codes, progress).
//! - `k8s` (feature `k8s`): the resource as Kubernetes sees it: kube type, definition, schema and rules.
//!
//! Holds: no IO, no clock, no randomness; the same input gives the same plan, byte for byte.

pub mod contract;
#[cfg(feature = "k8s")]
pub mod k8s;
pub mod resolve;
pub mod stage;
pub mod training;
