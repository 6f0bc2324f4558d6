//! The MedTrain operator: runs the stages of `MedicalTraining` resources as Jobs.
//!
//! Holds: it has no store credentials and no model code; what it knows of a stage's result it has from the pod's
//! termination message or from a preflight pod that looked into the store.

pub mod config;
pub mod controller;
pub mod resource;
