//! A real API server gives every resource of the corpus (crds/tests/corpus) the verdict that is written there, which is
//! also that of the checks in crds.

#[path = "../../../../crds/tests/corpus/mod.rs"]
#[allow(dead_code)] // what the resolver says is tested in crds
mod corpus;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, PostParams, Request};
use kube::{Api, Resource};
use medtrain_crds::k8s::{self, MedicalTraining};
use medtrain_e2e::Scenario;
use serde_json::Value;

/// Puts the definition there, unless the chart has.
async fn define(scenario: &Scenario) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(scenario.client.clone());
    let definition: CustomResourceDefinition = serde_json::from_value(k8s::definition())?;
    let name = definition.metadata.name.clone().unwrap_or_default();
    if definitions.get_opt(&name).await?.is_none() {
        definitions.create(&PostParams::default(), &definition).await?;
    }
    let trainings: Api<MedicalTraining> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    scenario.until("the kind is served", async || Ok(trainings.list(&Default::default()).await.is_ok())).await
}

/// What the server would say, without storing it: `None` if it takes it.
async fn verdict(scenario: &Scenario, resource: &Value, update: bool) -> Result<Option<String>> {
    let requests = Request::new(MedicalTraining::url_path(&(), Some(&scenario.namespace)));
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let body = serde_json::to_vec(resource)?;
    let mut request = match resource["metadata"]["name"].as_str() {
        Some(name) if update => requests.replace(name, &dry, body)?,
        _ => requests.create(&dry, body)?,
    };
    *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse()?;
    match scenario.client.request::<Value>(request).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if status.code < 500 => Ok(Some(status.message.clone())),
        Err(error) => Err(error).context("the API server gives no verdict"),
    }
}

/// The same of an update: what it was is stored, suspended so that nothing runs.
async fn verdict_of_update(scenario: &Scenario, was: &Value, resource: &Value) -> Result<Option<String>> {
    let trainings: Api<MedicalTraining> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let mut was: MedicalTraining = serde_json::from_value(was.clone())?;
    was.spec.suspend = Some(true);
    let made = trainings.create(&PostParams::default(), &was).await?;
    let name = made.metadata.name.unwrap_or_default();
    let mut resource = resource.clone();
    let said = loop {
        let now = trainings.get(&name).await?;
        resource["metadata"]["resourceVersion"] = now.metadata.resource_version.unwrap_or_default().into();
        let said = verdict(scenario, &resource, true).await?;
        // The operator, too, writes to what is new.
        if !said.as_ref().is_some_and(|said| said.contains("the object has been modified")) {
            break said;
        }
    };
    trainings.delete(&name, &DeleteParams::default()).await?;
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_says_of_every_resource_what_the_corpus_says() -> Result<()> {
    let scenario = Scenario::begin("corpus").await?;
    define(&scenario).await?;
    let cases = corpus::cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/examples"));
    ensure!(cases.len() > 100, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let said = match &case.was {
            Some(was) => verdict_of_update(&scenario, was, &case.resource).await?,
            None => verdict(&scenario, &case.resource, false).await?,
        };
        let fine = match (&case.refusal, &said) {
            (None, None) => true,
            (Some(refusal), Some(said)) => said.contains(&refusal.at) && said.contains(&refusal.says),
            _ => false,
        };
        if !fine {
            wrong.push(format!("{}: {}", case.title, said.as_deref().unwrap_or("accepted")));
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    scenario.end().await
}
