//! NVIDIA GPUs by CubeCL's CUDA runtime, without burn's fusion.
//!
//! cubek's own choice would be its kernel for tensor cores, which multiplies f32 as TF32, with 10 bits of fraction
//! (cubek-matmul 0.2.0: `launch/strategy.rs`, `auto`; `definition/blueprint.rs`, `adjust_dtypes`).

use cubecl::cuda::CudaRuntime;
use cubek::matmul::launch::Strategy;

use super::cube::Products;

pub type Cuda = burn_cuda::Cuda<f32, i32>;

impl Products for CudaRuntime {
    fn strategy() -> Strategy {
        Strategy::SimpleUnit(Default::default())
    }
}
