#![forbid(unsafe_code)]
//! The watcher: waits for signals, reports and deadlines, and performs the actions decided for them.

use std::io;
use std::mem::take;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;

use super::super::code_pages::drop_code_pages;
use super::super::descendants;
use super::super::process_state::{Fork, ProcessState};
use super::super::signal_reader::{SignalCause, SignalInfo, SignalReader, try_forward};
use super::super::supervise::{SuperviseAction, SuperviseState};
use super::channel::{self, Digest, Message, WatcherChannel, WorkerChannel, WorkerPurpose};
use super::cleanup::{self, Cleanup, CleanupStep};
use super::decide::{AfterStop, WatchAction, WatchInput, WatchStage, WatchState, WorkerReport};
use super::schedule::PollSchedule;
use super::service_manager::ServiceManager;
use crate::error::{errno_text, os_error_text};
use crate::log::{Event, Log};
use crate::process::signal::{self, Disposition, Signal};
use crate::process::terminal::TerminalMode;
use crate::process::wait::{self, WaitStatus};
use crate::process::watch::{WatchOptions, WatchOutcome};
use crate::process::{SingleThreaded, poll_timeout, try_random_unit};

/// What a worker has reported about its fetch.
#[derive(Debug, Default)]
struct FetchResult {
    digest: Option<Digest>,
    /// When its leases are to be renewed.
    renew_lease_at: Option<Instant>,
}

/// What the parent has after forking the first worker.
pub(super) struct FirstFork {
    pub(super) process_state: ProcessState,
    pub(super) signals: SignalReader,
    /// The signals that were pending after the fork.
    pub(super) early_signals: Vec<SignalInfo>,
    /// The children that the parent had before. They do not belong to the command.
    pub(super) initial_children: Vec<Pid>,
    /// The mode of the terminal at the start, if phase-run was in its foreground.
    pub(super) terminal_mode: Option<TerminalMode>,
    /// The pid of the first worker, which becomes the command.
    pub(super) command_pid: Pid,
    pub(super) channel: WatcherChannel,
    pub(super) service_manager: ServiceManager,
}

/// The parent of the command and of the standbys.
pub(super) struct Watcher<'a> {
    single_threaded: &'a SingleThreaded,
    options: &'a WatchOptions,
    log: &'a dyn Log,
    process_state: ProcessState,
    signals: SignalReader,
    early_signals: Vec<SignalInfo>,
    state: WatchState,
    /// The socket to the worker that fetches.
    channel: Option<WatcherChannel>,
    /// When the current stage times out.
    deadline: Option<Instant>,
    schedule: PollSchedule,
    command_fetch: FetchResult,
    standby_fetch: FetchResult,
    /// The children from before the first fork that still run.
    initial_children: Vec<Pid>,
    /// The mode of the terminal that each new command finds.
    terminal_mode: Option<TerminalMode>,
    cleanup: Option<Cleanup>,
    service_manager: ServiceManager,
    /// Signals for a command that does not run yet.
    deferred_signals: Vec<(Signal, SignalCause)>,
    /// The kind of the error of the last poll, if it failed.
    last_failure: Option<String>,
    /// True if a poll has warned that a file of a credential was replaced.
    has_warned_of_file: bool,
    /// True if the log has announced the coming restart.
    restart_announced: bool,
}

impl<'a> Watcher<'a> {
    /// Creates the watcher of a first worker that has just been forked.
    pub(super) fn new(
        single_threaded: &'a SingleThreaded,
        options: &'a WatchOptions,
        log: &'a dyn Log,
        first_fork: FirstFork,
    ) -> Self {
        let FirstFork {
            process_state,
            signals,
            early_signals,
            initial_children,
            terminal_mode,
            command_pid,
            channel,
            service_manager,
        } = first_fork;
        Self {
            single_threaded,
            options,
            log,
            process_state,
            signals,
            early_signals,
            state: WatchState {
                stage: WatchStage::FirstFetch,
                supervised: SuperviseState::new(command_pid),
                standby: None,
                leases_secrets: options.leases_secrets,
                lease_is_expiring: false,
            },
            channel: Some(channel),
            deadline: None,
            schedule: PollSchedule::new(options.interval),
            command_fetch: FetchResult::default(),
            standby_fetch: FetchResult::default(),
            initial_children,
            terminal_mode,
            cleanup: None,
            service_manager,
            deferred_signals: Vec::new(),
            last_failure: None,
            has_warned_of_file: false,
            restart_announced: false,
        }
    }

    /// Watches until the command has ended. It also returns in each standby that it forks.
    pub(super) fn run(mut self) -> io::Result<WatchOutcome> {
        drop_code_pages();
        // A child that ended before signals were blocked causes no signal any more.
        let mut outcome = self.supervise(SuperviseAction::Reap)?;
        self.state.supervised.set_starting(true);
        for info in take(&mut self.early_signals) {
            if outcome.is_none() {
                outcome = self.handle(signal_input(info))?;
            }
        }
        self.state.supervised.set_starting(false);
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
        // The kernel looks at the socket first. So if a report is there, the signals that came before
        // the report are seen too.
        let channel = channel.map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN));
        let mut ready: Vec<PollFd<'_>> = channel.into_iter().collect();
        ready.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
        match poll(&mut ready, poll_timeout(self.deadline)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = ready.iter().rev().map(|ready| ready.any() == Some(true));
        let (has_signal, has_report) = (ready.next() == Some(true), ready.next() == Some(true));
        // The report comes first: the signal may tell that the standby has ended. But once the new
        // command is ready, a signal of the terminal is not repeated to it, and one from before that
        // has been discarded. So signals come first during the promotion.
        if has_report && !(has_signal && self.state.stage == WatchStage::Promoting) {
            return Ok(self.read_report().map(WatchInput::Report));
        }
        if has_signal {
            let info = self.signals.wait_next()?;
            #[cfg(debug_assertions)]
            crate::process::panic_hook::panic_if_requested("watcher");
            return Ok(Some(signal_input(info)));
        }
        let expired = self
            .deadline
            .take_if(|deadline| *deadline <= Instant::now());
        Ok(expired.map(|_| WatchInput::TimerExpired))
    }

    /// Reads a message. Returns `None` if it changes nothing.
    fn read_report(&mut self) -> Option<WorkerReport> {
        let message = self.channel.as_ref().map(WatcherChannel::receive);
        Some(match message.unwrap_or(Message::Closed) {
            Message::Digest(digest, lease) => {
                let digest = Some(digest);
                let renewal = lease.map(|lease| self.schedule.renewal_time(lease, jitter()));
                let renew_lease_at = renewal.and_then(|time| Instant::now().checked_add(time));
                self.standby_fetch = FetchResult {
                    digest,
                    renew_lease_at,
                };
                match self.command_fetch.digest == digest {
                    true => WorkerReport::Unchanged,
                    false => WorkerReport::Changed,
                }
            }
            Message::Failure(kind) => {
                self.last_failure = Some(kind);
                WorkerReport::Failed
            }
            Message::FileReplaced => {
                self.has_warned_of_file = true;
                return None;
            }
            Message::Ready => WorkerReport::Ready,
            Message::Closed => {
                self.channel = None;
                WorkerReport::Closed
            }
        })
    }

    fn handle(&mut self, input: WatchInput) -> io::Result<Option<WatchOutcome>> {
        match input {
            WatchInput::Child(pid, status) => {
                self.state.supervised.refresh_resumable();
                if !matches!(status, WaitStatus::Stopped(_)) {
                    self.initial_children.retain(|child| *child != pid);
                }
                if let (true, WaitStatus::Killed(by)) = (Some(pid) == self.state.standby, status) {
                    self.log_standby_killed(by);
                }
            }
            // If the old command has just ended, a signal is not meant for it any more. It is reaped
            // first, and only then: reaping one that has stopped may stop this process too.
            WatchInput::Signal { .. }
                if matches!(self.state.stage, WatchStage::Stopping { .. })
                    && wait::has_ended(self.command_pid()) =>
            {
                if let Some(outcome) = self.supervise(SuperviseAction::Reap)? {
                    return Ok(Some(outcome));
                }
            }
            _ => {}
        }
        let renew_lease_at = self.command_fetch.renew_lease_at;
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
            WatchAction::StartPoll => {
                return self.fork_standby(WorkerPurpose::Poll, WatchStage::Polling);
            }
            WatchAction::StartLeasingFetch => {
                return self.fork_standby(WorkerPurpose::LeasingFetch, WatchStage::Leasing);
            }
            WatchAction::RecordFirstFetch => {
                self.command_fetch = take(&mut self.standby_fetch);
                self.channel = None;
                self.become_idle();
            }
            WatchAction::FinishPoll => {
                self.log.log(Event::Unchanged);
                self.record_poll_success();
                self.dismiss_standby();
                self.become_idle();
            }
            WatchAction::FailPoll => {
                self.schedule.record_failure();
                self.dismiss_standby();
                self.become_idle();
            }
            WatchAction::KillStandby => {
                if let Some(standby) = self.state.standby {
                    signal::send(standby, Signal::KILL);
                }
            }
            WatchAction::ContinueStandby => {
                if let Some(standby) = self.state.standby {
                    signal::send(standby, Signal::CONT);
                }
            }
            WatchAction::ScheduleRestart => self.schedule_restart(),
            WatchAction::StopCommand => self.stop_command(),
            WatchAction::KillCommand => self.kill_command(),
            WatchAction::ScheduleCleanUp => {
                self.enter_stage(WatchStage::CleaningUp, Duration::ZERO);
            }
            WatchAction::CleanUp => self.clean_up(),
            WatchAction::ExitAfterStop(status) => {
                self.set_after_stop(AfterStop::ExitAs(status));
                self.dismiss_standby();
            }
            WatchAction::DeferSignal(signal, cause) => self.deferred_signals.push((signal, cause)),
            WatchAction::FinishPromotion => {
                self.channel = None;
                self.service_manager.restart_ends();
                for (signal, cause) in take(&mut self.deferred_signals) {
                    self.send_to_command(signal, cause);
                }
                self.become_idle();
            }
        }
        Ok(None)
    }

    fn supervise(&mut self, action: SuperviseAction) -> io::Result<Option<WatchOutcome>> {
        if let SuperviseAction::Forward(signal, cause) = action {
            self.send_to_command(signal, cause);
            return Ok(None);
        }
        action.perform(self.command_pid(), |pid, status| {
            self.handle(WatchInput::Child(pid, status))
        })
    }

    /// Sends a signal to the command, and warns if this process may not.
    fn send_to_command(&self, signal: Signal, cause: SignalCause) {
        // A command that has just ended (ESRCH) needs no signal.
        if let Err(errno @ Errno::EPERM) = try_forward(self.command_pid(), signal, cause) {
            let (signal, why) = (&signal.name(), &errno_text(errno));
            self.log.log(Event::SignalRefused { signal, why });
        }
    }

    fn command_pid(&self) -> Pid {
        self.state.supervised.command_pid
    }

    fn fork_standby(
        &mut self,
        purpose: WorkerPurpose,
        stage: WatchStage,
    ) -> io::Result<Option<WatchOutcome>> {
        // A poll must not lease, so a second standby replaces one that has found a change.
        let restart_announced = self.state.stage == WatchStage::RestartScheduled;
        self.dismiss_standby();
        let forked = channel::socket_pair()
            .and_then(|pair| Ok((self.process_state.fork(self.single_threaded)?, pair)));
        match forked {
            Ok((Fork::Child(single_threaded), (_, socket))) => {
                let channel = WorkerChannel::new(
                    socket,
                    purpose,
                    self.last_failure.take(),
                    self.has_warned_of_file,
                );
                return Ok(Some(WatchOutcome::worker(
                    single_threaded,
                    &self.process_state,
                    channel,
                )));
            }
            Ok((Fork::Parent { child }, (channel, _))) => {
                self.state.standby = Some(child);
                self.channel = Some(channel);
                self.restart_announced = restart_announced;
                self.state.stage = stage;
            }
            // Keep the command running even if no process can be forked.
            Err(error) => {
                let why = os_error_text(&error);
                self.log_poll_failure("exec", format!("cannot start a process: {why}"));
                self.schedule.record_failure();
                self.become_idle();
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

    /// Closes the socket to the standby, which then exits, without waiting for that.
    fn dismiss_standby(&mut self) {
        self.channel = None;
        self.state.standby = None;
        self.standby_fetch = FetchResult::default();
    }

    /// Schedules the next poll, and drops the code pages that waiting for it does not need.
    fn become_idle(&mut self) {
        let time = self.schedule.time_to_poll(jitter());
        self.enter_stage(WatchStage::Idle, time);
        // An overdue renewal has just failed. It is tried again with the next poll.
        let renewal = self.command_fetch.renew_lease_at;
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
        // A command that has ended by itself is not restarted. Its end is read next.
        if wait::has_ended(self.command_pid()) {
            return;
        }
        if self.state.stage == WatchStage::Leasing {
            self.record_poll_success();
            if !self.restart_announced {
                self.log.log(Event::LeaseExpiring);
            }
        }
        self.service_manager.restart_begins();
        self.send_to_command(self.options.stop_signal, SignalCause::Sent);
        signal::send(self.command_pid(), Signal::CONT);
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
        // A command that has just ended (ESRCH) needs no signal.
        if let Err(errno @ Errno::EPERM) = kill(self.command_pid(), SIGKILL) {
            let why = &errno_text(errno);
            self.log.log(Event::KillRefused { why });
        }
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
        // What the command says while it ends is meant for the service again.
        self.service_manager.restart_ends();
        self.dismiss_standby();
    }

    /// Ends the processes that the old command has left behind, then promotes the standby.
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
        if let Some(standby) = self.state.standby.take() {
            self.state.supervised = SuperviseState::new(standby);
        }
        self.command_fetch = take(&mut self.standby_fetch);
        // A full-screen program that was killed leaves the terminal without echo and line editing.
        if let Some(mode) = &self.terminal_mode {
            mode.restore();
        }
        if let Some(channel) = &self.channel {
            channel.send_promotion();
        }
        self.state.stage = WatchStage::Promoting;
        self.deadline = None;
    }

    /// Logs the death of a standby, which can no longer report it. During a poll, a termination
    /// signal is not logged, because it was probably meant for the whole foreground group.
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
        from_descendant: info.cause != SignalCause::Kernel && descendants::is_descendant(sender),
    }
}

/// Returns a random number from 0 to 1, or 0.5 if the system has none: a panic would kill the
/// command.
fn jitter() -> f64 {
    try_random_unit().unwrap_or(0.5)
}
