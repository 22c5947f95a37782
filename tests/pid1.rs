//! phase-run as PID 1, as in a container: the command becomes PID 1.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use fake_phase::{Phase, World};
use nix::sys::resource::Resource;

use crate::support::{
    DEADLINE, Disposition, Run, SHOP, Sandbox, Status, eventually, inspector, shop,
};

/// The signals that stop a container. PID 1 ignores signals without a handler (pid_namespaces(7)), so
/// phase-run installs handlers for these during the fetch.
const TERMINATION_SIGNALS: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// The preparations are changes that a container runtime may make.
#[test]
fn command_as_pid1_has_unchanged_environment() {
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
        let comparison = shop.compare_with_bare(SHOP, |run| prepare(run.as_pid1()));
        let comparison = comparison.expect_added("SECRET", "value");
        assert_eq!(comparison.under_phase_run.number("pid"), 1);
        comparison.expect_removed("PHASE_SERVICE_TOKEN").check();
    }
}

/// The command is PID 1 and gets TERM itself, once; its status is that of the container.
#[test]
fn command_is_pid1_and_gets_signals_directly() {
    let shop = shop([("SECRET", "value")]);
    let mut running = shop
        .run_with(&[])
        .args([inspector(), "serve", "1"])
        .as_pid1()
        .spawn();
    assert_eq!(running.wait_until_ready(), 1);
    running.kill(libc::SIGTERM);
    assert_eq!(running.line(), "signal 15 code 0 pid 0 value 0");
    assert_eq!(running.wait().assert_ok().text().lines().count(), 2);
}

/// In a container, a missing command is usually an image whose CMD was cleared.
#[test]
fn missing_command_as_pid1_names_cmd() {
    let shop = shop([("SECRET", "value")]);
    for (run, hint) in [
        (
            shop.run_with(&[]).as_pid1(),
            "\nhint: put the command into CMD, ",
        ),
        (shop.run_with(&[]), "\nhint: put the command last: "),
    ] {
        let output = run.output().assert_error(125, "usage");
        assert!(output.stderr.contains("no command to run"), "{output}");
        assert!(output.stderr.contains(hint), "{output}");
    }
}

/// In a container, the option that a hint recommends often becomes the command by mistake. That is the error
/// then, not the first one again. Where a variable does the same as an option, the hint names it.
#[test]
fn hints_as_pid1_lead_on() {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/a", "KEY", "1");
    production.secret("/b", "KEY", "2");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let run = |words: &[&str]| sandbox.run(SHOP).args(words).as_pid1();
    let output = run(&["true"]).output().assert_error(125, "ambiguous");
    let hint = "hint: set PHASE_PATH=/**:/a to prefer /a, ";
    assert!(output.stderr.contains(hint), "{output}");
    let output = run(&["true"]).env("PHASE_PATH", "/**:/a").output();
    let _ = output.assert_ok();
    let output = run(&["--", "--path", "/a", "true"]).output();
    let output = output.assert_error(127, "exec");
    assert!(output.stderr.contains("cannot run --path: "), "{output}");
}

/// With `-v`, one line says what being PID 1 means. A supervised command is not PID 1.
#[test]
fn verbose_exec_as_pid1_explains_signals() {
    let shop = shop([("SECRET", "value")]);
    let line = "phase-run: the command becomes PID 1 and gets signals directly; ";
    for (options, expected) in [(&["-v"][..], 1), (&["-v", "--supervise"], 0), (&[], 0)] {
        let run = shop.run_with(options).arg("true").as_pid1();
        let output = run.output().assert_status(Status::Exited(0));
        let lines = output.stderr.lines().filter(|said| said.starts_with(line));
        assert_eq!(lines.count(), expected, "{options:?}: {output}");
    }
    let run = shop.run_with(&["-v"]).arg("true");
    let output = run.output().assert_status(Status::Exited(0));
    assert!(!output.stderr.contains(line), "{output}");
}

/// execve(2): handled signals become default again, so nothing of the fetch is left.
#[test]
fn pid1_handlers_are_reset_for_command() {
    let shop = shop([("SECRET", "value")]);
    let report = shop.run_inspector(&[]).as_pid1().report();
    for signal in TERMINATION_SIGNALS {
        assert_eq!(report.disposition(signal), Disposition::Default);
    }
    let run = shop.run_with(&[]).args(["cat", "/proc/1/status"]).as_pid1();
    let output = run.output().assert_ok();
    let caught = "SigCgt:\t0000000000000000";
    assert!(output.text().contains(caught), "{output}");
}

/// TERM, INT, HUP and QUIT during the fetch end phase-run at once with status 128+N, and nothing is
/// started.
#[test]
fn termination_signal_ends_fetch_of_pid1() {
    for signal in TERMINATION_SIGNALS {
        let shop = shop([("SECRET", "value")]);
        let gate = shop.phase.gate("");
        let run = shop
            .run_with(&["--timeout", "600"])
            .args(["touch", "started"]);
        let running = run.as_pid1().spawn();
        gate.wait_for_request(DEADLINE);
        running.kill(signal);
        let output = running.wait().assert_status(Status::Exited(128 + signal));
        assert!(output.stderr.is_empty(), "{output}");
        assert!(!shop.directory().join("started").exists());
        drop(gate);
    }
}

/// The handlers exist before anything else. Here phase-run waits before its `main`, because standard input is
/// closed and /dev/null is a pipe that nobody writes to yet.
#[test]
fn termination_signal_before_main_ends_pid1() {
    for signal in TERMINATION_SIGNALS {
        let shop = shop([("SECRET", "value")]);
        let script = "mkfifo pipe && mount --bind pipe /dev/null && exec \"$@\" <&-";
        let run = shop.run_with(&[]).args(["touch", "started"]);
        let running = run.in_namespaces(&["--mount"], script).as_pid1().spawn();
        eventually("phase-run waits for the pipe", || {
            let program = std::fs::read_link(format!("/proc/{}/exe", running.pid()));
            let state = (program.unwrap_or_default(), running.state());
            match state.0.ends_with("phase-run") && state.1 == 'S' {
                true => Ok(()),
                false => Err(state),
            }
        });
        running.kill(signal);
        // Without a handler, phase-run would go on now.
        let mut writer = File::options();
        let writer = writer.write(true).custom_flags(libc::O_NONBLOCK);
        let _ = writer.open(shop.directory().join("pipe"));
        let _ = running.wait().assert_status(Status::Exited(128 + signal));
        assert!(!shop.directory().join("started").exists());
    }
}

/// An ignored signal stays ignored, such as HUP under nohup(1), and the fetch continues.
#[test]
fn ignored_signal_stays_ignored_in_fetch_of_pid1() {
    for signal in TERMINATION_SIGNALS {
        let shop = shop([("SECRET", "value")]);
        let gate = shop.phase.gate("");
        let run = shop.run_with(&[]).args([inspector(), "report"]).as_pid1();
        let running = run.ignore(signal).allow_secrets_on_stdout().spawn();
        gate.wait_for_request(DEADLINE);
        let status = format!("/proc/{}/status", running.pid());
        running.kill(signal);
        let status = std::fs::read_to_string(status).unwrap();
        let set = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
        };
        assert_eq!(set("SigIgn:") >> (signal - 1) & 1, 1, "{status}");
        gate.open();
        let output = running.wait().assert_ok();
        let line = format!("\nsignal.{signal} ignored\n");
        assert!(output.text().contains(&line), "{output}");
    }
}

/// If phase-run is not PID 1, a signal during the fetch kills it like any program.
#[test]
fn signal_during_fetch_kills_process_that_is_not_pid1() {
    for signal in TERMINATION_SIGNALS
        .into_iter()
        .chain([libc::SIGUSR1, libc::SIGALRM, 40])
    {
        let shop = shop([("SECRET", "value")]);
        let gate = shop.phase.gate("");
        let run = shop
            .run_with(&["--timeout", "600"])
            .args(["touch", "started"]);
        let running = run.spawn();
        gate.wait_for_request(DEADLINE);
        running.kill(signal);
        let output = running.wait().assert_status(Status::Killed(signal));
        assert!(output.stderr.is_empty(), "{output}");
        assert!(!shop.directory().join("started").exists());
        drop(gate);
    }
}

/// A stopped fetch continues after CONT.
#[test]
fn stop_signal_during_fetch_can_be_continued() {
    let shop = shop([("SECRET", "value")]);
    let gate = shop.phase.gate("");
    // The kernel discards TSTP for an orphaned group, such as that of a test run without a shell.
    let run = shop.run_with(&[]).args([inspector(), "cat-env", "SECRET"]);
    let running = run.own_group().spawn();
    gate.wait_for_request(DEADLINE);
    running.kill(libc::SIGTSTP);
    eventually("the process stops", || match running.state() {
        'T' => Ok(()),
        other => Err(other),
    });
    gate.open();
    running.kill(libc::SIGCONT);
    assert_eq!(running.wait().assert_ok().text(), "value");
}
