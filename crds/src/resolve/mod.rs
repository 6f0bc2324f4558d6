//! From a resource to a plan.
