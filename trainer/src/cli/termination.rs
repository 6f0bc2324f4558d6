//! The termination log: where Kubernetes reads what became of a container.

use std::path::Path;

/// Kubernetes' own default.
pub(super) const POD_LOG: &str = "/dev/termination-log";

/// Kubernetes makes its file before the pod starts; on other machines nobody reads one that wasn't asked for.
pub(super) fn write(log: &Path, message: &str) {
    if (log.exists() || log != Path::new(POD_LOG))
        && let Err(error) = std::fs::write(log, message)
    {
        eprintln!("warning: {}: {error}", log.display());
    }
}
