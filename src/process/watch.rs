#![forbid(unsafe_code)]
//! What `--watch` is asked to do, and what it returns in each of its processes.

use std::time::Duration;

use super::SingleThreaded;
pub(crate) use super::platform::watch::{Digest, WorkerChannel, watch};
use super::signal::Signal;
use super::wait::WaitStatus;

/// How often to poll, and how to restart the command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchOptions {
    /// The time between two polls.
    pub(crate) interval: Duration,
    /// The signal that asks the command to stop.
    pub(crate) stop_signal: Signal,
    /// The time that the command has to stop before it is killed.
    pub(crate) grace: Duration,
    /// True if a start leases dynamic secrets.
    pub(crate) leases_secrets: bool,
}

/// The process in which [`watch`] has returned: once in the parent, and once in each worker.
pub(crate) enum WatchOutcome {
    /// The parent, with the status of the last command.
    CommandEnded(WaitStatus),
    /// A child, which fetches and may become the command.
    Worker {
        single_threaded: SingleThreaded,
        /// The pid of the watcher, which the command would have in exec mode.
        supervisor_pid: u32,
        channel: WorkerChannel,
    },
}

impl From<WaitStatus> for WatchOutcome {
    fn from(status: WaitStatus) -> Self {
        Self::CommandEnded(status)
    }
}
