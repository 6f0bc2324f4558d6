//! A Job whose pod has yet to run: what keeps it, and when it is given up or replaced.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use medtrain_crds::contract::Reason;
use medtrain_crds::training::status::StageState;

use super::{Deciding, Work};
use crate::controller::build;
use crate::controller::seen::{SeenJob, SeenPod, USUAL_START_SECONDS};

/// Seconds between looks at the events of a pod that does not start.
const AGAIN: i64 = 30;

impl Deciding<'_> {
    /// State, reason and message by what its newest pod does.
    pub(super) fn pod_state(&self, job: &SeenJob) -> (StageState, Reason, String) {
        if job.suspended {
            return (StageState::Queued, Reason::JobSuspended, "its Job is suspended, by a queue or by hand".into());
        }
        let warning = job.warning.clone().unwrap_or_default();
        let Some(pod) = job.pod() else {
            let reason = if warning.is_empty() { Reason::PodStarting } else { refusal(&warning) };
            return (StageState::Starting, reason, without_preamble(&warning).to_string());
        };
        // The Job controller takes a second or two to say what a pod's end means.
        let ended = pod.terminated.is_some() && !pod.disrupted && pod.deleting_since.is_none();
        if pod.running || ended {
            return (StageState::Running, Reason::Running, String::new());
        }
        if let Some(message) = &pod.unschedulable {
            return (StageState::Starting, Reason::Unschedulable, message.clone());
        }
        match &pod.waiting {
            Some((reason, message)) => {
                let (reason, text) = match reason.as_str() {
                    "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                        (Reason::ImagePullFailed, message.clone())
                    }
                    "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                        (Reason::ContainerConfigError, message.clone())
                    }
                    _ if warning.contains("MountVolume") || warning.contains("volume") => {
                        (Reason::VolumeMountFailed, warning)
                    }
                    _ => (Reason::PodStarting, warning),
                };
                (StageState::Starting, reason, text)
            }
            None => (StageState::Starting, Reason::PodStarting, warning),
        }
    }

    /// Since when the attempt has waited for a pod that runs, the next one after a disruption included.
    pub(super) fn pending_since(&self, job: &SeenJob, noted: Option<Time>) -> Option<Time> {
        let runs = job.pod().is_some_and(|pod| pod.running || pod.terminated.is_some());
        (job.end.is_none() && !job.suspended && !runs).then(|| noted.unwrap_or(Time(self.now)))
    }

    pub(super) fn is_pending_too_long(&mut self, since: Option<&Time>) -> bool {
        let limit = self.policy.pending_deadline_seconds;
        let Some(since) = since.filter(|_| limit > 0) else { return false };
        let left = limit - self.seconds_since(since.0);
        self.look_again(left);
        left <= 0
    }

    /// Whether its pod has yet to start and would be another one now: what kept it from starting may be corrected.
    pub(super) fn is_outdated(&self, job: &SeenJob, work: &Work) -> bool {
        let begun = job.pods.iter().any(|pod| pod.running || pod.terminated.is_some());
        let now = build::template_digest(self.training, work);
        !job.suspended && !begun && job.pod_template.is_some() && now.is_some() && job.pod_template != now
    }

    /// Events say why a pod does not start, and come without a change of Job or pod.
    pub(super) fn look_at_events(&mut self, job: &SeenJob) {
        if let Some(since) = job.waits_since() {
            let left = USUAL_START_SECONDS - self.seconds_since(since);
            self.look_again(if left > 0 { left } else { AGAIN });
        }
    }

    /// What a Job is given up with whose pod did not start in time.
    pub(super) fn never_started(&self, job: &SeenJob) -> String {
        let (_, reason, text) = self.pod_state(job);
        let text = if text.is_empty() { reason.meaning() } else { &text };
        format!("its pod did not start within {} s: {reason}: {text}", self.policy.pending_deadline_seconds)
    }

    /// Whether a pod of it was on a node that is given up: nobody would replace it.
    pub(super) fn is_on_lost_node(&self, job: &SeenJob) -> bool {
        let lost = |pod: &SeenPod| {
            pod.node_lost_since.is_some_and(|since| self.seconds_since(since) >= self.policy.lost_node_after_seconds)
        };
        job.pods.iter().any(lost)
    }
}

/// `… is forbidden: ` says nothing that the reason doesn't.
pub(super) fn without_preamble(words: &str) -> &str {
    words.split_once(" is forbidden: ").map_or(words, |(_, words)| words)
}

/// Why a pod or its Job can't be made, by the words of who refuses it.
pub(super) fn refusal(words: &str) -> Reason {
    let cases = [
        ("exceeded quota", Reason::QuotaExceeded),
        ("violates PodSecurity", Reason::PodForbidden),
        ("error looking up service account", Reason::ServiceAccountMissing),
        ("forbidden", Reason::PodForbidden),
        // What a webhook says.
        ("denied the request", Reason::PodForbidden),
    ];
    cases.into_iter().find(|(text, _)| words.contains(text)).map_or(Reason::PodNotCreated, |(_, reason)| reason)
}
