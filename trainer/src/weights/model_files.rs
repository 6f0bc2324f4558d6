//! The weights of a Hugging Face directory: one `model.safetensors`, or shards behind `model.safetensors.index.json`.
//!
//! Holds: after `open` every name has one place, every header was checked against the length of its file, and reading
//! can fail only for a name that isn't there or a type that isn't a float. What was read stays in memory as values, not as
//! pages of the files besides; what was shared is the pages of the files, and no values besides.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use safetensors::tensor::{Dtype as StoredDtype, SafeTensorError, SafeTensors};
use serde::Deserialize;

use super::dtype::Dtype;
use super::mmap::MappedFile;
use crate::failure::{Failure, Result};

pub const SINGLE: &str = "model.safetensors";
pub const INDEX: &str = "model.safetensors.index.json";

/// Values that are read before their pages are released.
const AT_ONCE: usize = 4 << 20;

/// The safetensors files of one model, mapped.
pub struct ModelFiles {
    dir: PathBuf,
    files: Vec<Arc<MappedFile>>,
    tensors: BTreeMap<String, Place>,
}

impl fmt::Debug for ModelFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModelFiles").field(&self.dir).finish()
    }
}

struct Place {
    file: usize,
    start: usize,
    end: usize,
    shape: Vec<usize>,
    dtype: StoredDtype,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl ModelFiles {
    /// Maps the files of `dir` and reads their headers.
    ///
    /// Errors (missing input): no weights in `dir`, a shard that the index names is absent, a truncated or corrupt
    /// file, a tensor in two shards, or an index that doesn't match its shards.
    pub fn open(dir: &Path) -> Result<Self> {
        let index_path = dir.join(INDEX);
        let single_path = dir.join(SINGLE);
        if single_path.exists() {
            return Self::of_files(dir, &[SINGLE.to_owned()]);
        }
        if !index_path.exists() {
            return Err(no_weights(dir));
        }
        let text = std::fs::read_to_string(&index_path).map_err(|e| Failure::io(&index_path, &e))?;
        let index: Index = serde_json::from_str(&text)
            .map_err(|e| corrupt(&index_path, &format!("not an index of safetensors shards ({e})")))?;
        let mut shards: Vec<String> = index.weight_map.values().cloned().collect();
        shards.sort();
        shards.dedup();
        for shard in &shards {
            if Path::new(shard).file_name() != Some(shard.as_ref()) {
                return Err(corrupt(&index_path, &format!("shard name \"{shard}\" is not a plain file name")));
            }
            if !dir.join(shard).exists() {
                return Err(Failure::input(format!(
                    "{}: shard is missing ({INDEX} names it); download the model again",
                    dir.join(shard).display()
                )));
            }
        }
        let opened = Self::of_files(dir, &shards)?;
        for (name, shard) in &index.weight_map {
            let in_shard = opened.tensors.get(name).is_some_and(|place| shards[place.file] == *shard);
            if !in_shard {
                return Err(corrupt(&index_path, &format!("it places tensor \"{name}\" in {shard}, which lacks it")));
            }
        }
        Ok(opened)
    }

    /// Opens exactly one safetensors file, such as `adapter_model.safetensors`.
    pub fn open_file(path: &Path) -> Result<Self> {
        let dir = path.parent().unwrap_or(Path::new(""));
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => Self::of_files(dir, &[name.to_owned()]),
            None => Err(Failure::input(format!("{}: not a file name", path.display()))),
        }
    }

    fn of_files(dir: &Path, names: &[String]) -> Result<Self> {
        let mut files = Vec::with_capacity(names.len());
        let mut tensors: BTreeMap<String, Place> = BTreeMap::new();
        for name in names {
            let path = dir.join(name);
            let file = MappedFile::open(&path)?;
            let (header, metadata) = SafeTensors::read_metadata(file.bytes())
                .map_err(|e| corrupt(&path, &header_problem(&e, file.bytes().len())))?;
            let data_start = size_of::<u64>() + header;
            for (tensor, info) in metadata.tensors() {
                let place = Place {
                    file: files.len(),
                    start: data_start + info.data_offsets.0,
                    end: data_start + info.data_offsets.1,
                    shape: info.shape.clone(),
                    dtype: info.dtype,
                };
                if let Some(other) = tensors.insert(tensor.clone(), place) {
                    return Err(corrupt(&path, &format!("tensor \"{tensor}\" is also in {}", names[other.file])));
                }
            }
            files.push(Arc::new(file));
        }
        Ok(Self { dir: dir.to_owned(), files, tensors })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All tensor names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.place(name)?.shape)
    }

    /// Errors: the tensor is not there, or it is not f32, f16 or bf16.
    pub fn dtype(&self, name: &str) -> Result<Dtype> {
        self.float_dtype(name, self.place(name)?)
    }

    /// Shape and values of a tensor, as f32.
    pub fn read_f32(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let place = self.place(name)?;
        let mut values = vec![0.0; place.shape.iter().product()];
        self.read_f32_into(name, &mut values)?;
        Ok((place.shape.clone(), values))
    }

    /// As [`Self::read_f32`], into memory of the caller. Errors also if `out` is not as long as the tensor.
    pub fn read_f32_into(&self, name: &str, out: &mut [f32]) -> Result<()> {
        let place = self.place(name)?;
        let dtype = self.float_dtype(name, place)?;
        let file = &self.files[place.file];
        if place.end - place.start != out.len() * dtype.size() {
            return Err(Failure::internal(format!(
                "tensor \"{name}\" of shape {:?} was read into {} values",
                place.shape,
                out.len()
            )));
        }
        let mut start = place.start;
        for out in out.chunks_mut(AT_ONCE) {
            let range = start..start + out.len() * dtype.size();
            start = range.end;
            dtype.decode(&file.bytes()[range.clone()], out);
            // Else a model is in memory twice while it is loaded: as values and as pages of its files.
            file.release(range);
        }
        Ok(())
    }

    /// The values of a tensor where they lie, if they lie there as this machine computes with them; else `None`.
    ///
    /// Errors: as [`Self::dtype`].
    pub fn share_f32(&self, name: &str) -> Result<Option<Bytes>> {
        let place = self.place(name)?;
        let as_computed = self.float_dtype(name, place)? == Dtype::Float32
            && cfg!(target_endian = "little")
            && place.start.is_multiple_of(align_of::<f32>());
        Ok(if as_computed { self.files[place.file].share(place.start..place.end) } else { None })
    }

    /// Takes what is mapped out of memory until it is read again.
    pub fn release(&self) {
        self.files.iter().for_each(|file| file.release(0..file.bytes().len()));
    }

    fn place(&self, name: &str) -> Result<&Place> {
        self.tensors.get(name).ok_or_else(|| {
            let near = self
                .tensors
                .keys()
                .map(|known| (difference(name, known), known))
                .min()
                .filter(|(distance, _)| *distance <= 8)
                .map(|(_, known)| format!("; it has \"{known}\""))
                .unwrap_or_default();
            Failure::input(format!("{}: no tensor \"{name}\"{near}", self.dir.display()))
        })
    }

    fn float_dtype(&self, name: &str, place: &Place) -> Result<Dtype> {
        match place.dtype {
            StoredDtype::F32 => Ok(Dtype::Float32),
            StoredDtype::F16 => Ok(Dtype::Float16),
            StoredDtype::BF16 => Ok(Dtype::BFloat16),
            other => Err(Failure::input(format!(
                "{}: tensor \"{name}\" is stored as {other}; only F32, F16 and BF16 can be trained: \
                 take a model that is not quantized",
                self.files[place.file].path().display()
            ))),
        }
    }
}

/// Characters that differ in the parts outside the common prefix and suffix: cheap, and good for typing errors.
fn difference(a: &str, b: &str) -> usize {
    let prefix = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a.as_bytes()[prefix..], &b.as_bytes()[prefix..]);
    let suffix = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    a.len().max(b.len()) - suffix
}

fn no_weights(dir: &Path) -> Failure {
    let entries: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let dir = dir.display();
    if entries.iter().any(|name| name == "adapter_model.safetensors") {
        Failure::input(format!(
            "{dir}: this is a LoRA adapter, not a model; merge it into its base first (medtrain merge)"
        ))
    } else if entries.iter().any(|name| name.starts_with("pytorch_model") && name.ends_with(".bin")) {
        Failure::input(format!(
            "{dir}: the weights are pytorch_model.bin files; convert them to safetensors \
             (transformers: save_pretrained with safe_serialization)"
        ))
    } else if let Some(gguf) = entries.iter().filter(|name| name.ends_with(".gguf")).min() {
        Failure::input(format!("{dir}: no {SINGLE}; import the GGUF file first: medtrain import {gguf} DIR"))
    } else {
        Failure::input(format!("{dir}: no {SINGLE} and no {INDEX}; the download is incomplete, or this is no model"))
    }
}

fn corrupt(path: &Path, problem: &str) -> Failure {
    Failure::input(format!("{}: {problem}; the file is damaged or incomplete: download it again", path.display()))
}

fn header_problem(error: &SafeTensorError, len: usize) -> String {
    match error {
        SafeTensorError::MetadataIncompleteBuffer => {
            format!("its {len} bytes are not the length that its header states")
        }
        SafeTensorError::HeaderTooSmall => format!("{len} bytes are too few for a safetensors file"),
        SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeaderLength => {
            "the header is longer than the file, so this is no safetensors file or only its beginning".to_owned()
        }
        other => format!("not a valid safetensors header ({other})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::save_model;

    fn write(path: &Path, tensors: &str, data: &[u8]) {
        let mut bytes = (tensors.len() as u64).to_le_bytes().to_vec();
        bytes.extend(tensors.as_bytes());
        bytes.extend(data);
        std::fs::write(path, bytes).unwrap();
    }

    fn one(name: &str) -> String {
        format!(r#"{{"{name}":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#)
    }

    fn error(dir: &Path) -> String {
        ModelFiles::open(dir).err().unwrap().message.replace(&dir.display().to_string(), "DIR")
    }

    #[test]
    fn f32_f16_and_bf16_read_as_f32() {
        let dir = tempfile::tempdir().unwrap();
        let header = r#"{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},"c":{"dtype":"F16","shape":[2],"data_offsets":[12,16]}}"#;
        let mut data = [1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        data.extend([1.5, -2.0].iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()));
        data.extend([1.5, -2.0].iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()));
        write(&dir.path().join(SINGLE), header, &data);
        let files = ModelFiles::open(dir.path()).unwrap();
        assert_eq!(files.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(files.read_f32("a").unwrap(), (vec![1, 2], vec![1.5, -2.0]));
        assert_eq!(files.read_f32("b").unwrap().1, [1.5, -2.0]);
        assert_eq!(files.read_f32("c").unwrap().1, [1.5, -2.0]);
        assert_eq!(files.dtype("b").unwrap(), Dtype::BFloat16);
    }

    #[test]
    fn every_truncation_of_a_file_is_an_input_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SINGLE);
        write(&path, &one("a"), &[0; 8]);
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(error(dir.path()).ends_with("download it again"), "{len}");
        }
    }

    #[test]
    fn a_truncated_file_says_that_its_length_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join(SINGLE), &one("a"), &[0; 7]);
        assert_eq!(
            error(dir.path()),
            "DIR/model.safetensors: its 69 bytes are not the length that its header states; \
             the file is damaged or incomplete: download it again"
        );
    }

    #[test]
    fn a_missing_shard_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join(INDEX),
            r#"{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}"#,
        )
        .unwrap();
        write(&dir.path().join("model-1.safetensors"), &one("a"), &[0; 8]);
        assert_eq!(
            error(dir.path()),
            "DIR/model-2.safetensors: shard is missing (model.safetensors.index.json names it); download the model again"
        );
        write(&dir.path().join("model-2.safetensors"), &one("a"), &[0; 8]);
        assert!(error(dir.path()).starts_with("DIR/model-2.safetensors: tensor \"a\" is also in model-1.safetensors"));
        write(&dir.path().join("model-2.safetensors"), &one("c"), &[0; 8]);
        assert!(error(dir.path()).contains("places tensor \"b\" in model-2.safetensors, which lacks it"));
        write(&dir.path().join("model-2.safetensors"), &one("b"), &[0; 8]);
        assert_eq!(ModelFiles::open(dir.path()).unwrap().names().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn an_index_cannot_point_outside_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(INDEX), r#"{"weight_map":{"a":"../other.safetensors"}}"#).unwrap();
        assert!(error(dir.path()).contains("shard name \"../other.safetensors\" is not a plain file name"));
    }

    #[test]
    fn a_directory_without_weights_says_what_it_holds_instead() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            error(dir.path()),
            "DIR: no model.safetensors and no model.safetensors.index.json; the download is incomplete, or this is no model"
        );
        std::fs::write(dir.path().join("m.gguf"), "").unwrap();
        assert!(error(dir.path()).ends_with("import the GGUF file first: medtrain import m.gguf DIR"));
        std::fs::write(dir.path().join("pytorch_model.bin"), "").unwrap();
        assert!(error(dir.path()).contains("convert them to safetensors"));
        std::fs::write(dir.path().join("adapter_model.safetensors"), "").unwrap();
        assert!(error(dir.path()).contains("this is a LoRA adapter, not a model"));
    }

    #[test]
    fn an_absent_tensor_names_the_nearest_and_a_quantized_one_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let header = r#"{"q_proj.weight":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}"#;
        write(&dir.path().join(SINGLE), header, &[0; 2]);
        let files = ModelFiles::open(dir.path()).unwrap();
        let absent = files.read_f32("q_prj.weight").unwrap_err().message;
        assert!(absent.ends_with("no tensor \"q_prj.weight\"; it has \"q_proj.weight\""), "{absent}");
        let quantized = files.read_f32("q_proj.weight").unwrap_err().message;
        assert!(quantized.contains("tensor \"q_proj.weight\" is stored as I8"), "{quantized}");
    }

    #[test]
    fn only_aligned_f32_is_shared_and_has_the_values_that_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SINGLE);
        let header = r#"{"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"w":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#;
        write(&path, header, &[0; 6]);
        let files = ModelFiles::open(dir.path()).unwrap();
        assert_eq!((files.share_f32("h").unwrap(), files.share_f32("w").unwrap()), (None, None));

        save_model(dir.path(), &[("w".to_owned(), vec![3])], Dtype::Float32, u64::MAX, |_| Ok([1.0, -2.5, 3.0]))
            .unwrap();
        let files = ModelFiles::open(dir.path()).unwrap();
        let shared = files.share_f32("w").unwrap().unwrap();
        assert_eq!(shared, Dtype::Float32.encode(&files.read_f32("w").unwrap().1));
        files.release();
        drop(files);
        assert_eq!(shared[4..8], (-2.5_f32).to_le_bytes());
    }

    #[test]
    fn large_tensors_read_back_what_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let values: Vec<f32> = (0..200_000).map(|i| (i as f32).sin()).collect();
        save_model(dir.path(), &[("w".to_owned(), vec![400, 500])], Dtype::Float32, u64::MAX, |_| Ok(values.clone()))
            .unwrap();
        assert_eq!(ModelFiles::open(dir.path()).unwrap().read_f32("w").unwrap(), (vec![400, 500], values));
    }
}
