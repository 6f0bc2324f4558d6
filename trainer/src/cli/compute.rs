//! Options of every command that computes: where, and with how many threads.

use crate::{
    device::{Device, DeviceRequest, thread_count},
    failure::{Failure, Result},
};

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ComputeArgs {
    /// Where to compute: auto, cpu, cuda, cuda:N (NVIDIA), wgpu or wgpu:N (Vulkan).
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Threads on the CPU; the default is all that this process may use. Results do not depend on it.
    #[arg(long, env = "MEDTRAIN_THREADS", value_name = "N")]
    pub threads: Option<usize>,
}

impl ComputeArgs {
    /// Finds the device and runs `work` on the threads asked for. All of it runs there: work that starts on another thread
    /// is handed over at every parallel loop, which costs more than small loops do.
    pub fn on_threads<R: Send>(&self, work: impl FnOnce(Device) -> Result<R> + Send) -> Result<R> {
        let device = self.device.parse::<DeviceRequest>()?.resolve()?;
        let threads = self.threads.map_or_else(thread_count, Ok)?;
        if threads == 0 {
            return Err(Failure::config("--threads: 0 computes nothing; set 1 or more"));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map_err(|error| Failure::internal(format!("{threads} threads can't be started: {error}")))?
            .install(|| work(device))
    }
}
