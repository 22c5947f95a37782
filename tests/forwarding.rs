//! Which signals a supervised command gets: all that can be caught, each once.

#![cfg(target_os = "linux")]

use std::process::id;

use crate::support::proc::{wait_for_only_child, wait_until_idle, wait_until_stopped};
use crate::support::{
    BARE_AND_SUPERVISED, LaunchMode, ReceivedSignal, Status, inspector, kill, queue, shop,
};

/// 1 to 31 and 34 to 63: the C library keeps 32 and 33, and 64 is the barrier.
fn catchable() -> impl Iterator<Item = i32> {
    let signals = (1..=31).chain(34..64);
    signals.filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal))
}

/// The forwarded signals: all that can be caught, except SIGCHLD.
fn forwarded() -> impl Iterator<Item = i32> {
    catchable().filter(|signal| *signal != libc::SIGCHLD)
}

/// Every signal that can be caught is forwarded. The inspector reports each signal on its own line,
/// so a second copy would be noticed.
#[test]
fn each_signal_is_forwarded_once() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let mut serving = shop.start(mode, [inspector(), "serve"]).spawn();
        serving.wait_until_ready();
        let sender = match mode {
            LaunchMode::Bare => id().cast_signed(),
            _ => serving.pid(),
        };
        for signal in forwarded() {
            serving.kill(signal);
            let expected = ReceivedSignal {
                signal,
                code: 0,
                sender,
                value: 0,
            };
            assert_eq!(serving.signal(), expected, "{mode:?}");
        }
        assert_eq!(serving.signals(), [0; 0], "{mode:?}");
        let _ = serving.wait().assert_ok();
    }
}

/// sigqueue(3) sends a value with the signal, which kill(2) would drop.
#[test]
fn queued_signal_keeps_its_value() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let mut serving = shop.start(mode, [inspector(), "serve"]).spawn();
        serving.wait_until_ready();
        for signal in forwarded() {
            for value in [signal, 0, -1, i32::MIN] {
                queue(serving.pid(), signal, value);
                let ReceivedSignal {
                    signal: found,
                    code,
                    value: kept,
                    ..
                } = serving.signal();
                assert_eq!((found, code, kept), (signal, -1, value), "{mode:?}");
            }
        }
        assert_eq!(serving.signals(), [0; 0], "{mode:?}");
        let _ = serving.wait().assert_ok();
    }
}

/// signal(7): real-time signals are queued in the order in which they were sent, and standard
/// signals are not.
#[test]
fn real_time_signals_are_queued() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let mut serving = shop.start(mode, [inspector(), "serve"]).spawn();
        serving.wait_until_ready();
        // Signals to a stopped process stay pending until it is continued.
        serving.kill(libc::SIGSTOP);
        wait_until_stopped(&[serving.pid()]);
        for value in 1..=9 {
            queue(serving.pid(), 40, value);
            serving.kill(libc::SIGTERM);
        }
        serving.kill(libc::SIGCONT);
        assert_eq!(serving.signal().signal, libc::SIGTERM, "{mode:?}");
        assert_eq!(serving.signal().signal, libc::SIGCONT, "{mode:?}");
        for value in 1..=9 {
            let ReceivedSignal {
                signal,
                value: found,
                ..
            } = serving.signal();
            assert_eq!((signal, found), (40, value), "{mode:?}");
        }
        assert_eq!(serving.signals(), [0; 0], "{mode:?}");
        let _ = serving.wait().assert_ok();
    }
}

/// A signal that the command itself has sent to phase-run is not forwarded to it.
#[test]
fn signal_from_command_is_not_sent_back() {
    let shop = shop([("SECRET", "value")]);
    let signals: Vec<String> = catchable().map(|signal| signal.to_string()).collect();
    let script = format!(
        "for signal in {} 64; do kill -$signal $PPID; done; exec \"$0\" serve",
        signals.join(" ")
    );
    let run = shop.start(LaunchMode::Supervised, ["sh", "-c", &script, inspector()]);
    let mut serving = run.spawn();
    serving.wait_until_ready();
    // The test sends the barrier itself: if the command's own one came back, it would end the second
    // list early.
    assert_eq!(serving.signals(), [0; 0]);
    assert_eq!(serving.signals(), [0; 0]);
    let _ = serving.wait().assert_ok();
}

/// A helper's `kill -HUP $PPID` is meant for the command. Only the command's own signals are not
/// forwarded, those of its group are.
#[test]
fn signal_from_child_of_command_is_forwarded() {
    let shop = shop([("SECRET", "value")]);
    let script = "(kill -HUP $PPID; kill -40 $PPID); exec \"$0\" serve";
    let run = shop.start(LaunchMode::Supervised, ["sh", "-c", script, inspector()]);
    // They are blocked so that they stay pending until the inspector runs.
    let mut serving = run.block(libc::SIGHUP).block(40).spawn();
    serving.wait_until_ready();
    assert_eq!(serving.signals(), [libc::SIGHUP, 40]);
    let _ = serving.wait().assert_ok();
}

/// CHLD tells about phase-run's children, not about the command's.
#[test]
fn sigchld_is_never_forwarded() {
    let shop = shop([("SECRET", "value")]);
    let mut serving = shop
        .start(LaunchMode::Supervised, [inspector(), "serve"])
        .spawn();
    serving.wait_until_ready();
    let command = wait_for_only_child(serving.pid());
    serving.kill(libc::SIGCHLD);
    queue(serving.pid(), libc::SIGCHLD, 7);
    // The kernel sends CHLD when the command stops and continues.
    kill(command, libc::SIGSTOP);
    wait_until_stopped(&[command]);
    kill(command, libc::SIGCONT);
    assert_eq!(serving.signals(), [libc::SIGCONT]);
    // A CHLD that is sent to the command itself arrives.
    kill(command, libc::SIGCHLD);
    assert_eq!(serving.signal().signal, libc::SIGCHLD);
    let _ = serving.wait().assert_ok();
}

/// alarm(2): alarms are preserved across execve(2). The kernel sends ALRM to phase-run, but it is
/// meant for the command.
#[test]
fn inherited_alarm_reaches_command() {
    let shop = shop([("SECRET", "value")]);
    let set = "import os, signal, sys; signal.setitimer(signal.ITIMER_REAL, 0.001); \
               os.execvp(sys.argv[1], sys.argv[1:])";
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "serve"]);
        // It is blocked so that it stays pending until the inspector runs.
        let run = run.block(libc::SIGALRM).wrap(["python3", "-c", set]);
        let mut serving = run.spawn();
        serving.wait_until_ready();
        assert_eq!(serving.signal().signal, libc::SIGALRM, "{mode:?}");
        assert_eq!(serving.signals(), [0; 0], "{mode:?}");
        let _ = serving.wait().assert_ok();
    }
}

/// PR_SET_PDEATHSIG(2const): the death of phase-run's parent sends it the signal that was set
/// before the exec.
#[test]
fn inherited_parent_death_signal_reaches_command() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "serve", "1"]);
        // The shell is the parent of what it starts in the background, and reads nothing.
        let script = "exec 3<&0; \"$@\" <&3 3<&- & wait";
        let run = run.wrap(["sh", "-c", script, "sh"]);
        let mut parent = run.wrap(["setpriv", "--pdeathsig", "USR1"]).spawn();
        parent.wait_until_ready();
        parent.kill(libc::SIGKILL);
        assert_eq!(parent.signal().signal, libc::SIGUSR1, "{mode:?}");
        let _ = parent.wait().assert_status(Status::Killed(libc::SIGKILL));
    }
}

/// signal(7): ignored and blocked signals are inherited, and apply to forwarded signals too.
#[test]
fn forwarded_signal_respects_inherited_mask() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "serve"]);
        let mut serving = run.ignore(libc::SIGTERM).ignore(40).spawn();
        serving.wait_until_ready();
        serving.kill(libc::SIGTERM);
        serving.kill(40);
        assert_eq!(serving.signals(), [0; 0], "{mode:?}");
        let _ = serving.wait().assert_ok();
        let run = shop
            .start(mode, [inspector(), "sleep"])
            .block(libc::SIGTERM);
        let mut sleeping = run.spawn();
        sleeping.wait_until_ready();
        sleeping.kill(libc::SIGTERM);
        sleeping.kill(libc::SIGUSR1);
        let _ = sleeping.wait().assert_status(Status::Killed(libc::SIGUSR1));
    }
}

/// Pending signals are preserved across execve(2), but a child does not inherit them in fork(2).
/// They are meant for the command.
#[test]
fn pending_signal_at_start_reaches_command() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "serve"]);
        let run = run.block(libc::SIGUSR1).block(40);
        let script = "(kill -USR1 $$; kill -40 $$); exec \"$@\"";
        let mut serving = run.wrap(["sh", "-c", script, "sh"]).spawn();
        serving.wait_until_ready();
        assert_eq!(serving.signals(), [libc::SIGUSR1, 40], "{mode:?}");
        let _ = serving.wait().assert_ok();
    }
}

/// Without a terminal nobody could resume phase-run, so only the command stops.
#[test]
fn stop_without_terminal_stops_only_command() {
    let shop = shop([("SECRET", "value")]);
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGSTOP] {
        let run = shop
            .start(LaunchMode::Supervised, [inspector(), "sleep"])
            .own_group();
        let mut sleeping = run.spawn();
        sleeping.wait_until_ready();
        let command = wait_for_only_child(sleeping.pid());
        match signal {
            libc::SIGSTOP => kill(command, signal),
            _ => sleeping.kill(signal),
        }
        wait_until_stopped(&[command]);
        // phase-run has handled the stop of the command, and still runs.
        wait_until_idle(sleeping.pid());
        sleeping.kill(libc::SIGTERM);
        sleeping.kill(libc::SIGCONT);
        let _ = sleeping.wait().assert_status(Status::Killed(libc::SIGTERM));
    }
}
