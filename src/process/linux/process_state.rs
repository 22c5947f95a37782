#![forbid(unsafe_code)]
//! Forking from a process that stays as the parent of the command, and restoring in the child what the
//! parent has changed for itself.

use std::io;

use nix::sys::prctl::{get_child_subreaper, set_child_subreaper};
use nix::unistd::{ForkResult, Pid};

use super::signal_reader::SignalReader;
use crate::process::SingleThreaded;
use crate::process::fork::fork_child;
use crate::process::signal::{self, Disposition, Signal, SignalMask};

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
