//! The tests of `vulkan.rs` on an NVIDIA GPU: `bash tests/tools/test-cuda.sh` runs them, on a machine that has one.

mod commands;
mod compare;
mod losses;
mod model;
mod ops;

use burn_cuda::CudaDevice;
use medtrain_trainer::{device::Device, ops::Cuda};

type Gpu = Cuda;

/// How the manifests name the device.
const NAMED: &str = "cuda: NVIDIA";

fn device() -> Device {
    Device::Cuda(0)
}

fn gpu() -> CudaDevice {
    CudaDevice::new(0)
}
