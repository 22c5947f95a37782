//! Who starts and stops programs: shells and scripts, timeout(1), nohup(1), setsid(1), process
//! managers. What they do to the bare command they do to the supervised one.

use crate::support::proc::{asleep, children, gone, only_child, parent, stopped};
use crate::support::{
    BARE_AND_SUPERVISED, BARRIER, LaunchMode, Run, Running, SHOP, Shop, Status, has_programs,
    inspector, kill, pypi_packages, shop, signals_before_barrier,
};

/// A command with a child, both of which tell their signals: the command on standard output, the
/// child on standard error.
const FAMILY: &str = "exec 3<&0; \"$0\" serve <&3 3<&- >&2 & exec \"$0\" serve 3<&-";

/// A command with a child that it waits for, both of which ignore TERM.
const STUBBORN: &str = "trap '' TERM; \"$0\" sleep & \"$0\" sleep";

/// The same with neither ignoring it.
const SERVER: &str = "\"$0\" sleep & \"$0\" sleep";

/// The real honcho, from PyPI.
pub(crate) const HONCHO: [&str; 1] = ["honcho==2.0.0"];
pub(crate) const START: &str = "import sys; from honcho.command import main; sys.exit(main())";

struct Family {
    running: Running,
    child: i32,
    /// The process that its starter knows: phase-run where there is one.
    known: i32,
}

impl Family {
    fn start(mode: LaunchMode, run: Run<'_>) -> Self {
        let mut running = run.spawn();
        let command = running.ready();
        let child = running.stderr_line();
        let child = child.strip_prefix("ready ").unwrap().parse().unwrap();
        let known = match mode {
            LaunchMode::Bare => command,
            _ => parent(command),
        };
        Family {
            running,
            child,
            known,
        }
    }

    /// How many signals of this number reached the command, and how many its child.
    fn counts(&mut self, signal: i32) -> [usize; 2] {
        kill(self.known, BARRIER);
        let command = signals_before_barrier(|| self.running.line());
        kill(self.child, BARRIER);
        let child = signals_before_barrier(|| self.running.stderr_line());
        [command, child].map(|arrived| arrived.iter().filter(|found| **found == signal).count())
    }

    fn end(self) {
        let _ = self.running.wait().ended(Status::Exited(0));
    }
}

fn family(shop: &Shop, mode: LaunchMode) -> Run<'_> {
    shop.start(mode, ["sh", "-c", FAMILY, inspector()])
}

fn leaders<'a>() -> [fn(Run<'a>) -> Run<'a>; 2] {
    [|run| run.wrap(["setsid"]), Run::own_group]
}

/// kill(1), Popen.terminate(), a script's `kill $!`: the command alone.
#[test]
fn a_signal_to_the_pid_reaches_the_command_once_and_not_its_child() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        for prepare in leaders() {
            let mut family = Family::start(mode, prepare(family(&shop, mode)));
            for signal in [libc::SIGTERM, 40] {
                kill(family.known, signal);
                assert_eq!(family.counts(signal), [1, 0], "{mode:?}");
            }
            family.end();
        }
    }
}

/// "The price, documented: who signals the whole group on purpose … reaches the
/// command twice". It is never lost, and the command's children get it once. A real-time signal is
/// counted, as two ordinary ones may become one.
#[test]
fn a_signal_to_the_group_reaches_the_command_twice_and_its_child_once() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        for prepare in leaders() {
            let mut family = Family::start(mode, prepare(family(&shop, mode)));
            kill(-family.known, 40);
            let copies = match mode {
                LaunchMode::Bare => 1,
                _ => 2,
            };
            assert_eq!(family.counts(40), [copies, 1], "{mode:?}");
            kill(-family.known, libc::SIGTERM);
            let [command, child] = family.counts(libc::SIGTERM);
            assert!((1..=copies).contains(&command), "{mode:?}: {command}");
            assert_eq!(child, 1, "{mode:?}");
            family.end();
        }
    }
}

/// foreman, and a script's `kill 0`: the manager signals the group that it shares with the command.
#[test]
fn a_manager_that_signals_its_own_group_reaches_the_command_and_its_child() {
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

/// Whatever ends the whole group ends all of the command: nothing stands outside it.
#[test]
fn a_group_that_is_ended_leaves_nothing_of_the_command() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        for (script, signal) in [(SERVER, libc::SIGTERM), (STUBBORN, libc::SIGKILL)] {
            for prepare in leaders() {
                let run = prepare(shop.start(mode, ["sh", "-c", script, inspector()]));
                let mut running = run.spawn();
                running.ready();
                running.ready();
                kill(-running.pid(), signal);
                // `wait` waits until nobody has standard output open any more.
                let _ = running.wait().ended(Status::Killed(signal));
            }
        }
    }
}

/// Ctrl-Z has no terminal here, but `kill -STOP -PGID` is the same for all of the group.
#[test]
fn a_stopped_group_stops_and_goes_on_whole() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let mut family = Family::start(mode, family(&shop, mode).own_group());
        kill(-family.known, libc::SIGSTOP);
        let command = match mode {
            LaunchMode::Bare => family.known,
            _ => {
                let children = children(family.known);
                assert_eq!(children.len(), 1);
                children[0]
            }
        };
        stopped(&[family.known, command, family.child]);
        kill(-family.known, libc::SIGCONT);
        assert!(family.counts(libc::SIGCONT).iter().all(|count| *count >= 1));
        family.end();
    }
}

/// A script's `cmd & kill $!; wait $!`, as soon as that, and once the command runs.
#[test]
fn a_script_ends_what_it_started_in_the_background() {
    let shop = shop([("SECRET", "value")]);
    for shell in ["sh", "bash", "zsh"] {
        if !has_programs(&[shell]) {
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

/// Python's Popen.terminate(), from a parent in the same group.
#[test]
fn a_parent_in_the_same_group_ends_it() {
    let shop = shop([("SECRET", "value")]);
    let program = "import subprocess, sys\n\
                   child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\n\
                   child.stdout.readline()\n\
                   child.terminate()\n\
                   print(child.wait())\n";
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "sleep"]);
        let output = run.wrap(["python3", "-c", program]).own_group().output();
        assert_eq!(output.ok().text(), "-15\n", "{mode:?}");
    }
}

/// timeout(1) sends its signal to the command and to its own group. ALRM is how its time is up.
#[test]
fn timeout_ends_all_of_the_command() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        for (options, script, status) in [
            (&["600"][..], SERVER, Status::Exited(124)),
            (&["--preserve-status", "600"], SERVER, Status::Exited(143)),
            // KILL goes to its whole group, itself included.
            (&["-k", "0.01", "600"], STUBBORN, Status::Killed(9)),
        ] {
            let run = shop.start(mode, ["sh", "-c", script, inspector()]);
            let mut running = run.wrap(["timeout"]).wrap(options).spawn();
            running.ready();
            running.ready();
            // Until it has noted whom it started it would end alone.
            asleep(running.pid());
            running.kill(libc::SIGALRM);
            let _ = running.wait().ended(status);
        }
    }
}

/// timeout(1) is silent about a command that ends by itself.
#[test]
fn timeout_hands_on_the_status() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "exit", "7"]);
        let output = run.wrap(["timeout", "600"]).output();
        let _ = output.ended(Status::Exited(7));
    }
}

/// nohup(1): "run a command immune to hangups".
#[test]
fn nohup_keeps_a_hangup_away() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "serve"]).wrap(["nohup"]);
        let mut serving = run.spawn();
        serving.ready();
        serving.kill(libc::SIGHUP);
        serving.kill(libc::SIGTERM);
        assert_eq!(serving.signals(), [libc::SIGTERM], "{mode:?}");
        let _ = serving.wait().ended(Status::Exited(0));
    }
}

/// setsid(1): in a session of its own, and from a group's leader in a new process.
#[test]
fn setsid_changes_nothing() {
    let shop = shop([("SECRET", "value")]);
    let ends = BARE_AND_SUPERVISED.map(|mode| {
        let run = shop.start(mode, [inspector(), "sleep"]).wrap(["setsid"]);
        let mut sleeping = run.spawn();
        sleeping.ready();
        sleeping.kill(libc::SIGTERM);
        let _ = sleeping.wait().ended(Status::Killed(libc::SIGTERM));
        let run = shop.start(mode, [inspector(), "sleep"]).own_group();
        let mut waiting = run.wrap(["setsid", "--wait"]).spawn();
        waiting.ready();
        kill(only_child(waiting.pid()), libc::SIGTERM);
        waiting.wait().status
    });
    assert_eq!(ends[0], ends[1]);
}

/// wait(2): where SIGCHLD is ignored, the kernel reaps children itself and tells nobody.
#[test]
fn an_ignored_sigchld_loses_no_end() {
    let shop = shop([("SECRET", "value")]);
    let ignoring = ["env", "--ignore-signal=CHLD"];
    for mode in BARE_AND_SUPERVISED {
        let run = shop.start(mode, [inspector(), "exit", "7"]).wrap(ignoring);
        let _ = run.output().ended(Status::Exited(7));
        let mut sleeping = shop
            .start(mode, [inspector(), "sleep"])
            .wrap(ignoring)
            .spawn();
        sleeping.ready();
        sleeping.kill(libc::SIGTERM);
        let _ = sleeping.wait().ended(Status::Killed(libc::SIGTERM));
    }
}

/// honcho starts each program as the leader of a session, and signals its group.
#[test]
fn honcho_stops_the_command_and_its_child() {
    let Some(folder) = pypi_packages(&HONCHO) else {
        return;
    };
    let shop = shop([("SECRET", "value")]);
    shop.executable(
        "server",
        format!("#!/bin/sh\n{}\n", SERVER.replace("$0", inspector())),
    );
    let supervised = [shop.program(), &SHOP.join(" "), "--supervise", "--", ""].join(" ");
    let statuses = ["", &supervised].map(|before| {
        shop.file("Procfile", format!("web: {before}./server\n"));
        let run = shop.bare(["python3", "-c", START, "--no-colour", "start"]);
        let run = run.env("PYTHONPATH", &folder).env("PYTHONUNBUFFERED", "1");
        let mut running = run.spawn();
        let mut ready: Vec<i32> = Vec::new();
        while ready.len() < 2 {
            let line = running.line();
            ready.extend(
                line.split_once("ready ")
                    .map(|(_, pid)| pid.parse::<i32>().unwrap()),
            );
        }
        running.kill(libc::SIGTERM);
        let output = running.wait();
        gone(&ready);
        output.status
    });
    assert_eq!(statuses[0], statuses[1]);
}
