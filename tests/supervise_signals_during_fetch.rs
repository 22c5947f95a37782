//! Signals to a supervised phase-run during the fetch have the effect that they would have on the
//! command.

#![cfg(target_os = "linux")]

use fake_phase::Gate;

use crate::support::proc::{
    children, state, wait_for_only_child, wait_until_idle, wait_until_stopped,
};
use crate::support::{
    DEADLINE, LaunchMode, Run, Running, Shop, Status, eventually, inspector, kill, queue, shop,
};

/// Signals that kill a process which does not catch them.
const FATAL_SIGNALS: [i32; 6] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    40,
];

type Prepare = fn(Run<'_>) -> Run<'_>;

/// Runs an ordinary process, and PID 1 of a namespace.
const AS_PROCESS_AND_PID1: [Prepare; 2] = [|run| run, |run| run.as_pid1()];

/// Runs the same in a group whose parent is outside it: the kernel stops no orphaned group
/// (setpgid(2)).
const IN_GROUPS: [Prepare; 2] = [|run| run.own_group(), |run| run.as_pid1().own_group()];

/// Starts a fetch that waits for the gate. The command would create the file `started`.
fn fetching<'a>(shop: &'a Shop, prepare: impl FnOnce(Run<'a>) -> Run<'a>) -> (Gate, Running) {
    let gate = shop.phase.gate("");
    let run = shop.run_with(&["--supervise", "--timeout", "600"]);
    let running = prepare(run.args(["touch", "started"])).spawn();
    gate.wait_for_request(DEADLINE);
    (gate, running)
}

fn started(shop: &Shop) -> bool {
    shop.directory().join("started").exists()
}

/// The fetching child has the inherited dispositions and gets the signal like the command. Both
/// processes die by it, nothing is started, and no core file is left.
#[test]
fn signal_during_fetch_kills_both_processes() {
    for signal in FATAL_SIGNALS {
        let shop = shop([("SECRET", "value")]);
        let (gate, running) = fetching(&shop, |run| run);
        running.kill(signal);
        let output = running.wait().assert_status(Status::Killed(signal));
        assert!(output.stderr.is_empty(), "{output}");
        let left = std::fs::read_dir(shop.directory()).unwrap().count();
        assert_eq!(left, 0, "something was started, or left a core file");
        drop(gate);
    }
}

/// PID 1 cannot kill itself by a signal, so it exits with 128+N.
#[test]
fn signal_during_fetch_as_pid1_exits_128_plus_n() {
    for signal in FATAL_SIGNALS {
        let shop = shop([("SECRET", "value")]);
        let (gate, running) = fetching(&shop, Run::as_pid1);
        running.kill(signal);
        let output = running.wait().assert_status(Status::Exited(128 + signal));
        assert!(output.stderr.is_empty(), "{output}");
        assert!(!started(&shop));
        drop(gate);
    }
}

/// A stopped fetch continues after CONT, even if it was stopped for longer than it takes.
#[test]
fn stopped_fetch_resumes_on_cont() {
    for prepare in IN_GROUPS {
        for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            let shop = shop([("SECRET", "value")]);
            let (gate, running) = fetching(&shop, prepare);
            let child = wait_for_only_child(running.pid());
            running.kill(signal);
            wait_until_stopped(&[child]);
            // Without a terminal phase-run itself does not stop: nobody could resume it.
            wait_until_idle(running.pid());
            gate.open();
            assert!(!started(&shop));
            running.kill(libc::SIGCONT);
            let _ = running.wait().assert_ok();
            assert!(started(&shop));
        }
    }
}

/// Another process stops and continues the whole group.
#[test]
fn stopped_group_resumes_fetch_on_cont() {
    let shop = shop([("SECRET", "value")]);
    let (gate, running) = fetching(&shop, Run::own_group);
    let child = wait_for_only_child(running.pid());
    kill(-running.pid(), libc::SIGSTOP);
    wait_until_stopped(&[running.pid(), child]);
    gate.open();
    assert_eq!(state(child), 'T');
    kill(-running.pid(), libc::SIGCONT);
    let _ = running.wait().assert_ok();
    assert!(started(&shop));
}

/// signal(7): WINCH, URG and CHLD do nothing by default, and neither does CONT to a running
/// process.
#[test]
fn harmless_signal_does_not_disturb_fetch() {
    for prepare in AS_PROCESS_AND_PID1 {
        let shop = shop([("SECRET", "value")]);
        let (gate, running) = fetching(&shop, prepare);
        for signal in [libc::SIGWINCH, libc::SIGURG, libc::SIGCONT, libc::SIGCHLD] {
            running.kill(signal);
        }
        wait_until_idle(running.pid());
        gate.open();
        let _ = running.wait().assert_ok();
        assert!(started(&shop));
    }
}

/// nohup(1): an ignored signal stays ignored, in the fetch and in the command.
#[test]
fn ignored_signal_does_not_end_supervised_fetch() {
    for prepare in AS_PROCESS_AND_PID1 {
        for signal in FATAL_SIGNALS {
            let shop = shop([("SECRET", "value")]);
            let (gate, running) = fetching(&shop, |run| prepare(run.ignore(signal)));
            running.kill(signal);
            wait_until_idle(running.pid());
            gate.open();
            let _ = running.wait().assert_ok();
            assert!(started(&shop));
        }
    }
}

/// A blocked signal stays pending for the command (execve(2)).
#[test]
fn signal_blocked_during_fetch_reaches_command() {
    let shop = shop([("SECRET", "value")]);
    let gate = shop.phase.gate("");
    let run = shop.start(LaunchMode::Supervised, [inspector(), "serve"]);
    let mut serving = run.block(libc::SIGTERM).block(40).spawn();
    gate.wait_for_request(DEADLINE);
    serving.kill(libc::SIGTERM);
    queue(serving.pid(), 40, 7);
    wait_until_idle(serving.pid());
    gate.open();
    serving.wait_until_ready();
    assert_eq!(serving.signal().signal, libc::SIGTERM);
    let queued = serving.signal();
    assert_eq!((queued.signal, queued.value), (40, 7));
    assert_eq!(serving.signals(), [0; 0]);
    let _ = serving.wait().assert_ok();
}

/// When the supervisor dies, the kernel kills the child, also before it has become the command:
/// `wait` blocks until nobody has its output open.
#[test]
fn killed_supervisor_kills_fetch() {
    let shop = shop([("SECRET", "value")]);
    let (gate, running) = fetching(&shop, |run| run.ignore(libc::SIGTERM));
    running.kill(libc::SIGKILL);
    let output = running.wait().assert_status(Status::Killed(libc::SIGKILL));
    assert!(output.stderr.is_empty(), "{output}");
    gate.open();
    assert!(!started(&shop));
}

/// Another process, or the kernel when memory is short, kills the fetching child.
#[test]
fn killed_fetch_ends_phase_run() {
    let shop = shop([("SECRET", "value")]);
    let (gate, running) = fetching(&shop, |run| run);
    kill(wait_for_only_child(running.pid()), libc::SIGKILL);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
    assert!(!started(&shop));
    drop(gate);
}

/// A signal right after the start ends phase-run, whether it arrives before the fork, after it, or
/// during the fetch.
#[test]
fn signal_at_any_moment_of_start_ends_it() {
    let shop = shop([("SECRET", "value")]);
    let gate = shop.phase.gate("");
    for turn in 0..40 {
        let run = shop.run_with(&["--supervise"]).args(["touch", "started"]);
        let running = run.spawn();
        // Every second signal is sent as soon as there is a child, the others at once.
        if turn % 2 == 0 {
            eventually("there is a child", || match children(running.pid()).len() {
                1 => Ok(()),
                other => Err(other),
            });
        }
        running.kill(libc::SIGTERM);
        let _ = running.wait().assert_status(Status::Killed(libc::SIGTERM));
    }
    drop(gate);
    assert!(!started(&shop));
}
