//! Any GPU with a Vulkan driver, by burn's wgpu backend, without fusion and without autotune (which kernel that chooses
//! depends on timing, and on the kernel the last bits).
//!
//! Kernels go out as WGSL, which knows no tensor cores: products of f32 matrices stay f32, unlike `cuda`'s.
//! Both share CubeCL and its kernels, and this one runs on Mesa's software device: `trainer/tests/vulkan` holds it to the
//! CPU on machines without a GPU.

use burn_wgpu::WgpuDevice;

use crate::{
    device::{AdapterKind, Device},
    failure::{Failure, Result},
};

pub type Wgpu = burn_wgpu::Wgpu<f32, i32>;

plain_bodies!(Wgpu);

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
