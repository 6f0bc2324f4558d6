//! The loss-mask certificate of a stage, out of its data and the rows that its steps take.
//!
//! Holds: nothing here depends on what this process has run; the layout under the digest is
//! [`FirstBatches`]' and its text begins with a version.

use medtrain_crds::contract::{FirstBatches, LossMask, RoleTokens, SplitCounts, TokenRole};
use sha2::{Digest, Sha256};

use crate::data::{Example, TokenizedDataset};
use crate::failure::Result;

const LAYOUT: &[u8] = b"medtrain batches 1\n";
/// A label without loss, as in transformers.
const IGNORED: i32 = -100;

/// `steps` gives the rows of each step taken, in order; `counts` are those of the training files.
///
/// # Errors
/// As [`TokenizedDataset::row`].
pub fn certify(
    data: &TokenizedDataset,
    steps: impl Iterator<Item = Vec<usize>>,
    counts: &SplitCounts,
) -> Result<LossMask> {
    let mut times = vec![0_u64; data.len()];
    let mut hash = Sha256::new_with_prefix(LAYOUT);
    let mut hashed = 0;
    for rows in steps {
        if hashed < FirstBatches::STEPS {
            hashed += 1;
            hash.update((rows.len() as u32).to_le_bytes());
            for &row in &rows {
                hash.update(bytes(&data.row(row)?));
            }
        }
        rows.into_iter().for_each(|row| times[row] += 1);
    }
    let mut mask = LossMask {
        tokens_seen: 0,
        tokens_trained: 0,
        roles: Default::default(),
        truncated_rows: counts.truncated,
        dropped_rows: counts.dropped.values().sum(),
        first_batches: FirstBatches { steps: hashed, sha256: hex::encode(hash.finalize()) },
    };
    for (row, times) in times.into_iter().enumerate().filter(|(_, times)| *times > 0) {
        for (role, tokens) in by_role(&data.row(row)?) {
            let RoleTokens { seen, trained } = mask.roles.entry(role).or_default();
            *seen += times * tokens.seen;
            *trained += times * tokens.trained;
        }
    }
    mask.tokens_seen = mask.roles.values().map(|tokens| tokens.seen).sum();
    mask.tokens_trained = mask.roles.values().map(|tokens| tokens.trained).sum();
    Ok(mask)
}

/// A row as the digest reads it.
fn bytes(example: &Example) -> Vec<u8> {
    let labels = example.ids.iter().zip(&example.loss_mask);
    let labels = labels.map(|(&id, &marked)| if marked { id as i32 } else { IGNORED });
    let counts = std::iter::once(example.segments.len() as u32).chain(example.segments.iter().copied());
    let words = counts.chain(example.ids.iter().copied()).map(u32::to_le_bytes);
    words.chain(labels.map(i32::to_le_bytes)).flatten().collect()
}

/// Tokens of one row by role, one entry a run.
fn by_role(example: &Example) -> Vec<(TokenRole, RoleTokens)> {
    let tokens = |marks: &[bool]| RoleTokens {
        seen: marks.len() as u64,
        trained: marks.iter().filter(|marked| **marked).count() as u64,
    };
    let mut rest = example.loss_mask.as_slice();
    let mut found: Vec<_> = example
        .roles
        .iter()
        .map(|run| {
            let (now, later) = rest.split_at(rest.len().min(run.tokens as usize));
            rest = later;
            (run.role, tokens(now))
        })
        .collect();
    if !rest.is_empty() {
        found.push((TokenRole::Text, tokens(rest)));
    }
    found
}

#[cfg(test)]
#[path = "loss_mask_tests.rs"]
mod tests;
