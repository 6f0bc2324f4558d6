//! Checkpoints: the whole state of a training, such that going on from it gives the bytes an undisturbed run gives.
//!
//! On disk a checkpoint is a folder `checkpoint-<step>/` ([`Draft`] writes it, [`load`] reads it); in the store it is
//! `checkpoints/<step>-<run8>/` with a manifest of its own ([`publish`], [`restore`]). Holds: a folder with that name
//! is whole; equal states are equal bytes; a damaged checkpoint is never loaded, the one before it is.

mod local;
mod remote;
mod state;

#[cfg(test)]
mod tests;

pub use local::{Draft, Newest, load, newest_valid_local, prune_local, save};
pub use remote::{CheckpointRef, Restored, newest_valid, prune, prune_finished, publish, restore};
pub use state::{DType, State, Tensor};
