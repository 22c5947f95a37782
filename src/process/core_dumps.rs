#![forbid(unsafe_code)]
//! No trace of phase-run's memory: no core file, and nobody of the same user may look into it.
//!
//! execve(2) makes the command dumpable again; the limit has to be put back for it.

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// What has to be undone for the command.
#[derive(Debug)]
pub(crate) struct SavedCoreLimit {
    core: Option<(rlim_t, rlim_t)>,
}

/// Sets the soft core limit to 0 and clears the dumpable flag (prctl(2)). Where one is refused the
/// other still holds.
pub(crate) fn disable() -> SavedCoreLimit {
    let core = getrlimit(Resource::RLIMIT_CORE).ok();
    if let Some((_, hard)) = core {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    let _ = prctl::set_dumpable(false);
    SavedCoreLimit { core }
}

impl SavedCoreLimit {
    /// Puts the limit back, right before the exec.
    pub(super) fn restore(&self) {
        if let Some((soft, hard)) = self.core {
            let _ = setrlimit(Resource::RLIMIT_CORE, soft, hard);
        }
    }
}
