//! Identities of content: digests of inputs and keys of stages.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::canonical;

/// Identity of an input: `sha256:<64 hex>` of its content, or `commit:<40 or 64 hex>` on a hub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Of content held in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", canonical::sha256_hex(bytes)))
    }

    /// From the 64 lower-case hex digits of a sha256.
    pub fn sha256(hex: &str) -> Result<Self, InvalidDigest> {
        Self::try_from(format!("sha256:{hex}"))
    }

    /// From a commit of a model hub.
    pub fn commit(hex: &str) -> Result<Self, InvalidDigest> {
        Self::try_from(format!("commit:{hex}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        let valid = match text.split_once(':') {
            Some(("sha256", hex)) => is_hex(hex, &[64]),
            Some(("commit", hex)) => is_hex(hex, &[40, 64]),
            _ => false,
        };
        if valid { Ok(Self(text)) } else { Err(InvalidDigest(text)) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identity of a stage's work: 64 hex digits; two stages with the same key do the same work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StageKey(String);

impl StageKey {
    /// Of the canonical JSON of everything that decides a stage's result (see [`crate::resolve::key`]).
    pub fn of(canonical_json: &str) -> Self {
        Self(canonical::sha256_hex(canonical_json.as_bytes()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 hex digits, as used in store paths and shown to people.
    pub fn key12(&self) -> &str {
        &self.0[..12]
    }
}

impl TryFrom<String> for StageKey {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        if is_hex(&text, &[64]) { Ok(Self(text)) } else { Err(InvalidDigest(text)) }
    }
}

impl From<StageKey> for String {
    fn from(key: StageKey) -> Self {
        key.0
    }
}

impl fmt::Display for StageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is neither a digest nor a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no digest (sha256:<64 hex>, commit:<40 or 64 hex>; stage keys are 64 bare hex digits; all lower case)"
)]
pub struct InvalidDigest(String);

fn is_hex(text: &str, lengths: &[usize]) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_digests_are_read() {
        let hex = "a".repeat(64);
        assert_eq!(Digest::sha256(&hex).unwrap().as_str(), format!("sha256:{hex}"));
        assert!(Digest::commit(&"b".repeat(40)).is_ok());
        for wrong in ["", "sha256:abc", "md5:0", &format!("sha256:{}", "A".repeat(64)), &"a".repeat(64)] {
            assert!(Digest::try_from(wrong.to_string()).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<StageKey>("\"abc\"").is_err());
        assert_eq!(StageKey::of("{}").key12().len(), 12);
    }
}
