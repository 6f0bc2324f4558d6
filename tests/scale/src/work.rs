//! The work of a training and what will disturb it.
//!
//! Holds: keys, durations and fates follow from `SEED` and names alone, whoever asks and however often.

use medtrain_crds::contract::canonical::sha256_hex;

/// Another one disturbs other pods.
const SEED: &str = "1";
/// Of 100 pieces of work, how many lose a pod to an eviction and how many fail once.
const EVICTED: u64 = 6;
const FAILS: u64 = 6;

/// Stands for the preflight where a stage's name would; no stage may be called so.
pub const PREFLIGHT: &str = "plan";
pub const STAGES: [&str; 4] = ["pt", "sft", "rm", "ppo"];

/// A stage of a training, or its preflight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Work {
    pub namespace: String,
    pub training: String,
    pub stage: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Undisturbed,
    /// Its first pod is evicted while it runs.
    Evicted,
    /// Its first attempt ends with the exit code for an unreachable store.
    Fails,
}

impl Work {
    pub fn new(namespace: &str, training: &str, stage: &str) -> Self {
        Self { namespace: namespace.into(), training: training.into(), stage: stage.into() }
    }

    /// Preflight and stages of a training.
    pub fn of(namespace: &str, training: &str) -> Vec<Self> {
        std::iter::once(PREFLIGHT).chain(STAGES).map(|stage| Self::new(namespace, training, stage)).collect()
    }

    pub fn fate(&self) -> Fate {
        match self.dice("fate") % 100 {
            0..EVICTED => Fate::Evicted,
            dice if dice < EVICTED + FAILS => Fate::Fails,
            _ => Fate::Undisturbed,
        }
    }

    /// Attempts until it is done.
    pub fn attempts(&self) -> u32 {
        if self.fate() == Fate::Fails { 2 } else { 1 }
    }

    /// Pods until it is done.
    pub fn pods(&self) -> usize {
        if self.fate() == Fate::Undisturbed { 1 } else { 2 }
    }

    /// The 12 digits that name a stage's place in the store.
    pub fn key(&self) -> String {
        self.hash("key")[..12].to_owned()
    }

    /// Of the plan of the stage's training.
    pub fn plan_sha256(&self) -> String {
        Self::new(&self.namespace, &self.training, PREFLIGHT).hash("plan")
    }

    /// Milliseconds between `shortest` and twice that.
    pub fn milliseconds(&self, what: &str, shortest: u64) -> u64 {
        shortest + self.dice(what) % shortest
    }

    fn dice(&self, what: &str) -> u64 {
        // 15 digits of hex are always a number.
        u64::from_str_radix(&self.hash(what)[..15], 16).unwrap_or_default()
    }

    fn hash(&self, what: &str) -> String {
        sha256_hex(format!("{SEED}/{what}/{}/{}/{}", self.namespace, self.training, self.stage).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_are_as_frequent_as_stated() {
        let works = (0..2000).flat_map(|i| Work::of("ns", &format!("t{i}")));
        let all: Vec<_> = works.map(|work| work.fate()).collect();
        let of_100 = |fate: Fate| all.iter().filter(|other| **other == fate).count() as f64 * 100.0 / all.len() as f64;
        // Three standard deviations of 10,000 draws.
        for (fate, stated) in [(Fate::Evicted, EVICTED), (Fate::Fails, FAILS)] {
            assert!((of_100(fate) - stated as f64).abs() < 0.75, "{fate:?}: {}", of_100(fate));
        }
    }
}
