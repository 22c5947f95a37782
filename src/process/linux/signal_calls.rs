//! Masks, dispositions and descriptors of signals, without the C library. It keeps signals for itself, and
//! its functions refuse or leave out those: glibc 32 and 33, musl also 34.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use libc::{c_int, sighandler_t};
use nix::errno::Errno;
use nix::sys::signal::SigmaskHow;
use nix::sys::signalfd::SignalFd;

use crate::process::signal::Signal;

/// The size of a set of signals, which each of these calls asks for.
const SET_SIZE: usize = size_of::<u64>();

/// A set of signals as the kernel has it: bit N-1 stands for signal N.
#[derive(Clone, Copy, Debug)]
pub(in crate::process) struct SignalSet(u64);

impl SignalSet {
    /// Returns the set of no signals.
    pub(in crate::process) fn empty() -> Self {
        Self(0)
    }

    /// Returns the set of all signals that a program can use.
    pub(in crate::process) fn all() -> Self {
        let signals = (1..=64).filter_map(Signal::new);
        Self(signals.fold(0, |set, signal| set | Self::of(signal).0))
    }

    /// Returns the set of one signal. It is empty for a number above 64, which no set can contain.
    pub(in crate::process) fn of(signal: Signal) -> Self {
        let bit = signal.number().cast_unsigned() - 1;
        Self(1u64.checked_shl(bit).unwrap_or(0))
    }

    /// Changes the mask of the calling thread, and returns the mask from before (rt_sigprocmask(2)).
    #[expect(clippy::expect_used, reason = "no argument comes from outside")]
    pub(in crate::process) fn change_mask(self, how: SigmaskHow) -> Self {
        let mut previous = 0;
        // SAFETY: the call reads a set of this size, and writes one to a local.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                how as c_int,
                &raw const self.0,
                &raw mut previous,
                SET_SIZE,
            )
        };
        let result = Errno::result(result).ok();
        result.expect("rt_sigprocmask(2) fails only for an invalid argument");
        Self(previous)
    }

    /// Opens a descriptor from which these signals are read while they are blocked (signalfd4(2)).
    ///
    /// # Errors
    /// Those of signalfd4(2).
    pub(in crate::process) fn open_descriptor(self) -> io::Result<SignalFd> {
        let new: c_int = -1;
        // SAFETY: the call reads a set of this size.
        let number = unsafe {
            libc::syscall(
                libc::SYS_signalfd4,
                new,
                &raw const self.0,
                SET_SIZE,
                libc::SFD_CLOEXEC,
            )
        };
        let number = Errno::result(number)?;
        let number = c_int::try_from(number).map_err(io::Error::other)?;
        // SAFETY: the call has just returned the number, so nothing else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        // SAFETY: it is a descriptor of signalfd4(2).
        Ok(unsafe { SignalFd::from_owned_fd(descriptor) })
    }
}

/// The kernel's struct sigaction: the handler, the flags, the restorer and the mask.
type Action = [usize; 4];

/// Returns what handles a signal: SIG_DFL, SIG_IGN or a function (rt_sigaction(2)).
pub(in crate::process) fn handler(signal: Signal) -> sighandler_t {
    let mut action: Action = [0; 4];
    let unchanged = ptr::null::<Action>();
    // SAFETY: the call writes one struct to a local of its size, and reads none.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal.number(),
            unchanged,
            &raw mut action,
            SET_SIZE,
        )
    };
    let [handler, ..] = action;
    handler
}

/// Ignores a signal, or resets it to its default disposition (rt_sigaction(2)). It fails only for KILL and
/// STOP, which always have their default disposition.
pub(in crate::process) fn set_ignored(signal: Signal, ignored: bool) {
    let handler = if ignored {
        libc::SIG_IGN
    } else {
        libc::SIG_DFL
    };
    let action: Action = [handler, 0, 0, 0];
    let previous = ptr::null_mut::<Action>();
    // SAFETY: the call reads one struct from a local of its size, and writes none. The handler is no function.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal.number(),
            &raw const action,
            previous,
            SET_SIZE,
        )
    };
}
