//! Signals to a supervised phase-run while it fetches: they do what they would do to the command.

use fake_phase::Gate;

use crate::support::proc::{children, idle, only_child, state, stopped};
use crate::support::{
    DEADLINE, LaunchMode, Run, Running, Shop, Status, eventually, inspector, kill, queue, shop,
};

/// What ends any process, and the status that stands for it where it ends PID 1.
const ENDING: [i32; 6] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    40,
];

type Prepare = fn(Run<'_>) -> Run<'_>;

/// An ordinary process, and the first one of a namespace.
const PLACES: [Prepare; 2] = [|run| run, |run| run.as_pid1()];

/// The same in a group whose parent is outside it, or the kernel would not stop it (setpgid(2)).
const IN_GROUPS: [Prepare; 2] = [|run| run.own_group(), |run| run.as_pid1().own_group()];

/// A fetch that waits for the gate, prepared as told, of a command that would leave a trace.
fn fetching<'a>(shop: &'a Shop, prepare: impl FnOnce(Run<'a>) -> Run<'a>) -> (Gate, Running) {
    let gate = shop.phase.gate("");
    let run = shop.with(&["--supervise", "--timeout", "600"]);
    let running = prepare(run.args(["touch", "started"])).spawn();
    gate.arrived(DEADLINE);
    (gate, running)
}

fn started(shop: &Shop) -> bool {
    shop.directory().join("started").exists()
}

/// "A signal before the command's exec goes to the fetching child, which has the
/// inherited dispositions and is signalled like the command." Nothing was started, and no core left.
#[test]
fn a_signal_during_the_fetch_ends_both_by_that_signal() {
    for signal in ENDING {
        let shop = shop([("SECRET", "value")]);
        let (gate, running) = fetching(&shop, |run| run);
        running.kill(signal);
        let output = running.wait().ended(Status::Killed(signal));
        assert!(output.stderr.is_empty(), "{output}");
        let left = std::fs::read_dir(shop.directory()).unwrap().count();
        assert_eq!(left, 0, "something was started, or left a core file");
        drop(gate);
    }
}

/// PID 1 cannot die by a signal that it sends itself: 128+N.
#[test]
fn a_signal_during_the_fetch_of_pid_1_ends_it_by_status() {
    for signal in ENDING {
        let shop = shop([("SECRET", "value")]);
        let (gate, running) = fetching(&shop, Run::as_pid1);
        running.kill(signal);
        let output = running.wait().ended(Status::Exited(128 + signal));
        assert!(output.stderr.is_empty(), "{output}");
        assert!(!started(&shop));
        drop(gate);
    }
}

/// Stopped, the fetch waits; continued, it goes on, even when that took longer than it would.
#[test]
fn a_stopped_fetch_goes_on_when_it_is_continued() {
    for prepare in IN_GROUPS {
        for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            let shop = shop([("SECRET", "value")]);
            let (gate, running) = fetching(&shop, prepare);
            let child = only_child(running.pid());
            running.kill(signal);
            stopped(&[child]);
            // No terminal, so nobody who would resume phase-run itself.
            idle(running.pid());
            gate.open();
            assert!(!started(&shop));
            running.kill(libc::SIGCONT);
            let _ = running.wait().ok();
            assert!(started(&shop));
        }
    }
}

/// The whole group is stopped and continued by somebody else.
#[test]
fn a_stopped_group_goes_on_fetching_when_it_is_continued() {
    let shop = shop([("SECRET", "value")]);
    let (gate, running) = fetching(&shop, Run::own_group);
    let child = only_child(running.pid());
    kill(-running.pid(), libc::SIGSTOP);
    stopped(&[running.pid(), child]);
    gate.open();
    assert_eq!(state(child), 'T');
    kill(-running.pid(), libc::SIGCONT);
    let _ = running.wait().ok();
    assert!(started(&shop));
}

/// signal(7): WINCH and URG do nothing by default, nor does a CONT to what runs.
#[test]
fn a_signal_without_an_effect_has_none_during_the_fetch() {
    for prepare in PLACES {
        let shop = shop([("SECRET", "value")]);
        let (gate, running) = fetching(&shop, prepare);
        for signal in [libc::SIGWINCH, libc::SIGURG, libc::SIGCONT, libc::SIGCHLD] {
            running.kill(signal);
        }
        idle(running.pid());
        gate.open();
        let _ = running.wait().ok();
        assert!(started(&shop));
    }
}

/// nohup(1): what was ignored stays ignored, in the fetch and in the command.
#[test]
fn an_ignored_signal_does_not_end_the_fetch() {
    for prepare in PLACES {
        for signal in ENDING {
            let shop = shop([("SECRET", "value")]);
            let (gate, running) = fetching(&shop, |run| prepare(run.ignore(signal)));
            running.kill(signal);
            idle(running.pid());
            gate.open();
            let _ = running.wait().ok();
            assert!(started(&shop));
        }
    }
}

/// A blocked one waits for the command, which has it pending (execve(2)).
#[test]
fn a_signal_that_was_blocked_during_the_fetch_reaches_the_command() {
    let shop = shop([("SECRET", "value")]);
    let gate = shop.phase.gate("");
    let run = shop.start(LaunchMode::Supervised, [inspector(), "serve"]);
    let mut serving = run.block(libc::SIGTERM).block(40).spawn();
    gate.arrived(DEADLINE);
    serving.kill(libc::SIGTERM);
    queue(serving.pid(), 40, 7);
    idle(serving.pid());
    gate.open();
    serving.ready();
    assert_eq!(serving.signal().signal, libc::SIGTERM);
    let queued = serving.signal();
    assert_eq!((queued.signal, queued.value), (40, 7));
    assert_eq!(serving.signals(), [0; 0]);
    let _ = serving.wait().ok();
}

/// "If the supervisor dies, so does the command, by SIGKILL", also before it is the
/// command: `wait` waits until nobody has its output open.
#[test]
fn a_killed_supervisor_takes_the_fetch_with_it() {
    let shop = shop([("SECRET", "value")]);
    let (gate, running) = fetching(&shop, |run| run.ignore(libc::SIGTERM));
    running.kill(libc::SIGKILL);
    let output = running.wait().ended(Status::Killed(libc::SIGKILL));
    assert!(output.stderr.is_empty(), "{output}");
    gate.open();
    assert!(!started(&shop));
}

/// The fetching child is ended by somebody else, such as the kernel when memory is short.
#[test]
fn a_killed_fetch_is_the_end() {
    let shop = shop([("SECRET", "value")]);
    let (gate, running) = fetching(&shop, |run| run);
    kill(only_child(running.pid()), libc::SIGKILL);
    let _ = running.wait().ended(Status::Killed(libc::SIGKILL));
    assert!(!started(&shop));
    drop(gate);
}

/// A signal that comes right at the start ends it too, wherever it is by then: `eventually` tries
/// each moment from before the fork to the fetch.
#[test]
fn a_signal_at_any_moment_of_the_start_ends_it() {
    let shop = shop([("SECRET", "value")]);
    let gate = shop.phase.gate("");
    for turn in 0..40 {
        let run = shop.with(&["--supervise"]).args(["touch", "started"]);
        let running = run.spawn();
        // Half of them as soon as there is a child, half as they come.
        if turn % 2 == 0 {
            eventually("a child", || match children(running.pid()).len() {
                1 => Ok(()),
                other => Err(other),
            });
        }
        running.kill(libc::SIGTERM);
        let _ = running.wait().ended(Status::Killed(libc::SIGTERM));
    }
    drop(gate);
    assert!(!started(&shop));
}
