#![forbid(unsafe_code)]
//! What a watcher waits for: signals, what a standby tells, the time.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::super::signal::{Cause, Disposition, SignalInfo};
use super::channel::{Channel, Message};
use super::decide::{Input, Stage, Told};
use super::watcher::{Fetched, Watcher};
use super::{descendants, schedule};

impl Watcher<'_> {
    /// One wait for everything there is to wait for. None when it was for nothing.
    pub(super) fn wait(&mut self) -> io::Result<Option<Input>> {
        // A digest is all that is told, so it is listened to only for that.
        let listening = matches!(
            self.state.stage,
            Stage::Starting | Stage::Polling | Stage::Leasing | Stage::Launching
        );
        let channel = self.channel.as_ref().filter(|_| listening);
        let mut ready = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        ready.extend(channel.map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN)));
        match poll(&mut ready, until(self.due)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = ready.iter().map(|one| one.any().unwrap_or_default());
        let (signalled, told) = (ready.next(), ready.next());
        // What a standby tells comes before its end.
        if told == Some(true) {
            return Ok(Some(Input::Told(self.told())));
        }
        if signalled == Some(true) {
            let received = self.signals.next()?;
            return Ok(Some(self.signal(received)));
        }
        let due = self.due.take_if(|due| *due <= Instant::now());
        Ok(due.map(|_| Input::Due))
    }

    fn signal(&self, received: SignalInfo) -> Input {
        let sender = Pid::from_raw(received.sender);
        Input::Signal {
            received,
            ends: received.signal.is_termination()
                && Disposition::of(received.signal) != Disposition::Ignored,
            from_below: received.cause != Cause::Kernel && descendants::is_below(sender),
        }
    }

    fn told(&mut self) -> Told {
        let message = self.channel.as_ref().map(Channel::message);
        match message.unwrap_or(Message::End) {
            Message::Digest(digest, lease) => {
                let digest = Some(digest);
                let old = lease.and_then(|lease| Instant::now().checked_add(schedule::old(lease)));
                self.of_standby = Fetched { digest, old };
                match self.of_command.digest == digest {
                    true => Told::Same,
                    false => Told::Other,
                }
            }
            Message::Failure(kind) => {
                self.failure = Some(kind);
                Told::Failed
            }
            Message::Ready => Told::Ready,
            Message::End => {
                self.channel = None;
                Told::Nothing
            }
        }
    }
}

/// A time as poll(2) takes it: an hour at most, and rounded up so that it is not too early.
fn until(due: Option<Instant>) -> PollTimeout {
    const LONGEST: Duration = Duration::from_secs(3600);
    let Some(due) = due else {
        return PollTimeout::NONE;
    };
    let left = due.saturating_duration_since(Instant::now()).min(LONGEST);
    let millis = left.as_nanos().div_ceil(1_000_000);
    u32::try_from(millis)
        .ok()
        .and_then(|millis| PollTimeout::try_from(millis).ok())
        .unwrap_or(PollTimeout::MAX)
}
