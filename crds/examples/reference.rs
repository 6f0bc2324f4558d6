//! Writes the generated reference: `cargo run -p medtrain-crds --example reference`.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated/hyperparameters.md");
    fs::write(&path, medtrain_crds::stage::reference::markdown())?;
    println!("{}", path.display());
    Ok(())
}
