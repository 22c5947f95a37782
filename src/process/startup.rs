//! What phase-run was started with, recorded before Rust's runtime changes it.
//!
//! The runtime ignores SIGPIPE and re-opens closed descriptors 0–2 before `main`. One function in
//! `.init_array` comes before it: it records the disposition, and fills the holes with
//! close-on-exec descriptors, so that the runtime finds nothing to do and the command gets the
//! holes back.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};

use super::SingleThreaded;
use super::env_block::{EnvBlock, EnvEntry, ExecLimits};
use super::signal::{self, Disposition, Signal};
use crate::secret::is_token_variable;

unsafe extern "C" {
    static mut environ: *mut *mut libc::c_char;
}

static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
static BEFORE_THE_RUNTIME: extern "C" fn() = record;

/// Runs once, with one thread, before `main`: plain libc calls only.
extern "C" fn record() {
    let ignored = Disposition::of(Signal::PIPE) == Disposition::Ignored;
    PIPE_IGNORED.store(ignored, Ordering::Relaxed);
    for descriptor in 0..3 {
        // SAFETY: F_GETFD takes no pointer; it fails where the descriptor is closed.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            fill_lowest_hole();
        }
    }
}

/// open(2) takes the lowest free number, and the holes are filled from below. Read-only, so that
/// what is written to a closed standard output is an error. An image without /dev has `/`.
pub(super) fn fill_lowest_hole() {
    for path in [c"/dev/null", c"/"] {
        // SAFETY: the path is a C string, and open(2) without O_CREAT takes no third argument.
        if unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) } >= 0 {
            return;
        }
    }
}

/// Gives SIGPIPE the disposition that phase-run was started with. Called before the exec.
pub(super) fn restore_pipe() {
    if !PIPE_IGNORED.load(Ordering::Relaxed) {
        signal::set(Signal::PIPE, Disposition::Default);
    }
}

/// Back to what phase-run itself needs: a failed write is an error, not a death.
pub(super) fn ignore_pipe() {
    signal::set(Signal::PIPE, Disposition::Ignored);
}

/// Reads the initial environment as bytes, and overwrites the token's values in the block that
/// `/proc/PID/environ` shows. Names and `=` stay.
pub(crate) fn read_environ_and_wipe_tokens(_single_threaded: &SingleThreaded) -> EnvBlock {
    let mut entries = Vec::new();
    // SAFETY: `environ` is libc's own (environ(7)); no other thread can change it meanwhile.
    let mut place = unsafe { environ };
    if place.is_null() {
        return EnvBlock::default();
    }
    loop {
        // SAFETY: `place` walks the array that environ(7) ends by a null pointer, and does not go
        // past it.
        let text = unsafe { *place };
        if text.is_null() {
            return EnvBlock::new(entries);
        }
        // SAFETY: each pointer before the null is a C string that lives as long as the process.
        let entry = EnvEntry::from_c_str(unsafe { CStr::from_ptr(text) });
        if entry.name().is_some_and(is_token_variable) {
            // SAFETY: it is one of those strings, which execve(2) put in writable memory of this
            // process; there is no other thread that could look at it.
            unsafe { wipe_value(text) };
        }
        entries.push(entry);
        // SAFETY: `place` is not the last element, which is null.
        place = unsafe { place.add(1) };
    }
}

/// Overwrites what stands behind the `=`. Volatile, so that the compiler keeps writes that nothing
/// reads.
///
/// # Safety
/// `entry` is a C string in writable memory that nobody else uses meanwhile.
unsafe fn wipe_value(entry: *mut libc::c_char) {
    let mut place = entry;
    let mut in_value = false;
    loop {
        // SAFETY: `place` is within the C string or at its NUL.
        let byte = unsafe { place.read() };
        if byte == 0 {
            return;
        }
        if in_value {
            // SAFETY: `place` is before the NUL, and the caller lets it be written.
            unsafe { place.write_volatile(0) };
        }
        in_value |= byte.cast_unsigned() == b'=';
        // SAFETY: `place` is before the NUL.
        place = unsafe { place.add(1) };
    }
}

/// What the kernel takes at an exec. execve(2): a string has at most 32 pages; all of it a quarter
/// of the stack's soft limit, but at least 128 KiB and at most 6 MiB.
pub(crate) fn exec_limits() -> ExecLimits {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    let page = page
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(4096);
    let stack = getrlimit(Resource::RLIMIT_STACK).map_or(8 << 20, |(soft, _)| soft);
    let total = usize::try_from(stack / 4)
        .unwrap_or(usize::MAX)
        .clamp(128 << 10, 6 << 20);
    ExecLimits {
        string: 32 * page,
        total,
    }
}

/// Keeps a static glibc from loading the machine's name-service modules, which are of another
/// glibc: host look-ups use what is linked in.
pub(crate) fn disable_nss_modules() {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_feature = "crt-static"))]
    {
        unsafe extern "C" {
            fn __nss_configure_lookup(
                database: *const libc::c_char,
                line: *const libc::c_char,
            ) -> libc::c_int;
        }
        // SAFETY: both are C strings, which glibc copies; nothing has been looked up yet.
        unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
    }
}
