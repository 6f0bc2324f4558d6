//! One scenario: a namespace under Pod Security "restricted", a part of the store with data, credentials for it.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{Environment, failure, store::Store, training};

/// How long anything may take on two busy cores.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Scenario {
    pub env: Environment,
    pub client: Client,
    /// Also the scenario's part of the bucket.
    pub namespace: String,
    pub store: Store,
}

impl Scenario {
    /// Makes the namespace (`e2e-<name>-<time>`, new at every call), the Secret `store`, and uploads tokenizer and data.
    ///
    /// # Errors
    /// Cluster or store can't be reached, or refuse.
    pub async fn begin(name: &str) -> Result<Self> {
        let env = Environment::from_env()?;
        let client = Client::try_default().await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let namespace = format!("e2e-{name}-{now:x}");
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let wanted = json!({"metadata": {"name": namespace, "labels": labels}});
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &serde_json::from_value(wanted)?).await?;
        let store = Store::open(&env, &namespace)?;
        let scenario = Self { env, client, namespace, store };
        scenario.make_secret().await?;
        training::upload(&scenario.store).await?;
        scenario.exists::<ServiceAccount>("default").await?;
        Ok(scenario)
    }

    async fn make_secret(&self) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let data = BTreeMap::from([
            ("AWS_ACCESS_KEY_ID", &self.env.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &self.env.secret_access_key),
        ]);
        let secret = json!({"metadata": {"name": training::STORE_SECRET}, "stringData": data});
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        Ok(())
    }

    /// Waits until an object is there.
    async fn exists<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        self.until(&format!("{} {name}", K::kind(&())), async || Ok(api.get_opt(name).await?.is_some())).await
    }

    /// Waits until a condition of an object is True. Fails at once when its condition `Failed` is, unless that is what
    /// is waited for.
    ///
    /// # Errors
    /// It failed or the time is over; the message shows the object, its events, its pods and their logs.
    pub async fn wait<K>(&self, name: &str, condition: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K: serde::Serialize,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("condition {condition} of {} {name}", K::kind(&()));
        self.until(&what, async || {
            let Some(object) = api.get_opt(name).await? else { return Ok(false) };
            let object = serde_json::to_value(object)?;
            if condition != "Failed" && is_true(&object, "Failed") {
                bail!("{} {name} failed: {}", K::kind(&()), object["status"]["conditions"]);
            }
            Ok(is_true(&object, condition))
        })
        .await
    }

    /// Waits until `seen` says true.
    ///
    /// # Errors
    /// It fails, or the time (three minutes) is over; the message shows what is in the namespace.
    pub async fn until(&self, what: &str, seen: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let begin = Instant::now();
        let problem = loop {
            match seen().await {
                Ok(true) => return Ok(()),
                Ok(false) if begin.elapsed() > PATIENCE => {
                    break anyhow::anyhow!("no {what} within {} s", PATIENCE.as_secs());
                }
                Ok(false) => sleep(Duration::from_millis(200)).await,
                Err(problem) => break problem,
            }
        };
        Err(problem.context(failure::describe(&self.client, &self.namespace).await))
    }

    /// Removes the namespace. A scenario that fails leaves it, to be looked at.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn end(self) -> Result<()> {
        Api::<Namespace>::all(self.client).delete(&self.namespace, &DeleteParams::default()).await?;
        Ok(())
    }
}

fn is_true(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|one| one["type"] == condition && one["status"] == "True")
}
