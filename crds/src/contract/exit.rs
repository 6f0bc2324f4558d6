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

    /// The entry of a process's exit status; `None` if it isn't in the table (137 and other signals, 1 and 2 of a
    /// shell or a runtime).
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| i32::from(exit.code()) == code)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_and_reasons_are_distinct_and_read_back() {
        for exit in ExitCode::ALL {
            assert_eq!(ExitCode::from_code(i32::from(exit.code())), Some(exit));
            assert!(exit.reason().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert_eq!(ExitCode::ALL.map(ExitCode::reason).into_iter().collect::<BTreeSet<_>>().len(), ExitCode::ALL.len());
        assert_eq!(ExitCode::from_code(137), None);
    }
}
