//! The language-model head on target tokens only: logits exist for one chunk of rows at a time.
//!
//! Memory: `CHUNK_BYTES` for logits whatever the batch; FLOPs: `2·n·h·vocab` forward, as much again for `dh` and for `dW`.

use burn::tensor::Tensor;
use burn_flex::Flex;
use rayon::prelude::*;

use super::{TokenScores, Values, frozen::Frozen, gemm::Product, simd, tensor, unfilled};

/// Bound on the logits buffer.
const CHUNK_BYTES: usize = 64 << 20;

fn chunk_rows(vocab: usize, n: usize) -> usize {
    (CHUNK_BYTES / (4 * vocab)).clamp(16, 512).min(n.max(1))
}

/// Logits of `rows` into `logits`, each row then turned into exponentials and scored.
fn score(
    h: &[f32],
    head: &Frozen,
    logits: &mut [f32],
    targets: &[u32],
    vocab: usize,
    temperature: f32,
) -> Vec<simd::RowScore> {
    head.times_transposed(h, logits, targets.len());
    logits
        .par_chunks_mut(vocab)
        .zip(targets)
        .map(|(row, &target)| simd::log_softmax(row, target as usize, 1.0 / temperature))
        .collect()
}

fn record(scores: &mut TokenScores, rows: &[simd::RowScore]) {
    scores.logprobs.extend(rows.iter().map(|row| row.logprob));
    scores.entropies.extend(rows.iter().map(|row| row.entropy));
    scores.correct.extend(rows.iter().map(|row| row.correct));
}

pub fn scores(h: &Tensor<Flex, 2>, head: &Frozen, targets: &[u32], temperature: f32) -> TokenScores {
    let ([n, width], [vocab, _]) = (h.dims(), head.dims());
    assert_eq!(targets.len(), n, "one target a row");
    let h = Values::of(h);
    let rows = chunk_rows(vocab, n);
    let mut logits = unfilled(rows * vocab);
    let mut scores = TokenScores::default();
    for (h, targets) in h.get().chunks(rows * width).zip(targets.chunks(rows)) {
        let logits = &mut logits[..targets.len() * vocab];
        record(&mut scores, &score(h, head, logits, targets, vocab, temperature));
    }
    scores
}

pub fn scores_backward(
    h: &Tensor<Flex, 2>,
    head: &Frozen,
    targets: &[u32],
    temperature: f32,
    d_logprobs: &[f32],
    want_head: bool,
) -> (TokenScores, Tensor<Flex, 2>, Option<Tensor<Flex, 2>>) {
    let ([n, width], [vocab, _]) = (h.dims(), head.dims());
    assert_eq!(targets.len(), n, "one target a row");
    let h = Values::of(h);
    let rows = chunk_rows(vocab, n);
    let mut logits = unfilled(rows * vocab);
    assert_eq!(d_logprobs.len(), n, "one gradient a row");
    let mut dh = unfilled(n * width);
    let mut dw = want_head.then(|| vec![0.0; vocab * width]);
    let mut scores = TokenScores::default();
    for (((h, targets), grads), dh) in h
        .get()
        .chunks(rows * width)
        .zip(targets.chunks(rows))
        .zip(d_logprobs.chunks(rows))
        .zip(dh.chunks_mut(rows * width))
    {
        let m = targets.len();
        let logits = &mut logits[..m * vocab];
        let found = score(h, head, logits, targets, vocab, temperature);
        // d logits = (onehot - softmax) · d_logprob / temperature
        logits.par_chunks_mut(vocab).enumerate().for_each(|(row, values)| {
            let grad = grads[row] / temperature;
            simd::scale(values, -grad * found[row].inverse);
            values[targets[row] as usize] += grad;
        });
        record(&mut scores, &found);
        head.times(logits, dh, m, false);
        if let Some(dw) = &mut dw {
            Product::new([vocab, m, width]).left_transposed().add().run(logits, h, dw);
        }
    }
    (scores, tensor(dh, [n, width]), dw.map(|dw| tensor(dw, [vocab, width])))
}
