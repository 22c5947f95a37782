#![forbid(unsafe_code)]
//! The file of a snapshot: it is read only if no other user could have written it, and replaced
//! atomically.
//!
//! A new file is written as an unnamed file (open(2), O_TMPFILE), synced, linked as `.NAME.new` and
//! renamed. If the file system does not support that, it is written as `.NAME.part` under a lock. A
//! process that is killed leaves at most one of the two, which the next process replaces.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{geteuid, linkat};

use super::format;
use crate::error::{SnapshotError, os_error_text};

/// The largest file in bytes: a response has at most 64 MiB, and references can add as much.
const MAX_SIZE: u64 = 129 << 20;

/// How often a temporary name is retried if a concurrent process takes it.
const MAX_ATTEMPTS: usize = 100;

const NOT_A_SNAPSHOT: &str = "it is not a phase-run snapshot";

/// Reads the file.
///
/// # Errors
/// Returns why if it is missing, is not a snapshot, or another user could have written it.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SnapshotError> {
    let (file, size) = open_trusted(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(size)
        .read_to_end(&mut bytes)
        .map_err(io_failure)?;
    match format::is_snapshot(&bytes) {
        true => Ok(bytes),
        false => Err(unusable(NOT_A_SNAPSHOT)),
    }
}

/// Replaces the file, or leaves it as it was.
///
/// # Errors
/// Returns the reason, for the log.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let size = bytes.len() as u64;
    if size > MAX_SIZE {
        return Err(format!("it would be larger than {MAX_SIZE} bytes"));
    }
    // A write beyond this limit would raise SIGXFSZ (getrlimit(2), RLIMIT_FSIZE).
    if getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft < size) {
        return Err("it would exceed the file size limit (ulimit -f)".to_owned());
    }
    match check_replaceable(path) {
        Ok(()) | Err(SnapshotError::Missing) => {}
        Err(why) => return Err(why.to_string()),
    }
    let [new, part] = temporary_paths(path);
    replace_by_unnamed_file(path, &new, bytes)
        .and_then(|outcome| match outcome {
            UnnamedFile::Done => Ok(()),
            UnnamedFile::Unsupported => replace_by_part_file(path, &part, bytes),
        })
        .map_err(|error| os_error_text(&error))
}

/// Removes the snapshot, and temporary files that a killed process may have left.
///
/// # Errors
/// Returns why if it is missing, is not a snapshot, or cannot be removed.
pub(super) fn remove(path: &Path) -> Result<(), SnapshotError> {
    check_replaceable(path)?;
    for temporary in temporary_paths(path) {
        let _ = fs::remove_file(temporary);
    }
    fs::remove_file(path).map_err(io_failure)
}

/// Checks that the file is a snapshot or empty. Anything else is neither replaced nor removed.
fn check_replaceable(path: &Path) -> Result<(), SnapshotError> {
    let (file, size) = open_trusted(path)?;
    let mut start = Vec::new();
    file.take(64).read_to_end(&mut start).map_err(io_failure)?;
    match size == 0 || format::is_snapshot(&start) {
        true => Ok(()),
        false => Err(unusable(NOT_A_SNAPSHOT)),
    }
}

/// Opens the file and returns its size, unless another user could have written it. Follows no link and
/// does not wait for a pipe.
fn open_trusted(path: &Path) -> Result<(File, u64), SnapshotError> {
    let file = OpenOptions::new()
        .read(true)
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

/// Returns the paths of the temporary files: `.NAME.new` and `.NAME.part`.
fn temporary_paths(path: &Path) -> [PathBuf; 2] {
    [".new", ".part"].map(|end| {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(end);
        path.with_file_name(name)
    })
}

/// What became of the replacement by an unnamed file.
enum UnnamedFile {
    Done,
    /// The file system does not support unnamed files, or /proc is missing.
    Unsupported,
}

/// Replaces the file by one that has no name until it is complete.
fn replace_by_unnamed_file(path: &Path, new: &Path, bytes: &[u8]) -> io::Result<UnnamedFile> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let file = match OpenOptions::new()
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_TMPFILE)
        .open(directory.unwrap_or(Path::new(".")))
    {
        Ok(file) => file,
        // Older kernels and file systems do not support O_TMPFILE (open(2)).
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
            ) =>
        {
            return Ok(UnnamedFile::Unsupported);
        }
        Err(error) => return Err(error),
    };
    write_synced(&file, bytes)?;
    let descriptor_path = format!("/proc/self/fd/{}", file.as_raw_fd());
    for _ in 0..MAX_ATTEMPTS {
        match linkat(
            AT_FDCWD,
            descriptor_path.as_str(),
            AT_FDCWD,
            new,
            AtFlags::AT_SYMLINK_FOLLOW,
        ) {
            Ok(()) => {}
            // A killed or concurrent process has left a complete file there.
            Err(Errno::EEXIST) => {
                ignore_missing(fs::remove_file(new))?;
                continue;
            }
            Err(_) => return Ok(UnnamedFile::Unsupported),
        }
        // If it is missing, a concurrent process has renamed it or replaced it by its own.
        ignore_missing(fs::rename(new, path))?;
        return Ok(UnnamedFile::Done);
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// Replaces the file by `part`. A lock tells whether the process that created `part` is still writing.
fn replace_by_part_file(path: &Path, part: &Path, bytes: &[u8]) -> io::Result<()> {
    for _ in 0..MAX_ATTEMPTS {
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(part);
        match created {
            Ok(file) => {
                let Some(file) = lock(file, part)? else {
                    continue;
                };
                let result = write_synced(&file, bytes).and_then(|()| fs::rename(part, path));
                if result.is_err() {
                    let _ = fs::remove_file(part);
                }
                return result;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let existing = OpenOptions::new()
                    .write(true)
                    .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                    .open(part);
                match existing {
                    Ok(file) => match lock(file, part)? {
                        // The process that created it was killed.
                        Some(_) => ignore_missing(fs::remove_file(part))?,
                        // A concurrent process is writing what it has just fetched.
                        None => return Ok(()),
                    },
                    existing => ignore_missing(existing.map(drop))?,
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// Locks the file, unless another process holds the lock or `part` has been replaced. Only the holder of
/// the lock may rename or remove `part`. Closing the file, at the latest in the exec, releases the lock:
/// an explicit unlock could fail.
fn lock(file: File, part: &Path) -> io::Result<Option<ManuallyDrop<Flock<File>>>> {
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => ManuallyDrop::new(file),
        Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, errno)) => return Err(errno.into()),
    };
    let locked = file.metadata()?;
    let is_same = fs::symlink_metadata(part)
        .is_ok_and(|current| (current.dev(), current.ino()) == (locked.dev(), locked.ino()));
    Ok(is_same.then_some(file))
}

/// Writes and syncs, because the bytes must be on the disk before the file gets its name.
fn write_synced(file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, 0)?;
    file.sync_data()
}

/// Treats a missing file as success: another process has removed or renamed it.
fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
