//! Carries out decisions.
//!
//! Holds: nothing is created for a training that changed since it was read; children are created, never updated;
//! a delete names the UID it means; nothing is written once the lease may be someone else's.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams, Preconditions, PropagationPolicy};

use super::build;
use super::decide::{Action, Work};
use super::validate::Training;
use crate::context::Context;
use crate::error::Error;
use crate::resource::RawTraining;

/// One action that fails keeps no other from being done.
///
/// # Errors
/// The first failure; what failed is decided on again.
pub async fn apply(training: &Training, actions: &[Action], context: &Context) -> Result<(), Error> {
    if actions.is_empty() {
        return Ok(());
    }
    let trainings: Api<RawTraining> = Api::namespaced(context.client.clone(), &training.namespace);
    let live = trainings.get_opt(&training.name).await.map_err(Error::api("reading the training"))?;
    let same = |live: &RawTraining| {
        live.uid().as_ref() == Some(&training.uid)
            && live.resource_version().as_ref() == Some(&training.resource_version)
    };
    if !live.as_ref().is_some_and(same) {
        return Err(Error::Stale);
    }
    let mut first = Ok(());
    for action in actions {
        context.fence.check()?;
        let done = carry_out(training, action, context).await;
        first = first.and(done);
    }
    first
}

async fn carry_out(training: &Training, action: &Action, context: &Context) -> Result<(), Error> {
    match action {
        Action::Create(work) => {
            let done = create(training, work, context).await;
            context.refused.note(&training.uid, &work.name(training), done.as_ref().err().and_then(Error::refusal));
            done
        }
        Action::CreateConfigMap(work) => create_config_map(training, work, context).await,
        Action::DeleteJob { name, uid, background } => delete_job(training, name, uid, *background, context).await,
        Action::DeletePod { name, uid } => {
            let pods: Api<Pod> = Api::namespaced(context.client.clone(), &training.namespace);
            ignore_absent(pods.delete(name, &exactly(uid)).await.map(drop), "deleting a pod")
        }
        Action::DeleteTraining => {
            let trainings: Api<RawTraining> = Api::namespaced(context.client.clone(), &training.namespace);
            let params = DeleteParams {
                propagation_policy: Some(PropagationPolicy::Background),
                preconditions: Some(Preconditions {
                    uid: Some(training.uid.clone()),
                    resource_version: Some(training.resource_version.clone()),
                }),
                ..Default::default()
            };
            ignore_absent(trainings.delete(&training.name, &params).await.map(drop), "deleting the training")
        }
    }
}

/// Deletes that object and none that has its name by now.
fn exactly(uid: &str) -> DeleteParams {
    let preconditions = Some(Preconditions { uid: Some(uid.to_string()), resource_version: None });
    DeleteParams { preconditions, ..Default::default() }
}

async fn create(training: &Training, work: &Work, context: &Context) -> Result<(), Error> {
    create_config_map(training, work, context).await?;
    let Some(job) = build::job(training, work, &context.policy) else { return Ok(()) };
    let api: Api<Job> = Api::namespaced(context.client.clone(), &training.namespace);
    match api.create(&PostParams::default(), &job?).await {
        Ok(_) => Ok(()),
        // Whose it is, the next look at it tells.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(Error::api("creating a Job")(error)),
    }
}

async fn create_config_map(training: &Training, work: &Work, context: &Context) -> Result<(), Error> {
    let Some(map) = build::config_map(training, work) else { return Ok(()) };
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &training.namespace);
    match api.create(&PostParams::default(), &map).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => replace_stale(training, &map, &api).await,
        Err(error) => Err(Error::api("creating a ConfigMap")(error)),
    }
}

/// Ours with the same content is what we want; ours with other content (a Job of this name was never made) goes.
async fn replace_stale(training: &Training, map: &ConfigMap, api: &Api<ConfigMap>) -> Result<(), Error> {
    let name = map.name_any();
    let Some(found) = api.get_opt(&name).await.map_err(Error::api("reading a ConfigMap"))? else {
        return Err(Error::Stale);
    };
    let ours = found.owner_references().iter().any(|owner| owner.uid == training.uid);
    if !ours {
        return Err(Error::NameTaken(name));
    }
    if found.data == map.data {
        return Ok(());
    }
    let params = exactly(&found.uid().unwrap_or_default());
    ignore_absent(api.delete(&name, &params).await.map(drop), "deleting a ConfigMap")?;
    api.create(&PostParams::default(), map).await.map(drop).map_err(Error::api("creating a ConfigMap"))
}

async fn delete_job(
    training: &Training,
    name: &str,
    uid: &str,
    background: bool,
    context: &Context,
) -> Result<(), Error> {
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &training.namespace);
    let policy = if background { PropagationPolicy::Background } else { PropagationPolicy::Foreground };
    let params = DeleteParams { propagation_policy: Some(policy), ..exactly(uid) };
    match jobs.delete(name, &params).await {
        // Another Job has the name by now, and with it the ConfigMap.
        Err(kube::Error::Api(status)) if status.code == 409 => return Ok(()),
        other => ignore_absent(other.map(drop), "deleting a Job")?,
    }
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &training.namespace);
    if let Some(map) = maps.get_opt(name).await.map_err(Error::api("reading a ConfigMap"))?
        && map.owner_references().iter().any(|owner| owner.uid == training.uid)
    {
        let params = exactly(&map.uid().unwrap_or_default());
        ignore_absent(maps.delete(name, &params).await.map(drop), "deleting a ConfigMap")?;
    }
    Ok(())
}

fn ignore_absent(result: kube::Result<()>, what: &'static str) -> Result<(), Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        other => other.map_err(Error::api(what)),
    }
}
