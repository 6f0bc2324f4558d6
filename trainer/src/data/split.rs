//! Chances that rows take, decided by their content: evaluation split, sampling, fractional weights.
//!
//! Holds: equal rows share every fate, so a duplicate never stands on both sides of a split; a row's fate does not
//! depend on other rows or their order.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::data::formats::Row;
use crate::data::sampler::mix;

/// Seeded hash of a row's content; of a preference, of its prompt: pairs over one prompt belong together.
pub fn content_hash(row: &Row, seed: u64) -> u64 {
    match row {
        Row::Preference { prompt, tools, .. } => hash_of(&(prompt, tools), seed),
        row => hash_of(row, seed),
    }
}

/// Seeded hash of token ids, for blocks of several documents.
pub fn ids_hash(ids: &[u32], seed: u64) -> u64 {
    hash_of(ids, seed)
}

fn hash_of<T: Serialize + ?Sized>(content: &T, seed: u64) -> u64 {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(serde_json::to_vec(content).expect("rows are strings, lists and objects with string keys"));
    let digest = hash.finalize();
    u64::from_le_bytes(std::array::from_fn(|i| digest[i]))
}

/// Whether the row is held out for evaluation.
pub fn is_eval(hash: u64, fraction: f64) -> bool {
    unit(hash) < fraction
}

/// How often a row of a file with `weight` comes an epoch: 2.5 is twice, and a third time for half of the rows.
pub fn copies(hash: u64, weight: f64) -> u32 {
    // A chance of its own: rows in the evaluation split are not a sample of the hash.
    let extra = unit(mix(hash ^ 0x5745_4947_4854)) < weight.fract();
    weight.trunc() as u32 + u32::from(extra)
}

/// Keeps the `max` rows with the smallest keys, ties by place, in their old order: `maxTrainSamples`.
pub fn keep_smallest(rows: &mut Vec<u32>, max: usize, key: impl Fn(u32) -> u64) {
    if rows.len() <= max {
        return;
    }
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_by_key(|place| (mix(key(rows[*place])), *place));
    places.truncate(max);
    places.sort_unstable();
    *rows = places.into_iter().map(|place| rows[place]).collect();
}

/// Uniform in [0, 1).
fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Message;

    fn hashes(count: usize) -> Vec<u64> {
        (0..count).map(|i| content_hash(&Row::Document(format!("document {i}")), 7)).collect()
    }

    #[test]
    fn the_share_held_out_is_the_fraction_asked_for() {
        let held = hashes(20_000).into_iter().filter(|hash| is_eval(*hash, 0.1)).count();
        // 2,000 expected, standard deviation 42.
        assert!((1850..2150).contains(&held), "{held}");
        assert!(hashes(100).into_iter().all(|hash| !is_eval(hash, 0.0) && is_eval(hash, 1.0)));
    }

    #[test]
    fn a_larger_fraction_holds_out_the_same_rows_and_more() {
        assert!(hashes(1000).into_iter().all(|hash| !is_eval(hash, 0.05) || is_eval(hash, 0.1)));
    }

    #[test]
    fn another_seed_holds_out_other_rows() {
        let row = |i: usize| Row::Document(format!("document {i}"));
        let held = |seed| (0..1000).filter(|i| is_eval(content_hash(&row(*i), seed), 0.1)).collect::<Vec<_>>();
        assert_ne!(held(1), held(2));
    }

    #[test]
    fn pairs_over_one_prompt_share_their_fate() {
        let pair = |chosen: &str| Row::Preference {
            prompt: vec![Message::user("q")],
            chosen: vec![Message::assistant(chosen)],
            rejected: vec![Message::assistant("r")],
            tools: None,
        };
        assert_eq!(content_hash(&pair("a"), 1), content_hash(&pair("b"), 1));
    }

    #[test]
    fn weights_repeat_rows_whole_and_in_part() {
        let total = |weight| hashes(10_000).into_iter().map(|hash| copies(hash, weight)).sum::<u32>();
        assert_eq!(total(2.0), 20_000);
        assert_eq!(total(0.0), 0);
        assert!((4850..5150).contains(&total(0.5)));
        assert!((24_850..25_150).contains(&total(2.5)));
    }

    #[test]
    fn samples_are_kept_in_file_order_whatever_else_the_file_holds() {
        let hashes = hashes(100);
        let mut all: Vec<u32> = (0..100).collect();
        keep_smallest(&mut all, 10, |row| hashes[row as usize]);
        assert_eq!(all.len(), 10);
        assert!(all.is_sorted());
        let mut half: Vec<u32> = (0..50).collect();
        keep_smallest(&mut half, 10, |row| hashes[row as usize]);
        assert!(all.iter().filter(|row| **row < 50).all(|row| half.contains(row)));
    }
}
