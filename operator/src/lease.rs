//! Leadership by a Lease, with a fence.
//!
//! Holds: a renewal replaces the Lease under the resourceVersion that was read, so two holders can't both win;
//! another's lease is taken only when it was not renewed for its duration by our own clock; who could not renew for
//! [`Timing::renew_within`] is fenced off (and ends) before the lease can be someone else's. A Lease does not fence the
//! API server: a request on its way while the fence shuts is met by resourceVersions, UIDs and create-only children.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};

use crate::error::Error;

/// How long a lease lasts. Others wait `duration` from the last renewal that they saw, the holder stops itself after
/// `renew_within`: what lies between them is for requests that are still on their way.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub duration: Duration,
    pub renew_within: Duration,
    /// Between two tries to take or renew it.
    pub retry: Duration,
}

impl Default for Timing {
    /// Kubernetes' own controllers' numbers.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { duration: seconds(15), renew_within: seconds(10), retry: seconds(2) }
    }
}

/// Until when this process may act.
#[derive(Clone)]
pub struct Fence {
    start: Instant,
    /// Milliseconds after `start`.
    until: Arc<AtomicU64>,
}

impl Fence {
    /// Shut.
    pub fn shut() -> Self {
        Self { start: Instant::now(), until: Arc::new(AtomicU64::new(0)) }
    }

    /// Open for ever: a single replica without election.
    pub fn open() -> Self {
        Self { start: Instant::now(), until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    pub fn is_open(&self) -> bool {
        (self.start.elapsed().as_millis() as u64) < self.until.load(Ordering::Acquire)
    }

    /// # Errors
    /// [`Error::NotLeader`].
    pub fn check(&self) -> Result<(), Error> {
        if self.is_open() { Ok(()) } else { Err(Error::NotLeader) }
    }

    /// Until when it is open, counted from now.
    fn left(&self) -> Duration {
        Duration::from_millis(self.until.load(Ordering::Acquire)).saturating_sub(self.start.elapsed())
    }

    /// Opens for `time` after `from`, when the renewal began.
    fn extend(&self, from: Instant, time: Duration) {
        let until = from.duration_since(self.start) + time;
        self.until.store(until.as_millis() as u64, Ordering::Release);
    }

    fn close(&self) {
        self.until.store(0, Ordering::Release);
    }
}

pub struct Election {
    pub api: Api<Lease>,
    pub name: String,
    pub identity: String,
    pub fence: Fence,
    pub timing: Timing,
}

/// The holder and the renewal seen last, and when we saw it change.
struct Rival {
    version: (Option<String>, Option<MicroTime>),
    since: Instant,
}

impl Election {
    /// Returns once this process leads.
    pub async fn acquire(&self) {
        let mut rival: Option<Rival> = None;
        loop {
            let began = Instant::now();
            match self.try_acquire(&mut rival).await {
                Ok(true) => return self.fence.extend(began, self.timing.renew_within),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the lease can't be read or taken"),
            }
            tokio::time::sleep(self.timing.retry).await;
        }
    }

    async fn try_acquire(&self, rival: &mut Option<Rival>) -> kube::Result<bool> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let spec = self.spec(0);
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..Default::default() };
            return won(self.api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let held = spec.holder_identity.as_deref().is_some_and(|holder| !holder.is_empty() && holder != self.identity);
        if held {
            let version = (spec.holder_identity.clone(), spec.renew_time.clone());
            let known = rival.get_or_insert_with(|| Rival { version: version.clone(), since: Instant::now() });
            if known.version != version {
                *known = Rival { version, since: Instant::now() };
            }
            let duration = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            if known.since.elapsed() < duration.map_or(self.timing.duration, Duration::from_secs) {
                return Ok(false);
            }
        }
        lease.spec = Some(self.spec(spec.lease_transitions.unwrap_or(0) + 1));
        won(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn spec(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(self.timing.duration.as_secs() as i32),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..Default::default()
        }
    }

    /// Renews until the lease is lost.
    pub async fn keep(&self) {
        while self.fence.is_open() {
            tokio::time::sleep(self.timing.retry).await;
            let began = Instant::now();
            match tokio::time::timeout(self.fence.left(), self.renew()).await {
                Ok(Ok(true)) => self.fence.extend(began, self.timing.renew_within),
                Ok(Ok(false)) => break,
                Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
                Err(_) => tracing::warn!("renewing the lease took too long"),
            }
        }
        self.fence.close();
    }

    /// `false`: someone else holds it.
    async fn renew(&self) -> kube::Result<bool> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(false) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() != Some(&self.identity) || !self.fence.is_open() {
            return Ok(false);
        }
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        won(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    /// Lets the next one in without waiting.
    pub async fn release(&self) {
        self.fence.close();
        let released = async {
            let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_ref() == Some(&self.identity) {
                spec.holder_identity = None;
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "the lease was not released; the next leader waits until it runs out");
        }
    }
}

fn won(result: kube::Result<Lease>) -> kube::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
