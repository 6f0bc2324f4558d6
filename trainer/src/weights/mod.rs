//! Model files in and out: names, shapes and f32 slices, never tensors of burn.
//!
//! [`ModelFiles`] reads safetensors, [`save_model`] writes them, [`peft`] does both for LoRA adapters, [`gguf_import`]
//! turns a GGUF file into a Hugging Face directory, [`source`] turns a model URI into a local directory.
//!
//! Holds: a file of any content gives an error that names it, never a panic; equal input gives equal bytes.

pub mod dequant;
pub mod digests;
pub mod dtype;
pub mod gguf;
pub mod gguf_config;
pub mod gguf_import;
pub mod gguf_tokenizer;
pub mod hub;
#[cfg(test)]
pub(crate) mod hub_stub;
pub mod hub_uri;
pub mod mmap;
pub mod model_files;
pub mod peft;
pub mod save;
pub mod source;

pub use dtype::Dtype;
pub use hub::Hub;
pub use model_files::ModelFiles;
pub use save::{MAX_SHARD_BYTES, save_model, write_model};
pub use source::{ResolvedModel, Sources};
