//! The cache of keys and values: written in place, and read by one query a sequence.

use burn::tensor::Tensor;
use burn_cubecl::{CubeRuntime, element::BoolElement};
use cubecl::prelude::*;

use super::{
    Gpu, Matrix,
    reduce::{Greatest, Sum, reduce},
    tensors::{Rows, UNITS, buffer, cube_each, empty, for_each, upload, wrap, writable},
};
use crate::ops::AttentionShape;

#[cube(launch)]
fn write_kernel(rows: &Array<f32>, places: &Array<u32>, cache: &mut Array<f32>, stride: u32, width: u32, count: u32) {
    if ABSOLUTE_POS < (count * width) as usize {
        let row = ABSOLUTE_POS as u32 / width;
        let column = ABSOLUTE_POS as u32 % width;
        let place = places[row as usize];
        cache[(place * width + column) as usize] = rows[(row * stride + column) as usize];
    }
}

/// Rows of a cache `[slots, capacity, width]`, counted from its start.
fn rows_of(places: &[(usize, usize)], capacity: usize) -> Vec<u32> {
    places.iter().map(|&(slot, position)| (slot * capacity + position) as u32).collect()
}

pub fn write<R: CubeRuntime, BT: BoolElement>(
    cache: Tensor<Gpu<R, BT>, 3>,
    rows: &Matrix<R, BT>,
    places: &[(usize, usize)],
) -> Tensor<Gpu<R, BT>, 3> {
    let [_, capacity, width] = cache.dims();
    let cache = writable(cache.into_primitive().tensor());
    let client = cache.client.clone();
    let rows = Rows::of(rows);
    let (count, dim) = for_each(&client, places.len() * width);
    let at = upload(&client, &rows_of(places, capacity));
    let (stride, width, rows_count) = (rows.stride, width as u32, places.len() as u32);
    write_kernel::launch::<R>(&client, count, dim, rows.arg(), at, buffer(&cache), stride, width, rows_count);
    wrap(cache)
}

/// One query and head a cube: scores of as many keys as it has units at a time, the sum kept relative to the greatest
/// score so far.
#[cube(launch)]
fn attention_kernel(
    q: &Array<f32>,
    keys: &Array<f32>,
    values: &Array<f32>,
    last: &Array<u32>,
    seen: &Array<u32>,
    out: &mut Array<f32>,
    q_stride: u32,
    scale: f32,
    heads: u32,
    kv_heads: u32,
    queries: u32,
    #[comptime] d: u32,
    #[comptime] units: u32,
) {
    let cube = CUBE_POS as u32;
    if cube < queries * heads {
        let mut shared = SharedMemory::<f32>::new(units as usize);
        let mut weights = SharedMemory::<f32>::new(units as usize);
        let mut query = SharedMemory::<f32>::new(d as usize);
        let row = cube / heads;
        let head = cube % heads;
        let kv_head = head / (heads / kv_heads);
        let width = kv_heads * d;
        let count = seen[row as usize];
        let start = (last[row as usize] + 1 - count) * width + kv_head * d;
        let mut column = UNIT_POS;
        while column < d {
            query[column as usize] = q[(row * q_stride + head * d + column) as usize];
            column += units;
        }
        sync_cube();
        let mut most = f32::min_value();
        let mut total = 0.0f32;
        let mut sums = Array::<f32>::new(comptime!(d.div_ceil(units) as usize));
        #[unroll]
        for part in 0..comptime!(d.div_ceil(units)) {
            sums[part as usize] = 0.0f32;
        }
        let mut from = 0u32;
        while from < count {
            let key = from + UNIT_POS;
            let mut score = f32::min_value();
            if key < count {
                let mut dot = 0.0f32;
                for i in 0..d {
                    dot += query[i as usize] * keys[(start + key * width + i) as usize];
                }
                score = dot * scale;
            }
            let highest = reduce::<f32, Greatest>(score, &mut shared, units);
            let top = select(highest > most, highest, most);
            let weight = select(key < count, (score - top).exp(), 0.0f32);
            weights[UNIT_POS as usize] = weight;
            let sum = reduce::<f32, Sum>(weight, &mut shared, units);
            let fade = (most - top).exp();
            total = total * fade + sum;
            let here = select(count - from < units, count - from, units);
            #[unroll]
            for part in 0..comptime!(d.div_ceil(units)) {
                let at = part * units + UNIT_POS;
                if at < d {
                    let mut value = sums[part as usize] * fade;
                    for j in 0..here {
                        value += weights[j as usize] * values[(start + (from + j) * width + at) as usize];
                    }
                    sums[part as usize] = value;
                }
            }
            most = top;
            sync_cube();
            from += units;
        }
        #[unroll]
        for part in 0..comptime!(d.div_ceil(units)) {
            let at = part * units + UNIT_POS;
            if at < d {
                out[((row * heads + head) * d + at) as usize] = sums[part as usize] / total;
            }
        }
    }
}

pub fn attention<R: CubeRuntime, BT: BoolElement>(
    q: &Matrix<R, BT>,
    keys: &Tensor<Gpu<R, BT>, 3>,
    values: &Tensor<Gpu<R, BT>, 3>,
    places: &[(usize, usize)],
    shape: AttentionShape,
) -> Matrix<R, BT> {
    let [_, capacity, _] = keys.dims();
    let like = q.clone().into_primitive().tensor();
    let client = like.client.clone();
    let out = empty(&like, [places.len(), shape.heads * shape.head_dim]);
    let seen: Vec<u32> = places.iter().map(|&(_, at)| (at + 1 - shape.first_key(at)) as u32).collect();
    let query = Rows::new(like);
    let contiguous =
        |cache: &Tensor<Gpu<R, BT>, 3>| burn_cubecl::kernel::into_contiguous(cache.clone().into_primitive().tensor());
    let (keys, values) = (contiguous(keys), contiguous(values));
    let (count, dim) = cube_each(&client, places.len() * shape.heads);
    attention_kernel::launch::<R>(
        &client,
        count,
        dim,
        query.arg(),
        buffer(&keys),
        buffer(&values),
        upload(&client, &rows_of(places, capacity)),
        upload(&client, &seen),
        buffer(&out),
        query.stride,
        shape.scale(),
        shape.heads as u32,
        shape.kv_heads as u32,
        places.len() as u32,
        shape.head_dim as u32,
        UNITS,
    );
    wrap(out)
}
