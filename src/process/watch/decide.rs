#![forbid(unsafe_code)]
//! What leads to what while a command is watched: a pure function from stage and event to action.

use nix::unistd::Pid;

use super::super::signal::{Cause, Signal, SignalInfo};
use super::super::supervise::{self, Action as Supervised};
use super::super::wait::WaitStatus;

/// Where a watch is. A standby exists from [`Stage::Polling`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The command's process has not told yet what it fetched.
    Starting,
    /// The command runs, and the next poll has its time.
    Waiting,
    /// A standby fetches.
    Polling,
    /// It has fetched something else, and the restart has its time.
    Changed,
    /// Another one fetches and leases, to become the command.
    Leasing,
    /// The command was told to stop.
    Stopping { then: Then, killed: bool },
    /// The command is gone; what it left is told to stop.
    Clearing,
    /// The standby was told to become the command, and may still throw away what was sent to the old
    /// one's group.
    Launching,
}

/// What follows the end of a command that was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The standby becomes the command.
    Start,
    /// Somebody wants an end: phase-run ends as the command does.
    End,
    /// There is nothing to start any more: phase-run ends as the standby did.
    EndAs(WaitStatus),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) stage: Stage,
    pub(super) command: supervise::State,
    pub(super) standby: Option<Pid>,
    /// A start leases, which no poll does.
    pub(super) leases: bool,
    /// Two thirds of what the command was leased are over.
    pub(super) lease_is_old: bool,
}

/// What there is to react to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input {
    Signal {
        received: SignalInfo,
        /// It asks for an end, and is not ignored.
        ends: bool,
        /// The command sent it, or something that it started: many a script signals its whole group
        /// while it stops.
        from_below: bool,
    },
    Child(Pid, WaitStatus),
    /// From the process that fetches.
    Told(Told),
    /// It is time for what the stage waits for.
    Due,
}

/// What a fetch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Same,
    Other,
    Failed,
    /// It has thrown away what was not for it.
    Ready,
    /// Its end of the channel is closed, and nothing was told.
    Nothing,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// As without a watch.
    Supervise(Supervised),
    /// Keep the first digest; give the first poll its time.
    Learn,
    /// Fork a standby.
    Poll,
    /// Fork one that leases.
    Lease,
    /// Let the standby go: the command has what it fetched.
    Unchanged,
    /// The command goes on as it is; the next poll comes later.
    Failed,
    /// End a standby that can tell nothing any more; its end is the failure.
    EndStandby,
    /// Give the restart its time.
    Delay,
    /// Tell the command to stop.
    Stop,
    /// The grace is over.
    Kill,
    /// Look at what the command left; start the new one once nothing is left.
    Clear,
    /// The start is off, and this is done about the signal.
    Cancel(Supervised),
    /// The standby has ended meanwhile.
    Lost(WaitStatus),
    /// The signal is for the new command, which cannot take it yet.
    Keep(Signal, Cause),
    /// The new command can: what was kept is its.
    HandOver,
    /// End by this signal: there is no command.
    EndBy(Signal),
}

const NOTHING: Action = Action::Supervise(Supervised::Nothing);

pub(super) fn decide(state: &State, event: Input) -> Action {
    match event {
        Input::Signal {
            received,
            ends,
            from_below,
        } => {
            let supervised = supervise::decide(&state.command, supervise::Input::Signal(received));
            match (state.stage, supervised) {
                (_, Supervised::Reap) => Action::Supervise(supervised),
                (Stage::Stopping { .. }, _) if ends && !from_below => Action::Cancel(supervised),
                // A terminal told the group, and who may still throw it away is part of it.
                (Stage::Launching, _) if ends => Action::Keep(received.signal, received.cause),
                (Stage::Clearing, _) if from_below => NOTHING,
                (Stage::Clearing, _) if ends => Action::EndBy(received.signal),
                (Stage::Clearing | Stage::Launching, Supervised::Forward(signal, cause)) => {
                    Action::Keep(signal, cause)
                }
                _ => Action::Supervise(supervised),
            }
        }
        Input::Child(pid, what) if pid == state.command.command => {
            let ended = !matches!(what, WaitStatus::Stopped(_));
            match state.stage {
                Stage::Stopping { then, .. } if ended => match then {
                    Then::Start => Action::Clear,
                    Then::End => Action::Supervise(Supervised::End(what)),
                    Then::EndAs(end) => Action::Supervise(Supervised::End(end)),
                },
                // A dead one that was given up and ends after all.
                Stage::Clearing => Action::Clear,
                _ => Action::Supervise(supervise::decide(
                    &state.command,
                    supervise::Input::Child(pid, what),
                )),
            }
        }
        Input::Child(_, WaitStatus::Stopped(_)) => NOTHING,
        Input::Child(pid, end) if Some(pid) == state.standby => match state.stage {
            Stage::Polling | Stage::Changed | Stage::Leasing => Action::Failed,
            Stage::Stopping { .. } => Action::Lost(end),
            Stage::Clearing => Action::Supervise(Supervised::End(end)),
            Stage::Starting | Stage::Waiting | Stage::Launching => NOTHING,
        },
        Input::Child(..) => match state.stage {
            Stage::Clearing => Action::Clear,
            _ => NOTHING,
        },
        Input::Told(told) => match (state.stage, told) {
            (Stage::Starting, Told::Other) => Action::Learn,
            (Stage::Polling, Told::Same) => Action::Unchanged,
            (Stage::Polling, Told::Other) => Action::Delay,
            (Stage::Leasing, Told::Same | Told::Other) => Action::Stop,
            (Stage::Launching, Told::Ready) => Action::HandOver,
            (Stage::Polling | Stage::Leasing, Told::Failed) => Action::Failed,
            (Stage::Polling | Stage::Leasing, Told::Nothing) => Action::EndStandby,
            _ => NOTHING,
        },
        Input::Due => match state.stage {
            Stage::Waiting if state.lease_is_old => Action::Lease,
            Stage::Waiting => Action::Poll,
            Stage::Changed if state.leases => Action::Lease,
            Stage::Changed => Action::Stop,
            Stage::Stopping { killed: false, .. } => Action::Kill,
            // It cannot end: in the kernel, on a disk that is gone.
            Stage::Stopping {
                then: Then::Start, ..
            }
            | Stage::Clearing => Action::Clear,
            Stage::Starting
            | Stage::Polling
            | Stage::Leasing
            | Stage::Launching
            | Stage::Stopping { .. } => NOTHING,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::terminal::Session;
    use super::Action::{
        Cancel, Clear, Delay, EndBy, EndStandby, Failed, HandOver, Keep, Kill, Learn, Lease, Lost,
        Poll, Stop, Supervise, Unchanged,
    };
    use super::Stage::{
        Changed, Clearing, Launching, Leasing, Polling, Starting, Stopping, Waiting,
    };
    use super::*;

    const COMMAND: Pid = Pid::from_raw(2_000_000_020);
    const STANDBY: Pid = Pid::from_raw(2_000_000_030);
    const OTHER: Pid = Pid::from_raw(2_000_000_040);

    const END: WaitStatus = WaitStatus::Exited(3);
    const LOST: WaitStatus = WaitStatus::Killed(Signal::KILL);

    const fn stopping(then: Then, killed: bool) -> Stage {
        Stopping { then, killed }
    }

    const STAGES: [Stage; 13] = [
        Starting,
        Waiting,
        Polling,
        Changed,
        Leasing,
        stopping(Then::Start, false),
        stopping(Then::Start, true),
        stopping(Then::End, false),
        stopping(Then::End, true),
        stopping(Then::EndAs(LOST), false),
        stopping(Then::EndAs(LOST), true),
        Clearing,
        Launching,
    ];

    fn state(stage: Stage) -> State {
        State {
            stage,
            command: supervise::State::new(COMMAND),
            standby: Some(STANDBY),
            leases: false,
            lease_is_old: false,
        }
    }

    fn decided(event: Input) -> [Action; 13] {
        STAGES.map(|stage| decide(&state(stage), event))
    }

    #[test]
    fn what_is_told_matters_to_whom_it_is_told() {
        use super::NOTHING as NO;
        let told = |told| decided(Input::Told(told));
        let only = |starting, polling, leasing| {
            let mut all = [NO; 13];
            (all[0], all[2], all[4]) = (starting, polling, leasing);
            all
        };
        assert_eq!(told(Told::Same), only(NO, Unchanged, Stop));
        assert_eq!(told(Told::Other), only(Learn, Delay, Stop));
        assert_eq!(told(Told::Failed), only(NO, Failed, Failed));
        assert_eq!(told(Told::Nothing), only(NO, EndStandby, EndStandby));
        let mut ready = [NO; 13];
        ready[12] = HandOver;
        assert_eq!(told(Told::Ready), ready);
    }

    #[test]
    fn each_stage_waits_for_one_thing() {
        use super::NOTHING as NO;
        assert_eq!(
            decided(Input::Due),
            [
                NO, Poll, NO, Stop, NO, Kill, Clear, Kill, NO, Kill, NO, Clear, NO
            ]
        );
        for (leases, lease_is_old, due) in
            [(true, false, [Poll, Lease]), (true, true, [Lease, Lease])]
        {
            let due_in = |stage| {
                let mut state = state(stage);
                (state.leases, state.lease_is_old) = (leases, lease_is_old);
                decide(&state, Input::Due)
            };
            assert_eq!([Waiting, Changed].map(due_in), due);
        }
    }

    #[test]
    fn an_end_leads_to_a_start_only_where_a_restart_wants_it() {
        use super::NOTHING as NO;
        let end = Supervise(Supervised::End(END));
        let lost = Supervise(Supervised::End(LOST));
        assert_eq!(
            decided(Input::Child(COMMAND, END)),
            [
                end, end, end, end, end, Clear, Clear, end, end, lost, lost, Clear, end
            ]
        );
        let gone = Lost(END);
        assert_eq!(
            decided(Input::Child(STANDBY, END)),
            [
                NO, NO, Failed, Failed, Failed, gone, gone, gone, gone, gone, gone, end, NO
            ]
        );
        let mut other = [NO; 13];
        other[11] = Clear;
        assert_eq!(decided(Input::Child(OTHER, END)), other);
        for pid in [STANDBY, OTHER] {
            let stopped = Input::Child(pid, WaitStatus::Stopped(Signal::TSTP));
            assert_eq!(decided(stopped), [NO; 13]);
        }
    }

    /// The supervisor's own table says when it stops along.
    #[test]
    fn a_stop_of_the_command_is_the_supervisors_matter() {
        let what = WaitStatus::Stopped(Signal::TSTP);
        let event = Input::Child(COMMAND, what);
        for stage in STAGES.into_iter().filter(|stage| *stage != Clearing) {
            let state = state(stage);
            let single_threaded =
                supervise::decide(&state.command, supervise::Input::Child(COMMAND, what));
            assert_eq!(
                decide(&state, event),
                Supervise(single_threaded),
                "{stage:?}"
            );
        }
    }

    /// And what ends nothing is its group's alone: the new command is part of it.
    #[test]
    fn a_terminals_key_is_not_lost_on_the_way() {
        let cause = Cause::Kernel;
        for (signal, ends, action) in [
            (Signal::INT, true, Keep(Signal::INT, cause)),
            (Signal::WINCH, false, NOTHING),
        ] {
            let mut state = state(Launching);
            state.command.session = Session {
                terminal: true,
                leader: false,
            };
            let received = SignalInfo {
                signal,
                cause,
                sender: 0,
            };
            let event = Input::Signal {
                received,
                ends,
                from_below: false,
            };
            assert_eq!(decide(&state, event), action, "{signal:?}");
        }
    }

    #[test]
    fn a_signal_is_the_commands_unless_a_restart_is_under_way() {
        let signals = (1..=64).filter_map(Signal::new);
        let flags = [(false, false), (false, true), (true, false), (true, true)];
        for (signal, (ends, from_below)) in signals.flat_map(|s| flags.map(|flag| (s, flag))) {
            let cause = Cause::Sent;
            let received = SignalInfo {
                signal,
                cause,
                sender: OTHER.as_raw(),
            };
            let event = Input::Signal {
                received,
                ends,
                from_below,
            };
            for stage in STAGES {
                let forward = match signal {
                    Signal::CHLD => Supervised::Reap,
                    _ => Supervised::Forward(signal, cause),
                };
                let expected = match stage {
                    _ if signal == Signal::CHLD => Supervise(forward),
                    Stopping { .. } if ends && !from_below => Cancel(forward),
                    Clearing if from_below => NOTHING,
                    Clearing if ends => EndBy(signal),
                    Clearing | Launching => Keep(signal, cause),
                    _ => Supervise(forward),
                };
                assert_eq!(
                    decide(&state(stage), event),
                    expected,
                    "{stage:?} {event:?}"
                );
            }
        }
    }
}
