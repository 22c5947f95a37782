//! phase-run as PID 1, as in a container: the command is PID 1 itself.

use nix::sys::resource::Resource;

use crate::support::{DEADLINE, Disposition, Run, SHOP, Status, eventually, inspector, shop};

/// The signals that stop a container: PID 1 ignores what it has no handler for, so these have one
/// during the fetch (pid_namespaces(7)).
const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// Also with what a container runtime may have changed.
#[test]
fn pid_1_finds_everything_as_it_was() {
    let preparations: [fn(Run<'_>) -> Run<'_>; 4] = [
        |run| run,
        |run| {
            run.ignore(libc::SIGPIPE)
                .ignore(libc::SIGHUP)
                .block(libc::SIGINT)
        },
        |run| run.stdin_closed().closed(2),
        |run| run.limit(Resource::RLIMIT_CORE, 0).cwd("/"),
    ];
    let shop = shop([("SECRET", "value")]);
    for prepare in preparations {
        let comparison = shop.transparent(SHOP, |run| prepare(run.as_pid1()));
        let comparison = comparison.added("SECRET", "value");
        assert_eq!(comparison.under.number("pid"), 1);
        comparison.removed("PHASE_SERVICE_TOKEN").check();
    }
}

/// The command is PID 1 and gets TERM itself, once; its status is the container's.
#[test]
fn the_command_is_pid_1_and_gets_the_signal_itself() {
    let shop = shop([("SECRET", "value")]);
    let mut running = shop
        .with(&[])
        .args([inspector(), "serve", "1"])
        .as_pid1()
        .spawn();
    assert_eq!(running.ready(), 1);
    running.kill(libc::SIGTERM);
    assert_eq!(running.line(), "signal 15 code 0 pid 0 value 0");
    assert_eq!(running.wait().ok().text().lines().count(), 2);
}

/// execve(2): handled signals become default; nothing of the fetch is left.
#[test]
fn handlers_of_the_fetch_are_gone_after_it() {
    let shop = shop([("SECRET", "value")]);
    let report = shop.reporting(&[]).as_pid1().report();
    for signal in ENDING {
        assert_eq!(report.disposition(signal), Disposition::Default);
    }
    let run = shop.with(&[]).args(["cat", "/proc/1/status"]).as_pid1();
    let output = run.output().ok();
    let caught = "SigCgt:\t0000000000000000";
    assert!(output.text().contains(caught), "{output}");
}

/// TERM, INT, HUP and QUIT during the fetch end it at once by status 128+N, and nothing was
/// started.
#[test]
fn an_ending_signal_during_the_fetch_ends_it_at_once() {
    for signal in ENDING {
        let shop = shop([("SECRET", "value")]);
        let gate = shop.phase.gate("");
        let run = shop.with(&["--timeout", "600"]).args(["touch", "started"]);
        let running = run.as_pid1().spawn();
        gate.arrived(DEADLINE);
        running.kill(signal);
        let output = running.wait().ended(Status::Exited(128 + signal));
        assert!(output.stderr.is_empty(), "{output}");
        assert!(!shop.directory().join("started").exists());
        drop(gate);
    }
}

/// What is ignored stays ignored, such as HUP by nohup(1): the fetch goes on.
#[test]
fn an_ignored_signal_during_the_fetch_stays_ignored() {
    for signal in ENDING {
        let shop = shop([("SECRET", "value")]);
        let gate = shop.phase.gate("");
        let run = shop.with(&[]).args([inspector(), "report"]).as_pid1();
        let running = run.ignore(signal).reveals().spawn();
        gate.arrived(DEADLINE);
        let status = format!("/proc/{}/status", running.pid());
        running.kill(signal);
        let status = std::fs::read_to_string(status).unwrap();
        let set = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
        };
        assert_eq!(set("SigIgn:") >> (signal - 1) & 1, 1, "{status}");
        gate.open();
        let output = running.wait().ok();
        let line = format!("\nsignal.{signal} ignored\n");
        assert!(output.text().contains(&line), "{output}");
    }
}

/// In any other place signals during the fetch do what they do to any program.
#[test]
fn a_signal_during_the_fetch_ends_an_ordinary_process_by_that_signal() {
    for signal in ENDING.into_iter().chain([libc::SIGUSR1, libc::SIGALRM, 40]) {
        let shop = shop([("SECRET", "value")]);
        let gate = shop.phase.gate("");
        let run = shop.with(&["--timeout", "600"]).args(["touch", "started"]);
        let running = run.spawn();
        gate.arrived(DEADLINE);
        running.kill(signal);
        let output = running.wait().ended(Status::Killed(signal));
        assert!(output.stderr.is_empty(), "{output}");
        assert!(!shop.directory().join("started").exists());
        drop(gate);
    }
}

/// A stop during the fetch is a stop, and the fetch goes on when it is continued.
#[test]
fn a_stop_during_the_fetch_can_be_continued() {
    let shop = shop([("SECRET", "value")]);
    let gate = shop.phase.gate("");
    // In an orphaned group, as of a test run without a shell, the kernel discards TSTP.
    let run = shop.with(&[]).args([inspector(), "cat-env", "SECRET"]);
    let running = run.own_group().spawn();
    gate.arrived(DEADLINE);
    running.kill(libc::SIGTSTP);
    eventually("stopped", || match running.state() {
        'T' => Ok(()),
        other => Err(other),
    });
    gate.open();
    running.kill(libc::SIGCONT);
    assert_eq!(running.wait().ok().text(), "value");
}
