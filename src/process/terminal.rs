#![forbid(unsafe_code)]
//! The controlling terminal and the session of this process.

use std::io;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getpid, getppid, getsid, tcgetpgrp};

/// What handling signals needs to know about this process's session (credentials(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// True if the session has a controlling terminal.
    pub(super) has_terminal: bool,
    /// True if this process is the session leader, the only process to which a hangup is sent.
    pub(super) is_leader: bool,
}

impl Session {
    /// Asks the kernel.
    pub(super) fn current() -> Self {
        Self {
            has_terminal: has_terminal(),
            is_leader: getsid(None) == Ok(getpid()),
        }
    }
}

/// Opens `/dev/tty`, which succeeds only with a controlling terminal (tty(4)). Where that file is
/// missing, asks whether descriptor 0, 1 or 2 is the terminal of this session (tcgetpgrp(3)).
fn has_terminal() -> bool {
    match open(
        "/dev/tty",
        OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOCTTY,
        Mode::empty(),
    ) {
        Ok(_) => true,
        Err(Errno::ENOENT) => {
            tcgetpgrp(io::stdin()).is_ok()
                || tcgetpgrp(io::stdout()).is_ok()
                || tcgetpgrp(io::stderr()).is_ok()
        }
        Err(_) => false,
    }
}

/// Returns whether the parent could resume this process after a stop: it must be in the same
/// session, as a shell is.
pub(super) fn can_be_resumed() -> bool {
    let parent = getppid();
    parent != Pid::from_raw(0)
        && getsid(Some(parent)).is_ok_and(|session| Ok(session) == getsid(None))
}
