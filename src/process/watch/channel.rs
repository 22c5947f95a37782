#![forbid(unsafe_code)]
//! The socket between the watcher and a child that fetches. The child reports a digest of what it
//! has fetched, or the kind of the error; the watcher promotes it. The socket closes at the exec.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{read, write};

use super::super::signal::{SignalMask, discard_all_pending};

/// A keyed digest of an environment (RFC 2104). Equal environments have equal digests, and without
/// the key a digest tells nothing about the values.
pub(crate) type Digest = [u8; 32];

/// The first byte of a message with a digest.
const DIGEST: u8 = b'd';
/// The first byte of a message with the kind of an error.
const FAILURE: u8 = b'f';
/// The message of a promoted standby that signals are for it from now on.
const READY: u8 = b'r';
/// The message that promotes a standby.
const PROMOTE: u8 = b'p';

/// The size of the receive buffer in bytes. Every message is shorter: the longest are a digest with
/// a duration, and the kind of an error.
const MAX_MESSAGE: usize = 64;

/// Creates a pair of connected sockets that preserve message boundaries (unix(7), SOCK_SEQPACKET).
///
/// # Errors
/// Those of socketpair(2).
pub(super) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        flags,
    )?)
}

/// A message from a child to the watcher.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The digest of what was fetched, and how long its leases last.
    Digest(Digest, Option<Duration>),
    /// The kind of the error by which the fetch failed.
    Failure(String),
    Ready,
    /// The child has closed its end.
    Closed,
}

/// The watcher's end of the socket. Closing it makes the standby at the other end exit.
#[derive(Debug)]
pub(super) struct WatcherChannel(pub(super) OwnedFd);

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
            Some((&READY, _)) => Message::Ready,
            _ => Message::Closed,
        }
    }

    /// Promotes the standby: it sends [`Message::Ready`] and becomes the command. If the standby has
    /// just died, nothing is sent, and its end is handled like that of a command.
    pub(super) fn send_promotion(&self) {
        let _ = write(&self.0, &[PROMOTE]);
    }
}

/// Decodes a duration in milliseconds; an empty field means that nothing was leased.
fn decode_lease(field: &[u8]) -> Option<Duration> {
    let millis = field.try_into().map(u64::from_le_bytes).ok()?;
    Some(Duration::from_millis(millis))
}

/// Why the watcher has forked a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StandbyRole {
    /// To become the first command.
    FirstStart,
    /// To find out whether the secrets have changed, and to become the next command if so.
    Poll,
    /// To lease dynamic secrets and become the next command.
    Lease,
}

/// The end of the socket of a child that fetches.
#[derive(Debug)]
pub(crate) struct StandbyChannel {
    socket: OwnedFd,
    role: StandbyRole,
    /// The kind of the error that was logged last.
    last_failure: Option<String>,
    is_promoted: Cell<bool>,
}

impl StandbyChannel {
    pub(super) fn new(socket: OwnedFd, role: StandbyRole, last_failure: Option<String>) -> Self {
        Self {
            socket,
            role,
            last_failure,
            is_promoted: Cell::new(role == StandbyRole::FirstStart),
        }
    }

    /// Returns whether this process may lease dynamic secrets, which a poll must not.
    pub(crate) fn may_lease(&self) -> bool {
        self.role != StandbyRole::Poll
    }

    /// Returns true until this process has been promoted. Until then, its messages are buffered and
    /// its errors are those of a poll.
    pub(crate) fn is_poll(&self) -> bool {
        !self.is_promoted.get()
    }

    /// Sends the digest of what was fetched, and how long its leases last. A standby then blocks
    /// until the watcher promotes it (true) or closes the socket (false).
    ///
    /// If sending fails, the watcher is gone: then receiving fails too, and the first child dies
    /// with its parent.
    pub(crate) fn wait_for_promotion(&self, digest: &Digest, lease: Option<Duration>) -> bool {
        let mut message = vec![DIGEST];
        message.extend_from_slice(digest);
        let millis = lease.map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        message.extend(millis.into_iter().flat_map(u64::to_le_bytes));
        if self.role == StandbyRole::FirstStart {
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

    /// Sends the kind of the error by which the fetch failed. Returns false if the previous poll
    /// failed by the same kind, so that it need not be logged again.
    pub(crate) fn report_failure(&self, kind: &str) -> bool {
        let message: Vec<u8> = [FAILURE].into_iter().chain(kind.bytes()).collect();
        // If the watcher is gone, nobody needs the report.
        let _ = write(&self.socket, &message);
        self.last_failure.as_deref() != Some(kind)
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
