#![forbid(unsafe_code)]
//! Files in memory, which macOS does not have.

use std::ffi::CStr;
use std::fs::File;
use std::io;

use nix::errno::Errno;

/// Creates no file.
///
/// # Errors
/// Always ENOTSUP.
pub(crate) fn create_memfd(_name: &CStr) -> io::Result<File> {
    Err(Errno::ENOTSUP.into())
}

/// Seals no file.
///
/// # Errors
/// Always ENOTSUP.
pub(crate) fn add_seals(_file: &File) -> io::Result<()> {
    Err(Errno::ENOTSUP.into())
}
