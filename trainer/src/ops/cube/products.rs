//! Products of matrices by cubek's kernels.

use burn::tensor::Shape;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubek::{
    matmul::{
        definition::{MatmulElems, MatmulGlobalElems},
        launch::{Strategy, launch_ref},
    },
    std::InputBinding,
};

use super::tensors::empty;

/// A runtime that says which of cubek's kernels multiplies on it.
pub trait Products: CubeRuntime {
    /// One that takes matrices of any size and keeps f32.
    fn strategy() -> Strategy;
}

/// `lhs · rhs` of two matrices, or of as many pairs of them as their leading dimensions say.
pub fn multiply<R: Products>(lhs: CubeTensor<R>, rhs: CubeTensor<R>) -> CubeTensor<R> {
    let rank = lhs.meta.shape().num_dims();
    let mut shape: Vec<usize> = lhs.meta.shape().iter().copied().collect();
    shape[rank - 1] = rhs.meta.shape()[rank - 1];
    let out = empty(&lhs, Shape::from(shape));
    let dtype = lhs.dtype.into();
    let globals = MatmulGlobalElems { lhs: dtype, rhs: dtype, out: dtype };
    let mut elements = MatmulElems::from_globals(&globals);
    let (lhs, rhs) = (InputBinding::new(lhs.binding(), dtype), InputBinding::new(rhs.binding(), dtype));
    launch_ref(&R::strategy(), &out.client, lhs, rhs, out.clone().binding(), &mut elements)
        .expect("the kernel takes matrices of any size");
    out
}
