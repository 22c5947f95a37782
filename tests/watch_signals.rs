//! Signals to a watching phase-run: while the command runs and a poll hangs, while the old command
//! stops, and while nothing runs.

use fake_phase::Gate;

use crate::support::proc::{asleep, children, gone, idle, only_child, stopped};
use crate::support::{
    DEADLINE, Output, Running, Shop, Status, WATCH, await_restart, change_secret, eventually, kill,
    queue, spawn_watched, watched_shop,
};

/// Ends when it has been told to and once more.
const SLOW: &str = "echo \"value $SECRET\"; exec \"$0\" serve 3";

/// Never ends by itself.
const FOR_EVER: &str = "echo \"value $SECRET\"; exec \"$0\" serve";

/// What asks for an end.
const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// A watch whose next poll hangs.
fn hanging(shop: &Shop, script: &str) -> (Running, Gate) {
    let running = spawn_watched(shop.with(&WATCH), script);
    let gate = shop.phase.gate("");
    gate.arrived(DEADLINE);
    (running, gate)
}

/// "while the old command runs, also during a poll, all are forwarded as ever".
#[test]
fn while_a_poll_hangs_the_command_gets_every_signal() {
    let shop = watched_shop();
    let (mut running, gate) = hanging(&shop, FOR_EVER);
    for signal in (1..=31).chain(34..=64) {
        if ![libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD].contains(&signal) {
            running.kill(signal);
            assert_eq!(running.signal().signal, signal);
        }
    }
    queue(running.pid(), 40, 7);
    assert_eq!(running.signal().value, 7);
    drop(gate);
    let _ = running.wait().ended(Status::Exited(0));
}

/// "An exit that nobody asked for ends phase-run with that status, also while a poll hangs", and the
/// standby goes with it.
#[test]
fn the_commands_end_while_a_poll_hangs_is_phase_runs() {
    let shop = watched_shop();
    let script = "echo \"value $SECRET\"; echo \"ready $$\"; read line; exit 7";
    let (mut running, gate) = hanging(&shop, script);
    let all = children(running.pid());
    assert_eq!(all.len(), 2);
    running.write(b"\n");
    // `wait` waits until nobody has standard error open any more.
    let output = running.wait().ended(Status::Exited(7));
    assert!(output.stderr.is_empty(), "{output}");
    gone(&all);
    drop(gate);
}

/// What kills the supervisor outright kills the command, and the standby too.
#[test]
fn a_killed_watcher_takes_both_with_it() {
    let shop = watched_shop();
    let (running, gate) = hanging(&shop, FOR_EVER);
    let all = children(running.pid());
    assert_eq!(all.len(), 2);
    running.kill(libc::SIGKILL);
    gone(&all);
    drop(gate);
    let _ = running.wait().ended(Status::Killed(libc::SIGKILL));
}

/// A command that was told to stop and has not ended yet.
fn stopping(shop: &Shop, script: &str) -> Running {
    let mut running = spawn_watched(shop.with(&["--watch", "1", "--grace", "60"]), script);
    change_secret(&shop.phase, "two");
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    running
}

/// "Once a restart has told it to stop, TERM, INT, HUP and QUIT cancel the start: forwarded if the
/// command still lives, whose status phase-run then has".
#[test]
fn a_signal_while_the_old_command_stops_cancels_the_start() {
    for signal in ENDING {
        let shop = watched_shop();
        let mut running = stopping(&shop, SLOW);
        let standby = children(running.pid());
        assert_eq!(standby.len(), 2);
        running.kill(signal);
        assert_eq!(running.signal().signal, signal);
        let output = running.wait().ended(Status::Exited(0));
        assert!(!output.text().contains("value two"), "{output}");
        let off = "phase-run: told to end: the new command is not started\n";
        assert!(output.stderr.ends_with(off), "{output}");
        gone(&standby);
    }
}

/// Every other one is the old command's, and the start goes on.
#[test]
fn another_signal_while_the_old_command_stops_is_forwarded() {
    let shop = watched_shop();
    let mut running = stopping(&shop, "echo \"value $SECRET\"; exec \"$0\" serve 4");
    for signal in [libc::SIGUSR1, 40] {
        running.kill(signal);
        assert_eq!(running.signal().signal, signal);
    }
    assert_eq!(running.line(), "value two");
    running.ready();
    let _ = end_with_input(running);
}

/// One that phase-run was started with ignored, as under nohup(1), cancels nothing.
#[test]
fn an_ignored_signal_cancels_nothing() {
    let shop = watched_shop();
    let run = shop.with(&WATCH).ignore(libc::SIGHUP);
    let mut running = spawn_watched(run, SLOW);
    change_secret(&shop.phase, "two");
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    running.kill(libc::SIGHUP);
    running.kill(libc::SIGUSR1);
    assert_eq!(running.signal().signal, libc::SIGUSR1);
    assert_eq!(running.line(), "value two");
    running.ready();
    let _ = end_with_input(running);
}

fn end_with_input(running: Running) -> Output {
    running.kill(libc::SIGTERM);
    running.kill(libc::SIGCONT);
    running.wait()
}

/// Many a script signals its whole group while it stops: neither the start nor the standby is hit,
/// whether the command does it or something that it started.
#[test]
fn a_command_that_signals_its_group_while_it_stops_is_started_anew() {
    let serve = "echo \"value $SECRET\"; \"$0\" serve 2 || :";
    let scripts = [
        format!("{serve}; trap : TERM; kill -TERM 0; exit 3"),
        format!("{serve}; trap : TERM; (trap - TERM; kill -TERM 0; exec sleep 1000); exit 3"),
    ];
    for script in scripts {
        let shop = watched_shop();
        let mut running = spawn_watched(shop.with(&WATCH).own_group(), &script);
        change_secret(&shop.phase, "two");
        await_restart(&mut running, "two");
        running.kill(libc::SIGKILL);
        let _ = running.wait().ended(Status::Killed(libc::SIGKILL));
    }
}

/// What keeps the new command from starting: a daemon that ignores TERM.
const DAEMON: &str = "echo \"value $SECRET\"; trap '' TERM; setsid \"$0\" sleep >&2 & \
                      trap - TERM; exec \"$0\" serve 2";

/// The old command is gone, its daemon is not.
fn clearing(shop: &Shop) -> (Running, i32) {
    clearing_of(shop, DAEMON)
}

fn clearing_of(shop: &Shop, script: &str) -> (Running, i32) {
    let mut running = spawn_watched(shop.with(&["--watch", "1", "--grace", "60"]), script);
    let daemon = ready(&running.stderr_line());
    let old = command_of(running.pid(), daemon);
    change_secret(&shop.phase, "two");
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    // Reaped: a dead one would be taken for the standby.
    eventually("the daemon and the standby", || {
        let all = children(running.pid());
        match all.len() == 2 && all.contains(&daemon) && !all.contains(&old) {
            true => Ok(()),
            false => Err(all),
        }
    });
    (running, daemon)
}

/// The child that is not the daemon.
fn command_of(watcher: i32, daemon: i32) -> i32 {
    let all = children(watcher);
    *all.iter().find(|pid| **pid != daemon).unwrap()
}

/// "by that signal if it is already gone".
#[test]
fn a_signal_while_nothing_runs_ends_phase_run_by_it() {
    for signal in ENDING {
        let shop = watched_shop();
        let (running, daemon) = clearing(&shop);
        let standby = command_of(running.pid(), daemon);
        running.kill(signal);
        gone(&[standby]);
        kill(daemon, libc::SIGKILL);
        let output = running.wait().ended(Status::Killed(signal));
        assert!(!output.text().contains("value two"), "{output}");
    }
}

/// Every other one waits for the new command.
#[test]
fn another_signal_while_nothing_runs_is_the_new_commands() {
    let shop = watched_shop();
    let (mut running, daemon) = clearing(&shop);
    // Ignored by default, or it would end a program that does not catch it yet.
    running.kill(libc::SIGWINCH);
    asleep(running.pid());
    kill(daemon, libc::SIGKILL);
    assert_eq!(running.line(), "value two");
    running.ready();
    let _ = running.stderr_line();
    kill(ready(&running.stderr_line()), libc::SIGKILL);
    running.kill(libc::SIGKILL);
    let _ = running.wait().ended(Status::Killed(libc::SIGKILL));
}

/// The pid that the inspector tells in this line.
fn ready(line: &str) -> i32 {
    let pid = line.strip_prefix("ready ").and_then(|pid| pid.parse().ok());
    pid.unwrap_or_else(|| panic!("{line}"))
}

/// Neither a signal that came while nothing ran nor one that comes while the new command is on its
/// way is lost: here it is stopped on that way, so that all of them come before it goes on.
#[test]
fn a_signal_while_the_new_command_is_on_its_way_reaches_it() {
    for (early, late) in [
        (None, Some(libc::SIGTERM)),
        (Some(libc::SIGUSR1), None),
        (None, Some(40)),
    ] {
        let shop = watched_shop();
        // The new one leaves nothing: it may have begun when what was kept arrives.
        let script = format!("[ $SECRET = two ] && exec \"$0\" sleep; {DAEMON}");
        let (running, daemon) = clearing_of(&shop, &script);
        let standby = command_of(running.pid(), daemon);
        kill(standby, libc::SIGSTOP);
        stopped(&[standby]);
        if let Some(signal) = early {
            running.kill(signal);
            idle(running.pid());
        }
        kill(daemon, libc::SIGKILL);
        eventually("told to start", || {
            match children(running.pid()).as_slice() {
                [only] if *only == standby => Ok(()),
                other => Err(other.to_vec()),
            }
        });
        idle(running.pid());
        if let Some(signal) = late {
            running.kill(signal);
            idle(running.pid());
        }
        kill(standby, libc::SIGCONT);
        // Each of them ends a program that does not catch it, and so the command.
        let signal = early.or(late).unwrap();
        let _ = running.wait().ended(Status::Killed(signal));
    }
}

/// A standby that is killed from outside: the poll has failed, the command goes on.
#[test]
fn a_standby_that_is_killed_is_a_failed_poll() {
    let shop = watched_shop();
    let (mut running, gate) = hanging(&shop, FOR_EVER);
    let standby = *children(running.pid()).last().unwrap();
    kill(standby, libc::SIGKILL);
    let said = running.stderr_line();
    assert_eq!(
        said,
        "phase-run: warning: a poll failed, and the command goes on as it is: \
         error[exec]: its process was killed by signal KILL"
    );
    drop(gate);
    assert_eq!(
        running.stderr_line(),
        "phase-run: the secrets can be read again"
    );
    only_child(running.pid());
    assert!(running.signals().is_empty());
    let _ = running.wait().ended(Status::Exited(0));
}

/// A standby that is killed while the old command stops: there is nothing to start, and phase-run
/// ends as it did.
#[test]
fn a_standby_that_is_killed_during_a_restart_is_the_end() {
    let shop = watched_shop();
    let mut running = stopping(&shop, SLOW);
    let standby = *children(running.pid()).last().unwrap();
    kill(standby, libc::SIGKILL);
    assert_eq!(
        running.stderr_line(),
        "phase-run: the secrets have changed: restarting the command"
    );
    assert_eq!(
        running.stderr_line(),
        "phase-run: warning: cannot start the command anew: its process was killed by signal KILL"
    );
    running.kill(libc::SIGUSR1);
    let _ = running.wait().ended(Status::Killed(libc::SIGKILL));
}

/// A log collector that does not read must not keep a signal from the command.
#[test]
fn a_full_standard_error_keeps_no_signal_back() {
    let shop = watched_shop();
    let (reader, writer) = std::io::pipe().unwrap();
    let run = shop
        .with(&WATCH)
        .wrap(["sh", "-c", "exec 2>&7; exec \"$0\" \"$@\""]);
    let mut running = spawn_watched(run.hand_over(&writer, 7), FOR_EVER);
    fill(&writer);
    let standby = shop.phase.gate("");
    standby.arrived(DEADLINE);
    let all = children(running.pid());
    kill(*all.last().unwrap(), libc::SIGKILL);
    only_child(running.pid());
    running.kill(libc::SIGUSR1);
    assert_eq!(running.signal().signal, libc::SIGUSR1);
    drop(reader);
    drop(standby);
    let _ = running.wait().ended(Status::Exited(0));
}

fn fill(mut pipe: &std::io::PipeWriter) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use std::io::Write;
    let flags = OFlag::from_bits_truncate(fcntl(pipe, FcntlArg::F_GETFL).unwrap());
    fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    fcntl(pipe, FcntlArg::F_SETFL(flags)).unwrap();
}
