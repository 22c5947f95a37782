//! What phase-run was started with, recorded before Rust's runtime changes it.
//!
//! Before `main`, the runtime ignores SIGPIPE and opens /dev/null for each closed descriptor from 0
//! to 2. [`record_initial_state`] runs earlier. It records the mask and the disposition of SIGPIPE, and
//! opens close-on-exec descriptors in place of the closed ones, so that the runtime does nothing and
//! execve(2) closes them again for the command. It also installs the handlers of PID 1, as early as
//! possible: the kernel drops each signal that comes before.
//!
//! The environment is copied here as well.

use std::ffi::CStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::SingleThreaded;
use super::env_block::{EnvBlock, EnvEntry};
use super::signal::{self, Disposition, Signal, SignalMask};
use crate::secret::is_token_variable;

unsafe extern "C" {
    static mut environ: *mut *mut libc::c_char;
}

/// True if SIGPIPE was ignored when phase-run was started.
static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// The signals that were blocked when phase-run was started. Later musl unblocks 33 and 34, and keeps them
/// unblocked.
static INITIAL_MASK: OnceLock<SignalMask> = OnceLock::new();

/// Runs once, before `main` and before Rust's runtime, so it may only make plain libc calls. The
/// platform's module registers it.
pub(super) extern "C" fn record_initial_state() {
    let _ = INITIAL_MASK.set(SignalMask::current());
    signal::install_pid1_handlers();
    let ignored = Disposition::current(Signal::PIPE) == Disposition::Ignored;
    SIGPIPE_IGNORED.store(ignored, Ordering::Relaxed);
    for descriptor in 0..3 {
        // SAFETY: F_GETFD takes no pointer, and fails for a closed descriptor.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            open_dev_null_at_lowest_fd();
        }
    }
}

/// Opens /dev/null at the lowest free descriptor number (open(2)). It is opened read-only, so that
/// writing to a standard output that was closed is still an error. A container image without /dev
/// gets `/` instead.
pub(super) fn open_dev_null_at_lowest_fd() {
    for path in [c"/dev/null", c"/"] {
        // SAFETY: the path is a C string, and open(2) needs no third argument without O_CREAT.
        if unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) } >= 0 {
            return;
        }
    }
}

/// Blocks the signals that were blocked when phase-run was started, right before the exec.
pub(super) fn restore_signal_mask() {
    if let Some(mask) = INITIAL_MASK.get() {
        mask.restore();
    }
}

/// Gives SIGPIPE the disposition that phase-run was started with, right before the exec.
pub(super) fn restore_sigpipe() {
    if !SIGPIPE_IGNORED.load(Ordering::Relaxed) {
        signal::set_disposition(Signal::PIPE, Disposition::Default);
    }
}

/// Ignores SIGPIPE again after a failed exec, so that a failed write is an error and kills nothing.
pub(super) fn ignore_sigpipe() {
    signal::set_disposition(Signal::PIPE, Disposition::Ignored);
}

/// Copies the initial environment as bytes, and overwrites the values of the token variables in the
/// original, which `/proc/PID/environ` shows (proc_pid_environ(5)). Their names stay.
pub(crate) fn read_environ_and_wipe_tokens(_single_threaded: &SingleThreaded) -> EnvBlock {
    let mut entries = Vec::new();
    // SAFETY: libc defines `environ` (environ(7)), and no other thread exists that could change it.
    let mut element = unsafe { environ };
    if element.is_null() {
        return EnvBlock::default();
    }
    loop {
        // SAFETY: `element` points into the array, which a null pointer ends (environ(7)), and the
        // loop stops there.
        let text = unsafe { *element };
        if text.is_null() {
            return EnvBlock::new(entries);
        }
        // SAFETY: each pointer before the null is a C string that lives as long as the process, and
        // nothing changes it while it is copied.
        let entry = EnvEntry::from_c_str(unsafe { CStr::from_ptr(text) });
        if entry.name().is_some_and(is_token_variable) {
            // SAFETY: execve(2) put the string in writable memory of this process, and no other
            // thread exists that could use it.
            unsafe { wipe_value(text.cast()) };
        }
        entries.push(entry);
        // SAFETY: `element` does not point to the null, which is the last element.
        element = unsafe { element.add(1) };
    }
}

/// Overwrites everything after the first `=`. The writes are volatile, because the compiler could
/// drop writes that nothing reads.
///
/// # Safety
/// `entry` must be a C string in writable memory that nobody else uses meanwhile.
unsafe fn wipe_value(entry: *mut u8) {
    let mut position = entry;
    let mut in_value = false;
    loop {
        // SAFETY: `position` is in the C string or at its NUL.
        let byte = unsafe { position.read() };
        if byte == 0 {
            return;
        }
        if in_value {
            // SAFETY: `position` is before the NUL, and the caller allows writing.
            unsafe { position.write_volatile(0) };
        }
        in_value |= byte == b'=';
        // SAFETY: `position` is before the NUL.
        position = unsafe { position.add(1) };
    }
}
