//! NVIDIA GPUs by burn's CUDA backend, with the plain bodies. Fusion stays off until parity with the CPU is shown on a
//! device.

use burn::tensor::Tensor;

use super::LmBackend;

pub type Cuda = burn_cuda::Cuda<f32, i32>;

impl LmBackend for Cuda {
    type Frozen = Tensor<Self, 2>;

    fn freeze(weight: Tensor<Self, 2>) -> Self::Frozen {
        weight
    }

    fn thaw(weight: &Self::Frozen) -> Tensor<Self, 2> {
        weight.clone()
    }
}
