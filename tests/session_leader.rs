//! A supervised command where phase-run leads the terminal's session, as under `ssh -t` or
//! `docker run -it`: there is no shell, and a hangup tells the leader alone.

use std::fs::metadata;

use libc::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    InspectorLog, LaunchMode, Run, Shop, Status, Terminal, has_root, inspector, proc, shop,
};

/// What siginfo_t says of a signal that the terminal made (sigaction(2), SI_KERNEL).
const KERNEL: i32 = 128;

const MODES: [LaunchMode; 3] = [LaunchMode::Bare, LaunchMode::Exec, LaunchMode::Supervised];

fn run<'a>(mode: LaunchMode, shop: &'a Shop, command: &[&str]) -> Run<'a> {
    shop.bare(mode.words(shop.program()).iter().chain(command))
}

/// The inspector on a terminal of its own in each mode, ready, with its pid as the test sees it.
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
        let own = terminal.ready();
        let leader = terminal.pid();
        // In a PID namespace its own view of its pid is another.
        let command = proc::command(leader);
        assert!(own == command || own <= 2, "{own} {command}");
        case(mode, &mut terminal, command);
    }
}

fn as_pid1(run: Run<'_>) -> Run<'_> {
    run.as_pid1()
}

fn itself(run: Run<'_>) -> Run<'_> {
    run
}

/// INT, QUIT and WINCH "that the kernel made for the terminal's group" are not
/// forwarded; the command has them.
#[test]
fn a_key_reaches_the_command_of_a_session_leader_once() {
    for prepare in [itself, as_pid1] {
        in_each_mode(&[], prepare, |mode, terminal, _| {
            for (key, signal) in [("\x03", SIGINT), ("\x1c", SIGQUIT)] {
                terminal.press(key);
                assert_eq!(terminal.reported(), (signal, KERNEL), "{mode:?}");
                let more = terminal.reported_until_marked(terminal.pid());
                assert_eq!(more, [], "{mode:?}");
            }
            terminal.resize(50, 132);
            assert_eq!(terminal.reported(), (SIGWINCH, KERNEL), "{mode:?}");
            let more = terminal.reported_until_marked(terminal.pid());
            assert_eq!(more, [], "{mode:?}");
        });
    }
}

/// "a session leader forwards HUP and CONT": a hangup tells only the leader (tty(4)).
#[test]
fn a_hangup_reaches_the_command_of_a_session_leader_once() {
    for prepare in [itself, as_pid1] {
        for mode in MODES {
            let shop = shop([("SECRET", "value")]);
            // The inspector ends with its input, which ends with the terminal.
            let silence = "mkfifo silence; exec \"$@\" >log 0<>silence";
            let serving = run(mode, &shop, &[inspector(), "serve"]);
            let serving = prepare(serving.wrap(["sh", "-c", silence, "sh"]));
            let mut terminal = serving.on_terminal();
            let log = InspectorLog::in_directory(shop.directory());
            log.ready();
            let leader = terminal.pid();
            terminal.hang_up();
            let told = log.reported_until_marked(leader, 2);
            let told: Vec<i32> = told.iter().map(|(signal, _)| *signal).collect();
            assert_eq!(told, [SIGHUP, SIGCONT], "{mode:?}");
        }
    }
}

/// signal(7): the command ends by the hangup, and phase-run with it: nobody outlives the terminal.
#[test]
fn a_hangup_ends_what_a_session_leader_runs() {
    for mode in MODES {
        let shop = shop([("SECRET", "value")]);
        let mut terminal = run(mode, &shop, &[inspector(), "sleep"]).on_terminal();
        let command = terminal.ready();
        terminal.hang_up();
        assert_eq!(terminal.ended(), Status::Killed(SIGHUP), "{mode:?}");
        proc::gone(&[command]);
    }
}

/// credentials(7): in an orphaned group, where nobody could resume it, the kernel discards the stop.
#[test]
fn ctrl_z_without_a_shell_is_discarded() {
    for prepare in [itself, as_pid1] {
        // TSTP does what it does to any program.
        in_each_mode(&["100", "20"], prepare, |mode, terminal, command| {
            terminal.press("\x1a\x03");
            assert_eq!(terminal.reported(), (SIGINT, KERNEL), "{mode:?}");
            let leader = terminal.pid();
            assert_eq!(terminal.reported_until_marked(leader), [], "{mode:?}");
            for pid in [command, leader] {
                assert_ne!(proc::state(pid), 'T', "{mode:?}");
            }
        });
    }
}

/// "phase-run stops … if there is … somebody who can resume it (not as session leader …)": it would
/// never go on.
#[test]
fn a_stop_of_the_command_does_not_stop_a_session_leader() {
    for prepare in [itself, as_pid1] {
        in_each_mode(&[], prepare, |mode, terminal, command| {
            let leader = terminal.pid();
            // A bare PID 1 can be stopped from outside its namespace like any other.
            for _ in 0..3 {
                kill(Pid::from_raw(command), Signal::SIGSTOP).unwrap();
                proc::stopped(&[command]);
                if command != leader {
                    proc::asleep(leader);
                    assert_eq!(proc::state(command), 'T', "{mode:?}");
                }
                kill(Pid::from_raw(command), Signal::SIGCONT).unwrap();
                assert_eq!(terminal.reported().0, SIGCONT, "{mode:?}");
                assert_eq!(terminal.reported_until_marked(leader), [], "{mode:?}");
            }
        });
    }
}

/// PID 1 ignores what it has no handler for (pid_namespaces(7)), and so does the bare command as PID
/// 1; under phase-run it is another process.
#[test]
fn ctrl_c_and_a_hangup_end_the_command_of_pid_1() {
    for (signal, press) in [
        (SIGINT, Some("\x03")),
        (SIGQUIT, Some("\x1c")),
        (SIGHUP, None),
    ] {
        let shop = shop([("SECRET", "value")]);
        let sleeping = run(LaunchMode::Supervised, &shop, &[inspector(), "sleep"]);
        let mut terminal = sleeping.as_pid1().on_terminal();
        assert_eq!(terminal.ready(), 2);
        let command = proc::command(terminal.pid());
        match press {
            Some(key) => terminal.press(key),
            None => terminal.hang_up(),
        }
        assert_eq!(terminal.ended(), Status::Exited(128 + signal));
        proc::gone(&[command]);
    }
}

/// As `docker stop` does: the sender is in no PID namespace that phase-run knows.
#[test]
fn a_signal_from_outside_reaches_the_command_of_pid_1_once() {
    in_each_mode(&[], as_pid1, |mode, terminal, _| {
        let leader = terminal.pid();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGTSTP,
        ] {
            kill(Pid::from_raw(leader), signal).unwrap();
            assert_eq!(terminal.reported().0, signal as i32, "{mode:?} {signal}");
            assert_eq!(
                terminal.reported_until_marked(leader),
                [],
                "{mode:?} {signal}"
            );
        }
    });
    let shop = shop([("SECRET", "value")]);
    let sleeping = run(LaunchMode::Supervised, &shop, &[inspector(), "sleep"]);
    let mut terminal = sleeping.as_pid1().on_terminal();
    terminal.ready();
    kill(Pid::from_raw(terminal.pid()), Signal::SIGTERM).unwrap();
    assert_eq!(terminal.ended(), Status::Exited(128 + SIGTERM));
}

/// A helper in the group that phase-run leads speaks to PID 1 and means the command.
#[test]
fn a_helper_that_signals_pid_1_reaches_the_command() {
    let entrypoint = "mkfifo go; (read word <go; kill -HUP 1) & exec \"$@\"";
    for mode in MODES {
        let shop = shop([("SECRET", "value")]);
        let serving = run(mode, &shop, &[inspector(), "serve"]);
        let serving = serving.wrap(["sh", "-c", entrypoint, "sh"]).as_pid1();
        let mut terminal = serving.on_terminal();
        terminal.ready();
        std::fs::write(shop.directory().join("go"), "now\n").unwrap();
        let told = other_than_a_childs_end(&mut terminal);
        assert_eq!(told, SIGHUP, "{mode:?}");
        let leader = terminal.pid();
        let more = terminal.reported_until_marked(leader);
        // Bare, the helper is the command's own child.
        assert!(
            more.iter().all(|(signal, _)| *signal == libc::SIGCHLD),
            "{mode:?} {more:?}"
        );
    }
}

/// The next signal that is not a child's end.
fn other_than_a_childs_end(terminal: &mut Terminal) -> i32 {
    loop {
        match terminal.reported() {
            (libc::SIGCHLD, _) => {}
            (signal, _) => return signal,
        }
    }
}

/// "and where that name is missing tcgetpgrp on 0, 1, 2": any one of them is enough.
#[test]
fn a_terminal_without_a_name_is_found_through_the_standard_descriptors() {
    if !has_root("only root can hide /dev") {
        return;
    }
    // What is left on the terminal: all, or one of the three.
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
            log.ready();
            let leader = terminal.pid();
            assert!(metadata(format!("/proc/{leader}/root/dev/tty")).is_err());
            terminal.press("\x03");
            let told = log.reported_until_marked(leader, 1);
            assert_eq!(told, [(SIGINT, KERNEL)], "{mode:?} {left:?}");
        }
    }
}
