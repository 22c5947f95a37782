//! Descriptors by number: handed over, moved, let go of.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};

use super::startup;

/// Takes over a descriptor that phase-run was started with; dropping it closes it.
///
/// # Errors
/// `EBADF` when it is not open, or is one that phase-run opened itself.
pub(crate) fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer; it fails where the descriptor is closed.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    // What was inherited across an exec cannot be close-on-exec; what phase-run opens is.
    if flags == -1 || flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, and nothing else in this process closes it: it was inherited, this is
    // called once, for the token, and std's handles for 0–2 never close theirs.
    let inherited = unsafe { OwnedFd::from_raw_fd(number) };
    let moved = raise(inherited, 3);
    if number < 3 {
        // Or the connection to Phase would get the number, and with it what is said on 1 or 2.
        startup::fill_lowest_hole();
    }
    Ok(moved)
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

/// Closes everything but one that is above 2, and leaves nothing behind 0–2. For the supervisor: what
/// phase-run was started with is the command's, whose reader must see a pipe end when the command
/// closes it. Where the kernel has no close_range(2), before Linux 5.9, all stays open.
pub(super) fn close_all_but(kept: impl AsFd) {
    // A lock that was taken for as long as the command runs must not be lost.
    if holds_record_locks() {
        return;
    }
    let kept = kept.as_fd().as_raw_fd().cast_unsigned();
    for (first, last) in [(0, kept.saturating_sub(1)), (kept + 1, u32::MAX)] {
        // SAFETY: close_range(2) takes numbers alone. Nothing here owns what it closes: all of it was
        // inherited, a token's descriptor is moved in the command's process only, and std's handles
        // for 0–2 never close theirs. An open file held across the fork would break this.
        if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } != 0 {
            return;
        }
    }
    // So that nothing else gets these numbers.
    for _ in 0..3 {
        startup::fill_lowest_hole();
    }
}

/// Record locks stay with the process through an exec and not through a fork, and are given up when
/// any descriptor of their file is closed (fcntl(2)). proc_locks(5) lists them.
fn holds_record_locks() -> bool {
    let own = std::process::id().to_string();
    let is_own = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some("POSIX") && words.nth(2) == Some(&own)
    };
    std::fs::read_to_string("/proc/locks").is_ok_and(|locks| locks.lines().any(is_own))
}
