//! Reading files of the contract: version first, then content.

use serde::de::DeserializeOwned;

use super::CONTRACT_VERSION;

/// The oldest version that is still read: N−1, once there is one.
const OLDEST: u32 = if CONTRACT_VERSION > 1 { CONTRACT_VERSION - 1 } else { 1 };

/// Why a file of the contract can't be read. The text names the file's kind; the caller adds where it lies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    #[error("{file} is not valid JSON: {reason}; it was cut short or written by something else")]
    NotJson { file: &'static str, reason: String },
    #[error("{file} has no contract version (field \"contract\"): it was not written by MedTrain")]
    NoVersion { file: &'static str },
    #[error(
        "{file} has contract version {found}; this program reads {OLDEST} to {CONTRACT_VERSION}: use a {way_out} medtrain"
    )]
    Version { file: &'static str, found: u64, way_out: &'static str },
    #[error("{file}: {path}: {reason}")]
    Shape { file: &'static str, path: String, reason: String },
}

/// Reads `bytes` as a `T` of contract version N or N−1; `file` is what an error calls it.
pub(crate) fn parse<T: DeserializeOwned>(file: &'static str, bytes: &[u8]) -> Result<T, ContractError> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| ContractError::NotJson {
        file,
        reason: format!("line {} column {}", error.line(), error.column()),
    })?;
    let found = value.get("contract").and_then(serde_json::Value::as_u64).ok_or(ContractError::NoVersion { file })?;
    if !(u64::from(OLDEST)..=u64::from(CONTRACT_VERSION)).contains(&found) {
        let way_out = if found > u64::from(CONTRACT_VERSION) { "newer" } else { "older" };
        return Err(ContractError::Version { file, found, way_out });
    }
    serde_path_to_error::deserialize(value).map_err(|error| ContractError::Shape {
        file,
        path: error.path().to_string(),
        reason: error.inner().to_string(),
    })
}
