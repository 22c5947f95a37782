//! Forking: what is held back before it, and what each child gets back.

use std::io;

use nix::sys::prctl::{get_child_subreaper, set_child_subreaper, set_pdeathsig};
use nix::unistd::{ForkResult, Pid, fork, getppid};

use super::SingleThreaded;
use super::signal::{self, Disposition, Mask, Signal, Signals};

/// What phase-run was started with and a parent changes for itself.
pub(super) struct ProcessState {
    mask: Mask,
    of_children: Disposition,
    subreaper: bool,
    own: Pid,
}

/// The two processes that there are afterwards.
pub(super) enum Fork {
    Parent { child: Pid },
    Child(SingleThreaded),
}

impl ProcessState {
    /// Makes this process a parent: all signals are blocked, so that none is lost, and read from a
    /// stream.
    ///
    /// # Errors
    /// Those of signalfd(2).
    pub(super) fn save_and_block() -> io::Result<(Self, Signals)> {
        let mask = Mask::block_all()?;
        // Ignored, the kernel would reap the command itself and keep its status (wait(2)).
        let of_children = Disposition::of(Signal::CHLD);
        signal::set(Signal::CHLD, Disposition::Default);
        let signals = Signals::open()?;
        let origin = Self {
            mask,
            of_children,
            // Kept through an exec, and lost by a fork (PR_SET_CHILD_SUBREAPER(2const)).
            subreaper: get_child_subreaper().unwrap_or(false),
            own: Pid::this(),
        };
        Ok((origin, signals))
    }

    /// The pid that the command would have had.
    pub(super) fn own(&self) -> Pid {
        self.own
    }

    /// Forks a child that goes on as if there were no parent.
    ///
    /// # Errors
    /// Those of fork(2).
    pub(super) fn fork(&self, _single_threaded: &SingleThreaded) -> io::Result<Fork> {
        // SAFETY: `_single_threaded` proves that there is no other thread, so the child may do all that a
        // program may; without that, only what signal-safety(7) lists.
        let side = match unsafe { fork() }? {
            ForkResult::Parent { child } => Fork::Parent { child },
            ForkResult::Child => {
                end_with(self.own);
                if self.of_children == Disposition::Ignored {
                    signal::set(Signal::CHLD, Disposition::Ignored);
                }
                if self.subreaper {
                    let _ = set_child_subreaper(true);
                }
                Fork::Child(SingleThreaded(()))
            }
        };
        signal::reset_pid1_handlers();
        if let Fork::Child(_) = side {
            self.mask.restore();
        }
        Ok(side)
    }
}

/// What kills the supervisor outright would have killed the command. The parent may have died before
/// this was set (prctl(2), PR_SET_PDEATHSIG).
fn end_with(parent: Pid) {
    let _ = set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    if getppid() != parent {
        signal::raise_default(Signal::KILL);
    }
}
