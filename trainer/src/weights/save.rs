//! Writes safetensors: one file, or shards with an index when the model is larger than the shard limit.
//!
//! Holds: memory is bounded by one tensor of the caller's and a buffer; tensors lie sorted by name and the header has one
//! metadata key, so equal input gives equal bytes, the same that Hugging Face's writer gives; everything is fsynced on
//! return, but for [`write_model`], whose result says what is left to do.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::dtype::Dtype;
use super::model_files::{INDEX, SINGLE};
use crate::failure::{Failure, Result};

/// Shard size of Hugging Face's `save_pretrained`.
pub const MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// Values that are encoded and written at once.
const AT_ONCE: usize = 1 << 20;

/// Files that are written whole, but may not be on disk yet.
#[must_use = "what was not synced may be lost"]
pub struct Unsynced {
    dir: PathBuf,
    files: Vec<(PathBuf, File)>,
}

impl Unsynced {
    /// Waits until files and names are on disk.
    ///
    /// Errors: IO (a full disk too).
    pub fn sync(self) -> Result<()> {
        self.files.iter().try_for_each(|(path, file)| file.sync_all().map_err(|e| Failure::io(path, &e)))?;
        sync_dir(&self.dir)
    }
}

/// Writes `tensors` (name, shape) to `dir`, asking `values` for each, in order of name.
///
/// Errors: a name given twice, `values` of another length than the shape, what `values` returns, IO (a full disk too).
pub fn save_model<V: AsRef<[f32]>>(
    dir: &Path,
    tensors: &[(String, Vec<usize>)],
    dtype: Dtype,
    max_shard_bytes: u64,
    values: impl FnMut(&str) -> Result<V>,
) -> Result<()> {
    write_model(dir, tensors, dtype, max_shard_bytes, values)?.sync()
}

/// As [`save_model`], for a caller that has other work to do while the disk has its own.
pub fn write_model<V: AsRef<[f32]>>(
    dir: &Path,
    tensors: &[(String, Vec<usize>)],
    dtype: Dtype,
    max_shard_bytes: u64,
    mut values: impl FnMut(&str) -> Result<V>,
) -> Result<Unsynced> {
    let tensors = sorted(tensors)?;
    let shards = shards(&tensors, dtype, max_shard_bytes);
    let mut written = Unsynced { dir: dir.to_owned(), files: Vec::with_capacity(shards.len()) };
    let mut write = |name: &str, shard: &[Tensor]| -> Result<()> {
        let path = dir.join(name);
        let file = write_file(&path, shard, dtype, &mut values)?;
        written.files.push((path, file));
        Ok(())
    };
    if let [only] = shards.as_slice() {
        write(SINGLE, only)?;
        return Ok(written);
    }
    let mut weight_map = Map::new();
    let mut total_size = 0;
    for (i, shard) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        write(&file, shard)?;
        for (name, shape) in *shard {
            weight_map.insert(name.clone(), Value::from(file.clone()));
            total_size += bytes_of(shape, dtype);
        }
    }
    let index = json!({"metadata": {"total_size": total_size}, "weight_map": weight_map});
    write_bytes(&dir.join(INDEX), format!("{index:#}\n").as_bytes())?;
    Ok(written)
}

/// Writes one safetensors file. As [`save_model`], without sharding.
pub fn save_file<V: AsRef<[f32]>>(
    path: &Path,
    tensors: &[(String, Vec<usize>)],
    dtype: Dtype,
    mut values: impl FnMut(&str) -> Result<V>,
) -> Result<()> {
    let file = write_file(path, &sorted(tensors)?, dtype, &mut values)?;
    file.sync_all().map_err(|e| Failure::io(path, &e))
}

/// Writes and fsyncs a small file.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(|e| Failure::io(path, &e))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| Failure::io(path, &e))
}

/// Makes the names that were created in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| Failure::io(dir, &e))
}

type Tensor = (String, Vec<usize>);

fn sorted(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut tensors = tensors.to_vec();
    tensors.sort();
    match tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Failure::internal(format!("tensor \"{}\" was given twice to be saved", pair[0].0))),
        None => Ok(tensors),
    }
}

fn bytes_of(shape: &[usize], dtype: Dtype) -> u64 {
    shape.iter().product::<usize>() as u64 * dtype.size() as u64
}

/// Runs of `tensors` of at most `max` bytes; a tensor larger than that has a shard of its own.
fn shards(tensors: &[Tensor], dtype: Dtype, max: u64) -> Vec<&[Tensor]> {
    let mut shards = Vec::new();
    let (mut start, mut size) = (0, 0u64);
    for (i, (_, shape)) in tensors.iter().enumerate() {
        let bytes = bytes_of(shape, dtype);
        if i > start && size.saturating_add(bytes) > max {
            shards.push(&tensors[start..i]);
            (start, size) = (i, 0);
        }
        size += bytes;
    }
    shards.push(&tensors[start..]);
    shards
}

fn write_file<V: AsRef<[f32]>>(
    path: &Path,
    tensors: &[Tensor],
    dtype: Dtype,
    values: &mut impl FnMut(&str) -> Result<V>,
) -> Result<File> {
    let io = |e: std::io::Error| Failure::io(path, &e);
    let mut file = File::create(path).map_err(io)?;
    file.write_all(&header(tensors, dtype)).map_err(io)?;
    let mut buffer = Vec::new();
    for (name, shape) in tensors {
        let values = values(name)?;
        let values = values.as_ref();
        let expected: usize = shape.iter().product();
        if values.len() != expected {
            return Err(Failure::internal(format!(
                "tensor \"{name}\" of shape {shape:?} was given {} values to be saved",
                values.len()
            )));
        }
        for values in values.chunks(AT_ONCE) {
            buffer.resize(values.len() * dtype.size(), 0);
            dtype.encode_into(values, &mut buffer);
            file.write_all(&buffer).map_err(io)?;
        }
    }
    Ok(file)
}

/// Length, then JSON in order of the data, padded with spaces to a multiple of 8, so that the data is aligned.
fn header(tensors: &[Tensor], dtype: Dtype) -> Vec<u8> {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut offset = 0;
    for (name, shape) in tensors {
        let end = offset + bytes_of(shape, dtype);
        let entry = json!({"dtype": dtype.safetensors_name(), "shape": shape, "data_offsets": [offset, end]});
        entries.insert(name.clone(), entry);
        offset = end;
    }
    let mut json = Value::Object(entries).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    header
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::TensorView;

    use super::*;
    use crate::weights::ModelFiles;

    fn tensors() -> Vec<Tensor> {
        vec![("b.weight".into(), vec![2, 3]), ("a.bias".into(), vec![3]), ("c".into(), vec![1])]
    }

    fn values(name: &str) -> Result<Vec<f32>> {
        let len = tensors().iter().find(|t| t.0 == name).unwrap().1.iter().product::<usize>();
        Ok((0..len).map(|i| i as f32 + f32::from(name.as_bytes()[0])).collect())
    }

    #[test]
    fn bytes_equal_those_of_the_safetensors_crate() {
        let dir = tempfile::tempdir().unwrap();
        for (dtype, stored) in [
            (Dtype::Float32, safetensors::Dtype::F32),
            (Dtype::BFloat16, safetensors::Dtype::BF16),
            (Dtype::Float16, safetensors::Dtype::F16),
        ] {
            save_model(dir.path(), &tensors(), dtype, MAX_SHARD_BYTES, values).unwrap();
            let encoded: Vec<_> =
                tensors().into_iter().map(|(n, s)| (n.clone(), s, dtype.encode(&values(&n).unwrap()))).collect();
            let views = encoded.iter().map(|(n, s, d)| (n, TensorView::new(stored, s.clone(), d).unwrap()));
            let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
            let theirs = safetensors::serialize(views, Some(metadata)).unwrap();
            assert_eq!(std::fs::read(dir.path().join(SINGLE)).unwrap(), theirs);
        }
    }

    #[test]
    fn a_model_over_the_limit_is_sharded_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        save_model(dir.path(), &tensors(), Dtype::Float32, 24, values).unwrap();
        let mut files: Vec<String> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let shard = |i| format!("model-0000{i}-of-00003.safetensors");
        assert_eq!(files, [shard(1), shard(2), shard(3), INDEX.to_owned()]);
        let index: Value = serde_json::from_slice(&std::fs::read(dir.path().join(INDEX)).unwrap()).unwrap();
        assert_eq!(index["metadata"]["total_size"], 40);
        let read = ModelFiles::open(dir.path()).unwrap();
        for (name, shape) in tensors() {
            assert_eq!(read.read_f32(&name).unwrap(), (shape, values(&name).unwrap()));
        }
    }

    #[test]
    fn a_duplicate_name_or_a_wrong_length_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let twice = [("a".to_owned(), vec![1]), ("a".to_owned(), vec![2])];
        let error = save_model(dir.path(), &twice, Dtype::Float32, 1, |_| Ok(vec![0.0])).unwrap_err();
        assert_eq!(error.message, "tensor \"a\" was given twice to be saved");
        let error = save_model(dir.path(), &[("a".to_owned(), vec![2])], Dtype::Float32, 1, |_| Ok(vec![0.0]));
        assert_eq!(error.unwrap_err().message, "tensor \"a\" of shape [2] was given 1 values to be saved");
    }

    #[test]
    fn a_full_disk_is_a_transient_failure_that_says_so() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let error = save_file(full, &tensors(), Dtype::Float32, values).unwrap_err();
        assert_eq!(error.exit, medtrain_crds::contract::ExitCode::TransientIo);
        assert!(error.message.starts_with("/dev/full: no space left on the disk"), "{}", error.message);
    }
}
