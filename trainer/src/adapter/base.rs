//! Which weights an adapter was trained over, in a file beside PEFT's own, which know the base by name only.
//!
//! Holds: the record is of values, so a base that was renamed, sharded otherwise or stored in a wider type is still the
//! same one, and another of the same shapes is not.

use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    failure::{Failure, Result},
    model::Decoder,
    ops::LmBackend,
    weights::{peft::BASE_RECORD as FILE, save::write_bytes},
};

/// Values hashed at once by one thread. Part of the digest's definition.
const CHUNK: usize = 1 << 18;

/// The base of an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRecord {
    /// As in `adapter_config.json`.
    pub base_model_name_or_path: String,
    /// See [`weights_digest`].
    pub weights_sha256: String,
}

impl BaseRecord {
    /// The record of an adapter that is trained over `model`.
    pub fn of<B: LmBackend>(model: &Decoder<B>, name: &str) -> Result<Self> {
        Ok(Self { base_model_name_or_path: name.to_owned(), weights_sha256: weights_digest(model)? })
    }

    /// Writes it into the adapter's directory.
    ///
    /// # Errors
    /// As [`Failure::io`].
    pub fn write(&self, dir: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::internal(format!("{FILE} can't be written: {error}")))?;
        write_bytes(&dir.join(FILE), (json + "\n").as_bytes())
    }

    /// The record in an adapter's directory; `None` for an adapter that another program wrote.
    ///
    /// # Errors
    /// 65 when it is there and damaged.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::io(&path, &error))?;
        let record = serde_json::from_str(&text).map_err(|error| {
            Failure::input(format!(
                "{}: not the record of a base ({error}); copy it again, or delete it if the base is certain",
                path.display()
            ))
        })?;
        Ok(Some(record))
    }

    /// A sentence if the adapter in `dir`, whose record this is, was trained over other weights than `weights_sha256`, which
    /// are those of the model that is called `model`.
    pub fn contradicts(&self, dir: &Path, model: &str, weights_sha256: &str) -> Option<String> {
        let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
        (self.weights_sha256 != weights_sha256).then(|| {
            format!(
                "{}: was trained over \"{}\" (weights {}), not over {model} (weights {})",
                dir.display(),
                self.base_model_name_or_path,
                short(&self.weights_sha256),
                short(weights_sha256)
            )
        })
    }
}

/// sha256 over names, shapes and values of all weights. Values are taken as little-endian f32, which holds bf16 and f16
/// exactly, so the type they are stored in does not matter.
pub fn weights_digest<B: LmBackend>(model: &Decoder<B>) -> Result<String> {
    let mut all = Sha256::new();
    model.for_each_tensor(|name, shape, values| {
        all.update(format!("{name} {shape:?}\n"));
        let values = B::values(&values);
        let chunks: Vec<_> = values
            .as_ref()
            .par_chunks(CHUNK)
            .map(|chunk| Sha256::digest(chunk.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()))
            .collect();
        chunks.iter().for_each(|chunk| all.update(chunk));
        Ok(())
    })?;
    Ok(hex::encode(all.finalize()))
}

#[cfg(test)]
mod tests {
    use burn_flex::Flex;

    use super::*;
    use crate::{
        model::{fixture::speaking_model, load},
        weights::{Dtype, ModelFiles, save_model},
    };

    fn digest(dir: &Path) -> String {
        weights_digest(&load::load::<Flex>(dir, 8, &Default::default()).unwrap()).unwrap()
    }

    /// The model of `from`, its tensors as `change` makes them, in shards of `shard` bytes.
    fn rewritten(from: &Path, dtype: Dtype, shard: u64, change: impl Fn(&str, &mut Vec<f32>)) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
        let files = ModelFiles::open(from).unwrap();
        let shapes: Vec<_> = files.names().map(|name| (name.to_owned(), files.shape(name).unwrap().to_vec())).collect();
        save_model(dir.path(), &shapes, dtype, shard, |name| {
            let mut values = files.read_f32(name)?.1;
            change(name, &mut values);
            Ok(values)
        })
        .unwrap();
        dir
    }

    #[test]
    fn the_digest_is_of_values_not_of_files_and_one_changed_value_changes_it() {
        let original = speaking_model();
        let rounded = rewritten(original.path(), Dtype::BFloat16, u64::MAX, |_, _| {});
        let wide = rewritten(rounded.path(), Dtype::Float32, 4096, |_, _| {});
        assert!(wide.path().join("model.safetensors.index.json").is_file());
        assert_eq!(digest(rounded.path()), digest(wide.path()));
        assert_ne!(digest(original.path()), digest(rounded.path()));
        let touched = rewritten(original.path(), Dtype::Float32, u64::MAX, |name, values| {
            if name == "model.norm.weight" {
                *values.last_mut().unwrap() += 1e-6;
            }
        });
        assert_ne!(digest(original.path()), digest(touched.path()));
    }

    #[test]
    fn a_damaged_record_is_told_and_none_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(BaseRecord::read(dir.path()).unwrap(), None);
        let record = BaseRecord { base_model_name_or_path: "org/name".into(), weights_sha256: "ab".into() };
        record.write(dir.path()).unwrap();
        assert_eq!(BaseRecord::read(dir.path()).unwrap(), Some(record));
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        let failure = BaseRecord::read(dir.path()).unwrap_err();
        assert!(failure.message.contains("not the record of a base"), "{failure:?}");
    }
}
