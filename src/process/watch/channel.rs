#![forbid(unsafe_code)]
//! What the processes that fetch and their watcher tell each other, over a socket that closes at the
//! exec: a digest of what was fetched, or the kind of the failure; and back, that it is wanted.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{read, write};

use super::super::signal::{Mask, discard_all};

/// What stands for what is injected: equal ones for equal environments, and nothing can be read from it
/// without the key (RFC 2104).
pub(crate) type Digest = [u8; 32];

/// The first byte of a message.
const DIGEST: u8 = b'd';
const FAILURE: u8 = b'f';
/// Alone: from now on signals are for the command.
const READY: u8 = b'r';

/// Longer than each message: a digest and a time, or a kind.
const LONGEST: usize = 64;

/// A pair that keeps messages apart (unix(7), SOCK_SEQPACKET).
///
/// # Errors
/// Those of socketpair(2).
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        flags,
    )?)
}

/// What the watcher reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// And how long what was leased lasts.
    Digest(Digest, Option<Duration>),
    Failure(String),
    Ready,
    /// The other end is closed.
    End,
}

/// The watcher's end.
#[derive(Debug)]
pub(super) struct Channel(pub(super) OwnedFd);

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// What there is to read; waits for it.
    pub(super) fn message(&self) -> Message {
        let mut message = [0; LONGEST];
        let length = received(&self.0, &mut message);
        match message.get(..length).and_then(<[u8]>::split_first) {
            Some((&DIGEST, rest)) => match rest.split_first_chunk() {
                Some((digest, lease)) => Message::Digest(*digest, lasts(lease)),
                None => Message::End,
            },
            Some((&FAILURE, kind)) => Message::Failure(String::from_utf8_lossy(kind).into_owned()),
            Some((&READY, _)) => Message::Ready,
            _ => Message::End,
        }
    }

    /// Tells a standby that it is to become the command; it answers that it is ready. Closing the
    /// channel tells it to go.
    pub(super) fn start(&self) {
        let _ = write(&self.0, b"s");
    }
}

/// Milliseconds; none of nothing.
fn lasts(lease: &[u8]) -> Option<Duration> {
    let millis = lease.try_into().map(u64::from_le_bytes).ok()?;
    Some(Duration::from_millis(millis))
}

/// What a process was forked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To become the first command.
    First,
    /// To see whether anything has changed, and then to become the command.
    Poll,
    /// To lease, and to become the command.
    Lease,
}

/// The end of the process that fetches.
#[derive(Debug)]
pub(crate) struct StandbyChannel {
    channel: OwnedFd,
    role: Role,
    /// The kind of the failure that was said last.
    said: Option<String>,
    wanted: Cell<bool>,
}

impl StandbyChannel {
    pub(super) fn new(channel: OwnedFd, role: Role, said: Option<String>) -> Self {
        Self {
            channel,
            role,
            said,
            wanted: Cell::new(role == Role::First),
        }
    }

    /// Whether it leases what is to be leased: a poll does not.
    pub(crate) fn may_lease(&self) -> bool {
        self.role != Role::Poll
    }

    /// What it says and how it fails is a poll's matter: it does not become the command yet.
    pub(crate) fn is_poll(&self) -> bool {
        !self.wanted.get()
    }

    /// Tells what was fetched, and how long what was leased lasts; a standby then waits until it is
    /// wanted. False when it is not.
    pub(crate) fn wait_for_promotion(&self, digest: &Digest, lease: Option<Duration>) -> bool {
        let mut message = vec![DIGEST];
        message.extend_from_slice(digest);
        let millis = lease.map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        message.extend(millis.into_iter().flat_map(u64::to_le_bytes));
        let standby = self.role != Role::First;
        // What the old command's group is sent while it stops is not for the new one.
        let mask = standby.then(Mask::block_all);
        let _ = write(&self.channel, &message);
        if standby {
            self.wanted
                .set(received(&self.channel, &mut [0; LONGEST]) > 0);
        }
        if let Some(Ok(mask)) = mask {
            discard_all();
            // Only what comes after this is the new command's, and none of it is lost: it is held
            // back until the mask is what it was.
            if self.wanted.get() {
                let _ = write(&self.channel, &[READY]);
            }
            mask.restore();
        }
        self.wanted.get()
    }

    /// Tells that the fetch failed. False when the same has been said already.
    pub(crate) fn report_failure(&self, kind: &str) -> bool {
        let message: Vec<u8> = [FAILURE].into_iter().chain(kind.bytes()).collect();
        let _ = write(&self.channel, &message);
        self.said.as_deref() != Some(kind)
    }
}

/// Nothing where the other end is closed.
fn received(channel: &OwnedFd, message: &mut [u8]) -> usize {
    loop {
        match read(channel, message) {
            Err(Errno::EINTR) => {}
            read => return read.unwrap_or_default(),
        }
    }
}
