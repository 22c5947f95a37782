//! The decision for every input in every stage.

use super::WatchAction::{
    CancelRestart, CleanUp, ContinueStandby, DeferSignal, ExitAfterStop, ExitBySignal, FailPoll,
    FinishPoll, FinishPromotion, KillCommand, KillStandby, RecordFirstFetch, ScheduleCleanUp,
    ScheduleRestart, StartLeasingFetch, StartPoll, StopCommand, Supervise,
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

/// Whether a signal terminates, and whether a descendant has sent it.
const FLAGS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

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
        Stopping {
            next: AfterStop::ExitAsCommand,
            ..
        } => IGNORE,
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
        | CleaningUp => ScheduleCleanUp,
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
        CleaningUp => ScheduleCleanUp,
        _ => IGNORE,
    });
}

#[test]
fn standby_is_continued_while_it_fetches_or_waits() {
    for signal in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
        let stopped = WaitStatus::Stopped(signal);
        let by_terminal = [Signal::TTIN, Signal::TTOU].contains(&signal);
        assert_decisions(WatchInput::Child(STANDBY, stopped), |stage| match stage {
            Polling | RestartScheduled | Leasing if !by_terminal => ContinueStandby,
            _ => IGNORE,
        });
        assert_decisions(WatchInput::Child(OTHER, stopped), |_| IGNORE);
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

/// The terminal has signalled the whole group, but the standby, which is in it, discards what comes
/// before it is ready.
#[test]
fn terminal_signal_deferred_without_command() {
    let cause = SignalCause::Kernel;
    for stage in [CleaningUp, Promoting] {
        for (signal, terminates) in [(Signal::INT, true), (Signal::WINCH, false)] {
            let mut state = state(stage);
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
            let action = match stage {
                CleaningUp if terminates => ExitBySignal(signal),
                _ => DeferSignal(signal, cause),
            };
            assert_eq!(state.decide(input), action, "{stage:?} {signal:?}");
        }
    }
}

/// The command, old or new, gets nothing back. The old one is no descendant any more once it has been
/// reaped.
#[test]
fn signal_of_command_is_not_sent_back() {
    for (terminates, from_descendant) in FLAGS {
        let info = SignalInfo {
            signal: Signal::TERM,
            cause: SignalCause::Sent,
            sender: COMMAND.as_raw(),
        };
        let input = WatchInput::Signal {
            info,
            terminates,
            from_descendant,
        };
        assert_decisions(input, |_| IGNORE);
    }
}

#[test]
fn signal_forwarded_unless_restarting() {
    let signals = (1..=64).filter_map(Signal::new);
    for (signal, (terminates, from_descendant)) in
        signals.flat_map(|s| FLAGS.map(|flags| (s, flags)))
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
