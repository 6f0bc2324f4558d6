//! A decoder with more tokens: what transformers calls `resize_token_embeddings`.
//!
//! Holds: the rows of known tokens keep every bit; a tied head stays tied; nothing here is random.

use std::{collections::BTreeMap, sync::Arc};

use super::{Decoder, Parameter};
use crate::{
    failure::{Failure, Result},
    ops::LmBackend,
};

impl<B: LmBackend> Decoder<B> {
    /// This model with at least `rows` rows in its embedding and its output head, never fewer than it has: many models
    /// have more rows than tokens.
    ///
    /// The row of each id in `pieces` is the mean of the rows of its pieces, in the embedding and, if it is not tied, in
    /// the head (averaged subwords: Koto et al. 2021, IndoBERTweet). Sums are taken in f64. Other new rows are 0.
    ///
    /// # Errors
    /// 70 for an id or a piece outside of the matrix.
    pub fn grown(&self, rows: usize, pieces: &BTreeMap<u32, Vec<u32>>) -> Result<Self> {
        let width = self.config().hidden_size;
        let rows = rows.max(self.config().vocab_size);
        let mut ids = pieces.iter().flat_map(|(id, pieces)| pieces.iter().chain([id]));
        if let Some(id) = ids.find(|id| **id as usize >= rows) {
            return Err(Failure::internal(format!("token {id} has no place in {rows} rows")));
        }
        let mut parameters = self.parameters();
        for name in ["model.embed_tokens.weight", "lm_head.weight"] {
            let Some(parameter) = parameters.get_mut(name) else { continue };
            let mut values = parameter.to_host();
            values.resize(rows * width, 0.0);
            for (id, pieces) in pieces {
                let mean: Vec<f32> = (0..width)
                    .map(|column| {
                        let sum: f64 =
                            pieces.iter().map(|piece| f64::from(values[*piece as usize * width + column])).sum();
                        (sum / pieces.len() as f64) as f32
                    })
                    .collect();
                values[*id as usize * width..][..width].copy_from_slice(&mean);
            }
            *parameter = Parameter::new(vec![rows, width], values, self.device());
        }
        let mut config = self.config().clone();
        config.vocab_size = rows;
        config.raw.insert("vocab_size".into(), rows.into());
        Self::build(Arc::new(config), self.max_positions(), self.device(), B::freeze_for_long, &mut |name, _| {
            Ok(parameters.get(name).map(Parameter::vector))
        })
    }
}
