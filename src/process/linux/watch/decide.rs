#![forbid(unsafe_code)]
//! The decisions of a watch: a pure function from state and input to action.

use nix::unistd::Pid;

use super::super::signal_reader::{SignalCause, SignalInfo};
use super::super::supervise::{SuperviseAction, SuperviseInput, SuperviseState};
use crate::process::signal::Signal;
use crate::process::wait::WaitStatus;

/// The stage of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Schedule the restart.
    ScheduleRestart,
    /// Tell the command to stop.
    StopCommand,
    /// Kill a command that still runs after the grace.
    KillCommand,
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
        match (self.stage, supervise) {
            (_, SuperviseAction::Reap) => WatchAction::Supervise(supervise),
            (WatchStage::Stopping { .. }, _) if terminates && !from_descendant => {
                WatchAction::CancelRestart(supervise)
            }
            // A signal of the terminal went to the whole group, but the new command, which is in it,
            // may still discard it.
            (WatchStage::Promoting, _) if terminates => {
                WatchAction::DeferSignal(info.signal, info.cause)
            }
            (WatchStage::CleaningUp, _) if from_descendant => IGNORE,
            (WatchStage::CleaningUp, _) if terminates => WatchAction::ExitBySignal(info.signal),
            (
                WatchStage::CleaningUp | WatchStage::Promoting,
                SuperviseAction::Forward(signal, cause),
            ) => WatchAction::DeferSignal(signal, cause),
            _ => WatchAction::Supervise(supervise),
        }
    }

    fn decide_child(&self, pid: Pid, status: WaitStatus) -> WatchAction {
        let stopped = matches!(status, WaitStatus::Stopped(_));
        if pid == self.supervised.command_pid {
            return match self.stage {
                WatchStage::Stopping { next, .. } if !stopped => match next {
                    AfterStop::Restart => WatchAction::CleanUp,
                    AfterStop::ExitAsCommand => {
                        WatchAction::Supervise(SuperviseAction::ExitAs(status))
                    }
                    AfterStop::ExitAs(status) => {
                        WatchAction::Supervise(SuperviseAction::ExitAs(status))
                    }
                },
                // The command did not end after KILL, so the cleanup began before it had ended.
                WatchStage::CleaningUp => WatchAction::CleanUp,
                _ => {
                    let input = SuperviseInput::Child(pid, status);
                    WatchAction::Supervise(self.supervised.decide(input))
                }
            };
        }
        if stopped {
            return IGNORE;
        }
        if Some(pid) == self.standby {
            return match self.stage {
                WatchStage::Polling | WatchStage::RestartScheduled | WatchStage::Leasing => {
                    WatchAction::FailPoll
                }
                WatchStage::Stopping { .. } => WatchAction::ExitAfterStop(status),
                WatchStage::CleaningUp => WatchAction::Supervise(SuperviseAction::ExitAs(status)),
                WatchStage::FirstFetch | WatchStage::Idle | WatchStage::Promoting => IGNORE,
            };
        }
        match self.stage {
            WatchStage::CleaningUp => WatchAction::CleanUp,
            _ => IGNORE,
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
mod tests {
    use super::WatchAction::{
        CancelRestart, CleanUp, DeferSignal, ExitAfterStop, ExitBySignal, FailPoll, FinishPoll,
        FinishPromotion, KillCommand, KillStandby, RecordFirstFetch, ScheduleRestart,
        StartLeasingFetch, StartPoll, StopCommand, Supervise,
    };
    use super::WatchStage::{
        CleaningUp, FirstFetch, Idle, Leasing, Polling, Promoting, RestartScheduled, Stopping,
    };
    use super::*;
    use crate::process::terminal::Session;

    const COMMAND: Pid = Pid::from_raw(2_000_000_020);
    const STANDBY: Pid = Pid::from_raw(2_000_000_030);
    const OTHER: Pid = Pid::from_raw(2_000_000_040);

    const END: WaitStatus = WaitStatus::Exited(3);
    const STANDBY_END: WaitStatus = WaitStatus::Killed(Signal::KILL);

    const fn stopping(next: AfterStop, killed: bool) -> WatchStage {
        Stopping { next, killed }
    }

    const STAGES: [WatchStage; 13] = [
        FirstFetch,
        Idle,
        Polling,
        RestartScheduled,
        Leasing,
        stopping(AfterStop::Restart, false),
        stopping(AfterStop::Restart, true),
        stopping(AfterStop::ExitAsCommand, false),
        stopping(AfterStop::ExitAsCommand, true),
        stopping(AfterStop::ExitAs(STANDBY_END), false),
        stopping(AfterStop::ExitAs(STANDBY_END), true),
        CleaningUp,
        Promoting,
    ];

    fn state(stage: WatchStage) -> WatchState {
        WatchState {
            stage,
            supervised: SuperviseState::new(COMMAND),
            standby: Some(STANDBY),
            leases_secrets: false,
            lease_is_expiring: false,
        }
    }

    fn assert_decisions(input: WatchInput, expected: impl Fn(WatchStage) -> WatchAction) {
        for stage in STAGES {
            let action = state(stage).decide(input);
            assert_eq!(action, expected(stage), "{stage:?} {input:?}");
        }
    }

    #[test]
    fn report_matters_only_in_fetching_stages() {
        for (report, first_fetch, polling, leasing, promoting) in [
            (
                WorkerReport::Unchanged,
                IGNORE,
                FinishPoll,
                StopCommand,
                IGNORE,
            ),
            (
                WorkerReport::Changed,
                RecordFirstFetch,
                ScheduleRestart,
                StopCommand,
                IGNORE,
            ),
            (WorkerReport::Failed, IGNORE, FailPoll, FailPoll, IGNORE),
            (
                WorkerReport::Closed,
                IGNORE,
                KillStandby,
                KillStandby,
                IGNORE,
            ),
            (WorkerReport::Ready, IGNORE, IGNORE, IGNORE, FinishPromotion),
        ] {
            assert_decisions(WatchInput::Report(report), |stage| match stage {
                FirstFetch => first_fetch,
                Polling => polling,
                Leasing => leasing,
                Promoting => promoting,
                Idle | RestartScheduled | Stopping { .. } | CleaningUp => IGNORE,
            });
        }
    }

    #[test]
    fn timer_starts_next_step_of_each_stage() {
        assert_decisions(WatchInput::TimerExpired, |stage| match stage {
            Idle => StartPoll,
            RestartScheduled => StopCommand,
            Stopping { killed: false, .. } => KillCommand,
            Stopping {
                next: AfterStop::Restart,
                ..
            }
            | CleaningUp => CleanUp,
            FirstFetch | Polling | Leasing | Promoting | Stopping { .. } => IGNORE,
        });
        for (lease_is_expiring, idle) in [(false, StartPoll), (true, StartLeasingFetch)] {
            for (stage, action) in [(Idle, idle), (RestartScheduled, StartLeasingFetch)] {
                let state = WatchState {
                    leases_secrets: true,
                    lease_is_expiring,
                    ..state(stage)
                };
                assert_eq!(state.decide(WatchInput::TimerExpired), action, "{stage:?}");
            }
        }
    }

    #[test]
    fn child_exit_starts_command_only_in_restart() {
        let exit_as = |status| Supervise(SuperviseAction::ExitAs(status));
        assert_decisions(WatchInput::Child(COMMAND, END), |stage| match stage {
            Stopping {
                next: AfterStop::Restart,
                ..
            }
            | CleaningUp => CleanUp,
            Stopping {
                next: AfterStop::ExitAs(status),
                ..
            } => exit_as(status),
            Stopping {
                next: AfterStop::ExitAsCommand,
                ..
            } => exit_as(END),
            FirstFetch | Idle | Polling | RestartScheduled | Leasing | Promoting => exit_as(END),
        });
        assert_decisions(WatchInput::Child(STANDBY, END), |stage| match stage {
            Polling | RestartScheduled | Leasing => FailPoll,
            Stopping { .. } => ExitAfterStop(END),
            CleaningUp => exit_as(END),
            FirstFetch | Idle | Promoting => IGNORE,
        });
        assert_decisions(WatchInput::Child(OTHER, END), |stage| match stage {
            CleaningUp => CleanUp,
            _ => IGNORE,
        });
        for pid in [STANDBY, OTHER] {
            let stopped = WaitStatus::Stopped(Signal::TSTP);
            assert_decisions(WatchInput::Child(pid, stopped), |_| IGNORE);
        }
    }

    /// The table of the supervisor says when it stops with the command.
    #[test]
    fn command_stop_is_left_to_supervisor() {
        let status = WaitStatus::Stopped(Signal::TSTP);
        let input = WatchInput::Child(COMMAND, status);
        for stage in STAGES.into_iter().filter(|stage| *stage != CleaningUp) {
            let state = state(stage);
            let supervise = state
                .supervised
                .decide(SuperviseInput::Child(COMMAND, status));
            assert_eq!(state.decide(input), Supervise(supervise), "{stage:?}");
        }
    }

    /// A terminal signal that does not terminate is not repeated: it went to the whole group, which
    /// the new command is part of.
    #[test]
    fn terminal_signal_deferred_while_promoting() {
        let cause = SignalCause::Kernel;
        for (signal, terminates, action) in [
            (Signal::INT, true, DeferSignal(Signal::INT, cause)),
            (Signal::WINCH, false, IGNORE),
        ] {
            let mut state = state(Promoting);
            state.supervised.session = Session {
                has_terminal: true,
                is_leader: false,
            };
            let info = SignalInfo {
                signal,
                cause,
                sender: 0,
            };
            let input = WatchInput::Signal {
                info,
                terminates,
                from_descendant: false,
            };
            assert_eq!(state.decide(input), action, "{signal:?}");
        }
    }

    #[test]
    fn signal_forwarded_unless_restarting() {
        let signals = (1..=64).filter_map(Signal::new);
        let flags = [(false, false), (false, true), (true, false), (true, true)];
        for (signal, (terminates, from_descendant)) in
            signals.flat_map(|s| flags.map(|flag| (s, flag)))
        {
            let cause = SignalCause::Sent;
            let info = SignalInfo {
                signal,
                cause,
                sender: OTHER.as_raw(),
            };
            let input = WatchInput::Signal {
                info,
                terminates,
                from_descendant,
            };
            for stage in STAGES {
                let forward = match signal {
                    Signal::CHLD => SuperviseAction::Reap,
                    _ => SuperviseAction::Forward(signal, cause),
                };
                let expected = match stage {
                    _ if signal == Signal::CHLD => Supervise(forward),
                    Stopping { .. } if terminates && !from_descendant => CancelRestart(forward),
                    CleaningUp if from_descendant => IGNORE,
                    CleaningUp if terminates => ExitBySignal(signal),
                    CleaningUp | Promoting => DeferSignal(signal, cause),
                    _ => Supervise(forward),
                };
                assert_eq!(state(stage).decide(input), expected, "{stage:?} {input:?}");
            }
        }
    }
}
