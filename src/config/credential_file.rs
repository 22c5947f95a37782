#![forbid(unsafe_code)]
//! Reads files that hold a credential, with a limit on their size.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::encoding::decode_file;
use crate::log::{Event, Log};
use crate::process::bounded_read::open_without_waiting;
use crate::secret::SecretBytes;

/// The size limit of a token or a header file, in bytes. A token has about 350, the JSON of
/// `phase auth` about 1,000.
pub(crate) const MAX_SIZE: u64 = 64 << 10;

/// Opens a regular file; returns `None` for anything else. It is opened before it is checked, and
/// without blocking, so that a pipe in its place cannot block the reader.
pub(crate) fn open_regular(path: &Path) -> std::io::Result<Option<File>> {
    match open_without_waiting(path) {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        // open(2) fails like this for a socket.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads at most one byte more than `limit`, so that the caller can detect a file that is too long, and
/// drops a byte order mark.
///
/// # Errors
/// Also if the file is encoded in UTF-16.
pub(crate) fn read_bounded(file: File, limit: u64) -> std::io::Result<SecretBytes> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    decode_file(bytes).map(SecretBytes::new)
}

/// Warns if the file has no name any more. Its path still leads to it if a container mounts the file
/// alone (mount_namespaces(7)): whoever replaces the file on the host gives the name to another one.
pub(crate) fn warn_if_replaced(path: &Path, file: &File, log: &dyn Log) {
    let has_no_name = file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
    // A deleted file that is open, such as /dev/stdin, has no name to begin with.
    if has_no_name && path.canonicalize().is_ok() {
        log.log(Event::CredentialFileReplaced {
            path: &path.display().to_string(),
        });
    }
}

/// Warns if the group or others can read the file, unless the user cannot change that: somebody else owns
/// the file, or its mount is read-only, as secret mounts of orchestrators are.
pub(crate) fn warn_if_exposed(path: &Path, file: &File, log: &dyn Log) {
    let Ok(metadata) = file.metadata() else {
        return;
    };
    let mode = metadata.mode() & 0o7777;
    let can_chmod = metadata.is_file()
        && metadata.uid() == nix::unistd::geteuid().as_raw()
        && !fstatvfs(file).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_RDONLY));
    if can_chmod && mode & 0o044 != 0 {
        log.log(Event::CredentialFileExposed {
            path: &path.display().to_string(),
            mode,
        });
    }
}
