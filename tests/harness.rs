//! Tests of the harness: it must detect what the other tests rely on it to detect.

#![cfg(target_os = "linux")]

use std::fs::{File, read};
use std::os::unix::ffi::OsStrExt;
use std::panic::catch_unwind;

use fake_phase::Phase;
use nix::sys::resource::Resource;

use crate::support::{
    Access, Descriptor, Disposition, Output, Sandbox, Status, eventually, inspector, require_root,
};

#[test]
fn start_is_clean_unless_requested() {
    let sandbox = Sandbox::offline();
    let report = sandbox.bare([inspector(), "report", "", "a b"]).report();
    let words = [inspector(), "report", "", "a b"].map(|word| word.as_bytes().to_vec());
    assert_eq!(report.argv(), words);
    assert_eq!(report.environ().len(), 1);
    assert!(report.variable("PATH").is_some());
    let is_default = |signal: &i32| report.disposition(*signal) == Disposition::Default;
    let changed: Vec<i32> = (1..=64).filter(|signal| !is_default(signal)).collect();
    assert!(changed.is_empty(), "{changed:?}");
    assert!(report.blocked().is_empty());
    assert_eq!(report.descriptors(), [0, 1, 2]);
    assert_eq!(report.cwd(), sandbox.directory().as_os_str().as_bytes());
    assert_eq!(report.number("threads"), 1);
    assert_eq!(report.number("ppid"), std::process::id().cast_signed());
}

#[test]
fn inspector_reports_closed_descriptors_and_mask() {
    let sandbox = Sandbox::offline();
    let run = sandbox.bare([inspector(), "report"]).stdin_closed();
    let run = run.ignore(libc::SIGPIPE).ignore(libc::SIGCHLD).ignore(40);
    let report = run.block(libc::SIGUSR1).block(64).report();
    assert_eq!(report.disposition(libc::SIGPIPE), Disposition::Ignored);
    assert_eq!(report.disposition(libc::SIGCHLD), Disposition::Ignored);
    assert_eq!(report.disposition(40), Disposition::Ignored);
    assert_eq!(report.disposition(libc::SIGHUP), Disposition::Default);
    assert_eq!(report.blocked(), [libc::SIGUSR1, 64]);
    assert_eq!(report.descriptor(0), None);
    assert_eq!(report.descriptors(), [1, 2]);
}

/// An entry usually has an `=`, but nothing enforces it (environ(7)).
#[test]
fn unusual_environ_entries_reach_inspector() {
    let odd: [&[u8]; 6] = [b"NOTHING", b"=x", b"", b"A=1", b"A=2", b"\xff\xfe=\x80\n"];
    let sandbox = Sandbox::offline();
    let run = sandbox
        .bare([inspector(), "report"])
        .env("A", "0")
        .unset("A")
        .unset("PATH");
    let report = odd
        .iter()
        .fold(run, |run, entry| run.env_bytes(*entry))
        .report();
    assert_eq!(report.environ(), odd);
}

#[test]
fn limits_argv0_and_descriptors_reach_inspector() {
    let sandbox = Sandbox::offline();
    let path = sandbox.file("handed", "over");
    let file = File::open(&path).unwrap();
    let run = sandbox
        .bare([inspector(), "report"])
        .argv0("-other")
        .cwd("/");
    let run = run
        .limit(Resource::RLIMIT_NOFILE, 64)
        .pass_descriptor(&file, 5)
        .pass_descriptor(&file, 3);
    let report = run.report();
    assert_eq!(report.argv()[0], b"-other");
    assert_eq!(report.cwd(), b"/");
    assert!(report.field("limit.7").starts_with("64 "));
    assert_eq!(report.descriptors(), [0, 1, 2, 3, 5]);
    let target = Some(path.to_str().unwrap().to_owned());
    let expected = Descriptor {
        access: Access::Read,
        close_on_exec: false,
        target,
    };
    assert_eq!(report.descriptor(5), Some(expected));
}

#[test]
fn other_user_can_reach_sandbox_and_inspector() {
    if !require_root("only root can become another user") {
        return;
    }
    let sandbox = Sandbox::new(&Phase::start());
    let read = sandbox
        .bare([inspector(), "read-file", "PHASE_CA_FILE"])
        .as_user(65534)
        .output();
    assert!(read.assert_ok().text().contains("BEGIN CERTIFICATE"));
    let report = sandbox
        .bare([inspector(), "report"])
        .as_user(65534)
        .report();
    assert_eq!(report.field("uid"), "65534 65534");
    assert_eq!(report.field("groups"), "");
}

#[test]
fn exit_status_and_output_are_distinguished() {
    let sandbox = Sandbox::offline();
    let ended = |words: [&str; 2]| sandbox.bare([inspector()]).args(words).output().status;
    assert_eq!(ended(["exit", "7"]), Status::Exited(7));
    assert_eq!(ended(["die", "9"]), Status::Killed(9));
    assert_eq!(ended(["die", "64"]), Status::Killed(64));
    let echo = sandbox.bare(["cat"]).stdin("echo").output();
    assert_eq!(echo.assert_ok().text(), "echo");
    let path = sandbox.directory().join("output");
    let nothing = sandbox
        .bare(["echo", "x"])
        .stdout_to(&path)
        .output()
        .assert_ok();
    assert_eq!(
        (nothing.text(), read(path).unwrap().as_slice()),
        ("", b"x\n".as_slice())
    );
}

#[test]
fn inspector_prints_variable() {
    let sandbox = Sandbox::offline();
    let run = |words: [&str; 2]| sandbox.bare([inspector()]).args(words).env("A", "1\n");
    assert_eq!(run(["cat-env", "A"]).output().assert_ok().text(), "1\n");
    let missing = run(["cat-env", "B"]).output();
    assert_eq!(missing.assert_status(Status::Exited(1)).text(), "");
    let twice = run(["cat-env", "A"]).env_bytes("A=2").output();
    assert_eq!(twice.assert_status(Status::Exited(2)).text(), "");
    let changed = run(["read-file", "F"])
        .env("F", sandbox.file("file", "text"))
        .output();
    assert_eq!(
        (changed.text(), changed.stderr.as_str()),
        ("text", "written to\ntruncated\n")
    );
}

#[test]
fn inspector_reports_signals() {
    let sandbox = Sandbox::offline();
    let mut serving = sandbox
        .bare([inspector(), "serve"])
        .ignore(libc::SIGUSR2)
        .spawn();
    assert_eq!(serving.wait_until_ready(), serving.pid());
    let own = std::process::id();
    for signal in [libc::SIGTERM, 50] {
        serving.kill(libc::SIGUSR2);
        serving.kill(signal);
        let line = format!("signal {signal} code 0 pid {own} value 0");
        assert_eq!(serving.line(), line);
    }
    serving.close_stdin();
    let _ = serving.wait().assert_ok();
}

#[test]
fn stopped_process_is_detected_and_killed() {
    let sandbox = Sandbox::offline();
    let mut sleeping = sandbox.bare([inspector(), "sleep"]).spawn();
    sleeping.wait_until_ready();
    sleeping.kill(libc::SIGSTOP);
    eventually("the process stops", || match sleeping.state() {
        'T' => Ok(()),
        other => Err(other),
    });
    sleeping.kill(libc::SIGKILL);
    let _ = sleeping.wait().assert_status(Status::Killed(libc::SIGKILL));
}

#[test]
fn output_lines_arrive_before_exit() {
    let sandbox = Sandbox::offline();
    let mut copying = sandbox.bare(["tee", "/dev/stderr"]).spawn();
    copying.write(b"one\ntwo\n");
    assert_eq!(
        (copying.line(), copying.stderr_line()),
        ("one".into(), "one".into())
    );
    let all = copying.wait();
    assert_eq!(
        (all.text(), all.stderr.as_str()),
        ("one\ntwo\n", "one\ntwo\n")
    );
}

#[test]
fn init_of_namespace_can_be_signalled() {
    let sandbox = Sandbox::offline();
    let report = sandbox.bare([inspector(), "report"]).as_pid1().report();
    assert_eq!((report.number("pid"), report.number("ppid")), (1, 0));
    let mut serving = sandbox.bare([inspector(), "serve", "1"]).as_pid1().spawn();
    assert_eq!(serving.wait_until_ready(), 1);
    serving.kill(libc::SIGTERM);
    assert_eq!(serving.line(), "signal 15 code 0 pid 0 value 0");
    let _ = serving.wait().assert_ok();
}

#[test]
fn wrapper_program_can_run_first() {
    let sandbox = Sandbox::offline();
    let report = sandbox
        .bare([inspector(), "report"])
        .wrap(["nice", "-n", "3"])
        .report();
    assert_eq!(report.number("nice"), 3);
}

/// A shell script in place of phase-run, which runs `changes` before the command.
fn fake_phase_run(sandbox: &mut Sandbox, changes: &str) {
    // dash sets PWD.
    let script = format!("#!/bin/sh\nshift\nexec env -u PWD {changes} \"$@\"\n");
    let path = sandbox.executable("stand-in", script);
    sandbox.replace_phase_run(path.to_str().unwrap());
}

#[test]
fn allowed_difference_is_accepted() {
    let mut sandbox = Sandbox::offline();
    fake_phase_run(&mut sandbox, "-u GONE NEW=1 OLD=2");
    let comparison = sandbox.compare_with_bare([""; 0], |run| {
        let run = run.env("OLD", "1").env("GONE", "").env("KEPT", "=");
        run.stdin_closed()
            .ignore(libc::SIGPIPE)
            .block(libc::SIGINT)
            .as_pid1()
    });
    comparison
        .expect_removed("GONE")
        .expect_added("NEW", "1")
        .expect_added("OLD", "2")
        .check();
}

#[test]
#[should_panic(expected = "signal.10: bare Some(\"default\"), under phase-run Some(\"ignored\")")]
fn changed_disposition_is_detected() {
    let mut sandbox = Sandbox::offline();
    fake_phase_run(&mut sandbox, "--ignore-signal=USR1");
    sandbox.compare_with_bare([""; 0], |run| run).check();
}

#[test]
#[should_panic(expected = "added entries: expected [\n    \"A=1\",\n], found [\n    \"A=2\",\n]")]
fn wrong_value_is_detected() {
    let mut sandbox = Sandbox::offline();
    fake_phase_run(&mut sandbox, "A=2");
    sandbox
        .compare_with_bare([""; 0], |run| run)
        .expect_added("A", "1")
        .check();
}

#[test]
#[should_panic(expected = "inherited entries")]
fn extra_variable_is_detected() {
    let mut sandbox = Sandbox::offline();
    fake_phase_run(&mut sandbox, "A=1");
    sandbox.compare_with_bare([""; 0], |run| run).check();
}

#[test]
#[should_panic(expected = "nice: bare Some(\"0\"), under phase-run Some(\"5\")")]
fn exception_covers_only_its_field() {
    let mut sandbox = Sandbox::offline();
    fake_phase_run(&mut sandbox, "nice -n 5 env --ignore-signal=USR1");
    sandbox
        .compare_with_bare([""; 0], |run| run)
        .except("signal.10")
        .check();
}

#[test]
#[should_panic(expected = "standard error contains the canary \"planted value\"")]
fn canary_in_stderr_is_found() {
    let mut sandbox = Sandbox::offline();
    sandbox.canary("planted value");
    let _ = sandbox
        .bare(["sh", "-c", "echo a planted value >&2"])
        .allow_secrets_on_stdout()
        .output();
}

#[test]
#[should_panic(expected = "standard output contains the canary")]
fn token_fields_are_canaries_as_bytes_too() {
    let sandbox = Sandbox::new(&Phase::start());
    let _ = sandbox.bare([inspector(), "report"]).output();
}

#[test]
fn canary_may_be_revealed_explicitly() {
    let mut sandbox = Sandbox::offline();
    sandbox.canary("planted value");
    let output = sandbox
        .bare(["echo", "planted value"])
        .allow_secrets_on_stdout()
        .output()
        .assert_ok();
    let found = catch_unwind(|| sandbox.assert_no_canary("it", &output.stdout));
    assert!(found.is_err());
    sandbox.assert_no_canary("nothing", b"a planted valu and a lanted value");
}

/// An output with this standard error and status 125.
fn output_with_stderr(text: &str) -> Output {
    Sandbox::offline()
        .bare(["sh", "-c", "printf %s \"$0\" >&2; exit 125", text])
        .output()
}

#[test]
fn message_is_one_error_and_hint_after_events() {
    let error = "phase-run: error[usage]: no command\n";
    let _ = output_with_stderr(error).assert_error(125, "usage");
    let _ = output_with_stderr(&format!("{error}hint: add one\n")).assert_error(125, "usage");
    let _ = output_with_stderr(&format!("phase-run: retrying in 1 s\n{error}"))
        .assert_log_lines(&["retrying"])
        .assert_error(125, "usage");
    for wrong in [
        "",
        "no command\n",
        "phase-run: error[token]: no command\n",
        "phase-run: error[usage]: no command\nphase-run: error[usage]: no command\n",
        "phase-run: error[usage]: no command\nhint: a\nhint: b\n",
        "phase-run: error[usage]: no \x1b[1mcommand\n",
        "phase-run: retrying in 1 s\nphase-run: error[usage]: no command\n",
    ] {
        let result = catch_unwind(|| output_with_stderr(wrong).assert_error(125, "usage"));
        assert!(result.is_err(), "{wrong:?} passed");
    }
}
