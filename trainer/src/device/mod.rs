//! What this process may compute on: which device, how many threads, how much memory.
//!
//! Holds: drivers are probed before any tensor library touches them, so a machine without a GPU is a sentence, not a
//! crash; limits of a container count, not those of its node.

mod cgroup;
pub mod memory;
mod probe;
mod threads;

use std::fmt;

pub use probe::vulkan::{Adapter, AdapterKind};
pub use threads::thread_count;

use crate::failure::{Failure, Result};

/// Where tensors live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Cpu,
    /// Ordinal among the GPUs that the process sees.
    Cuda(usize),
    /// Ordinal among the Vulkan adapters that the process sees: discrete GPUs first, software last.
    Wgpu(usize),
}

/// `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceRequest {
    /// The first GPU if this binary and this machine have one, by CUDA rather than by Vulkan, else the CPU.
    #[default]
    Auto,
    Exactly(Device),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
            Self::Wgpu(n) => write!(f, "wgpu:{n}"),
        }
    }
}

impl std::str::FromStr for DeviceRequest {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        let (backend, number) = text.split_once(':').unwrap_or((text, "0"));
        match (text, backend, number.parse()) {
            ("auto", ..) => Ok(Self::Auto),
            ("cpu", ..) => Ok(Self::Exactly(Device::Cpu)),
            (_, "cuda", Ok(n)) => Ok(Self::Exactly(Device::Cuda(n))),
            (_, "wgpu", Ok(n)) => Ok(Self::Exactly(Device::Wgpu(n))),
            _ => Err(Failure::config(format!("--device {text}: unknown; use auto, cpu, cuda, cuda:N, wgpu or wgpu:N"))),
        }
    }
}

/// What a driver offers, or why it can't be asked.
type Offer<T> = std::result::Result<Vec<T>, String>;

fn built_with(feature: &str, title: &str, built: bool) -> std::result::Result<(), String> {
    let advice = format!("use an image or a build with the feature \"{feature}\"");
    if built { Ok(()) } else { Err(format!("this medtrain was built without {title}; {advice}")) }
}

fn cuda_devices() -> Offer<String> {
    built_with("cuda", "CUDA", cfg!(feature = "cuda")).and_then(|()| probe::cuda::devices())
}

fn wgpu_adapters() -> Offer<Adapter> {
    built_with("wgpu", "wgpu", cfg!(feature = "wgpu")).and_then(|()| probe::vulkan::adapters())
}

impl DeviceRequest {
    /// Looks for the drivers if the request needs to know.
    ///
    /// # Errors
    /// 71 when a GPU is asked for and this binary or this machine has none of that number.
    pub fn resolve(self) -> Result<Device> {
        self.resolve_with(cuda_devices, wgpu_adapters)
    }

    fn resolve_with(
        self,
        cuda: impl FnOnce() -> Offer<String>,
        wgpu: impl FnOnce() -> Offer<Adapter>,
    ) -> Result<Device> {
        let Self::Exactly(device) = self else {
            // Software on the processor is slower than this program's own kernels there: only on demand.
            let real = |adapters: Vec<Adapter>| adapters.first().is_some_and(|best| best.kind != AdapterKind::Cpu);
            return Ok(if cuda().is_ok_and(|found| !found.is_empty()) {
                Device::Cuda(0)
            } else if wgpu().is_ok_and(real) {
                Device::Wgpu(0)
            } else {
                Device::Cpu
            });
        };
        let refused = |why: String| Failure::device(format!("--device {device}: {why}; or run with --device cpu"));
        let (n, seen, title) = match device {
            Device::Cpu => return Ok(device),
            Device::Cuda(n) => (n, cuda().map_err(refused)?.len(), "GPU(s)"),
            Device::Wgpu(n) => (n, wgpu().map_err(refused)?.len(), "Vulkan adapter(s)"),
        };
        if n < seen {
            return Ok(device);
        }
        Err(refused(format!("this process sees {seen} {title}, numbered from 0")))
    }
}

impl Device {
    /// What decides the last bits of a result: `cpu: <model>`, `cuda: <model>` or `wgpu: <model>`.
    pub fn model(self) -> String {
        let nth = |names: Vec<String>, n| names.into_iter().nth(n).unwrap_or_else(|| "unknown".into());
        match self {
            Self::Cpu => format!("cpu: {}", threads::processor_model()),
            Self::Cuda(n) => format!("cuda: {}", nth(cuda_devices().unwrap_or_default(), n)),
            Self::Wgpu(n) => {
                let adapters = wgpu_adapters().unwrap_or_default().into_iter();
                format!("wgpu: {}", nth(adapters.map(|adapter| adapter.name).collect(), n))
            }
        }
    }

    /// The Vulkan adapter of [`Self::Wgpu`]; `None` for another device, or once it is gone.
    pub fn adapter(self) -> Option<Adapter> {
        let Self::Wgpu(n) = self else { return None };
        wgpu_adapters().ok()?.into_iter().nth(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Asked = std::result::Result<Device, String>;

    fn resolve(text: &str, cuda: std::result::Result<usize, &str>, wgpu: &Offer<Adapter>) -> Asked {
        let gpus = || cuda.map(|n| vec!["H100".to_owned(); n]).map_err(str::to_owned);
        let request = text.parse::<DeviceRequest>();
        request.and_then(|request| request.resolve_with(gpus, || wgpu.clone())).map_err(|f| f.message)
    }

    fn adapters(kinds: &[AdapterKind]) -> Offer<Adapter> {
        Ok(kinds.iter().map(|&kind| Adapter { name: "some".into(), kind, index: 0 }).collect())
    }

    #[test]
    fn auto_takes_cuda_then_a_real_vulkan_adapter_then_the_processor() {
        let (real, software) = (adapters(&[AdapterKind::Integrated, AdapterKind::Cpu]), adapters(&[AdapterKind::Cpu]));
        let none: Offer<Adapter> = Err("no loader".into());
        for (cuda, wgpu, expected) in [
            (Ok(2), &real, Device::Cuda(0)),
            (Ok(0), &none, Device::Cpu),
            (Err("no driver"), &none, Device::Cpu),
            (Err("no driver"), &real, Device::Wgpu(0)),
            (Ok(0), &software, Device::Cpu),
            (Ok(0), &adapters(&[]), Device::Cpu),
        ] {
            assert_eq!(resolve("auto", cuda, wgpu), Ok(expected));
        }
        assert_eq!(resolve("cpu", Ok(2), &real), Ok(Device::Cpu));
        assert_eq!(resolve("cuda:1", Ok(2), &none), Ok(Device::Cuda(1)));
        assert_eq!(resolve("wgpu:1", Ok(2), &real), Ok(Device::Wgpu(1)));
        assert_eq!(resolve("wgpu", Err("no driver"), &software), Ok(Device::Wgpu(0)), "software where it is asked for");
    }

    #[test]
    fn a_missing_gpu_says_why_and_what_to_do() {
        for (text, expected) in [
            ("cuda", "--device cuda:0: no driver; or run with --device cpu"),
            ("wgpu", "--device wgpu:0: no loader; or run with --device cpu"),
            ("gpu", "--device gpu: unknown; use auto, cpu, cuda, cuda:N, wgpu or wgpu:N"),
            ("cuda:x", "--device cuda:x: unknown; use auto, cpu, cuda, cuda:N, wgpu or wgpu:N"),
            ("cpu:0", "--device cpu:0: unknown; use auto, cpu, cuda, cuda:N, wgpu or wgpu:N"),
        ] {
            assert_eq!(resolve(text, Err("no driver"), &Err("no loader".into())), Err(expected.to_owned()));
        }
        let software = adapters(&[AdapterKind::Cpu]);
        for (text, expected) in [
            ("cuda:2", "--device cuda:2: this process sees 2 GPU(s), numbered from 0; or run with --device cpu"),
            (
                "wgpu:1",
                "--device wgpu:1: this process sees 1 Vulkan adapter(s), numbered from 0; or run with --device cpu",
            ),
        ] {
            assert_eq!(resolve(text, Ok(2), &software), Err(expected.to_owned()));
        }
        let absent = DeviceRequest::Exactly(Device::Cuda(0)).resolve_with(|| Err("none".into()), || unreachable!());
        assert_eq!(absent.unwrap_err().exit.code(), 71);
        assert_eq!(
            built_with("cuda", "CUDA", false).unwrap_err(),
            "this medtrain was built without CUDA; use an image or a build with the feature \"cuda\""
        );
    }

    #[test]
    fn the_processor_has_a_name() {
        let model = Device::Cpu.model();
        assert!(model.starts_with("cpu: ") && model.len() > "cpu: ".len(), "{model}");
    }
}
