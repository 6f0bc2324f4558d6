//! How many threads computing may use. Results do not depend on it; speed does.

use super::cgroup::Cgroups;
use crate::failure::{Failure, Result};

const VARIABLE: &str = "MEDTRAIN_THREADS";

/// `MEDTRAIN_THREADS`, else the CPUs this process may run on, else fewer if a cgroup quota says so (rounded up).
///
/// # Errors
/// 64 when `MEDTRAIN_THREADS` is not a number from 1 to 1024.
pub fn thread_count() -> Result<usize> {
    if let Ok(text) = std::env::var(VARIABLE) {
        return asked_for(&text);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cpus =
        allowed_cpus(&status).or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    Ok(within_quota(cpus, Cgroups::of_this_process().cpus()))
}

fn asked_for(text: &str) -> Result<usize> {
    match text.trim().parse() {
        Ok(n @ 1..=1024) => Ok(n),
        _ => Err(Failure::config(format!(
            "{VARIABLE}={text}: not a number of threads; set 1 to 1024, or unset it for all CPUs"
        ))),
    }
}

fn within_quota(cpus: usize, quota: Option<f64>) -> usize {
    quota.map_or(cpus, |quota| cpus.min(quota.ceil() as usize)).max(1)
}

/// From `/proc/self/status`: `Cpus_allowed_list: 0-3,8`.
fn allowed_cpus(status: &str) -> Option<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    list.split(',')
        .map(|range| match range.split_once('-') {
            Some((first, last)) => Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1),
            None => range.parse::<usize>().ok().map(|_| 1),
        })
        .sum()
}

/// From `/proc/cpuinfo`; `unknown` where it has no name.
pub(super) fn processor_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        info.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned())
    };
    // x86 says "model name"; Arm says implementer and part only.
    field("model name")
        .or_else(|| Some(format!("{} {}", field("CPU implementer")?, field("CPU part")?)))
        .unwrap_or_else(|| "unknown".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_rounded_up_and_never_adds_threads() {
        for (cpus, quota, expected) in [(8, None, 8), (8, Some(1.5), 2), (8, Some(0.1), 1), (2, Some(16.0), 2)] {
            assert_eq!(within_quota(cpus, quota), expected);
        }
    }

    #[test]
    fn affinity_lists_are_counted() {
        assert_eq!(allowed_cpus("Name:\tx\nCpus_allowed_list:\t0-3,8,10-11\n"), Some(7));
        assert_eq!(allowed_cpus("Cpus_allowed_list:\t5\n"), Some(1));
        assert_eq!(allowed_cpus("Name:\tx\n"), None);
    }

    #[test]
    fn a_wrong_setting_says_what_is_right() {
        assert_eq!(asked_for("4").unwrap(), 4);
        for text in ["0", "many", "-1", "100000"] {
            let message = asked_for(text).unwrap_err().message;
            assert_eq!(
                message,
                format!("MEDTRAIN_THREADS={text}: not a number of threads; set 1 to 1024, or unset it for all CPUs")
            );
        }
    }
}
