//! Stand-in for `medtrain_crds::contract` until that lands.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub path: String,
    pub sha256: String,
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub contract: u32,
    pub key: String,
    pub files: Vec<FileEntry>,
    pub run: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointManifest {
    pub contract: u32,
    pub step: u64,
    pub run: String,
    pub files: Vec<FileEntry>,
}
