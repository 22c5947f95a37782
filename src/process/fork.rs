//! Forking, and restoring in the child what the parent has changed for itself.

use std::io;

use nix::sys::prctl::{get_child_subreaper, set_child_subreaper, set_pdeathsig};
use nix::unistd::{ForkResult, Pid, fork, getppid};

use super::SingleThreaded;
use super::signal::{self, Disposition, Signal, SignalMask, SignalReader};

/// The original values of the process attributes that a parent changes for itself. They are restored
/// in each child.
pub(super) struct ProcessState {
    mask: SignalMask,
    sigchld: Disposition,
    subreaper: bool,
    pid: Pid,
}

/// The process in which [`ProcessState::fork`] has returned.
pub(super) enum Fork {
    Parent { child: Pid },
    Child(SingleThreaded),
}

impl ProcessState {
    /// Makes this process a parent: saves its state, blocks all signals so that none is lost, and
    /// opens the descriptor from which they are read.
    ///
    /// # Errors
    /// Those of signalfd(2).
    pub(super) fn save_and_block() -> io::Result<(Self, SignalReader)> {
        let mask = SignalMask::block_all();
        // If CHLD were ignored, the kernel would reap the command and drop its status (wait(2)).
        let sigchld = Disposition::current(Signal::CHLD);
        signal::set_disposition(Signal::CHLD, Disposition::Default);
        let signals = SignalReader::open()?;
        let state = Self {
            mask,
            sigchld,
            // execve(2) keeps this attribute, fork(2) does not (PR_SET_CHILD_SUBREAPER(2const)).
            subreaper: get_child_subreaper().unwrap_or(false),
            pid: Pid::this(),
        };
        Ok((state, signals))
    }

    /// Returns the pid of the parent, which the command would have in exec mode.
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// Forks a child with the saved state. The kernel kills the child when this process dies.
    ///
    /// # Errors
    /// Those of fork(2).
    pub(super) fn fork(&self, single_threaded: &SingleThreaded) -> io::Result<Fork> {
        let fork = match fork_child(single_threaded, self.pid)? {
            ForkResult::Parent { child } => Fork::Parent { child },
            ForkResult::Child => {
                if self.sigchld == Disposition::Ignored {
                    signal::set_disposition(Signal::CHLD, Disposition::Ignored);
                }
                if self.subreaper {
                    // A kernel that reported the attribute can also set it.
                    let _ = set_child_subreaper(true);
                }
                Fork::Child(SingleThreaded(()))
            }
        };
        signal::reset_pid1_handlers();
        if let Fork::Child(_) = fork {
            self.mask.restore();
        }
        Ok(fork)
    }
}

/// Forks a helper: a child that calls exec at once and never becomes the command. Returns its pid, or
/// `None` in the child. The kernel kills the child when this process dies.
///
/// # Errors
/// Those of fork(2).
pub(super) fn fork_helper(single_threaded: &SingleThreaded) -> io::Result<Option<Pid>> {
    Ok(match fork_child(single_threaded, Pid::this())? {
        ForkResult::Parent { child } => Some(child),
        ForkResult::Child => None,
    })
}

/// Forks a child that dies with `parent`, which is this process.
fn fork_child(_single_threaded: &SingleThreaded, parent: Pid) -> io::Result<ForkResult> {
    // SAFETY: `_single_threaded` proves that there is no other thread. Otherwise the child could only
    // call the functions listed in signal-safety(7).
    let fork = unsafe { fork() }?;
    if let ForkResult::Child = fork {
        die_with_parent(parent);
    }
    Ok(fork)
}

/// Ends a helper whose exec has failed, without anything that the parent wants done at its own end.
pub(super) fn exit_helper(status: u8) -> ! {
    // SAFETY: _exit(2) takes any status and does not return.
    unsafe { libc::_exit(status.into()) }
}

/// Asks the kernel to kill this child when its parent dies (PR_SET_PDEATHSIG(2const)): whatever kills
/// the supervisor should also end the command, as in exec mode. Where a sandbox refuses the call, the
/// child outlives a supervisor that is killed.
fn die_with_parent(parent: Pid) {
    let _ = set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    // The parent may have died before the call.
    if getppid() != parent {
        signal::raise_default(Signal::KILL);
    }
}
