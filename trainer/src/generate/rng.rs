//! Random numbers as a pure function of (seed, purpose, a, b): no generator has a state.
//!
//! Holds: a number depends on nothing else, not on threads, order of calls or earlier draws, so a resumed stage draws
//! what the uninterrupted one would have; numbers of different (purpose, a, b) come from different cipher inputs and
//! never repeat a stream; the values of a release never change (a golden test guards them, checkpoints rely on them).
//!
//! Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") encrypts the 128-bit counter
//! (b, a) under a 64-bit key mixed from seed and purpose: for one key that is a bijection, so no two counters give the
//! same block.

use std::f64::consts::TAU;

/// What random numbers are for; the discriminants are part of the streams and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// Dropout masks. `a` = step and layer site, `b` = element.
    Dropout = 1,
    /// Token sampling. `a` = global sample index, `b` = position in the response.
    Sample = 2,
    /// Order of rows. `a` = epoch.
    Shuffle = 3,
    /// Initial weights. `a` = index of the tensor in name order, `b` = element.
    Init = 4,
    /// Which rows are held out.
    Split = 5,
    /// Resampling of held-out rows. `a` = resample, `b` = draw.
    Bootstrap = 7,
    /// Order of episodes within a rollout. `a` = rollout and PPO epoch.
    Minibatch = 6,
}

/// Two 32-bit counters as one, where a stream needs more than `a` alone: `pair(step, site)`.
pub const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// 64 random bits; [`Stream`] for anything more.
pub fn u64_at(seed: u64, purpose: Purpose, a: u64, b: u64) -> u64 {
    Stream::new(seed, purpose, a).u64(b)
}

/// The numbers of one (seed, purpose, a), addressed by `b`. Draw one kind of number from a stream: kinds share its bits.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: [u32; 2],
    a: u64,
}

impl Stream {
    pub const fn new(seed: u64, purpose: Purpose, a: u64) -> Self {
        Self { key: halves(split_mix(split_mix(seed) ^ purpose as u64)), a }
    }

    /// 128 random bits.
    fn block(&self, b: u64) -> [u32; 4] {
        let ([b0, b1], [a0, a1]) = (halves(b), halves(self.a));
        philox([b0, b1, a0, a1], self.key)
    }

    pub fn u64(&self, b: u64) -> u64 {
        let [low, high, ..] = self.block(b);
        pair(high, low)
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn f64(&self, b: u64) -> f64 {
        unit_f64(self.u64(b))
    }

    /// Uniform in `0..n` (0 for n = 0); the bias is at most n/2⁶⁴.
    pub fn below(&self, b: u64, n: u64) -> u64 {
        ((u128::from(self.u64(b)) * u128::from(n)) >> 64) as u64
    }

    /// A random order of `0..n` (Fisher-Yates, from the last place down).
    pub fn permutation(&self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for place in (1..n).rev() {
            order.swap(place, self.below(place as u64, place as u64 + 1) as usize);
        }
        order
    }

    /// Fills `out` with elements `first..` of N(mean, std²) by Box-Muller, two elements a block.
    pub fn fill_normal(&self, out: &mut [f32], first: u64, mean: f64, std: f64) {
        for (element, value) in (first..).zip(out) {
            let [w0, w1, w2, w3] = self.block(element / 2);
            // 1 − u is in (0, 1], so the logarithm is finite.
            let radius = (-2.0 * (1.0 - unit_f64(pair(w1, w0))).ln()).sqrt();
            let angle = TAU * unit_f64(pair(w3, w2));
            let normal = radius * if element % 2 == 0 { angle.cos() } else { angle.sin() };
            *value = (mean + std * normal) as f32;
        }
    }

    /// Fills `out` with elements `first..` of the uniform distribution over [low, high), four elements a block.
    pub fn fill_uniform(&self, out: &mut [f32], first: u64, low: f32, high: f32) {
        for (element, value) in (first..).zip(out) {
            let unit = unit_f32(self.block(element / 4)[(element % 4) as usize]);
            *value = low + (high - low) * unit;
        }
    }

    /// Uniform over ±√(6/((1 + slope²)·fan_in)) (He et al. 2015, as `torch.nn.init.kaiming_uniform_`).
    ///
    /// LoRA's A has slope √5, so the bound 1/√fan_in (PEFT `reset_lora_parameters`).
    pub fn fill_kaiming_uniform(&self, out: &mut [f32], first: u64, fan_in: usize, slope: f64) {
        let bound = (6.0 / ((1.0 + slope * slope) * fan_in.max(1) as f64)).sqrt() as f32;
        self.fill_uniform(out, first, -bound, bound);
    }
}

/// The upper 53 bits as a number in [0, 1).
fn unit_f64(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// The upper 24 bits as a number in [0, 1).
fn unit_f32(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / (1_u32 << 24) as f32)
}

const fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// One output of SplitMix64 from state `x` (Steele, Lea and Flood 2014): a bijection that spreads every input bit.
const fn split_mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Philox4x32 with 10 rounds; multipliers and Weyl constants of the paper's table 2.
const fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let mut round = 0;
    while round < 10 {
        let [low0, high0] = halves(0xd251_1f53 * counter[0] as u64);
        let [low1, high1] = halves(0xcd9e_8d57 * counter[2] as u64);
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
        round += 1;
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::moments::{Moments, Variance};

    /// The known answers that the Random123 library ships for Philox4x32-10.
    #[test]
    fn philox_gives_the_published_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox(pi, [0xa409_3822, 0x299f_31d0]), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn split_mix_gives_the_published_sequence() {
        let state = |n: u64| 1_234_567_u64.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n));
        let outputs = [0, 1, 2].map(|n| split_mix(state(n)));
        assert_eq!(outputs, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    /// Checkpoints and keys rely on these: a change needs a new `recipe` of every stage kind.
    #[test]
    fn streams_never_change_between_releases() {
        let got = [
            u64_at(0, Purpose::Dropout, 0, 0),
            u64_at(42, Purpose::Sample, 7, 3),
            u64_at(42, Purpose::Shuffle, 1, 0),
            u64_at(42, Purpose::Init, 0, u64::MAX),
            u64_at(u64::MAX, Purpose::Split, u64::MAX, 1),
            u64_at(42, Purpose::Minibatch, pair(2, 1), 5),
        ];
        assert_eq!(got, GOLDEN);
        let stream = Stream::new(42, Purpose::Init, 0);
        let (mut normal, mut uniform) = ([0.0; 4], [0.0; 5]);
        stream.fill_normal(&mut normal, 0, 0.0, 1.0);
        stream.fill_uniform(&mut uniform, 0, 0.0, 1.0);
        assert_eq!(normal, [-0.99034715, -0.6401365, -0.76935506, -1.1868987]);
        assert_eq!(uniform, [0.9070591, 0.5010658, 0.0067868233, 0.5913268, 0.53024256]);
    }
    const GOLDEN: [u64; 6] = [
        0xdd51_fa18_6a24_9ee9,
        0x5082_feb1_3264_8cb0,
        0xb264_d053_9dc0_ee1a,
        0x2dfc_1b91_6096_671c,
        0x1371_b415_98ae_62e4,
        0xe59c_127b_d40f_405b,
    ];

    #[test]
    fn every_argument_changes_the_numbers() {
        let base = u64_at(42, Purpose::Sample, 7, 3);
        for other in [
            u64_at(43, Purpose::Sample, 7, 3),
            u64_at(42, Purpose::Dropout, 7, 3),
            u64_at(42, Purpose::Sample, 8, 3),
            u64_at(42, Purpose::Sample, 7, 4),
            u64_at(42, Purpose::Sample, 3, 7),
        ] {
            let flipped = (base ^ other).count_ones();
            assert!((16..=48).contains(&flipped), "{flipped} of 64 bits differ");
        }
    }

    #[test]
    fn uniform_numbers_fill_the_unit_interval_evenly() {
        let stream = Stream::new(42, Purpose::Sample, 0);
        let mut tenths = [0_u32; 10];
        for b in 0..20_000 {
            let u = stream.f64(b);
            assert!((0.0..1.0).contains(&u));
            tenths[(u * 10.0) as usize] += 1;
        }
        // χ² with 9 degrees of freedom is below 27.9 for all but 0.1 % of true uniform samples.
        let chi2: f64 = tenths.iter().map(|n| (f64::from(*n) - 2000.0).powi(2) / 2000.0).sum();
        assert!(chi2 < 27.9, "{tenths:?}");
        assert_eq!((unit_f64(u64::MAX), unit_f32(u32::MAX)), (1.0 - f64::EPSILON / 2.0, 1.0 - f32::EPSILON / 2.0));
    }

    #[test]
    fn normal_numbers_have_the_mean_deviation_and_tails_asked_for() {
        let mut values = vec![0.0; 50_000];
        Stream::new(42, Purpose::Init, 0).fill_normal(&mut values, 0, 1.0, 0.5);
        let moments: Moments = values.iter().map(|v| f64::from(*v)).collect();
        assert!((moments.mean() - 1.0).abs() < 0.01 && (moments.std(Variance::Unbiased) - 0.5).abs() < 0.01);
        let beyond_two = values.iter().filter(|v| (**v - 1.0).abs() > 1.0).count() as f64 / values.len() as f64;
        assert!((beyond_two - 0.0455).abs() < 0.004, "{beyond_two}");
    }

    #[test]
    fn filling_in_chunks_gives_the_same_numbers_as_in_one_go() {
        let stream = Stream::new(42, Purpose::Dropout, pair(3, 1));
        type Fill = fn(&Stream, &mut [f32], u64);
        let fills: [Fill; 2] = [
            |s, out, first| s.fill_normal(out, first, 0.0, 1.0),
            |s, out, first| s.fill_uniform(out, first, -1.0, 1.0),
        ];
        for fill in fills {
            let (mut whole, mut parts) = (vec![0.0; 100], vec![0.0; 100]);
            fill(&stream, &mut whole, 0);
            let (head, tail) = parts.split_at_mut(37);
            fill(&stream, tail, 37);
            fill(&stream, head, 0);
            assert_eq!(whole, parts);
        }
    }

    #[test]
    fn lora_a_is_bounded_by_one_over_root_fan_in() {
        let mut values = vec![0.0; 4096];
        Stream::new(42, Purpose::Init, 1).fill_kaiming_uniform(&mut values, 0, 64, 5.0_f64.sqrt());
        let largest = values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        assert!(largest <= 0.125 && largest > 0.124, "{largest}");
    }

    #[test]
    fn a_permutation_holds_every_index_once_and_differs_by_epoch() {
        let order = |epoch| Stream::new(42, Purpose::Shuffle, epoch).permutation(100);
        let mut sorted = order(0);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(order(0), order(1));
        assert_eq!(Stream::new(42, Purpose::Shuffle, 0).permutation(0), [0_usize; 0]);
    }
}
