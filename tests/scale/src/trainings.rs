//! Namespaces and trainings.

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use medtrain_crds::k8s::MedicalTraining;
use medtrain_crds::training::MedicalTrainingSpec;
use serde_json::json;
use tokio::time::{Duration, sleep};

use crate::kubelet::spec;
use crate::settings::Settings;

/// Requests at the same time.
const PARALLEL: usize = 16;

/// Namespace and name of training `number`.
pub fn name(settings: &Settings, number: usize) -> (String, String) {
    (namespace(number % settings.namespaces()), format!("t{number}"))
}

fn namespace(number: usize) -> String {
    format!("team-{number}")
}

/// Makes the namespaces and waits until pods can be made in them.
///
/// # Errors
/// The API server refuses.
pub async fn prepare(client: &Client, settings: &Settings) -> Result<()> {
    let all: Api<Namespace> = Api::all(client.clone());
    for number in 0..settings.namespaces() {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let wanted = json!({"metadata": {"name": namespace(number), "labels": labels}});
        all.create(&PostParams::default(), &serde_json::from_value(wanted)?).await?;
    }
    for number in 0..settings.namespaces() {
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace(number));
        let mut tries = 0;
        while accounts.get_opt("default").await?.is_none() {
            tries += 1;
            ensure!(tries < 300, "{} got no service account", namespace(number));
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Creates all trainings, as fast as the API server takes them.
///
/// # Errors
/// The API server refuses one.
pub async fn create(client: &Client, settings: &Settings) -> Result<()> {
    let spec: MedicalTrainingSpec = serde_json::from_value(spec())?;
    let create = |number| {
        let (namespace, name) = name(settings, number);
        let training = MedicalTraining::new(&name, spec.clone());
        let api: Api<MedicalTraining> = Api::namespaced(client.clone(), &namespace);
        async move { api.create(&PostParams::default(), &training).await.with_context(|| format!("{namespace}/{name}")) }
    };
    stream::iter((0..settings.trainings).map(create))
        .buffer_unordered(PARALLEL)
        .try_for_each(|_| async { Ok(()) })
        .await
}
