#![forbid(unsafe_code)]
//! The decisions of a watch: a pure function from state and input to action.

use nix::unistd::Pid;

use super::super::signal_reader::{SignalCause, SignalInfo};
use super::super::supervise::{SuperviseAction, SuperviseInput, SuperviseState};
use crate::process::signal::Signal;
use crate::process::wait::WaitStatus;

/// The stage of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum WatchStage {
    /// The first worker has not reported yet what it has fetched.
    FirstFetch,
    /// The command runs; the next poll is scheduled.
    Idle,
    /// A standby fetches.
    Polling,
    /// A poll has found a change; the restart is scheduled.
    RestartScheduled,
    /// A standby fetches, takes leases, and will become the command.
    Leasing,
    /// The command has been told to stop.
    Stopping { next: AfterStop, killed: bool },
    /// The command has ended; the processes that it has left behind are being ended.
    CleaningUp,
    /// The standby has been promoted, but still discards the signals that were meant for the old
    /// command's group.
    Promoting,
}

/// What happens when the command, which has been told to stop, has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum AfterStop {
    /// The standby becomes the command.
    Restart,
    /// phase-run was told to end, and ends as the command does.
    ExitAsCommand,
    /// The standby has ended, and phase-run ends as it did.
    ExitAs(WaitStatus),
}

/// What the watcher knows when it decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchState {
    pub(super) stage: WatchStage,
    pub(super) supervised: SuperviseState,
    pub(super) standby: Option<Pid>,
    /// True if a restart takes leases. A poll takes none, so the restart then needs a second fetch.
    pub(super) leases_secrets: bool,
    /// True if the command's leases have to be renewed by a restart.
    pub(super) lease_is_expiring: bool,
}

/// An event that the watcher reacts to.
#[derive(Clone, Copy, Debug)]
pub(super) enum WatchInput {
    Signal {
        info: SignalInfo,
        /// True if this is a termination signal that is not ignored.
        terminates: bool,
        /// True if the command or one of its descendants has sent the signal. Many scripts signal their
        /// whole group while they stop.
        from_descendant: bool,
    },
    Child(Pid, WaitStatus),
    /// A message from a worker.
    Report(WorkerReport),
    /// The deadline of the stage has passed.
    TimerExpired,
}

/// A message from a worker, compared with what the watcher knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerReport {
    /// The environment has the same digest as that of the running command.
    Unchanged,
    /// The environment has a different digest.
    Changed,
    /// The fetch has failed.
    Failed,
    /// The promoted worker has discarded the signals that were not meant for it.
    Ready,
    /// The worker has closed its end of the socket without a message.
    Closed,
}

/// The reaction to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchAction {
    /// Do what a supervisor without a watch does.
    Supervise(SuperviseAction),
    /// Store the digest of the first fetch, and schedule the first poll.
    RecordFirstFetch,
    /// Fork a standby that fetches.
    StartPoll,
    /// Fork a standby that fetches and takes leases.
    StartLeasingFetch,
    /// Dismiss the standby: nothing has changed.
    FinishPoll,
    /// Dismiss the standby and schedule the next poll later than usual.
    FailPoll,
    /// Kill a standby that has closed its socket. Its death then counts as a failed poll.
    KillStandby,
    /// Continue a standby that a signal to the whole group has stopped.
    ContinueStandby,
    /// Schedule the restart.
    ScheduleRestart,
    /// Tell the command to stop.
    StopCommand,
    /// Kill a command that still runs after the grace.
    KillCommand,
    /// The command has ended, or a process that it has left behind: clean up as soon as no signal is
    /// waiting to be read. A termination signal among them prevents the promotion.
    ScheduleCleanUp,
    /// End the processes that the command has left behind, then promote the standby.
    CleanUp,
    /// Cancel the restart, then perform this action for the signal.
    CancelRestart(SuperviseAction),
    /// The standby has ended while the command stops: end with this status once the command has
    /// ended.
    ExitAfterStop(WaitStatus),
    /// Store a signal for the new command, which is not ready yet.
    DeferSignal(Signal, SignalCause),
    /// The new command is ready: send it the deferred signals, and schedule the next poll.
    FinishPromotion,
    /// End by this signal: there is no command.
    ExitBySignal(Signal),
}

const IGNORE: WatchAction = WatchAction::Supervise(SuperviseAction::Ignore);

impl WatchState {
    /// Maps an input to an action.
    pub(super) fn decide(&self, input: WatchInput) -> WatchAction {
        match input {
            WatchInput::Signal {
                info,
                terminates,
                from_descendant,
            } => self.decide_signal(info, terminates, from_descendant),
            WatchInput::Child(pid, status) => self.decide_child(pid, status),
            WatchInput::Report(report) => self.decide_report(report),
            WatchInput::TimerExpired => self.decide_timer(),
        }
    }

    fn decide_signal(
        &self,
        info: SignalInfo,
        terminates: bool,
        from_descendant: bool,
    ) -> WatchAction {
        let supervise = self.supervised.decide(SuperviseInput::Signal(info));
        let from_kernel = info.cause == SignalCause::Kernel;
        match (self.stage, supervise) {
            (_, SuperviseAction::Reap) => WatchAction::Supervise(supervise),
            // The command has sent it. It may have been reaped since, and is then no descendant any more.
            (_, SuperviseAction::Ignore) if !from_kernel => IGNORE,
            (WatchStage::Stopping { .. }, _) if terminates && !from_descendant => {
                WatchAction::CancelRestart(supervise)
            }
            (WatchStage::CleaningUp, _) if from_descendant => IGNORE,
            (WatchStage::CleaningUp, _) if terminates => WatchAction::ExitBySignal(info.signal),
            // This includes the signals of the terminal: the new command is in the group that they
            // went to, but it may still discard them.
            (WatchStage::CleaningUp | WatchStage::Promoting, _) => {
                WatchAction::DeferSignal(info.signal, info.cause)
            }
            _ => WatchAction::Supervise(supervise),
        }
    }

    fn decide_child(&self, pid: Pid, status: WaitStatus) -> WatchAction {
        let stopped = matches!(status, WaitStatus::Stopped(_));
        if pid == self.supervised.command_pid {
            return match self.stage {
                WatchStage::Stopping { next, .. } if !stopped => match next {
                    AfterStop::Restart => WatchAction::ScheduleCleanUp,
                    AfterStop::ExitAsCommand => {
                        WatchAction::Supervise(SuperviseAction::ExitAs(status))
                    }
                    AfterStop::ExitAs(status) => {
                        WatchAction::Supervise(SuperviseAction::ExitAs(status))
                    }
                },
                // The command did not end after KILL, so the cleanup began before it had ended.
                WatchStage::CleaningUp => WatchAction::ScheduleCleanUp,
                _ => {
                    let input = SuperviseInput::Child(pid, status);
                    WatchAction::Supervise(self.supervised.decide(input))
                }
            };
        }
        if Some(pid) == self.standby {
            return self.decide_standby(status);
        }
        match self.stage {
            WatchStage::CleaningUp if !stopped => WatchAction::ScheduleCleanUp,
            _ => IGNORE,
        }
    }

    fn decide_standby(&self, status: WaitStatus) -> WatchAction {
        match (self.stage, status) {
            // The terminal would stop it again at once.
            (_, WaitStatus::Stopped(Signal::TTIN | Signal::TTOU)) => IGNORE,
            // Whoever continues phase-run may not know the standby, and without it there would be no poll
            // any more.
            (
                WatchStage::Polling | WatchStage::RestartScheduled | WatchStage::Leasing,
                WaitStatus::Stopped(_),
            ) => WatchAction::ContinueStandby,
            (_, WaitStatus::Stopped(_)) => IGNORE,
            (WatchStage::Polling | WatchStage::RestartScheduled | WatchStage::Leasing, _) => {
                WatchAction::FailPoll
            }
            (WatchStage::Stopping { .. }, _) => WatchAction::ExitAfterStop(status),
            (WatchStage::CleaningUp, _) => WatchAction::Supervise(SuperviseAction::ExitAs(status)),
            (WatchStage::FirstFetch | WatchStage::Idle | WatchStage::Promoting, _) => IGNORE,
        }
    }

    fn decide_report(&self, report: WorkerReport) -> WatchAction {
        match (self.stage, report) {
            (WatchStage::FirstFetch, WorkerReport::Changed) => WatchAction::RecordFirstFetch,
            (WatchStage::Polling, WorkerReport::Unchanged) => WatchAction::FinishPoll,
            (WatchStage::Polling, WorkerReport::Changed) => WatchAction::ScheduleRestart,
            (WatchStage::Leasing, WorkerReport::Unchanged | WorkerReport::Changed) => {
                WatchAction::StopCommand
            }
            (WatchStage::Promoting, WorkerReport::Ready) => WatchAction::FinishPromotion,
            (WatchStage::Polling | WatchStage::Leasing, WorkerReport::Failed) => {
                WatchAction::FailPoll
            }
            (WatchStage::Polling | WatchStage::Leasing, WorkerReport::Closed) => {
                WatchAction::KillStandby
            }
            _ => IGNORE,
        }
    }

    fn decide_timer(&self) -> WatchAction {
        match self.stage {
            WatchStage::Idle if self.lease_is_expiring => WatchAction::StartLeasingFetch,
            WatchStage::Idle => WatchAction::StartPoll,
            WatchStage::RestartScheduled if self.leases_secrets => WatchAction::StartLeasingFetch,
            WatchStage::RestartScheduled => WatchAction::StopCommand,
            // Whoever has cancelled the restart decides how long the command may take.
            WatchStage::Stopping {
                next: AfterStop::ExitAsCommand,
                ..
            } => IGNORE,
            WatchStage::Stopping { killed: false, .. } => WatchAction::KillCommand,
            // The command did not end after KILL: it is stuck in the kernel.
            WatchStage::Stopping {
                next: AfterStop::Restart,
                ..
            }
            | WatchStage::CleaningUp => WatchAction::CleanUp,
            WatchStage::FirstFetch
            | WatchStage::Polling
            | WatchStage::Leasing
            | WatchStage::Promoting
            | WatchStage::Stopping { .. } => IGNORE,
        }
    }
}

#[cfg(test)]
mod tests;
