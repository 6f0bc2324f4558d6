//! Who writes: eight hex digits that tell the pods (or processes) that may write for one stage apart.
//!
//! Holds: two live writers have different ids, so that neither can overwrite a file of the other.

use std::{fmt, fs::File, io::Read, path::Path};

use super::sha256_hex;
use crate::failure::{Failure, Result};

/// `run8` of the store layout: the start of the pod's UID, or random outside a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(String);

impl RunId {
    pub const LEN: usize = 8;

    /// From `POD_UID` (set by the operator through the downward API), else random.
    ///
    /// # Errors
    /// When `/dev/urandom` can't be read.
    pub fn from_env() -> Result<Self> {
        match std::env::var("POD_UID") {
            Ok(uid) if !uid.is_empty() => Ok(Self::of_pod(&uid)),
            _ => Self::random(),
        }
    }

    /// The first eight digits of a UUID, as people see them in `kubectl`; of anything else its hash.
    pub fn of_pod(uid: &str) -> Self {
        let head: String = uid.chars().take(Self::LEN).collect::<String>().to_ascii_lowercase();
        Self::parse(&head).unwrap_or_else(|| Self(sha256_hex(uid.as_bytes())[..Self::LEN].to_owned()))
    }

    /// # Errors
    /// When `/dev/urandom` can't be read.
    pub fn random() -> Result<Self> {
        let source = Path::new("/dev/urandom");
        let mut bytes = [0; Self::LEN / 2];
        File::open(source).and_then(|mut f| f.read_exact(&mut bytes)).map_err(|e| Failure::io(source, &e))?;
        Ok(Self(hex::encode(bytes)))
    }

    /// `Some` for eight lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == Self::LEN && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_keeps_the_start_of_its_uid() {
        assert_eq!(RunId::of_pod("3F2504E0-4f89-11d3-9a0c-0305e82c3301").as_str(), "3f2504e0");
    }

    #[test]
    fn an_odd_uid_still_gives_eight_hex_digits() {
        let id = RunId::of_pod("static-pod");
        assert_eq!(RunId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn two_local_runs_differ() {
        assert_ne!(RunId::random().unwrap(), RunId::random().unwrap());
    }
}
