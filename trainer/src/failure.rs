//! The one error type of the trainer: a sentence a person can act on, and the exit code it ends the process with.
//!
//! Holds: `message` names the thing, the place and the way out; it never holds text of a data row.

use std::{fmt, io, path::Path};

use medtrain_crds::contract::{ExitCode, Reason};

pub type Result<T> = std::result::Result<T, Failure>;

#[derive(Clone, Debug)]
pub struct Failure {
    pub exit: ExitCode,
    /// The code's own, or a finer word for it.
    pub reason: Reason,
    pub message: String,
}

impl Failure {
    pub fn new(exit: ExitCode, message: impl Into<String>) -> Self {
        Self { exit, reason: exit.into(), message: message.into() }
    }

    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Config, message)
    }

    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Input, message)
    }

    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Data, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Internal, message)
    }

    /// A loss or gradient that is not finite.
    pub fn non_finite(message: impl Into<String>) -> Self {
        Self { reason: Reason::NonFinite, ..Self::internal(message) }
    }

    pub fn device(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Device, message)
    }

    /// An IO error at `path`: not found is a missing input, a file in a folder's place 64, refused access 77, everything
    /// else (a full disk too) 75.
    pub fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => Self::input(format!("{path}: not found")),
            io::ErrorKind::NotADirectory => {
                Self::config(format!("{path}: leads through a file, not a folder; name another place"))
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::new(
                ExitCode::Permission,
                format!("{path}: permission denied; let this user read and write it, or name another place"),
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::new(
                ExitCode::TransientIo,
                format!("{path}: no space left on the disk; free some and run again: finished work is kept"),
            ),
            io::ErrorKind::InvalidData => Self::input(format!("{path}: is not valid UTF-8 text")),
            io::ErrorKind::IsADirectory | io::ErrorKind::InvalidFilename => {
                Self::config(format!("{path}: {error}; name another place"))
            }
            _ => Self::new(ExitCode::TransientIo, format!("{path}: {error}")),
        }
    }

    /// Puts the place in front: `stages[1].dataset: …`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
