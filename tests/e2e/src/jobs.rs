//! Trainer pods as the operator makes them, for tests that need no operator: a restricted pod a Job, its configuration
//! in a ConfigMap of the same name, credentials by reference.

use anyhow::{Context, Result};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use medtrain_crds::contract::{ExitCode, PlanRef, PreflightConfig, PreflightMessage, StageConfig, StoreAccess, pod};
use serde_json::{Value, json};

use crate::{Scenario, training::STORE_SECRET};

impl Scenario {
    /// Runs `medtrain preflight` of a training in a pod and returns its answer.
    ///
    /// # Errors
    /// The pod failed, or its answer is no [`PreflightMessage`].
    pub async fn preflight(&self, job: &str, training: &Value) -> Result<PreflightMessage> {
        let config = PreflightConfig::new(training.clone()).to_json();
        self.start(job, "preflight", pod::PREFLIGHT_FILE, &config).await?;
        self.wait::<Job>(job, "Complete").await?;
        serde_json::from_str(&self.termination_message(job).await?).context("answer of the preflight pod")
    }

    /// Starts a pod that runs one stage of a plan.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn start_stage(&self, job: &str, plan: &PlanRef, stage: &str) -> Result<()> {
        let mut config = StageConfig::new(plan.clone(), stage);
        config.storage = vec![StoreAccess {
            uri_prefix: "s3://".to_owned(),
            endpoint: Some(self.env.endpoint.clone()),
            region: Some(self.env.region.clone()),
            ca_file: None,
        }];
        self.start(job, "stage", pod::STAGE_FILE, &config.to_json()).await
    }

    async fn start(&self, job: &str, command: &str, file: &str, config: &str) -> Result<()> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let map = json!({"metadata": {"name": job}, "immutable": true, "data": {file: config}});
        maps.create(&PostParams::default(), &serde_json::from_value(map)?).await?;
        let jobs: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        jobs.create(&PostParams::default(), &serde_json::from_value(self.job(job, command, file))?).await?;
        Ok(())
    }

    fn job(&self, name: &str, command: &str, file: &str) -> Value {
        let container = json!({
            "name": pod::CONTAINER,
            "image": self.env.trainer_image,
            "args": [command, "--config", format!("{}/{file}", pod::CONFIG_DIR)],
            "env": [
                {"name": pod::env::ATTEMPT, "value": "1"},
                {"name": pod::env::POD_UID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
                {"name": pod::env::WORKDIR, "value": pod::WORKDIR},
                {"name": pod::env::LISTEN, "value": format!("0.0.0.0:{}", pod::METRICS_PORT)}
            ],
            "envFrom": [{"prefix": pod::env::store_prefix(0), "secretRef": {"name": STORE_SECRET}}],
            "ports": [{"name": pod::METRICS_PORT_NAME, "containerPort": pod::METRICS_PORT}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [
                {"name": "config", "mountPath": pod::CONFIG_DIR},
                {"name": "work", "mountPath": pod::WORKDIR}
            ]
        });
        json!({
            "metadata": {"name": name},
            "spec": {
                "backoffLimit": 1,
                "podReplacementPolicy": "Failed",
                "podFailurePolicy": {"rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {"action": "Ignore", "onExitCodes": {
                        "containerName": pod::CONTAINER, "operator": "In", "values": [ExitCode::Checkpointed.code()]}}
                ]},
                "template": {"spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"}
                    },
                    "containers": [container],
                    "volumes": [
                        {"name": "config", "configMap": {"name": name}},
                        {"name": "work", "emptyDir": {}}
                    ]
                }}
            }
        })
    }

    /// The pods of a Job, oldest first.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn pods_of(&self, job: &str) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        let mut found = pods.list(&selector).await?.items;
        found.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        Ok(found)
    }

    /// Waits until a stage has written a checkpoint; returns its pod, which is still at work.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn pod_with_a_checkpoint(&self, job: &str, output: &str, kind: &str) -> Result<Pod> {
        let stages = format!("{output}/stages");
        let below = format!("{stages}/{kind}-");
        let checkpoint = |path: &String| {
            path.starts_with(&below) && path.contains("/checkpoints/") && path.ends_with("/manifest.json")
        };
        let what = format!("checkpoint of {kind}");
        self.until(&what, async || Ok(self.store.list(&stages).await?.iter().any(checkpoint))).await?;
        // The status may come later than the checkpoint.
        let started = |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first()?.container_id.clone();
        let last = async || Ok::<_, anyhow::Error>(self.pods_of(job).await?.pop());
        let what = format!("container of {job}");
        self.until(&what, async || Ok(last().await?.as_ref().and_then(started).is_some())).await?;
        last().await?.context("the pod is gone")
    }

    /// What the newest pod of a Job left as its last words.
    ///
    /// # Errors
    /// There is no pod, or it left nothing.
    pub async fn termination_message(&self, job: &str) -> Result<String> {
        let pods = self.pods_of(job).await?;
        let pod = pods.last().with_context(|| format!("Job {job} has no pod"))?;
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
        let ended = statuses.iter().find_map(|status| status.state.as_ref()?.terminated.as_ref());
        ended.and_then(|ended| ended.message.clone()).with_context(|| format!("the pod of Job {job} left no message"))
    }
}
