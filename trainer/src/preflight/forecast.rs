//! What preflight found: the plan, and of each stage what it will do and take.
//!
//! Holds: field names are stable, since programs read them (`medtrain plan --json`); no text of a data row is in it.

use std::collections::BTreeMap;

use medtrain_crds::contract::{DataCounts, PlanRef, Pointer, SplitCounts, StageKey, layout};
use medtrain_crds::resolve::{Plan, Role};
use medtrain_crds::stage::StageKind;
use serde::Serialize;

use super::{MemoryEstimate, Workspace};
use crate::artifact::write_pointer;
use crate::data::DataReport;
use crate::failure::{Failure, Result};

/// A training that can start.
#[derive(Clone, Debug)]
pub struct Preflight {
    pub plan: Plan,
    pub stages: Vec<Forecast>,
    pub warnings: Vec<String>,
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
    /// Writes the plan and the pointers of its stages to the store, so that stages find the one and a garbage collection
    /// counts the others.
    ///
    /// # Errors
    /// As [`crate::artifact::Store::create`].
    pub fn write(&self, ws: &Workspace) -> Result<PlanRef> {
        let json = self.plan.to_json();
        let sha256 = self.plan.digest();
        let path = layout::plan_path(&sha256);
        ws.store.create(&path, json)?;
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

/// A report's counts as the contract has them.
pub(super) fn split_counts(report: &DataReport) -> SplitCounts {
    SplitCounts {
        rows: report.rows,
        examples: report.examples,
        tokens: report.tokens,
        target_tokens: report.loss_tokens,
        truncated: report.truncated,
        dropped: report.dropped.clone(),
    }
}
