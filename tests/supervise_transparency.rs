//! The supervised command runs in the same environment as the bare one, and phase-run ends as it
//! does.

#![cfg(target_os = "linux")]

use std::fs::{DirEntry, read_dir, remove_file};
use std::path::Path;
use std::time::{Duration, SystemTime};

use fake_phase::Responder;
use nix::sys::resource::{RLIM_INFINITY, Resource};

use crate::support::proc::wait_for_only_child;
use crate::support::{
    BARE_AND_SUPERVISED, LaunchMode, Running, SHOP, Status, inspector, kill, shop, skip,
};

/// phase-run exits with the command's status, and prints nothing about it.
#[test]
fn exit_status_is_propagated() {
    let shop = shop([("SECRET", "value")]);
    let statuses: Vec<i32> = (0..=255).collect();
    for some in statuses.chunks(16) {
        let spawn = |status: &i32| {
            let status = status.to_string();
            shop.start(LaunchMode::Supervised, [inspector(), "exit", &status])
                .spawn()
        };
        let running: Vec<Running> = some.iter().map(spawn).collect();
        for (status, running) in some.iter().zip(running) {
            let output = running.wait().assert_status(Status::Exited(*status));
            assert!(output.stderr.is_empty(), "{output}");
        }
    }
}

/// phase-run dies by the signal that killed the command, real-time signals and the C library's own
/// included, whatever the signal's disposition was at the start.
#[test]
fn death_by_signal_is_propagated() {
    let shop = shop([("SECRET", "value")]);
    let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    let signals = 1..=64;
    let signals: Vec<i32> = signals.filter(|signal| !stops.contains(signal)).collect();
    let death =
        |mode: LaunchMode, signal: i32| shop.start(mode, [inspector(), "die", &signal.to_string()]);
    for some in signals.chunks(8) {
        let start = |signal: &i32| {
            let [bare, supervised] = BARE_AND_SUPERVISED.map(|mode| death(mode, *signal).spawn());
            let ignoring = death(LaunchMode::Supervised, *signal)
                .ignore(*signal)
                .spawn();
            (*signal, bare, [supervised, ignoring])
        };
        for (signal, bare, others) in some.iter().map(start).collect::<Vec<_>>() {
            let end = bare.wait().status;
            // A signal that does nothing by default kills nothing; the inspector then exits with 98.
            assert!([Status::Killed(signal), Status::Exited(98)].contains(&end));
            for other in others {
                let output = other.wait().assert_status(end);
                assert!(output.stderr.is_empty(), "{output}");
            }
        }
    }
}

/// phase-run dumps no core when it dies by the command's signal. Only the command dumps one, where
/// its limit allows that.
#[test]
fn core_dump_of_command_is_the_only_one() {
    let shop = shop([("SECRET", "value")]);
    let cores = |limit: &str, mode: LaunchMode, signal: i32| {
        let start = SystemTime::now() - Duration::from_secs(1);
        let script = format!("ulimit -S -c {limit} && exec \"$0\" die {signal}");
        let run = shop.start(mode, ["sh", "-c", &script, inspector()]);
        let run = run.limit(Resource::RLIMIT_CORE, RLIM_INFINITY);
        let _ = run.output().assert_status(Status::Killed(signal));
        // The command dumps into its working directory, and the supervisor would dump into its own.
        let folders = [shop.directory(), Path::new("/")].map(|folder| read_dir(folder).unwrap());
        let entries = folders.into_iter().flatten().map(|entry| entry.unwrap());
        let is_core = |entry: &DirEntry| {
            let recent = entry
                .metadata()
                .is_ok_and(|file| file.modified().unwrap() >= start);
            recent && entry.file_name().to_str().unwrap().starts_with("core")
        };
        let cores: Vec<DirEntry> = entries.filter(is_core).collect();
        for core in &cores {
            remove_file(core.path()).unwrap();
        }
        cores.len()
    };
    if cores("unlimited", LaunchMode::Bare, libc::SIGQUIT) == 0 {
        skip("core files are not written where they could be counted");
        return;
    }
    for signal in [3, 4, 5, 6, 7, 8, 11, 24, 25, 31] {
        // The command's core file, and no other.
        assert_eq!(
            cores("unlimited", LaunchMode::Supervised, signal),
            1,
            "{signal}"
        );
        assert_eq!(cores("0", LaunchMode::Supervised, signal), 0, "{signal}");
    }
}

/// Another process kills the command.
#[test]
fn killed_command_is_reported_as_killed() {
    let shop = shop([("SECRET", "value")]);
    for signal in [libc::SIGKILL, libc::SIGTERM, 40] {
        let mut sleeping = shop
            .start(LaunchMode::Supervised, [inspector(), "sleep"])
            .spawn();
        sleeping.wait_until_ready();
        kill(wait_for_only_child(sleeping.pid()), signal);
        let output = sleeping.wait().assert_status(Status::Killed(signal));
        assert!(output.stderr.is_empty(), "{output}");
    }
}

/// sd_listen_fds(3), sd_watchdog_enabled(3): the variables only count for the process whose pid
/// they hold.
#[test]
fn systemd_pid_variables_name_command() {
    let shop = shop([("SECRET", "value")]);
    let named = |value: &str| {
        let script = format!("LISTEN_PID={value} WATCHDOG_PID={value} exec \"$@\"");
        let run = shop.start(LaunchMode::Supervised, [inspector(), "report"]);
        let report = run.wrap(["sh", "-c", &script, "sh"]).report();
        let named = ["LISTEN_PID", "WATCHDOG_PID"].map(|name| report.variable(name).unwrap());
        (named, report.field("pid").as_bytes().to_vec())
    };
    let (pids, pid) = named("$$");
    assert_eq!(pids, [pid.clone(), pid]);
    for other in ["1", "0$$", "$$0", "", "' '"] {
        let (pids, pid) = named(other);
        assert!(!pids.contains(&pid), "{other}");
        assert_eq!(pids[0], pids[1], "{other}");
    }
    let (pids, _) = named("77");
    assert_eq!(pids, ["77", "77"].map(|pid| pid.as_bytes().to_vec()));
}

/// A failure before the command starts is printed once, with the same text and status as without a
/// supervisor.
#[test]
fn startup_error_is_printed_once() {
    let shop = shop([("SECRET", "value")]);
    shop.executable("script", "#!/no/such/interpreter\n");
    let prefix = ["--app", "shop", "--env", "Production", "--prefix", "="];
    let token = [&SHOP[..], &["--token-file", "/no/such/token"]].concat();
    let lines: [(&[&str], &str, i32, &str); 9] = [
        (&SHOP, "./missing", 127, "exec"),
        (&SHOP, "no-such-program", 127, "exec"),
        (&SHOP, "./script", 127, "exec"),
        (&SHOP, "/", 126, "exec"),
        (&SHOP, "", 127, "exec"),
        (
            &["--app", "other", "--env", "Production"],
            "true",
            125,
            "not-found",
        ),
        (
            &["--app", "shop", "--env", "other"],
            "true",
            125,
            "not-found",
        ),
        (&token, "true", 125, "token"),
        (&prefix, "true", 125, "environment"),
    ];
    for (options, command, status, kind) in lines {
        let [unsupervised, supervised] = [&[][..], &["--supervise"]].map(|supervise| {
            let run = shop.run(options).args(supervise).arg("--").arg(command);
            run.output().assert_error(status, kind)
        });
        assert_eq!(unsupervised.stderr, supervised.stderr);
    }
}

/// A server that refuses or sends something invalid is reported once, too.
#[test]
fn fetch_error_is_printed_once() {
    let json = || Responder::raw(200, "application/json", b"{".to_vec());
    for (turn, kind) in ["token", "protocol", "protocol"].into_iter().enumerate() {
        let shop = shop([("SECRET", "value")]);
        let faults = [Responder::error(403, "no"), json(), Responder::html_login()];
        shop.phase
            .respond("", faults.into_iter().nth(turn).unwrap());
        let [unsupervised, supervised] = [&[][..], &["--supervise"]].map(|options| {
            let output = shop.run_with(options).args(["touch", "started"]).output();
            output.assert_error(125, kind).stderr
        });
        assert_eq!(unsupervised, supervised);
        assert!(!shop.directory().join("started").exists());
    }
}

/// phase-run prints nothing about the command's end.
#[test]
fn command_exit_prints_nothing() {
    let shop = shop([("SECRET", "value")]);
    for (script, status) in [
        ("echo out; echo err >&2", Status::Exited(0)),
        ("echo out; echo err >&2; exit 1", Status::Exited(1)),
        (
            "echo out; echo err >&2; kill -SEGV $$",
            Status::Killed(libc::SIGSEGV),
        ),
    ] {
        let run = shop.start(LaunchMode::Supervised, ["sh", "-c", script]);
        let output = run.output().assert_status(status);
        assert_eq!((output.text(), output.stderr.as_str()), ("out\n", "err\n"));
    }
}
