//! The command notices nothing of phase-run: everything but the injected variables is as for the
//! bare command.

#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::fs::{File, create_dir_all};
use std::os::unix::ffi::OsStrExt;

use nix::sys::resource::{RLIM_INFINITY, Resource};

use crate::support::{Disposition, Report, Run, SHOP, Shop, Status, inspector, require_root, shop};

/// Compares the command's report with that of the bare command in exec mode and in supervise mode,
/// and calls `also` with it.
fn check_that(shop: &Shop, prepare: impl Fn(Run<'_>) -> Run<'_>, also: impl Fn(&Report)) {
    let supervised = [&SHOP[..], &["--supervise"]].concat();
    let exec = shop.compare_with_bare(SHOP, &prepare);
    let supervised = shop
        .compare_with_bare(supervised, &prepare)
        .expect_supervised();
    for comparison in [exec, supervised] {
        also(&comparison.under_phase_run);
        let comparison = comparison.expect_added("SECRET", "value");
        comparison.expect_removed("PHASE_SERVICE_TOKEN").check();
    }
}

fn check(prepare: impl Fn(Run<'_>) -> Run<'_>) {
    check_that(&shop([("SECRET", "value")]), prepare, |_| {});
}

#[test]
fn ordinary_start_is_unchanged() {
    check(|run| run);
}

/// Rust's runtime ignores SIGPIPE, and std's exec resets it. The command must notice neither.
#[test]
fn sigpipe_disposition_is_unchanged() {
    let shop = shop([("SECRET", "value")]);
    check_that(
        &shop,
        |run| run.ignore(libc::SIGPIPE),
        |report| {
            let disposition = report.disposition(libc::SIGPIPE);
            assert_eq!(disposition, Disposition::Ignored);
        },
    );
    check_that(
        &shop,
        |run| run,
        |report| {
            let disposition = report.disposition(libc::SIGPIPE);
            assert_eq!(disposition, Disposition::Default);
        },
    );
}

/// execve(2) preserves ignored signals and the mask, also for signals that libraries use.
#[test]
fn signal_dispositions_and_mask_are_unchanged() {
    // glibc uses 33 itself: a program cannot ignore it or pass that on.
    let left = [libc::SIGKILL, libc::SIGSTOP, libc::SIGPIPE, 33];
    check(|run| {
        let signals = (1..=64).filter(|signal| !left.contains(signal));
        let run = signals.fold(run, Run::ignore);
        run.block(libc::SIGCHLD)
    });
    check(|run| run.ignore(libc::SIGHUP).ignore(libc::SIGCHLD).ignore(64));
    check(|run| {
        let run = run.block(libc::SIGINT).block(libc::SIGTERM).block(34);
        run.block(libc::SIGPIPE).block(64).ignore(libc::SIGINT)
    });
    check(|run| {
        let signals = (1..=64).filter(|signal| ![32, 33].contains(signal));
        signals.fold(run, Run::block)
    });
}

/// Rust's runtime opens closed descriptors 0 to 2, and no file that takes their place may stay
/// open.
#[test]
fn closed_stdio_stays_closed() {
    for closed in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]] {
        let shop = shop([("SECRET", "value")]);
        check_that(
            &shop,
            |run| closed.iter().fold(run, |run, number| run.closed(*number)),
            |report| {
                for number in closed {
                    assert_eq!(report.descriptor(*number), None, "{closed:?}");
                }
            },
        );
    }
}

#[test]
fn other_descriptors_are_inherited() {
    let shop = shop([("SECRET", "value")]);
    let file = File::open(shop.file("file", "text")).unwrap();
    let directory = File::open(shop.directory()).unwrap();
    let numbers = [3, 4, 9, 77, 150];
    check_that(
        &shop,
        |run| {
            let run = numbers
                .iter()
                .fold(run, |run, number| run.pass_descriptor(&file, *number));
            run.pass_descriptor(&directory, 5).stdin_closed()
        },
        |report| {
            assert_eq!(report.descriptors(), [1, 2, 3, 4, 5, 9, 77, 150]);
        },
    );
}

/// The soft limit on core dumps is lowered while secrets are in memory, and restored for the
/// command.
#[test]
fn resource_limits_are_unchanged() {
    for soft in [0, 4096, RLIM_INFINITY] {
        let shop = shop([("SECRET", "value")]);
        check_that(
            &shop,
            |run| run.limit(Resource::RLIMIT_CORE, soft),
            |report| {
                let found = report.field(&format!("limit.{}", Resource::RLIMIT_CORE as u32));
                assert!(found.starts_with(&format!("{soft} ")), "{found}");
            },
        );
    }
    check(|run| {
        let run = run.limit(Resource::RLIMIT_NOFILE, 50);
        let run = run.limit(Resource::RLIMIT_STACK, 1 << 20);
        run.limit(Resource::RLIMIT_CPU, 1000)
    });
    // phase-run itself needs more, and the command gets the same again.
    for kib in [16, 64] {
        check(|run| run.limit(Resource::RLIMIT_STACK, kib << 10));
    }
}

#[test]
fn working_directory_is_unchanged() {
    let shop = shop([("SECRET", "value")]);
    check_that(
        &shop,
        |run| run.cwd("/"),
        |report| assert_eq!(report.cwd(), b"/"),
    );
    let gone = shop.directory().join("gone");
    check_that(
        &shop,
        |run| {
            create_dir_all(&gone).unwrap();
            let delete = "rmdir \"$PWD\" && exec env -u PWD \"$@\"";
            run.cwd(&gone).wrap(["sh", "-c", delete, "sh"])
        },
        |report| assert_eq!(report.field("cwd"), "none"),
    );
}

#[test]
fn umask_and_niceness_are_unchanged() {
    let shop = shop([("SECRET", "value")]);
    check_that(
        &shop,
        |run| {
            let set = "umask 027 && exec env -u PWD nice -n 5 \"$@\"";
            run.wrap(["sh", "-c", set, "sh"])
        },
        |report| {
            assert_eq!(report.field("umask"), "0027");
            assert_eq!(report.number("nice"), 5);
        },
    );
}

#[test]
fn session_is_unchanged() {
    check(|run| run.wrap(["setsid"]));
}

/// PR_SET_CHILD_SUBREAPER(2const) is preserved across execve(2), so the command still adopts its
/// orphans.
#[test]
fn subreaper_attribute_is_unchanged() {
    let become_one = "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1); \
                      os.execvp(sys.argv[1], sys.argv[1:])";
    check_that(
        &shop([("SECRET", "value")]),
        |run| run.wrap(["python3", "-c", become_one]),
        |report| assert_eq!(report.number("subreaper"), 1),
    );
}

#[test]
fn start_as_other_user_is_unchanged() {
    if !require_root("only root can become another user") {
        return;
    }
    check(|run| run.as_user(65534));
}

/// Arguments after `--` reach the command unchanged: nothing is joined, split, expanded or taken
/// for an option of phase-run.
#[test]
fn command_arguments_are_unchanged() {
    let shop = shop([("SECRET", "value")]);
    let words: [&[u8]; 14] = [
        b"",
        b"",
        b"--env",
        b"x",
        b"--",
        b"-c",
        b"*",
        b"a b",
        b"'\"$SECRET\\",
        b"line\nbreak\t",
        b"\xff\xfe",
        "ü👋".as_bytes(),
        b"--app=y",
        b"",
    ];
    let words = words.map(OsStr::from_bytes);
    let expected: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    check_that(
        &shop,
        |run| run.arg("").args(words),
        |report| assert_eq!(report.argv()[3..], expected),
    );
    // Options end at the first word that is not an option, also without `--`.
    let run = shop.run(SHOP).args([inspector(), "report", ""]).args(words);
    assert_eq!(run.report().argv()[3..], expected);
}

/// `argv[0]` stays as typed.
#[test]
fn command_argv0_is_unchanged() {
    let shop = shop([("SECRET", "value")]);
    let folder = shop.directory().join("bin");
    create_dir_all(&folder).unwrap();
    let _ = shop
        .bare(["cp", inspector()])
        .arg(folder.join("tool"))
        .output()
        .assert_ok();
    for (word, cwd) in [("tool", "/"), ("./tool", "bin"), ("bin/../bin/tool", "")] {
        let run = shop.run_with(&[]).args([word, "report"]);
        let run = run.env("PATH", &folder).cwd(shop.directory().join(cwd));
        assert_eq!(run.report().argv()[0], word.as_bytes());
    }
}

/// phase-run becomes the command: the same process, with one thread.
#[test]
fn command_is_the_process_that_was_started() {
    let shop = shop([("SECRET", "value")]);
    let mut running = shop.run_with(&[]).args([inspector(), "sleep"]).spawn();
    assert_eq!(running.wait_until_ready(), running.pid());
    running.kill(libc::SIGTERM);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGTERM));
    assert_eq!(shop.run_inspector(&[]).report().number("threads"), 1);
}

/// phase-run reads nothing of standard input, except for a token that is asked for.
#[test]
fn stdin_is_left_to_command() {
    let shop = shop([("SECRET", "value")]);
    let input = b"line\n\0\xff".repeat(100_000);
    let output = shop.run_with(&[]).arg("cat").stdin(input.clone()).output();
    assert!(output.assert_ok().stdout == input);
    // The first line is the token where that was asked for; the rest is the command's.
    let input = [fake_phase::service_token(), "\nrest\n"].concat();
    let run = shop
        .run_with(&["--token-file", "-"])
        .arg("cat")
        .stdin(input);
    let output = run.unset("PHASE_SERVICE_TOKEN").output();
    assert_eq!(output.assert_ok().text(), "rest\n");
}

/// The token's descriptor is closed before the exec. If it was 0, nothing that is opened later gets its number.
/// Output would go to a closed descriptor 1 or 2, so the token cannot come from there.
#[test]
fn standard_descriptor_with_token_is_closed() {
    let shop = shop([("SECRET", "value")]);
    let token = shop.file("token", fake_phase::service_token());
    for number in [0, 3, 7] {
        let file = File::open(&token).unwrap();
        let source = format!("fd:{number}");
        let out = shop.directory().join("out");
        let run = shop.run_with(&["-vv", "--token-file", &source]);
        let run = run.args([inspector(), "report"]).arg(&out);
        let run = run
            .pass_descriptor(&file, number)
            .unset("PHASE_SERVICE_TOKEN");
        let output = run.output().assert_status(Status::Exited(0));
        assert!(!output.stderr.is_empty(), "{output}");
        let report = std::fs::read_to_string(&out).unwrap();
        assert!(
            !report.contains(&format!("descriptor.{number} ")),
            "{report}"
        );
        assert!(report.ends_with("\nend\n"), "{report}");
        std::fs::remove_file(out).unwrap();
    }
    for source in ["fd:1", "fd:2"] {
        let run = shop.run_with(&["--token-file", source]).arg("true");
        let output = run.unset("PHASE_SERVICE_TOKEN").output();
        let output = output.assert_error(125, "token");
        let message = format!(
            "cannot read the token from {source} (from --token-file): \
             standard output and standard error cannot provide a token\n"
        );
        assert!(output.stderr.contains(&message), "{output}");
    }
}

/// The parent sees the command's own status, or its death by a signal.
#[test]
fn parent_sees_command_status_in_exec_mode() {
    let shop = shop([("SECRET", "value")]);
    let ended = |word: &str, number: i32| {
        let run = shop.run_with(&[]).args([inspector(), word]);
        run.arg(number.to_string()).output()
    };
    for status in [0, 1, 2, 64, 99, 124, 125, 126, 127, 128, 137, 143, 254, 255] {
        let output = ended("exit", status).assert_status(Status::Exited(status));
        assert!(output.stderr.is_empty(), "{output}");
    }
    for signal in [1, 2, 3, 6, 9, 11, 13, 15, 34, 64] {
        let output = ended("die", signal).assert_status(Status::Killed(signal));
        assert!(output.stderr.is_empty(), "{output}");
    }
}
