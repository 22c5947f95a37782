//! Tokens and values are only in the command: not in messages, arguments, files or core dumps.

#![cfg(target_os = "linux")]

use std::fs::{metadata, read, read_dir, read_link};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fake_phase::{Gate, Options, Phase, Responder, World, bearer, service_token};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Uid;

use crate::support::proc::descends;
use crate::support::{
    DEADLINE, Run, Running, Sandbox, Status, inspector, require_root, shop_id, shop_world,
};

const VALUE: &str = "a-value-that-is-never-shown";

/// Looks like a bearer. No other test has it in an argument.
const OTHER: &str = "5ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7";

fn secret_world() -> World {
    shop_world([("KEY", VALUE), ("OTHER_KEY", VALUE)])
}

fn with_canaries(phase: &Phase) -> Sandbox {
    let mut sandbox = Sandbox::new(phase);
    sandbox.canary(VALUE);
    sandbox.canary(OTHER);
    sandbox
}

/// Starts phase-run and waits until its fetch has reached the gate.
fn spawn_until_gate(run: Run<'_>, gate: &Gate) -> Running {
    let running = run.spawn();
    gate.wait_for_request(DEADLINE);
    running
}

/// Reads `/proc/PID/environ`. If only root may read it, that protects the token as well.
fn environ(running: &Running) -> Vec<u8> {
    let environ = read(format!("/proc/{}/environ", running.pid()));
    environ.unwrap_or_else(|why| {
        assert!(!Uid::effective().is_root(), "{why}");
        Vec::new()
    })
}

/// Every entry of a token's name is overwritten in the initial environment, which /proc/PID/environ
/// shows (proc(5)).
#[test]
fn tokens_are_wiped_in_initial_environment() {
    let phase = Phase::serve(secret_world());
    let gate = phase.gate("/v1/secrets/");
    let sandbox = with_canaries(&phase);
    let run = sandbox.production(&shop_id()).args(&["true"]);
    let run = run.env_bytes(format!("PHASE_SERVICE_TOKEN={OTHER}"));
    let run = run
        .env_bytes(format!("PHASE_OTHER_TOKEN={OTHER}"))
        .env("SEEN", "left-as-it-is");
    let running = spawn_until_gate(run, &gate);
    let environ = environ(&running);
    sandbox.assert_no_canary("the initial environment", &environ);
    if require_root("only root may read /proc/PID/environ of a process that is not dumpable") {
        let wiped = |name: &str, length: usize| {
            let entry = [b"\0", name.as_bytes(), b"=", &vec![0; length + 1]].concat();
            environ.windows(entry.len()).any(|window| window == entry)
        };
        assert!(wiped("PHASE_SERVICE_TOKEN", service_token().len()));
        assert!(wiped("PHASE_SERVICE_TOKEN", OTHER.len()));
        assert!(wiped("PHASE_OTHER_TOKEN", OTHER.len()));
        let seen = b"\0SEEN=left-as-it-is\0";
        assert!(environ.windows(seen.len()).any(|window| window == seen));
    }
    gate.open();
    let _ = running.wait();
}

/// Every user may read the arguments of every process (proc(5), /proc/PID/cmdline).
#[test]
fn no_process_has_token_in_arguments() {
    let phase = Phase::serve(secret_world());
    let gate = phase.gate("/v1/secrets/");
    let mut sandbox = Sandbox::offline();
    sandbox.canary(OTHER);
    sandbox.file("ca.pem", read(phase.ca_file()).unwrap());
    sandbox.file("token", OTHER);
    let run = sandbox
        .production(&shop_id())
        .args(&["echo", "started"])
        .env("PHASE_HOST", phase.host());
    let run = run
        .env("PHASE_CA_FILE", "ca.pem")
        .env("PHASE_SERVICE_TOKEN_FILE", "token");
    let running = spawn_until_gate(run, &gate);
    let mut seen = 0;
    for process in read_dir("/proc").unwrap().flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Other tests pass tokens as arguments on purpose, in directories of their own. Only root may
        // read the directory of a process that is not dumpable.
        let directory = read_link(process.path().join("cwd")).ok();
        if !descends(pid, running.pid()) && directory.as_deref() != Some(sandbox.directory()) {
            continue;
        }
        let words = read(process.path().join("cmdline")).unwrap();
        sandbox.assert_no_canary(&process.path().display().to_string(), &words);
        seen +=
            usize::from(pid == running.pid() && words.starts_with(sandbox.program().as_bytes()));
    }
    assert_eq!(seen, 1);
    gate.open();
    let output = running.wait().assert_status(Status::Exited(125));
    assert!(output.stderr.contains("error[token]"), "{output}");
}

/// Searches the names and contents of all files below `directory` for canaries, and counts them.
fn search_files(sandbox: &Sandbox, directory: &Path) -> usize {
    let mut count = 0;
    for entry in read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        count += 1;
        let name = entry.file_name();
        sandbox.assert_no_canary("a file's name", name.as_encoded_bytes());
        match entry.file_type().unwrap().is_dir() {
            true => count += search_files(sandbox, &entry.path()),
            false => {
                let name = entry.path().display().to_string();
                sandbox.assert_no_canary(&name, &read(entry.path()).unwrap());
            }
        }
    }
    count
}

/// Neither a successful nor a failing run writes a file in the working directory, HOME or TMPDIR, or a
/// TLS key log where the environment asks for one.
#[test]
fn run_writes_no_file() {
    let phase = Phase::serve(secret_world());
    let sandbox = with_canaries(&phase);
    let directory = sandbox.directory().to_owned();
    for folder in ["home", "tmp"] {
        std::fs::create_dir(directory.join(folder)).unwrap();
    }
    let run = |words: &[&str]| {
        let run = sandbox.production(&shop_id()).args(words);
        let run = run
            .env("HOME", directory.join("home"))
            .env("TMPDIR", directory.join("tmp"));
        run.env("SSLKEYLOGFILE", directory.join("keys"))
            .env("RUST_LOG", "trace")
    };
    let output = run(&["printenv", "KEY"])
        .allow_secrets_on_stdout()
        .output()
        .assert_ok();
    assert_eq!(output.text(), format!("{VALUE}\n"));
    let _ = run(&["--file", "KEY", "true"]).output().assert_ok();
    let _ = run(&["--dry-run"]).output().assert_ok();
    let _ = run(&["--require", "NOPE", "true"])
        .output()
        .assert_error(125, "not-found");
    let _ = run(&["./no-such-command"])
        .output()
        .assert_error(127, "exec");
    phase.respond("/v1/secrets/", Responder::truncate(100));
    let _ = run(&["true"]).output().assert_error(125, "unreachable");
    assert_eq!(search_files(&sandbox, &directory), 2);
}

fn field(pid: i32, name: &str) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

/// During the fetch the soft RLIMIT_CORE is 0 and the process is not dumpable, so that its files in /proc
/// belong to root (proc(5)). execve makes the command dumpable again, and the limit is restored.
#[test]
fn core_dumps_disabled_only_during_fetch() {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
    let phase = Phase::serve(secret_world());
    let gate = phase.gate("/v1/secrets/");
    let sandbox = with_canaries(&phase);
    let (root, user) = (Uid::effective().is_root(), Uid::effective().as_raw());
    let user = if root { 65534 } else { user };
    let run = sandbox
        .production(&shop_id())
        .args(&[inspector(), "sleep"])
        .limit(Resource::RLIMIT_CORE, hard);
    let mut running = spawn_until_gate(if root { run.as_user(user) } else { run }, &gate);
    let pid = running.pid();
    let owner = || metadata(format!("/proc/{pid}/environ")).unwrap().uid();
    assert_eq!(
        (field(pid, "Max core file size").as_str(), owner()),
        ("0", 0)
    );
    if !root {
        assert!(read_link(format!("/proc/{pid}/exe")).is_err());
    }
    gate.open();
    running.wait_until_ready();
    let expected = if hard == u64::MAX {
        "unlimited".to_owned()
    } else {
        hard.to_string()
    };
    assert_eq!(
        (field(pid, "Max core file size"), owner()),
        (expected, user)
    );
    running.kill(libc::SIGKILL);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
}

/// SIGQUIT writes a core file if that is allowed and `core_pattern` is a file name (core(5)).
#[test]
fn sigquit_during_fetch_leaves_no_core() {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
    let phase = Phase::serve(secret_world());
    let gate = phase.gate("/v1/secrets/");
    let sandbox = with_canaries(&phase);
    let cores = || read_dir(sandbox.directory()).unwrap().count();
    let run = sandbox
        .production(&shop_id())
        .args(&["true"])
        .limit(Resource::RLIMIT_CORE, hard);
    let running = spawn_until_gate(run, &gate);
    running.kill(libc::SIGQUIT);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGQUIT));
    assert_eq!(cores(), 0);
    // A program without phase-run does leave one, so the test can fail.
    let run = sandbox
        .bare([inspector(), "sleep"])
        .limit(Resource::RLIMIT_CORE, hard);
    let mut running = run.spawn();
    running.wait_until_ready();
    running.kill(libc::SIGQUIT);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGQUIT));
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if hard > 0 && !pattern.starts_with(['|', '/']) && !pattern.trim().is_empty() {
        assert_eq!(cores(), 1);
    } else {
        use std::io::Write;
        let what =
            "NOT SHOWN here: core files go elsewhere or are forbidden, so none can be found\n";
        let _ = std::io::stderr().write_all(what.as_bytes());
    }
}

/// A token that the server repeats is redacted, also if its text is cut in the middle of it.
#[test]
fn token_in_server_message_is_redacted() {
    for padding in [0, 100, 200, 230, 240, 250, 260, 270, 290, 299, 400] {
        for status in [400, 401, 403, 404, 500] {
            let phase = Phase::serve(secret_world());
            let padding = "so ".repeat(padding / 3) + &"x".repeat(padding % 3);
            let text = format!("{padding} ServiceAccount {} {}", bearer(), service_token());
            phase.respond("/v1/secrets/", Responder::error(status, &text));
            let sandbox = with_canaries(&phase);
            let output = sandbox.production(&shop_id()).args(&["true"]).output();
            assert_eq!(output.status, Status::Exited(125), "{output}");
            let some = bearer().get(..12).unwrap();
            assert!(!output.stderr.contains(some), "{output}");
            let key = service_token().rsplit(':').next().unwrap();
            assert!(!output.stderr.contains(key.get(..12).unwrap()), "{output}");
        }
    }
}

/// The target of a redirect is text of the server, too, and gets no request.
#[test]
fn redirect_never_leaks_token() {
    let phase = Phase::serve(secret_world());
    let target = Phase::with(
        secret_world(),
        Options {
            tls: false,
            ..Options::default()
        },
    );
    let place = format!("{}/?token={}", target.host(), bearer());
    phase.respond("/v1/secrets/", Responder::redirect(&place));
    let sandbox = with_canaries(&phase);
    let output = sandbox
        .production(&shop_id())
        .args(&["true"])
        .output()
        .assert_error(125, "protocol");
    assert!(output.stderr.contains(&target.host()), "{output}");
    assert_eq!(target.connections(), 0);
}

/// `-vv` logs the method, host, path, status and time of each request, and no query, header or value.
#[test]
fn verbose_log_has_no_query_header_or_value() {
    let phase = Phase::serve(secret_world());
    let sandbox = with_canaries(&phase);
    let words = [
        "-vv", "--path", "/", "--only", "KEY", "--file", "KEY", "true",
    ];
    for variable in ["RUST_LOG", "RUST_BACKTRACE", "SSLKEYLOGFILE"] {
        let run = sandbox
            .production(&shop_id())
            .args(&words)
            .env(variable, "trace");
        let output = run.output().assert_status(Status::Exited(0));
        let name = phase.host().replace("https://", "");
        let request = format!("GET {name}/service/public/v1/secrets/: 200 in ");
        assert_eq!(output.stderr.matches(&request).count(), 1, "{output}");
        for text in ["app_id=", "?", "Bearer", "ServiceAccount", "ccept"] {
            assert!(!output.stderr.contains(text), "{text}\n{output}");
        }
        for line in output.stderr.lines() {
            assert!(line.starts_with("phase-run: "), "{output}");
        }
    }
}

/// A token where another argument belongs is not repeated in the message.
#[test]
fn token_as_option_value_is_never_printed() {
    let phase = Phase::serve(secret_world());
    let sandbox = with_canaries(&phase);
    let token = service_token();
    for words in [
        ["--app", token, "--env", "Production", "true"],
        ["--app", "shop", "--env", token, "true"],
        ["--app", OTHER, "--env", OTHER, "true"],
        ["--app", "shop", "--env", "Production", token],
    ] {
        let output = sandbox.run(words).output();
        assert!(!output.stderr.is_empty(), "{output}");
    }
    for option in [
        "--only",
        "--require",
        "--path",
        "--tags",
        "--file",
        "--timeout",
        "--host",
        "--ca-file",
    ] {
        let output = sandbox
            .production(&shop_id())
            .args(&[option, token, "true"])
            .output();
        assert_eq!(output.status, Status::Exited(125), "{output}");
    }
}

/// A token from a file, standard input or a descriptor is as secret as one from a variable.
#[test]
fn command_never_receives_token() {
    let phase = Phase::serve(secret_world());
    let sandbox = with_canaries(&phase);
    let file = sandbox.private_file("token", service_token());
    let handed = std::fs::File::open(&file).unwrap();
    let run = || {
        sandbox
            .production(&shop_id())
            .args(&[inspector(), "report"])
            .unset("PHASE_SERVICE_TOKEN")
    };
    for report in [
        sandbox
            .production(&shop_id())
            .args(&[inspector(), "report"])
            .report(),
        run().env("PHASE_SERVICE_TOKEN_FILE", &file).report(),
        run()
            .env("PHASE_SERVICE_TOKEN_FILE", "-")
            .stdin(service_token())
            .report(),
        run()
            .env("PHASE_SERVICE_TOKEN_FILE", "fd:7")
            .pass_descriptor(&handed, 7)
            .report(),
    ] {
        let all = [report.environ(), report.argv()].concat().concat();
        let value = VALUE.as_bytes();
        assert!(all.windows(value.len()).any(|window| window == value));
        let mut tokens = Sandbox::offline();
        tokens.canary(bearer());
        tokens.assert_no_canary("the command's environment", &all);
        assert_eq!(report.descriptors(), [0, 1, 2]);
    }
}
