#![forbid(unsafe_code)]
//! The watcher: waits for signals, reports and the time, and performs what is decided about them.

use std::io;
use std::mem::take;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::super::code_pages::drop_code_pages;
use super::super::fork::{Fork, ProcessState};
use super::super::signal::{self, Cause, Disposition, Signal, SignalInfo, Signals};
use super::super::supervise::{SuperviseAction, SuperviseState, stop_with_command};
use super::super::wait::{self, WaitStatus};
use super::super::{SingleThreaded, try_random_unit};
use super::channel::{self, Digest, Message, StandbyChannel, StandbyRole, WatcherChannel};
use super::cleanup::{self, Cleanup, CleanupStep};
use super::decide::{AfterStop, StandbyReport, WatchAction, WatchInput, WatchStage, WatchState};
use super::schedule::{PollSchedule, lease_renewal_time};
use super::{WatchOptions, WatchOutcome, child_outcome, descendants};
use crate::error::os_error_text;
use crate::log::{Event, Log};

/// What a process has reported about its fetch.
#[derive(Debug, Default)]
struct FetchReport {
    digest: Option<Digest>,
    /// The time at which what it has leased is to be renewed.
    renew_lease_at: Option<Instant>,
}

pub(super) struct Watcher<'a> {
    single_threaded: &'a SingleThreaded,
    options: &'a WatchOptions,
    log: &'a dyn Log,
    process_state: ProcessState,
    signals: Signals,
    state: WatchState,
    /// The socket to the process that fetches.
    channel: Option<WatcherChannel>,
    /// The time that the stage waits for.
    deadline: Option<Instant>,
    schedule: PollSchedule,
    command_report: FetchReport,
    standby_report: FetchReport,
    /// The children that this process had at its start. They do not belong to the command.
    initial_children: Vec<Pid>,
    cleanup: Option<Cleanup>,
    /// Signals for a command that does not run yet.
    deferred_signals: Vec<(Signal, Cause)>,
    /// The kind of the error of the last poll, if it failed.
    last_failure: Option<String>,
    /// True if the log has announced the coming restart.
    restart_announced: bool,
}

impl<'a> Watcher<'a> {
    /// Creates the watcher of a first child that has just been forked.
    pub(super) fn new(
        single_threaded: &'a SingleThreaded,
        options: &'a WatchOptions,
        log: &'a dyn Log,
        (process_state, signals): (ProcessState, Signals),
        (command, channel): (Pid, OwnedFd),
        initial_children: Vec<Pid>,
    ) -> Self {
        Self {
            single_threaded,
            options,
            log,
            process_state,
            signals,
            state: WatchState {
                stage: WatchStage::FirstFetch,
                command: SuperviseState::new(command),
                standby: None,
                leases_secrets: options.leases_secrets,
                lease_is_expiring: false,
            },
            channel: Some(WatcherChannel(channel)),
            deadline: None,
            schedule: PollSchedule::new(options.interval),
            command_report: FetchReport::default(),
            standby_report: FetchReport::default(),
            initial_children,
            cleanup: None,
            deferred_signals: Vec::new(),
            last_failure: None,
            restart_announced: false,
        }
    }

    /// Watches until the command has ended. It also returns in each standby that it forks.
    pub(super) fn run(mut self) -> io::Result<WatchOutcome> {
        drop_code_pages();
        // A child that ended before signals were blocked causes no signal now.
        let mut outcome = self.supervise(SuperviseAction::Reap)?;
        loop {
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
            outcome = match self.wait_for_input()? {
                Some(input) => self.handle(input)?,
                None => None,
            };
        }
    }

    /// Blocks until there is an input. Returns `None` if it was woken without one.
    fn wait_for_input(&mut self) -> io::Result<Option<WatchInput>> {
        // In the other stages, the standby has nothing to report, and its exit closes the socket.
        let expects_report = matches!(
            self.state.stage,
            WatchStage::FirstFetch
                | WatchStage::Polling
                | WatchStage::Leasing
                | WatchStage::Promoting
        );
        let channel = self.channel.as_ref().filter(|_| expects_report);
        let mut ready = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        ready.extend(channel.map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN)));
        match poll(&mut ready, poll_timeout(self.deadline)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = ready.iter().map(PollFd::any);
        let (has_signal, has_report) = (ready.next().flatten(), ready.next().flatten());
        // The report comes first: the signal may tell that the standby has ended.
        if has_report == Some(true) {
            return Ok(Some(WatchInput::Report(self.read_report())));
        }
        if has_signal == Some(true) {
            let info = self.signals.wait_next()?;
            return Ok(Some(signal_input(info)));
        }
        let expired = self
            .deadline
            .take_if(|deadline| *deadline <= Instant::now());
        Ok(expired.map(|_| WatchInput::TimerExpired))
    }

    fn read_report(&mut self) -> StandbyReport {
        let message = self.channel.as_ref().map(WatcherChannel::receive);
        match message.unwrap_or(Message::Closed) {
            Message::Digest(digest, lease) => {
                let digest = Some(digest);
                let renew_lease_at =
                    lease.and_then(|lease| Instant::now().checked_add(lease_renewal_time(lease)));
                self.standby_report = FetchReport {
                    digest,
                    renew_lease_at,
                };
                match self.command_report.digest == digest {
                    true => StandbyReport::Unchanged,
                    false => StandbyReport::Changed,
                }
            }
            Message::Failure(kind) => {
                self.last_failure = Some(kind);
                StandbyReport::Failed
            }
            Message::Ready => StandbyReport::Ready,
            Message::Closed => {
                self.channel = None;
                StandbyReport::Closed
            }
        }
    }

    fn handle(&mut self, input: WatchInput) -> io::Result<Option<WatchOutcome>> {
        match input {
            WatchInput::Child(pid, status) => {
                self.state.command.refresh_resumable();
                if !matches!(status, WaitStatus::Stopped(_)) {
                    self.initial_children.retain(|child| *child != pid);
                }
                if let (true, WaitStatus::Killed(by)) = (Some(pid) == self.state.standby, status) {
                    self.log_standby_killed(by);
                }
            }
            // If the old command has just ended, a signal is not meant for it any more, so children
            // are reaped first. Job control signals are an exception: reaping may stop this process
            // together with the command, and the signal would then take effect a second time.
            WatchInput::Signal { info, .. }
                if matches!(self.state.stage, WatchStage::Stopping { .. })
                    && !info.signal.is_job_control() =>
            {
                if let Some(outcome) = self.supervise(SuperviseAction::Reap)? {
                    return Ok(Some(outcome));
                }
            }
            _ => {}
        }
        let renew_lease_at = self.command_report.renew_lease_at;
        self.state.lease_is_expiring = renew_lease_at.is_some_and(|time| time <= Instant::now());
        self.perform(self.state.decide(input))
    }

    fn perform(&mut self, action: WatchAction) -> io::Result<Option<WatchOutcome>> {
        match action {
            WatchAction::Supervise(action) => return self.supervise(action),
            WatchAction::CancelRestart(action) => {
                self.cancel_restart();
                return self.supervise(action);
            }
            WatchAction::ExitBySignal(signal) => {
                let status = WaitStatus::Killed(signal);
                return Ok(Some(WatchOutcome::CommandEnded(status)));
            }
            WatchAction::StartPoll => return self.fork_standby(StandbyRole::Poll),
            WatchAction::StartLease => return self.fork_standby(StandbyRole::Lease),
            WatchAction::RecordFirstFetch => {
                self.command_report = take(&mut self.standby_report);
                self.channel = None;
                self.schedule_next_poll();
            }
            WatchAction::FinishPoll => {
                self.log.log(Event::Unchanged);
                self.record_poll_success();
                self.dismiss_standby();
                self.schedule_next_poll();
            }
            WatchAction::FailPoll => {
                self.schedule.record_failure();
                self.dismiss_standby();
                self.schedule_next_poll();
            }
            WatchAction::KillStandby => {
                if let Some(standby) = self.state.standby {
                    signal::send(standby, Signal::KILL, Cause::Sent);
                }
            }
            WatchAction::ScheduleRestart => self.schedule_restart(),
            WatchAction::StopCommand => self.stop_command(),
            WatchAction::KillCommand => self.kill_command(),
            WatchAction::CleanUp => self.clean_up(),
            WatchAction::LoseStandby(status) => {
                self.set_after_stop(AfterStop::ExitAs(status));
                self.dismiss_standby();
            }
            WatchAction::DeferSignal(signal, cause) => self.deferred_signals.push((signal, cause)),
            WatchAction::FinishPromotion => {
                self.channel = None;
                for (signal, cause) in take(&mut self.deferred_signals) {
                    signal::send(self.state.command.command, signal, cause);
                }
                self.schedule_next_poll();
            }
        }
        Ok(None)
    }

    fn supervise(&mut self, action: SuperviseAction) -> io::Result<Option<WatchOutcome>> {
        match action {
            SuperviseAction::Ignore => {}
            SuperviseAction::Reap => {
                let mut outcome = None;
                while let Some((pid, status)) = wait::reap() {
                    outcome = self.handle(WatchInput::Child(pid, status))?.or(outcome);
                }
                return Ok(outcome);
            }
            SuperviseAction::Forward(signal, cause) => {
                signal::send(self.state.command.command, signal, cause);
            }
            SuperviseAction::StopWithCommand(by) => {
                stop_with_command(self.state.command.command, by);
            }
            SuperviseAction::ExitAs(status) => {
                return Ok(Some(WatchOutcome::CommandEnded(status)));
            }
        }
        Ok(None)
    }

    fn fork_standby(&mut self, role: StandbyRole) -> io::Result<Option<WatchOutcome>> {
        // The poll that has found the change may not lease, so another process takes its place.
        let change_found = self.state.stage == WatchStage::RestartScheduled;
        self.dismiss_standby();
        let forked = channel::socket_pair()
            .and_then(|pair| Ok((self.process_state.fork(self.single_threaded)?, pair)));
        match forked {
            Ok((Fork::Child(single_threaded), (_, socket))) => {
                let standby = StandbyChannel::new(socket, role, self.last_failure.take());
                return Ok(Some(child_outcome(
                    single_threaded,
                    &self.process_state,
                    standby,
                )));
            }
            Ok((Fork::Parent { child }, (socket, _))) => {
                self.state.standby = Some(child);
                self.channel = Some(WatcherChannel(socket));
                self.restart_announced = change_found;
                self.state.stage = match role {
                    StandbyRole::FirstStart | StandbyRole::Poll => WatchStage::Polling,
                    StandbyRole::Lease => WatchStage::Leasing,
                };
            }
            // Keep the command running even if no process can be forked.
            Err(error) => {
                let why = os_error_text(&error);
                self.log_poll_failure("exec", format!("cannot start a process: {why}"));
                self.schedule.record_failure();
                self.schedule_next_poll();
            }
        }
        Ok(None)
    }

    fn record_poll_success(&mut self) {
        self.schedule.record_success();
        if self.last_failure.take().is_some() {
            self.log.log(Event::PollRecovered);
        }
    }

    /// Closes the socket to the standby, which then exits. Nobody waits for that.
    fn dismiss_standby(&mut self) {
        self.channel = None;
        self.state.standby = None;
        self.standby_report = FetchReport::default();
    }

    fn schedule_next_poll(&mut self) {
        let time = self.schedule.time_to_poll(jitter());
        self.enter_stage(WatchStage::Idle, time);
        // If the renewal is due already, it has been tried, and the next try is the next poll.
        let renewal = self.command_report.renew_lease_at;
        let renewal = renewal.filter(|time| *time > Instant::now());
        self.deadline = self.deadline.into_iter().chain(renewal).min();
        drop_code_pages();
    }

    fn schedule_restart(&mut self) {
        self.record_poll_success();
        let delay = self.schedule.restart_delay(jitter());
        self.log.log(Event::Restarting { delay });
        self.enter_stage(WatchStage::RestartScheduled, delay);
    }

    fn enter_stage(&mut self, stage: WatchStage, timeout: Duration) {
        self.state.stage = stage;
        self.deadline = Instant::now().checked_add(timeout);
    }

    fn set_after_stop(&mut self, next: AfterStop) {
        if let WatchStage::Stopping { killed, .. } = self.state.stage {
            self.state.stage = WatchStage::Stopping { next, killed };
        }
    }

    fn stop_command(&mut self) {
        if self.state.stage == WatchStage::Leasing {
            self.record_poll_success();
            if !self.restart_announced {
                self.log.log(Event::LeaseExpiring);
            }
        }
        let command = self.state.command.command;
        signal::send(command, self.options.stop_signal, Cause::Sent);
        signal::send(command, Signal::CONT, Cause::Sent);
        let stage = WatchStage::Stopping {
            next: AfterStop::Restart,
            killed: false,
        };
        self.enter_stage(stage, self.options.grace);
    }

    fn kill_command(&mut self) {
        self.log.log(Event::Killing {
            grace: self.options.grace,
            signal: &self.options.stop_signal.name(),
        });
        signal::send(self.state.command.command, Signal::KILL, Cause::Sent);
        if let WatchStage::Stopping { next, .. } = self.state.stage {
            let stage = WatchStage::Stopping { next, killed: true };
            self.enter_stage(stage, cleanup::KILL_TIMEOUT);
        }
    }

    fn cancel_restart(&mut self) {
        if self.state.standby.is_some() {
            self.log.log(Event::RestartCancelled);
        }
        self.set_after_stop(AfterStop::ExitAsCommand);
        self.dismiss_standby();
    }

    /// Ends what the old command has left, and promotes the standby once nothing is left.
    fn clean_up(&mut self) {
        self.state.stage = WatchStage::CleaningUp;
        let children = self.initial_children.iter().copied();
        let excluded: Vec<Pid> = children.chain(self.state.standby).collect();
        let grace = self.options.grace;
        let cleanup = self.cleanup.get_or_insert_with(|| Cleanup::new(grace));
        match cleanup.step(&excluded) {
            CleanupStep::Pending(time) => self.deadline = Some(time),
            CleanupStep::Done => self.promote_standby(),
            CleanupStep::GaveUp(names) => {
                self.log.log(Event::ProcessesLeft { names: &names });
                self.promote_standby();
            }
        }
    }

    fn promote_standby(&mut self) {
        self.cleanup = None;
        if let Some(command) = self.state.standby.take() {
            self.state.command = SuperviseState::new(command);
        }
        self.command_report = take(&mut self.standby_report);
        if let Some(channel) = &self.channel {
            channel.send_promotion();
        }
        self.state.stage = WatchStage::Promoting;
        self.deadline = None;
    }

    /// Logs the death of a standby, which can no longer report it. During a poll, a termination
    /// signal is not logged: it ends the terminal's whole group.
    fn log_standby_killed(&mut self, by: Signal) {
        let why = format!("its process was killed by signal {}", by.name());
        match self.state.stage {
            WatchStage::Stopping { .. } | WatchStage::CleaningUp => {
                self.log.log(Event::RestartFailed { why: &why });
            }
            WatchStage::Polling | WatchStage::Leasing if by.is_termination() => {}
            _ => self.log_poll_failure("exec", why),
        }
    }

    /// Logs a failed poll unless the previous poll failed by the same kind of error.
    fn log_poll_failure(&mut self, kind: &str, why: String) {
        if self.last_failure.as_deref() != Some(kind) {
            self.log.log(Event::PollFailed { kind, why: &why });
        }
        self.last_failure = Some(kind.to_owned());
    }
}

fn signal_input(info: SignalInfo) -> WatchInput {
    let sender = Pid::from_raw(info.sender);
    WatchInput::Signal {
        info,
        terminates: info.signal.is_termination()
            && Disposition::current(info.signal) != Disposition::Ignored,
        from_descendant: info.cause != Cause::Kernel && descendants::is_descendant(sender),
    }
}

/// Returns a random number from 0 to 1. Without random numbers it is the middle: a panic here would
/// end the command.
fn jitter() -> f64 {
    try_random_unit().unwrap_or(0.5)
}

/// Converts a deadline to the timeout of poll(2): at most an hour, and rounded up so that poll does
/// not return too early.
fn poll_timeout(deadline: Option<Instant>) -> PollTimeout {
    const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
    let Some(deadline) = deadline else {
        return PollTimeout::NONE;
    };
    let left = deadline
        .saturating_duration_since(Instant::now())
        .min(MAX_TIMEOUT);
    let millis = left.as_nanos().div_ceil(1_000_000);
    u32::try_from(millis)
        .ok()
        .and_then(|millis| PollTimeout::try_from(millis).ok())
        .unwrap_or(PollTimeout::MAX)
}
