#![forbid(unsafe_code)]
//! Reading files that hold a credential: bounded in size, regular where they are read again.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::log::{Event, Log};
use crate::secret::SecretBytes;

/// In bytes. A token has about 350, the JSON of `phase auth` about 1,000.
pub(crate) const MAX_SIZE: u64 = 64 << 10;

/// For what is read again: `None` for anything but a regular file. Opened before it is looked at,
/// and without waiting for the other end, so that a pipe in its place cannot keep the reader.
pub(crate) fn regular(path: &Path) -> std::io::Result<Option<File>> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    match options.open(path) {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        // A socket, open(2).
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// To its end, or to one byte more than `longest`.
pub(crate) fn whole(file: File, longest: u64) -> std::io::Result<SecretBytes> {
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes)?;
    Ok(SecretBytes::new(bytes))
}

/// Only where the user could mend it: a file of their own, not on a read-only mount, as the secret
/// mounts of orchestrators are.
pub(crate) fn warn_if_exposed(path: &Path, file: &File, log: &dyn Log) {
    let Ok(facts) = file.metadata() else { return };
    let mode = facts.mode() & 0o7777;
    let mendable = facts.is_file()
        && facts.uid() == nix::unistd::geteuid().as_raw()
        && !fstatvfs(file).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_RDONLY));
    if mendable && mode & 0o044 != 0 {
        log.log(Event::TokenFileExposed {
            path: &path.display().to_string(),
            mode,
        });
    }
}
