//! What `--watch` does if several things happen at once. The tests stop phase-run or the standby, so that
//! all of them wait to be handled. `src/process/linux/watch/model.rs` tries every order.

#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::support::proc::{
    children, eventually, wait_until_blocked, wait_until_gone, wait_until_idle, wait_until_pending,
    wait_until_stopped,
};
use crate::support::{
    DEADLINE, Running, Status, Terminal, inspector, kill, set_secret_value, spawn_watched,
    watched_shop,
};
use crate::watch_leases::leased;

/// The options of a watch whose command has enough time to stop.
const PATIENT: [&str; 4] = ["--watch", "1", "--grace", "60"];

/// Never ends by a signal that it can catch.
const STUBBORN: &str = "echo \"value $SECRET\"; exec \"$0\" serve";

fn stop(pid: i32) {
    kill(pid, libc::SIGSTOP);
    wait_until_stopped(&[pid]);
}

/// Waits until the command has been told to stop, and returns its pid and that of the standby.
fn wait_for_stop_signal(running: &mut Running) -> (i32, i32) {
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    command_and_standby(running.pid())
}

fn command_and_standby(watcher: i32) -> (i32, i32) {
    match children(watcher).as_slice() {
        [command, standby] => (*command, *standby),
        other => panic!("expected a command and a standby, not {other:?}"),
    }
}

/// phase-run has not noticed yet that the old command has ended. The standby is stopped: it could become the
/// command, but not hide that by ending.
#[test]
fn termination_signal_before_reaping_prevents_start() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.run_with(&PATIENT), STUBBORN);
    set_secret_value(&shop.phase, "two");
    let (old, standby) = wait_for_stop_signal(&mut running);
    stop(standby);
    stop(running.pid());
    kill(old, libc::SIGKILL);
    wait_until_gone(&[old]);
    running.kill(libc::SIGTERM);
    running.kill(libc::SIGCONT);
    let output = running.wait().assert_status(Status::Killed(libc::SIGTERM));
    assert!(!output.text().contains("value two"), "{output}");
}

/// The old command sends TERM to its parent and ends. When phase-run reads that, the command may have been
/// reaped already: here, because of another signal with a lower number.
#[test]
fn signal_of_ended_command_reaches_nobody() {
    let shop = watched_shop();
    let script = "echo \"value $SECRET\"; [ $SECRET = two ] && exec \"$0\" serve; \
                  trap 'echo stopping; read line; kill -TERM $PPID; exit 3' TERM; \
                  echo \"ready $$\"; \"$0\" sleep >&2 & wait";
    // The new command gets blocked signals, whether it has already started or not.
    let run = shop.run_with(&PATIENT);
    let run = run.block(libc::SIGUSR1).block(libc::SIGCONT);
    let mut running = spawn_watched(run, script);
    let _ = running.wait_until_ready_on_stderr();
    set_secret_value(&shop.phase, "two");
    assert_eq!(running.line(), "stopping");
    let (old, _) = command_and_standby(running.pid());
    stop(running.pid());
    running.write(b"\n");
    wait_until_gone(&[old]);
    running.kill(libc::SIGUSR1);
    running.kill(libc::SIGCONT);
    assert_eq!(running.line(), "value two");
    running.wait_until_ready();
    let received = [running.signal().signal, running.signal().signal];
    assert_eq!(received, [libc::SIGUSR1, libc::SIGCONT]);
    assert!(running.signals().is_empty());
    let _ = running.wait().assert_status(Status::Exited(0));
}

/// The old command on a terminal, which has been told to stop.
fn stopping_on_terminal(terminal: &mut Terminal) -> (i32, i32) {
    assert_eq!(terminal.next_signal().0, libc::SIGTERM);
    assert_eq!(terminal.next_signal().0, libc::SIGCONT);
    command_and_standby(terminal.pid())
}

/// Ctrl-C reaches the standby before it is ready, so it discards the signal. When phase-run goes on, it finds
/// both: the signal, and the report that the new command is ready.
#[test]
fn terminal_signal_before_ready_reaches_new_command() {
    let shop = watched_shop();
    let run = shop.run_with(&PATIENT);
    let mut terminal = run.args(["sh", "-c", STUBBORN, inspector()]).on_terminal();
    terminal.until("value one");
    terminal.wait_until_ready();
    set_secret_value(&shop.phase, "two");
    let (old, standby) = stopping_on_terminal(&mut terminal);
    let watcher = terminal.pid();
    stop(standby);
    kill(old, libc::SIGKILL);
    eventually("the standby is promoted", || match children(watcher) {
        all if all == [standby] => Ok(()),
        all => Err(all),
    });
    wait_until_idle(watcher);
    stop(watcher);
    terminal.press("\x03");
    wait_until_pending(watcher, libc::SIGINT);
    kill(standby, libc::SIGCONT);
    terminal.until("value two");
    terminal.wait_until_ready();
    kill(watcher, libc::SIGCONT);
    assert_eq!(terminal.next_signal().0, libc::SIGINT);
}

/// The terminal signals the whole group while no command runs. The standby discards that, and phase-run keeps it.
#[test]
fn terminal_signal_without_command_reaches_new_one() {
    let shop = watched_shop();
    let run = shop.run_with(&PATIENT);
    // The new command gets blocked signals, whether it has already started or not.
    let run = run.block(libc::SIGWINCH).block(libc::SIGCONT);
    let mut terminal = run.args(["sh", "-c", STUBBORN, inspector()]).on_terminal();
    terminal.until("value one");
    terminal.wait_until_ready();
    set_secret_value(&shop.phase, "two");
    let (old, _) = stopping_on_terminal(&mut terminal);
    let watcher = terminal.pid();
    stop(watcher);
    kill(old, libc::SIGKILL);
    wait_until_gone(&[old]);
    terminal.resize(30, 90);
    wait_until_pending(watcher, libc::SIGWINCH);
    kill(watcher, libc::SIGCONT);
    terminal.until("value two");
    terminal.wait_until_ready();
    let mut received = [terminal.next_signal().0, terminal.next_signal().0];
    received.sort();
    assert_eq!(received, [libc::SIGCONT, libc::SIGWINCH]);
}

/// Whoever stops phase-run during a restart decides how long the command may take.
#[test]
fn cancelled_restart_does_not_kill_command() {
    let grace = Duration::from_secs(1);
    for _ in 0..20 {
        let shop = watched_shop();
        let mut running = spawn_watched(shop.run_with(&["--watch", "1", "--grace", "1"]), STUBBORN);
        set_secret_value(&shop.phase, "two");
        let _ = wait_for_stop_signal(&mut running);
        running.kill(libc::SIGTERM);
        let _ = running.stderr_line();
        // On a slow machine, the grace may have ended before the signal came.
        if running.stderr_line() != "phase-run: asked to shut down: not starting the new command" {
            continue;
        }
        assert_eq!(running.signal().signal, libc::SIGTERM);
        #[expect(
            clippy::disallowed_methods,
            reason = "nothing happens that could be awaited"
        )]
        std::thread::sleep(2 * grace);
        running.kill(libc::SIGUSR1);
        assert_eq!(running.signal().signal, libc::SIGUSR1);
        let _ = running.wait().assert_status(Status::Exited(0));
        return;
    }
    panic!("no restart was cancelled");
}

/// The lease is about to expire, and the standby has new ones. Then the command ends by itself before phase-run
/// tells it to stop.
#[test]
fn ended_command_is_not_restarted() {
    let (phase, sandbox, options) = leased("rest", 6, "600");
    let script = "echo \"value $SECRET\"; echo \"ready $$\"; read line; exit 7";
    let mut running = spawn_watched(sandbox.run(&options), script);
    let gate = phase.gate("");
    gate.wait_for_request(DEADLINE);
    let (command, standby) = command_and_standby(running.pid());
    stop(running.pid());
    gate.open();
    wait_until_blocked(standby);
    running.write(b"\n");
    wait_until_gone(&[command]);
    running.kill(libc::SIGCONT);
    let output = running.wait().assert_status(Status::Exited(7));
    assert_eq!(output.text().matches("value one").count(), 1, "{output}");
}
