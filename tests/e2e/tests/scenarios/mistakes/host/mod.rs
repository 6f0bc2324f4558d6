//! What needs a cluster of our own: accelerators that a node's status only claims, and a store behind the node's network.

mod accelerator;
mod outage;
