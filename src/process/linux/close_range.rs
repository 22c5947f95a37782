//! Closing the descriptors of the command in its parent.

use std::os::fd::{AsFd, AsRawFd};

use crate::process::descriptor::FIRST_AFTER_STDERR;
use crate::process::startup;

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
