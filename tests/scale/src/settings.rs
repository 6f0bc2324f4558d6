//! What `tests/scale/run.sh` tells the test.

use std::path::PathBuf;

use anyhow::{Context, Result};

#[derive(Clone, Debug)]
pub struct Settings {
    pub trainings: usize,
    /// State directory of the control plane (tests/cluster/up.sh): audit log, the operator's process.
    pub state: PathBuf,
    /// As the API server knows the operator.
    pub operator: String,
    /// Where the operator serves `/metrics`.
    pub metrics: String,
}

impl Settings {
    /// # Errors
    /// A variable is missing or no number: the test was started by something other than `tests/scale/run.sh`.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            trainings: variable("MEDTRAIN_SCALE_TRAININGS")?.parse().context("MEDTRAIN_SCALE_TRAININGS")?,
            state: variable("MEDTRAIN_SCALE_STATE")?.into(),
            operator: variable("MEDTRAIN_SCALE_OPERATOR")?,
            metrics: variable("MEDTRAIN_SCALE_METRICS")?,
        })
    }

    /// More namespaces for more trainings, as teams share a cluster.
    pub fn namespaces(&self) -> usize {
        (self.trainings / 50).clamp(5, 20)
    }

    /// Nodes hold 250 pods; all stages may run at once.
    pub fn nodes(&self) -> usize {
        self.trainings.div_ceil(200).max(3)
    }
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: start this test by `make scale`"))
}
