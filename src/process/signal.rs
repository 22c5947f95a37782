//! Signals as PID 1 needs them before the command runs.

use std::mem::MaybeUninit;

use libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// What ends a container; several images have QUIT as their stop signal.
const ENDING: [Signal; 4] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// What a signal does (sigaction(2)): the default, nothing, or run a handler. A plain libc call, so
/// that it can be asked before Rust's runtime starts.
pub(super) fn is_disposition(signal: c_int, wanted: libc::sighandler_t) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null second argument sigaction only writes the action to the third, which is
    // valid for that.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zeros is a value of the type, and the kernel wrote it where it answered 0.
    let action = unsafe { action.assume_init() };
    asked == 0 && action.sa_sigaction == wanted
}

/// The kernel lets PID 1 ignore what it has no handler for (pid_namespaces(7)): a stop during the
/// fetch would be lost. Here it ends the program at once, by status 128+N. What is ignored stays
/// ignored, and execve(2) makes the handled ones default again.
pub(crate) fn end_as_pid_1() {
    if std::process::id() != 1 {
        return;
    }
    let end = SigAction::new(
        SigHandler::Handler(end_by),
        SaFlags::empty(),
        SigSet::empty(),
    );
    for ending in ENDING {
        if is_disposition(ending as c_int, libc::SIG_DFL) {
            // SAFETY: `end_by` calls _exit alone, which is async-signal-safe (signal-safety(7)).
            let _ = unsafe { sigaction(ending, &end) };
        }
    }
}

extern "C" fn end_by(signal: c_int) {
    // SAFETY: _exit(2) takes any status and does not return.
    unsafe { libc::_exit(128 + signal) }
}
