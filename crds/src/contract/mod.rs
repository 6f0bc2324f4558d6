//! The files and codes that cross a process border.
//!
//! Holds: every file carries [`CONTRACT_VERSION`]; readers accept it and the version before; their text is pinned
//! by golden tests.

pub mod canonical;
mod digest;
mod exit;
pub mod layout;
mod loss_mask;
mod manifest;
pub mod metrics;
pub mod pod;
mod preflight;
mod progress;
mod reason;
mod stage_config;
mod termination;
mod version;

pub use digest::{Digest, InvalidDigest, StageKey};
pub use exit::ExitCode;
pub use loss_mask::{FirstBatches, LossMask, RoleTokens, TokenRole};
pub use manifest::{
    BaseModel, BestModel, CheckpointManifest, DataCounts, EarlyStop, FileEntry, Manifest, ManifestInput, MergeCheck,
    Pointer, SplitCounts, Timings, TrainerBuild,
};
pub use preflight::{PreflightConfig, PreflightMessage, StageForecast, StageLimits};
pub use progress::{Phase, Progress};
pub use reason::Reason;
pub use stage_config::{PlanRef, StageConfig, StoreAccess};
pub use termination::{Outcome, TerminationMessage};
pub use version::ContractError;
pub(crate) use version::parse;

/// Version of everything in this module; readers accept N and N−1.
pub const CONTRACT_VERSION: u32 = 1;

/// JSON for people and programs: two spaces, fields in the order of the type, a newline at the end.
fn pretty<T: serde::Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("structs under string keys are JSON");
    text.push('\n');
    text
}
