#![forbid(unsafe_code)]
//! A stub of `--watch`.

use std::ffi::OsStr;
use std::time::Duration;

use crate::error::Error;
use crate::log::Log;
use crate::process::SingleThreaded;
use crate::process::watch::{WatchOptions, WatchOutcome};

/// A keyed digest of an environment.
pub(crate) type Digest = [u8; 32];

/// The socket of a worker, which macOS does not have: there is no value of this type.
pub(crate) enum WorkerChannel {}

impl WorkerChannel {
    pub(crate) fn may_lease(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_standby(&self) -> bool {
        match *self {}
    }

    pub(crate) fn wait_for_promotion(&self, _digest: &Digest, _lease: Option<Duration>) -> bool {
        match *self {}
    }

    pub(crate) fn send_failure(&self, _kind: &str) {
        match *self {}
    }

    pub(crate) fn claim_replaced_file_warning(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_repeated_failure(&self, _kind: &str) -> bool {
        match *self {}
    }
}

/// Refuses to fork.
///
/// # Errors
/// Always `usage`.
pub(crate) fn watch(
    _single_threaded: &SingleThreaded,
    _options: &WatchOptions,
    _notify_socket: Option<&OsStr>,
    _wipe_token: &mut dyn FnMut(),
    _log: &dyn Log,
) -> Result<WatchOutcome, Error> {
    Err(Error::NeedsLinux { option: "--watch" })
}
