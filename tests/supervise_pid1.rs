//! A supervised command whose parent is PID 1 of its namespace, as in a container without a
//! terminal.

#![cfg(target_os = "linux")]

use std::fs::read;

use nix::sys::resource::Resource;

use crate::support::proc::{
    children, state, wait_for_only_child, wait_until_gone, wait_until_idle, wait_until_stopped,
};
use crate::support::{
    BARE_AND_SUPERVISED, LaunchMode, Run, SHOP, Status, eventually, inspector, kill, shop,
};

/// Everything is as for the bare command, except that the command is not PID 1 itself.
#[test]
fn command_of_pid1_has_unchanged_environment() {
    let preparations: [fn(Run<'_>) -> Run<'_>; 4] = [
        |run| run,
        |run| {
            let run = run.ignore(libc::SIGPIPE).ignore(libc::SIGHUP);
            run.ignore(libc::SIGCHLD).block(libc::SIGINT).block(40)
        },
        |run| run.stdin_closed().closed(2),
        |run| run.limit(Resource::RLIMIT_CORE, 0).cwd("/"),
    ];
    let shop = shop([("SECRET", "value")]);
    let options = [&SHOP[..], &["--supervise"]].concat();
    for prepare in preparations {
        let comparison = shop.compare_with_bare(&options, |run| prepare(run.as_pid1()));
        assert_eq!(comparison.under_phase_run.number("ppid"), 1);
        let comparison = comparison
            .expect_supervised()
            .expect_added("SECRET", "value");
        comparison.expect_removed("PHASE_SERVICE_TOKEN").check();
    }
}

/// `docker stop`: the sender is outside the namespace, so siginfo_t names pid 0
/// (pid_namespaces(7)).
#[test]
fn signal_from_outside_namespace_arrives_once() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let mut serving = shop.start(mode, [inspector(), "serve"]).as_pid1().spawn();
        serving.wait_until_ready();
        let sender = match mode {
            LaunchMode::Bare => 0,
            _ => 1,
        };
        for signal in [
            libc::SIGTERM,
            libc::SIGHUP,
            libc::SIGWINCH,
            libc::SIGCONT,
            40,
        ] {
            serving.kill(signal);
            let arrived = serving.signal();
            assert_eq!(
                (arrived.signal, arrived.sender),
                (signal, sender),
                "{mode:?}"
            );
        }
        assert_eq!(serving.signals(), [0; 0], "{mode:?}");
        let _ = serving.wait().assert_ok();
    }
}

/// The sender is inside the namespace, as with `docker exec … kill 1`.
#[test]
fn signal_from_inside_namespace_arrives_once() {
    let shop = shop([("SECRET", "value")]);
    let script = "(kill -HUP 1; kill -40 1); exec \"$0\" serve";
    let run = shop.start(LaunchMode::Supervised, ["sh", "-c", script, inspector()]);
    let run = run.block(libc::SIGHUP).block(40).as_pid1();
    let mut serving = run.spawn();
    serving.wait_until_ready();
    assert_eq!(serving.signals(), [libc::SIGHUP, 40]);
    let _ = serving.wait().assert_ok();
}

/// As PID 1, phase-run cannot die by the command's signal, so it exits with 128+N.
#[test]
fn death_of_command_of_pid1_is_128_plus_n() {
    let shop = shop([("SECRET", "value")]);
    for signal in [1, 2, 3, 6, 9, 11, 13, 15, 32, 33, 34, 64] {
        let run = shop
            .start(LaunchMode::Supervised, [inspector(), "sleep"])
            .as_pid1();
        let mut sleeping = run.spawn();
        sleeping.wait_until_ready();
        match signal {
            // phase-run cannot forward these.
            libc::SIGKILL | 32 | 33 => kill(wait_for_only_child(sleeping.pid()), signal),
            _ => sleeping.kill(signal),
        }
        let output = sleeping.wait().assert_status(Status::Exited(128 + signal));
        assert!(output.stderr.is_empty(), "{output}");
    }
    for status in [0, 1, 125, 137, 255] {
        let command = [inspector(), "exit", &status.to_string()];
        let output = shop
            .start(LaunchMode::Supervised, command)
            .as_pid1()
            .output();
        let _ = output.assert_status(Status::Exited(status));
    }
}

/// As PID 1, phase-run reaps every orphan. The bare command does not, and keeps the zombies.
#[test]
fn orphan_of_pid1_leaves_no_zombie() {
    let shop = shop([("SECRET", "value")]);
    // Shells that exit at once leave these; every other one is a daemon in its own session.
    let script = "for n in 1 2 3; do (\"$0\" sleep >&2 &); (setsid \"$0\" sleep >&2 &); done; \
                  exec \"$0\" serve";
    for mode in BARE_AND_SUPERVISED {
        let run = shop
            .start(mode, ["sh", "-c", script, inspector()])
            .as_pid1();
        let mut serving = run.spawn();
        serving.wait_until_ready();
        (0..6).for_each(|_| drop(serving.stderr_line()));
        let pid = serving.pid();
        let sleeps = |pid: &i32| {
            let cmdline = read(format!("/proc/{pid}/cmdline")).unwrap();
            cmdline.ends_with(b"\0sleep\0")
        };
        let orphans = eventually("there are six orphans", || {
            let orphans: Vec<i32> = children(pid).into_iter().filter(sleeps).collect();
            if orphans.len() == 6 {
                Ok(orphans)
            } else {
                Err(orphans)
            }
        });
        for (orphan, signal) in orphans.iter().zip([1, 9, 10, 12, 15, 40]) {
            kill(*orphan, signal);
        }
        wait_until_gone(&orphans);
        match mode {
            LaunchMode::Bare => assert!(orphans.iter().all(|orphan| state(*orphan) == 'Z')),
            _ => drop(wait_for_only_child(pid)),
        }
        // None of them was taken for the command, which gets CHLD only for its own children.
        let is_sigchld = |signal: &i32| *signal == libc::SIGCHLD;
        let received = serving.signals();
        assert!(received.iter().all(is_sigchld), "{received:?}");
        assert_eq!(received.is_empty(), mode == LaunchMode::Supervised);
        let _ = serving.wait().assert_status(Status::Exited(0));
    }
}

/// The end of an orphan is not taken for that of the command.
#[test]
fn orphan_status_does_not_end_pid1() {
    let shop = shop([("SECRET", "value")]);
    let script = "(\"$0\" exit 7 &); (\"$0\" die 9 &); echo; read line; exit 3";
    let run = shop.start(LaunchMode::Supervised, ["sh", "-c", script, inspector()]);
    let mut running = run.as_pid1().spawn();
    let _ = running.line();
    wait_for_only_child(running.pid());
    let _ = running.wait().assert_status(Status::Exited(3));
}

/// The command is stopped and continued by its pid. phase-run has no terminal and does not stop; as
/// PID 1 it could not do so anyway.
#[test]
fn command_of_pid1_can_be_stopped_and_continued() {
    let shop = shop([("SECRET", "value")]);
    let run = shop
        .start(LaunchMode::Supervised, [inspector(), "serve"])
        .as_pid1();
    let mut serving = run.spawn();
    serving.wait_until_ready();
    let command = wait_for_only_child(serving.pid());
    for _ in 0..3 {
        kill(command, libc::SIGSTOP);
        wait_until_stopped(&[command]);
        wait_until_idle(serving.pid());
        assert_eq!(state(command), 'T');
        kill(command, libc::SIGCONT);
        assert_eq!(serving.signal().signal, libc::SIGCONT);
    }
    assert_eq!(serving.signals(), [0; 0]);
    let _ = serving.wait().assert_ok();
}

/// pid_namespaces(7): when PID 1 dies, the kernel kills every other process of the namespace.
#[test]
fn killed_pid1_kills_command() {
    let shop = shop([("SECRET", "value")]);
    let run = shop.start(LaunchMode::Supervised, [inspector(), "sleep"]);
    let mut sleeping = run.ignore(libc::SIGTERM).as_pid1().spawn();
    sleeping.wait_until_ready();
    let command = wait_for_only_child(sleeping.pid());
    sleeping.kill(libc::SIGKILL);
    wait_until_gone(&[command]);
    let _ = sleeping.wait();
}
