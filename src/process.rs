//! The process: what it was started with, and how it becomes the command.
//!
//! The only place that touches signals, limits, descriptors by number, and `unsafe`. What it was
//! started with is handed on as it was: dispositions, mask, limits, descriptors, directory.

pub(crate) mod descriptor;
pub(crate) mod exec;
pub(crate) mod harden;
mod loader;
mod memory;
pub(crate) mod sealed;
pub(crate) mod signal;
pub(crate) mod startup;
mod supervise;
mod terminal;
pub(crate) mod wait;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::prctl::{get_child_subreaper, set_child_subreaper, set_pdeathsig};
use nix::unistd::{ForkResult, Pid, fork, getppid};

use crate::error::{Error, system_words};
use signal::{Disposition, Mask, Signal, Signals};
pub(crate) use supervise::Supervisor;

/// The proof that there is one thread. Only one exists in the life of the program, made before
/// anything could have started a second; what starts threads consumes it.
#[derive(Debug)]
pub(crate) struct SingleThreaded(());

impl SingleThreaded {
    /// The first thing that `main` does. None for every further call.
    pub(crate) fn claim() -> Option<Self> {
        static CLAIMED: AtomicBool = AtomicBool::new(false);
        (!CLAIMED.swap(true, Ordering::Relaxed)).then_some(Self(()))
    }
}

/// The two processes of `--supervise`.
pub(crate) enum Forked {
    /// The parent, which never sees a secret.
    Supervisor(Supervisor),
    /// The child, which goes on as if there were no parent.
    Command {
        alone: SingleThreaded,
        /// Whose pid the command would have had.
        parent: u32,
    },
}

/// Forks before anybody reads the token. All signals are blocked first, so that none is lost: the
/// supervisor reads them, the child gets back what phase-run was started with.
///
/// # Errors
/// `exec` when fork(2) or signalfd(2) is refused.
pub(crate) fn fork_command(alone: SingleThreaded) -> Result<Forked, Error> {
    forked(alone).map_err(|error| no_process(&error))
}

fn no_process(error: &io::Error) -> Error {
    Error::NoProcess {
        why: system_words(error),
    }
}

fn forked(alone: SingleThreaded) -> io::Result<Forked> {
    let mask = Mask::block_all()?;
    // Ignored, the kernel would reap the command itself and keep its status (wait(2)).
    let of_children = Disposition::of(Signal::CHLD);
    signal::set(Signal::CHLD, Disposition::Default);
    let signals = Signals::open()?;
    let parent = Pid::this();
    // Kept through an exec, and lost by a fork (PR_SET_CHILD_SUBREAPER(2const)).
    let subreaper = get_child_subreaper().unwrap_or(false);
    // SAFETY: `alone` proves that there is no other thread, so the child may do all that a program
    // may; without that, only what signal-safety(7) lists.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            signal::end_as_others_do();
            Ok(Forked::Supervisor(Supervisor::new(child, signals)))
        }
        ForkResult::Child => {
            end_with(parent);
            if of_children == Disposition::Ignored {
                signal::set(Signal::CHLD, Disposition::Ignored);
            }
            signal::end_as_others_do();
            if subreaper {
                let _ = set_child_subreaper(true);
            }
            mask.restore();
            let parent = parent.as_raw().cast_unsigned();
            Ok(Forked::Command { alone, parent })
        }
    }
}

/// What kills the supervisor outright would have killed the command. The parent may have died before
/// this was set (prctl(2), PR_SET_PDEATHSIG).
fn end_with(parent: Pid) {
    let _ = set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    if getppid() != parent {
        signal::take(Signal::KILL);
    }
}
