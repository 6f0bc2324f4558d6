//! The CubeCL path against the CPU's: each computation once on flex, whose kernels the parity tests hold to
//! transformers and torch, and once through burn's wgpu backend on Mesa's software Vulkan device. CUDA runs the same
//! kernels by the same CubeCL, with another compiler: `cuda.rs` is the same tests there.
//!
//! `make test-vulkan` runs it; plain `cargo test` does not build it.

mod commands;
mod compare;
mod losses;
mod model;
mod ops;

use burn_wgpu::WgpuDevice;
use medtrain_trainer::{
    device::{AdapterKind, Device},
    ops::{Wgpu, wgpu_device},
};

type Gpu = Wgpu;

/// How the manifests name the device.
const NAMED: &str = "wgpu: llvmpipe";

/// The software adapter, wherever it stands in the list.
fn device() -> Device {
    let cpu = |device: &Device| device.adapter().is_none_or(|adapter| adapter.kind == AdapterKind::Cpu);
    let found = (0..).map(Device::Wgpu).find(cpu).expect("the numbers do not end");
    assert!(
        found.adapter().is_some(),
        "Vulkan has no software device here: install mesa-vulkan-drivers and libvulkan1 (Debian's names)"
    );
    found
}

fn gpu() -> WgpuDevice {
    wgpu_device(device()).unwrap()
}
