//! What preflight found: the plan, and of each stage what it will do and take.
//!
//! Holds: field names are stable, since programs read them (`medtrain plan --json`); no text of a data row is in it.

use std::collections::BTreeMap;

use medtrain_crds::contract::{DataCounts, PlanRef, Pointer, StageKey, layout};
use medtrain_crds::resolve::{Plan, PlannedInput, Role};
use medtrain_crds::stage::StageKind;
use serde::Serialize;

use super::{MemoryEstimate, Workspace};
use crate::artifact::write_pointer;
use crate::data::Sample;
use crate::failure::{Failure, Result};

/// A training that can start.
#[derive(Clone, Debug)]
pub struct Preflight {
    pub plan: Plan,
    pub stages: Vec<Forecast>,
    pub warnings: Vec<String>,
    /// Choices made where the model's files leave one open (pad, separator), each once.
    pub notes: Vec<String>,
}

/// One stage, before it runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    pub name: String,
    pub kind: StageKind,
    pub key: StageKey,
    /// Its manifest is in the store: the figures are those of the run, and nothing will be done.
    pub done: bool,
    /// By role: the name of a stage, `model`, or a URI.
    pub inputs: BTreeMap<Role, String>,
    /// Optimiser steps.
    pub steps: u64,
    /// PPO only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollouts: Option<u64>,
    /// Passes over the data. Of a finished stage not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// What a batch counts: blocks, rows, packs, pairs, prompts. Of a finished stage not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<u64>,
    /// Counts of one pass over the data.
    pub data: DataCounts,
    /// Set if only a sample of the rows was read, so that the figures are estimates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// Columns that no one reads, with the number of rows that have them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ignored_columns: BTreeMap<String, u64>,
    /// Longest example in tokens. Of a finished stage not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest: Option<u32>,
    /// Peak on the CPU; none for a stage that won't run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryEstimate>,
    /// Whether this machine (or container) has that much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fits: Option<bool>,
}

impl Preflight {
    /// The plan as another process can read it: paths are absolute, the output is named. The keys are the same.
    ///
    /// # Errors
    /// 70 without a current directory to start at.
    pub fn stored_plan(&self, ws: &Workspace) -> Result<Plan> {
        let anchor = |uri: &mut String| -> Result<()> {
            if !uri.contains("://") {
                let path = ws.base.join(&*uri);
                let path = std::path::absolute(&path).map_err(|error| Failure::io(&path, &error))?;
                *uri = path.display().to_string();
            }
            Ok(())
        };
        let mut plan = self.plan.clone();
        plan.output = Some(ws.store.uri().to_owned());
        for stage in &mut plan.stages {
            for file in stage.dataset.train.iter_mut().chain(&mut stage.dataset.eval) {
                anchor(&mut file.uri)?;
            }
            for input in stage.inputs.values_mut() {
                match input {
                    PlannedInput::External { uri, .. } | PlannedInput::Random { tokenizer: uri, .. } => anchor(uri)?,
                    PlannedInput::Stage { .. } => {}
                }
            }
        }
        Ok(plan)
    }

    /// Writes the plan and the pointers of its stages to the store, so that stages find the one and a garbage collection
    /// counts the others.
    ///
    /// # Errors
    /// As [`crate::artifact::Store::create`] and [`Self::stored_plan`].
    pub fn write(&self, ws: &Workspace) -> Result<PlanRef> {
        let plan = self.stored_plan(ws)?;
        let (path, sha256) = (plan.path(), plan.digest());
        ws.store.create(&path, plan.to_json())?;
        for stage in &self.plan.stages {
            let pointer = layout::pointer_path(&self.plan.namespace, &self.plan.training, &stage.name);
            write_pointer(&ws.store, &pointer, &Pointer::new(stage.kind, stage.key.clone()))?;
        }
        Ok(PlanRef { uri: ws.store.uri_of(&path), sha256 })
    }

    /// # Errors
    /// 64 for a name that no stage has.
    pub fn stage(&self, name: &str) -> Result<&Forecast> {
        self.stages
            .iter()
            .find(|stage| stage.name == name)
            .ok_or_else(|| Failure::config(format!("there is no stage \"{name}\" in the plan")))
    }
}
