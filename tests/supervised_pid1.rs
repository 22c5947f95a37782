//! A supervised command whose parent is PID 1 of its namespace, as in a container without a
//! terminal.

use std::fs::read;

use nix::sys::resource::Resource;

use crate::support::proc::{children, gone, idle, only_child, state, stopped};
use crate::support::{
    BARE_AND_SUPERVISED, LaunchMode, Run, SHOP, Status, eventually, inspector, kill, shop,
};

/// The command finds all as it was, but that it is not PID 1 itself.
#[test]
fn the_command_of_pid_1_finds_everything_as_it_was() {
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
    let words = [&SHOP[..], &["--supervise"]].concat();
    for prepare in preparations {
        let comparison = shop.transparent(&words, |run| prepare(run.as_pid1()));
        assert_eq!(comparison.under.number("ppid"), 1);
        let comparison = comparison.supervised().added("SECRET", "value");
        comparison.removed("PHASE_SERVICE_TOKEN").check();
    }
}

/// `docker stop`: the sender is outside the namespace, so its pid is 0 there.
#[test]
fn a_signal_from_outside_the_namespace_reaches_the_command_once() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let mut serving = shop.start(mode, [inspector(), "serve"]).as_pid1().spawn();
        serving.ready();
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
        let _ = serving.wait().ok();
    }
}

/// One from within the namespace, such as `docker exec … kill 1`.
#[test]
fn a_signal_from_within_the_namespace_reaches_the_command_once() {
    let shop = shop([("SECRET", "value")]);
    let script = "(kill -HUP 1; kill -40 1); exec \"$0\" serve";
    let run = shop.start(LaunchMode::Supervised, ["sh", "-c", script, inspector()]);
    let run = run.block(libc::SIGHUP).block(40).as_pid1();
    let mut serving = run.spawn();
    serving.ready();
    assert_eq!(serving.signals(), [libc::SIGHUP, 40]);
    let _ = serving.wait().ok();
}

/// "128+N where that has no effect (PID 1)".
#[test]
fn the_commands_death_is_a_status_of_pid_1() {
    let shop = shop([("SECRET", "value")]);
    for signal in [1, 2, 3, 6, 9, 11, 13, 15, 34, 64] {
        let run = shop
            .start(LaunchMode::Supervised, [inspector(), "sleep"])
            .as_pid1();
        let mut sleeping = run.spawn();
        sleeping.ready();
        match signal {
            libc::SIGKILL => kill(only_child(sleeping.pid()), signal),
            _ => sleeping.kill(signal),
        }
        let output = sleeping.wait().ended(Status::Exited(128 + signal));
        assert!(output.stderr.is_empty(), "{output}");
    }
    for status in [0, 1, 125, 137, 255] {
        let words = [inspector(), "exit", &status.to_string()];
        let output = shop.start(LaunchMode::Supervised, words).as_pid1().output();
        let _ = output.ended(Status::Exited(status));
    }
}

/// "PID 1 reaps every orphan". The bare command, which does not, keeps the zombies.
#[test]
fn an_orphan_leaves_no_zombie() {
    let shop = shop([("SECRET", "value")]);
    // Left behind by shells that end at once; every other one is a daemon with its own session.
    let script = "for n in 1 2 3; do (\"$0\" sleep >&2 &); (setsid \"$0\" sleep >&2 &); done; \
                  exec \"$0\" serve";
    for mode in BARE_AND_SUPERVISED {
        let run = shop
            .start(mode, ["sh", "-c", script, inspector()])
            .as_pid1();
        let mut serving = run.spawn();
        serving.ready();
        (0..6).for_each(|_| drop(serving.stderr_line()));
        let pid = serving.pid();
        let sleeps = |pid: &i32| {
            let words = read(format!("/proc/{pid}/cmdline")).unwrap();
            words.ends_with(b"\0sleep\0")
        };
        let orphans = eventually("six orphans", || {
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
        gone(&orphans);
        match mode {
            LaunchMode::Bare => assert!(orphans.iter().all(|orphan| state(*orphan) == 'Z')),
            _ => drop(only_child(pid)),
        }
        // None of these ends was taken for the command's, who hears of its own children alone.
        let is_of_children = |signal: &i32| *signal == libc::SIGCHLD;
        let told = serving.signals();
        assert!(told.iter().all(is_of_children), "{told:?}");
        assert_eq!(told.is_empty(), mode == LaunchMode::Supervised);
        let _ = serving.wait().ended(Status::Exited(0));
    }
}

/// An orphan's end is not the command's, whose status counts.
#[test]
fn an_orphans_status_is_not_the_commands() {
    let shop = shop([("SECRET", "value")]);
    let script = "(\"$0\" exit 7 &); (\"$0\" die 9 &); echo; read line; exit 3";
    let run = shop.start(LaunchMode::Supervised, ["sh", "-c", script, inspector()]);
    let mut running = run.as_pid1().spawn();
    let _ = running.line();
    only_child(running.pid());
    let _ = running.wait().ended(Status::Exited(3));
}

/// The command is stopped and continued by its pid: phase-run has no terminal and does not stop,
/// which PID 1 could not do anyway.
#[test]
fn the_command_of_pid_1_can_be_stopped_and_continued() {
    let shop = shop([("SECRET", "value")]);
    let run = shop
        .start(LaunchMode::Supervised, [inspector(), "serve"])
        .as_pid1();
    let mut serving = run.spawn();
    serving.ready();
    let command = only_child(serving.pid());
    for _ in 0..3 {
        kill(command, libc::SIGSTOP);
        stopped(&[command]);
        idle(serving.pid());
        assert_eq!(state(command), 'T');
        kill(command, libc::SIGCONT);
        assert_eq!(serving.signal().signal, libc::SIGCONT);
    }
    assert_eq!(serving.signals(), [0; 0]);
    let _ = serving.wait().ok();
}

/// pid_namespaces(7): what is left when PID 1 ends is killed by the kernel; the command is ended by
/// that too when phase-run is.
#[test]
fn a_killed_pid_1_takes_the_command_with_it() {
    let shop = shop([("SECRET", "value")]);
    let run = shop.start(LaunchMode::Supervised, [inspector(), "sleep"]);
    let mut sleeping = run.ignore(libc::SIGTERM).as_pid1().spawn();
    sleeping.ready();
    let command = only_child(sleeping.pid());
    sleeping.kill(libc::SIGKILL);
    gone(&[command]);
    let _ = sleeping.wait();
}
