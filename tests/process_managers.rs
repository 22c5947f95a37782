//! Shells, scripts, timeout(1), nohup(1), setsid(1) and signals like those of process managers have the
//! same effect on the supervised command as on the bare one. `scripts/test-engines` runs the managers
//! themselves.

#![cfg(target_os = "linux")]

use crate::support::proc::{
    children, parent, wait_for_only_child, wait_until_asleep, wait_until_stopped,
};
use crate::support::{
    BARE_AND_SUPERVISED, BARRIER, LaunchMode, Run, Running, Shop, Status, inspector, kill,
    require_programs, shop, signals_before_barrier,
};

/// A command with a child. Both report their signals: the command on standard output, the child on
/// standard error.
const FAMILY: &str = "exec 3<&0; \"$0\" serve <&3 3<&- >&2 & exec \"$0\" serve 3<&-";

/// A command with a child that it waits for, both of which ignore TERM.
const STUBBORN: &str = "trap '' TERM; \"$0\" sleep & \"$0\" sleep";

/// The same, without ignoring TERM.
const SERVER: &str = "\"$0\" sleep & \"$0\" sleep";

struct Family {
    running: Running,
    child: i32,
    /// The process that was started: phase-run, or the bare command.
    started: i32,
}

impl Family {
    fn start(mode: LaunchMode, run: Run<'_>) -> Self {
        let mut running = run.spawn();
        let command = running.wait_until_ready();
        let child = running.stderr_line();
        let child = child.strip_prefix("ready ").unwrap().parse().unwrap();
        let started = match mode {
            LaunchMode::Bare => command,
            _ => parent(command),
        };
        Family {
            running,
            child,
            started,
        }
    }

    /// Counts the signals of this number that reached the command, and its child.
    fn counts(&mut self, signal: i32) -> [usize; 2] {
        kill(self.started, BARRIER);
        let command = signals_before_barrier(|| self.running.line());
        kill(self.child, BARRIER);
        let child = signals_before_barrier(|| self.running.stderr_line());
        [command, child].map(|arrived| arrived.iter().filter(|found| **found == signal).count())
    }

    fn end(self) {
        let _ = self.running.wait().assert_status(Status::Exited(0));
    }
}

fn family(shop: &Shop, mode: LaunchMode) -> Run<'_> {
    shop.start(mode, ["sh", "-c", FAMILY, inspector()])
}

fn leaders<'a>() -> [fn(Run<'a>) -> Run<'a>; 2] {
    [|run| run.wrap(["setsid"]), Run::own_group]
}

/// kill(1), Popen.terminate() and a script's `kill $!` signal the command alone.
#[test]
fn signal_to_pid_arrives_once_and_not_at_child() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        for prepare in leaders() {
            let mut family = Family::start(mode, prepare(family(&shop, mode)));
            for signal in [libc::SIGTERM, 40] {
                kill(family.started, signal);
                assert_eq!(family.counts(signal), [1, 0], "{mode:?}");
            }
            family.end();
        }
    }
}

/// A signal to the whole group reaches the command twice, directly and forwarded, and its children
/// once. Real-time signals can be counted, two standard ones may become one.
#[test]
fn signal_to_group_arrives_twice_and_at_child_once() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        for prepare in leaders() {
            let mut family = Family::start(mode, prepare(family(&shop, mode)));
            kill(-family.started, 40);
            let copies = match mode {
                LaunchMode::Bare => 1,
                _ => 2,
            };
            assert_eq!(family.counts(40), [copies, 1], "{mode:?}");
            kill(-family.started, libc::SIGTERM);
            let [command, child] = family.counts(libc::SIGTERM);
            assert!((1..=copies).contains(&command), "{mode:?}: {command}");
            assert_eq!(child, 1, "{mode:?}");
            family.end();
        }
    }
}

/// A script's `kill 0` signals the group that it shares with the command.
#[test]
fn manager_signalling_own_group_reaches_command() {
    let shop = shop([("SECRET", "value")]);
    let manager = "exec 3<&0; trap 'kill -40 0' USR1; trap : 40; \"$@\" <&3 3<&- & \
                   wait $!; wait $!; wait $!";
    for mode in BARE_AND_SUPERVISED {
        let run = family(&shop, mode).own_group();
        let run = run.wrap(["sh", "-c", manager, "sh"]);
        let mut family = Family::start(mode, run);
        family.running.kill(libc::SIGUSR1);
        assert_eq!(family.running.signal().signal, 40, "{mode:?}");
        let copies = match mode {
            LaunchMode::Bare => 0,
            _ => 1,
        };
        assert_eq!(family.counts(40), [copies, 1], "{mode:?}");
        family.end();
    }
}

/// A signal that ends the whole group ends everything that the command has started.
#[test]
fn killed_group_leaves_nothing_of_command() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        for (script, signal) in [(SERVER, libc::SIGTERM), (STUBBORN, libc::SIGKILL)] {
            for prepare in leaders() {
                let run = prepare(shop.start(mode, ["sh", "-c", script, inspector()]));
                let mut running = run.spawn();
                running.wait_until_ready();
                running.wait_until_ready();
                kill(-running.pid(), signal);
                // `wait` blocks until no process has standard output open.
                let _ = running.wait().assert_status(Status::Killed(signal));
            }
        }
    }
}

/// There is no terminal for Ctrl-Z here, but `kill -STOP -PGID` has the same effect on the group.
#[test]
fn stopped_group_stops_and_continues_as_a_whole() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let mut family = Family::start(mode, family(&shop, mode).own_group());
        kill(-family.started, libc::SIGSTOP);
        let command = match mode {
            LaunchMode::Bare => family.started,
            _ => {
                let children = children(family.started);
                assert_eq!(children.len(), 1);
                children[0]
            }
        };
        wait_until_stopped(&[family.started, command, family.child]);
        kill(-family.started, libc::SIGCONT);
        assert!(family.counts(libc::SIGCONT).iter().all(|count| *count >= 1));
        family.end();
    }
}

/// A script runs `cmd & kill $!; wait $!`, at once and when the command runs.
#[test]
fn script_ends_its_background_command() {
    let shop = shop([("SECRET", "value")]);
    for shell in ["sh", "bash", "zsh"] {
        if !require_programs(&[shell]) {
            continue;
        }
        for mode in BARE_AND_SUPERVISED {
            let script = "\"$@\" & kill $!; wait $!; echo $?";
            let run = shop.start(mode, [inspector(), "sleep"]);
            let output = run.wrap([shell, "-c", script, "sh"]).output();
            let text = output.text();
            assert!(text.ends_with("143\n"), "{mode:?} in {shell}\n{output}");
            let script = "coproc \"$@\"; read -r word pid <&${COPROC[0]}; echo $word; \
                          kill $COPROC_PID; wait $COPROC_PID; echo $?";
            if shell == "bash" {
                let run = shop.start(mode, [inspector(), "sleep"]);
                let output = run.wrap([shell, "-c", script, "sh"]).output();
                assert_eq!(output.text(), "ready\n143\n", "{mode:?} in {shell}");
            }
        }
    }
}

/// The parent calls Python's Popen.terminate() and is in the same group.
#[test]
fn parent_in_same_group_ends_command() {
    let shop = shop([("SECRET", "value")]);
    let program = "import subprocess, sys\n\
                   child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\n\
                   child.stdout.readline()\n\
                   child.terminate()\n\
                   print(child.wait())\n";
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "sleep"]);
        let output = run.wrap(["python3", "-c", program]).own_group().output();
        assert_eq!(output.assert_ok().text(), "-15\n", "{mode:?}");
    }
}

/// timeout(1) signals the command and its own group. ALRM makes it time out at once.
#[test]
fn timeout_ends_whole_command() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        for (options, script, status) in [
            (&["600"][..], SERVER, Status::Exited(124)),
            (&["--preserve-status", "600"], SERVER, Status::Exited(143)),
            // timeout(1) sends KILL to its whole group, itself included.
            (&["-k", "0.01", "600"], STUBBORN, Status::Killed(9)),
        ] {
            let run = shop.start(mode, ["sh", "-c", script, inspector()]);
            let mut running = run.wrap(["timeout"]).wrap(options).spawn();
            running.wait_until_ready();
            running.wait_until_ready();
            // Before timeout(1) has noted its child, ALRM would end it alone.
            wait_until_asleep(running.pid());
            running.kill(libc::SIGALRM);
            let _ = running.wait().assert_status(status);
        }
    }
}

/// timeout(1) passes on the status of a command that ends in time.
#[test]
fn timeout_passes_on_status() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "exit", "7"]);
        let output = run.wrap(["timeout", "600"]).output();
        let _ = output.assert_status(Status::Exited(7));
    }
}

/// nohup(1): the command ignores HUP.
#[test]
fn nohup_ignores_hangup() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "serve"]).wrap(["nohup"]);
        let mut serving = run.spawn();
        serving.wait_until_ready();
        serving.kill(libc::SIGHUP);
        serving.kill(libc::SIGTERM);
        assert_eq!(serving.signals(), [libc::SIGTERM], "{mode:?}");
        let _ = serving.wait().assert_status(Status::Exited(0));
    }
}

/// setsid(1) runs the command in a session of its own, and in a new process if it is a group leader
/// itself.
#[test]
fn setsid_makes_no_difference() {
    let shop = shop([("SECRET", "value")]);
    let ends = BARE_AND_SUPERVISED.map(|mode| {
        let run = shop.start(mode, [inspector(), "sleep"]).wrap(["setsid"]);
        let mut sleeping = run.spawn();
        sleeping.wait_until_ready();
        sleeping.kill(libc::SIGTERM);
        let _ = sleeping.wait().assert_status(Status::Killed(libc::SIGTERM));
        let run = shop.start(mode, [inspector(), "sleep"]).own_group();
        let mut waiting = run.wrap(["setsid", "--wait"]).spawn();
        waiting.wait_until_ready();
        kill(wait_for_only_child(waiting.pid()), libc::SIGTERM);
        waiting.wait().status
    });
    assert_eq!(ends[0], ends[1]);
}

/// wait(2): if SIGCHLD is ignored, the kernel reaps children itself and drops their status.
#[test]
fn ignored_sigchld_loses_no_status() {
    let shop = shop([("SECRET", "value")]);
    let ignoring = ["env", "--ignore-signal=CHLD"];
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "exit", "7"]).wrap(ignoring);
        let _ = run.output().assert_status(Status::Exited(7));
        let mut sleeping = shop
            .start(mode, [inspector(), "sleep"])
            .wrap(ignoring)
            .spawn();
        sleeping.wait_until_ready();
        sleeping.kill(libc::SIGTERM);
        let _ = sleeping.wait().assert_status(Status::Killed(libc::SIGTERM));
    }
}
