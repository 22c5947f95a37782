//! Signals to a watching phase-run: while the command runs and a poll hangs, while the old command
//! stops, and while no command runs.

#![cfg(target_os = "linux")]

use fake_phase::Gate;

use crate::support::proc::{
    children, wait_for_only_child, wait_until_asleep, wait_until_gone, wait_until_idle,
    wait_until_stopped,
};
use crate::support::{
    DEADLINE, Output, Running, Shop, Status, WATCH, await_restart, eventually, fill_pipe, kill,
    queue, set_secret_value, spawn_watched, watched_shop,
};

/// Ends after the two signals of a restart and one more.
const SLOW: &str = "echo \"value $SECRET\"; exec \"$0\" serve 3";

/// Never ends by a signal that it can catch.
const STUBBORN: &str = "echo \"value $SECRET\"; exec \"$0\" serve";

/// The signals that cancel a restart.
const TERMINATION_SIGNALS: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// A watch whose next poll hangs.
fn hanging_poll(shop: &Shop, script: &str) -> (Running, Gate) {
    let running = spawn_watched(shop.run_with(&WATCH), script);
    let gate = shop.phase.gate("");
    gate.wait_for_request(DEADLINE);
    (running, gate)
}

/// While the old command runs, all signals are forwarded, also during a poll.
#[test]
fn signals_are_forwarded_while_poll_hangs() {
    let shop = watched_shop();
    let (mut running, gate) = hanging_poll(&shop, STUBBORN);
    for signal in (1..=31).chain(34..=64) {
        if ![libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD].contains(&signal) {
            running.kill(signal);
            assert_eq!(running.signal().signal, signal);
        }
    }
    queue(running.pid(), 40, 7);
    assert_eq!(running.signal().value, 7);
    drop(gate);
    let _ = running.wait().assert_status(Status::Exited(0));
}

/// A signal to the whole group stops the standby too, and whoever continues phase-run may not know the standby.
#[test]
fn stopped_standby_is_continued() {
    let shop = watched_shop();
    let (mut running, gate) = hanging_poll(&shop, STUBBORN);
    let all = children(running.pid());
    let [_, standby] = all.as_slice() else {
        panic!("expected a command and a standby, not {all:?}");
    };
    set_secret_value(&shop.phase, "two");
    kill(*standby, libc::SIGSTOP);
    drop(gate);
    assert_eq!(running.signal().signal, libc::SIGTERM);
    running.kill(libc::SIGKILL);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
}

/// The C library keeps signals 32 and 33 for itself, but a command can die by them.
#[test]
fn death_by_signal_32_ends_watch() {
    let shop = watched_shop();
    let script = "echo \"value $SECRET\"; echo \"ready $$\"; read line; kill -32 $$";
    let mut running = spawn_watched(shop.run_with(&WATCH), script);
    running.write(b"\n");
    let output = running.wait().assert_status(Status::Killed(32));
    assert!(output.stderr.is_empty(), "{output}");
}

/// When the command ends by itself, phase-run ends with its status, and the standby ends too.
#[test]
fn command_exit_ends_watch_while_poll_hangs() {
    let shop = watched_shop();
    let script = "echo \"value $SECRET\"; echo \"ready $$\"; read line; exit 7";
    let (mut running, gate) = hanging_poll(&shop, script);
    let all = children(running.pid());
    assert_eq!(all.len(), 2);
    running.write(b"\n");
    // `wait` blocks until no process has standard error open.
    let output = running.wait().assert_status(Status::Exited(7));
    assert!(output.stderr.is_empty(), "{output}");
    wait_until_gone(&all);
    drop(gate);
}

/// When the supervisor dies, the kernel kills the command and the standby.
#[test]
fn killed_watcher_kills_command_and_standby() {
    let shop = watched_shop();
    let (running, gate) = hanging_poll(&shop, STUBBORN);
    let all = children(running.pid());
    assert_eq!(all.len(), 2);
    running.kill(libc::SIGKILL);
    wait_until_gone(&all);
    drop(gate);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
}

/// A watch whose command was told to stop and has not ended yet.
fn stopping_command(shop: &Shop, script: &str) -> Running {
    let mut running = spawn_watched(shop.run_with(&["--watch", "1", "--grace", "60"]), script);
    set_secret_value(&shop.phase, "two");
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    running
}

/// While the old command stops, a termination signal is forwarded to it and cancels the restart.
/// phase-run then ends with its status.
#[test]
fn termination_signal_while_stopping_cancels_start() {
    for signal in TERMINATION_SIGNALS {
        let shop = watched_shop();
        let mut running = stopping_command(&shop, SLOW);
        let standby = children(running.pid());
        assert_eq!(standby.len(), 2);
        running.kill(signal);
        assert_eq!(running.signal().signal, signal);
        let output = running.wait().assert_status(Status::Exited(0));
        assert!(!output.text().contains("value two"), "{output}");
        let off = "phase-run: asked to shut down: not starting the new command\n";
        assert!(output.stderr.ends_with(off), "{output}");
        wait_until_gone(&standby);
    }
}

/// Every other signal is forwarded to the old command, and the restart continues.
#[test]
fn other_signal_while_stopping_is_forwarded() {
    let shop = watched_shop();
    let mut running = stopping_command(&shop, "echo \"value $SECRET\"; exec \"$0\" serve 4");
    for signal in [libc::SIGUSR1, 40] {
        running.kill(signal);
        assert_eq!(running.signal().signal, signal);
    }
    assert_eq!(running.line(), "value two");
    running.wait_until_ready();
    let _ = end_with_input(running);
}

/// A signal that phase-run was started with ignored, as under nohup(1), does not cancel the
/// restart.
#[test]
fn ignored_signal_does_not_cancel_restart() {
    let shop = watched_shop();
    let run = shop.run_with(&WATCH).ignore(libc::SIGHUP);
    let mut running = spawn_watched(run, SLOW);
    set_secret_value(&shop.phase, "two");
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    running.kill(libc::SIGHUP);
    running.kill(libc::SIGUSR1);
    assert_eq!(running.signal().signal, libc::SIGUSR1);
    assert_eq!(running.line(), "value two");
    running.wait_until_ready();
    let _ = end_with_input(running);
}

fn end_with_input(running: Running) -> Output {
    running.kill(libc::SIGTERM);
    running.kill(libc::SIGCONT);
    running.wait()
}

/// Many scripts signal their whole group while they stop. That neither cancels the restart nor
/// kills the standby, whether the command or one of its children does it.
#[test]
fn group_signal_while_stopping_keeps_restart() {
    let serve = "echo \"value $SECRET\"; \"$0\" serve 2 || :";
    let scripts = [
        format!("{serve}; trap : TERM; kill -TERM 0; exit 3"),
        format!("{serve}; trap : TERM; (trap - TERM; kill -TERM 0; exec sleep 1000); exit 3"),
    ];
    for script in scripts {
        let shop = watched_shop();
        let mut running = spawn_watched(shop.run_with(&WATCH).own_group(), &script);
        set_secret_value(&shop.phase, "two");
        await_restart(&mut running, "two");
        running.kill(libc::SIGKILL);
        let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
    }
}

/// A command with a daemon that ignores TERM, which delays the new command.
const DAEMON: &str = "echo \"value $SECRET\"; trap '' TERM; setsid \"$0\" sleep >&2 & \
                      trap - TERM; exec \"$0\" serve 2";

/// A watch whose old command has ended and whose daemon has not.
fn cleaning_up(shop: &Shop) -> (Running, i32) {
    cleaning_up_after(shop, DAEMON)
}

fn cleaning_up_after(shop: &Shop, script: &str) -> (Running, i32) {
    let mut running = spawn_watched(shop.run_with(&["--watch", "1", "--grace", "60"]), script);
    let daemon = running.wait_until_ready_on_stderr();
    let old = command_of(running.pid(), daemon);
    set_secret_value(&shop.phase, "two");
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    // The old command is reaped: a zombie would be taken for the standby.
    eventually("there are a daemon and a standby", || {
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

/// If the old command has already ended, phase-run dies by the termination signal.
#[test]
fn termination_signal_without_command_ends_watch() {
    for signal in TERMINATION_SIGNALS {
        let shop = watched_shop();
        let (running, daemon) = cleaning_up(&shop);
        let standby = command_of(running.pid(), daemon);
        running.kill(signal);
        wait_until_gone(&[standby]);
        kill(daemon, libc::SIGKILL);
        let output = running.wait().assert_status(Status::Killed(signal));
        assert!(!output.text().contains("value two"), "{output}");
    }
}

/// Every other signal waits for the new command.
#[test]
fn other_signal_without_command_reaches_new_one() {
    let shop = watched_shop();
    let (mut running, daemon) = cleaning_up(&shop);
    // WINCH does nothing by default: another signal would kill a program that does not catch it yet.
    running.kill(libc::SIGWINCH);
    wait_until_asleep(running.pid());
    kill(daemon, libc::SIGKILL);
    assert_eq!(running.line(), "value two");
    running.wait_until_ready();
    let _ = running.stderr_line();
    kill(running.wait_until_ready_on_stderr(), libc::SIGKILL);
    running.kill(libc::SIGKILL);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
}

/// A signal to a standby that waits for its promotion is not meant for the new command. Its main thread
/// blocks signals, and so do the threads of its HTTP client.
#[test]
fn signal_to_waiting_standby_is_discarded() {
    let shop = watched_shop();
    let (mut running, daemon) = cleaning_up(&shop);
    kill(command_of(running.pid(), daemon), libc::SIGTERM);
    kill(daemon, libc::SIGKILL);
    assert_eq!(running.line(), "value two");
    running.wait_until_ready();
    let _ = running.stderr_line();
    kill(running.wait_until_ready_on_stderr(), libc::SIGKILL);
    running.kill(libc::SIGKILL);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
}

/// Neither a signal that came while no command ran nor one that comes during the promotion is lost.
/// The standby is stopped here, so that all of them come before it continues.
#[test]
fn signal_during_promotion_reaches_new_command() {
    for (early, late) in [
        (None, Some(libc::SIGTERM)),
        (Some(libc::SIGUSR1), None),
        (None, Some(40)),
    ] {
        let shop = watched_shop();
        // The new command starts no daemon: it may have begun when the deferred signal arrives.
        let script = format!("[ $SECRET = two ] && exec \"$0\" sleep; {DAEMON}");
        let (running, daemon) = cleaning_up_after(&shop, &script);
        let standby = command_of(running.pid(), daemon);
        kill(standby, libc::SIGSTOP);
        wait_until_stopped(&[standby]);
        if let Some(signal) = early {
            running.kill(signal);
            wait_until_idle(running.pid());
        }
        kill(daemon, libc::SIGKILL);
        eventually("the standby is promoted", || {
            match children(running.pid()).as_slice() {
                [only] if *only == standby => Ok(()),
                other => Err(other.to_vec()),
            }
        });
        wait_until_idle(running.pid());
        if let Some(signal) = late {
            running.kill(signal);
            wait_until_idle(running.pid());
        }
        kill(standby, libc::SIGCONT);
        // Each of these signals kills the command, which does not catch it.
        let signal = early.or(late).unwrap();
        let _ = running.wait().assert_status(Status::Killed(signal));
    }
}

/// Another process kills the standby: the poll has failed, and the command continues.
#[test]
fn killed_standby_fails_poll() {
    let shop = watched_shop();
    let (mut running, gate) = hanging_poll(&shop, STUBBORN);
    let standby = *children(running.pid()).last().unwrap();
    kill(standby, libc::SIGKILL);
    let logged = running.stderr_line();
    assert_eq!(
        logged,
        "phase-run: warning: a poll failed, and the command keeps running: \
         error[exec]: its process was killed by signal KILL"
    );
    drop(gate);
    assert_eq!(running.stderr_line(), "phase-run: polling works again");
    wait_for_only_child(running.pid());
    assert!(running.signals().is_empty());
    let _ = running.wait().assert_status(Status::Exited(0));
}

/// If the standby is killed while the old command stops, there is nothing to start, and phase-run
/// ends as the standby did.
#[test]
fn killed_standby_during_restart_ends_watch() {
    let shop = watched_shop();
    let mut running = stopping_command(&shop, SLOW);
    let standby = *children(running.pid()).last().unwrap();
    kill(standby, libc::SIGKILL);
    assert_eq!(
        running.stderr_line(),
        "phase-run: the secrets have changed: restarting the command"
    );
    assert_eq!(
        running.stderr_line(),
        "phase-run: warning: cannot restart the command: its process was killed by signal KILL"
    );
    running.kill(libc::SIGUSR1);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
}

/// A log collector that does not read must not keep a signal from the command.
#[test]
fn full_stderr_does_not_delay_signals() {
    let shop = watched_shop();
    let (reader, writer) = std::io::pipe().unwrap();
    let run = shop
        .run_with(&WATCH)
        .wrap(["sh", "-c", "exec 2>&7; exec \"$0\" \"$@\""]);
    let mut running = spawn_watched(run.pass_descriptor(&writer, 7), STUBBORN);
    fill_pipe(&writer);
    let standby = shop.phase.gate("");
    standby.wait_for_request(DEADLINE);
    let all = children(running.pid());
    kill(*all.last().unwrap(), libc::SIGKILL);
    wait_for_only_child(running.pid());
    running.kill(libc::SIGUSR1);
    assert_eq!(running.signal().signal, libc::SIGUSR1);
    drop(reader);
    drop(standby);
    let _ = running.wait().assert_status(Status::Exited(0));
}
