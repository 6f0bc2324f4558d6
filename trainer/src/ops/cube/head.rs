//! What a language-model head says about given tokens: logits of some rows at a time, then one kernel a row.
//!
//! Holds: one read by the host a call, at its end.

use burn::tensor::Tensor;
use burn_cubecl::{CubeRuntime, element::BoolElement, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    Matrix, Products, products,
    reduce::{Greatest, Least, Sum, reduce},
    tensors::{UNITS, buffer, cube_each, empty, for_each, upload, wrap},
};
use crate::ops::{TokenScores, to_host};

/// Logits at once: 256 MiB of them as f32.
const LOGITS: usize = 1 << 26;

/// Of every row: log-probability of the target, entropy, whether it is the arg max, log-sum-exp; each as a row of `out`
/// `[4, n]`.
#[cube(launch)]
fn scores_kernel(
    logits: &Array<f32>,
    targets: &Array<u32>,
    out: &mut Array<f32>,
    factor: f32,
    from: u32,
    rows: u32,
    n: u32,
    vocab: u32,
    #[comptime] units: u32,
) {
    let row = CUBE_POS as u32;
    if row < rows {
        let mut shared = SharedMemory::<f32>::new(units as usize);
        let mut places = SharedMemory::<u32>::new(units as usize);
        let start = row * vocab;
        let mut most = f32::min_value();
        let mut place = vocab;
        let mut column = UNIT_POS;
        while column < vocab {
            let logit = logits[(start + column) as usize];
            if logit > most {
                most = logit;
                place = column;
            }
            column += units;
        }
        let highest = reduce::<f32, Greatest>(most, &mut shared, units);
        let best = reduce::<u32, Least>(select(most == highest, place, vocab), &mut places, units);
        let top = highest * factor;
        let mut sum = 0.0f32;
        let mut weighted = 0.0f32;
        column = UNIT_POS;
        while column < vocab {
            let logit = logits[(start + column) as usize] * factor - top;
            let e = logit.exp();
            sum += e;
            weighted += e * logit;
            column += units;
        }
        let total = reduce::<f32, Sum>(sum, &mut shared, units);
        let mean = reduce::<f32, Sum>(weighted, &mut shared, units) / total;
        if UNIT_POS == 0 {
            let at = from + row;
            let target = targets[at as usize];
            let log_total = total.ln();
            out[at as usize] = logits[(start + target) as usize] * factor - top - log_total;
            out[(n + at) as usize] = log_total - mean;
            out[(2 * n + at) as usize] = select(best == target, 1.0f32, 0.0f32);
            out[(3 * n + at) as usize] = top + log_total;
        }
    }
}

/// Gradient by the logits: `(onehot − p) · d_logprob / temperature`.
#[cube(launch)]
fn backward_kernel(
    logits: &Array<f32>,
    targets: &Array<u32>,
    scores: &Array<f32>,
    d_logprobs: &Array<f32>,
    out: &mut Array<f32>,
    factor: f32,
    from: u32,
    n: u32,
    vocab: u32,
) {
    if ABSOLUTE_POS < out.len() {
        let column = ABSOLUTE_POS as u32 % vocab;
        let row = (ABSOLUTE_POS as u32 / vocab + from) as usize;
        let p = (logits[ABSOLUTE_POS] * factor - scores[3 * n as usize + row]).exp();
        let hit = select(column == targets[row], 1.0f32, 0.0f32);
        out[ABSOLUTE_POS] = (hit - p) * d_logprobs[row] * factor;
    }
}

/// Logits of rows `[from, from + rows)`, and their scores written to `scores`.
fn score_rows<R: Products, BT: BoolElement>(
    h: &Matrix<R, BT>,
    head: &Matrix<R, BT>,
    targets: &[u32],
    scores: &CubeTensor<R>,
    factor: f32,
    from: usize,
    rows: usize,
) -> (Matrix<R, BT>, CubeTensor<R>) {
    let part = h.clone().narrow(0, from, rows);
    let logits = products::multiply::<R>(
        part.clone().into_primitive().tensor(),
        head.clone().transpose().into_primitive().tensor(),
    );
    let (count, dim) = cube_each(&logits.client, rows);
    let [vocab, _] = head.dims();
    let (from, rows, n) = (from as u32, rows as u32, targets.len() as u32);
    let ids = upload(&logits.client, targets);
    let out = buffer(scores);
    let vocab = vocab as u32;
    scores_kernel::launch::<R>(
        &logits.client,
        count,
        dim,
        buffer(&logits),
        ids,
        out,
        factor,
        from,
        rows,
        n,
        vocab,
        UNITS,
    );
    (part, logits)
}

fn chunks(n: usize, vocab: usize) -> impl Iterator<Item = (usize, usize)> {
    let most = (LOGITS / vocab).max(1);
    (0..n).step_by(most).map(move |from| (from, most.min(n - from)))
}

fn read<R: CubeRuntime, BT: BoolElement>(scores: CubeTensor<R>, n: usize) -> TokenScores {
    let values = to_host(&wrap::<R, BT, 1>(scores));
    TokenScores {
        logprobs: values[..n].to_vec(),
        entropies: values[n..2 * n].to_vec(),
        correct: values[2 * n..3 * n].iter().map(|&hit| hit != 0.0).collect(),
    }
}

pub fn token_scores<R: Products, BT: BoolElement>(
    h: &Matrix<R, BT>,
    head: &Matrix<R, BT>,
    targets: &[u32],
    temperature: f32,
) -> TokenScores {
    let n = targets.len();
    if n == 0 {
        return TokenScores::default();
    }
    let scores = empty(&h.clone().into_primitive().tensor(), [4 * n]);
    for (from, rows) in chunks(n, head.dims()[0]) {
        score_rows(h, head, targets, &scores, 1.0 / temperature, from, rows);
    }
    read::<R, BT>(scores, n)
}

pub fn token_scores_backward<R: Products, BT: BoolElement>(
    h: &Matrix<R, BT>,
    head: &Matrix<R, BT>,
    targets: &[u32],
    temperature: f32,
    d_logprobs: &[f32],
    want_head: bool,
) -> (TokenScores, Matrix<R, BT>, Option<Matrix<R, BT>>) {
    let device = h.device();
    let (n, [vocab, width]) = (targets.len(), head.dims());
    let mut dw = want_head.then(|| Tensor::zeros([vocab, width], &device));
    if n == 0 {
        return (TokenScores::default(), Tensor::zeros([0, width], &device), dw);
    }
    let like = h.clone().into_primitive().tensor();
    let scores = empty(&like, [4 * n]);
    let factor = 1.0 / temperature;
    let mut parts = Vec::new();
    for (from, rows) in chunks(n, vocab) {
        let (part, logits) = score_rows(h, head, targets, &scores, factor, from, rows);
        let dlogits = empty(&like, [rows, vocab]);
        let (count, dim) = for_each(&like.client, rows * vocab);
        backward_kernel::launch::<R>(
            &like.client,
            count,
            dim,
            buffer(&logits),
            upload(&like.client, targets),
            buffer(&scores),
            upload(&like.client, d_logprobs),
            buffer(&dlogits),
            factor,
            from as u32,
            n as u32,
            vocab as u32,
        );
        drop(logits);
        let dlogits: Matrix<R, BT> = wrap(dlogits);
        let product = |a: Matrix<R, BT>, b: Matrix<R, BT>| -> Matrix<R, BT> {
            wrap(products::multiply::<R>(a.into_primitive().tensor(), b.into_primitive().tensor()))
        };
        parts.push(product(dlogits.clone(), head.clone()));
        dw = dw.map(|dw| dw + product(dlogits.transpose(), part));
    }
    (read::<R, BT>(scores, n), Tensor::cat(parts, 0), dw)
}
