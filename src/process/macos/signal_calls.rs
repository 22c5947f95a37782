//! Masks and dispositions of signals.

use std::{mem, ptr};

use libc::sighandler_t;
use nix::sys::signal::{SigSet, SigmaskHow};

use crate::process::signal::Signal;

/// A set of signals.
#[derive(Clone, Copy, Debug)]
pub(in crate::process) struct SignalSet(SigSet);

impl SignalSet {
    /// Returns the set of no signals.
    pub(in crate::process) fn empty() -> Self {
        Self(SigSet::empty())
    }

    /// Returns the set of all signals.
    pub(in crate::process) fn all() -> Self {
        Self(SigSet::all())
    }

    /// Returns the set of one signal.
    #[expect(clippy::expect_used, reason = "nix knows all signals of macOS")]
    pub(in crate::process) fn of(signal: Signal) -> Self {
        let known = nix::sys::signal::Signal::try_from(signal.number()).ok();
        Self(known.expect("macOS has no real-time signals").into())
    }

    /// Changes the mask of the calling thread, and returns the mask from before (pthread_sigmask(3)).
    #[expect(clippy::expect_used, reason = "no argument comes from outside")]
    pub(in crate::process) fn change_mask(self, how: SigmaskHow) -> Self {
        let previous = self.0.thread_swap_mask(how).ok();
        Self(previous.expect("pthread_sigmask(3) fails only for an invalid argument"))
    }
}

/// Returns what handles a signal: SIG_DFL, SIG_IGN or a function (sigaction(2)).
pub(in crate::process) fn handler(signal: Signal) -> sighandler_t {
    // SAFETY: a sigaction consists of numbers and an optional pointer, so all zeros is valid.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: with a null second argument, the call only writes to the third, a local of the right type.
    let _ = unsafe { libc::sigaction(signal.number(), ptr::null(), &raw mut action) };
    action.sa_sigaction
}

/// Ignores a signal, or resets it to its default disposition (sigaction(2)). It fails only for KILL and
/// STOP, which always have their default disposition.
pub(in crate::process) fn set_ignored(signal: Signal, ignored: bool) {
    // SAFETY: a sigaction consists of numbers and an optional pointer, so all zeros is valid.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = if ignored {
        libc::SIG_IGN
    } else {
        libc::SIG_DFL
    };
    // SAFETY: the call reads a local of the right type. The handler is no function.
    let _ = unsafe { libc::sigaction(signal.number(), &raw const action, ptr::null_mut()) };
}
