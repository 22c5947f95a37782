#![forbid(unsafe_code)]
//! The file of a snapshot: it is read only if no other user could have written it, and replaced
//! atomically.
//!
//! A new file is written as a temporary file beside the old one, `.NAME.` and a random suffix, synced
//! and renamed. Its writer holds a lock on it (flock(2)). A process that is killed leaves its temporary
//! file without a lock, and the next process that writes or removes the snapshot removes it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::geteuid;
use tempfile::{Builder, NamedTempFile};

use super::format;
use crate::error::{NO_MEMORY, SnapshotError, os_error_text};
use crate::process::secret_file::check_size_limit;

/// The largest file in bytes: a response has at most 64 MiB, and references can add as much.
const MAX_SIZE: u64 = 129 << 20;

/// How many temporary files are created if concurrent processes remove each of them before it is locked.
const MAX_ATTEMPTS: usize = 100;

/// The length of the random suffix of a temporary file. No date, hash or name of another program, such
/// as rsync's `.NAME.XXXXXX`, has 20 letters and digits.
const SUFFIX_LENGTH: usize = 20;

/// The longest file name in bytes (NAME_MAX).
const MAX_NAME_LENGTH: usize = 255;

/// How many entries of the directory are searched for temporary files of killed processes.
const MAX_ENTRIES: usize = 10_000;

/// How many temporary files are examined in one search.
const MAX_LEFTOVERS: usize = 100;

const NOT_A_SNAPSHOT: &str = "it is not a phase-run snapshot";

/// Reads the file, and returns it open with its contents.
///
/// # Errors
/// Returns why if it is missing, is not a snapshot, or another user could have written it.
pub(super) fn read(path: &Path) -> Result<(File, Vec<u8>), SnapshotError> {
    let (file, size) = open_trusted(path, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(usize::try_from(size).unwrap_or(usize::MAX))
        .map_err(|_| unusable(NO_MEMORY))?;
    (&file)
        .take(size)
        .read_to_end(&mut bytes)
        .map_err(io_failure)?;
    match format::is_snapshot(&bytes) {
        true => Ok((file, bytes)),
        false => Err(unusable(NOT_A_SNAPSHOT)),
    }
}

/// Replaces the file, or leaves it as it was.
///
/// # Errors
/// Returns the reason, for the log.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if bytes.len() as u64 > MAX_SIZE {
        return Err(format!("it would be larger than {MAX_SIZE} bytes"));
    }
    check_size_limit(bytes.len()).map_err(|error| os_error_text(&error))?;
    match check_replaceable(path) {
        Ok(()) | Err(SnapshotError::Missing) => {}
        Err(why) => return Err(why.to_string()),
    }
    let written = TemporaryFiles::of(path).and_then(|temporary| {
        temporary.remove_leftovers();
        temporary.write_and_rename(path, bytes)
    });
    written.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "{}: user {} must be able to write to its directory",
            os_error_text(&error),
            geteuid()
        ),
        _ => os_error_text(&error),
    })
}

/// Removes the temporary files that killed processes have left.
pub(super) fn remove_leftovers(path: &Path) {
    if let Ok(temporary) = TemporaryFiles::of(path) {
        temporary.remove_leftovers();
    }
}

/// Removes the snapshot that [`read`] has opened, unless another process has replaced it since.
///
/// No system call compares and removes in one step. So a file that takes the name between the two calls
/// is removed.
///
/// # Errors
/// Returns why if it has been removed or replaced, or cannot be removed.
pub(super) fn remove(path: &Path, file: &File) -> Result<(), SnapshotError> {
    if is_at(file, path) {
        return fs::remove_file(path).map_err(io_failure);
    }
    fs::symlink_metadata(path).map_err(io_failure)?;
    Err(unusable("another process has replaced it"))
}

/// Checks that the file is a snapshot or empty. Anything else is not replaced.
fn check_replaceable(path: &Path) -> Result<(), SnapshotError> {
    let (file, size) = open_trusted(path, OpenOptions::new().read(true))?;
    match size == 0 || format::is_snapshot(&read_start(&file)?) {
        true => Ok(()),
        false => Err(unusable(NOT_A_SNAPSHOT)),
    }
}

/// Reads as much of a file as tells whether it is a snapshot.
fn read_start(file: &File) -> Result<Vec<u8>, SnapshotError> {
    let mut start = Vec::new();
    file.take(64).read_to_end(&mut start).map_err(io_failure)?;
    Ok(start)
}

/// Opens the file and returns its size, unless another user could have written it. Follows no link and
/// does not wait for a pipe.
fn open_trusted(path: &Path, access: &mut OpenOptions) -> Result<(File, u64), SnapshotError> {
    let file = access
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => unusable("it is a symbolic link"),
            _ => io_failure(error),
        })?;
    let metadata = file.metadata().map_err(io_failure)?;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if !metadata.is_file() {
        return Err(unusable("it is not a regular file"));
    }
    if owner != 0 && owner != geteuid().as_raw() {
        return Err(unusable("it belongs to another user"));
    }
    if mode & 0o022 != 0 {
        return Err(unusable(format!(
            "other users can write it (mode {mode:04o})"
        )));
    }
    if metadata.len() > MAX_SIZE {
        return Err(unusable(format!("it is larger than {MAX_SIZE} bytes")));
    }
    Ok((file, metadata.len()))
}

fn unusable(why: impl Into<String>) -> SnapshotError {
    let why = why.into();
    SnapshotError::UnusableFile { why }
}

fn io_failure(error: io::Error) -> SnapshotError {
    match error.kind() {
        ErrorKind::NotFound => SnapshotError::Missing,
        _ => unusable(os_error_text(&error)),
    }
}

/// The temporary files of a snapshot: those in its directory whose name is `.NAME.` and a random suffix.
struct TemporaryFiles<'a> {
    directory: &'a Path,
    prefix: OsString,
}

impl<'a> TemporaryFiles<'a> {
    /// Returns the temporary files of the snapshot at this path.
    ///
    /// # Errors
    /// ENOENT if the path does not end in a file name.
    fn of(path: &'a Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(Errno::ENOENT)?.as_bytes();
        // If NAME is long, it is cut, so that the temporary name is not too long.
        let length = name.len().min(MAX_NAME_LENGTH - SUFFIX_LENGTH - 2);
        let mut prefix = OsString::from(".");
        prefix.push(OsStr::from_bytes(name.get(..length).unwrap_or(name)));
        prefix.push(".");
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        Ok(Self {
            directory: parent.unwrap_or(Path::new(".")),
            prefix,
        })
    }

    /// Writes a temporary file and renames it to `path`. After an error, the temporary file is removed.
    fn write_and_rename(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.create_locked()?;
        let file = temporary.as_file();
        // A umask such as 0777 takes the owner's permissions away. Some file systems have no modes.
        let _ = file.set_permissions(Permissions::from_mode(0o600));
        file.write_all_at(bytes, 0)?;
        // The bytes must be on the disk before the file gets its name.
        file.sync_data()?;
        temporary.persist(path).map_err(|failed| failed.error)?;
        Ok(())
    }

    /// Creates a temporary file with mode 0600 and locks it for as long as it is open.
    ///
    /// The suffix is random but can be guessed. That does no harm: the file is created with O_EXCL.
    fn create_locked(&self) -> io::Result<NamedTempFile> {
        for _ in 0..MAX_ATTEMPTS {
            let temporary = Builder::new()
                .prefix(&self.prefix)
                .rand_bytes(SUFFIX_LENGTH)
                .tempfile_in(self.directory)?;
            match temporary.as_file().try_lock() {
                Ok(()) if is_at(temporary.as_file(), temporary.path()) => return Ok(temporary),
                // A concurrent process took it for a leftover before it was locked.
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // The file system has no locks. Then no process can lock and remove this file either.
                Err(TryLockError::Error(_)) => return Ok(temporary),
            }
        }
        Err(ErrorKind::ResourceBusy.into())
    }

    /// Removes the temporary files that killed processes have left. What cannot be removed stays.
    fn remove_leftovers(&self) {
        let Ok(entries) = fs::read_dir(self.directory) else {
            return;
        };
        let leftovers = entries
            .take(MAX_ENTRIES)
            .flatten()
            .filter(|entry| self.has_temporary_name(&entry.file_name()))
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .take(MAX_LEFTOVERS);
        for leftover in leftovers {
            let _ = remove_leftover(&leftover.path());
        }
    }

    fn has_temporary_name(&self, name: &OsStr) -> bool {
        let suffix = name.as_bytes().strip_prefix(self.prefix.as_bytes());
        suffix.is_some_and(|suffix| {
            suffix.len() == SUFFIX_LENGTH && suffix.iter().all(u8::is_ascii_alphanumeric)
        })
    }
}

/// Removes a temporary file of this user whose writer was killed.
///
/// This never removes a snapshot or the file of a running writer. A writer holds the lock until it has
/// renamed or removed its file. So once the lock is taken here and the file still has its temporary
/// name, the writer is gone, or it has not locked the file yet and will see that it is lost. No later
/// file gets the same random name.
fn remove_leftover(path: &Path) -> Result<(), SnapshotError> {
    // To lock a file on NFS exclusively, it must be open for writing (flock(2)).
    let (file, _) = open_trusted(path, OpenOptions::new().read(true).write(true))?;
    let start = read_start(&file)?;
    // A power failure can turn the bytes of a file that was not synced into zeros.
    let is_leftover = format::is_snapshot(&start) || start.iter().all(|byte| *byte == 0);
    let metadata = file.metadata().map_err(io_failure)?;
    let is_own = metadata.uid() == geteuid().as_raw() && metadata.nlink() == 1;
    if is_leftover && is_own && file.try_lock().is_ok() && is_at(&file, path) {
        fs::remove_file(path).map_err(io_failure)?;
    }
    Ok(())
}

/// Returns whether the open file is the one at this path.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let opened = file.metadata().map(identity);
    let current = fs::symlink_metadata(path).map(identity);
    matches!((opened, current), (Ok(opened), Ok(current)) if opened == current)
}
