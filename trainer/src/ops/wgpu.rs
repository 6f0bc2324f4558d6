//! Any GPU with a Vulkan driver, by burn's wgpu backend, without fusion and without autotune (which kernel that chooses
//! depends on timing, and on the kernel the last bits).
//!
//! Kernels go out as WGSL. CUDA has the same ones, and this backend runs on Mesa's software device:
//! `trainer/tests/gpu/vulkan.rs` holds it to the CPU on machines without a GPU.

use burn_wgpu::WgpuDevice;
use cubecl::wgpu::WgpuRuntime;
use cubek::matmul::launch::Strategy;

use super::cube::Products;
use crate::{
    device::{AdapterKind, Device},
    failure::{Failure, Result},
};

pub type Wgpu = burn_wgpu::Wgpu<f32, i32>;

impl Products for WgpuRuntime {
    fn strategy() -> Strategy {
        Strategy::SimpleUnit(Default::default())
    }
}

/// burn's name of a [`Device::Wgpu`].
///
/// # Errors
/// 71 when the adapter is not there any more.
pub fn wgpu_device(device: Device) -> Result<WgpuDevice> {
    let adapter = device.adapter().ok_or_else(|| Failure::device(format!("--device {device}: is gone")))?;
    Ok(match adapter.kind {
        AdapterKind::Discrete => WgpuDevice::DiscreteGpu(adapter.index),
        AdapterKind::Integrated => WgpuDevice::IntegratedGpu(adapter.index),
        AdapterKind::Virtual => WgpuDevice::VirtualGpu(adapter.index),
        AdapterKind::Cpu => WgpuDevice::Cpu,
    })
}
