//! What can go wrong while reconciling, and how it is called in metrics.

/// Why a reconcile stopped early; all of these are tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{what}: {source}")]
    Api {
        what: &'static str,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("the training changed since it was read")]
    Stale,
    #[error("it took longer than {0} s; the Kubernetes API accepts requests and does not answer them")]
    Timeout(u64),
    #[error("this replica is not the leader any more")]
    NotLeader,
    #[error("the ConfigMap {0} is not ours; rename or delete it, or rename the training")]
    NameTaken(String),
    #[error("the pod template is not what Kubernetes takes: {0}")]
    Template(#[from] serde_json::Error),
}

impl Error {
    /// All that [`Self::label`] gives.
    pub const LABELS: [&str; 10] = [
        "conflict",
        "forbidden",
        "invalid",
        "api",
        "connection",
        "stale",
        "timeout",
        "not_leader",
        "name_taken",
        "template",
    ];

    pub fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { what, source: Box::new(source) }
    }

    /// The words of an API server that will not do it as it is asked: quota, admission, a schema.
    pub fn refusal(&self) -> Option<String> {
        let Self::Api { source, .. } = self else { return None };
        match source.as_ref() {
            kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => Some(status.message.clone()),
            _ => None,
        }
    }

    /// Label of `reconcile_errors_total`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if status.code == 409 => "conflict",
                kube::Error::Api(status) if status.code == 403 => "forbidden",
                kube::Error::Api(status) if status.code == 422 || status.code == 400 => "invalid",
                kube::Error::Api(_) => "api",
                _ => "connection",
            },
            Self::Stale => "stale",
            Self::Timeout(_) => "timeout",
            Self::NotLeader => "not_leader",
            Self::NameTaken(_) => "name_taken",
            Self::Template(_) => "template",
        }
    }
}
