//! Packing of fine-tuning rows: several in one sequence, as segments that cannot see each other.
//!
//! Holds: every row is in exactly one pack; no pack of several rows is longer than `max_length`; packs depend on
//! lengths and seed alone, so a run's number of steps is known at its start and packs can be ordered by a
//! [`Sampler`] like rows.

use crate::data::Sampler;

/// Rows looked at together: enough to fill packs well, few enough to keep packs mixed.
const WINDOW: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Row indices of each pack, in the order of its segments.
    pub packs: Vec<Vec<u32>>,
}

impl Packing {
    /// First-fit decreasing (Johnson 1973) over windows of the rows in a seeded order.
    pub fn new(lengths: &[u32], max_length: u32, seed: u64) -> Self {
        let sampler = Sampler::new(lengths.len(), seed);
        let order: Vec<u32> = (0..lengths.len()).map(|index| sampler.at(0, index) as u32).collect();
        let mut packs = Vec::new();
        for window in order.chunks(WINDOW) {
            let mut rows = window.to_vec();
            // Stable: rows of one length stay in seeded order.
            rows.sort_by_key(|row| std::cmp::Reverse(lengths[*row as usize]));
            let mut open: Vec<(u32, Vec<u32>)> = Vec::new();
            for row in rows {
                let length = lengths[row as usize];
                match open.iter_mut().find(|(room, _)| *room >= length) {
                    Some((room, pack)) => {
                        *room -= length;
                        pack.push(row);
                    }
                    None => open.push((max_length.saturating_sub(length), vec![row])),
                }
            }
            packs.extend(open.into_iter().map(|(_, pack)| pack));
        }
        Self { packs }
    }

    pub fn len(&self) -> usize {
        self.packs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_packed_once_and_no_pack_is_too_long(
            lengths in prop::collection::vec(1u32..=512, 0..3000), seed: u64,
        ) {
            let packing = Packing::new(&lengths, 512, seed);
            let mut rows = packing.packs.concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..lengths.len() as u32).collect::<Vec<_>>());
            for pack in &packing.packs {
                prop_assert!(pack.iter().map(|row| lengths[*row as usize]).sum::<u32>() <= 512);
            }
        }
    }

    #[test]
    fn short_rows_fill_packs_well() {
        let lengths: Vec<u32> = (0..5000).map(|row| 20 + row * 37 % 300).collect();
        let packing = Packing::new(&lengths, 512, 1);
        let filled = f64::from(lengths.iter().sum::<u32>()) / (packing.len() as f64 * 512.0);
        assert!(filled > 0.95, "{filled}");
    }

    #[test]
    fn a_row_longer_than_the_limit_stands_alone() {
        assert_eq!(Packing::new(&[600, 10], 512, 1).packs.iter().find(|pack| pack.contains(&0)), Some(&vec![0]));
    }

    #[test]
    fn the_seed_decides_who_shares_a_pack() {
        let lengths = vec![100; 400];
        assert_eq!(Packing::new(&lengths, 512, 1), Packing::new(&lengths, 512, 1));
        assert_ne!(Packing::new(&lengths, 512, 1), Packing::new(&lengths, 512, 2));
    }
}
