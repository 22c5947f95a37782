#![forbid(unsafe_code)]
//! Files in memory (memfd_create(2)).

use std::ffi::CStr;
use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// MFD_NOEXEC_SEAL of memfd_create(2), which nix lacks: the file can never be made executable
/// (since Linux 6.3).
const NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(8);

/// The fallback name of a memfd.
const MEMFD_NAME: &CStr = c"phase-run";

/// Creates a file in memory that only its descriptor refers to, and that can be sealed
/// (memfd_create(2)). It is close-on-exec. The name only appears in `/proc/PID/fd`.
///
/// # Errors
/// Those of memfd_create(2).
pub(crate) fn create_memfd(name: &CStr) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let created = match memfd_create(name, flags | NOEXEC_SEAL) {
        // The kernel does not know the flag, or the name is too long.
        Err(Errno::EINVAL) => memfd_create(MEMFD_NAME, flags),
        result => result,
    };
    Ok(File::from(created?))
}

/// Seals a file against every change (F_ADD_SEALS(2const)).
///
/// # Errors
/// Those of fcntl(2).
pub(crate) fn add_seals(file: &File) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}
