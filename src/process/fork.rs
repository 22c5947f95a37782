//! Forking with one thread.

use std::io;

use nix::unistd::{ForkResult, Pid, fork};

use super::{SingleThreaded, platform};

/// Forks a helper: a child that calls exec at once and never becomes the command. Returns its pid, or
/// `None` in the child. On Linux, the kernel kills the child when this process dies.
///
/// # Errors
/// Those of fork(2).
pub(super) fn fork_helper(single_threaded: &SingleThreaded) -> io::Result<Option<Pid>> {
    Ok(match fork_child(single_threaded, Pid::this())? {
        ForkResult::Parent { child } => Some(child),
        ForkResult::Child => None,
    })
}

/// Forks a child that dies with `parent`, which is this process, where the system can do that.
pub(super) fn fork_child(_single_threaded: &SingleThreaded, parent: Pid) -> io::Result<ForkResult> {
    // SAFETY: `_single_threaded` proves that there is no other thread. Otherwise the child could only
    // call the functions listed in signal-safety(7).
    let fork = unsafe { fork() }?;
    if let ForkResult::Child = fork {
        platform::die_with_parent(parent);
    }
    Ok(fork)
}

/// Ends a helper whose exec has failed, without running exit handlers, which are the parent's.
pub(super) fn exit_helper(status: u8) -> ! {
    // SAFETY: _exit(2) takes any status and does not return.
    unsafe { libc::_exit(status.into()) }
}
