//! One reconcile: observe, validate, decide, apply, report.
//!
//! Holds: only `observe`, `apply` and `report` talk to the API server; all policy is in [`decide`].

pub mod apply;
pub mod build;
pub mod children;
pub mod decide;
pub mod names;
pub mod observe;
pub mod outcome;
pub mod report;
pub mod run;
pub mod seen;
pub mod validate;
