//! The status of children: the raw status of waitpid(2), decoded without loss.
//!
//! nix's waitpid reaps a child that was killed by a real-time signal and then returns EINVAL, so the
//! status is lost.

use std::fmt;

use libc::c_int;
use nix::unistd::Pid;

use super::signal::Signal;

/// How a child has ended, or by which signal it has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WaitStatus {
    Exited(u8),
    Killed(Signal),
    Stopped(Signal),
}

/// Completes a sentence that starts with the child, such as `exited with status 1`.
impl fmt::Display for WaitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Killed(by) => write!(f, "was killed by signal {}", by.name()),
            Self::Stopped(by) => write!(f, "was stopped by signal {}", by.name()),
        }
    }
}

/// Returns one child that has ended or stopped since the last call, or `None` if there is no more.
/// It does not block.
pub(super) fn reap() -> Option<(Pid, WaitStatus)> {
    let mut status: c_int = 0;
    // SAFETY: the status is a local of the right type.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
    (pid > 0).then(|| (Pid::from_raw(pid), decode(status)))
}

/// Reaps this child if it has ended, and returns its status. It does not block.
pub(super) fn reap_child(child: Pid) -> Option<WaitStatus> {
    let mut status: c_int = 0;
    // SAFETY: the status is a local of the right type.
    let pid = unsafe { libc::waitpid(child.as_raw(), &raw mut status, libc::WNOHANG) };
    (pid > 0).then(|| decode(status))
}

/// Decodes every status: one that was skipped would leave phase-run waiting for a command that has
/// ended. With the flags used here, waitpid(2) reports only these three kinds.
fn decode(status: c_int) -> WaitStatus {
    if libc::WIFSIGNALED(status) {
        return WaitStatus::Killed(Signal::from_wait_status(libc::WTERMSIG(status)));
    }
    if libc::WIFSTOPPED(status) {
        return WaitStatus::Stopped(Signal::from_wait_status(libc::WSTOPSIG(status)));
    }
    let [status, ..] = libc::WEXITSTATUS(status).to_le_bytes();
    WaitStatus::Exited(status)
}

/// Returns whether a stopped child was continued since the last call.
pub(super) fn was_continued(child: Pid) -> bool {
    is_in_state(child, libc::WCONTINUED)
}

/// Returns whether a child has ended and has not been reaped.
pub(super) fn has_ended(child: Pid) -> bool {
    is_in_state(child, libc::WEXITED | libc::WNOWAIT)
}

/// Returns whether a child is in a stop that [`reap`] has not reported yet.
pub(super) fn is_stopped(child: Pid) -> bool {
    is_in_state(child, libc::WSTOPPED | libc::WNOWAIT)
}

/// Asks waitid(2) for these states only. Unlike waitpid(2), it then does not reap a child that has
/// just ended, whose status would be lost.
fn is_in_state(child: Pid, states: c_int) -> bool {
    // SAFETY: a siginfo_t is plain data, for which all zeros is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = child.as_raw().cast_unsigned();
    // SAFETY: `info` is a local of the right type.
    let result = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, states | libc::WNOHANG) };
    // SAFETY: waitid(2) sets this member for a child, and leaves it 0 otherwise.
    result == 0 && unsafe { info.si_pid() } != 0
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "waitpid reaps them")]
    fn wait_status_decodes_every_kind_of_exit() {
        for (line, expected) in [
            ("exit 0", WaitStatus::Exited(0)),
            ("exit 255", WaitStatus::Exited(255)),
            ("kill -TERM $$", WaitStatus::Killed(Signal::TERM)),
            #[cfg(target_os = "linux")]
            ("kill -64 $$", WaitStatus::Killed(Signal::new(64).unwrap())),
            ("kill -KILL $$", WaitStatus::Killed(Signal::new(9).unwrap())),
        ] {
            let child = Command::new("sh").args(["-c", line]).spawn().unwrap();
            let mut status = 0;
            // SAFETY: the status is a local of the right type.
            let pid = unsafe { libc::waitpid(child.id().cast_signed(), &raw mut status, 0) };
            assert_eq!(pid, child.id().cast_signed());
            assert_eq!(decode(status), expected, "{line}");
        }
        for reserved in [32, 33] {
            let signal = Signal::from_wait_status(reserved);
            assert_eq!(decode(reserved), WaitStatus::Killed(signal));
            assert_eq!(i32::from(signal.exit_status()), 128 + reserved);
        }
    }
}
