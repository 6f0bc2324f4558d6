//! Flags; each is also an environment variable `MEDTRAIN_OPERATOR_<FLAG>`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Runs MedicalTraining resources: one Job an attempt of a stage.
#[derive(Debug, Parser)]
#[command(name = "medtrain-operator", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Namespaces to watch, with commas between; none: all.
    #[arg(long, env = "MEDTRAIN_OPERATOR_NAMESPACES", value_delimiter = ',', global = true)]
    pub namespaces: Vec<String>,
    /// Image of the trainer for trainings that name none.
    #[arg(long, env = "MEDTRAIN_OPERATOR_TRAINER_IMAGE", default_value = concat!("medtrain/trainer:", env!("CARGO_PKG_VERSION")))]
    pub trainer_image: String,
    #[arg(long, env = "MEDTRAIN_OPERATOR_IMAGE_PULL_POLICY")]
    pub image_pull_policy: Option<String>,
    /// Act only while holding a Lease; needed with more than one replica.
    #[arg(long, env = "MEDTRAIN_OPERATOR_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set, global = true)]
    pub leader_election: bool,
    #[arg(long, env = "MEDTRAIN_OPERATOR_LEASE_NAME", default_value = "medtrain-operator", global = true)]
    pub lease_name: String,
    /// The operator's own namespace if left out.
    #[arg(long, env = "MEDTRAIN_OPERATOR_LEASE_NAMESPACE", global = true)]
    pub lease_namespace: Option<String>,
    #[arg(long, env = "MEDTRAIN_OPERATOR_HEALTH_LISTEN", default_value = "0.0.0.0:8081")]
    pub health_listen: SocketAddr,
    #[arg(long, env = "MEDTRAIN_OPERATOR_METRICS_LISTEN", default_value = "0.0.0.0:9090")]
    pub metrics_listen: SocketAddr,
    /// Reconciles at the same time.
    #[arg(long, env = "MEDTRAIN_OPERATOR_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// Between looks at a pod's progress, and between status writes for it.
    #[arg(long, env = "MEDTRAIN_OPERATOR_PROGRESS_INTERVAL_SECONDS", default_value_t = 30)]
    pub progress_interval_seconds: u32,
    /// A pod that has not started by then fails its stage; 0: never.
    #[arg(long, env = "MEDTRAIN_OPERATOR_PENDING_DEADLINE_SECONDS", default_value_t = 3600)]
    pub pending_deadline_seconds: u32,
    /// An attempt that takes longer fails its stage; 0: never.
    #[arg(long, env = "MEDTRAIN_OPERATOR_ACTIVE_DEADLINE_SECONDS", default_value_t = 0)]
    pub active_deadline_seconds: u32,
    /// A node that is not ready for so long is given up.
    #[arg(long, env = "MEDTRAIN_OPERATOR_LOST_NODE_AFTER_SECONDS", default_value_t = 600)]
    pub lost_node_after_seconds: u32,
    /// Attempts that fail by their own fault before the stage fails.
    #[arg(long, env = "MEDTRAIN_OPERATOR_MAX_ATTEMPTS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: u32,
    /// Pause after the first of those, doubled after each.
    #[arg(long, env = "MEDTRAIN_OPERATOR_BACKOFF_SECONDS", default_value_t = 10)]
    pub backoff_seconds: u32,
    /// Pods lost within one attempt before it counts as failed.
    #[arg(long, env = "MEDTRAIN_OPERATOR_MAX_DISRUPTIONS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_disruptions: u32,
    /// YAML with defaults.podTemplate, serviceAccounts and stallSeconds.
    #[arg(long, env = "MEDTRAIN_OPERATOR_CONFIG")]
    pub config: Option<PathBuf>,
    #[arg(long, env = "MEDTRAIN_OPERATOR_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
    /// error, warn, info, debug, trace, or directives like medtrain_operator=debug,kube=info.
    #[arg(long, env = "MEDTRAIN_OPERATOR_LOG", default_value = "info")]
    pub log: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the CustomResourceDefinition as YAML.
    Crd,
    /// Ask the API server for everything that the operator needs, under the rights of whoever runs this: the kind, each
    /// right. Ends with 1 if something is missing.
    Check {
        /// Also ask this address (…/readyz of the operator's Service) whether the operator is ready.
        #[arg(long)]
        ready_url: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}
