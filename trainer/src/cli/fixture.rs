//! Arguments of commands that run a model.

use std::path::Path;

use super::loaded_model::ModelArgs;

/// The model at `dir`, without an adapter.
pub fn model_args(dir: &Path) -> ModelArgs {
    ModelArgs {
        model: dir.display().to_string(),
        adapter: None,
        force_base: false,
        workdir: dir.join("work"),
        threads: None,
    }
}
