//! Tensors as kernels see them: buffers with a row stride.
//!
//! Holds: what these functions make is contiguous; what comes from burn may have padded rows (its CUDA memory is pitched),
//! so kernels take the stride of a row beside every buffer that they read.
#![allow(unsafe_code)] // a buffer's length is told by hand

use burn::tensor::{DType, Shape, Tensor, TensorPrimitive};
use burn_cubecl::{CubeElement, CubeRuntime, element::BoolElement, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::Gpu;

/// Units of a cube.
pub const UNITS: u32 = 256;

/// A matrix, or a vector as one row.
pub struct Rows<R: CubeRuntime> {
    tensor: CubeTensor<R>,
    /// Elements from a row to the next.
    pub stride: u32,
}

impl<R: CubeRuntime> Rows<R> {
    /// The tensor's last dimension as a row; all others are rows. Copied where its memory does not allow that.
    pub fn of<BT: BoolElement, const D: usize>(tensor: &Tensor<Gpu<R, BT>, D>) -> Self {
        Self::new(tensor.clone().into_primitive().tensor())
    }

    pub fn new(tensor: CubeTensor<R>) -> Self {
        let regular = |tensor: &CubeTensor<R>| {
            let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
            let rank = shape.num_dims();
            strides[rank - 1] == 1 && (0..rank.saturating_sub(2)).all(|i| strides[i] == strides[i + 1] * shape[i + 1])
        };
        let tensor = if regular(&tensor) { tensor } else { into_contiguous(tensor) };
        let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
        let rank = shape.num_dims();
        let stride = if rank > 1 { strides[rank - 2] } else { shape[0] };
        Self { stride: stride as u32, tensor }
    }

    /// For a kernel that reads.
    pub fn arg(&self) -> ArrayArg<R> {
        buffer(&self.tensor)
    }
}

/// The whole buffer of a tensor, with what pads its rows.
pub fn buffer<R: CubeRuntime>(tensor: &CubeTensor<R>) -> ArrayArg<R> {
    let length = tensor.handle.size_in_used() as usize / tensor.elem_size();
    // SAFETY: the length is that of the buffer.
    unsafe { ArrayArg::from_raw_parts(tensor.handle.clone(), length) }
}

/// Something to write all of.
pub fn empty<R: CubeRuntime>(like: &CubeTensor<R>, shape: impl Into<Shape>) -> CubeTensor<R> {
    let (client, device) = (like.client.clone(), like.device.clone());
    burn_cubecl::ops::numeric::empty_device_contiguous_dtype(client, device, shape.into(), DType::F32)
}

/// Something to write over: the tensor itself if nobody else holds it and its rows are not padded, else a copy.
pub fn writable<R: CubeRuntime>(tensor: CubeTensor<R>) -> CubeTensor<R> {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() { tensor } else { tensor.copy() }
}

pub fn wrap<R: CubeRuntime, BT: BoolElement, const D: usize>(tensor: CubeTensor<R>) -> Tensor<Gpu<R, BT>, D> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

/// Host values as a kernel's input.
pub fn upload<R: CubeRuntime, E: CubeElement>(client: &ComputeClient<R>, values: &[E]) -> ArrayArg<R> {
    let handle = client.create_from_slice(E::as_bytes(values));
    // SAFETY: the length is that of the values.
    unsafe { ArrayArg::from_raw_parts(handle, values.len()) }
}

/// One unit for each of `count` things.
pub fn for_each<R: CubeRuntime>(client: &ComputeClient<R>, count: usize) -> (CubeCount, CubeDim) {
    let units = CubeDim::new_1d(UNITS);
    (cubecl::calculate_cube_count_elemwise(client, count, units), units)
}

/// One cube for each of `count` things.
pub fn cube_each<R: CubeRuntime>(client: &ComputeClient<R>, count: usize) -> (CubeCount, CubeDim) {
    (cubecl::calculate_cube_count_elemwise(client, count, CubeDim::new_single()), CubeDim::new_1d(UNITS))
}
