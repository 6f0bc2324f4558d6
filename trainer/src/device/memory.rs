//! Memory of this process and the most it may have, in bytes.

use super::cgroup::Cgroups;

/// In RAM now; `None` without `/proc`.
pub fn resident() -> Option<u64> {
    field("/proc/self/status", "VmRSS:")
}

/// The most that was in RAM at once since the process began.
pub fn peak() -> Option<u64> {
    field("/proc/self/status", "VmHWM:")
}

/// The smaller of the machine's memory and the container's limit.
pub fn limit() -> Option<u64> {
    let machine = field("/proc/meminfo", "MemTotal:");
    machine.into_iter().chain(Cgroups::of_this_process().memory()).min()
}

/// A line `Name:  123 kB` of a file in `/proc`.
fn field(file: &str, name: &str) -> Option<u64> {
    kibibytes(&std::fs::read_to_string(file).ok()?, name)
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_kilobytes_are_1024_bytes() {
        let status = "VmPeak:\t  900 kB\nVmHWM:\t  200 kB\nVmRSS:\t  100 kB\n";
        assert_eq!((kibibytes(status, "VmRSS:"), kibibytes(status, "VmHWM:")), (Some(102_400), Some(204_800)));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_uses_some_memory_and_less_than_it_may() {
        let (now, peak, limit) = (resident().unwrap(), peak().unwrap(), limit().unwrap());
        assert!(0 < now && now <= peak && peak < limit, "{now} {peak} {limit}");
    }
}
