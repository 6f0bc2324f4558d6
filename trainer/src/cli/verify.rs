//! `medtrain verify`: does an artifact still hold what its manifest says?

use crate::{
    artifact::{Store, StoreOptions, verify},
    failure::Result,
};

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// A finished stage: its folder or manifest.json, as a path or a URI (s3://…, gs://…, az://…).
    artifact: String,
}

pub fn run(args: VerifyArgs) -> Result<()> {
    let uri = args.artifact.trim_end_matches('/');
    let folder = uri.strip_suffix("/manifest.json").unwrap_or(uri);
    let store = Store::open(folder, &StoreOptions::default())?;
    let report = verify(&store, "")?;
    println!("{report}");
    report.into_result()
}
