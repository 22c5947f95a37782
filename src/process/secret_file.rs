#![forbid(unsafe_code)]
//! A value as an in-memory file that nobody can change: memfd_create(2), sealed.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fchmod};

use super::descriptor;
use crate::error::{Error, os_error_text};
use crate::secret::Secret;

/// Scripts use 3 to 9 and shells what follows; from here on the command's own rarely are.
const LOWEST: i32 = 100;

/// `memfd_create`'s flag for a file that cannot be executed (Linux 6.3), which nix does not know.
const NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(8);

/// A sealed file that stays open across the exec.
#[derive(Debug)]
pub(crate) struct SecretFile {
    descriptor: OwnedFd,
}

impl SecretFile {
    /// Puts the value in a file of mode 0444.
    ///
    /// # Errors
    /// `environment` where the system has no such files or no /proc to reach them by.
    pub(crate) fn create(secret: &Secret) -> Result<Self, Error> {
        let refused = |why: String| Error::SecretFile {
            key: secret.key.clone(),
            why,
        };
        let named = |what: &'static str| {
            move |error: io::Error| refused(format!("{what}: {}", os_error_text(&error)))
        };
        let name = CString::new(format!("phase-run:{}", secret.key)).unwrap_or_default();
        let mut file = create_memfd(&name).map_err(named("memfd_create"))?;
        file.write_all(secret.value.expose())
            .map_err(|error| refused(os_error_text(&error)))?;
        let mode = Mode::S_IRUSR | Mode::S_IRGRP | Mode::S_IROTH;
        fchmod(&file, mode).map_err(|errno| named("fchmod")(errno.into()))?;
        add_seals(&file).map_err(named("sealing"))?;
        let descriptor = descriptor::raise(file.into(), LOWEST);
        fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::empty()))
            .map_err(|errno| named("fcntl")(errno.into()))?;
        match std::fs::read_link("/proc/self") {
            Ok(own) if own.as_os_str() == std::process::id().to_string().as_str() => {
                Ok(Self { descriptor })
            }
            Ok(_) => Err(refused("/proc is that of another PID namespace".to_owned())),
            Err(_) => Err(refused(
                "/proc is not mounted, and there is no other path to it".to_owned(),
            )),
        }
    }

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

/// A new file that only its descriptor leads to, close-on-exec, that can be sealed
/// (memfd_create(2)). The name is for `/proc/PID/fd` alone.
pub(crate) fn create_memfd(name: &CStr) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let made = match memfd_create(name, flags | NOEXEC_SEAL) {
        // Older kernels refuse a flag that they do not know, and names that are too long.
        Err(Errno::EINVAL) => memfd_create(c"phase-run", flags),
        made => made,
    };
    Ok(File::from(made?))
}

/// Against every change (F_ADD_SEALS(2const)).
pub(crate) fn add_seals(file: &File) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}
