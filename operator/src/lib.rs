//! The MedTrain operator: runs the stages of `MedicalTraining` resources as Jobs.
//!
//! Holds: it has no store credentials and no model code; what it knows of a stage's result it has from the pod's
//! termination message or from a preflight pod that looked into the store.

pub mod api;
pub mod check;
pub mod cli;
pub mod config;
pub mod context;
pub mod controller;
pub mod error;
pub mod lease;
pub mod metrics;
pub mod resource;
pub mod rights;
pub mod server;
pub mod telemetry;
