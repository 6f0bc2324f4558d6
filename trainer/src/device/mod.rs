//! What this process may compute on: which device, how many threads, how much memory.
//!
//! Holds: the driver is probed before any tensor library touches it, so a machine without a GPU is a sentence, not a
//! crash; limits of a container count, not those of its node.

mod cgroup;
pub mod memory;
mod probe;
mod threads;

use std::fmt;

pub use threads::thread_count;

use crate::failure::{Failure, Result};

/// Where tensors live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Cpu,
    /// Ordinal among the GPUs that the process sees.
    Cuda(usize),
}

/// `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceRequest {
    /// The first GPU if this binary and this machine have one, else the CPU.
    #[default]
    Auto,
    Exactly(Device),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

impl std::str::FromStr for DeviceRequest {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        let cuda = |n| Ok(Self::Exactly(Device::Cuda(n)));
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Exactly(Device::Cpu)),
            "cuda" => cuda(0),
            _ => match text.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(n)) => cuda(n),
                _ => Err(Failure::config(format!("--device {text}: unknown; use auto, cpu, cuda or cuda:N"))),
            },
        }
    }
}

impl DeviceRequest {
    /// Looks for the driver if the request needs to know.
    ///
    /// # Errors
    /// 71 when a GPU is asked for and this binary or this machine has none of that number.
    pub fn resolve(self) -> Result<Device> {
        self.resolve_with(cfg!(feature = "cuda"), probe::cuda_devices)
    }

    fn resolve_with(
        self,
        built_with_cuda: bool,
        devices: impl FnOnce() -> std::result::Result<Vec<String>, String>,
    ) -> Result<Device> {
        let wanted = match self {
            Self::Exactly(Device::Cpu) => return Ok(Device::Cpu),
            Self::Exactly(Device::Cuda(n)) => Some(n),
            Self::Auto => None,
        };
        let available = if built_with_cuda {
            devices()
        } else {
            Err("this medtrain was built without CUDA; use an image or a build with the feature \"cuda\"".to_owned())
        };
        let Some(n) = wanted else {
            return Ok(if available.is_ok_and(|found| !found.is_empty()) { Device::Cuda(0) } else { Device::Cpu });
        };
        let refused = |why: String| Failure::device(format!("--device cuda:{n}: {why}; or run with --device cpu"));
        match available {
            Err(why) => Err(refused(why)),
            Ok(found) if n < found.len() => Ok(Device::Cuda(n)),
            Ok(found) => Err(refused(format!("this process sees {} GPU(s), numbered from 0", found.len()))),
        }
    }
}

impl Device {
    /// What decides the last bits of a result: `cpu: <model>` or `cuda: <model>`.
    pub fn model(self) -> String {
        match self {
            Self::Cpu => format!("cpu: {}", threads::processor_model()),
            Self::Cuda(n) => {
                let name = probe::cuda_devices().ok().and_then(|found| found.into_iter().nth(n));
                format!("cuda: {}", name.as_deref().unwrap_or("unknown"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, built: bool, gpus: std::result::Result<usize, &str>) -> std::result::Result<Device, String> {
        let found = || gpus.map(|n| vec!["H100".to_owned(); n]).map_err(str::to_owned);
        text.parse::<DeviceRequest>().and_then(|r| r.resolve_with(built, found)).map_err(|f| f.message)
    }

    #[test]
    fn auto_takes_a_gpu_only_if_binary_and_machine_have_one() {
        assert_eq!(resolve("auto", true, Ok(2)), Ok(Device::Cuda(0)));
        assert_eq!(resolve("auto", true, Ok(0)), Ok(Device::Cpu));
        assert_eq!(resolve("auto", true, Err("no driver")), Ok(Device::Cpu));
        assert_eq!(resolve("auto", false, Ok(2)), Ok(Device::Cpu));
        assert_eq!(resolve("cpu", true, Ok(2)), Ok(Device::Cpu));
        assert_eq!(resolve("cuda:1", true, Ok(2)), Ok(Device::Cuda(1)));
    }

    #[test]
    fn a_missing_gpu_says_why_and_what_to_do() {
        for (text, built, gpus, expected) in [
            ("cuda", true, Err("no driver"), "--device cuda:0: no driver; or run with --device cpu"),
            (
                "cuda:2",
                true,
                Ok(2),
                "--device cuda:2: this process sees 2 GPU(s), numbered from 0; or run with --device cpu",
            ),
            (
                "cuda:0",
                false,
                Ok(1),
                "--device cuda:0: this medtrain was built without CUDA; use an image or a build with the feature \"cuda\"; or run with --device cpu",
            ),
            ("gpu", true, Ok(1), "--device gpu: unknown; use auto, cpu, cuda or cuda:N"),
            ("cuda:x", true, Ok(1), "--device cuda:x: unknown; use auto, cpu, cuda or cuda:N"),
        ] {
            assert_eq!(resolve(text, built, gpus), Err(expected.to_owned()));
        }
        let absent = DeviceRequest::Exactly(Device::Cuda(0)).resolve_with(true, || Err("none".into()));
        assert_eq!(absent.unwrap_err().exit.code(), 71);
    }

    #[test]
    fn the_processor_has_a_name() {
        let model = Device::Cpu.model();
        assert!(model.starts_with("cpu: ") && model.len() > "cpu: ".len(), "{model}");
    }
}
