//! The four kinds of stage over one loop.
//!
//! [`run`] takes a stage from plan to manifest: [`build`] gets inputs, data and model together, [`training`] is the loop,
//! [`best`] what it knows of its best evaluation, `finish` writes what is left. A kind is a [`task::Task`]: [`causal`] (PT, SFT), [`reward`] (RM), [`ppo`] with its
//! [`rollout`]s. [`samples`] shows rows to who asked for them.

pub mod batch;
pub mod best;
pub mod bootstrap;
pub mod build;
pub mod causal;
mod finish;
pub mod inputs;
pub mod merging;
pub mod monitor;
pub mod outputs;
pub mod ppo;
pub mod reward;
pub mod rollout;
pub mod run;
pub mod samples;
pub mod task;
pub mod training;

pub use run::{StageEnd, StageRun};

use crate::data::TokenizedDataset;

/// Names rows for an error message: file and line, the first few.
fn origins(data: &TokenizedDataset, rows: impl Iterator<Item = usize>) -> String {
    const SHOWN: usize = 4;
    let all: Vec<String> = rows.map(|row| data.origin(row)).collect();
    let more = all.len().saturating_sub(SHOWN);
    let shown = all.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod build_tests;
#[cfg(test)]
mod ppo_detail_tests;
#[cfg(test)]
mod ppo_loop_tests;
#[cfg(test)]
mod recipe_tests;
#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trajectory_tests;
