//! RMS norm: a cube a row.

use burn_cubecl::{CubeRuntime, element::BoolElement};
use cubecl::prelude::*;

use super::{
    Flat, Matrix,
    reduce::{Sum, reduce},
    tensors::{Rows, UNITS, buffer, cube_each, empty, wrap},
};

#[cube(launch)]
fn forward_kernel(
    x: &Array<f32>,
    gain: &Array<f32>,
    out: &mut Array<f32>,
    rstd: &mut Array<f32>,
    x_stride: u32,
    columns: u32,
    eps: f32,
    #[comptime] units: u32,
) {
    let row = CUBE_POS;
    if row < rstd.len() {
        let mut shared = SharedMemory::<f32>::new(units as usize);
        let start = row * x_stride as usize;
        let mut sum = 0.0f32;
        let mut column = UNIT_POS;
        while column < columns {
            let value = x[start + column as usize];
            sum += value * value;
            column += units;
        }
        let mean = reduce::<f32, Sum>(sum, &mut shared, units) / columns as f32;
        let root = 1.0f32 / (mean + eps).sqrt();
        if UNIT_POS == 0 {
            rstd[row] = root;
        }
        column = UNIT_POS;
        while column < columns {
            out[row * columns as usize + column as usize] = x[start + column as usize] * root * gain[column as usize];
            column += units;
        }
    }
}

pub fn forward<R: CubeRuntime, BT: BoolElement>(
    x: &Matrix<R, BT>,
    gain: &Flat<R, BT>,
    eps: f64,
) -> (Matrix<R, BT>, Flat<R, BT>) {
    let [n, columns] = x.dims();
    let like = x.clone().into_primitive().tensor();
    let (out, rstd) = (empty(&like, [n, columns]), empty(&like, [n]));
    let (x, gain) = (Rows::new(like.clone()), Rows::of(gain));
    let (count, dim) = cube_each(&like.client, n);
    let columns = columns as u32;
    forward_kernel::launch::<R>(
        &like.client,
        count,
        dim,
        x.arg(),
        gain.arg(),
        buffer(&out),
        buffer(&rstd),
        x.stride,
        columns,
        eps as f32,
        UNITS,
    );
    (wrap(out), wrap(rstd))
}

/// With `x̂ = x·rstd`: `dx = rstd · (g·dy − x̂ · mean(g·dy·x̂))`, and the residual's gradient where there is one.
#[cube(launch)]
fn backward_kernel(
    dy: &Array<f32>,
    x: &Array<f32>,
    gain: &Array<f32>,
    rstd: &Array<f32>,
    residual: &Array<f32>,
    dx: &mut Array<f32>,
    dy_stride: u32,
    x_stride: u32,
    residual_stride: u32,
    columns: u32,
    #[comptime] adds: bool,
    #[comptime] units: u32,
) {
    let row = CUBE_POS;
    if row < rstd.len() {
        let mut shared = SharedMemory::<f32>::new(units as usize);
        let (dy_start, x_start) = (row * dy_stride as usize, row * x_stride as usize);
        let root = rstd[row];
        let mut sum = 0.0f32;
        let mut column = UNIT_POS;
        while column < columns {
            let at = column as usize;
            sum += dy[dy_start + at] * gain[at] * x[x_start + at] * root;
            column += units;
        }
        let mean = reduce::<f32, Sum>(sum, &mut shared, units) / columns as f32;
        column = UNIT_POS;
        while column < columns {
            let at = column as usize;
            let mut value = (dy[dy_start + at] * gain[at] - x[x_start + at] * root * mean) * root;
            if adds {
                value += residual[row * residual_stride as usize + at];
            }
            dx[row * columns as usize + at] = value;
            column += units;
        }
    }
}

/// Without the gain's gradient.
pub fn backward<R: CubeRuntime, BT: BoolElement>(
    dy: &Matrix<R, BT>,
    x: &Matrix<R, BT>,
    gain: &Flat<R, BT>,
    rstd: &Flat<R, BT>,
    residual: Option<&Matrix<R, BT>>,
) -> Matrix<R, BT> {
    let [n, columns] = x.dims();
    let like = x.clone().into_primitive().tensor();
    let dx = empty(&like, [n, columns]);
    let (dy, x, gain, rstd) = (Rows::of(dy), Rows::new(like.clone()), Rows::of(gain), Rows::of(rstd));
    let added = residual.map(Rows::of);
    let (count, dim) = cube_each(&like.client, n);
    backward_kernel::launch::<R>(
        &like.client,
        count,
        dim,
        dy.arg(),
        x.arg(),
        gain.arg(),
        rstd.arg(),
        added.as_ref().unwrap_or(&dy).arg(),
        buffer(&dx),
        dy.stride,
        x.stride,
        added.as_ref().unwrap_or(&dy).stride,
        columns as u32,
        added.is_some(),
        UNITS,
    );
    wrap(dx)
}
