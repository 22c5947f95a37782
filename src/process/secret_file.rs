#![forbid(unsafe_code)]
//! Secrets as files in memory that nobody can change: sealed memfds (memfd_create(2)).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, fchmod};

use super::descriptor;
use crate::error::{Error, os_error_text};
use crate::secret::Secret;

/// The lowest descriptor number for a file: scripts use 3 to 9, and shells some higher ones.
const LOWEST_DESCRIPTOR: i32 = 100;

/// MFD_NOEXEC_SEAL of memfd_create(2), which nix lacks: the file can never be made executable
/// (since Linux 6.3).
const NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(8);

/// A sealed file in memory, whose descriptor stays open across execve(2).
#[derive(Debug)]
pub(crate) struct SecretFile {
    descriptor: OwnedFd,
}

impl SecretFile {
    /// Writes the value to a new file that everybody may read (mode 0444) and nobody can change.
    ///
    /// # Errors
    /// `environment` if the kernel refuses to create the file, or if it cannot be opened through
    /// /proc.
    pub(crate) fn create(secret: &Secret) -> Result<Self, Error> {
        let error = |why: String| Error::SecretFileFailed {
            key: secret.key.clone(),
            why,
        };
        let failed = |call: &'static str| {
            move |cause: io::Error| error(format!("{call}: {}", os_error_text(&cause)))
        };
        // A key can contain NUL if `--file` sets the name of the variable.
        let name = CString::new(format!("phase-run:{}", secret.key)).ok();
        let mut file =
            create_memfd(name.as_deref().unwrap_or(MEMFD_NAME)).map_err(failed("memfd_create"))?;
        check_size_limit(secret.value.expose().len())
            .map_err(|cause| error(os_error_text(&cause)))?;
        file.write_all(secret.value.expose())
            .map_err(failed("write"))?;
        let mode = Mode::S_IRUSR | Mode::S_IRGRP | Mode::S_IROTH;
        fchmod(&file, mode).map_err(|errno| failed("fchmod")(errno.into()))?;
        add_seals(&file).map_err(failed("F_ADD_SEALS"))?;
        let descriptor = descriptor::move_to_at_least(file.into(), LOWEST_DESCRIPTOR);
        fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::empty()))
            .map_err(|errno| failed("F_SETFD")(errno.into()))?;
        let pid = std::process::id().to_string();
        match std::fs::read_link("/proc/self") {
            Ok(target) if target.as_os_str() == pid.as_str() => Ok(Self { descriptor }),
            Ok(_) => Err(error("/proc belongs to another PID namespace".to_owned())),
            Err(_) => Err(error("/proc is not mounted".to_owned())),
        }
    }

    /// Returns the path by which the command and its children can open the file.
    pub(crate) fn path(&self) -> String {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.descriptor.as_raw_fd()
        )
    }

    /// Returns the longest path that [`SecretFile::path`] can return, for checks before a file
    /// exists.
    pub(crate) fn longest_path() -> String {
        format!("/proc/{}/fd/{}", i32::MAX, i32::MAX)
    }
}

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

/// Checks that a file may have this size, in memory or not. A write beyond the limit would raise SIGXFSZ,
/// which kills the process (getrlimit(2), RLIMIT_FSIZE).
///
/// # Errors
/// The reason, if the file may not be that large.
pub(crate) fn check_size_limit(size: usize) -> io::Result<()> {
    match getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft < size as u64) {
        true => Err(io::Error::other(
            "it would exceed the file size limit (ulimit -f)",
        )),
        false => Ok(()),
    }
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
