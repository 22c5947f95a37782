#![forbid(unsafe_code)]
//! A value as an in-memory file that nobody can change: memfd_create(2), sealed.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fchmod};

use super::descriptor;
use crate::error::{Error, errno_words, system_words};
use crate::secret::Secret;

/// Scripts use 3 to 9 and shells what follows; from here on the command's own rarely are.
const LOWEST: i32 = 100;

/// `memfd_create`'s flag for a file that cannot be executed (Linux 6.3), which nix does not know.
const NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(8);

/// A sealed file that stays open across the exec.
#[derive(Debug)]
pub(crate) struct Sealed {
    descriptor: OwnedFd,
}

impl Sealed {
    /// The path under which the command, and what it starts, can open it.
    pub(crate) fn path(&self) -> String {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.descriptor.as_raw_fd()
        )
    }

    /// As long as a path can get: for what is checked before there is a file.
    pub(crate) fn longest_path() -> String {
        format!("/proc/{}/fd/{}", i32::MAX, i32::MAX)
    }
}

/// Puts the value in a file of mode 0444.
///
/// # Errors
/// `environment` where the system has no such files or no /proc to reach them by.
pub(crate) fn seal(secret: &Secret) -> Result<Sealed, Error> {
    let refused = |why: String| Error::SealedFile {
        key: secret.key.clone(),
        why,
    };
    let named = |what: &'static str| move |errno: Errno| format!("{what}: {}", errno_words(errno));
    // The name is for /proc/PID/fd alone, and has no part in reaching the file.
    let name = CString::new(format!("phase-run:{}", secret.key)).unwrap_or_default();
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let low = match memfd_create(name.as_c_str(), flags | NOEXEC_SEAL) {
        // Older kernels refuse a flag that they do not know, and names that are too long.
        Err(Errno::EINVAL) => memfd_create(c"phase-run", flags),
        made => made,
    }
    .map_err(named("memfd_create"))
    .map_err(refused)?;
    let mut file = File::from(low);
    file.write_all(secret.value.expose())
        .map_err(|error| refused(system_words(&error)))?;
    let mode = Mode::S_IRUSR | Mode::S_IRGRP | Mode::S_IROTH;
    fchmod(&file, mode)
        .map_err(named("fchmod"))
        .map_err(refused)?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))
        .map_err(named("sealing"))
        .map_err(refused)?;
    let descriptor = descriptor::raise(file.into(), LOWEST);
    fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::empty()))
        .map_err(named("fcntl"))
        .map_err(refused)?;
    match std::fs::read_link("/proc/self") {
        Ok(own) if own.as_os_str() == std::process::id().to_string().as_str() => {
            Ok(Sealed { descriptor })
        }
        Ok(_) => Err(refused("/proc is that of another PID namespace".to_owned())),
        Err(_) => Err(refused(
            "/proc is not mounted, and there is no other path to it".to_owned(),
        )),
    }
}
