//! Exit codes of the trainer: one table for the process, podFailurePolicy, condition reasons and metric labels.

/// How a `medtrain` process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    Done = 0,
    /// The resource or the command line is wrong.
    Config = 64,
    /// An input is missing or its digest is not the planned one.
    Input = 65,
    /// A data row is wrong.
    Data = 66,
    /// A bug or an impossible state, a non-finite loss included.
    Internal = 70,
    /// The accelerator failed or is absent.
    Device = 71,
    /// IO that kept failing for at least five minutes of retries, a full disk included.
    TransientIo = 75,
    /// The store or the file system refused access.
    Permission = 77,
    /// SIGTERM: a checkpoint was written and the stage can go on from it.
    Checkpointed = 85,
}

impl ExitCode {
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Config,
        Self::Input,
        Self::Data,
        Self::Internal,
        Self::Device,
        Self::TransientIo,
        Self::Permission,
        Self::Checkpointed,
    ];

    pub fn code(self) -> u8 {
        self as u8
    }

    /// CamelCase reason for conditions, events, metric labels and termination messages.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Done => "Completed",
            Self::Config => "ConfigInvalid",
            Self::Input => "InputUnavailable",
            Self::Data => "DataInvalid",
            Self::Internal => "InternalError",
            Self::Device => "DeviceFailed",
            Self::TransientIo => "TransientIO",
            Self::Permission => "PermissionDenied",
            Self::Checkpointed => "Checkpointed",
        }
    }
}
