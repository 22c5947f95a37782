#![forbid(unsafe_code)]
//! The socket between the watcher and a worker. The worker reports a digest of what it has fetched,
//! or the kind of the error; the watcher promotes it. The socket closes at the exec.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{read, write};

use crate::process::signal::{SignalMask, discard_all_pending};

/// A keyed digest of an environment (RFC 2104). Equal environments have equal digests, and without
/// the key a digest tells nothing about the values.
pub(crate) type Digest = [u8; 32];

/// The first byte of a message with a digest.
const DIGEST: u8 = b'd';
/// The first byte of a message with the kind of an error.
const FAILURE: u8 = b'f';
/// The message that a file of a credential was replaced where polls cannot see it.
const FILE_REPLACED: u8 = b'm';
/// The message of a promoted standby that it is ready to receive signals.
const READY: u8 = b'r';
/// The message that promotes a standby.
const PROMOTE: u8 = b'p';

/// The size of the receive buffer in bytes. Every message is shorter: the longest are a digest with
/// a duration, and the kind of an error.
const MAX_MESSAGE: usize = 64;

/// Creates the watcher's end of a channel and the socket of the worker. Both preserve message
/// boundaries (unix(7), SOCK_SEQPACKET).
///
/// # Errors
/// Those of socketpair(2).
pub(super) fn socket_pair() -> io::Result<(WatcherChannel, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (watcher, worker) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    Ok((WatcherChannel(watcher), worker))
}

/// A message from a worker to the watcher.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The digest of what was fetched, and how long its leases last.
    Digest(Digest, Option<Duration>),
    /// The kind of the error by which the fetch failed.
    Failure(String),
    /// The worker has warned that a file of a credential was replaced.
    FileReplaced,
    /// The promoted standby is ready to receive signals.
    Ready,
    /// The worker has closed its end.
    Closed,
}

/// The watcher's end of the socket. Closing it makes the standby at the other end exit.
#[derive(Debug)]
pub(super) struct WatcherChannel(OwnedFd);

impl AsFd for WatcherChannel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl WatcherChannel {
    /// Blocks until there is a message, and returns it.
    pub(super) fn receive(&self) -> Message {
        let mut message = [0; MAX_MESSAGE];
        let length = receive(&self.0, &mut message);
        match message.get(..length).and_then(<[u8]>::split_first) {
            Some((&DIGEST, rest)) => match rest.split_first_chunk() {
                Some((digest, lease)) => Message::Digest(*digest, decode_lease(lease)),
                None => Message::Closed,
            },
            Some((&FAILURE, kind)) => Message::Failure(String::from_utf8_lossy(kind).into_owned()),
            Some((&FILE_REPLACED, _)) => Message::FileReplaced,
            Some((&READY, _)) => Message::Ready,
            _ => Message::Closed,
        }
    }

    /// Promotes the standby, which then sends [`Message::Ready`] and becomes the command. If the
    /// standby has just died, nothing is sent, and its end is handled like that of a command.
    pub(super) fn send_promotion(&self) {
        let _ = write(&self.0, &[PROMOTE]);
    }
}

/// Decodes a duration in milliseconds; an empty field means that nothing was leased.
fn decode_lease(field: &[u8]) -> Option<Duration> {
    let millis = field.try_into().map(u64::from_le_bytes).ok()?;
    Some(Duration::from_millis(millis))
}

/// Why the watcher has forked a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerPurpose {
    /// To become the first command.
    FirstStart,
    /// To find out whether the secrets have changed, and to become the next command if so.
    Poll,
    /// To lease dynamic secrets and become the next command.
    LeasingFetch,
}

/// The worker's end of the socket.
#[derive(Debug)]
pub(crate) struct WorkerChannel {
    socket: OwnedFd,
    purpose: WorkerPurpose,
    /// The kind of the error of the previous poll, if it failed.
    last_failure: Option<String>,
    /// True if this process or an earlier one has warned that a file was replaced.
    has_warned: Cell<bool>,
    is_promoted: Cell<bool>,
}

impl WorkerChannel {
    pub(super) fn new(
        socket: OwnedFd,
        purpose: WorkerPurpose,
        last_failure: Option<String>,
        has_warned: bool,
    ) -> Self {
        Self {
            socket,
            purpose,
            last_failure,
            has_warned: Cell::new(has_warned),
            is_promoted: Cell::new(purpose == WorkerPurpose::FirstStart),
        }
    }

    /// Returns whether this process may lease dynamic secrets, which a poll must not.
    pub(crate) fn may_lease(&self) -> bool {
        self.purpose != WorkerPurpose::Poll
    }

    /// Returns whether this process is a standby: it was forked while a command runs, and has not
    /// been promoted yet. Its log is then held back, and its errors are those of a poll.
    pub(crate) fn is_standby(&self) -> bool {
        !self.is_promoted.get()
    }

    /// Sends the digest of what was fetched, and how long its leases last. A standby then blocks
    /// until the watcher promotes it (true) or closes the socket (false).
    ///
    /// A failed send means that the watcher is gone. Receiving then fails too, and the first worker
    /// dies with its parent.
    pub(crate) fn wait_for_promotion(&self, digest: &Digest, lease: Option<Duration>) -> bool {
        let mut message = vec![DIGEST];
        message.extend_from_slice(digest);
        let millis = lease.map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        message.extend(millis.into_iter().flat_map(u64::to_le_bytes));
        if self.purpose == WorkerPurpose::FirstStart {
            let _ = write(&self.socket, &message);
            return true;
        }
        // Signals to the group while the old command stops are not meant for the new command.
        let mask = SignalMask::block_all();
        let _ = write(&self.socket, &message);
        let promoted = receive(&self.socket, &mut [0; MAX_MESSAGE]) > 0;
        self.is_promoted.set(promoted);
        discard_all_pending();
        // Signals that arrive from now on are the new command's. They stay blocked, and therefore
        // pending, until the mask is restored.
        if promoted {
            let _ = write(&self.socket, &[READY]);
        }
        mask.restore();
        promoted
    }

    /// Sends the kind of the error by which the fetch failed.
    pub(crate) fn send_failure(&self, kind: &str) {
        let message: Vec<u8> = [FAILURE].into_iter().chain(kind.bytes()).collect();
        // If the watcher is gone, nobody needs the report.
        let _ = write(&self.socket, &message);
    }

    /// Claims the warning about a replaced file: returns true on the first call, and tells the watcher that
    /// later polls need not repeat it.
    pub(crate) fn claim_replaced_file_warning(&self) -> bool {
        let _ = write(&self.socket, &[FILE_REPLACED]);
        !self.has_warned.replace(true)
    }

    /// Returns whether the previous poll failed by the same kind of error, so that it need not be
    /// logged again.
    pub(crate) fn is_repeated_failure(&self, kind: &str) -> bool {
        self.last_failure.as_deref() == Some(kind)
    }
}

/// Blocks until there is a message, and returns its length: 0 if the other end is closed. An error
/// counts as closed.
fn receive(socket: &OwnedFd, message: &mut [u8]) -> usize {
    loop {
        match read(socket, message) {
            Err(Errno::EINTR) => {}
            result => return result.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_whole_and_before_the_end() {
        let (watcher, socket) = socket_pair().unwrap();
        let channel = WorkerChannel::new(socket, WorkerPurpose::FirstStart, None, false);
        let lease = Duration::from_secs(3);
        channel.send_failure("unreachable");
        assert!(channel.claim_replaced_file_warning());
        assert!(channel.wait_for_promotion(&[7; 32], Some(lease)));
        drop(channel);
        for expected in [
            Message::Failure("unreachable".to_owned()),
            Message::FileReplaced,
            Message::Digest([7; 32], Some(lease)),
            Message::Closed,
            Message::Closed,
        ] {
            assert_eq!(watcher.receive(), expected);
        }
    }
}
