//! The trainer: one program that runs a stage of a `MedicalTraining`, in a pod or on a laptop.
//!
//! [`stages`] drives; [`model`], [`ops`], [`adapter`], [`objective`] and [`optim`] compute; [`data`] and [`weights`]
//! read; [`artifact`] and [`checkpoint`] write; [`cli`] is the door. Only `model`, `ops` and `objective` are generic
//! over the burn backend.

pub mod adapter;
pub mod artifact;
pub mod checkpoint;
pub mod cli;
pub mod data;
pub mod device;
pub mod failure;
pub mod generate;
pub mod model;
pub mod objective;
pub mod ops;
pub mod optim;
#[cfg(test)]
pub(crate) mod parity;
pub mod preflight;
pub mod stages;
pub mod telemetry;
pub mod weights;
