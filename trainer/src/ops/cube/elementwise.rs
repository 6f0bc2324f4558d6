//! Kernels that look at one place at a time: dropout, rotation, the gate of the MLP, AdamW.

use burn_cubecl::{CubeRuntime, element::BoolElement, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    Flat, Matrix,
    memo::RopeRows,
    reduce::{Sum, reduce},
    tensors::{Rows, UNITS, buffer, cube_each, empty, for_each, upload, wrap, writable},
};
use crate::ops::{AdamWStep, Dropout};

/// Whether [`Dropout::factor`] of a place is not zero.
#[cube]
fn keeps(row_key: u32, module_key: u32, column: u32, threshold: u32) -> bool {
    let mut key = row_key ^ (module_key + column * 0x9E37_79B9u32);
    key = (key ^ (key >> 16)) * 0x7FEB_352Du32;
    key = (key ^ (key >> 15)) * 0x846C_A68Bu32;
    key = key ^ (key >> 16);
    key >= threshold
}

/// `out = x · factor`; [`Dropout::factor`] says how the factor comes about.
#[cube(launch)]
fn dropout_kernel(
    x: &Array<f32>,
    row_keys: &Array<u32>,
    out: &mut Array<f32>,
    x_stride: u32,
    columns: u32,
    module_key: u32,
    threshold: u32,
    keep: f32,
) {
    let at = ABSOLUTE_POS;
    if at < out.len() {
        let row = at / columns as usize;
        let column = at % columns as usize;
        let kept = keeps(row_keys[row], module_key, column as u32, threshold);
        out[at] = select(kept, x[row * x_stride as usize + column] * keep, 0.0f32);
    }
}

/// `x` after dropout.
pub fn dropped<R: CubeRuntime, BT: BoolElement>(x: &Matrix<R, BT>, dropout: Option<&Dropout>) -> CubeTensor<R> {
    let [n, columns] = x.dims();
    let like = x.clone().into_primitive().tensor();
    let Some(dropout) = dropout else { return like };
    let client = like.client.clone();
    let rows = Rows::new(like.clone());
    let out = empty(&like, [n, columns]);
    let (threshold, keep) = dropout.constants();
    let (count, dim) = for_each(&client, n * columns);
    dropout_kernel::launch::<R>(
        &client,
        count,
        dim,
        rows.arg(),
        upload(&client, &dropout.row_keys[..n]),
        buffer(&out),
        rows.stride,
        columns as u32,
        dropout.module_key,
        threshold,
        keep,
    );
    out
}

/// `to += scale · x`, where dropout keeps it.
#[cube(launch)]
fn add_dropped_kernel(
    to: &mut Array<f32>,
    x: &Array<f32>,
    row_keys: &Array<u32>,
    x_stride: u32,
    columns: u32,
    module_key: u32,
    threshold: u32,
    scale: f32,
    #[comptime] drops: bool,
) {
    let at = ABSOLUTE_POS;
    if at < to.len() {
        let row = at / columns as usize;
        let column = at % columns as usize;
        let mut factor = scale;
        if drops {
            factor = select(keeps(row_keys[row], module_key, column as u32, threshold), scale, 0.0f32);
        }
        to[at] += x[row * x_stride as usize + column] * factor;
    }
}

/// `to + scale · dropout(x)`.
pub fn add_dropped<R: CubeRuntime, BT: BoolElement>(
    to: Matrix<R, BT>,
    x: CubeTensor<R>,
    scale: f32,
    dropout: Option<&Dropout>,
) -> Matrix<R, BT> {
    let [n, columns] = to.dims();
    let to = writable(to.into_primitive().tensor());
    let client = to.client.clone();
    let x = Rows::new(x);
    let (threshold, keep) = dropout.map_or((0, 1.0), Dropout::constants);
    let (count, dim) = for_each(&client, n * columns);
    add_dropped_kernel::launch::<R>(
        &client,
        count,
        dim,
        buffer(&to),
        x.arg(),
        upload(&client, dropout.map_or(&[0u32][..], |dropout| &dropout.row_keys[..n])),
        x.stride,
        columns as u32,
        dropout.map_or(0, |dropout| dropout.module_key),
        threshold,
        keep * scale,
        dropout.is_some(),
    );
    wrap(to)
}

/// Rotates the pairs `(i, i + half)` of every head, in place; a unit a pair.
#[cube(launch)]
fn rope_kernel(x: &mut Array<f32>, cos: &Array<f32>, sin: &Array<f32>, half: u32, heads: u32, pairs: u32, sign: f32) {
    if ABSOLUTE_POS < pairs as usize {
        let pair = ABSOLUTE_POS as u32;
        let i = pair % half;
        let row = pair / (half * heads);
        let first = ((pair / half) * 2 * half + i) as usize;
        let second = first + half as usize;
        let angle = (row * half + i) as usize;
        let (c, s) = (cos[angle], sin[angle] * sign);
        let (a, b) = (x[first], x[second]);
        x[first] = a * c - b * s;
        x[second] = b * c + a * s;
    }
}

pub fn rope<R: CubeRuntime, BT: BoolElement>(
    x: Matrix<R, BT>,
    angles: &RopeRows<R>,
    half: usize,
    inverse: bool,
) -> Matrix<R, BT> {
    let [n, width] = x.dims();
    let x = writable(x.into_primitive().tensor());
    let client = x.client.clone();
    let (count, dim) = for_each(&client, n * width / 2);
    let heads = width / (2 * half);
    let sign = if inverse { -1.0 } else { 1.0 };
    let [cos, sin] = angles.args();
    let pairs = (n * width / 2) as u32;
    rope_kernel::launch::<R>(&client, count, dim, buffer(&x), cos, sin, half as u32, heads as u32, pairs, sign);
    wrap(x)
}

#[cube]
fn sigmoid(x: f32) -> f32 {
    1.0f32 / (1.0f32 + (-x).exp())
}

#[cube(launch)]
fn swiglu_kernel(
    gate: &Array<f32>,
    up: &Array<f32>,
    out: &mut Array<f32>,
    gate_stride: u32,
    up_stride: u32,
    columns: u32,
) {
    let at = ABSOLUTE_POS;
    if at < out.len() {
        let row = at / columns as usize;
        let column = at % columns as usize;
        let g = gate[row * gate_stride as usize + column];
        out[at] = g * sigmoid(g) * up[row * up_stride as usize + column];
    }
}

pub fn swiglu<R: CubeRuntime, BT: BoolElement>(gate: &Matrix<R, BT>, up: &Matrix<R, BT>) -> Matrix<R, BT> {
    let [n, columns] = gate.dims();
    let like = gate.clone().into_primitive().tensor();
    let (gate, up) = (Rows::new(like.clone()), Rows::of(up));
    let out = empty(&like, [n, columns]);
    let (count, dim) = for_each(&like.client, n * columns);
    let columns = columns as u32;
    swiglu_kernel::launch::<R>(
        &like.client,
        count,
        dim,
        gate.arg(),
        up.arg(),
        buffer(&out),
        gate.stride,
        up.stride,
        columns,
    );
    wrap(out)
}

/// The gate's and the other half's gradients, written over them: `silu'(g) = σ(g)·(1 + g·(1 − σ(g)))`.
#[cube(launch)]
fn swiglu_backward_kernel(dy: &Array<f32>, gate: &mut Array<f32>, up: &mut Array<f32>, dy_stride: u32, columns: u32) {
    let at = ABSOLUTE_POS;
    if at < gate.len() {
        let d = dy[at / columns as usize * dy_stride as usize + at % columns as usize];
        let g = gate[at];
        let s = sigmoid(g);
        let u = up[at];
        gate[at] = d * u * s * (1.0f32 + g * (1.0f32 - s));
        up[at] = d * g * s;
    }
}

pub fn swiglu_backward<R: CubeRuntime, BT: BoolElement>(
    dy: &Matrix<R, BT>,
    gate: Matrix<R, BT>,
    up: Matrix<R, BT>,
) -> (Matrix<R, BT>, Matrix<R, BT>) {
    let [n, columns] = gate.dims();
    let dy = Rows::of(dy);
    let (gate, up) = (writable(gate.into_primitive().tensor()), writable(up.into_primitive().tensor()));
    let client = gate.client.clone();
    let (count, dim) = for_each(&client, n * columns);
    let columns = columns as u32;
    swiglu_backward_kernel::launch::<R>(&client, count, dim, dy.arg(), buffer(&gate), buffer(&up), dy.stride, columns);
    (wrap(gate), wrap(up))
}

/// As [`crate::ops::plain::adamw`], in place.
#[cube(launch)]
fn adamw_kernel(
    parameter: &mut Array<f32>,
    first: &mut Array<f32>,
    second: &mut Array<f32>,
    gradient: &Array<f32>,
    gradient_scale: f32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    correction2: f32,
    epsilon: f32,
    decay: f32,
    rate: f32,
) {
    let at = ABSOLUTE_POS;
    if at < parameter.len() {
        let g = gradient[at] * gradient_scale;
        let m = first[at] * beta1 + g * rest1;
        let v = second[at] * beta2 + g * g * rest2;
        first[at] = m;
        second[at] = v;
        parameter[at] = parameter[at] * decay - m / ((v / correction2).sqrt() + epsilon) * rate;
    }
}

pub fn adamw<R: CubeRuntime, BT: BoolElement>(
    parameter: Flat<R, BT>,
    moments: [Flat<R, BT>; 2],
    gradient: &Flat<R, BT>,
    step: AdamWStep,
) -> [Flat<R, BT>; 3] {
    let [length] = parameter.dims();
    let parameter = writable(parameter.into_primitive().tensor());
    let [first, second] = moments.map(|moment| writable(moment.into_primitive().tensor()));
    let gradient = Rows::of(gradient);
    let client = parameter.client.clone();
    let (count, dim) = for_each(&client, length);
    adamw_kernel::launch::<R>(
        &client,
        count,
        dim,
        buffer(&parameter),
        buffer(&first),
        buffer(&second),
        gradient.arg(),
        step.gradient_scale as f32,
        step.beta1 as f32,
        (1.0 - step.beta1) as f32,
        step.beta2 as f32,
        (1.0 - step.beta2) as f32,
        (1.0 - step.beta2.powf(step.step as f64)) as f32,
        step.epsilon as f32,
        (1.0 - step.learning_rate * step.weight_decay) as f32,
        (step.learning_rate / (1.0 - step.beta1.powf(step.step as f64))) as f32,
    );
    [parameter, first, second].map(wrap)
}

/// Elements whose squares one cube sums: a tree over units that took [`SQUARES`]` / UNITS` each, so that sums stay short.
const SQUARES: u32 = 4096;

#[cube(launch)]
fn sum_squares_kernel(
    x: &Array<f32>,
    out: &mut Array<f32>,
    length: u32,
    #[comptime] units: u32,
    #[comptime] each: u32,
) {
    if CUBE_POS < out.len() {
        let mut shared = SharedMemory::<f32>::new(units as usize);
        let mut sum = 0.0f32;
        for step in 0..each {
            let at = CUBE_POS as u32 * (units * each) + step * units + UNIT_POS;
            if at < length {
                let value = x[at as usize];
                sum += value * value;
            }
        }
        sum = reduce::<f32, Sum>(sum, &mut shared, units);
        if UNIT_POS == 0 {
            out[CUBE_POS] = sum;
        }
    }
}

/// Sums of squares of parts of `x`, to be summed in double precision.
pub fn sums_of_squares<R: CubeRuntime, BT: BoolElement>(x: &Flat<R, BT>) -> Flat<R, BT> {
    let [length] = x.dims();
    let like = x.clone().into_primitive().tensor();
    let parts = length.div_ceil(SQUARES as usize);
    let out = empty(&like, [parts]);
    let x = Rows::new(like.clone());
    let (count, dim) = cube_each(&like.client, parts);
    sum_squares_kernel::launch::<R>(
        &like.client,
        count,
        dim,
        x.arg(),
        buffer(&out),
        length as u32,
        UNITS,
        SQUARES / UNITS,
    );
    wrap(out)
}
