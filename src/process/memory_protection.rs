#![forbid(unsafe_code)]
//! Protection of this process's memory: no core dump, and no access for other processes of the user.

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// The soft and hard limit on core dumps that phase-run was started with.
#[derive(Debug)]
pub(crate) struct SavedCoreLimit(Option<(rlim_t, rlim_t)>);

/// Sets the soft limit on core dumps to 0 (getrlimit(2)) and clears the dumpable flag
/// (PR_SET_DUMPABLE(2const)). Without the flag, other processes of the user cannot trace this one or
/// read its files in /proc.
///
/// A sandbox may refuse one of the two calls; the other then still prevents core dumps.
pub(crate) fn enable() -> SavedCoreLimit {
    let limit = getrlimit(Resource::RLIMIT_CORE).ok();
    if let Some((_, hard)) = limit {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    let _ = prctl::set_dumpable(false);
    SavedCoreLimit(limit)
}

impl SavedCoreLimit {
    /// Restores the limit for the command. execve(2) itself makes the command dumpable again.
    pub(super) fn restore(&self) {
        if let Some((soft, hard)) = self.0 {
            // If another process has lowered the hard limit meanwhile, the lower limit stays.
            let _ = setrlimit(Resource::RLIMIT_CORE, soft, hard);
        }
    }
}
