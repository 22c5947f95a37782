//! The controlling terminal and the session of this process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgrp, getpid, getppid, getsid, tcgetpgrp};

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
    match open_terminal() {
        Ok(_) => true,
        Err(Errno::ENOENT) => {
            tcgetpgrp(io::stdin()).is_ok()
                || tcgetpgrp(io::stdout()).is_ok()
                || tcgetpgrp(io::stderr()).is_ok()
        }
        Err(_) => false,
    }
}

/// Opens the controlling terminal, by a name that also exists where no descriptor refers to it.
pub(super) fn open_terminal() -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    open("/dev/tty", flags, Mode::empty())
}

/// Gives up the controlling terminal (TIOCNOTTY in ioctl_tty(2)): `/dev/tty` can then be opened neither by
/// this process, which must not lead the session, nor by the children that it forks later. They stay in
/// their process group, so the keys of the terminal still signal them.
pub(super) fn leave_terminal() {
    if let Ok(terminal) = open_terminal() {
        // SAFETY: the request takes no argument, and the descriptor is open.
        unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) };
    }
}

/// Opens the controlling terminal if this process is in its foreground group. Where `/dev/tty` is
/// missing, takes standard input if that is the terminal.
fn open_in_foreground() -> Option<OwnedFd> {
    let terminal = open_terminal()
        .ok()
        .or_else(|| io::stdin().as_fd().try_clone_to_owned().ok())?;
    (tcgetpgrp(&terminal) == Ok(getpgrp())).then_some(terminal)
}

/// The mode of the controlling terminal (termios(3)), for example whether it echoes keys.
#[derive(Debug)]
pub(super) struct TerminalMode(Termios);

impl TerminalMode {
    /// Returns the current mode, or `None` if this process is not in the foreground of a terminal: the
    /// mode may then be that of another program.
    pub(super) fn current() -> Option<Self> {
        tcgetattr(open_in_foreground()?).ok().map(Self)
    }

    /// Sets the terminal to this mode if this process is still in the foreground. TTOU must be blocked:
    /// the group may lose the foreground in between, and the call would then stop this process.
    pub(super) fn restore(&self) {
        if let Some(terminal) = open_in_foreground() {
            // A terminal that has just hung up has no mode.
            let _ = tcsetattr(terminal, SetArg::TCSANOW, &self.0);
        }
    }
}

/// Returns whether the parent could resume this process after a stop: it must be in the same
/// session, as a shell is.
pub(super) fn can_be_resumed() -> bool {
    let parent = getppid();
    parent != Pid::from_raw(0)
        && getsid(Some(parent)).is_ok_and(|session| Ok(session) == getsid(None))
}
