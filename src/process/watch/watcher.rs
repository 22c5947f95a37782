#![forbid(unsafe_code)]
//! The watcher at work: what is done about what it waits for.

use std::io;
use std::mem::take;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::super::code_pages::drop_code_pages;
use super::super::fork::{Fork, ProcessState};
use super::super::signal::{self, Cause, Signal, Signals};
use super::super::supervise::{self, Action as Supervised};
use super::super::wait::{self, WaitStatus};
use super::super::{SingleThreaded, no_process};
use super::channel::{self, Channel, Digest, Role, StandbyChannel};
use super::cleanup::{self, Cleanup, Look};
use super::decide::{Action, Input, Stage, State, Then, decide};
use super::schedule::PollSchedule;
use super::{WatchOptions, WatchOutcome, fetching};
use crate::log::{Event, Log};
use crate::process::random_unit;

/// What a process has told of what it fetched.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) digest: Option<Digest>,
    /// When two thirds of what it was leased are over.
    pub(super) old: Option<Instant>,
}

pub(super) struct Watcher<'a> {
    single_threaded: &'a SingleThreaded,
    terms: &'a WatchOptions,
    log: &'a dyn Log,
    origin: ProcessState,
    pub(super) signals: Signals,
    pub(super) state: State,
    /// To the process that fetches.
    pub(super) channel: Option<Channel>,
    /// When it is time for what the stage waits for.
    pub(super) due: Option<Instant>,
    pace: PollSchedule,
    pub(super) of_command: Fetched,
    pub(super) of_standby: Fetched,
    /// Children from before the start are not the command's.
    before: Vec<Pid>,
    clearing: Option<Cleanup>,
    /// Signals for a command that does not run yet.
    kept: Vec<(Signal, Cause)>,
    /// The kind of the failure of the last poll.
    pub(super) failure: Option<String>,
    /// That a restart is coming was said.
    announced: bool,
}

impl<'a> Watcher<'a> {
    /// Of the first child, which has forked a moment ago.
    pub(super) fn new(
        single_threaded: &'a SingleThreaded,
        terms: &'a WatchOptions,
        log: &'a dyn Log,
        (origin, signals): (ProcessState, Signals),
        (command, channel): (Pid, OwnedFd),
        before: Vec<Pid>,
    ) -> Self {
        Self {
            single_threaded,
            terms,
            log,
            origin,
            signals,
            state: State {
                stage: Stage::Starting,
                command: supervise::State::new(command),
                standby: None,
                leases: terms.leases_secrets,
                lease_is_old: false,
            },
            channel: Some(Channel(channel)),
            due: None,
            pace: PollSchedule::new(terms.interval),
            of_command: Fetched::default(),
            of_standby: Fetched::default(),
            before,
            clearing: None,
            kept: Vec::new(),
            failure: None,
            announced: false,
        }
    }

    /// Returns in a standby, too.
    pub(super) fn wait_for_command(mut self) -> io::Result<WatchOutcome> {
        drop_code_pages();
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

    fn react(&mut self, event: Input) -> io::Result<Option<WatchOutcome>> {
        if let Input::Child(pid, what) = event {
            self.state.command.refresh_terminal();
            if !matches!(what, WaitStatus::Stopped(_)) {
                self.before.retain(|known| *known != pid);
            }
            if let (true, WaitStatus::Killed(by)) = (Some(pid) == self.state.standby, what) {
                self.say_killed(by);
            }
        }
        // An old command that has ended a moment ago has no use for it any more. A stop or a
        // continuation is of this moment: looking may stop along, and it would come a second time.
        if let Input::Signal { received, .. } = event
            && matches!(self.state.stage, Stage::Stopping { .. })
            && !received.signal.is_job_control()
            && let Some(over) = self.supervise(Supervised::Reap)?
        {
            return Ok(Some(over));
        }
        self.state.lease_is_old = self.of_command.old.is_some_and(|old| old <= Instant::now());
        self.perform(decide(&self.state, event))
    }

    fn perform(&mut self, action: Action) -> io::Result<Option<WatchOutcome>> {
        match action {
            Action::Supervise(supervised) => return self.supervise(supervised),
            Action::Cancel(supervised) => {
                if self.state.standby.is_some() {
                    self.log.log(Event::RestartCancelled);
                }
                self.rethink(Then::End);
                self.dismiss();
                return self.supervise(supervised);
            }
            Action::Lost(end) => {
                self.rethink(Then::EndAs(end));
                self.dismiss();
            }
            Action::Keep(signal, cause) => self.kept.push((signal, cause)),
            Action::HandOver => {
                self.channel = None;
                for (signal, cause) in take(&mut self.kept) {
                    signal::send(self.state.command.command, signal, cause);
                }
                self.wait_for_next_poll();
            }
            Action::EndBy(signal) => {
                return Ok(Some(WatchOutcome::CommandEnded(WaitStatus::Killed(signal))));
            }
            Action::Learn => {
                self.of_command = take(&mut self.of_standby);
                self.channel = None;
                self.wait_for_next_poll();
            }
            Action::Poll => return self.fork(Role::Poll),
            Action::Lease => return self.fork(Role::Lease),
            Action::Unchanged => {
                self.log.log(Event::Unchanged);
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
                let delay = self.pace.delay(random_unit());
                self.log.log(Event::Restarting { delay });
                self.go_to(Stage::Changed, delay);
            }
            Action::Stop => self.stop(),
            Action::Kill => {
                self.log.log(Event::Killing {
                    grace: self.terms.grace,
                    signal: &self.terms.stop_signal.name(),
                });
                signal::send(self.state.command.command, Signal::KILL, Cause::Sent);
                if let Stage::Stopping { then, .. } = self.state.stage {
                    self.go_to(Stage::Stopping { then, killed: true }, cleanup::LAST);
                }
            }
            Action::Clear => self.clear(),
        }
        Ok(None)
    }

    fn supervise(&mut self, action: Supervised) -> io::Result<Option<WatchOutcome>> {
        match action {
            Supervised::Nothing => {}
            Supervised::Reap => {
                let mut over = None;
                while let Some((pid, reaped)) = wait::reap() {
                    over = self.react(Input::Child(pid, reaped))?.or(over);
                }
                return Ok(over);
            }
            Supervised::Forward(signal, cause) => {
                signal::send(self.state.command.command, signal, cause);
            }
            Supervised::StopAlong(by) => {
                supervise::stop_along(self.state.command.command, by);
            }
            Supervised::End(end) => return Ok(Some(WatchOutcome::CommandEnded(end))),
        }
        Ok(None)
    }

    fn fork(&mut self, role: Role) -> io::Result<Option<WatchOutcome>> {
        // The one that saw the change has no leases, and goes.
        let changed = self.state.stage == Stage::Changed;
        self.dismiss();
        let forked =
            channel::pair().and_then(|pair| Ok((self.origin.fork(self.single_threaded)?, pair)));
        match forked {
            Ok((Fork::Child(single_threaded), (_, channel))) => {
                let said = self.failure.take();
                return Ok(Some(fetching(
                    single_threaded,
                    &self.origin,
                    StandbyChannel::new(channel, role, said),
                )));
            }
            Ok((Fork::Parent { child }, (channel, _))) => {
                self.state.standby = Some(child);
                self.channel = Some(Channel(channel));
                self.announced = changed;
                self.state.stage = match role {
                    Role::First | Role::Poll => Stage::Polling,
                    Role::Lease => Stage::Leasing,
                };
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
            self.log.log(Event::PollRecovered);
        }
    }

    /// Closes its channel, which ends it. Its death is not waited for.
    fn dismiss(&mut self) {
        self.channel = None;
        self.state.standby = None;
        self.of_standby = Fetched::default();
    }

    fn wait_for_next_poll(&mut self) {
        self.go_to(Stage::Waiting, self.pace.wait(random_unit()));
        // One that is old already has been tried.
        let old = self.of_command.old.filter(|old| *old > Instant::now());
        self.due = self.due.into_iter().chain(old).min();
        drop_code_pages();
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
        if self.state.stage == Stage::Leasing {
            self.polled();
            if !self.announced {
                self.log.log(Event::LeaseExpiring);
            }
        }
        let command = self.state.command.command;
        signal::send(command, self.terms.stop_signal, Cause::Sent);
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
        let clearing = self.clearing.get_or_insert_with(|| Cleanup::new(grace));
        match clearing.look(&spared) {
            Look::Left(again) => self.due = Some(again),
            Look::Gone => self.start(),
            Look::ProcessesLeft(names) => {
                self.log.log(Event::ProcessesLeft { names: &names });
                self.start();
            }
        }
    }

    fn start(&mut self) {
        self.clearing = None;
        if let Some(command) = self.state.standby.take() {
            self.state.command = supervise::State::new(command);
        }
        self.of_command = take(&mut self.of_standby);
        self.channel.as_ref().inspect(|channel| channel.start());
        self.state.stage = Stage::Launching;
        self.due = None;
    }

    /// Of a standby, which cannot say it itself. What ends a terminal's whole group is no news.
    fn say_killed(&mut self, by: Signal) {
        let why = format!("its process was ended by signal {}", by.name());
        match self.state.stage {
            Stage::Stopping { .. } | Stage::Clearing => {
                self.log.log(Event::StartFailed { why: &why })
            }
            Stage::Polling | Stage::Leasing if by.is_termination() => {}
            _ => self.say_failed("exec", why),
        }
    }

    fn say_failed(&mut self, kind: &str, why: String) {
        if self.failure.as_deref() != Some(kind) {
            self.log.log(Event::PollFailed { kind, why: &why });
        }
        self.failure = Some(kind.to_owned());
    }
}
