//! A cache of children that knows whose each is.
//!
//! Holds: asking for one training's children costs by their number, not by the number of all; what was deleted, also
//! while the watch was down, is not among them.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use super::names;

#[derive(Clone)]
pub struct Children<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    pub store: Store<K>,
    /// By the UID of the training.
    of: Arc<Mutex<HashMap<String, HashSet<ObjectRef<K>>>>>,
}

impl<K> Children<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
    ObjectRef<K>: Eq + Hash,
{
    pub fn new(store: Store<K>) -> Self {
        Self { store, of: Arc::default() }
    }

    /// Follows the watch that fills the store; to be called after the store has taken the event.
    pub fn take(&self, event: &Event<K>) {
        let mut of = self.lock();
        match event {
            Event::Init => {}
            Event::Apply(child) | Event::InitApply(child) => {
                if let Some(uid) = child.labels().get(names::TRAINING_UID) {
                    of.entry(uid.clone()).or_default().insert(ObjectRef::from_obj(child));
                }
            }
            Event::Delete(child) => {
                let Some(uid) = child.labels().get(names::TRAINING_UID) else { return };
                if let Some(children) = of.get_mut(uid) {
                    children.remove(&ObjectRef::from_obj(child));
                    if children.is_empty() {
                        of.remove(uid);
                    }
                }
            }
            Event::InitDone => of.retain(|_, children| {
                children.retain(|child| self.store.get(child).is_some());
                !children.is_empty()
            }),
        }
    }

    /// The children with the training's UID on their label, by name.
    pub fn of(&self, uid: &str) -> Vec<Arc<K>> {
        let of = self.lock();
        let children = of.get(uid).into_iter().flatten().filter_map(|child| self.store.get(child));
        let mut children: Vec<_> = children
            .filter(|child| child.labels().get(names::TRAINING_UID).is_some_and(|label| label == uid))
            .collect();
        children.sort_by_key(|child| child.name_any());
        children
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashSet<ObjectRef<K>>>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use kube::runtime::reflector;

    use super::*;

    fn job(name: &str, uid: &str) -> Job {
        let mut job = Job::default();
        job.metadata.name = Some(name.into());
        job.metadata.namespace = Some("ns".into());
        job.metadata.labels = Some([(names::TRAINING_UID.into(), uid.into())].into());
        job
    }

    #[test]
    fn deleted_children_are_forgotten_also_those_deleted_while_the_watch_was_down() {
        let (store, mut writer) = reflector::store();
        let children = Children::new(store);
        let mut happens = |event: Event<Job>| {
            writer.apply_watcher_event(&event);
            children.take(&event);
        };
        let names = |uid: &str| children.of(uid).iter().map(|job| job.name_any()).collect::<Vec<_>>();
        for event in [Event::Init, Event::InitApply(job("b", "1")), Event::InitApply(job("a", "1")), Event::InitDone] {
            happens(event);
        }
        happens(Event::Apply(job("c", "2")));
        assert_eq!([names("1"), names("2"), names("3")], [vec!["a", "b"], vec!["c"], vec![]]);
        happens(Event::Delete(job("a", "1")));
        for event in [Event::Init, Event::InitApply(job("b", "1")), Event::InitDone] {
            happens(event);
        }
        assert_eq!([names("1"), names("2")], [vec!["b"], vec![]]);
        assert!(!children.lock().contains_key("2"));
        happens(Event::Apply(job("b", "4")));
        assert_eq!([names("1"), names("4")], [vec![], vec!["b"]]);
    }
}
