//! What became of a child: the raw status of waitpid(2), read whole.
//!
//! nix loses the status of a death by a real-time signal: it reaps the child and answers EINVAL.

use libc::c_int;
use nix::unistd::Pid;

use super::signal::Signal;

/// What a wait tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitStatus {
    Exited(u8),
    Killed(Signal),
    Stopped(Signal),
}

/// One child that has ended or stopped since the last call; none when there is no more to tell.
pub(super) fn reap() -> Option<(Pid, WaitStatus)> {
    loop {
        let mut status: c_int = 0;
        // SAFETY: the status is a local of the right type.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
        if pid <= 0 {
            return None;
        }
        // A status that says none of the three cannot come of these flags.
        if let Some(reaped) = decoded(status) {
            return Some((Pid::from_raw(pid), reaped));
        }
    }
}

fn decoded(status: c_int) -> Option<WaitStatus> {
    if libc::WIFEXITED(status) {
        return u8::try_from(libc::WEXITSTATUS(status))
            .ok()
            .map(WaitStatus::Exited);
    }
    if libc::WIFSIGNALED(status) {
        return Signal::new(libc::WTERMSIG(status)).map(WaitStatus::Killed);
    }
    Signal::new(libc::WSTOPSIG(status)).map(WaitStatus::Stopped)
}

/// Whether a child that had stopped goes on.
pub(super) fn was_continued(child: Pid) -> bool {
    tells(child, libc::WCONTINUED)
}

/// Whether a child is in a stop that has not been reaped yet: it went on and stopped again.
pub(super) fn is_stopped(child: Pid) -> bool {
    tells(child, libc::WSTOPPED | libc::WNOWAIT)
}

/// Only asks for what it is told: a wait that also reaps would lose the status of a child that has
/// just ended.
fn tells(child: Pid, what: c_int) -> bool {
    // SAFETY: a siginfo_t is plain data, for which zeros are values.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = child.as_raw().cast_unsigned();
    // SAFETY: the information is a local of the right type.
    let waited = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, what | libc::WNOHANG) };
    // SAFETY: waitid(2) filled in the member for a child, or left it 0.
    waited == 0 && unsafe { info.si_pid() } != 0
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "waitpid reaps them")]
    fn each_end_is_told_whole() {
        for (line, expected) in [
            ("exit 0", WaitStatus::Exited(0)),
            ("exit 255", WaitStatus::Exited(255)),
            ("kill -TERM $$", WaitStatus::Killed(Signal::TERM)),
            ("kill -64 $$", WaitStatus::Killed(Signal::new(64).unwrap())),
            ("kill -KILL $$", WaitStatus::Killed(Signal::new(9).unwrap())),
        ] {
            let child = Command::new("sh").args(["-c", line]).spawn().unwrap();
            let mut status = 0;
            // SAFETY: the status is a local of the right type.
            let pid = unsafe { libc::waitpid(child.id().cast_signed(), &raw mut status, 0) };
            assert_eq!(pid, child.id().cast_signed());
            assert_eq!(decoded(status), Some(expected), "{line}");
        }
    }
}
