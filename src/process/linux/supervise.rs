#![forbid(unsafe_code)]
//! The parent process of `--supervise`.
//!
//! It forwards signals, stops when the command stops, reaps children, and ends as the command ended.
//! The command's process is forked before the token is used, so this one knows no secret.
//! [`SuperviseState::decide`], which is pure, maps each input to an action, and [`Supervisor`]
//! performs the action. The command stays in phase-run's process group, so that a terminal, a
//! shell's jobs and signals to the group work as without a supervisor.

use std::io;
use std::mem::take;

use nix::unistd::{Pid, chdir};

use super::close_range::close_all_but;
use super::code_pages::drop_code_pages;
use super::signal_reader::{SignalCause, SignalInfo, SignalReader, forward};
use crate::error::Error;
use crate::process::signal::{self, Signal};
use crate::process::supervise_error;
use crate::process::terminal::{Session, can_be_resumed};
use crate::process::wait::{self, WaitStatus};

/// What the supervisor knows about the command and about itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct SuperviseState {
    pub(super) command_pid: Pid,
    own_pid: Pid,
    pub(super) session: Session,
    /// True if the parent of this process could resume it after a stop.
    resumable: bool,
    /// True while the signals are handled that may have come before the command's process was forked:
    /// a signal of the terminal may then not have reached the command.
    is_starting: bool,
}

/// An event that the supervisor reacts to.
#[derive(Clone, Copy, Debug)]
pub(super) enum SuperviseInput {
    Signal(SignalInfo),
    Child(Pid, WaitStatus),
}

/// The reaction to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SuperviseAction {
    Ignore,
    /// Read the status of every child that has ended or stopped.
    Reap,
    /// Send the signal to the command alone.
    Forward(Signal, SignalCause),
    /// Stop by the same signal as the command, and continue the command afterwards.
    StopWithCommand(Signal),
    /// End with the command's status.
    ExitAs(WaitStatus),
}

impl SuperviseAction {
    /// Performs the action for the supervisor or the watcher of a command. `handle_child` is called
    /// for each child that is reaped.
    ///
    /// Returns how this process is to end, or `None` if it is to continue.
    ///
    /// # Errors
    /// Those of `handle_child`.
    pub(super) fn perform<T: From<WaitStatus>>(
        self,
        command_pid: Pid,
        mut handle_child: impl FnMut(Pid, WaitStatus) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        match self {
            Self::Ignore => {}
            Self::Reap => {
                // One CHLD may stand for several children. All are reaped, even after the command's
                // end, so that PID 1 leaves no zombie.
                let mut end = None;
                while let Some((pid, status)) = wait::reap() {
                    end = handle_child(pid, status)?.or(end);
                }
                return Ok(end);
            }
            Self::Forward(signal, cause) => forward(command_pid, signal, cause),
            Self::StopWithCommand(by) => stop_with_command(command_pid, by),
            Self::ExitAs(status) => return Ok(Some(status.into())),
        }
        Ok(None)
    }
}

/// The signals that a terminal sends to the whole foreground group, the command included
/// (termios(3), signal(7)).
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

impl SuperviseState {
    pub(super) fn new(command_pid: Pid) -> Self {
        Self {
            command_pid,
            own_pid: Pid::this(),
            session: Session::current(),
            resumable: can_be_resumed(),
            is_starting: false,
        }
    }

    /// Creates a state for tests, which asks the kernel nothing.
    #[cfg(test)]
    pub(super) fn fixed(command_pid: Pid, own_pid: Pid, session: Session, resumable: bool) -> Self {
        Self {
            command_pid,
            own_pid,
            session,
            resumable,
            is_starting: false,
        }
    }

    /// Sets whether a signal may have come before the command's process was forked.
    pub(super) fn set_starting(&mut self, is_starting: bool) {
        self.is_starting = is_starting;
    }

    /// Checks again whether the parent can resume this process: it may have ended.
    pub(super) fn refresh_resumable(&mut self) {
        self.resumable = can_be_resumed();
    }

    /// Maps an input to an action. Losing a signal is worse than delivering it twice, so a signal
    /// is forwarded unless the command has certainly received it.
    pub(super) fn decide(&self, input: SuperviseInput) -> SuperviseAction {
        match input {
            SuperviseInput::Signal(info) => self.decide_signal(info),
            SuperviseInput::Child(pid, WaitStatus::Stopped(by)) if pid == self.command_pid => {
                match self.session.has_terminal && !self.session.is_leader && self.resumable {
                    true => SuperviseAction::StopWithCommand(by),
                    false => SuperviseAction::Ignore,
                }
            }
            SuperviseInput::Child(pid, status) if pid == self.command_pid => {
                SuperviseAction::ExitAs(status)
            }
            // An orphan that PID 1 has inherited only needs to be reaped, which has been done.
            SuperviseInput::Child(_, _) => SuperviseAction::Ignore,
        }
    }

    fn decide_signal(&self, info: SignalInfo) -> SuperviseAction {
        let SignalInfo {
            signal,
            cause,
            sender,
        } = info;
        if signal == Signal::CHLD {
            return SuperviseAction::Reap;
        }
        let already_delivered = match cause {
            // The terminal signals the whole foreground group, except that a hangup sends HUP and
            // CONT to the session leader alone.
            SignalCause::Kernel => {
                let only_leader = [Signal::HUP, Signal::CONT].contains(&signal);
                self.session.has_terminal
                    && !self.is_starting
                    && TERMINAL_SIGNALS.contains(&signal)
                    && !(self.session.is_leader && only_leader)
            }
            // The command knows what it sent itself, and a signal that phase-run caused in itself,
            // such as PIPE, is not meant for the command.
            SignalCause::Sent | SignalCause::Queued(_) => {
                [self.command_pid, self.own_pid].contains(&Pid::from_raw(sender))
            }
        };
        match already_delivered {
            true => SuperviseAction::Ignore,
            false => SuperviseAction::Forward(signal, cause),
        }
    }
}

/// The parent of the command.
pub(crate) struct Supervisor {
    signals: SignalReader,
    /// The signals that were pending after the fork.
    early_signals: Vec<SignalInfo>,
    state: SuperviseState,
}

impl Supervisor {
    /// Prepares this process to wait for the command. Closes the descriptors and changes to `/`,
    /// because descriptors and working directory belong to the command.
    pub(super) fn new(
        command_pid: Pid,
        signals: SignalReader,
        early_signals: Vec<SignalInfo>,
    ) -> Self {
        // The state is read first: finding a terminal needs descriptors 0 to 2.
        let state = SuperviseState::new(command_pid);
        close_all_but(&signals);
        // If this fails, the directory stays in use, which does no harm to the command.
        let _ = chdir("/");
        Self {
            signals,
            early_signals,
            state,
        }
    }

    /// Waits until the command has ended and returns its status. There is no timer: without signals
    /// this process uses no CPU time.
    ///
    /// # Errors
    /// `exec` if reading signals fails.
    pub(crate) fn wait_for_command(mut self) -> Result<WaitStatus, Error> {
        self.wait().map_err(|error| supervise_error(&error))
    }

    fn wait(&mut self) -> io::Result<WaitStatus> {
        // A child that ended before signals were blocked causes no signal any more.
        let mut status = self.perform(SuperviseAction::Reap)?;
        self.state.set_starting(true);
        for info in take(&mut self.early_signals) {
            if status.is_none() {
                status = self.handle(SuperviseInput::Signal(info))?;
            }
        }
        self.state.set_starting(false);
        drop_code_pages();
        loop {
            if let Some(status) = status {
                return Ok(status);
            }
            let info = self.signals.wait_next()?;
            #[cfg(debug_assertions)]
            crate::process::panic_hook::panic_if_requested("supervisor");
            status = self.handle(SuperviseInput::Signal(info))?;
        }
    }

    fn handle(&mut self, input: SuperviseInput) -> io::Result<Option<WaitStatus>> {
        if let SuperviseInput::Child(..) = input {
            self.state.refresh_resumable();
        }
        self.perform(self.state.decide(input))
    }

    fn perform(&mut self, action: SuperviseAction) -> io::Result<Option<WaitStatus>> {
        action.perform(self.state.command_pid, |pid, status| {
            self.handle(SuperviseInput::Child(pid, status))
        })
    }
}

/// Stops this process by the signal that stopped the command. After this process has been resumed,
/// continues the command unless it runs already.
fn stop_with_command(command: Pid, by: Signal) {
    // The command may have been continued since its stop was reported.
    if wait::was_continued(command) {
        return;
    }
    signal::raise_default(by);
    signal::discard_pending(Signal::CONT);
    // The command may have been continued and have stopped again already.
    if !wait::was_continued(command) && !wait::is_stopped(command) {
        signal::send(command, Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: i32 = 20;
    const SUPERVISOR: i32 = 10;
    const OTHER: i32 = 30;

    fn state(has_terminal: bool, is_leader: bool, resumable: bool) -> SuperviseState {
        let session = Session {
            has_terminal,
            is_leader,
        };
        let [command, supervisor] = [COMMAND, SUPERVISOR].map(Pid::from_raw);
        SuperviseState::fixed(command, supervisor, session, resumable)
    }

    fn every_state() -> impl Iterator<Item = SuperviseState> {
        (0..16).map(|bits| SuperviseState {
            is_starting: bits & 8 != 0,
            ..state(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0)
        })
    }

    /// Tries every signal with every cause and sender in every state.
    #[test]
    fn signal_forwarded_unless_command_has_it() {
        let signals = (1..=64).filter_map(Signal::new);
        for (signal, state) in signals.flat_map(|signal| every_state().map(move |s| (signal, s))) {
            for cause in [
                SignalCause::Kernel,
                SignalCause::Sent,
                SignalCause::Queued(7),
            ] {
                for sender in [0, 1, OTHER, COMMAND, SUPERVISOR] {
                    let info = SignalInfo {
                        signal,
                        cause,
                        sender,
                    };
                    let kernel = cause == SignalCause::Kernel;
                    let from_terminal = kernel
                        && state.session.has_terminal
                        && !state.is_starting
                        && TERMINAL_SIGNALS.contains(&signal);
                    let hangup =
                        [Signal::HUP, Signal::CONT].contains(&signal) && state.session.is_leader;
                    let expected = match signal {
                        Signal::CHLD => SuperviseAction::Reap,
                        _ if from_terminal && !hangup => SuperviseAction::Ignore,
                        _ if !kernel && [COMMAND, SUPERVISOR].contains(&sender) => {
                            SuperviseAction::Ignore
                        }
                        _ => SuperviseAction::Forward(signal, cause),
                    };
                    assert_eq!(
                        state.decide(SuperviseInput::Signal(info)),
                        expected,
                        "{info:?} in {state:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn only_command_exit_ends_supervisor() {
        for state in every_state() {
            for end in [
                WaitStatus::Exited(0),
                WaitStatus::Exited(255),
                WaitStatus::Killed(Signal::TERM),
            ] {
                assert_eq!(
                    state.decide(SuperviseInput::Child(state.command_pid, end)),
                    SuperviseAction::ExitAs(end)
                );
                let other = SuperviseInput::Child(Pid::from_raw(OTHER), end);
                assert_eq!(state.decide(other), SuperviseAction::Ignore);
            }
        }
    }

    #[test]
    fn supervisor_stops_only_if_resumable() {
        for state in every_state() {
            let stopped = WaitStatus::Stopped(Signal::TSTP);
            let stops = state.session.has_terminal && !state.session.is_leader && state.resumable;
            let expected = if stops {
                SuperviseAction::StopWithCommand(Signal::TSTP)
            } else {
                SuperviseAction::Ignore
            };
            assert_eq!(
                state.decide(SuperviseInput::Child(state.command_pid, stopped)),
                expected
            );
            let other = SuperviseInput::Child(Pid::from_raw(OTHER), stopped);
            assert_eq!(state.decide(other), SuperviseAction::Ignore);
        }
    }
}
