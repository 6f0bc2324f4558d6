//! Names of children and their labels.

use medtrain_crds::resolve::MAX_JOB_NAME;

pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const MANAGER: &str = "medtrain-operator";
pub const TRAINING: &str = "medtrain.io/training";
pub const TRAINING_UID: &str = "medtrain.io/training-uid";
pub const STAGE: &str = "medtrain.io/stage";
pub const KIND: &str = "medtrain.io/kind";
pub const ATTEMPT: &str = "medtrain.io/attempt";
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Annotation: the stage's key or the plan's hash that a Job is for.
pub const KEY: &str = "medtrain.io/key";
/// Annotation: digest of the pod template that a Job was made from.
pub const POD_TEMPLATE: &str = "medtrain.io/pod-template";
pub const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// `<training>-<stage>-<attempt>`.
pub fn stage(training: &str, stage: &str, attempt: u32) -> String {
    let name = format!("{training}-{stage}-{attempt}");
    debug_assert!(name.len() <= MAX_JOB_NAME);
    name
}

/// `<training>-plan-<hash8>`, from the second attempt on with its number.
pub fn preflight(training: &str, hash: &str, attempt: u32) -> String {
    match attempt {
        0 | 1 => format!("{training}-plan-{hash}"),
        attempt => format!("{training}-plan-{hash}-{attempt}"),
    }
}

/// `<training>-<stage>-<attempt>-probe<n>`: no stage's Job ends in a word.
pub fn probe(training: &str, stage: &str, attempt: u32, probe: u32) -> String {
    format!("{training}-{stage}-{attempt}-probe{probe}")
}
