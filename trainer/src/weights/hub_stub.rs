//! A hub on a local port for tests: the three calls that a download needs, with the headers and errors of the real one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::hub::Hub;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const TOKEN: &str = "hf_right";

/// Repository (`org/name` or `datasets/org/name`) → path → content.
type Repos = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

#[derive(Default)]
struct Inner {
    repos: Repos,
    requests: Vec<String>,
    faults: Vec<Fault>,
}

/// Path and content.
pub type Files<'a> = &'a [(&'a str, &'a [u8])];

/// What goes wrong with the next download, once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 404 in place of the content, which hf-hub stores as if it were the content.
    ErrorPage,
    /// As many bytes as promised, but others.
    WrongBytes,
    /// Sent on to where nobody listens.
    Nowhere,
}

pub struct Stub {
    inner: Arc<Mutex<Inner>>,
    endpoint: String,
    _runtime: tokio::runtime::Runtime,
}

impl Stub {
    /// Repositories whose name has "private" in it want [`TOKEN`]; those with "gated" refuse even that.
    pub fn new(repos: &[(&str, Files)]) -> Self {
        let repos = repos
            .iter()
            .map(|(repo, files)| {
                ((*repo).to_owned(), files.iter().map(|(path, data)| ((*path).to_owned(), data.to_vec())).collect())
            })
            .collect();
        let inner = Arc::new(Mutex::new(Inner { repos, ..Inner::default() }));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(inner.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { inner, endpoint, _runtime: runtime }
    }

    pub fn hub(&self, cache: &Path) -> Hub {
        Hub {
            endpoint: Some(self.endpoint.clone()),
            token: Some(TOKEN.to_owned()),
            cache_dir: Some(cache.to_owned()),
            offline: false,
            patience: Duration::ZERO,
            patience_to_reach: Duration::ZERO,
        }
    }

    /// Method and path of the requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().requests)
    }

    pub fn fail_next(&self, fault: Fault) {
        self.inner.lock().unwrap().faults.push(fault);
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response<Body> {
    let mut inner = inner.lock().unwrap();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    inner.requests.push(format!("{method} {path}"));
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let plain = path.trim_start_matches('/');
    let api = plain.strip_prefix("api/");
    let full = api.map_or(plain, |api| api.strip_prefix("models/").unwrap_or(api));
    let Some(repo) = inner.repos.keys().find(|repo| full.starts_with(&format!("{repo}/"))).cloned() else {
        return error(StatusCode::NOT_FOUND, "RepoNotFound");
    };
    if repo.contains("private") && token.as_deref() != Some(&format!("Bearer {TOKEN}")) {
        return error(StatusCode::UNAUTHORIZED, "RepoNotFound");
    }
    if repo.contains("gated") {
        return error(StatusCode::FORBIDDEN, "GatedRepo");
    }
    if repo.contains("broken") {
        return error(StatusCode::BAD_GATEWAY, "");
    }
    let files = &inner.repos[&repo];
    let rest = &full[repo.len() + 1..];
    if let Some(revision) = rest.strip_prefix("revision/") {
        return match revision {
            "main" | "v1" | COMMIT => ok(json!({"_id": "1", "id": repo, "sha": COMMIT, "siblings": []}).to_string()),
            _ => error(StatusCode::NOT_FOUND, "RevisionNotFound"),
        };
    }
    if rest == format!("tree/{COMMIT}") {
        let entries: Vec<_> = files
            .iter()
            .map(|(path, data)| json!({"type": "file", "oid": "0", "size": data.len(), "path": path}))
            .collect();
        return ok(json!(entries).to_string());
    }
    let content = rest.strip_prefix(&format!("resolve/{COMMIT}/")).and_then(|path| files.get(path)).cloned();
    let Some(mut content) = content else { return error(StatusCode::NOT_FOUND, "EntryNotFound") };
    // Large files have their sha256 as ETag, small ones a git object id.
    let sha256 = hex::encode(Sha256::digest(&content));
    let etag = if rest.ends_with(".json") { &sha256[..40] } else { &sha256 };
    let size = content.len();
    if method == Method::GET {
        match inner.faults.pop() {
            Some(Fault::ErrorPage) => return error(StatusCode::NOT_FOUND, "EntryNotFound"),
            Some(Fault::WrongBytes) => content = vec![b'?'; size],
            Some(Fault::Nowhere) => {
                let to = Response::builder().status(StatusCode::FOUND).header("location", "http://127.0.0.1:1/");
                return to.body(Body::empty()).unwrap();
            }
            None => {}
        }
    }
    Response::builder()
        .header("etag", format!("\"{etag}\""))
        .header("x-repo-commit", COMMIT)
        .header("x-linked-size", size)
        .body(Body::from(content))
        .unwrap()
}

fn ok(json: String) -> Response<Body> {
    Response::builder().header("content-type", "application/json").body(Body::from(json)).unwrap()
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    Response::builder().status(status).header("x-error-code", code).body(Body::from("an error page")).unwrap()
}
