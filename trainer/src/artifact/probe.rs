//! Before work starts: may this store be written, and does it honour the conditional create that commits rest on?

use std::{io::ErrorKind, path::Path};

use super::{Created, RunId, Store};
use crate::failure::{Failure, Result};

impl Store {
    /// Creates an object, tries to create it again, reads it back and deletes it.
    ///
    /// # Errors
    /// 77 when writing is refused; 75 when the disk is full; 64, with the way out, when the second create is not
    /// refused: two attempts could then both believe that they finished a stage.
    pub fn probe(&self) -> Result<()> {
        if let Some(root) = self.local_path("") {
            std::fs::create_dir_all(&root).map_err(|e| Failure::io(&root, &e))?;
            hard_links(&root)?;
        }
        let path = format!(".medtrain-probe-{}{}", RunId::random()?, RunId::random()?);
        let outcome = self.probe_at(&path);
        let cleared = self.delete(&path);
        outcome.and(cleared)
    }

    fn probe_at(&self, path: &str) -> Result<()> {
        let (first, second) = (self.create(path, "first")?, self.create(path, "second")?);
        let kept = self.get(path)?;
        if first == Created::Created && second == Created::Exists && kept.as_deref() == Some(b"first") {
            return Ok(());
        }
        Err(Failure::config(format!(
            "{}: this store does not honour conditional writes (If-None-Match: *), so two attempts could overwrite each other's result; use a store or a server version that does",
            self.uri()
        )))
    }
}

/// The conditional create of a local store is a hard link.
fn hard_links(root: &Path) -> Result<()> {
    let file = root.join(format!(".medtrain-probe-{}", RunId::random()?));
    let link = file.with_extension("link");
    std::fs::write(&file, "probe").map_err(|e| Failure::io(root, &e))?;
    let linked = std::fs::hard_link(&file, &link);
    let _ = std::fs::remove_file(&file);
    let _ = std::fs::remove_file(&link);
    linked.map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failure::io(root, &error),
        _ => Failure::config(format!(
            "{}: this file system has no hard links ({error}), which finished stages are recorded by; choose an output folder on a local disk or on NFS, or an object store",
            root.display()
        )),
    })
}
