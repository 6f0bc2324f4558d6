//! Rotary frequencies and their tables.

use std::sync::Arc;

use super::config::{ModelConfig, RopeScaling};
use crate::ops::RopeTable;

/// Inverse frequencies `theta^(-2i/d)`, scaled as the config says, rounded to f32 as transformers holds them.
fn inverse_frequencies(config: &ModelConfig) -> Vec<f32> {
    let d = config.head_dim as f64;
    (0..config.head_dim / 2)
        .map(|i| {
            let plain = 1.0 / config.rope_theta.powf(2.0 * i as f64 / d);
            (match config.rope_scaling {
                RopeScaling::None => plain,
                RopeScaling::Linear { factor } => plain / factor,
                RopeScaling::Llama3 {
                    factor,
                    low_freq_factor,
                    high_freq_factor,
                    original_max_position_embeddings: context,
                } => {
                    let wavelength = 2.0 * std::f64::consts::PI / plain;
                    if wavelength < context / high_freq_factor {
                        plain
                    } else if wavelength > context / low_freq_factor {
                        plain / factor
                    } else {
                        let smooth = (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                        (1.0 - smooth) * plain / factor + smooth * plain
                    }
                }
            }) as f32
        })
        .collect()
}

/// Cosines and sines for positions `0..positions`. Angles are f32 products, as in transformers: at position 2,000 that
/// rounding is worth 1e-4 rad, which is more than our tolerance.
pub fn table(config: &ModelConfig, positions: usize) -> RopeTable {
    let frequencies = inverse_frequencies(config);
    let angles = (0..positions).flat_map(|position| frequencies.iter().map(move |f| f64::from(position as f32 * f)));
    let (sin, cos): (Vec<f32>, Vec<f32>) = angles.map(|angle| (angle.sin() as f32, angle.cos() as f32)).unzip();
    RopeTable { half: config.head_dim / 2, cos: Arc::new(cos), sin: Arc::new(sin) }
}
