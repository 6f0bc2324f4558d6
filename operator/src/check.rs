//! `medtrain-operator check`: is everything there that the operator needs? What `helm test` runs, under the operator's own
//! account.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};

use crate::resource::{GROUP, PLURAL, VERSION};
use crate::rights::{RIGHTS, Right, Scope};

/// Seconds that a Service may take to have an endpoint.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the operator acts.
pub struct Place {
    /// Watched ones; empty: all.
    pub namespaces: Vec<String>,
    /// Namespace and name of the Lease; none: no leader election.
    pub lease: Option<(String, String)>,
}

/// What `check` found: one line each.
#[derive(Debug, Default)]
pub struct Findings {
    pub good: Vec<String>,
    /// Something the operator can do without.
    pub notes: Vec<String>,
    pub problems: Vec<String>,
}

/// Asks the API server about the kind and every right, and `ready_url` whether it is ready.
///
/// # Errors
/// The API server can't be asked.
pub async fn check(client: &Client, place: &Place, ready_url: Option<&str>) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    kind(client, &mut findings).await?;
    for right in RIGHTS {
        for (namespace, name, verb) in questions(right, place) {
            let what = format!(
                "{verb} {}{}{}{}",
                right.resource,
                if right.group.is_empty() { String::new() } else { format!(".{}", right.group) },
                name.as_ref().map_or(String::new(), |name| format!(" {name}")),
                namespace.as_ref().map_or(String::new(), |namespace| format!(" in {namespace}")),
            );
            match (may(client, right, verb, namespace, name).await?, right.scope) {
                (true, _) => findings.good.push(format!("may {what}")),
                (false, Scope::Cluster) => findings
                    .notes
                    .push(format!("may not {what}: a lost node shows only once its Node object is gone (rbac.nodes)")),
                (false, _) => {
                    findings.problems.push(format!("may not {what}: grant it, or set rbac.create of the chart to true"))
                }
            }
        }
    }
    if let Some(url) = ready_url {
        match ready(url).await {
            Ok(()) => findings.good.push(format!("{url} says that the operator is ready")),
            Err(error) => findings.problems.push(format!("{url}: {error:#}")),
        }
    }
    Ok(findings)
}

async fn kind(client: &Client, findings: &mut Findings) -> anyhow::Result<()> {
    let version = format!("{GROUP}/{VERSION}");
    let served = match client.list_api_group_resources(&version).await {
        Ok(list) => list.resources.iter().any(|resource| resource.name == PLURAL),
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(error) => return Err(error).context("asking the Kubernetes API for its kinds"),
    };
    if served {
        findings.good.push(format!("{PLURAL}.{version} is served"));
    } else {
        findings.problems.push(format!(
            "{PLURAL}.{version} is not served: set crds.install of the chart to true, or run \
             medtrain-operator crd | kubectl apply --server-side -f -"
        ));
    }
    Ok(())
}

type Question = (Option<String>, Option<String>, &'static str);

/// Namespace, name and verb of each review.
fn questions(right: &Right, place: &Place) -> Vec<Question> {
    let places: Vec<(Option<String>, Option<String>)> = match (right.scope, &place.lease) {
        (Scope::Watched, _) if !place.namespaces.is_empty() => {
            place.namespaces.iter().map(|namespace| (Some(namespace.clone()), None)).collect()
        }
        (Scope::Watched | Scope::Cluster, _) => vec![(None, None)],
        (Scope::Own, Some((namespace, name))) => vec![(Some(namespace.clone()), Some(name.clone()))],
        (Scope::Own, None) => Vec::new(),
    };
    let each = |(namespace, name): (Option<String>, Option<String>)| {
        right.verbs.iter().map(move |verb| {
            // What is created has no name yet.
            let name = name.clone().filter(|_| *verb != "create");
            (namespace.clone(), name, *verb)
        })
    };
    places.into_iter().flat_map(each).collect()
}

async fn may(
    client: &Client,
    right: &Right,
    verb: &str,
    namespace: Option<String>,
    name: Option<String>,
) -> anyhow::Result<bool> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_string())),
        None => (right.resource, None),
    };
    let attributes = ResourceAttributes {
        group: Some(right.group.to_string()),
        resource: Some(resource.to_string()),
        subresource,
        verb: Some(verb.to_string()),
        namespace,
        name,
        ..Default::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..Default::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await.context("asking about rights")?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// Asks until it is ready or [`PATIENCE`] is over.
async fn ready(url: &str) -> anyhow::Result<()> {
    let uri: axum::http::Uri = url.parse().context("not a URL")?;
    let client: HttpClient<_, Empty<Bytes>> = HttpClient::builder(TokioExecutor::new()).build_http();
    let begin = tokio::time::Instant::now();
    loop {
        let answer = async {
            let response = client.get(uri.clone()).await.context("no answer")?;
            let status = response.status();
            let body = Limited::new(response.into_body(), 4096).collect().await.map_err(anyhow::Error::from_boxed)?;
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            anyhow::ensure!(status.is_success(), "{status}: {text}");
            Ok(())
        };
        match tokio::time::timeout(Duration::from_secs(5), answer).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if begin.elapsed() > PATIENCE => return Err(error),
            Err(_) if begin.elapsed() > PATIENCE => anyhow::bail!("no answer in 5 s"),
            _ => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_asked_about_by_name_in_its_own_namespace_and_only_with_an_election() {
        let leases = RIGHTS.iter().find(|right| right.resource == "leases").unwrap();
        let lease = Some(("system".to_string(), "medtrain".to_string()));
        let asked = questions(leases, &Place { namespaces: vec!["team".into()], lease });
        let own = || Some("system".to_string());
        let name = || Some("medtrain".to_string());
        assert_eq!(asked, [(own(), None, "create"), (own(), name(), "get"), (own(), name(), "update")]);
        assert_eq!(questions(leases, &Place { namespaces: Vec::new(), lease: None }), []);
    }

    #[test]
    fn watched_namespaces_are_asked_about_one_by_one_and_none_means_all() {
        let events = RIGHTS.iter().find(|right| right.group == "events.k8s.io").unwrap();
        let asked = questions(events, &Place { namespaces: vec!["a".into(), "b".into()], lease: None });
        let places: Vec<_> = asked.iter().map(|(namespace, _, verb)| (namespace.as_deref(), *verb)).collect();
        assert_eq!(places, [(Some("a"), "create"), (Some("a"), "patch"), (Some("b"), "create"), (Some("b"), "patch")]);
        let everywhere = questions(events, &Place { namespaces: Vec::new(), lease: None });
        assert!(everywhere.iter().all(|(namespace, ..)| namespace.is_none()));
    }
}
