//! What `tests/e2e/run.sh` tells the tests.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Where cluster, store, images and programs are.
#[derive(Clone, Debug)]
pub struct Environment {
    /// An S3 server that pods and tests reach under the same address.
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub bucket: String,
    /// The trainer's image, present on the node or pullable.
    pub trainer_image: String,
    /// The `medtrain` that the image holds, for runs to compare with.
    pub medtrain: PathBuf,
}

impl Environment {
    /// # Errors
    /// A variable is missing: the tests were started by something other than `tests/e2e/run.sh`.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            endpoint: variable("AWS_ENDPOINT_URL")?,
            region: variable("AWS_REGION")?,
            access_key_id: variable("AWS_ACCESS_KEY_ID")?,
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
            bucket: variable("MEDTRAIN_E2E_BUCKET")?,
            trainer_image: variable("MEDTRAIN_E2E_TRAINER_IMAGE")?,
            medtrain: variable("MEDTRAIN_E2E_MEDTRAIN")?.into(),
        })
    }
}

/// # Errors
/// It is not set.
pub fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: start these tests by `make e2e`"))
}
