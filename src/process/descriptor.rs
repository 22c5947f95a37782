//! Descriptors that were handed over by number.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};

/// Takes over a descriptor that phase-run was started with; dropping it closes it.
///
/// # Errors
/// `EBADF` when it is not open, or is one that phase-run opened itself.
pub(crate) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer; it fails where the descriptor is closed.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    // What was inherited across an exec cannot be close-on-exec; what phase-run opens is.
    if flags == -1 || flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, and nothing else in this process owns it: it was inherited, and this is
    // called once, for the token.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Moves a descriptor to the first free number from `lowest` on; where the limit on descriptors
/// does not allow that, it stays where it is. Close-on-exec in both cases.
pub(super) fn raise(descriptor: OwnedFd, lowest: RawFd) -> OwnedFd {
    match fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(lowest)) {
        // SAFETY: the kernel made it just now, and nothing else owns it.
        Ok(raised) => unsafe { OwnedFd::from_raw_fd(raised) },
        Err(_) => descriptor,
    }
}
