//! The client of the Kubernetes API; every request that it sends is timed.
//!
//! Holds: labels come from the paths of our own requests, so there are few of them: a verb, a resource, a status.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::Context as _;
use axum::http::{Method, Request, Response};
use futures::future::BoxFuture;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// As the process's environment says: in a pod its ServiceAccount, else KUBECONFIG.
///
/// # Errors
/// Neither is there, or it can't be read.
pub async fn client(metrics: Arc<Metrics>) -> anyhow::Result<Client> {
    let config = Config::infer().await.context("finding the cluster (in a pod, or by KUBECONFIG)")?;
    let builder = ClientBuilder::try_from(config).context("reading the cluster's certificates")?;
    Ok(builder.with_layer(&Timed(metrics)).build())
}

#[derive(Clone)]
struct Timed(Arc<Metrics>);

impl<S> Layer<S> for Timed {
    type Service = TimedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TimedService { inner, metrics: self.0.clone() }
    }
}

#[derive(Clone)]
struct TimedService<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B, R> Service<Request<B>> for TimedService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let watches = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
        let (verb, resource) = (verb(request.method(), watches), resource(request.uri().path()));
        let (metrics, began) = (self.metrics.clone(), Instant::now());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let status = answer.as_ref().map(|response| response.status().as_u16()).ok();
            metrics.requested(verb, &resource, status, began.elapsed());
            answer
        })
    }
}

/// Reads of one object and lists are both `get`; a watch counts until it begins to answer.
fn verb(method: &Method, watches: bool) -> &'static str {
    match method.as_str() {
        "GET" if watches => "watch",
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "other",
    }
}

/// `jobs` of `/apis/batch/v1/namespaces/a/jobs/b`, `medicaltrainings/status` with its subresource; without names.
fn resource(path: &str) -> String {
    let mut parts = path.trim_matches('/').split('/');
    let versions = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => return "none".to_string(),
    };
    let rest: Vec<&str> = parts.skip(versions).collect();
    match rest.as_slice() {
        [] => "none".to_string(),
        ["namespaces", _, resource, _, subresource] => format!("{resource}/{subresource}"),
        ["namespaces", _, resource, ..] | [resource, ..] => (*resource).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_reduced_to_its_resource() {
        for (path, wanted) in [
            ("/apis/batch/v1/namespaces/team/jobs/first-sft-1", "jobs"),
            ("/apis/batch/v1/jobs", "jobs"),
            ("/api/v1/namespaces/team/pods", "pods"),
            ("/api/v1/nodes/n1", "nodes"),
            ("/apis/medtrain.io/v1alpha1/namespaces/team/medicaltrainings/first/status", "medicaltrainings/status"),
            ("/apis/coordination.k8s.io/v1/namespaces/system/leases/medtrain", "leases"),
            ("/version", "none"),
            ("/apis", "none"),
        ] {
            assert_eq!(resource(path), wanted, "{path}");
        }
    }

    #[test]
    fn a_watch_is_no_get() {
        assert_eq!(verb(&Method::GET, true), "watch");
        assert_eq!(verb(&Method::GET, false), "get");
        assert_eq!(verb(&Method::PUT, false), "update");
    }
}
