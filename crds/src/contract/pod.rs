//! What a pod of ours gets from the operator besides `stage.json`: paths, environment, port, container name.
//!
//! Holds: the operator writes these and the trainer reads them; neither spells them elsewhere.

/// The only container; podFailurePolicy and log commands name it.
pub const CONTAINER: &str = "trainer";

/// Where the ConfigMap of an attempt is mounted.
pub const CONFIG_DIR: &str = "/etc/medtrain";
/// The file of a stage's pod, in [`CONFIG_DIR`] and a key of its ConfigMap.
pub const STAGE_FILE: &str = "stage.json";
/// The file of a preflight pod, likewise.
pub const PREFLIGHT_FILE: &str = "preflight.json";

/// Name and number of the port that serves `/metrics` and `/progress`.
pub const METRICS_PORT_NAME: &str = "metrics";
pub const METRICS_PORT: u16 = 9464;

/// Scratch and caches; may be empty at every start.
pub const WORKDIR: &str = "/var/lib/medtrain";

/// Environment variables.
pub mod env {
    /// Number of the attempt, from 1.
    pub const ATTEMPT: &str = "MEDTRAIN_ATTEMPT";
    /// The pod's UID: names what this run writes and fences it.
    pub const POD_UID: &str = "POD_UID";
    pub const WORKDIR: &str = "MEDTRAIN_WORKDIR";
    /// Address of [`METRICS_PORT`](super::METRICS_PORT).
    pub const LISTEN: &str = "MEDTRAIN_LISTEN";
    /// Goes into manifests.
    pub const IMAGE_DIGEST: &str = "MEDTRAIN_IMAGE_DIGEST";
    /// Token and address of the model hub; the names are Hugging Face's.
    pub const HF_TOKEN: &str = "HF_TOKEN";
    pub const HF_ENDPOINT: &str = "HF_ENDPOINT";

    /// What the variables of entry `index` of `spec.storage` begin with. The rest of a name is a setting of the
    /// store in upper case (`AWS_ACCESS_KEY_ID`), so that one pod can hold credentials of several stores.
    pub fn store_prefix(index: usize) -> String {
        format!("MEDTRAIN_STORE_{index}_")
    }
}

/// The CA bundle of entry `index` of `spec.storage`, where it names a ConfigMap.
pub fn ca_file(index: usize) -> String {
    format!("{CONFIG_DIR}/ca/{index}/{CA_KEY}")
}

/// The key of such a ConfigMap.
pub const CA_KEY: &str = "ca.crt";
