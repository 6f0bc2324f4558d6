//! Limits that a container (or systemd) puts on this process: cgroup v2 and v1.
//!
//! Holds: the tightest limit of the process's group and of the groups above it counts; what can't be read sets none.

use std::path::{Path, PathBuf};

pub(super) struct Cgroups {
    /// `/sys/fs/cgroup`.
    mount: PathBuf,
    /// Content of `/proc/self/cgroup`.
    membership: String,
}

impl Cgroups {
    pub(super) fn of_this_process() -> Self {
        Self {
            mount: "/sys/fs/cgroup".into(),
            membership: std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
        }
    }

    /// CPUs' worth of time a period, as the quota says; not rounded.
    pub(super) fn cpus(&self) -> Option<f64> {
        let v2 = self.folders("", "").into_iter().filter_map(|folder| {
            let text = std::fs::read_to_string(folder.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?; // "max 100000" does not parse: no limit
            share(quota.parse().ok()?, period.parse().ok()?)
        });
        let v1 = ["cpu", "cpu,cpuacct"].into_iter().flat_map(|dir| self.folders("cpu", dir)).filter_map(|folder| {
            share(number(&folder.join("cpu.cfs_quota_us"))?, number(&folder.join("cpu.cfs_period_us"))?)
        });
        v2.chain(v1).min_by(f64::total_cmp)
    }

    /// Bytes.
    pub(super) fn memory(&self) -> Option<u64> {
        let v2 = self.folders("", "").into_iter().filter_map(|folder| number(&folder.join("memory.max")));
        let v1 = self
            .folders("memory", "memory")
            .into_iter()
            .filter_map(|folder| number(&folder.join("memory.limit_in_bytes")));
        v2.chain(v1).min()
    }

    /// The process's group for a controller (`""`: the unified hierarchy) and every group above it, below `mount/dir`.
    fn folders(&self, controller: &str, dir: &str) -> Vec<PathBuf> {
        let root = if dir.is_empty() { self.mount.clone() } else { self.mount.join(dir) };
        let own = self.membership.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            controllers.split(',').any(|c| c == controller).then(|| path.trim_start_matches('/'))
        });
        // In a container the mount may already be the group itself, then only the root below exists.
        let path = Path::new(own.unwrap_or_default());
        path.ancestors().map(|group| root.join(group)).collect()
    }
}

fn share(quota: u64, period: u64) -> Option<f64> {
    (period > 0 && quota > 0).then(|| quota as f64 / period as f64)
}

/// `None` for "max" and -1, which mean no limit.
fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroups(membership: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroups) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mount = dir.path().to_owned();
        (dir, Cgroups { mount, membership: membership.to_owned() })
    }

    #[test]
    fn version_2_takes_the_tightest_limit_of_the_groups_above() {
        let files = [
            ("pods/cpu.max", "150000 100000\n"),
            ("pods/a/cpu.max", "max 100000\n"),
            ("pods/memory.max", "max\n"),
            ("pods/a/memory.max", "1073741824\n"),
        ];
        let (_dir, groups) = cgroups("0::/pods/a\n", &files);
        assert_eq!((groups.cpus(), groups.memory()), (Some(1.5), Some(1 << 30)));
    }

    #[test]
    fn a_container_reads_its_own_group_at_the_mount() {
        let (_dir, groups) = cgroups("0::/\n", &[("cpu.max", "50000 100000\n"), ("memory.max", "4096\n")]);
        assert_eq!((groups.cpus(), groups.memory()), (Some(0.5), Some(4096)));
    }

    #[test]
    fn version_1_has_a_folder_for_each_controller() {
        let files = [
            ("cpu,cpuacct/docker/a/cpu.cfs_quota_us", "300000\n"),
            ("cpu,cpuacct/docker/a/cpu.cfs_period_us", "100000\n"),
            ("memory/docker/a/memory.limit_in_bytes", "2048\n"),
        ];
        let (_dir, groups) = cgroups("4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n", &files);
        assert_eq!((groups.cpus(), groups.memory()), (Some(3.0), Some(2048)));
    }

    #[test]
    fn no_limit_is_none() {
        let files = [
            ("cpu.max", "max 100000\n"),
            ("memory.max", "max\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
        ];
        let (_dir, groups) = cgroups("0::/\n", &files);
        assert_eq!((groups.cpus(), groups.memory()), (None, None));
    }
}
