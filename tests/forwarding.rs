//! Which signals a supervised command gets, and how: all that can be caught, each once.

use std::process::id;

use crate::support::proc::{idle, only_child, stopped};
use crate::support::{
    BARE_AND_SUPERVISED, LaunchMode, ReceivedSignal, Status, inspector, kill, queue, shop,
};

/// 1–31 and 34–63: the C library keeps 32 and 33, and 64 is the barrier.
fn catchable() -> impl Iterator<Item = i32> {
    let signals = (1..=31).chain(34..64);
    signals.filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal))
}

/// All that can be caught is forwarded, but for SIGCHLD, which is not the command's.
fn forwarded() -> impl Iterator<Item = i32> {
    catchable().filter(|signal| *signal != libc::SIGCHLD)
}

/// "Every signal that can be caught is forwarded to the command alone". Each line is
/// the next, so none comes twice.
#[test]
fn the_command_gets_each_signal_that_is_sent_to_phase_run_once() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let mut serving = shop.start(mode, [inspector(), "serve"]).spawn();
        serving.ready();
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
        let _ = serving.wait().ok();
    }
}

/// sigqueue(3): "an accompanying item of data", which kill(2) would drop.
#[test]
fn a_queued_signal_keeps_its_value() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let mut serving = shop.start(mode, [inspector(), "serve"]).spawn();
        serving.ready();
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
        let _ = serving.wait().ok();
    }
}

/// signal(7): "Real-time signals are queued", in the order in which they were sent; ordinary ones
/// are not.
#[test]
fn real_time_signals_are_queued_and_others_are_not() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let mut serving = shop.start(mode, [inspector(), "serve"]).spawn();
        serving.ready();
        // What is sent to a stopped process is pending until it goes on.
        serving.kill(libc::SIGSTOP);
        stopped(&[serving.pid()]);
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
        let _ = serving.wait().ok();
    }
}

/// "what the command itself sent" is not forwarded: it has told its parent.
#[test]
fn what_the_command_sends_to_its_parent_is_not_sent_back() {
    let shop = shop([("SECRET", "value")]);
    let signals: Vec<String> = catchable().map(|signal| signal.to_string()).collect();
    let script = format!(
        "for signal in {} 64; do kill -$signal $PPID; done; exec \"$0\" serve",
        signals.join(" ")
    );
    let run = shop.start(LaunchMode::Supervised, ["sh", "-c", &script, inspector()]);
    let mut serving = run.spawn();
    serving.ready();
    // The barrier itself comes from here: if the command's own came back, this would be the second.
    assert_eq!(serving.signals(), [0; 0]);
    assert_eq!(serving.signals(), [0; 0]);
    let _ = serving.wait().ok();
}

/// A helper's `kill -HUP $PPID` is meant for the command: only what the command itself sent is kept
/// from it, not what comes from its group.
#[test]
fn what_a_child_of_the_command_sends_is_forwarded() {
    let shop = shop([("SECRET", "value")]);
    let script = "(kill -HUP $PPID; kill -40 $PPID); exec \"$0\" serve";
    let run = shop.start(LaunchMode::Supervised, ["sh", "-c", script, inspector()]);
    // Blocked, they wait for the inspector, who must not miss them.
    let mut serving = run.block(libc::SIGHUP).block(40).spawn();
    serving.ready();
    assert_eq!(serving.signals(), [libc::SIGHUP, 40]);
    let _ = serving.wait().ok();
}

/// All is forwarded "but for SIGCHLD": it tells of phase-run's children, not of the
/// command's.
#[test]
fn sigchld_is_never_forwarded() {
    let shop = shop([("SECRET", "value")]);
    let mut serving = shop
        .start(LaunchMode::Supervised, [inspector(), "serve"])
        .spawn();
    serving.ready();
    let command = only_child(serving.pid());
    serving.kill(libc::SIGCHLD);
    queue(serving.pid(), libc::SIGCHLD, 7);
    // The kernel's own: the command stops and goes on.
    kill(command, libc::SIGSTOP);
    stopped(&[command]);
    kill(command, libc::SIGCONT);
    assert_eq!(serving.signals(), [libc::SIGCONT]);
    // Its own children are its own to hear of.
    kill(command, libc::SIGCHLD);
    assert_eq!(serving.signal().signal, libc::SIGCHLD);
    let _ = serving.wait().ok();
}

/// alarm(2): "Alarms … are preserved across execve(2)": the kernel sends ALRM to phase-run, and the
/// command is who it is for.
#[test]
fn an_inherited_alarm_reaches_the_command() {
    let shop = shop([("SECRET", "value")]);
    let set = "import os, signal, sys; signal.setitimer(signal.ITIMER_REAL, 0.001); \
               os.execvp(sys.argv[1], sys.argv[1:])";
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "serve"]);
        // Whenever it comes, it waits for the inspector.
        let run = run.block(libc::SIGALRM).wrap(["python3", "-c", set]);
        let mut serving = run.spawn();
        serving.ready();
        assert_eq!(serving.signal().signal, libc::SIGALRM, "{mode:?}");
        assert_eq!(serving.signals(), [0; 0], "{mode:?}");
        let _ = serving.wait().ok();
    }
}

/// prctl(2): a parent-death signal set before the exec is sent to phase-run by its parent's end.
#[test]
fn an_inherited_parent_death_signal_reaches_the_command() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "serve", "1"]);
        // The shell is the parent of what it starts in the background, and reads nothing.
        let script = "exec 3<&0; \"$@\" <&3 3<&- & wait";
        let run = run.wrap(["sh", "-c", script, "sh"]);
        let mut parent = run.wrap(["setpriv", "--pdeathsig", "USR1"]).spawn();
        parent.ready();
        parent.kill(libc::SIGKILL);
        assert_eq!(parent.signal().signal, libc::SIGUSR1, "{mode:?}");
        let _ = parent.wait().ended(Status::Killed(libc::SIGKILL));
    }
}

/// signal(7): a mask and an ignored signal are inherited, and hold for what is forwarded.
#[test]
fn an_ignored_signal_is_ignored_by_the_command_and_a_blocked_one_waits() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "serve"]);
        let mut serving = run.ignore(libc::SIGTERM).ignore(40).spawn();
        serving.ready();
        serving.kill(libc::SIGTERM);
        serving.kill(40);
        assert_eq!(serving.signals(), [0; 0], "{mode:?}");
        let _ = serving.wait().ok();
        let run = shop
            .start(mode, [inspector(), "sleep"])
            .block(libc::SIGTERM);
        let mut sleeping = run.spawn();
        sleeping.ready();
        sleeping.kill(libc::SIGTERM);
        sleeping.kill(libc::SIGUSR1);
        let _ = sleeping.wait().ended(Status::Killed(libc::SIGUSR1));
    }
}

/// execve(2): what is pending stays pending, and a fork loses it: it came for the command.
#[test]
fn a_signal_that_was_pending_at_the_start_reaches_the_command() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "serve"]);
        let run = run.block(libc::SIGUSR1).block(40);
        let script = "(kill -USR1 $$; kill -40 $$); exec \"$@\"";
        let mut serving = run.wrap(["sh", "-c", script, "sh"]).spawn();
        serving.ready();
        assert_eq!(serving.signals(), [libc::SIGUSR1, 40], "{mode:?}");
        let _ = serving.wait().ok();
    }
}

/// "phase-run stops by the same signal, if there is a terminal": where there is
/// none, nobody could resume it, and only the command stops.
#[test]
fn without_a_terminal_only_the_command_stops() {
    let shop = shop([("SECRET", "value")]);
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGSTOP] {
        let run = shop
            .start(LaunchMode::Supervised, [inspector(), "sleep"])
            .own_group();
        let mut sleeping = run.spawn();
        sleeping.ready();
        let command = only_child(sleeping.pid());
        match signal {
            libc::SIGSTOP => kill(command, signal),
            _ => sleeping.kill(signal),
        }
        stopped(&[command]);
        // It has seen the stop, and still runs.
        idle(sleeping.pid());
        sleeping.kill(libc::SIGTERM);
        sleeping.kill(libc::SIGCONT);
        let _ = sleeping.wait().ended(Status::Killed(libc::SIGTERM));
    }
}
