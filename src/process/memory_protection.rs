#![forbid(unsafe_code)]
//! Protection of this process's memory: no core dump, and no access for other processes of the user.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

use super::platform;

/// The soft and hard limit on core dumps that phase-run was started with.
#[derive(Debug)]
pub(crate) struct SavedCoreLimit(Option<(rlim_t, rlim_t)>);

/// Sets the soft limit on core dumps to 0 (getrlimit(2)), and on Linux keeps other processes of the user
/// from tracing this one.
///
/// A sandbox may refuse one of the two calls; the other then still prevents core dumps.
pub(crate) fn enable() -> SavedCoreLimit {
    let limit = getrlimit(Resource::RLIMIT_CORE).ok();
    if let Some((_, hard)) = limit {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    platform::forbid_tracing();
    SavedCoreLimit(limit)
}

impl SavedCoreLimit {
    /// Restores the limit for the command. execve(2) itself makes the command dumpable again on Linux.
    pub(super) fn restore(&self) {
        if let Some((soft, hard)) = self.0 {
            // If another process has lowered the hard limit meanwhile, the lower limit stays.
            let _ = setrlimit(Resource::RLIMIT_CORE, soft, hard);
        }
    }
}
