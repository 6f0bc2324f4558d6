//! Leader election against a real API server, with short leases. Run by tests/e2e/run.sh.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use medtrain_operator::lease::{Election, Fence, Timing};
use serde_json::json;
use tokio::time::{sleep, timeout};

const SHORT: Timing = Timing {
    duration: Duration::from_secs(3),
    renew_within: Duration::from_secs(2),
    retry: Duration::from_millis(300),
};
const PATIENCE: Duration = Duration::from_secs(20);

async fn leases(client: Client) -> Api<Lease> {
    Api::namespaced(client, "default")
}

fn name(of: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    format!("lease-test-{of}-{now:x}")
}

fn candidate(api: &Api<Lease>, name: &str, identity: &str) -> Arc<Election> {
    let (api, name) = (api.clone(), name.to_string());
    Arc::new(Election { api, name, identity: identity.to_string(), fence: Fence::shut(), timing: SHORT })
}

/// Leads until it loses the lease.
fn start(election: &Arc<Election>) -> tokio::task::JoinHandle<()> {
    let election = election.clone();
    tokio::spawn(async move {
        election.acquire().await;
        election.keep().await;
    })
}

async fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !seen() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn remove(api: &Api<Lease>, name: &str) {
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_candidates_one_leads_at_any_moment_though_leaders_die_again_and_again() {
    let api = leases(Client::try_default().await.unwrap()).await;
    let name = name("many");
    let candidates: Vec<_> = (0..5).map(|i| candidate(&api, &name, &format!("candidate-{i}"))).collect();
    let tasks: Vec<_> = candidates.iter().map(start).collect();
    let most = Arc::new(AtomicU32::new(0));
    let watch = tokio::spawn({
        let (fences, most) = (candidates.iter().map(|one| one.fence.clone()).collect::<Vec<_>>(), most.clone());
        async move {
            loop {
                let open = fences.iter().filter(|fence| fence.is_open()).count() as u32;
                most.fetch_max(open, Ordering::Relaxed);
                sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut dead = Vec::new();
    while dead.len() < candidates.len() - 1 {
        let mut leader = None;
        until("a new leader", || {
            leader = (0..candidates.len()).find(|i| !dead.contains(i) && candidates[*i].fence.is_open());
            leader.is_some()
        })
        .await;
        let leader = leader.unwrap();
        // Dies without a word: the lease must run out.
        tasks[leader].abort();
        dead.push(leader);
    }
    until("the last one leads", || {
        candidates.iter().enumerate().any(|(i, one)| !dead.contains(&i) && one.fence.is_open())
    })
    .await;
    watch.abort();
    assert_eq!(most.load(Ordering::Relaxed), 1);
    let transitions = api.get(&name).await.unwrap().spec.unwrap().lease_transitions;
    assert_eq!(transitions, Some(4));
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    remove(&api, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_lease_is_taken_without_waiting_for_its_end() {
    let api = leases(Client::try_default().await.unwrap()).await;
    let name = name("released");
    let (first, second) = (candidate(&api, &name, "first"), candidate(&api, &name, "second"));
    first.acquire().await;
    let waiting = start(&second);
    sleep(SHORT.retry).await;
    assert!(!second.fence.is_open());
    first.release().await;
    let released = Instant::now();
    assert!(!first.fence.is_open());
    until("the second leads", || second.fence.is_open()).await;
    assert!(released.elapsed() < SHORT.duration, "it waited for the end of the lease");
    waiting.abort();
    remove(&api, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_was_given_to_another_stops() {
    let api = leases(Client::try_default().await.unwrap()).await;
    let name = name("given");
    let leader = candidate(&api, &name, "leader");
    leader.acquire().await;
    let stolen = json!({"spec": {"holderIdentity": "someone-else"}});
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&stolen)).await.unwrap();
    timeout(SHORT.renew_within, leader.keep()).await.expect("it goes on without its lease");
    assert!(!leader.fence.is_open());
    remove(&api, &name).await;
}

/// A network that can be cut.
#[derive(Clone)]
struct Cut<S> {
    inner: S,
    cut: Arc<AtomicBool>,
}

impl<S> tower::Service<axum::http::Request<Body>> for Cut<S>
where
    S: tower::Service<axum::http::Request<Body>>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: axum::http::Request<Body>) -> Self::Future {
        if self.cut.load(Ordering::Relaxed) {
            // As behind a firewall that drops packets: no error, no answer.
            return std::future::pending().boxed();
        }
        self.inner.call(request).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_gets_no_answers_is_fenced_off_before_another_leads() {
    let cut = Arc::new(AtomicBool::new(false));
    let network = tower::layer::layer_fn(|inner| Cut { inner, cut: cut.clone() });
    let behind = ClientBuilder::try_from(Config::infer().await.unwrap()).unwrap().with_layer(&network).build();
    let name = name("cut");
    let leader = candidate(&leases(behind).await, &name, "leader");
    let api = leases(Client::try_default().await.unwrap()).await;
    let other = candidate(&api, &name, "other");
    leader.acquire().await;
    let kept = start(&leader);
    let waiting = start(&other);
    sleep(SHORT.duration * 2).await;
    assert!(leader.fence.is_open() && !other.fence.is_open(), "a leader that renews keeps its lease");

    cut.store(true, Ordering::Relaxed);
    let began = Instant::now();
    until("the leader is fenced off", || !leader.fence.is_open()).await;
    assert!(!other.fence.is_open(), "the other led before the first was fenced off");
    assert!(began.elapsed() <= SHORT.duration);
    timeout(PATIENCE, kept).await.expect("it ends, though its request is never answered").unwrap();
    until("the other leads", || other.fence.is_open()).await;

    // Cured, the old one changes nothing.
    cut.store(false, Ordering::Relaxed);
    leader.release().await;
    sleep(SHORT.retry * 2).await;
    assert!(other.fence.is_open());
    assert_eq!(api.get(&name).await.unwrap().spec.unwrap().holder_identity.as_deref(), Some("other"));
    waiting.abort();
    remove(&api, &name).await;
}
