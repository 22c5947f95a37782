#![forbid(unsafe_code)]
//! The watcher at work: one wait for signals, a standby's word and the time, and what is done then.

use std::io;
use std::mem::take;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::super::fork::{Origin, Side};
use super::super::memory::let_go_of_code;
use super::super::signal::{self, Cause, Disposition, Received, Signal, Signals};
use super::super::supervise::{self, Action as Supervised};
use super::super::wait::{self, Reaped};
use super::super::{SingleThreaded, no_process};
use super::channel::{self, Channel, Digest, Message, Reporter};
use super::clearing::{self, Clearing, Look};
use super::decide::{Action, Event, Stage, State, Then, Told, decide};
use super::pace::{Pace, chance};
use super::{Terms, Watched, family, fetching};
use crate::notice::{Notice, Say};

/// Of what runs, and of what the standby has fetched.
#[derive(Debug, Default)]
struct Digests {
    command: Option<Digest>,
    standby: Option<Digest>,
}

pub(super) struct Watcher<'a> {
    alone: &'a SingleThreaded,
    terms: &'a Terms,
    say: Say<'a>,
    origin: Origin,
    signals: Signals,
    state: State,
    /// To the process that fetches.
    channel: Option<Channel>,
    /// When it is time for what the stage waits for.
    due: Option<Instant>,
    pace: Pace,
    digests: Digests,
    /// Children from before the start are not the command's.
    before: Vec<Pid>,
    clearing: Option<Clearing>,
    /// Signals for a command that does not run yet.
    kept: Vec<(Signal, Cause)>,
    /// The kind of the failure of the last poll.
    failure: Option<String>,
}

impl<'a> Watcher<'a> {
    /// Of the first child, which has forked a moment ago.
    pub(super) fn new(
        alone: &'a SingleThreaded,
        terms: &'a Terms,
        say: Say<'a>,
        (origin, signals): (Origin, Signals),
        (command, channel): (Pid, OwnedFd),
        before: Vec<Pid>,
    ) -> Self {
        Self {
            alone,
            terms,
            say,
            origin,
            signals,
            state: State {
                stage: Stage::Starting,
                command: supervise::State::new(command),
                standby: None,
            },
            channel: Some(Channel(channel)),
            due: None,
            pace: Pace::new(terms.interval),
            digests: Digests::default(),
            before,
            clearing: None,
            kept: Vec::new(),
            failure: None,
        }
    }

    /// Returns in a standby, too.
    pub(super) fn until_end(mut self) -> io::Result<Watched> {
        let_go_of_code();
        // Nobody tells of a child that ended before signals were held back.
        let mut over = self.perform(Action::Supervise(Supervised::Reap))?;
        loop {
            if let Some(watched) = over {
                return Ok(watched);
            }
            over = match self.wait()? {
                Some(event) => self.react(event)?,
                None => None,
            };
        }
    }

    /// One wait for everything there is to wait for. None when it was for nothing.
    fn wait(&mut self) -> io::Result<Option<Event>> {
        // A digest is all that is told, so it is listened to only for that.
        let listening = matches!(self.state.stage, Stage::Starting | Stage::Polling);
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
            return Ok(Some(Event::Told(self.told())));
        }
        if signalled == Some(true) {
            let received = self.signals.next()?;
            return Ok(Some(self.signal(received)));
        }
        let due = self.due.take_if(|due| *due <= Instant::now());
        Ok(due.map(|_| Event::Due))
    }

    fn signal(&self, received: Received) -> Event {
        let sender = Pid::from_raw(received.sender);
        Event::Signal {
            received,
            ends: received.signal.asks_to_end()
                && Disposition::of(received.signal) != Disposition::Ignored,
            from_below: received.cause != Cause::Kernel && family::is_below(sender),
        }
    }

    fn told(&mut self) -> Told {
        let message = self.channel.as_ref().map(Channel::message);
        match message.unwrap_or(Message::End) {
            Message::Digest(digest) if self.digests.command == Some(digest) => Told::Same,
            Message::Digest(digest) => {
                self.digests.standby = Some(digest);
                Told::Other
            }
            Message::Failure(kind) => {
                self.failure = Some(kind);
                Told::Failed
            }
            Message::End => {
                self.channel = None;
                Told::Nothing
            }
        }
    }

    fn react(&mut self, event: Event) -> io::Result<Option<Watched>> {
        if let Event::Child(pid, what) = event {
            self.state.command.look_again();
            if !matches!(what, Reaped::Stopped(_)) {
                self.before.retain(|known| *known != pid);
            }
            if let (true, Reaped::Killed(by)) = (Some(pid) == self.state.standby, what) {
                self.say_killed(by);
            }
        }
        self.perform(decide(&self.state, event))
    }

    fn perform(&mut self, action: Action) -> io::Result<Option<Watched>> {
        match action {
            Action::Supervise(supervised) => return self.supervise(supervised),
            Action::Cancel(supervised) => {
                self.rethink(Then::End);
                self.dismiss();
                return self.supervise(supervised);
            }
            Action::Lost(end) => {
                self.rethink(Then::EndAs(end));
                self.dismiss();
            }
            Action::Keep(Supervised::Forward(signal, cause)) => self.kept.push((signal, cause)),
            Action::Keep(_) => {}
            Action::EndBy(signal) => return Ok(Some(Watched::Ended(Reaped::Killed(signal)))),
            Action::Learn => {
                self.digests.command = self.digests.standby.take();
                self.channel = None;
                self.wait_for_next_poll();
            }
            Action::Poll => return self.poll(),
            Action::Unchanged => {
                (self.say)(Notice::Unchanged);
                self.polled();
                self.dismiss();
                self.wait_for_next_poll();
            }
            Action::Failed => {
                self.pace.failed();
                self.dismiss();
                self.wait_for_next_poll();
            }
            Action::EndStandby => {
                let standby = self.state.standby;
                standby.inspect(|pid| signal::send(*pid, Signal::KILL, Cause::Sent));
            }
            Action::Delay => {
                self.polled();
                let delay = self.pace.delay(chance());
                (self.say)(Notice::Restarting { delay });
                self.go_to(Stage::Changed, delay);
            }
            Action::Stop => self.stop(),
            Action::Kill => {
                (self.say)(Notice::Killing {
                    grace: self.terms.grace,
                    signal: &self.terms.stop.name(),
                });
                signal::send(self.state.command.command, Signal::KILL, Cause::Sent);
                if let Stage::Stopping { then, .. } = self.state.stage {
                    self.go_to(Stage::Stopping { then, killed: true }, clearing::LAST);
                }
            }
            Action::Clear => self.clear(),
        }
        Ok(None)
    }

    fn supervise(&mut self, action: Supervised) -> io::Result<Option<Watched>> {
        match action {
            Supervised::Nothing => {}
            Supervised::Reap => {
                let mut over = None;
                while let Some((pid, reaped)) = wait::reap() {
                    over = self.react(Event::Child(pid, reaped))?.or(over);
                }
                return Ok(over);
            }
            Supervised::Forward(signal, cause) => {
                signal::send(self.state.command.command, signal, cause);
            }
            Supervised::StopAlong(by) => {
                supervise::stop_along(self.state.command.command, by);
            }
            Supervised::End(end) => return Ok(Some(Watched::Ended(end))),
        }
        Ok(None)
    }

    fn poll(&mut self) -> io::Result<Option<Watched>> {
        let forked = channel::pair().and_then(|pair| Ok((self.origin.fork(self.alone)?, pair)));
        match forked {
            Ok((Side::Child(alone), (_, channel))) => {
                let said = self.failure.take();
                return Ok(Some(fetching(
                    alone,
                    &self.origin,
                    Reporter::new(channel, true, said),
                )));
            }
            Ok((Side::Parent { child }, (channel, _))) => {
                self.state.standby = Some(child);
                self.channel = Some(Channel(channel));
                self.state.stage = Stage::Polling;
            }
            // Whatever the system lacks now, the command goes on.
            Err(error) => {
                self.say_failed("exec", no_process(&error).to_string());
                self.pace.failed();
                self.wait_for_next_poll();
            }
        }
        Ok(None)
    }

    /// It worked.
    fn polled(&mut self) {
        self.pace.succeeded();
        if self.failure.take().is_some() {
            (self.say)(Notice::PollsWork);
        }
    }

    /// Closes its channel, which ends it. Its death is not waited for.
    fn dismiss(&mut self) {
        self.channel = None;
        self.state.standby = None;
        self.digests.standby = None;
    }

    fn wait_for_next_poll(&mut self) {
        self.go_to(Stage::Waiting, self.pace.wait(chance()));
        let_go_of_code();
    }

    fn go_to(&mut self, stage: Stage, for_: Duration) {
        self.state.stage = stage;
        self.due = Instant::now().checked_add(for_);
    }

    fn rethink(&mut self, then: Then) {
        if let Stage::Stopping { killed, .. } = self.state.stage {
            self.state.stage = Stage::Stopping { then, killed };
        }
    }

    fn stop(&mut self) {
        let command = self.state.command.command;
        signal::send(command, self.terms.stop, Cause::Sent);
        signal::send(command, Signal::CONT, Cause::Sent);
        let then = Then::Start;
        self.go_to(
            Stage::Stopping {
                then,
                killed: false,
            },
            self.terms.grace,
        );
    }

    /// Starts the new command once nothing is left of the old one.
    fn clear(&mut self) {
        self.state.stage = Stage::Clearing;
        let spared: Vec<Pid> = self
            .before
            .iter()
            .copied()
            .chain(self.state.standby)
            .collect();
        let grace = self.terms.grace;
        let clearing = self.clearing.get_or_insert_with(|| Clearing::new(grace));
        match clearing.look(&spared) {
            Look::Left(again) => self.due = Some(again),
            Look::Gone => self.start(),
            Look::Survivors(names) => {
                (self.say)(Notice::Survivors { names: &names });
                self.start();
            }
        }
    }

    fn start(&mut self) {
        self.clearing = None;
        if let Some(command) = self.state.standby.take() {
            self.state.command = supervise::State::new(command);
        }
        self.digests.command = self.digests.standby.take();
        if let Some(channel) = self.channel.take() {
            channel.start();
        }
        for (signal, cause) in take(&mut self.kept) {
            signal::send(self.state.command.command, signal, cause);
        }
        self.wait_for_next_poll();
    }

    /// Of a standby, which cannot say it itself. What ends a terminal's whole group is no news.
    fn say_killed(&mut self, by: Signal) {
        let why = format!("its process was ended by signal {}", by.name());
        match self.state.stage {
            Stage::Stopping { .. } | Stage::Clearing => {
                (self.say)(Notice::StartFailed { why: &why })
            }
            Stage::Polling if by.asks_to_end() => {}
            _ => self.say_failed("killed", why),
        }
    }

    fn say_failed(&mut self, kind: &str, why: String) {
        if self.failure.as_deref() != Some(kind) {
            (self.say)(Notice::PollFailed { why: &why });
        }
        self.failure = Some(kind.to_owned());
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
