//! Examples put together into one packed pass.
//!
//! Holds: a token's dropout key depends on the example, the epoch and the position in the example alone, so a loss does
//! not change with how examples are batched, accumulated or packed.

use std::sync::Arc;

use crate::{
    data::Example,
    generate::rng::{Purpose, u64_at},
    ops::Segments,
};

/// One forward and backward of several examples.
#[derive(Clone, Debug)]
pub struct PackedBatch {
    pub ids: Vec<u32>,
    pub segments: Segments,
    /// Rows whose hidden state predicts a target, ascending.
    pub rows: Vec<usize>,
    /// The target of each of `rows`.
    pub targets: Vec<u32>,
    /// Targets of each example, in order.
    pub targets_of: Vec<usize>,
    pub dropout_keys: Arc<Vec<u32>>,
}

/// Who an example is, for its random numbers: (epoch, row).
pub type Identity = (u64, u64);

/// Dropout keys of an example's tokens.
pub fn dropout_keys(seed: u64, (epoch, row): Identity, length: usize) -> impl Iterator<Item = u32> {
    let base = u64_at(seed, Purpose::Dropout, epoch, row);
    (0..length as u64).map(move |position| {
        let mixed = (base ^ position.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        ((mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32) as u32
    })
}

impl PackedBatch {
    pub fn new(examples: &[(Identity, Example)], seed: u64) -> Self {
        let mut batch = Self {
            ids: Vec::new(),
            segments: Segments::from_lengths(
                examples.iter().flat_map(|(_, example)| example.segments.iter().map(|&length| length as usize)),
            ),
            rows: Vec::new(),
            targets: Vec::new(),
            targets_of: Vec::new(),
            dropout_keys: Arc::default(),
        };
        let mut keys = Vec::new();
        for (identity, example) in examples {
            let start = batch.ids.len();
            let before = batch.targets.len();
            // A segment's first token is never marked, so the row before a target is in the target's segment.
            for (place, _) in example.loss_mask.iter().enumerate().filter(|(_, marked)| **marked) {
                batch.rows.push(start + place - 1);
                batch.targets.push(example.ids[place]);
            }
            batch.targets_of.push(batch.targets.len() - before);
            batch.ids.extend_from_slice(&example.ids);
            keys.extend(dropout_keys(seed, *identity, example.ids.len()));
        }
        batch.dropout_keys = Arc::new(keys);
        batch
    }
}
