#![forbid(unsafe_code)]
//! Reads pipes and sockets within a time limit, because nobody may ever write to one. A regular file is read
//! as usual.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The most that is read at once, in bytes. A token fits.
const CHUNK: usize = 8 << 10;

/// Opens a file for reading. Unlike open(2) without O_NONBLOCK, it does not wait until somebody opens a
/// named pipe for writing.
///
/// # Errors
/// Those of open(2).
pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options.open(path)
}

/// Reads a file up to its end or to `max_size` bytes. Another process that reads the same pipe could make this
/// one wait, unless [`open_without_waiting`] has opened it.
///
/// # Errors
/// Those of read(2), and `TimedOut` if neither is reached within `limit`.
pub(crate) fn read_within(file: &File, max_size: u64, limit: Duration) -> io::Result<Vec<u8>> {
    // The global allocator wipes it.
    let mut bytes = read_chunks(file, max_size, limit, &mut vec![0; CHUNK], false)?;
    // The last chunk may go beyond it.
    bytes.truncate(usize::try_from(max_size).unwrap_or(usize::MAX));
    Ok(bytes)
}

/// Like [`read_within`], but reads up to the end of a line, and byte by byte, so that another reader gets the
/// rest.
///
/// # Errors
/// Those of [`read_within`].
pub(crate) fn read_line_within(file: &File, max_size: u64, limit: Duration) -> io::Result<Vec<u8>> {
    read_chunks(file, max_size, limit, &mut [0], true)
}

fn read_chunks(
    mut file: &File,
    max_size: u64,
    limit: Duration,
    chunk: &mut [u8],
    ends_at_line: bool,
) -> io::Result<Vec<u8>> {
    let deadline = Instant::now().checked_add(limit);
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < max_size {
        wait_until_readable(file, deadline, limit)?;
        match file.read(chunk) {
            Ok(0) => break,
            Ok(_) if ends_at_line && chunk == b"\n" => break,
            Ok(length) => bytes.extend(chunk.iter().take(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Like [`read_within`], but reads the whole file.
///
/// # Errors
/// Those of [`read_within`], and `FileTooLarge` if the file has more than `max_size` bytes.
pub(crate) fn read_whole_within(
    file: &File,
    max_size: u64,
    limit: Duration,
) -> io::Result<Vec<u8>> {
    let bytes = read_within(file, max_size.saturating_add(1), limit)?;
    match bytes.len() as u64 > max_size {
        true => {
            let why = format!("it is longer than {max_size} bytes");
            Err(io::Error::new(ErrorKind::FileTooLarge, why))
        }
        false => Ok(bytes),
    }
}

/// Waits until the file has bytes or has ended. A named pipe has not ended before its first writer
/// (poll(2), POLLHUP).
fn wait_until_readable(file: &File, deadline: Option<Instant>, limit: Duration) -> io::Result<()> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = match left {
            Some(left) => PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::MAX,
        };
        let mut ready = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Ok(0) if left.is_some_and(|left| left <= Duration::from_millis(1)) => {
                let limit = limit.as_secs_f64();
                let why = format!("nobody has written its content within {limit} s");
                return Err(io::Error::new(ErrorKind::TimedOut, why));
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}
