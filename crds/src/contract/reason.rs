//! Why something is as it is: one closed table for conditions, stage states, events and metric labels.
//!
//! Holds: a reason that anyone can see is in this table; the entries of [`ExitCode`] keep their names here.

use super::ExitCode;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A CamelCase reason; its name in Kubernetes is [`Self::name`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// As in conditions, events and labels.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What it means, in one line.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

reasons! {
    // Of the training.
    /// Nobody has looked at the resource yet.
    Pending,
    /// The resource can't be right whatever the data: the message has field paths.
    SpecInvalid,
    /// The preflight pod is looking at models, data and finished stages.
    Preflight,
    /// The spec was accepted and a plan is in the store.
    Accepted,
    /// Stages are running or about to.
    StagesRunning,
    /// Every stage is done.
    AllStagesDone,
    /// A stage failed and nothing that could go on is left.
    StageFailed,
    /// `spec.suspend` is true and nothing runs any more.
    SuspendRequested,
    /// `spec.suspend` is false.
    NotSuspended,
    /// The training ended.
    Finished,
    /// It goes as it should.
    AsExpected,
    /// Not so (yet).
    NotYet,
    // Of a stage's life.
    /// It waits for the stages that it takes its inputs from.
    WaitingForInputs,
    /// Its Job is being made.
    Created,
    /// Its Job is suspended, by a queue or by hand.
    JobSuspended,
    /// Its pod is being scheduled and started.
    PodStarting,
    /// Its pod runs.
    Running,
    /// A finished stage with the same key was found.
    CacheHit,
    /// Its manifest is in the store.
    Completed,
    /// A checkpoint was written on SIGTERM.
    Checkpointed,
    /// The next attempt waits until its time has come.
    BackingOff,
    /// A probe reads the store, because nobody saw how the attempt ended.
    Probing,
    /// Nobody saw how the attempt ended, and the store has no manifest of it.
    OutcomeUnknown,
    /// The Job was deleted by someone else.
    JobLost,
    /// The pod was evicted, preempted, deleted or rejected; not charged.
    Disrupted,
    /// The node has not been ready for too long; not charged.
    NodeLost,
    /// One attempt was disrupted too often; the pod may be too large for its node.
    TooManyDisruptions,
    /// The spec now has other work under this name, or another pod for one that has not started; the attempt is stopped.
    Superseded,
    /// The attempt was stopped for `spec.suspend`.
    Suspended,
    /// No movement of phase, step or bytes for too long.
    Stalled,
    /// The pod did not start in time.
    PendingDeadlineExceeded,
    /// The attempt took longer than it may.
    ActiveDeadlineExceeded,
    // Why a pod does not start.
    /// The namespace's ResourceQuota is used up.
    QuotaExceeded,
    /// Pod Security or another admission rule refuses the pod.
    PodForbidden,
    /// The service account does not exist.
    ServiceAccountMissing,
    /// The service account is not on the operator's list.
    ServiceAccountNotAllowed,
    /// The Job controller can't create the pod.
    PodNotCreated,
    /// No node fits.
    Unschedulable,
    /// The image can't be pulled.
    ImagePullFailed,
    /// A Secret or ConfigMap that the container names is missing.
    ContainerConfigError,
    /// A volume can't be mounted.
    VolumeMountFailed,
    // How an attempt failed.
    /// The resource or the command line is wrong.
    ConfigInvalid,
    /// An input is missing or its digest is not the planned one.
    InputUnavailable,
    /// A data row is wrong.
    DataInvalid,
    /// A bug or an impossible state.
    InternalError,
    /// A loss, gradient or held-out figure was not finite; the message names the batch or the figure.
    NonFinite,
    /// The accelerator failed or is absent.
    DeviceFailed,
    /// IO kept failing over minutes of retries.
    TransientIO,
    /// The store or the file system refused access.
    PermissionDenied,
    /// The container took more memory than it may.
    OOMKilled,
    /// The container was killed by a signal, not for its memory.
    Killed,
    /// The container ended with a code outside the contract.
    UnknownExitCode,
    // Of the operator's objects.
    /// An object of the same name belongs to someone else.
    NameConflict,
    /// Someone edited a Job of ours; it is reported, not repaired.
    JobEdited,
    /// A request to the Kubernetes API failed.
    ApiError,
}

impl Reason {
    /// By [`Self::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }

    /// Of a failure: the exit code's, or the finer word for it that the termination message `said`.
    pub fn of_failure(exit: ExitCode, said: &str) -> Self {
        match (exit, Self::parse(said)) {
            (ExitCode::Internal, Some(Self::NonFinite)) => Self::NonFinite,
            _ => exit.into(),
        }
    }

    /// Whether attempts end with it and are charged.
    pub fn is_charged(self) -> bool {
        matches!(
            self,
            Self::ConfigInvalid
                | Self::InputUnavailable
                | Self::DataInvalid
                | Self::InternalError
                | Self::NonFinite
                | Self::DeviceFailed
                | Self::TransientIO
                | Self::PermissionDenied
                | Self::OOMKilled
                | Self::Killed
                | Self::UnknownExitCode
                | Self::Stalled
                | Self::TooManyDisruptions
                | Self::PendingDeadlineExceeded
                | Self::ActiveDeadlineExceeded
        )
    }
}

impl From<ExitCode> for Reason {
    fn from(exit: ExitCode) -> Self {
        match exit {
            ExitCode::Done => Self::Completed,
            ExitCode::Config => Self::ConfigInvalid,
            ExitCode::Input => Self::InputUnavailable,
            ExitCode::Data => Self::DataInvalid,
            ExitCode::Internal => Self::InternalError,
            ExitCode::Device => Self::DeviceFailed,
            ExitCode::TransientIo => Self::TransientIO,
            ExitCode::Permission => Self::PermissionDenied,
            ExitCode::Checkpointed => Self::Checkpointed,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_keep_their_reasons() {
        for exit in ExitCode::ALL {
            assert_eq!(Reason::from(exit).name(), exit.reason());
        }
    }

    #[test]
    fn a_message_refines_its_exit_code_and_never_contradicts_it() {
        assert_eq!(Reason::of_failure(ExitCode::Internal, "NonFinite"), Reason::NonFinite);
        assert_eq!(Reason::of_failure(ExitCode::Data, "NonFinite"), Reason::DataInvalid);
        assert_eq!(Reason::of_failure(ExitCode::Internal, "Completed"), Reason::InternalError);
        assert_eq!(Reason::of_failure(ExitCode::Internal, "whatever"), Reason::InternalError);
    }

    #[test]
    fn every_reason_reads_back_and_says_what_it_means() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.name()), Some(*reason));
            assert!(reason.meaning().ends_with('.'), "{reason}");
        }
    }
}
