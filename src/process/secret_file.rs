#![forbid(unsafe_code)]
//! Secrets as files in memory that nobody can change: sealed memfds (memfd_create(2)).

use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, fchmod};

use super::descriptor;
pub(crate) use super::platform::memfd::{add_seals, create_memfd};
use crate::error::{Error, os_error_text};
use crate::secret::Secret;

/// The lowest descriptor number for a file: scripts use 3 to 9, and shells some higher ones.
const LOWEST_DESCRIPTOR: i32 = 100;

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
        let mut file = create_memfd(name.as_deref().unwrap_or(c"phase-run"))
            .map_err(failed("memfd_create"))?;
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
