//! Whether a held-out figure moved beyond its noise: paired bootstrap over rows (Efron & Tibshirani 1993, chapter 6).

use crate::generate::rng::{Purpose, Stream};

const RESAMPLES: usize = 2000;

/// Mean paired change and its central 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

/// Change of the weighted mean from `before` to `after`, rows paired; `None` with fewer than two rows.
///
/// Weights are what a row's figure counts by (target tokens); resampling is by row, since tokens of a row hang together.
pub fn paired_change(before: &[f64], after: &[f64], weights: &[f64], seed: u64) -> Option<Change> {
    let n = before.len();
    if n < 2 || after.len() != n || weights.len() != n {
        return None;
    }
    let mean = |rows: &mut dyn Iterator<Item = usize>| {
        let (mut sum, mut total) = (0.0, 0.0);
        for row in rows {
            sum += weights[row] * (after[row] - before[row]);
            total += weights[row];
        }
        if total > 0.0 { sum / total } else { 0.0 }
    };
    let mut resampled: Vec<f64> = (0..RESAMPLES as u64)
        .map(|resample| {
            let stream = Stream::new(seed, Purpose::Bootstrap, resample);
            mean(&mut (0..n as u64).map(|draw| stream.below(draw, n as u64) as usize))
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    let at = |share: f64| resampled[((RESAMPLES - 1) as f64 * share).round() as usize];
    Some(Change { mean: mean(&mut (0..n)), low: at(0.025), high: at(0.975) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_change_excludes_zero_and_noise_does_not() {
        let noise = Stream::new(1, Purpose::Init, 0);
        let before: Vec<f64> = (0..40).map(|row| noise.f64(row)).collect();
        let better: Vec<f64> =
            before.iter().enumerate().map(|(row, b)| b - 0.2 + 0.1 * noise.f64(100 + row as u64)).collect();
        let other: Vec<f64> = (0..40).map(|row| noise.f64(200 + row)).collect();
        let weights = vec![1.0; 40];
        assert!(paired_change(&before, &better, &weights, 7).unwrap().high < 0.0);
        let none = paired_change(&before, &other, &weights, 7).unwrap();
        assert!(none.low < 0.0 && none.high > 0.0);
    }

    #[test]
    fn weights_count_rows_by_their_tokens() {
        let change = paired_change(&[1.0, 1.0], &[0.0, 1.0], &[3.0, 1.0], 7).unwrap();
        assert_eq!(change.mean, -0.75);
        assert!(paired_change(&[1.0], &[0.0], &[1.0], 7).is_none());
    }
}
