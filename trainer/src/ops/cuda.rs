//! NVIDIA GPUs by burn's CUDA backend. Fusion stays off until parity with the CPU is shown on a device.
//!
//! Known: its products of f32 matrices are TF32, with 10 bits of fraction. cubek-matmul 0.2.0 tries the kernel for tensor
//! cores first (`launch/strategy.rs`, `auto`), which rounds both sides (`definition/blueprint.rs`, `adjust_dtypes`), and
//! burn 0.21 passes no other choice on.

pub type Cuda = burn_cuda::Cuda<f32, i32>;

plain_bodies!(Cuda);
