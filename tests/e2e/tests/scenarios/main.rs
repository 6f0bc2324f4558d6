//! Scenarios that share a cluster and run side by side, each in a namespace of its own.
//! Those in modules named `host` reach into the node's machine and run only on our own cluster.

mod children;
mod definition;
mod disruptions;
mod lifecycle;
mod mistakes;
mod operator;
mod pods;
