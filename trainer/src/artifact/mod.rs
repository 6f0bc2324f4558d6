//! Artifacts: files in an object store, by digest, and the one conditional put that makes a stage done.
//!
//! [`Store`] is the only door to `file://`, `memory://`, `s3://`, `gs://` and `az://`. [`commit`] writes the manifest
//! last; [`verify`] re-hashes what a manifest lists. Holds: a path in a store is relative to the URI that opened it,
//! `/`-separated; a reader that sees a `manifest.json` sees every file it lists.

mod access;
mod commit;
mod connector;
mod digest;
mod download;
mod location;
mod probe;
mod retry;
mod run_id;
mod store;
mod tree;
mod verify;

#[cfg(test)]
mod download_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unreliable;

pub use access::Access;
pub(crate) use commit::readable;
pub use commit::{Committed, commit, link_latest, link_merged, read_manifest, read_pointer, write_pointer};
pub use digest::{FileDigest, hash_file, sha256_hex};
pub use run_id::RunId;
pub use store::{Created, Listed, Store, StoreOptions};
pub use tree::{download_dir, upload_dir};
pub use verify::{FileProblem, VerifyReport, finished, verify, verify_files};
