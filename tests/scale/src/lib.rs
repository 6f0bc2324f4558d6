//! Scale: many trainings at once, with everything real but the nodes: API server, controllers, scheduler and operator
//! are; pods are run by a kubelet of ours that starts nothing and says what the trainer would say.
//!
//! Holds: what becomes of a pod follows from names alone ([`work`]), so the test knows how many attempts, pods and Jobs
//! there must be before anything runs.

pub mod audit;
pub mod figures;
pub mod kubelet;
pub mod ledger;
pub mod settings;
pub mod store;
pub mod trainings;
pub mod verdict;
pub mod work;
