//! The files and codes that cross a process border.

mod exit;

pub use exit::ExitCode;

/// Version of everything in this module; readers accept N and N−1.
pub const CONTRACT_VERSION: u32 = 1;
