//! A supervised command where phase-run is the session leader of its terminal, as under `ssh -t` or
//! `docker run -it`: there is no shell, and a hangup is sent to the leader alone.

#![cfg(target_os = "linux")]

use std::fs::metadata;

use libc::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    InspectorLog, LaunchMode, Run, Shop, Status, Terminal, inspector, proc, require_root, shop,
};

/// The si_code of a signal that the terminal has sent (sigaction(2), SI_KERNEL).
const KERNEL: i32 = 128;

const MODES: [LaunchMode; 3] = [LaunchMode::Bare, LaunchMode::Exec, LaunchMode::Supervised];

fn run<'a>(mode: LaunchMode, shop: &'a Shop, command: &[&str]) -> Run<'a> {
    shop.bare(mode.command_prefix(shop.program()).iter().chain(command))
}

/// Runs the inspector on its own terminal in each mode, waits until it is ready, and passes its pid
/// in the namespace of the test.
fn in_each_mode(
    words: &[&str],
    prepare: fn(Run<'_>) -> Run<'_>,
    case: impl Fn(LaunchMode, &mut Terminal, i32),
) {
    for mode in MODES {
        let shop = shop([("SECRET", "value")]);
        let command: Vec<&str> = [inspector(), "serve"]
            .iter()
            .chain(words)
            .copied()
            .collect();
        let mut terminal = prepare(run(mode, &shop, &command)).on_terminal();
        let own = terminal.wait_until_ready();
        let leader = terminal.pid();
        // In a PID namespace the inspector sees another pid of its own.
        let command = proc::command_of(leader);
        assert!(own == command || own <= 2, "{own} {command}");
        case(mode, &mut terminal, command);
    }
}

fn as_pid1(run: Run<'_>) -> Run<'_> {
    run.as_pid1()
}

fn unchanged(run: Run<'_>) -> Run<'_> {
    run
}

/// INT, QUIT and WINCH from the terminal are not forwarded: the command has them already.
#[test]
fn terminal_key_of_session_leader_arrives_once() {
    for prepare in [unchanged, as_pid1] {
        in_each_mode(&[], prepare, |mode, terminal, _| {
            for (key, signal) in [("\x03", SIGINT), ("\x1c", SIGQUIT)] {
                terminal.press(key);
                assert_eq!(terminal.next_signal(), (signal, KERNEL), "{mode:?}");
                let more = terminal.signals_until_barrier(terminal.pid());
                assert_eq!(more, [], "{mode:?}");
            }
            terminal.resize(50, 132);
            assert_eq!(terminal.next_signal(), (SIGWINCH, KERNEL), "{mode:?}");
            let more = terminal.signals_until_barrier(terminal.pid());
            assert_eq!(more, [], "{mode:?}");
        });
    }
}

/// A session leader forwards HUP and CONT, because a hangup is sent to the leader alone (tty(4)).
#[test]
fn hangup_of_session_leader_arrives_once() {
    for prepare in [unchanged, as_pid1] {
        for mode in MODES {
            let shop = shop([("SECRET", "value")]);
            // The inspector ends with its input, which ends with the terminal.
            let silence = "mkfifo silence; exec \"$@\" >log 0<>silence";
            let serving = run(mode, &shop, &[inspector(), "serve"]);
            let serving = prepare(serving.wrap(["sh", "-c", silence, "sh"]));
            let mut terminal = serving.on_terminal();
            let log = InspectorLog::in_directory(shop.directory());
            log.wait_until_ready();
            let leader = terminal.pid();
            terminal.hang_up();
            let received = log.signals_until_barrier(leader, 2);
            let received: Vec<i32> = received.iter().map(|(signal, _)| *signal).collect();
            assert_eq!(received, [SIGHUP, SIGCONT], "{mode:?}");
        }
    }
}

/// The hangup ends the command and phase-run with it: no process outlives the terminal.
#[test]
fn hangup_ends_command_of_session_leader() {
    for mode in MODES {
        let shop = shop([("SECRET", "value")]);
        let mut terminal = run(mode, &shop, &[inspector(), "sleep"]).on_terminal();
        let command = terminal.wait_until_ready();
        terminal.hang_up();
        assert_eq!(terminal.wait(), Status::Killed(SIGHUP), "{mode:?}");
        proc::wait_until_gone(&[command]);
    }
}

/// credentials(7): the kernel discards stop signals for an orphaned group, which nobody could
/// resume.
#[test]
fn ctrl_z_without_shell_is_discarded() {
    for prepare in [unchanged, as_pid1] {
        // The inspector does not catch TSTP.
        in_each_mode(&["100", "20"], prepare, |mode, terminal, command| {
            terminal.press("\x1a\x03");
            assert_eq!(terminal.next_signal(), (SIGINT, KERNEL), "{mode:?}");
            let leader = terminal.pid();
            assert_eq!(terminal.signals_until_barrier(leader), [], "{mode:?}");
            for pid in [command, leader] {
                assert_ne!(proc::state(pid), 'T', "{mode:?}");
            }
        });
    }
}

/// A session leader does not stop with the command, because nobody could resume it.
#[test]
fn stop_of_command_does_not_stop_session_leader() {
    for prepare in [unchanged, as_pid1] {
        in_each_mode(&[], prepare, |mode, terminal, command| {
            let leader = terminal.pid();
            // A bare PID 1 can be stopped from outside its namespace like any other.
            for _ in 0..3 {
                kill(Pid::from_raw(command), Signal::SIGSTOP).unwrap();
                proc::wait_until_stopped(&[command]);
                if command != leader {
                    proc::wait_until_asleep(leader);
                    assert_eq!(proc::state(command), 'T', "{mode:?}");
                }
                kill(Pid::from_raw(command), Signal::SIGCONT).unwrap();
                assert_eq!(terminal.next_signal().0, SIGCONT, "{mode:?}");
                assert_eq!(terminal.signals_until_barrier(leader), [], "{mode:?}");
            }
        });
    }
}

/// PID 1 ignores signals that it does not handle (pid_namespaces(7)), and so does the bare command
/// as PID 1. Under phase-run the command has another pid.
#[test]
fn ctrl_c_and_hangup_end_command_of_pid1() {
    for (signal, press) in [
        (SIGINT, Some("\x03")),
        (SIGQUIT, Some("\x1c")),
        (SIGHUP, None),
    ] {
        let shop = shop([("SECRET", "value")]);
        let sleeping = run(LaunchMode::Supervised, &shop, &[inspector(), "sleep"]);
        let mut terminal = sleeping.as_pid1().on_terminal();
        assert_eq!(terminal.wait_until_ready(), 2);
        let command = proc::command_of(terminal.pid());
        match press {
            Some(key) => terminal.press(key),
            None => terminal.hang_up(),
        }
        assert_eq!(terminal.wait(), Status::Exited(128 + signal));
        proc::wait_until_gone(&[command]);
    }
}

/// `docker stop`: the sender is outside phase-run's PID namespace.
#[test]
fn outside_signal_to_pid1_with_terminal_arrives_once() {
    in_each_mode(&[], as_pid1, |mode, terminal, _| {
        let leader = terminal.pid();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGTSTP,
        ] {
            kill(Pid::from_raw(leader), signal).unwrap();
            assert_eq!(terminal.next_signal().0, signal as i32, "{mode:?} {signal}");
            assert_eq!(
                terminal.signals_until_barrier(leader),
                [],
                "{mode:?} {signal}"
            );
        }
    });
    let shop = shop([("SECRET", "value")]);
    let sleeping = run(LaunchMode::Supervised, &shop, &[inspector(), "sleep"]);
    let mut terminal = sleeping.as_pid1().on_terminal();
    terminal.wait_until_ready();
    kill(Pid::from_raw(terminal.pid()), Signal::SIGTERM).unwrap();
    assert_eq!(terminal.wait(), Status::Exited(128 + SIGTERM));
}

/// A helper in the group that phase-run leads signals PID 1 and means the command.
#[test]
fn helper_that_signals_pid1_reaches_command() {
    let entrypoint = "mkfifo go; (read word <go; kill -HUP 1) & exec \"$@\"";
    for mode in MODES {
        let shop = shop([("SECRET", "value")]);
        let serving = run(mode, &shop, &[inspector(), "serve"]);
        let serving = serving.wrap(["sh", "-c", entrypoint, "sh"]).as_pid1();
        let mut terminal = serving.on_terminal();
        terminal.wait_until_ready();
        std::fs::write(shop.directory().join("go"), "now\n").unwrap();
        let signal = next_signal_except_chld(&mut terminal);
        assert_eq!(signal, SIGHUP, "{mode:?}");
        let leader = terminal.pid();
        let more = terminal.signals_until_barrier(leader);
        // Without phase-run the helper is a child of the command.
        assert!(
            more.iter().all(|(signal, _)| *signal == libc::SIGCHLD),
            "{mode:?} {more:?}"
        );
    }
}

/// Returns the next signal that is not CHLD.
fn next_signal_except_chld(terminal: &mut Terminal) -> i32 {
    loop {
        match terminal.next_signal() {
            (libc::SIGCHLD, _) => {}
            (signal, _) => return signal,
        }
    }
}

/// Without /dev/tty the terminal is found through descriptors 0, 1 and 2. Any one of them is
/// enough.
#[test]
fn terminal_without_dev_tty_is_found_through_stdio() {
    if !require_root("only root can hide /dev") {
        return;
    }
    // All of the descriptors stay on the terminal, or one of them.
    for left in [
        "",
        "1<>silence 2<>silence",
        "0<>silence 2<>silence",
        "0<>silence 1<>silence",
    ] {
        for mode in MODES {
            let shop = shop([("SECRET", "value")]);
            let script = "#!/bin/sh\nexec \"$1\" serve >log 0<>silence\n";
            let script = shop.executable("report", script);
            let script = script.to_str().unwrap();
            let prepare =
                format!("mkfifo silence && mount -t tmpfs none /dev && exec \"$@\" {left}");
            let serving = run(mode, &shop, &[script, inspector()]);
            let words = ["unshare", "--mount", "sh", "-c", &prepare, "sh"];
            let mut terminal = serving.wrap(words).on_terminal();
            let log = InspectorLog::in_directory(shop.directory());
            log.wait_until_ready();
            let leader = terminal.pid();
            assert!(metadata(format!("/proc/{leader}/root/dev/tty")).is_err());
            terminal.press("\x03");
            let received = log.signals_until_barrier(leader, 1);
            assert_eq!(received, [(SIGINT, KERNEL)], "{mode:?} {left:?}");
        }
    }
}
