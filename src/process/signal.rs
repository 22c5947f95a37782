//! Signals as PID 1 needs them before the command runs.

use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// What ends a container; several images have QUIT as their stop signal.
const ENDING: [Signal; 4] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

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
        // SAFETY: `end_by` calls _exit alone, which is async-signal-safe (signal-safety(7)).
        let Ok(before) = (unsafe { sigaction(ending, &end) }) else {
            continue;
        };
        if !matches!(before.handler(), SigHandler::SigDfl) {
            // SAFETY: this puts back what was there.
            let _ = unsafe { sigaction(ending, &before) };
        }
    }
}

extern "C" fn end_by(signal: c_int) {
    // SAFETY: _exit(2) takes any status and does not return.
    unsafe { libc::_exit(128 + signal) }
}
