pub mod chat;
pub mod generate;
pub mod import;
mod interrupts;
mod loaded_model;
pub mod logits;
mod predictions;
mod speaker;

#[cfg(test)]
mod fixture;
