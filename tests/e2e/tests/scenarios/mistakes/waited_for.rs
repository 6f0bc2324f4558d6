//! What a pod needs and is not there yet: shown as Degraded, nothing charged; once it is there, the training goes on by
//! itself.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, ResourceQuota, Secret, ServiceAccount,
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use medtrain_crds::training::status::condition;
use medtrain_e2e::{Scenario, operated::is_degraded_for, training::STORE_SECRET};
use serde_json::{Value, json};

use super::{assert_says, completes, shown, small, warns};

/// Name of everything that is missing at first.
const LATE: &str = "late";

struct Missing {
    training: &'static str,
    need: fn(&mut Value),
    reason: &'static str,
    says: &'static [&'static str],
}

static MISSING: [Missing; 4] = [
    Missing {
        training: "secret",
        need: |spec| spec["storage"][0]["secretRef"]["name"] = LATE.into(),
        reason: "ContainerConfigError",
        says: &["preflight", "secret \"late\" not found"],
    },
    Missing {
        training: "ca",
        need: |spec| spec["storage"][0]["caConfigMapRef"] = json!({"name": LATE}),
        reason: "VolumeMountFailed",
        says: &["preflight", "configmap \"late\" not found"],
    },
    Missing {
        training: "claim",
        need: |spec| {
            spec["stages"][0]["podTemplate"] = json!({
                "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": LATE}}],
                "volumeMounts": [{"name": "claim", "mountPath": "/claim", "readOnly": true}]
            });
        },
        reason: "Unschedulable",
        says: &["sft", "persistentvolumeclaim \"late\" not found"],
    },
    Missing {
        training: "account",
        need: |spec| spec["stages"][0]["podTemplate"] = json!({"serviceAccountName": LATE}),
        reason: "ServiceAccountMissing",
        says: &["sft", "serviceaccount \"late\" not found"],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_config_map_claim_or_account_is_told_and_waited_for() -> Result<()> {
    let scenario = Scenario::begin("missing").await?;
    try_join_all(MISSING.iter().map(|missing| is_waited_for(&scenario, missing))).await?;
    Api::<PersistentVolume>::all(scenario.client.clone()).delete(&scenario.namespace, &DeleteParams::default()).await?;
    scenario.end().await
}

async fn is_waited_for(scenario: &Scenario, missing: &Missing) -> Result<()> {
    let mut training = small(scenario, missing.training);
    (missing.need)(&mut training["spec"]);
    scenario.apply(&training).await?;
    is_held_up(scenario, missing.training, missing.reason, missing.says).await?;
    match missing.training {
        "secret" => make_secret(scenario).await?,
        "ca" => make_config_map(scenario).await?,
        "claim" => make_claim(scenario).await?,
        _ => drop(scenario.create::<ServiceAccount>(json!({"metadata": {"name": LATE}})).await?),
    }
    completes(scenario, missing.training, 1).await
}

async fn is_held_up(scenario: &Scenario, name: &str, reason: &str, says: &[&str]) -> Result<()> {
    let status = scenario.status_until(name, reason, |status| is_degraded_for(status, reason)).await?;
    assert_says(&status, condition::DEGRADED, "True", reason, says)?;
    ensure!(shown(&status) == reason, "kubectl get shows {:?}", status.summary);
    ensure!(status.is(condition::PROGRESSING) && !status.is(condition::FAILED), "{status:?}");
    warns(scenario, name, reason).await
}

async fn make_secret(scenario: &Scenario) -> Result<()> {
    let keys = scenario.api::<Secret>().get(STORE_SECRET).await?.data;
    scenario.create::<Secret>(json!({"metadata": {"name": LATE}, "data": keys})).await.map(drop)
}

/// Any certificate does: the store is reached without TLS.
async fn make_config_map(scenario: &Scenario) -> Result<()> {
    let root = scenario.api::<ConfigMap>().get("kube-root-ca.crt").await?.data;
    scenario.create::<ConfigMap>(json!({"metadata": {"name": LATE}, "data": root})).await.map(drop)
}

/// Of a folder that every node has; it is mounted read-only.
async fn make_claim(scenario: &Scenario) -> Result<()> {
    let namespace = &scenario.namespace;
    let claim = json!({"metadata": {"name": LATE}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": namespace,
        "resources": {"requests": {"storage": "1Mi"}}}});
    scenario.create::<PersistentVolumeClaim>(claim).await?;
    let volume = json!({"metadata": {"name": namespace}, "spec": {
        "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/tmp"},
        "claimRef": {"namespace": namespace, "name": LATE}}});
    let volumes = Api::<PersistentVolume>::all(scenario.client.clone());
    volumes.create(&PostParams::default(), &serde_json::from_value(volume)?).await.context("the volume")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_is_told_and_waited_for() -> Result<()> {
    let scenario = Scenario::begin("quota").await?;
    // Enough for preflight, not for the stage.
    let quota = |memory: &str| json!({"metadata": {"name": "team"}, "spec": {"hard": {"requests.memory": memory}}});
    scenario.create::<ResourceQuota>(quota("300Mi")).await?;
    let mut training = small(&scenario, "quota");
    training["spec"]["stages"][0]["podTemplate"] = json!({"resources": {"requests": {"memory": "512Mi"}}});
    scenario.apply(&training).await?;
    let says = ["sft", "exceeded quota: team", "requests.memory=512Mi", "limited: requests.memory=300Mi"];
    is_held_up(&scenario, "quota", "QuotaExceeded", &says).await?;
    scenario.patch::<ResourceQuota>("team", quota("1Gi")).await?;
    completes(&scenario, "quota", 1).await?;
    scenario.end().await
}
