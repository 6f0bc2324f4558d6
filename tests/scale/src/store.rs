//! The artifact store of the fake pods: which pieces of work have a manifest.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub struct Store(Mutex<HashMap<String, usize>>);

impl Store {
    /// A stage with this key has run to its end: the first one's manifest stays.
    pub fn commit(&self, key: String) {
        *self.commits().entry(key).or_default() += 1;
    }

    pub fn has(&self, key: &str) -> bool {
        self.commits().contains_key(key)
    }

    pub fn len(&self) -> usize {
        self.commits().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys whose work was done more than once.
    pub fn doubled(&self) -> Vec<String> {
        self.commits().iter().filter(|(_, commits)| **commits > 1).map(|(key, _)| key.clone()).collect()
    }

    fn commits(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
