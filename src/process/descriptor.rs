//! Descriptors by number: taking over an inherited one, moving one, closing all others.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};

use super::startup;

/// The first descriptor after standard input, output and error.
const FIRST_AFTER_STDERR: RawFd = 3;

/// Takes ownership of a descriptor that phase-run was started with. Dropping it closes it.
///
/// # Errors
/// `EBADF` if the descriptor is closed, or if phase-run has opened it itself.
pub(crate) fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer, and fails for a closed descriptor.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    // A descriptor that was inherited through an exec cannot be close-on-exec; those that phase-run
    // opens are.
    if flags == -1 || flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the descriptor is open, and nothing else in this process closes it: it was inherited,
    // this function is called once, for the token, and std never closes descriptors 0 to 2.
    let inherited = unsafe { OwnedFd::from_raw_fd(number) };
    let moved = move_to_at_least(inherited, FIRST_AFTER_STDERR);
    if number < FIRST_AFTER_STDERR {
        // Otherwise a socket to Phase could get this number, and output would be written to it.
        startup::open_dev_null_at_lowest_fd();
    }
    Ok(moved)
}

/// Moves a descriptor to the first free number from `lowest` on. If RLIMIT_NOFILE does not allow
/// that, the descriptor stays where it is. A moved descriptor is close-on-exec (fcntl(2)).
pub(super) fn move_to_at_least(descriptor: OwnedFd, lowest: RawFd) -> OwnedFd {
    match fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(lowest)) {
        // SAFETY: fcntl(2) has just created this descriptor, and nothing else owns it.
        Ok(moved) => unsafe { OwnedFd::from_raw_fd(moved) },
        Err(_) => descriptor,
    }
}

/// Closes every descriptor but `except`, which is above 2, and reopens 0 to 2 on /dev/null.
///
/// The supervisor must not hold the command's descriptors: the reader of a pipe from the command
/// must see the end of file when the command closes it. Before Linux 5.9, which added
/// close_range(2), all descriptors stay open.
pub(super) fn close_all_but(except: impl AsFd) {
    if holds_record_locks() {
        return;
    }
    let except = except.as_fd().as_raw_fd().cast_unsigned();
    for (first, last) in [(0, except.saturating_sub(1)), (except + 1, u32::MAX)] {
        // SAFETY: close_range(2) takes only numbers. Nothing in this process owns what it closes:
        // all descriptors were inherited, the token's is taken over only in the command's process,
        // and std never closes descriptors 0 to 2. A file opened before the fork would break this.
        if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } != 0 {
            return;
        }
    }
    // Descriptors that are opened later must not get these numbers.
    for _ in 0..FIRST_AFTER_STDERR {
        startup::open_dev_null_at_lowest_fd();
    }
}

/// Returns whether this process holds record locks, which proc_locks(5) lists. A child does not
/// inherit them, so the supervisor keeps them for as long as the command runs. Closing any
/// descriptor of a locked file would release its locks (fcntl_locking(2)).
fn holds_record_locks() -> bool {
    let pid = std::process::id().to_string();
    let is_ours = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some("POSIX") && words.nth(2) == Some(&pid)
    };
    std::fs::read_to_string("/proc/locks").is_ok_and(|locks| locks.lines().any(is_ours))
}
