//! The controlling terminal, and what it changes: who gets its signals, and who may stop.

use std::io;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getpid, getppid, getsid, tcgetpgrp};

/// What there is to know of the session (credentials(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// There is a controlling terminal.
    pub(super) terminal: bool,
    /// This process leads the session: a hangup tells it alone.
    pub(super) leader: bool,
}

impl Session {
    pub(super) fn own() -> Self {
        Self {
            terminal: has_terminal(),
            leader: getsid(None) == Ok(getpid()),
        }
    }
}

/// `/dev/tty` opens for whoever has one; where that name is missing, a terminal on 0–2 that knows our
/// session tells.
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

/// Whether somebody can resume this process once it has stopped: a parent in its session, as a
/// shell is.
pub(super) fn can_be_resumed() -> bool {
    let parent = getppid();
    parent != Pid::from_raw(0)
        && getsid(Some(parent)).is_ok_and(|session| Ok(session) == getsid(None))
}
