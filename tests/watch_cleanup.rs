//! What a restart ends: the old command, by its stop signal or by KILL, and all that it has left;
//! and what it leaves alone.

#![cfg(target_os = "linux")]

use crate::support::proc::{
    children, command_of, state, wait_for_only_child, wait_until_asleep, wait_until_gone,
};
use crate::support::{
    Running, Shop, Status, WATCH, await_restart, eventually, inspector, kill, require_root,
    set_mode, set_secret_value, spawn_watched, stop_watched, unused_port, watched_shop,
};

/// Never ends by a signal that it can catch.
const STUBBORN: &str = "echo \"value $SECRET\"; exec \"$0\" serve";

/// Waits until the new command runs.
fn wait_for_start(running: &mut Running, value: &str) {
    assert_eq!(running.line(), format!("value {value}"));
    running.wait_until_ready();
}

fn kill_all(running: Running) {
    running.kill(libc::SIGKILL);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
}

/// A restart sends the stop signal and CONT, and KILL after the grace.
#[test]
fn command_that_ignores_stop_is_killed_after_grace() {
    for (name, signal, grace) in [
        ("TERM", libc::SIGTERM, "0.3"),
        ("sigquit", libc::SIGQUIT, "0.3"),
        ("RTMIN+3", 37, "0.3"),
    ] {
        let shop = watched_shop();
        let options = ["--watch", "1", "--stop-signal", name, "--grace", grace];
        let mut running = spawn_watched(shop.run_with(&options), STUBBORN);
        let old = command_of(running.pid());
        set_secret_value(&shop.phase, "two");
        let mut received = [running.signal().signal, running.signal().signal];
        received.sort();
        let mut expected = [signal, libc::SIGCONT];
        expected.sort();
        assert_eq!(received, expected);
        wait_for_start(&mut running, "two");
        wait_until_gone(&[old]);
        let _ = running.stderr_line();
        let logged = running.stderr_line();
        assert!(
            logged.starts_with("phase-run: warning: the command is still running 0.3 s after "),
            "{logged}"
        );
        kill_all(running);
    }
}

/// With a grace of 0 the command may not even see its stop signal.
#[test]
fn command_without_grace_is_killed_at_once() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.run_with(&["--watch", "1", "--grace", "0"]), STUBBORN);
    let old = command_of(running.pid());
    set_secret_value(&shop.phase, "two");
    wait_until_gone(&[old]);
    eventually("the new command runs", || {
        let line = running.line();
        match line.as_str() {
            "value two" => Ok(()),
            _ => Err(line),
        }
    });
    running.wait_until_ready();
    kill_all(running);
}

/// CONT lets a command that is stopped handle the stop signal.
#[test]
fn stopped_command_is_continued_to_stop() {
    let shop = watched_shop();
    let mut running = spawn_watched(
        shop.run_with(&WATCH),
        "echo \"value $SECRET\"; exec \"$0\" serve 2",
    );
    let old = command_of(running.pid());
    kill(old, libc::SIGSTOP);
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}

/// A server on a fixed port, of which only one can run at a time. Depending on the arguments it has
/// left the command's session, or ignores TERM.
fn port(daemon: &str) -> String {
    let server = "import signal, socket, sys; \
        IGNORE; \
        server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); \
        server.bind(('127.0.0.1', int(open('port').read()))); server.listen(); \
        print('listening', sys.argv[1], flush=True); signal.pause()";
    format!("{daemon} python3 -c \"{server}\" $SECRET & exec \"$0\" serve 2")
}

/// Both commands bind the same port, and the old one's server may have left its session by
/// `setsid`.
#[test]
fn daemonized_server_ends_before_new_one_starts() {
    for (daemon, ignore, grace) in [
        ("", "pass", "10"),
        ("setsid", "pass", "10"),
        (
            "setsid",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "0.3",
        ),
        ("", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "0.3"),
    ] {
        let shop = watched_shop();
        shop.file("port", unused_port().to_string());
        let script = port(daemon).replace("IGNORE", ignore);
        let run = shop.run_with(&["--watch", "1", "--grace", grace]);
        let mut running = run.args(["sh", "-c", &script, inspector()]).spawn();
        let lines = [running.line(), running.line()];
        assert!(lines.contains(&"listening one".to_owned()), "{lines:?}");
        set_secret_value(&shop.phase, "two");
        assert_eq!(running.signal().signal, libc::SIGTERM);
        assert_eq!(running.signal().signal, libc::SIGCONT);
        let lines = [running.line(), running.line()];
        assert!(lines.contains(&"listening two".to_owned()), "{lines:?}");
        // The server would outlive phase-run.
        for pid in children(running.pid()).into_iter().flat_map(children) {
            kill(pid, libc::SIGKILL);
        }
        kill_all(running);
    }
}

/// A daemon that is stopped would not handle its TERM without CONT.
#[test]
fn stopped_daemon_is_continued_to_end() {
    let shop = watched_shop();
    let script = "echo \"value $SECRET\"; \"$0\" sleep >&2 & exec \"$0\" serve 2 17";
    let mut running = spawn_watched(shop.run_with(&["--watch", "1", "--grace", "60"]), script);
    let daemon = running.wait_until_ready_on_stderr();
    kill(daemon, libc::SIGSTOP);
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    wait_until_gone(&[daemon]);
    let _ = running.stderr_line();
    kill(running.wait_until_ready_on_stderr(), libc::SIGKILL);
    let _ = stop_watched(running);
}

/// Each process of the chain starts the next one and exits, in its own session or not.
#[test]
fn endlessly_forking_chain_is_ended() {
    for link in ["", "setsid "] {
        let shop = watched_shop();
        let chain = shop.executable(
            "chain",
            format!("#!/bin/sh\ntrap '' TERM\n{link}./chain \"$1\" >/dev/null 2>&1 &\n"),
        );
        let script = format!(
            "echo \"value $SECRET\"; [ $SECRET = two ] || {} x & exec \"$0\" serve 2 17",
            chain.display()
        );
        let mut running =
            spawn_watched(shop.run_with(&["--watch", "1", "--grace", "0.2"]), &script);
        set_secret_value(&shop.phase, "two");
        await_restart(&mut running, "two");
        wait_for_only_child(running.pid());
        let _ = stop_watched(running);
    }
}

/// The daemon belongs to another user, so phase-run may not signal it. After five more seconds the
/// log names it, and the new command starts anyway.
#[test]
fn unkillable_children_are_reported() {
    if !require_root("only root may start a program as another user") {
        return;
    }
    let shop = watched_shop();
    let grant = shop.executable("grant", std::fs::read("/usr/bin/setpriv").unwrap());
    set_mode(&grant, 0o4755);
    let script = "echo \"value $SECRET\"; \
                  ./grant --reuid 0 --clear-groups \"$0\" sleep >&2 & exec \"$0\" serve 2 17";
    let run = shop.run_with(&["--watch", "1", "--grace", "0"]);
    let run = run.args(["sh", "-c", script, inspector()]).as_user(65534);
    let mut running = run.spawn();
    assert_eq!(running.line(), "value one");
    running.wait_until_ready();
    let daemon = running.wait_until_ready_on_stderr();
    set_secret_value(&shop.phase, "two");
    let logged = std::iter::repeat_with(|| running.stderr_line());
    let mut logged = logged.filter(|line| line.contains("could not kill"));
    let survivors = logged.next().unwrap();
    let expected = format!(
        "phase-run: warning: could not kill processes left by the old command, starting the new one anyway: {daemon} (inspector)"
    );
    assert_eq!(survivors, expected);
    drop(logged);
    let again = running.wait_until_ready_on_stderr();
    for pid in [daemon, again] {
        kill(pid, libc::SIGKILL);
    }
    kill_all(running);
}

/// A helper that the entrypoint started before phase-run does not belong to the command.
#[test]
fn preexisting_child_survives_restart() {
    let shop = watched_shop();
    let script = "\"$0\" sleep >&2 & exec \"$@\"";
    let run = shop
        .run_with(&WATCH)
        .wrap(["sh", "-c", script, inspector()]);
    let mut running = spawn_watched(run, "echo \"value $SECRET\"; exec \"$0\" serve 2");
    let helper = running.wait_until_ready_on_stderr();
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    wait_until_asleep(helper);
    running.kill(libc::SIGTERM);
    running.kill(libc::SIGCONT);
    eventually("the process ends", || match running.state() {
        'Z' => Ok(()),
        other => Err(other),
    });
    // The helper outlives phase-run.
    wait_until_asleep(helper);
    kill(helper, libc::SIGKILL);
    let _ = running.wait().assert_status(Status::Exited(0));
}

/// Without a restart, phase-run leaves the command's descendants running, as a shell would.
#[test]
fn exit_without_restart_leaves_children_running() {
    let shop = watched_shop();
    let script = "echo \"value $SECRET\"; \"$0\" sleep >&2 & exec \"$0\" serve 2";
    let mut running = spawn_watched(shop.run_with(&WATCH), script);
    let child = running.wait_until_ready_on_stderr();
    running.kill(libc::SIGTERM);
    running.kill(libc::SIGCONT);
    let known = running.pid();
    wait_until_gone(&[known]);
    wait_until_asleep(child);
    kill(child, libc::SIGKILL);
    let _ = running.wait().assert_status(Status::Exited(0));
}

/// Orphans become children of the watcher and leave no zombies.
#[test]
fn orphans_are_reaped_while_command_runs() {
    let shop: Shop = watched_shop();
    let script = "echo \"value $SECRET\"; (\"$0\" serve 1 >&2 <&3 &) 3<&0; exec \"$0\" serve 2";
    let mut running = spawn_watched(shop.run_with(&WATCH), script);
    let orphan = running.wait_until_ready_on_stderr();
    eventually("the orphan is adopted", || {
        let all = children(running.pid());
        match all.contains(&orphan) {
            true => Ok(()),
            false => Err(all),
        }
    });
    kill(orphan, libc::SIGTERM);
    eventually("the orphan is reaped", || match state(orphan) {
        'X' => Ok(()),
        other => Err(other),
    });
    let _ = stop_watched(running);
}

/// The command has changed its user, so phase-run may neither forward a signal nor stop or kill it.
#[test]
fn refused_signal_and_kill_are_logged() {
    if !require_root("only root may start a program as another user") {
        return;
    }
    let shop = watched_shop();
    let grant = shop.executable("grant", std::fs::read("/usr/bin/setpriv").unwrap());
    set_mode(&grant, 0o4755);
    let script = "echo \"value $SECRET\"; exec ./grant --reuid 0 --clear-groups \"$0\" sleep";
    let run = shop.run_with(&["--watch", "1", "--grace", "0.2"]);
    let run = run.args(["sh", "-c", script, inspector()]).as_user(65534);
    let mut running = run.spawn();
    assert_eq!(running.line(), "value one");
    let command = running.wait_until_ready();
    let cannot_send = |name: &str| {
        format!(
            "phase-run: warning: cannot send {name} to the command: operation not permitted; \
             it may run as another user"
        )
    };
    kill(running.pid(), libc::SIGUSR1);
    assert_eq!(running.stderr_line(), cannot_send("SIGUSR1"));
    set_secret_value(&shop.phase, "two");
    let _ = running.stderr_line();
    assert_eq!(running.stderr_line(), cannot_send("SIGTERM"));
    assert!(running.stderr_line().ends_with("sending SIGKILL"));
    let refused = "phase-run: warning: cannot kill the command: operation not permitted; \
                   it may run as another user, and must end by itself";
    assert_eq!(running.stderr_line(), refused);
    kill(command, libc::SIGKILL);
    assert_eq!(running.line(), "value two");
    kill(running.wait_until_ready(), libc::SIGKILL);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
}
