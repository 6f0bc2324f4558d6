//! Scenarios that need the cluster for themselves, one at a time: they stop parts of it or the operator, or fill the machine.
//! Those in modules named `host` reach into the node's machine and run only on our own cluster.

mod absence;
mod node;
mod operator;
mod smollm2;
