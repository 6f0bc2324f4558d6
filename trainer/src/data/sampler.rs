//! The order of training: which row comes when, as a pure function of (seed, epoch, index).
//!
//! Holds: an epoch visits every row exactly once, in an order of its own; nothing is remembered, so a resumed run
//! goes on at any index by asking for it.

/// A keyed permutation of `0..len` for each epoch: a Feistel network over the next power of four, walked until it
/// lands inside (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    len: u64,
    seed: u64,
    half_bits: u32,
}

const ROUNDS: u64 = 6;

impl Sampler {
    pub fn new(len: usize, seed: u64) -> Self {
        let len = len as u64;
        let bits = 64 - len.saturating_sub(1).leading_zeros();
        Self { len, seed, half_bits: bits.div_ceil(2).max(1) }
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The row at place `index` of `epoch`; `index < len`.
    pub fn at(&self, epoch: u64, index: usize) -> usize {
        debug_assert!((index as u64) < self.len);
        let mut place = index as u64;
        loop {
            place = self.permute(epoch, place);
            if place < self.len {
                return place as usize;
            }
        }
    }

    /// The row at place `sample` of a run that goes through epoch after epoch; the sampler must not be empty.
    pub fn sample(&self, sample: u64) -> usize {
        self.at(sample / self.len, (sample % self.len) as usize)
    }

    fn permute(&self, epoch: u64, place: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (place >> self.half_bits, place & mask);
        let key = mix(self.seed ^ mix(epoch));
        for round in 0..ROUNDS {
            let keyed = mix(key.wrapping_add(round) ^ mix(right));
            (left, right) = (right, (left ^ keyed) & mask);
        }
        left << self.half_bits | right
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood 2014): a bijection whose output bits all depend on all input bits.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_epoch_visits_every_row_exactly_once(len in 1usize..3000, seed: u64, epoch in 0u64..9) {
            let sampler = Sampler::new(len, seed);
            let mut rows: Vec<usize> = (0..len).map(|index| sampler.at(epoch, index)).collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..len).collect::<Vec<_>>());
        }

        #[test]
        fn a_resumed_run_sees_what_the_undisturbed_one_sees(len in 1usize..500, seed: u64, stop in 0u64..1500) {
            let undisturbed: Vec<usize> = (0..1500).map(|sample| Sampler::new(len, seed).sample(sample)).collect();
            let resumed = Sampler::new(len, seed);
            let rest: Vec<usize> = (stop..1500).map(|sample| resumed.sample(sample)).collect();
            prop_assert_eq!(&undisturbed[stop as usize..], rest.as_slice());
        }
    }

    #[test]
    fn epochs_and_seeds_have_orders_of_their_own() {
        let order = |seed, epoch| (0..100).map(|index| Sampler::new(100, seed).at(epoch, index)).collect::<Vec<_>>();
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
        assert_ne!(order(1, 0), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn every_row_comes_first_about_equally_often() {
        let mut first = [0u32; 10];
        for seed in 0..10_000 {
            first[Sampler::new(10, seed).at(0, 0)] += 1;
        }
        // 1,000 expected, standard deviation 30.
        assert!(first.iter().all(|count| (850..1150).contains(count)), "{first:?}");
    }

    #[test]
    fn the_order_never_changes_between_releases() {
        let order: Vec<usize> = (0..8).map(|index| Sampler::new(8, 42).at(0, index)).collect();
        assert_eq!(order, [2, 3, 4, 5, 7, 0, 1, 6]);
    }
}
