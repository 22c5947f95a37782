#![forbid(unsafe_code)]
//! The limit on the stack (getrlimit(2), RLIMIT_STACK), which may be too low for phase-run itself.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

use crate::error::Error;

/// The stack that phase-run gets at least, in bytes. With this limit or a lower one, the kernel gives
/// the command's arguments and environment the same 128 KiB (execve(2)), so the checks of their size are
/// those of the command.
const NEEDED: rlim_t = 512 << 10;

/// The soft and hard limit that phase-run was started with, if it has raised them.
static SAVED: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// Raises the limit if it is too low for phase-run. The kernel reads it each time the stack grows, so the
/// stack may already be in use.
///
/// # Errors
/// `exec` if the hard limit is too low as well.
pub(crate) fn raise_if_needed() -> Result<(), Error> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_STACK) else {
        return Ok(());
    };
    if soft >= NEEDED {
        return Ok(());
    }
    // Only a privileged process can raise the hard limit.
    let raised = setrlimit(Resource::RLIMIT_STACK, NEEDED, hard.max(NEEDED));
    raised.map_err(|_| Error::StackLimitTooLow {
        limit: soft >> 10,
        needed: NEEDED >> 10,
    })?;
    SAVED.get_or_init(|| (soft, hard));
    Ok(())
}

/// Restores the limit for the command, right before the exec.
pub(super) fn restore() {
    if let Some((soft, hard)) = SAVED.get() {
        // A process may always lower its limits.
        let _ = setrlimit(Resource::RLIMIT_STACK, *soft, *hard);
    }
}
