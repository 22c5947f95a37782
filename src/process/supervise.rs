//! The parent that is not there: forwards signals, stops with the command, reaps, and ends as the
//! command ended.
//!
//! It is forked from before anybody reads a token, and knows the command's pid and no secret. What
//! a signal leads to is decided by [`decide`], which is pure; [`Supervisor::wait_for_command`] does it. The
//! command stays in phase-run's process group, so that a terminal, a shell's jobs and signals to the
//! group find it as if it were alone.

use nix::unistd::{Pid, chdir};

use super::code_pages::drop_code_pages;
use super::descriptor::close_all_but;
use super::no_process;
use super::signal::{self, Cause, Signal, SignalInfo, Signals};
use super::terminal::{Session, can_be_resumed};
use super::wait::{self, WaitStatus};
use crate::error::Error;

/// What is known while the command runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) command: Pid,
    own: Pid,
    pub(super) session: Session,
    /// Somebody could resume this process if it stopped.
    resumable: bool,
}

impl State {
    pub(super) fn new(command: Pid) -> Self {
        Self {
            command,
            own: Pid::this(),
            session: Session::own(),
            resumable: can_be_resumed(),
        }
    }

    /// The parent may have gone since.
    pub(super) fn refresh_terminal(&mut self) {
        self.resumable = can_be_resumed();
    }
}

/// What there is to react to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input {
    Signal(SignalInfo),
    Child(Pid, WaitStatus),
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    /// See which children ended or stopped.
    Reap,
    /// Send it to the command alone.
    Forward(Signal, Cause),
    /// Stop as the command did, and go on with it.
    StopAlong(Signal),
    /// The command has ended: so does phase-run, in the same way.
    End(WaitStatus),
}

/// What a terminal sends to the whole foreground group, the command included.
const TERMINAL_SIGNALS: [Signal; 8] = [
    Signal::INT,
    Signal::QUIT,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
    Signal::WINCH,
    Signal::HUP,
    Signal::CONT,
];

/// Never lost ranks before never twice: everything is forwarded but what the command has already.
pub(super) fn decide(state: &State, event: Input) -> Action {
    match event {
        Input::Signal(SignalInfo {
            signal: Signal::CHLD,
            ..
        }) => Action::Reap,
        Input::Signal(SignalInfo {
            signal,
            cause: Cause::Kernel,
            ..
        }) if state.session.terminal && TERMINAL_SIGNALS.contains(&signal) => {
            // A hangup, and the CONT that follows it, tell only a session's leader.
            match state.session.leader && [Signal::HUP, Signal::CONT].contains(&signal) {
                true => Action::Forward(signal, Cause::Kernel),
                false => Action::Nothing,
            }
        }
        Input::Signal(SignalInfo {
            signal,
            cause,
            sender,
        }) => {
            // The command knows what it sent, and what phase-run raised for itself is not for it.
            let known = [state.command, state.own].contains(&Pid::from_raw(sender));
            match known && cause != Cause::Kernel {
                true => Action::Nothing,
                false => Action::Forward(signal, cause),
            }
        }
        Input::Child(pid, WaitStatus::Stopped(by)) if pid == state.command => {
            match state.session.terminal && !state.session.leader && state.resumable {
                true => Action::StopAlong(by),
                false => Action::Nothing,
            }
        }
        Input::Child(pid, end) if pid == state.command => Action::End(end),
        // An orphan that was left to PID 1: reaped is enough.
        Input::Child(_, _) => Action::Nothing,
    }
}

/// The command's parent.
pub(crate) struct Supervisor {
    signals: Signals,
    state: State,
}

impl Supervisor {
    pub(super) fn new(command: Pid, signals: Signals) -> Self {
        let state = State::new(command);
        // Files, pipes and the directory are the command's alone; asked for a terminal before.
        close_all_but(&signals);
        let _ = chdir("/");
        Self { signals, state }
    }

    /// One wait, no timer: whoever is not signalled uses no time.
    ///
    /// # Errors
    /// `exec` when signals cannot be read any more.
    pub(crate) fn wait_for_command(mut self) -> Result<WaitStatus, Error> {
        // Nobody tells of a child that ended before signals were held back.
        let mut ended = self.perform(Action::Reap);
        drop_code_pages();
        loop {
            if let Some(end) = ended {
                return Ok(end);
            }
            let received = self.signals.next().map_err(|error| no_process(&error))?;
            ended = self.react(Input::Signal(received));
        }
    }

    fn react(&mut self, event: Input) -> Option<WaitStatus> {
        if let Input::Child(..) = event {
            self.state.refresh_terminal();
        }
        self.perform(decide(&self.state, event))
    }

    fn perform(&mut self, action: Action) -> Option<WaitStatus> {
        match action {
            Action::Nothing => {}
            Action::Reap => {
                // One CHLD may stand for several children. All of them, so that none stays a zombie
                // of a PID 1 that is about to end.
                let mut end = None;
                while let Some((pid, reaped)) = wait::reap() {
                    end = self.react(Input::Child(pid, reaped)).or(end);
                }
                return end;
            }
            Action::Forward(signal, cause) => signal::send(self.state.command, signal, cause),
            Action::StopAlong(by) => stop_along(self.state.command, by),
            Action::End(end) => return Some(end),
        }
        None
    }
}

/// Stops by the signal that stopped the command. On waking, the command has been continued too,
/// where the whole job was; else it is continued now.
pub(super) fn stop_along(command: Pid, by: Signal) {
    // It may have been continued while this was decided.
    if wait::was_continued(command) {
        return;
    }
    signal::raise_default(by);
    signal::discard(Signal::CONT);
    // A program that stops itself may have gone on and be in its next stop by now.
    if !wait::was_continued(command) && !wait::is_stopped(command) {
        signal::send(command, Signal::CONT, Cause::Sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: i32 = 20;
    const OWN: i32 = 10;
    const OTHER: i32 = 30;

    fn state(terminal: bool, leader: bool, resumable: bool) -> State {
        State {
            command: Pid::from_raw(COMMAND),
            own: Pid::from_raw(OWN),
            session: Session { terminal, leader },
            resumable,
        }
    }

    fn every_state() -> impl Iterator<Item = State> {
        (0..8).map(|bits| state(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0))
    }

    /// Every signal, from everybody, for every cause, in every state.
    #[test]
    fn a_signal_is_forwarded_unless_the_command_has_it_or_sent_it() {
        let signals = (1..=64).filter_map(Signal::new);
        for (signal, state) in signals.flat_map(|signal| every_state().map(move |s| (signal, s))) {
            for cause in [Cause::Kernel, Cause::Sent, Cause::Queued(7)] {
                for sender in [0, 1, OTHER, COMMAND, OWN] {
                    let received = SignalInfo {
                        signal,
                        cause,
                        sender,
                    };
                    let kernel = cause == Cause::Kernel;
                    let terminals =
                        kernel && state.session.terminal && TERMINAL_SIGNALS.contains(&signal);
                    let hangup =
                        [Signal::HUP, Signal::CONT].contains(&signal) && state.session.leader;
                    let expected = match signal {
                        Signal::CHLD => Action::Reap,
                        _ if terminals && !hangup => Action::Nothing,
                        _ if !kernel && [COMMAND, OWN].contains(&sender) => Action::Nothing,
                        _ => Action::Forward(signal, cause),
                    };
                    assert_eq!(
                        decide(&state, Input::Signal(received)),
                        expected,
                        "{received:?} in {state:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_commands_end_is_the_end_and_others_are_reaped_alone() {
        for state in every_state() {
            for end in [
                WaitStatus::Exited(0),
                WaitStatus::Exited(255),
                WaitStatus::Killed(Signal::TERM),
            ] {
                assert_eq!(
                    decide(&state, Input::Child(state.command, end)),
                    Action::End(end)
                );
                let other = Input::Child(Pid::from_raw(OTHER), end);
                assert_eq!(decide(&state, other), Action::Nothing);
            }
        }
    }

    #[test]
    fn it_stops_along_only_where_somebody_can_resume_it() {
        for state in every_state() {
            let stopped = WaitStatus::Stopped(Signal::TSTP);
            let along = state.session.terminal && !state.session.leader && state.resumable;
            let expected = if along {
                Action::StopAlong(Signal::TSTP)
            } else {
                Action::Nothing
            };
            assert_eq!(
                decide(&state, Input::Child(state.command, stopped)),
                expected
            );
            let other = Input::Child(Pid::from_raw(OTHER), stopped);
            assert_eq!(decide(&state, other), Action::Nothing);
        }
    }
}
