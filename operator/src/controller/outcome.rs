//! How an attempt ended, from its Job, its pod and the pod's last words.
//!
//! Holds: nothing is inferred: without an exit code or a message the answer is [`Ended::Unknown`].

use medtrain_crds::contract::{ExitCode, Outcome, Reason, TerminationMessage};

use super::seen::{JobEnd, SeenJob};

#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    Done(Box<TerminationMessage>),
    /// By its own fault. `last`: trying again can't help.
    Charged {
        reason: Reason,
        message: String,
        last: bool,
    },
    /// By disruption or our stop; its end was seen.
    Uncharged {
        reason: Reason,
        message: String,
    },
    Unknown,
}

/// The end of a Job with a terminal condition.
pub fn ended(job: &SeenJob) -> Ended {
    let pod = job.pod();
    let terminated = pod.and_then(|pod| pod.terminated.as_ref());
    let said = terminated.and_then(|terminated| TerminationMessage::parse(&terminated.message));
    match &job.end {
        Some(JobEnd::Complete) | None => match said {
            Some(message) if message.outcome == Outcome::Succeeded => Ended::Done(Box::new(message)),
            Some(message) if message.outcome == Outcome::Checkpointed => checkpointed(message.message),
            _ => Ended::Unknown,
        },
        Some(JobEnd::Failed { message: condition, .. }) => {
            let killed_on_delete = pod.is_some_and(|pod| pod.deleting_since.is_some())
                && terminated.is_none_or(|terminated| ExitCode::from_code(terminated.exit_code).is_none());
            if pod.is_some_and(|pod| pod.disrupted) || killed_on_delete {
                let message = "the pod was evicted, preempted or deleted before it could end by itself".to_string();
                return Ended::Uncharged { reason: Reason::Disrupted, message };
            }
            let code = terminated.map(|terminated| terminated.exit_code).or_else(|| exit_code(condition));
            match code {
                Some(_) if terminated.is_some_and(|terminated| terminated.reason == "OOMKilled") => Ended::Charged {
                    reason: Reason::OOMKilled,
                    message: "the container took more memory than its limit: raise resources.limits.memory, or lower \
                              perDeviceTrainBatchSize or maxLength"
                        .into(),
                    last: false,
                },
                Some(code) => by_code(code, said),
                None => Ended::Unknown,
            }
        }
    }
}

fn checkpointed(message: String) -> Ended {
    Ended::Uncharged { reason: Reason::Checkpointed, message }
}

fn by_code(code: i32, said: Option<TerminationMessage>) -> Ended {
    let (word, text) = said.map(|said| (said.reason, said.message)).unwrap_or_default();
    match ExitCode::from_code(code) {
        Some(ExitCode::Done) => Ended::Unknown,
        Some(ExitCode::Checkpointed) => checkpointed(text),
        Some(exit) => {
            let reason = Reason::of_failure(exit, &word);
            let message = if text.is_empty() { reason.meaning().to_string() } else { text };
            Ended::Charged { reason, message, last: is_last(exit) }
        }
        None => Ended::Charged {
            reason: if code == 137 { Reason::Killed } else { Reason::UnknownExitCode },
            message: format!("the container ended with code {code} and no message; its log may tell more"),
            last: false,
        },
    }
}

/// Whether the same attempt would end the same way.
pub fn is_last(exit: ExitCode) -> bool {
    matches!(exit, ExitCode::Config | ExitCode::Input | ExitCode::Data | ExitCode::Permission)
}

/// Of the Job condition that a FailJob rule leaves: `… failed with exit code 64 matching FailJob rule …`.
fn exit_code(condition: &str) -> Option<i32> {
    let rest = condition.split_once("exit code ")?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_condition_keeps_the_code_of_a_pod_that_is_gone() {
        let text = "Container trainer for pod ns/a-sft-1-x failed with exit code 66 matching FailJob rule at index 4";
        assert_eq!(exit_code(text), Some(66));
        assert_eq!(exit_code("Job has reached the specified backoff limit"), None);
    }
}
