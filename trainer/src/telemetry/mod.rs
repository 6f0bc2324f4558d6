//! What a running or finished stage tells: to a person on a terminal, to Prometheus, to TensorBoard, to Hugging Face
//! tools, and in the model card. And what a person tells it: Ctrl-C.
//!
//! Holds: nothing here decides a result; text of data rows comes through here into TensorBoard alone, by
//! `train.logSamples`.

pub mod metrics;
pub mod model_card;
pub mod progress;
pub mod server;
pub mod signal;
pub mod tensorboard;
pub mod trainer_state;

pub use metrics::Metrics;
pub use model_card::ModelCard;
pub use progress::{Reporter, SharedProgress, StepReport, Style};
pub use server::Server;
pub use signal::StopSignal;
pub use tensorboard::EventWriter;
pub use trainer_state::{LogEntry, TrainerState};
