//! Row-wise and elementwise kernels: bound by memory, not by arithmetic.
//!
//! Costs are of `n` rows of `h` floats: floats read and written, operations, and what is allocated.

use burn::tensor::Tensor;
use burn_flex::Flex;
use rayon::prelude::*;

use super::{AdamWStep, Dropout, ROWS, RopeTable, Shared, Values, simd, tensor, unfilled, update};

/// Elements a task handles at once in flat kernels; also the fixed unit of partial sums.
pub const FLAT: usize = 16 * 1024;

/// `dropout(x)`, or `x` itself without dropout. Moves `2·n·h`, 10 integer operations an element; allocates `n·h`.
pub fn dropped(x: &Tensor<Flex, 2>, dropout: Option<&Dropout>) -> Values {
    let values = Values::of(x);
    let Some(dropout) = dropout else { return values };
    let [n, columns] = x.dims();
    let (threshold, keep) = dropout.constants();
    let mut out = unfilled(n * columns);
    out.par_chunks_mut(columns * ROWS).zip(values.get().par_chunks(columns * ROWS)).enumerate().for_each(
        |(block, (out, x))| {
            for (row, (out, x)) in out.chunks_exact_mut(columns).zip(x.chunks_exact(columns)).enumerate() {
                simd::drop_row(x, out, dropout.row_keys[block * ROWS + row], dropout.module_key, threshold, keep);
            }
        },
    );
    Values::of(&tensor(out, [n, columns]))
}

/// `y += dropout(x)` with the same mask as [`dropped`]. Moves `3·n·h`; in place.
pub fn add_dropped(y: &mut [f32], x: &[f32], columns: usize, dropout: &Dropout) {
    let (threshold, keep) = dropout.constants();
    y.par_chunks_mut(columns * ROWS).zip(x.par_chunks(columns * ROWS)).enumerate().for_each(|(block, (y, x))| {
        for (row, (y, x)) in y.chunks_exact_mut(columns).zip(x.chunks_exact(columns)).enumerate() {
            simd::add_dropped_row(x, y, dropout.row_keys[block * ROWS + row], dropout.module_key, threshold, keep);
        }
    });
}

/// Moves `2·n·h`; `4·n·h` FLOPs; allocates `n·h + n`.
pub fn rms_norm(x: &Tensor<Flex, 2>, gain: &Tensor<Flex, 1>, eps: f64) -> (Tensor<Flex, 2>, Tensor<Flex, 1>) {
    let [n, h] = x.dims();
    let (x, gain) = (Values::of(x), Values::of(gain));
    let (mut y, mut rstd) = (unfilled(n * h), unfilled(n));
    y.par_chunks_mut(h * ROWS).zip(rstd.par_chunks_mut(ROWS)).zip(x.get().par_chunks(h * ROWS)).for_each(
        |((y, rstd), x)| {
            for ((y, rstd), x) in y.chunks_exact_mut(h).zip(rstd).zip(x.chunks_exact(h)) {
                *rstd = simd::rms_norm(x, gain.get(), y, eps as f32);
            }
        },
    );
    (tensor(y, [n, h]), tensor(rstd, [n]))
}

/// Moves `4·n·h`, with the gain's gradient `6·n·h`; `8·n·h` FLOPs, `11·n·h` with it. In place of `residual`, else allocates
/// `n·h`.
pub fn rms_norm_backward(
    dy: &Tensor<Flex, 2>,
    x: &Tensor<Flex, 2>,
    gain: &Tensor<Flex, 1>,
    rstd: &Tensor<Flex, 1>,
    residual: Option<Tensor<Flex, 2>>,
    want_gain: bool,
) -> (Tensor<Flex, 2>, Option<Tensor<Flex, 1>>) {
    let [n, h] = x.dims();
    let (dy, x, gain, rstd) = (Values::of(dy), Values::of(x), Values::of(gain), Values::of(rstd));
    let start = residual.unwrap_or_else(|| tensor(vec![0.0; n * h], [n, h]));
    let dx = update(start, |dx| {
        dx.par_chunks_mut(h * ROWS).enumerate().for_each(|(block, dx)| {
            for (row, dx) in dx.chunks_exact_mut(h).enumerate() {
                let row = block * ROWS + row;
                let at = row * h..(row + 1) * h;
                simd::rms_norm_backward(&x.get()[at.clone()], gain.get(), &dy.get()[at], rstd.get()[row], dx);
            }
        });
    });
    let dg = want_gain.then(|| {
        columnwise(n, h, |row, columns, total| {
            let at = row * h + columns.start..row * h + columns.end;
            simd::gain_grad(total, &dy.get()[at.clone()], &x.get()[at], rstd.get()[row]);
        })
    });
    (dx, dg)
}

/// Sums over rows, in row order, with the columns split over threads. Allocates one row.
fn columnwise(
    n: usize,
    width: usize,
    add_row: impl Fn(usize, std::ops::Range<usize>, &mut [f32]) + Sync,
) -> Tensor<Flex, 1> {
    const COLUMNS: usize = 128;
    let mut total = vec![0.0; width];
    total.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, total)| {
        let columns = block * COLUMNS..block * COLUMNS + total.len();
        for row in 0..n {
            add_row(row, columns.clone(), total);
        }
    });
    tensor(total, [width])
}

/// Moves `n·h`; `n·h` FLOPs.
pub fn sum_rows(x: &Tensor<Flex, 2>) -> Tensor<Flex, 1> {
    let [n, width] = x.dims();
    let x = Values::of(x);
    columnwise(n, width, |row, columns, total| {
        simd::add(total, &x.get()[row * width + columns.start..row * width + columns.end]);
    })
}

/// Moves `2·n·h`; `3·n·h` FLOPs; in place.
pub fn rope(x: Tensor<Flex, 2>, table: &RopeTable, positions: &[u32], inverse: bool) -> Tensor<Flex, 2> {
    let width = x.dims()[1];
    let half = table.half;
    let sign = if inverse { -1.0 } else { 1.0 };
    update(x, |x| {
        x.par_chunks_mut(width * ROWS).enumerate().for_each(|(block, rows)| {
            for (row, x) in rows.chunks_exact_mut(width).enumerate() {
                let at = positions[block * ROWS + row] as usize * half;
                let (cos, sin) = (&table.cos[at..at + half], &table.sin[at..at + half]);
                for head in x.chunks_exact_mut(2 * half) {
                    simd::rotate(head, cos, sin, sign);
                }
            }
        });
    })
}

/// Moves `3·n·h`; about `20·n·h` FLOPs, most of them the exponential; allocates `n·h`.
pub fn swiglu(gate: &Tensor<Flex, 2>, up: &Tensor<Flex, 2>) -> Tensor<Flex, 2> {
    let shape = gate.dims();
    let (gate, up) = (Values::of(gate), Values::of(up));
    let mut y = unfilled(gate.get().len());
    y.par_chunks_mut(FLAT)
        .zip(gate.get().par_chunks(FLAT))
        .zip(up.get().par_chunks(FLAT))
        .for_each(|((y, gate), up)| simd::swiglu(gate, up, y));
    tensor(y, shape)
}

/// Moves `5·n·h`; about `25·n·h` FLOPs; in place of `gate` and `up`.
pub fn swiglu_backward(
    dy: &Tensor<Flex, 2>,
    gate: Tensor<Flex, 2>,
    up: Tensor<Flex, 2>,
) -> (Tensor<Flex, 2>, Tensor<Flex, 2>) {
    let dy = Values::of(dy);
    let mut d_up = None;
    let d_gate = update(gate, |gate| {
        d_up = Some(update(up, |up| {
            gate.par_chunks_mut(FLAT)
                .zip(up.par_chunks_mut(FLAT))
                .zip(dy.get().par_chunks(FLAT))
                .for_each(|((gate, up), dy)| simd::swiglu_backward(gate, up, dy));
        }));
    });
    (d_gate, d_up.expect("set by the update above"))
}

/// Of `p` values: moves `7·p`, `14·p` FLOPs; in place of parameter and moments.
pub fn adamw(
    parameter: Tensor<Flex, 1>,
    first: Tensor<Flex, 1>,
    second: Tensor<Flex, 1>,
    gradient: &Tensor<Flex, 1>,
    step: AdamWStep,
) -> [Tensor<Flex, 1>; 3] {
    let t = step.step as f64;
    let factors = simd::AdamWFactors {
        gradient_scale: step.gradient_scale as f32,
        beta1: step.beta1 as f32,
        beta2: step.beta2 as f32,
        one_minus_beta1: (1.0 - step.beta1) as f32,
        one_minus_beta2: (1.0 - step.beta2) as f32,
        decay: (1.0 - step.learning_rate * step.weight_decay) as f32,
        step_size: (step.learning_rate / (1.0 - step.beta1.powf(t))) as f32,
        inverse_correction2: (1.0 / (1.0 - step.beta2.powf(t))) as f32,
        epsilon: step.epsilon as f32,
    };
    let gradient = Values::of(gradient);
    let lengths = [parameter.dims(), first.dims(), second.dims()];
    assert!(lengths.iter().all(|length| length[0] == gradient.get().len()), "parameter, moments and gradient fit");
    let mut moments = None;
    let parameter = update(parameter, |parameter| {
        let mut new_second = None;
        let new_first = update(first, |first| {
            new_second = Some(update(second, |second| {
                let (p, m, v) = (Shared::new(parameter), Shared::new(first), Shared::new(second));
                gradient.get().par_chunks(FLAT).enumerate().for_each(|(block, g)| {
                    let (start, length) = (block * FLAT, g.len());
                    // SAFETY: blocks are disjoint and the three buffers are as long as the gradient.
                    unsafe {
                        let parameter = p.range(start, length);
                        simd::adamw(parameter, m.range(start, length), v.range(start, length), g, &factors);
                    }
                });
            }));
        });
        moments = Some((new_first, new_second.expect("set by the update above")));
    });
    let (first, second) = moments.expect("set by the update above");
    [parameter, first, second]
}
