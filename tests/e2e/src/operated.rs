//! MedicalTrainings that the operator runs: made, edited and looked at as a user would.

use std::fmt::Debug;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Resource,
    api::{ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, NamespaceResourceScope},
};
use medtrain_crds::{
    k8s::MedicalTraining,
    training::status::{MedicalTrainingStatus, StageState, StageStatus, condition},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::Scenario;

impl Scenario {
    /// Objects of the scenario's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// # Errors
    /// The API server refuses.
    pub async fn create<K>(&self, object: Value) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
    {
        let what = format!("{} {}", K::kind(&()), object["metadata"]["name"]);
        self.api::<K>().create(&PostParams::default(), &serde_json::from_value(object)?).await.context(what)
    }

    /// A merge patch.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn patch<K>(&self, name: &str, patch: Value) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let what = || format!("patching {} {name}", K::kind(&()));
        self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.with_context(what)?;
        Ok(())
    }

    /// Makes the training in the cluster as it is here. Lists are replaced whole; fields that went stay.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn apply(&self, training: &Value) -> Result<()> {
        let name = training["metadata"]["name"].as_str().unwrap_or_default();
        if self.api::<MedicalTraining>().get_opt(name).await?.is_some() {
            return self.patch::<MedicalTraining>(name, json!({"spec": training["spec"]})).await;
        }
        // As it is written: a type of ours would spell some values its own way, and the next patch would be an edit.
        let resource = ApiResource::erase::<MedicalTraining>(&());
        let trainings: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        trainings.create(&PostParams::default(), &serde_json::from_value(training.clone())?).await?;
        Ok(())
    }

    /// # Errors
    /// There is no such training.
    pub async fn status(&self, training: &str) -> Result<MedicalTrainingStatus> {
        Ok(self.api::<MedicalTraining>().get(training).await?.status.unwrap_or_default())
    }

    /// Waits until the status, of the newest version of the training, is as `seen` wants it.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn status_until(
        &self,
        training: &str,
        what: &str,
        seen: impl Fn(&MedicalTrainingStatus) -> bool,
    ) -> Result<MedicalTrainingStatus> {
        let trainings = self.api::<MedicalTraining>();
        self.until(&format!("{what} of {training}"), async || {
            let found = trainings.get(training).await?;
            let status = found.status.unwrap_or_default();
            Ok(status.observed_generation == found.metadata.generation && seen(&status))
        })
        .await?;
        self.status(training).await
    }

    /// Waits until a stage is as `seen` wants it.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn stage_until(
        &self,
        training: &str,
        stage: &str,
        what: &str,
        seen: impl Fn(&StageStatus) -> bool,
    ) -> Result<StageStatus> {
        let what = format!("{what} of stage {stage}");
        let status = self.status_until(training, &what, |status| status.stage(stage).is_some_and(&seen)).await?;
        status.stage(stage).cloned().context("the stage is gone")
    }

    /// Waits until the newest version of the training has a condition. Fails at once when it has failed instead.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn reaches(&self, training: &str, condition: &str) -> Result<MedicalTrainingStatus> {
        let over = |status: &MedicalTrainingStatus| status.is(condition) || status.is("Failed");
        let status = self.status_until(training, condition, over).await?;
        ensure!(status.is(condition), "{training} is not {condition}: {:?}", status.conditions);
        Ok(status)
    }

    /// Names of Jobs, sorted: `stage`, or `preflight` (probes too).
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn jobs_of(&self, component: &str) -> Result<Vec<String>> {
        let found = self.api::<Job>().list(&component_is(component)).await?;
        let mut names: Vec<String> = found.items.into_iter().filter_map(|job| job.metadata.name).collect();
        names.sort();
        Ok(names)
    }

    /// Pods of stages that have not ended.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn live_stage_pods(&self) -> Result<Vec<Pod>> {
        let ended = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
            ["Succeeded", "Failed"].contains(&phase)
        };
        let found = self.api::<Pod>().list(&component_is("stage")).await?.items;
        Ok(found.into_iter().filter(|pod| !ended(pod)).collect())
    }
}

fn component_is(component: &str) -> ListParams {
    ListParams::default().labels(&format!("app.kubernetes.io/component={component}"))
}

pub fn is_degraded_for(status: &MedicalTrainingStatus, reason: &str) -> bool {
    status.condition(condition::DEGRADED).is_some_and(|degraded| degraded.status == "True" && degraded.reason == reason)
}

/// It runs and has a checkpoint in the store: what is disturbed now goes on from there.
pub fn has_a_checkpoint(stage: &StageStatus) -> bool {
    stage.state == StageState::Running && checkpoint(stage).is_some_and(|step| step > 0)
}

/// Step of the newest checkpoint that its pod told of.
pub fn checkpoint(stage: &StageStatus) -> Option<u64> {
    stage.progress.as_ref()?.last_checkpoint
}

/// Charged, uncharged attempts, and pods replaced within an attempt.
pub fn costs(stage: &StageStatus) -> (u32, u32, u32) {
    (stage.charged_attempts, stage.uncharged_attempts, stage.infra_restarts)
}
