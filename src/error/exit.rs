#![forbid(unsafe_code)]
//! The statuses that phase-run ends with.

use crate::process::wait::WaitStatus;

/// How phase-run itself ends. The statuses are those of env(1), timeout(1) and `docker run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// `--help`, `--version`, `--generate` and `--dry-run` did what they were asked to.
    Done,
    /// 125: phase-run failed; nothing was run.
    NothingRun,
    /// 126: the command was found but cannot be executed.
    NotExecutable,
    /// 127: the command, or the interpreter it names, is not there.
    NotFound,
    /// As the supervised command ended. A death by a signal is told by dying of it; where that has
    /// no effect, as PID 1, by 128+N.
    AsCommand(WaitStatus),
}

impl Exit {
    /// The status that the parent sees.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NothingRun => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::AsCommand(WaitStatus::Exited(status)) => status,
            Self::AsCommand(WaitStatus::Killed(by) | WaitStatus::Stopped(by)) => by.status(),
        }
    }
}
