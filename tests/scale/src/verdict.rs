//! Whether what happened is what had to happen, and no more.

use std::collections::{BTreeMap, BTreeSet};

use medtrain_crds::training::status::{MedicalTrainingStatus, PreflightState, StageState};

use crate::audit::Requests;
use crate::kubelet::Kubelet;
use crate::ledger::{Ledger, Name};
use crate::work::{Fate, PREFLIGHT, STAGES, Work};

/// Everything that is wrong, a line each; nothing is what is wanted. `trainings`: all that were created.
pub fn judge(trainings: &[Name], ledger: &Ledger, requests: &Requests, kubelet: &Kubelet) -> Vec<String> {
    let mut wrong = ledger.violations.clone();
    wrong.extend(kubelet.complaints());
    let works: Vec<Work> = trainings.iter().flat_map(|(namespace, name)| Work::of(namespace, name)).collect();

    let mut jobs = BTreeSet::new();
    for training in trainings {
        let (namespace, name) = training;
        let status = ledger.last.get(training).cloned().unwrap_or_default();
        for work in Work::of(namespace, name) {
            let seen = if work.stage == PREFLIGHT { preflight(&work, &status) } else { stage(&work, &status) };
            wrong.extend(seen.into_iter().map(|problem| format!("{namespace}/{name} {}: {problem}", work.stage)));
            let hash = status.preflight.as_ref().map_or("", |preflight| preflight.hash.as_str());
            jobs.extend((1..=work.attempts()).map(|attempt| (namespace.clone(), job_name(&work, hash, attempt))));
        }
        for stage in STAGES {
            let times = ledger.succeeded.get(&(training.clone(), stage.to_owned())).copied().unwrap_or_default();
            if times != 1 {
                wrong.push(format!("{namespace}/{name} {stage}: became Succeeded {times} times"));
            }
        }
    }
    wrong.extend(job_problems(&jobs, &requests.jobs));

    let stages = trainings.len() * STAGES.len();
    let doubled = kubelet.store.doubled();
    if kubelet.store.len() != stages || !doubled.is_empty() {
        wrong.push(format!("{} of {stages} stages in the store, done again: {doubled:?}", kubelet.store.len()));
    }
    let pods: usize = works.iter().map(Work::pods).sum();
    if kubelet.pods() != pods {
        wrong.push(format!("{} pods began instead of {pods}", kubelet.pods()));
    }
    let evicted = works.iter().filter(|work| work.fate() == Fate::Evicted).count();
    if kubelet.evictions() != evicted || evicted == 0 {
        wrong.push(format!("{} evictions instead of {evicted}; without any, nothing is tested", kubelet.evictions()));
    }
    wrong
}

/// As operator/README.md and design say; not by the operator's own code.
fn job_name(work: &Work, hash: &str, attempt: u32) -> String {
    match (work.stage.as_str(), attempt) {
        (PREFLIGHT, 1) => format!("{}-plan-{hash}", work.training),
        (PREFLIGHT, attempt) => format!("{}-plan-{hash}-{attempt}", work.training),
        (stage, attempt) => format!("{}-{stage}-{attempt}", work.training),
    }
}

fn job_problems(wanted: &BTreeSet<(String, String)>, made: &BTreeMap<(String, String), usize>) -> Vec<String> {
    let of = |job: &(String, String)| format!("Job {}/{}", job.0, job.1);
    let missing = wanted.iter().filter(|job| !made.contains_key(job)).map(|job| format!("{} was not made", of(job)));
    let extra = made.keys().filter(|job| !wanted.contains(job)).map(|job| format!("{} was not to be made", of(job)));
    let again = made.iter().filter(|(_, times)| **times > 1);
    let again = again.map(|(job, times)| format!("{} was made {times} times", of(job)));
    missing.chain(extra).chain(again).collect()
}

fn preflight(work: &Work, status: &MedicalTrainingStatus) -> Option<String> {
    let Some(seen) = &status.preflight else { return Some("no preflight in status".to_owned()) };
    let charged = u32::from(work.fate() == Fate::Fails);
    let fine = (seen.state, seen.attempt, seen.charged) == (PreflightState::Succeeded, work.attempts(), charged);
    (!fine).then(|| format!("{seen:?}"))
}

fn stage(work: &Work, status: &MedicalTrainingStatus) -> Option<String> {
    let Some(seen) = status.stage(&work.stage) else { return Some("is not in status".to_owned()) };
    // Pods are counted when they are seen, and the first may be gone before.
    let most = u32::from(work.fate() == Fate::Evicted);
    let fine = seen.state == StageState::Succeeded
        && seen.attempt == work.attempts()
        && seen.charged_attempts == u32::from(work.fate() == Fate::Fails)
        && seen.uncharged_attempts == 0
        && seen.infra_restarts <= most
        && seen.key == work.key();
    (!fine).then(|| format!("{seen:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_too_few_too_many_or_twice_is_told() {
        let job = |name: &str| ("ns".to_owned(), name.to_owned());
        let wanted = BTreeSet::from([job("a"), job("b")]);
        let made = BTreeMap::from([(job("b"), 2), (job("c"), 1)]);
        let told = ["Job ns/a was not made", "Job ns/c was not to be made", "Job ns/b was made 2 times"];
        assert_eq!(job_problems(&wanted, &made), told);
    }
}
