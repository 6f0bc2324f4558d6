//! `medtrain verify`: does an artifact still hold what its manifest says?

use std::path::Path;

use medtrain_crds::contract::layout;

use crate::{
    artifact::{Store, StoreOptions, read_manifest, verify},
    cli::summary::notes,
    failure::Result,
};

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// A finished stage: its folder, manifest.json or latest/STAGE, as a path or a URI (s3://…, gs://…, az://…).
    artifact: String,
}

pub fn run(args: VerifyArgs) -> Result<()> {
    let uri = args.artifact.trim_end_matches('/');
    let folder = uri.strip_suffix("/manifest.json").unwrap_or(uri);
    let folder = home(folder).unwrap_or_else(|| folder.to_owned());
    let store = Store::open(&folder, &StoreOptions::default())?;
    let report = verify(&store, "")?;
    println!("{report}");
    let manifest = read_manifest(&store, layout::MANIFEST)?;
    manifest.iter().flat_map(notes).for_each(|note| println!("{note}"));
    report.into_result()
}

/// Of a folder of this machine inside an artifact (`latest/sft` is a link to one, `adapter` and `merged` lie in it), the
/// artifact's own, which has the manifest.
fn home(inside: &str) -> Option<String> {
    let inside = Path::new(inside).canonicalize().ok()?;
    let home = inside.ancestors().take(3).find(|folder| folder.join(layout::MANIFEST).is_file())?;
    home.to_str().map(str::to_owned)
}
