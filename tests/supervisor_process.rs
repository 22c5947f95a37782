//! The supervisor process: what it holds, what it costs, and that the command dies with it.

#![cfg(target_os = "linux")]

use std::fs::{File, read, read_dir, read_link, read_to_string};
use std::io::{Read, pipe};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread::spawn;

use fake_phase::service_token;
use serde_json::json;

use crate::cli_login::log_in;
use crate::support::proc::{
    children, memory, wait_for_only_child, wait_until_asleep, wait_until_gone, wait_until_idle,
};
use crate::support::{
    BARE_AND_SUPERVISED, DEADLINE, LaunchMode, Run, Running, SHOP, Shop, Status, contains,
    eventually, inspector, kill, require_debug_build, require_root, shop, static_binary,
};

const VALUES: [&str; 2] = [
    "a value to look for",
    "-----BEGIN KEY-----\nanother value\n",
];

/// The name of the app. It is in argv, so the search must find it in memory.
pub(crate) const PLANTED: &str = "planted-where-it-is-found";

/// An app of that name with two secrets whose values are canaries, as are the parts of the token.
pub(crate) fn planted() -> (Shop, [&'static str; 4]) {
    let mut shop = shop([("FIRST", VALUES[0]), ("SECOND", VALUES[1])]);
    shop.phase.edit(|world| {
        let production = world.app(PLANTED).environment("Production", "prod");
        production.secret("/", "FIRST", VALUES[0]);
        production.secret("/", "SECOND", VALUES[1]);
    });
    VALUES.iter().for_each(|value| shop.canary(value));
    (shop, ["--app", PLANTED, "--env", "Production"])
}

/// A token file whose permissions cause no warning.
pub(crate) fn token_file(shop: &Shop) -> PathBuf {
    shop.private_file("token", service_token())
}

/// Starts a supervised command and waits until it is ready and the supervisor is idle.
fn supervised(run: Run<'_>) -> Running {
    let mut running = run
        .args(["--supervise", "--", inspector(), "serve"])
        .spawn();
    running.wait_until_ready();
    wait_until_idle(running.pid());
    running
}

/// The supervisor's memory contains neither a value nor the token, whatever the source of the token
/// was.
#[test]
fn supervisor_holds_no_secret_and_no_token() {
    if !require_root("only root may look into a process that is not dumpable") {
        return;
    }
    let (shop, words) = planted();
    let token = token_file(&shop);
    log_in(&shop, &json!({"token": service_token()}));
    for source in [
        "variable",
        "file",
        "stdin",
        "descriptor",
        "command",
        "login",
    ] {
        let from = |name: &str| {
            let run = shop.run(words).unset("PHASE_SERVICE_TOKEN");
            run.args(["--token-file", name])
        };
        let run = match source {
            // If the name occurs twice, the first entry counts; both are wiped.
            "variable" => {
                let again = format!("PHASE_SERVICE_TOKEN={}", service_token());
                shop.run(words).env_bytes(again)
            }
            "file" => from(token.to_str().unwrap()),
            "command" => {
                let run = shop.run(words).unset("PHASE_SERVICE_TOKEN");
                run.args(["--token-command", "cat token"])
            }
            "login" => {
                let run = shop.run(words).unset("PHASE_SERVICE_TOKEN");
                run.arg("-q").env("HOME", shop.directory())
            }
            "stdin" => from("-").stdin(format!("{}\n", service_token())),
            _ => from("fd:7").pass_descriptor(File::open(&token).unwrap(), 7),
        };
        let serving = supervised(run);
        let pid = serving.pid();
        let (memory, environ) = (memory(pid), read(format!("/proc/{pid}/environ")).unwrap());
        assert!(
            contains(&memory, PLANTED.as_bytes()),
            "the search finds nothing"
        );
        assert!(
            contains(&environ, b"PHASE_CA_FILE="),
            "the search finds nothing"
        );
        shop.assert_no_canary("the supervisor's memory", &memory);
        shop.assert_no_canary("the supervisor's environment", &environ);
        let _ = serving.wait().assert_ok();
    }
}

/// The search of the other test works: it finds the values in the command.
#[test]
fn memory_search_finds_values_in_command() {
    if !require_root("only root may look into a process that is not dumpable") {
        return;
    }
    let (shop, words) = planted();
    let serving = supervised(shop.run(words));
    let memory = memory(wait_for_only_child(serving.pid()));
    for value in VALUES {
        assert!(contains(&memory, value.as_bytes()));
    }
    let _ = serving.wait().assert_ok();
}

/// At most 1 MiB of memory is private to the supervisor, the program's code included, which no
/// other process maps.
#[test]
fn supervisor_uses_at_most_one_mebibyte() {
    let Some(binary) = static_binary() else {
        return;
    };
    if !require_root("only root may look into a process that is not dumpable") {
        return;
    }
    let mut shop = shop([("SECRET", "value")]);
    shop.replace_phase_run(binary.to_str().unwrap());
    let serving = supervised(shop.run(SHOP));
    let maps = read_to_string(format!("/proc/{}/smaps", serving.pid())).unwrap();
    let sizes = maps
        .lines()
        .filter_map(|line| line.strip_prefix("Private_")?.split_once(':'));
    let sizes = sizes.map(|(_, size)| size.trim().trim_end_matches(" kB").parse::<u64>().unwrap());
    let sizes: Vec<u64> = sizes.collect();
    assert!(sizes.len() > 3, "{maps}");
    let total: u64 = sizes.iter().sum();
    assert!((1..=1024).contains(&total), "{total} KiB\n{maps}");
    let _ = serving.wait().assert_ok();
}

/// The CPU time of a process: in nanoseconds, and its user and system time in ticks.
fn time(pid: i32) -> (String, [String; 2]) {
    let schedule = read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanoseconds = schedule.split(' ').next().unwrap_or_default().to_owned();
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    (
        nanoseconds,
        [11, 12].map(|field: usize| fields[field].to_owned()),
    )
}

/// The supervisor waits without a timer, so it does not run unless it is signalled, whatever the
/// command does.
#[test]
fn supervisor_without_signals_uses_no_cpu_time() {
    let shop = shop([("SECRET", "value")]);
    let mut serving = shop
        .start(LaunchMode::Supervised, [inspector(), "serve"])
        .spawn();
    serving.wait_until_ready();
    let (pid, command) = (serving.pid(), wait_for_only_child(serving.pid()));
    wait_until_idle(pid);
    let before = time(pid);
    for _ in 0..1000 {
        kill(command, libc::SIGUSR1);
        assert_eq!(serving.signal().signal, libc::SIGUSR1);
    }
    assert_eq!(time(pid), before);
    // The measurement works: handling a signal takes time.
    serving.kill(libc::SIGUSR1);
    assert_eq!(serving.signal().signal, libc::SIGUSR1);
    wait_until_idle(pid);
    let after = time(pid);
    assert!(after.0.is_empty() || after.0 != before.0, "{after:?}");
    let _ = serving.wait().assert_ok();
}

/// The descriptors and the working directory that phase-run was started with belong to the command.
/// The supervisor keeps none of them.
#[test]
fn supervisor_keeps_no_descriptor_or_directory() {
    if !require_root("only root may look into a process that is not dumpable") {
        return;
    }
    let (shop, words) = planted();
    let token = token_file(&shop);
    for (closed, number) in [(&[][..], 7), (&[0], 7), (&[2], 9), (&[0, 2], 3)] {
        let run = shop.run(words).unset("PHASE_SERVICE_TOKEN");
        let run = run.args(["--token-file", &format!("fd:{number}")]);
        let run = run.pass_descriptor(File::open(&token).unwrap(), number);
        let run = run.pass_descriptor(File::open(shop.directory()).unwrap(), 150);
        let run = closed.iter().fold(run, |run, number| run.closed(*number));
        let serving = supervised(run);
        let pid = serving.pid();
        let entries = read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let mut open: Vec<String> = entries
            .map(|entry| {
                read_link(entry.path())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        open.sort();
        let null = "/dev/null";
        assert_eq!(
            open,
            [null, null, null, "anon_inode:[signalfd]"],
            "{closed:?}"
        );
        let directory = read_link(format!("/proc/{pid}/cwd")).unwrap();
        assert_eq!(directory, Path::new("/"));
    }
}

/// pipe(7): the reader sees the end as soon as the command has closed its end, as without a
/// supervisor.
#[test]
fn pipe_ends_when_command_closes_it() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        for number in [1, 2, 5] {
            let (mut reader, writer) = pipe().unwrap();
            let script = format!("exec {number}>&-; exec \"$0\" sleep");
            let run = shop.start(mode, ["sh", "-c", &script, inspector()]);
            let running = run.pass_descriptor(writer, number).spawn();
            let (sender, end) = channel();
            spawn(move || sender.send(reader.read(&mut [0; 1]).unwrap()));
            let read = end.recv_timeout(DEADLINE);
            assert_eq!(read, Ok(0), "{mode:?}: somebody holds {number} open");
            running.kill(libc::SIGTERM);
            let _ = running.wait().assert_status(Status::Killed(libc::SIGTERM));
        }
    }
}

/// fcntl(2): record locks are preserved across execve(2), and released when the process closes any
/// descriptor of the file. A lock taken before the start stays held.
#[test]
fn inherited_lock_is_held_while_command_runs() {
    let shop = shop([("SECRET", "value")]);
    let lock = "import fcntl, os, sys; file = open('lock', 'w'); os.set_inheritable(file.fileno(), True); \
                fcntl.KIND(file, fcntl.LOCK_EX | fcntl.LOCK_NB); os.execvp(sys.argv[1], sys.argv[1:])";
    for mode in BARE_AND_SUPERVISED {
        for kind in ["lockf", "flock"] {
            let lock = ["python3", "-c", &lock.replace("KIND", kind)].map(str::to_owned);
            let run = shop.start(mode, [inspector(), "serve"]).wrap(&lock);
            let mut serving = run.spawn();
            serving.wait_until_ready();
            wait_until_idle(serving.pid());
            let again = || shop.bare(&lock).arg("true").output();
            let refused = again().assert_status(Status::Exited(1));
            assert!(
                refused.stderr.contains("BlockingIOError"),
                "{mode:?} {kind}"
            );
            let _ = serving.wait().assert_ok();
            let _ = again().assert_ok();
        }
    }
}

/// When the supervisor dies, the kernel kills the command. TERM would not do, because a command may
/// ignore it.
#[test]
fn killed_supervisor_kills_command() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let run = shop
            .start(mode, [inspector(), "sleep"])
            .ignore(libc::SIGTERM);
        let mut sleeping = run.spawn();
        sleeping.wait_until_ready();
        sleeping.kill(libc::SIGKILL);
        // `wait` blocks until no process has standard output open.
        let _ = sleeping.wait().assert_status(Status::Killed(libc::SIGKILL));
    }
}

/// A supervisor or watcher that panics exits with 125, and the kernel kills the command. A supervisor
/// has closed standard error by then; a watcher has not.
#[test]
fn panic_of_supervisor_or_watcher_kills_command() {
    if !require_debug_build() {
        return;
    }
    let shop = shop([("SECRET", "value")]);
    for (place, options, writes_line) in [
        ("supervisor", &["--supervise"][..], false),
        ("watcher", &["--watch", "60"], true),
    ] {
        let run = shop.run_with(options).args([inspector(), "sleep"]);
        let mut sleeping = run.ignore(libc::SIGTERM).env("PANIC_IN", place).spawn();
        sleeping.wait_until_ready();
        sleeping.kill(libc::SIGUSR1);
        // `wait` blocks until no process has standard output open.
        let output = sleeping.wait().assert_status(Status::Exited(125));
        let line = "phase-run: error[internal]: this is a bug in phase-run: \
                    PANIC_IN asked for a panic (src/process/panic_hook.rs:";
        assert_eq!(output.stderr.starts_with(line), writes_line, "{output}");
        assert_eq!(output.stderr.lines().count(), usize::from(writes_line));
    }
}

/// When the command ends, phase-run leaves its descendants running, as a shell would.
#[test]
fn child_of_command_outlives_it() {
    let shop = shop([("SECRET", "value")]);
    for mode in BARE_AND_SUPERVISED {
        let script = "\"$0\" sleep & read line; exit 3";
        let mut running = shop.start(mode, ["sh", "-c", script, inspector()]).spawn();
        let child = running.wait_until_ready();
        let known = running.pid();
        running.write(b"\n");
        // phase-run has ended, or is a zombie that only this test can reap.
        wait_until_gone(&[known]);
        // The child is alive: only a live process is asleep.
        wait_until_asleep(child);
        kill(child, libc::SIGKILL);
        let _ = running.wait().assert_status(Status::Exited(3));
    }
}

/// phase-run neither waits for nor signals a child that its process had before phase-run was
/// started.
#[test]
fn preexisting_child_does_not_end_run() {
    let shop = shop([("SECRET", "value")]);
    let script = "\"$0\" exit 7 & exec \"$@\"";
    let run = shop.start(LaunchMode::Supervised, [inspector(), "serve"]);
    let mut serving = run.wrap(["sh", "-c", script, inspector()]).spawn();
    serving.wait_until_ready();
    eventually("the command is the only child", || {
        match children(serving.pid()).len() {
            1 => Ok(()),
            other => Err(other),
        }
    });
    serving.kill(libc::SIGTERM);
    assert_eq!(serving.signals(), [libc::SIGTERM]);
    let _ = serving.wait().assert_ok();
}
