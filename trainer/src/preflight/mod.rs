//! Before anything expensive: what a training's inputs are, what its stages will do, what is done already.
//!
//! [`preflight`] looks at a whole training and gives its plan with a [`Forecast`] a stage, or every problem at once.
//! [`Workspace`] says where things are on this machine; [`model`], [`stage_data`] and their like fetch the inputs of
//! one stage, for the preflight and for the stage itself; [`Units`] counts steps for both.
//!
//! Holds: what preflight counts is what a stage does, because both call the same functions; nothing outside the work
//! directory is written unless asked; remote inputs are copied once and again only when they changed.

mod adapters;
mod data_files;
mod estimate;
mod forecast;
mod inputs;
mod memory;
mod origins;
mod remote;
mod survey;
mod units;
mod vocabulary;
mod workspace;

pub use data_files::{data_files, identify};
pub use forecast::{Forecast, Preflight};
pub use inputs::{
    TokenizerDir, digest_of, model, sampled_data, stage_data, stage_template, stage_tokenizer, tokenizer_dir,
};
pub use memory::{MemoryEstimate, Shape as MemoryShape, check_fits, estimate as estimate_memory};
pub use survey::{check_context, preflight, preflight_stage};
pub use units::{PpoSteps, Units};
pub use workspace::Workspace;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
