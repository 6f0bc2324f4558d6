//! `medtrain import`: a GGUF file becomes a Hugging Face directory.

use std::path::PathBuf;

use crate::failure::Result;
use crate::weights::Dtype;
use crate::weights::gguf_import::{Imported, import_gguf};

/// Turn a GGUF file into a Hugging Face model directory
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The GGUF file (Llama, Mistral, SmolLM, Qwen2 or Qwen3)
    pub source: PathBuf,
    /// The directory to create; it must not exist, be empty, or hold the same import
    pub dir: PathBuf,
    /// Type of the weights: float32 (exact), bfloat16 or float16
    #[arg(long, default_value = "float32")]
    pub dtype: Dtype,
}

pub fn run(args: ImportArgs) -> Result<()> {
    let dir = args.dir.display();
    match import_gguf(&args.source, &args.dir, args.dtype)? {
        Imported::Already => println!("{dir}: already holds this import as {}; nothing to do", args.dtype),
        Imported::New(report) => {
            let types: Vec<String> = report.types.iter().map(|(name, count)| format!("{count} {name}")).collect();
            println!(
                "{dir}: {} with {:.1} M parameters in {} layers, {} tokens{}",
                report.architecture,
                report.parameters as f64 / 1e6,
                report.layers,
                report.tokens,
                if report.tied_embeddings { ", tied embeddings" } else { "" }
            );
            println!("  weights: {} -> {}", types.join(", "), args.dtype);
            for note in report.notes {
                println!("  note: {note}");
            }
        }
    }
    Ok(())
}
