//! Descriptors by number: taking over an inherited one, moving one.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};

use super::startup;

/// The first descriptor after standard input, output and error.
pub(super) const FIRST_AFTER_STDERR: RawFd = 3;

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
