//! A training of one stage that is disturbed in the middle: what that cost, and that the result is that of a run which
//! nobody disturbed.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{ResourceExt, api::ListParams};
use medtrain_crds::{contract::Reason, k8s::MedicalTraining};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    Scenario,
    outcome::{self, Outcome},
    training,
};

/// The only stage.
pub const STAGE: &str = "pt";
/// Where the undisturbed run writes, in the part of the store of the scenario that came first.
const UNDISTURBED: &str = "undisturbed";

/// What status has counted once the stage is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub attempts: u32,
    /// Against the budget of attempts.
    pub charged: u32,
    pub uncharged: u32,
    /// Pods replaced within an attempt.
    pub replaced: u32,
}

impl Cost {
    /// The attempt went on in another pod.
    pub const ANOTHER_POD: Self = Self { attempts: 1, charged: 0, uncharged: 0, replaced: 1 };
    pub const UNCHARGED_ATTEMPT: Self = Self { attempts: 2, charged: 0, uncharged: 1, replaced: 0 };
    pub const CHARGED_ATTEMPT: Self = Self { attempts: 2, charged: 1, uncharged: 0, replaced: 0 };
}

/// The training `name`, which writes to an output of its own: it would be taken from the store otherwise.
fn training(scenario: &Scenario, name: &str, pod_template: Value) -> Value {
    let mut training = training::long(&scenario.env, &scenario.store, name, name);
    training["spec"]["podTemplate"] = pod_template;
    training
}

impl Scenario {
    /// Starts the training `name` and waits until it is in the middle; returns its pod.
    ///
    /// # Errors
    /// It doesn't get there, or is done before it could be disturbed.
    pub async fn start_to_disturb(&self, name: &str, pod_template: Value) -> Result<Pod> {
        self.apply(&training(self, name, pod_template)).await?;
        let pod = self.pod_with_a_checkpoint(&format!("{name}-{STAGE}-1"), name, STAGE).await?;
        self.assert_unfinished(name).await?;
        Ok(pod)
    }

    /// Waits until the training is done by another pod than `first`, which went on from a checkpoint of the first one,
    /// and compares counts, result and the reasons of retries, one of `said`.
    ///
    /// # Errors
    /// It isn't, or they differ.
    pub async fn assert_disturbed(&self, name: &str, first: &Pod, cost: Cost, said: &[&[Reason]]) -> Result<()> {
        self.wait::<MedicalTraining>(name, "Complete").await?;
        let first = first.uid().context("a pod without UID")?;
        let last = outcome::finisher(&self.store, name, STAGE).await?.unwrap_or_default();
        ensure!(!first.starts_with(&last), "{name}: the pod that was disturbed has finished the stage");
        let runs = outcome::runs(&self.store, name, STAGE).await?;
        ensure!(runs == 2, "{name}: {runs} runs trained the stage, and not two");
        self.assert_result(name).await?;
        self.assert_cost(name, cost, said).await
    }

    /// # Errors
    /// The stage did not end as a run does that nobody disturbed.
    pub async fn assert_result(&self, name: &str) -> Result<()> {
        let outcome = Outcome::of(&self.store, name, STAGE).await?;
        ensure!(outcome == *self.undisturbed().await?, "{name}: not the result of an undisturbed run");
        Ok(())
    }

    /// # Errors
    /// The stage is done.
    pub async fn assert_unfinished(&self, name: &str) -> Result<()> {
        let finisher = outcome::finisher(&self.store, name, STAGE).await?;
        ensure!(finisher.is_none(), "{name} was done before it could be disturbed");
        Ok(())
    }

    /// # Errors
    /// Counts or reasons of retries are others.
    pub async fn assert_cost(&self, name: &str, cost: Cost, said: &[&[Reason]]) -> Result<()> {
        let status = self.status(name).await?;
        let stage = status.stage(STAGE).context("status has no stage")?;
        let counted = Cost {
            attempts: stage.attempt,
            charged: stage.charged_attempts,
            uncharged: stage.uncharged_attempts,
            replaced: stage.infra_restarts,
        };
        ensure!(counted == cost, "{name}: {counted:?} was counted, and not {cost:?}");
        let warnings = self.warnings(name).await?;
        let as_said = |reasons: &&[Reason]| reasons.iter().map(|reason| reason.name()).eq(&warnings);
        ensure!(said.iter().any(as_said), "{name}: warned of {warnings:?}, and not of {said:?}");
        Ok(())
    }

    /// Reasons of the Warning events about a training, in order.
    async fn warnings(&self, training: &str) -> Result<Vec<String>> {
        let about = format!("involvedObject.kind=MedicalTraining,involvedObject.name={training},type=Warning");
        let mut found = self.api::<Event>().list(&ListParams::default().fields(&about)).await?.items;
        found.sort_by_key(|event| event.event_time.clone());
        Ok(found.into_iter().filter_map(|event| event.reason).collect())
    }

    /// Run on this machine once for all tests of a program.
    async fn undisturbed(&self) -> Result<&'static Outcome> {
        static OUTCOME: OnceCell<Outcome> = OnceCell::const_new();
        OUTCOME
            .get_or_try_init(async || {
                training::run_here(&self.env, &training(self, UNDISTURBED, json!({}))).await?;
                let runs = outcome::runs(&self.store, UNDISTURBED, STAGE).await?;
                ensure!(runs == 1, "{runs} runs made what nobody disturbed");
                Outcome::of(&self.store, UNDISTURBED, STAGE).await
            })
            .await
    }
}
