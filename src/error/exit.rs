#![forbid(unsafe_code)]
//! The exit statuses of phase-run's own failures.

/// How phase-run ends when it fails: the statuses of env(1), timeout(1) and `docker run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// 125: phase-run failed, and no command was run.
    NothingRun,
    /// 126: the command was found but cannot be executed.
    NotExecutable,
    /// 127: the command, or the interpreter it names, does not exist.
    NotFound,
}

impl ExitStatus {
    /// The status that the parent process sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::NothingRun => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }
}
