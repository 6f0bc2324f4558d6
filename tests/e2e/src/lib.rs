//! What the end-to-end tests stand on: a cluster, an S3 server and images that `tests/e2e/run.sh` has prepared and
//! named in the environment; a namespace of its own for every scenario.
//!
//! Holds: nothing here knows how the cluster was made, but for [`host`], whose tests run only on our own.

pub mod disruption;
pub mod door;
pub mod environment;
pub mod failure;
pub mod host;
pub mod jobs;
pub mod operated;
pub mod operator;
pub mod outcome;
pub mod scenario;
pub mod store;
pub mod training;

pub use environment::Environment;
pub use scenario::Scenario;
