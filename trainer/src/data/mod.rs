//! From data files to token ids and loss masks: everything before the first tensor.
//!
//! [`reader`] splits files into rows, [`formats`] gives rows their type, [`template`] renders dialogues as the model
//! reads them, [`dialogue`] and [`blocks`] turn them into [`example::Example`]s, [`cache`] keeps those on disk, and
//! [`mod@prepare`] drives all of it. [`roles`] tells whose text a token holds, [`certify`] what the loss of a stage falls
//! on. [`sampler`] and [`packing`] decide the order of training.
//!
//! Holds: the same files, tokenizer, template and options give the same examples in the same order; memory does not
//! grow with the length of a file; no error, report or note contains text of a row.

pub mod blocks;
mod build;
pub mod cache;
pub mod dataset;
pub mod dialogue;
pub mod example;
pub mod formats;
mod jinja;
mod loss_mask;
pub mod packing;
pub mod prepare;
pub mod preview;
pub mod reader;
pub mod report;
pub mod roles;
pub mod sampler;
pub mod split;
pub mod stream;
pub mod template;
pub mod tokenizer;
pub mod vocabulary;

#[cfg(test)]
pub(crate) mod fixture;

pub use dataset::TokenizedDataset;
pub use example::{Example, PreferencePair};
pub use formats::Message;
pub use loss_mask::certify;
pub use packing::Packing;
pub use prepare::{DataFile, DataRequest, Prepared, Sample, prepare};
pub use preview::{legend, preview, preview_pair};
pub use report::DataReport;
pub use sampler::Sampler;
pub use stream::DecodeStream;
pub use template::ChatTemplate;
pub use tokenizer::Tokenizer;
