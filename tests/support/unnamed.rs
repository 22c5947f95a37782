//! A kernel without files that have no name (open(2), O_TMPFILE): a filter of seccomp(2) in the way
//! of that one call. File systems that lack them are modules that a machine need not have.

#![expect(
    unsafe_code,
    reason = "nobody else makes a filter between fork and exec"
)]

use std::ffi::{c_int, c_ushort};
use std::io::Result;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, sock_filter, sock_fprog,
};
use nix::errno::Errno;

/// Of what a filter is shown, struct seccomp_data: where the call's number is, and the lower half of
/// its third argument.
const NUMBER: u32 = 0;
const FLAGS: u32 = 16 + 2 * 8;

/// From now on, and after the exec, such an open is answered with `errno`. Allocates nothing.
pub(super) fn refuse(errno: c_int) -> Result<()> {
    let unnamed = libc::O_TMPFILE & !libc::O_DIRECTORY;
    let openat = u32::try_from(libc::SYS_openat).unwrap_or_default();
    let mut filter = [
        step(BPF_LD | BPF_W | BPF_ABS, NUMBER, 0),
        step(BPF_JMP | BPF_JEQ | BPF_K, openat, 3),
        step(BPF_LD | BPF_W | BPF_ABS, FLAGS, 0),
        step(BPF_JMP | BPF_JSET | BPF_K, unnamed.cast_unsigned(), 1),
        step(
            BPF_RET | BPF_K,
            SECCOMP_RET_ERRNO | errno.cast_unsigned(),
            0,
        ),
        step(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0),
    ];
    let program = sock_fprog {
        len: c_ushort::try_from(filter.len()).unwrap_or_default(),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: prctl(2), PR_SET_NO_NEW_PRIVS: takes numbers only; who is not root needs it first.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    // SAFETY: prctl(2), PR_SET_SECCOMP: copies the program, which lives until then.
    Errno::result(unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program)
    })?;
    Ok(())
}

/// `past` is how many steps are left out where a comparison fails.
fn step(code: u32, k: u32, past: u8) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf: past,
        k,
    }
}
