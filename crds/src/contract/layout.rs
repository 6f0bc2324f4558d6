//! Where things lie in a store: every path is relative to `<output.uri>/`.
//!
//! Holds: no other place in the code spells these paths. Nothing under `stages/` depends on the name of a
//! training, so that trainings share finished work.

use super::StageKey;
use crate::stage::StageKind;

/// The last file a stage writes, and the last a checkpoint writes.
pub const MANIFEST: &str = "manifest.json";

/// `stages/<kind>-<key12>`: all that one piece of work leaves.
pub fn stage_dir(kind: StageKind, key: &StageKey) -> String {
    format!("stages/{}-{}", kind.lower(), key.key12())
}

/// `stages/<kind>-<key12>/manifest.json`: exists if and only if the stage is done.
pub fn manifest_path(kind: StageKind, key: &StageKey) -> String {
    format!("{}/{MANIFEST}", stage_dir(kind, key))
}

/// `attempt-<n>-<run8>`, relative to the stage's directory: written by one process only.
pub fn attempt_dir(attempt: u32, run8: &str) -> String {
    format!("attempt-{attempt}-{run8}")
}

/// `checkpoints/<step>-<run8>`, relative to the stage's directory. Steps are padded to 8 digits so that a listing
/// is in order.
pub fn checkpoint_dir(step: u64, run8: &str) -> String {
    format!("checkpoints/{step:08}-{run8}")
}

/// The step and run of a directory that [`checkpoint_dir`] named; takes the path or its last part.
pub fn parse_checkpoint_dir(path: &str) -> Option<(u64, &str)> {
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    let (step, run8) = name.split_once('-')?;
    let digits = step.len() >= 8 && step.bytes().all(|byte| byte.is_ascii_digit());
    if digits && !run8.is_empty() { Some((step.parse().ok()?, run8)) } else { None }
}

/// `trainings/<namespace>.<name>/<stage>.json`: where to find a stage's manifest, for people and tools.
pub fn pointer_path(namespace: &str, training: &str, stage: &str) -> String {
    format!("trainings/{namespace}.{training}/{stage}.json")
}

/// `plans/<sha256>.json`.
pub fn plan_path(sha256: &str) -> String {
    format!("plans/{sha256}.json")
}

/// `reports/<namespace>.<training>/<id>.json`: all that a preflight found, for people. `id` tells one question (the
/// resource, limits and stages asked for) from another: the same question replaces its answer.
pub fn report_path(namespace: &str, training: &str, id: &str) -> String {
    format!("reports/{namespace}.{training}/{id}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_documented_ones() {
        let key = StageKey::try_from("0123456789abcdef".repeat(4)).unwrap();
        assert_eq!(manifest_path(StageKind::PPO, &key), "stages/ppo-0123456789ab/manifest.json");
        assert_eq!(attempt_dir(2, "deadbeef"), "attempt-2-deadbeef");
        assert_eq!(pointer_path("default", "cardio", "sft"), "trainings/default.cardio/sft.json");
        assert_eq!(plan_path("ab"), "plans/ab.json");
        assert_eq!(report_path("default", "cardio", "ab"), "reports/default.cardio/ab.json");
    }

    #[test]
    fn a_checkpoint_directory_reads_back() {
        let dir = checkpoint_dir(1200, "deadbeef");
        assert_eq!(dir, "checkpoints/00001200-deadbeef");
        assert_eq!(parse_checkpoint_dir(&format!("stages/sft-0/{dir}/")), Some((1200, "deadbeef")));
        assert_eq!(parse_checkpoint_dir("checkpoints/tmp-1"), None);
        assert_eq!(parse_checkpoint_dir("checkpoints/00000001"), None);
    }
}
