#![forbid(unsafe_code)]
//! A model of everything around the decisions of `--supervise` and `--watch`, and the properties that hold in
//! every order of events.
//!
//! [`WatchState::decide`](super::decide::WatchState::decide) and
//! [`SuperviseState::decide`](super::super::supervise::SuperviseState::decide) are the real functions. The
//! rest is written down here as it works: the kernel in `kernel.rs`, `world.rs` and `worker.rs`; the watcher's
//! code, one system call at a time, in `watcher.rs`, `handling.rs`, `actions.rs` and `calls.rs`. Between any
//! two steps of the watcher, every other process can take a step, a signal can be sent, and a process can end.
//! A [`Scenario`] says who may send what, and how much may happen. The properties are the constants below.
//! `docs/supervise-and-watch.md` says for users what a signal does at each moment of a restart.
//!
//! # Exceptions
//!
//! A signal need not arrive
//!
//! - if the kernel has merged it with another sender's, or a stop and a continuation have cancelled each other;
//! - if the command ends before it could take it, or phase-run ends because the command has ended;
//! - if a process of the old command has sent it during the restart.
//!
//! A signal of the terminal may arrive twice at the new command while that starts, and once at each command
//! during a restart.
//!
//! Each test explores one scenario completely. `scripts/model` explores them with more signals and polls.
//! [`every_fault_is_found`] puts faults into the model: a model that finds nothing fails.
//!
//! # What the model assumes
//!
//! Whoever changes the code of the watcher changes the model too. These are the facts that it relies on, and
//! the test that fails if one is false:
//!
//! | fact | test |
//! | --- | --- |
//! | A blocked signal stays pending, also if it is ignored, and in PID 1 if it has no handler (signal(7), pid_namespaces(7)) | `ignored_signal_does_not_cancel_restart`, `signal_from_inside_namespace_arrives_once` |
//! | signalfd(2) returns the lowest number first; a pending standard signal keeps its first sender; CONT discards a blocked TSTP and the reverse | `pending_signals_follow_the_model` |
//! | The watcher blocks everything before it forks, and takes the signals that were pending after the fork as meant for the command | `ctrl_c_before_fork_reaches_command`, `pending_signal_at_start_reaches_command` |
//! | A worker has the original mask while it fetches | `ctrl_c_that_kills_standby_fails_poll`, `signal_during_fetch_kills_both_processes` |
//! | A standby blocks signals before it reports, and discards them before it says that it is ready | `group_signal_while_stopping_keeps_restart`, `signal_to_waiting_standby_is_discarded` |
//! | What arrives after that stays pending until the command has the mask | `signal_during_promotion_reaches_new_command` |
//! | In a promotion, signals are read before the report, and reports are read first otherwise | `terminal_signal_before_ready_reaches_new_command`, `failed_poll_is_logged_once_per_error_kind` |
//! | A command that has ended is reaped before a signal is handled, and the standby is not promoted on the way | `termination_signal_before_reaping_prevents_start` |
//! | A child that has ended is in /proc until it is reaped, also as the sender of a signal | `signal_of_ended_command_reaches_nobody`, `children_found_through_stat` |
//! | The watcher adopts the children of a process before it learns of its end | `daemonized_server_ends_before_new_one_starts`, `endlessly_forking_chain_is_ended` |
//! | A message is read whole or not at all, and a closed socket is readable | `messages_are_read_whole_and_before_the_end` |
//! | Workers die with the watcher, whenever it dies (PR_SET_PDEATHSIG(2const)), so nothing is explored after its end | `killed_watcher_kills_command_and_standby`, `killed_supervisor_kills_fetch` |
//! | A stop of the command stops the watcher only in a job of a shell, and the continuation is passed on once | `tests/shell_jobs.rs` |
//! | A process may outlive KILL for a while | `unkillable_children_are_reported` |
//!
//! Two facts have no test. A signal to the group reaches all its members at one moment: the kernel sends it to
//! one after the other, without letting any of them run in between on the same processor. And poll(2) looks at
//! its descriptors in the order of the array.
//!
//! # What the model leaves out
//!
//! Time is a choice: a timer may expire as soon as it is set, or any time later. Digests are equal or not.
//! The failures of a fetch are one, because the watcher treats them alike. A worker that is stopped while it
//! fetches dies at once by a signal that kills it, and not when it continues. Signals to the standby alone and
//! PIPE are left to the tests above.
//!
//! Five changes of the decisions break no property; the tables of both functions notice them. With `--supervise`
//! the model has no orphans, so it does not see that the end or the stop of another child would count as the
//! command's. Without its end, a child of the cleanup is noticed ten milliseconds later. And if the failure of a
//! fetch or the closed socket is ignored, the end of the standby leads to the same state.

mod actions;
mod calls;
mod handling;
mod kernel;
mod scenario;
mod watcher;
mod worker;
mod world;

use std::time::Instant;

use crate::explore::{Explored, NO_BUSY_LOOP, WAY_OUT, explore, walk};
use crate::process::terminal::Session;
use kernel::{Sender, Sig};
use scenario::{Fault, Scenario, Sending};

const NEVER_LOST: &str = "no signal that the command could catch is lost";
const NEVER_TWICE: &str = "no signal arrives twice but those to the whole group";
const OWN_SIGNALS_STAY: &str =
    "no signal of a command is sent back to it, and none reaches the next one";
const OLD_TREE_ENDS_FIRST: &str =
    "the new command starts after all processes of the old one have ended or are named";
const TERMINATION_CANCELS: &str =
    "a termination signal before the promotion prevents the new command";
const ONLY_TERMINATION_CANCELS: &str =
    "only a termination signal that the command's processes have not sent cancels a restart";
const CANCELLED_KILLS_NOTHING: &str = "a restart that has been cancelled does not kill the command";
const RIGHT_STATUS: &str = "phase-run ends with the status of the command that ran last";
const ENDED_IS_NOT_RESTARTED: &str = "a command that ends by itself is not restarted";
const STOPS_IN_A_JOB: &str = "phase-run stops itself only where a shell can continue it";
const LEASES: &str = "leases are taken for a restart and for a renewal, and by no poll";
const ONE_FETCH: &str = "there is at most one fetch at a time, and one for each poll";
const NO_SIGNAL_TO_REAPED: &str = "no signal goes to a pid that has been reaped";
const WHOLE_ENVIRONMENT: &str = "no command starts before its whole environment is there";

const NO_TERMINAL: Session = Session {
    has_terminal: false,
    is_leader: false,
};
const JOB: Session = Session {
    has_terminal: true,
    is_leader: false,
};
const LEADER: Session = Session {
    has_terminal: true,
    is_leader: true,
};

/// A restart after one poll, with one signal that nobody sends yet.
fn restart(sendings: Vec<Sending>) -> Scenario {
    Scenario {
        supervises_only: false,
        is_running: true,
        session: NO_TERMINAL,
        resumable: false,
        leases: false,
        has_daemon: false,
        ignored: None,
        sendings,
        signals: 1,
        polls: 1,
        restarts_once: true,
        accidents: 0,
        fault: None,
    }
}

fn to_watcher(sig: Sig, from: Sender) -> Sending {
    let to_group = false;
    Sending {
        sig,
        from,
        to_group,
    }
}

fn to_group(sig: Sig, from: Sender) -> Sending {
    let to_group = true;
    Sending {
        sig,
        from,
        to_group,
    }
}

fn signals_to_the_watcher() -> Scenario {
    restart(vec![
        to_watcher(Sig::Term, Sender::Stranger),
        to_watcher(Sig::Usr1, Sender::Outside),
        to_watcher(Sig::Rt, Sender::Stranger),
    ])
}

fn signals_to_the_group() -> Scenario {
    Scenario {
        has_daemon: true,
        ..restart(vec![
            to_group(Sig::Term, Sender::Stranger),
            to_group(Sig::Term, Sender::Worker(0)),
            to_group(Sig::Hup, Sender::Daemon),
        ])
    }
}

fn keys_of_a_terminal() -> Scenario {
    Scenario {
        session: JOB,
        ..restart(vec![
            to_group(Sig::Int, Sender::Terminal),
            to_group(Sig::Winch, Sender::Terminal),
        ])
    }
}

fn hangup_of_a_session_leader() -> Scenario {
    Scenario {
        session: LEADER,
        ..restart(vec![
            to_watcher(Sig::Hup, Sender::Hangup),
            to_watcher(Sig::Cont, Sender::Hangup),
            to_group(Sig::Int, Sender::Terminal),
        ])
    }
}

fn stops_and_continuations() -> Scenario {
    Scenario {
        session: JOB,
        resumable: true,
        ..restart(vec![
            to_group(Sig::Tstp, Sender::Terminal),
            to_group(Sig::Cont, Sender::Stranger),
            to_watcher(Sig::Cont, Sender::Stranger),
        ])
    }
}

fn signals_of_the_commands() -> Scenario {
    restart(vec![
        to_watcher(Sig::Hup, Sender::Worker(1)),
        to_watcher(Sig::Term, Sender::Worker(0)),
        to_watcher(Sig::Usr1, Sender::Stranger),
    ])
}

fn ignored_signal() -> Scenario {
    Scenario {
        ignored: Some(Sig::Hup),
        ..restart(vec![to_watcher(Sig::Hup, Sender::Stranger)])
    }
}

fn leases() -> Scenario {
    Scenario {
        leases: true,
        ..restart(vec![to_watcher(Sig::Usr1, Sender::Stranger)])
    }
}

fn accidents() -> Scenario {
    Scenario {
        accidents: 1,
        ..restart(vec![to_watcher(Sig::Term, Sender::Stranger)])
    }
}

fn start() -> Scenario {
    Scenario {
        is_running: false,
        session: JOB,
        ..restart(vec![
            to_group(Sig::Int, Sender::Terminal),
            to_watcher(Sig::Term, Sender::Stranger),
        ])
    }
}

fn supervise() -> Scenario {
    Scenario {
        supervises_only: true,
        is_running: false,
        session: JOB,
        resumable: true,
        signals: 2,
        ..restart(vec![
            to_group(Sig::Int, Sender::Terminal),
            to_group(Sig::Tstp, Sender::Terminal),
            to_watcher(Sig::Cont, Sender::Stranger),
            to_watcher(Sig::Term, Sender::Outside),
            to_watcher(Sig::Usr1, Sender::Worker(0)),
        ])
    }
}

/// phase-run stops with the command only in a job of a shell.
#[test]
fn stops_outside_of_a_job() {
    for bits in 0..8 {
        let scenario = Scenario {
            supervises_only: true,
            session: Session {
                has_terminal: bits & 1 != 0,
                is_leader: bits & 2 != 0,
            },
            resumable: bits & 4 != 0,
            ..restart(vec![to_group(Sig::Tstp, Sender::Stranger)])
        };
        check("stops_outside_of_a_job", scenario);
    }
}

/// All of it at once: too much to be explored completely.
fn everything() -> Scenario {
    let scenarios = [
        signals_to_the_watcher(),
        signals_to_the_group(),
        keys_of_a_terminal(),
        stops_and_continuations(),
        signals_of_the_commands(),
    ];
    Scenario {
        is_running: false,
        session: JOB,
        resumable: true,
        leases: true,
        has_daemon: true,
        signals: 3,
        polls: 2,
        restarts_once: false,
        accidents: 1,
        ..restart(scenarios.into_iter().flat_map(|one| one.sendings).collect())
    }
}

/// Returns what `scripts/model` asks for, for example the number of signals.
#[expect(clippy::disallowed_methods, reason = "a number, not a secret")]
fn asked_for(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

#[expect(
    clippy::print_stderr,
    clippy::disallowed_macros,
    reason = "scripts/model shows it"
)]
fn show(name: &str, explored: Explored, start: Instant) {
    let Explored {
        states,
        steps,
        depth,
    } = explored;
    let seconds = start.elapsed().as_secs_f32();
    eprintln!("{name}: {states} states, {steps} steps, depth {depth}, {seconds:.1} s");
}

/// Explores a scenario completely.
fn check(name: &str, mut scenario: Scenario) {
    let start = Instant::now();
    let number = |name| asked_for(name).and_then(|number| u8::try_from(number).ok());
    scenario.signals = number("MODEL_SIGNALS").unwrap_or(scenario.signals);
    scenario.polls = number("MODEL_POLLS").unwrap_or(scenario.polls);
    match explore(&scenario) {
        Ok(explored) => show(name, explored, start),
        Err(found) => panic!("{found:?}"),
    }
}

/// A test for each scenario.
macro_rules! explored {
    ($($scenario:ident),* $(,)?) => {
        mod explored {
            $(#[test]
            fn $scenario() {
                super::check(stringify!($scenario), super::$scenario());
            })*
        }
    };
}

explored!(
    signals_to_the_watcher,
    signals_to_the_group,
    keys_of_a_terminal,
    hangup_of_a_session_leader,
    stops_and_continuations,
    signals_of_the_commands,
    ignored_signal,
    leases,
    accidents,
    start,
    supervise,
);

#[test]
fn random_paths_of_everything() {
    let (start, paths) = (Instant::now(), asked_for("MODEL_PATHS").unwrap_or(500));
    match walk(&everything(), paths, 300, 0x5eed) {
        Ok(explored) => show("everything", explored, start),
        Err(found) => panic!("{found:?}"),
    }
}

/// `ForwardsToStandby` is what phase-run did until a signal during a restart was seen to be lost.
#[test]
fn every_fault_is_found() {
    let quiet = |scenario| Scenario {
        signals: 0,
        ..scenario
    };
    for (fault, scenario, property) in [
        (
            Fault::ForwardsToStandby,
            signals_to_the_watcher(),
            NEVER_LOST,
        ),
        (Fault::ReportFirst, keys_of_a_terminal(), NEVER_LOST),
        (Fault::NoReaping, signals_to_the_watcher(), NEVER_LOST),
        (
            Fault::PromotesWhileReaping,
            signals_to_the_watcher(),
            TERMINATION_CANCELS,
        ),
        (
            Fault::RestartsEnded,
            quiet(leases()),
            ENDED_IS_NOT_RESTARTED,
        ),
        (Fault::NoEarlySignals, supervise(), NEVER_LOST),
        (
            Fault::NoDiscarding,
            signals_to_the_group(),
            OWN_SIGNALS_STAY,
        ),
        (
            Fault::NoCleanup,
            quiet(signals_to_the_group()),
            OLD_TREE_ENDS_FIRST,
        ),
        (Fault::KeepsClosedSocket, quiet(accidents()), NO_BUSY_LOOP),
        (Fault::NoGrace, quiet(leases()), WAY_OUT),
    ] {
        let scenario = Scenario {
            fault: Some(fault),
            ..scenario
        };
        let found = explore(&scenario).err().map(|found| found.property);
        assert_eq!(found, Some(property), "{fault:?}");
    }
}
