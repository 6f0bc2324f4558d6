//! Writes what is generated from the types: `cargo run -p medtrain-crds --example crds`, or `make crds`.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    for (name, text) in [
        ("hyperparameters.md", medtrain_crds::stage::reference::markdown()),
        ("medicaltrainings.yaml", medtrain_crds::k8s::definition_yaml()),
    ] {
        fs::write(folder.join(name), text)?;
        println!("{}", folder.join(name).display());
    }
    Ok(())
}
