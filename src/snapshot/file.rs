#![forbid(unsafe_code)]
//! The snapshot's file: only one that nobody else can have written is read, and it is never torn.
//!
//! A new one is written without a name (open(2), O_TMPFILE), synced, linked as `.NAME.new` and
//! renamed. Where the file system has no such files it is written as `.NAME.part`, under a lock.
//! Whoever is killed leaves at most one of the two, which the next start replaces.

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

/// An answer has at most 64 MiB, and references can add as much. In bytes.
const MAX_SIZE: u64 = 129 << 20;

/// How often a name that somebody else has just taken is tried again.
const TRIES: usize = 100;

const NO_SNAPSHOT: &str = "it is no snapshot of phase-run";

/// All of it, if it starts as one.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SnapshotError> {
    let (file, size) = open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(size).read_to_end(&mut bytes).map_err(unfit)?;
    match format::is_one(&bytes) {
        true => Ok(bytes),
        false => Err(unusable(NO_SNAPSHOT)),
    }
}

/// Puts these bytes there, whole or not at all.
///
/// # Errors
/// Why it is not there. What was there before is there still.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let size = bytes.len() as u64;
    if size > MAX_SIZE {
        return Err(format!("it would have {size} bytes, more than {MAX_SIZE}"));
    }
    // Beyond it a write is answered with a signal (getrlimit(2), RLIMIT_FSIZE).
    if getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft < size) {
        return Err("the limit on the size of files is lower (ulimit -f)".to_owned());
    }
    match ours(path) {
        Ok(()) | Err(SnapshotError::Missing) => {}
        Err(unfit) => return Err(unfit.to_string()),
    }
    let [new, part] = temporary(path);
    unnamed(path, &new, bytes)
        .and_then(|done| match done {
            true => Ok(()),
            false => named(path, &part, bytes),
        })
        .map_err(|error| os_error_text(&error))
}

/// Removes a snapshot, and what a killed start may have left of one.
pub(super) fn remove(path: &Path) -> Result<(), SnapshotError> {
    ours(path)?;
    for left in temporary(path) {
        let _ = fs::remove_file(left);
    }
    fs::remove_file(path).map_err(unfit)
}

/// What is in its place is not overwritten or removed unless it is one, or empty.
fn ours(path: &Path) -> Result<(), SnapshotError> {
    let (file, size) = open(path)?;
    let mut start = Vec::new();
    file.take(64).read_to_end(&mut start).map_err(unfit)?;
    match size == 0 || format::is_one(&start) {
        true => Ok(()),
        false => Err(unusable(NO_SNAPSHOT)),
    }
}

/// Opens it, unless others could have written it or put it there; with its size. Nothing is followed
/// and nothing is waited for.
fn open(path: &Path) -> Result<(File, u64), SnapshotError> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => unusable("it is a symbolic link"),
            _ => unfit(error),
        })?;
    let facts = file.metadata().map_err(unfit)?;
    let (owner, mode) = (facts.uid(), facts.mode() & 0o7777);
    match () {
        () if !facts.is_file() => Err(unusable("it is no regular file")),
        () if owner != 0 && owner != geteuid().as_raw() => {
            Err(unusable("it belongs to another user"))
        }
        () if mode & 0o022 != 0 => Err(SnapshotError::UnusableFile {
            why: format!("others may write it (mode {mode:04o})"),
        }),
        () if facts.len() > MAX_SIZE => Err(SnapshotError::UnusableFile {
            why: format!("it has more than {MAX_SIZE} bytes"),
        }),
        () => Ok((file, facts.len())),
    }
}

fn unusable(why: &str) -> SnapshotError {
    let why = why.to_owned();
    SnapshotError::UnusableFile { why }
}

fn unfit(error: io::Error) -> SnapshotError {
    match error.kind() {
        ErrorKind::NotFound => SnapshotError::Missing,
        _ => SnapshotError::UnusableFile {
            why: os_error_text(&error),
        },
    }
}

/// The names that it has on the way: `.NAME.new` and `.NAME.part`.
fn temporary(path: &Path) -> [PathBuf; 2] {
    [".new", ".part"].map(|end| {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(end);
        path.with_file_name(name)
    })
}

/// By a file without a name. False where the file system or a missing /proc does not let us.
fn unnamed(path: &Path, new: &Path, bytes: &[u8]) -> io::Result<bool> {
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
        // What older kernels and file systems without it say (open(2)).
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
            ) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    write(&file, bytes)?;
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    for _ in 0..TRIES {
        match linkat(
            AT_FDCWD,
            own.as_str(),
            AT_FDCWD,
            new,
            AtFlags::AT_SYMLINK_FOLLOW,
        ) {
            Ok(()) => {}
            // Of a start that was killed, or of one that is as far as we are: whole in either case.
            Err(Errno::EEXIST) => {
                absent(fs::remove_file(new))?;
                continue;
            }
            Err(_) => return Ok(false),
        }
        // Where it is gone, another start has put ours in place, or its own after ours.
        absent(fs::rename(new, path))?;
        return Ok(true);
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// By a file with a name. Its lock tells a start that is at it from one that was killed.
fn named(path: &Path, part: &Path, bytes: &[u8]) -> io::Result<()> {
    for _ in 0..TRIES {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(part);
        match made {
            Ok(file) => {
                let Some(file) = locked(file, part)? else {
                    continue;
                };
                let done = write(&file, bytes).and_then(|()| fs::rename(part, path));
                if done.is_err() {
                    let _ = fs::remove_file(part);
                }
                return done;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let left = OpenOptions::new()
                    .write(true)
                    .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                    .open(part);
                match left {
                    // Nobody is at it any more.
                    Ok(file) => match locked(file, part)? {
                        Some(_) => absent(fs::remove_file(part))?,
                        // Another start keeps what it has fetched just now.
                        None => return Ok(()),
                    },
                    left => absent(left.map(drop))?,
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// The file with its lock, if nobody else has it and it still has that name: who holds the lock is
/// the only one who may take the name away. Held until the file is closed, at the exec at last: giving
/// it up by hand could fail.
fn locked(file: File, part: &Path) -> io::Result<Option<ManuallyDrop<Flock<File>>>> {
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => ManuallyDrop::new(file),
        Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, errno)) => return Err(errno.into()),
    };
    let own = file.metadata()?;
    let still = fs::symlink_metadata(part)
        .is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino()));
    Ok(still.then_some(file))
}

/// All of it, and on the disk before it has a name.
fn write(file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, 0)?;
    file.sync_data()
}

/// What is gone already is as good.
fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
