//! Errors in the command line: they are reported before any request, name the mistake, and never
//! repeat a secret.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fake_phase::{Options, Phase, World, bearer, service_token};
use nix::sys::resource::Resource;

use crate::args::tagged_shop;
use crate::support::{SHOP, Sandbox, Status, require_linux, require_root, unused_uid};

/// Returns the standard error of a command line that must fail before any request.
fn usage_error(words: &[&str]) -> String {
    let sandbox = Sandbox::offline();
    let output = sandbox.run(words).output().assert_error(125, "usage");
    assert!(output.stdout.is_empty(), "{output}");
    output.stderr
}

#[test]
fn usage_error_names_the_mistake() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    for (words, message) in [
        (vec!["--app", "shop", "--"], "no command to run"),
        (
            vec!["--clean", "--clean", "x"],
            "--clean was given more than once",
        ),
        (
            vec!["--app=a", "-a", "b", "x"],
            "--app was given more than once",
        ),
        (
            vec!["--app=a", "--app-id=a", "x"],
            "--app was given more than once",
        ),
        (
            vec!["-c", "x", "--command=y"],
            "--command was given more than once",
        ),
        (
            vec!["--tags=a", "--tags=b", "x"],
            "--tags was given more than once",
        ),
        (vec!["-qq", "x"], "--quiet was given more than once"),
        (vec!["--app"], "--app requires a value: NAME|ID"),
        (vec!["x", "--app"][1..].to_vec(), "--app requires a value"),
        (vec!["-e"], "--env requires a value: NAME"),
        (vec!["-c"], "--command requires a value: LINE"),
        (vec!["--timeout"], "--timeout requires a value: SECS"),
        (vec!["--app=", "x"], "the value of --app is empty"),
        (vec!["--env", "", "x"], "the value of --env is empty"),
        (vec!["--tags=", "x"], "the value of --tags is empty"),
        (vec!["--only", "", "x"], "the value of --only is empty"),
        (vec!["--file", "", "x"], "the value of --file is empty"),
        (vec!["--host=", "x"], "the value of --host is empty"),
        (
            vec!["--token-file=", "x"],
            "the value of --token-file is empty",
        ),
        (vec!["-c", ""], "the value of --command is empty"),
        (vec!["--clean=yes", "x"], "--clean does not take a value"),
        (vec!["-q=1", "x"], "--quiet does not take a value"),
        (
            vec!["--timeout", "soon", "x"],
            "--timeout soon: expected a number of seconds above 0",
        ),
        (vec!["--timeout=0", "x"], "--timeout 0: expected a number"),
        (vec!["--timeout=-1", "x"], "--timeout -1: expected a number"),
        (
            vec!["--timeout=1e3", "x"],
            "--timeout 1e3: expected a number",
        ),
        (vec!["--timeout=1s", "x"], "--timeout 1s: expected a number"),
        (
            vec!["--max-wait=-1", "x"],
            "--max-wait -1: expected a number of seconds, 0 or more",
        ),
        (
            vec!["--max-wait", "forever", "x"],
            "--max-wait forever: expected a number",
        ),
        (
            vec!["--watch", "0", "x"],
            "--watch 0: expected a number of seconds, 1 or more",
        ),
        (
            vec!["--watch=-1", "x"],
            "--watch -1: expected a number of seconds",
        ),
        (
            vec!["--watch", "x", "x"],
            "--watch x: expected a number of seconds",
        ),
        (
            vec!["--watch", "0.9", "x"],
            "--watch 0.9: expected a number of seconds",
        ),
        (
            vec!["--watch", "5", "--stop-signal", "NOPE", "x"],
            "--stop-signal NOPE: expected a signal name such as TERM",
        ),
        (
            vec!["--watch", "5", "--stop-signal=0", "x"],
            "--stop-signal 0: expected a signal name such as TERM",
        ),
        (
            vec!["--watch", "5", "--grace", "soon", "x"],
            "--grace soon: expected a number of seconds, 0 or more",
        ),
        (
            vec!["--watch", "5", "--grace=-1", "x"],
            "--grace -1: expected a number",
        ),
        (
            vec!["--log-format", "xml", "x"],
            "--log-format xml: expected text or json",
        ),
        (
            vec!["--mode", "e2e", "x"],
            "--mode e2e: expected auto, rest or e2ee",
        ),
        (
            vec!["--mode=REST", "x"],
            "--mode REST: expected auto, rest or e2ee",
        ),
        (
            vec!["--generate", "html"],
            "--generate html: expected man, bash, zsh, fish or markdown",
        ),
        (vec!["--generate"], "--generate requires a value: man|bash|"),
        (
            vec!["--dynamic", "--lease-ttl", "1.5", "x"],
            "--lease-ttl 1.5: expected a whole number of seconds above 0",
        ),
        (
            vec!["--tags", "a,,b", "x"],
            "--tags a,,b: expected names separated by commas",
        ),
        (vec!["--require", "A,", "x"], "--require A,: expected names"),
        (vec!["--file", "A*=B", "x"], "--file A*=B: expected "),
        (vec!["--only", "[", "x"], "--only [: expected "),
        (vec!["--nope", "x"], "unknown option --nope"),
        (vec!["-z", "x"], "unknown option -z"),
        (vec!["-qz", "x"], "unknown option -z"),
        (vec!["-9", "x"], "unknown option -9"),
    ] {
        let stderr = usage_error(&words);
        assert!(
            stderr.starts_with(&format!("phase-run: error[usage]: {message}")),
            "{words:?}: {stderr}"
        );
    }
}

/// The error comes first. A log collector gets nothing else, and neither does someone who has passed
/// arguments: the help would push the error off the screen.
#[test]
fn only_missing_arguments_print_the_summary() {
    let sandbox = Sandbox::offline();
    let nothing: [&str; 0] = [];
    let run = || sandbox.run(nothing);
    let output = run().output().assert_status(Status::Exited(125));
    let summary = sandbox.run(["-h"]).output().assert_ok();
    let error = "phase-run: error[usage]: no command to run\n\
                 hint: put the command last: phase-run --app shop --env production -- printenv\n\n";
    assert_eq!(output.stderr, format!("{error}{}", summary.text()));
    assert_eq!(output.stdout, Vec::<u8>::new());
    let json = run().env("PHASE_LOG_FORMAT", "json").output();
    let json = json.assert_status(Status::Exited(125));
    assert_eq!(json.stderr.lines().count(), 1, "{json}");
    for words in [&["--"][..], &["--app", "shop"], &["--app", "shop", "--"]] {
        let output = sandbox.run(words).output();
        let output = output.assert_status(Status::Exited(125));
        assert_eq!(output.stderr.lines().count(), 2, "{output}");
    }
}

#[test]
fn conflicting_options_are_refused() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    for (words, message) in [
        (["--pass", "X", "x"], "--pass requires --clean"),
        (["--grace", "5", "x"], "--grace requires --watch"),
        (
            ["--supervise", "--grace=0", "x"],
            "--grace requires --watch",
        ),
        (
            ["--stop-signal", "TERM", "x"],
            "--stop-signal requires --watch",
        ),
        (["--lease-ttl", "60", "x"], "--lease-ttl requires --dynamic"),
        (
            ["--keep=X", "--keep-existing", "x"],
            "--keep cannot be used with --keep-existing: ",
        ),
        (
            ["--dynamic", "--tags=a", "x"],
            "--dynamic cannot be used with --tags: ",
        ),
        (["-q", "-v", "x"], "--verbose cannot be used with --quiet: "),
        (
            ["-vv", "--quiet", "x"],
            "--verbose cannot be used with --quiet: ",
        ),
    ] {
        let stderr = usage_error(&words);
        let start = format!("phase-run: error[usage]: {message}");
        assert!(stderr.starts_with(&start), "{words:?}: {stderr}");
    }
}

/// Of several mistakes, the one that is reported does not depend on the order of the words.
#[test]
fn first_of_several_mistakes_is_reported() {
    let words = ["--lease-ttl", "5", "--keep=A", "--keep-existing", "x"];
    let stderr = usage_error(&words);
    assert!(stderr.contains("--keep cannot be used with"), "{stderr}");
    let stderr = usage_error(&["--offline", "--timeout", "soon", "x"]);
    assert!(stderr.contains("--timeout soon: expected"), "{stderr}");
}

#[test]
fn unknown_option_hints_at_the_nearest() {
    for (typed, nearest) in [
        ("--environment", Some("--env")),
        ("--apps", Some("--app")),
        ("--timout", Some("--timeout")),
        ("--dryrun", Some("--dry-run")),
        ("--token", Some("--token-file")),
        ("--keep-exist", Some("--keep-existing")),
        ("--VERBOSE", Some("--verbose")),
        ("-Q", Some("--quiet")),
        ("-A", Some("--app")),
        ("-9", None),
        ("--frobnicate", None),
    ] {
        let stderr = usage_error(&[typed, "x"]);
        let hint = stderr.lines().nth(1);
        let expected = match nearest {
            Some(nearest) => format!("hint: use {nearest}"),
            None => "hint: run phase-run --help for a list of all options".to_owned(),
        };
        assert_eq!(hint, Some(expected.as_str()), "{typed}: {stderr}");
    }
}

/// An option that does not exist yet is neither ignored nor taken for another one.
#[test]
fn unimplemented_options_are_rejected() {
    for option in ["--import", "--template"] {
        let message = format!(
            "phase-run: error[usage]: unknown option {option}\n\
             hint: run phase-run --help for a list of all options\n"
        );
        assert_eq!(usage_error(&[option, "1", "x"]), message);
        assert_eq!(usage_error(&[&format!("{option}=1"), "x"]), message);
    }
}

/// Plain http goes to loopback only, and never through a proxy.
#[test]
fn proxy_is_ignored_for_http_on_loopback() {
    let options = Options {
        tls: false,
        ..Options::default()
    };
    let phase = Phase::with(World::captured(), options);
    let sandbox = Sandbox::new(&phase);
    for (name, proxy) in [
        ("HTTPS_PROXY", "http://proxy.test"),
        ("all_proxy", "http://proxy.test"),
        ("all_proxy", "socks5://proxy.test"),
    ] {
        let run = sandbox.run([
            "--app",
            "shop",
            "--env",
            "Development",
            "--path",
            "/",
            "true",
        ]);
        let _ = run.env(name, proxy).output().assert_ok();
    }
}

/// Any other word is a `config` error, also where the flag has no effect.
#[test]
fn flag_variable_takes_four_words() {
    let (_phase, sandbox) = tagged_shop();
    let run = |value: &str, words: &[&str]| {
        let run = sandbox.run(SHOP).args(words);
        run.env("PHASE_SUPERVISE", value).output()
    };
    for value in ["1", "true", "0", "false", ""] {
        let _ = run(value, &["true"]).assert_ok();
    }
    for value in ["yes", "TRUE", "2", " 1"] {
        let _ = run(value, &["true"]).assert_error(125, "config");
        let _ = run(value, &["--dry-run"]).assert_error(125, "config");
    }
}

/// A process limit (RLIMIT_NPROC, setrlimit(2)) makes fork(2) fail.
#[cfg(target_os = "linux")]
#[test]
fn supervise_fork_failure_exits_125() {
    if !require_root("only root can give another user's processes a limit") {
        return;
    }
    let (_phase, sandbox) = tagged_shop();
    let run = sandbox.run(SHOP).args(["--supervise", "true"]);
    let run = run.as_user(unused_uid()).limit(Resource::RLIMIT_NPROC, 1);
    let output = run.output().assert_error(125, "exec");
    assert!(
        output.stderr.contains("cannot supervise the command"),
        "{output}"
    );
}

/// An option after the command is an argument of the command; the hint says where to put it.
#[test]
fn app_flag_after_command_gets_a_hint() {
    let (_phase, sandbox) = tagged_shop();
    for word in ["--app", "-a", "--app=shop", "--app-id", "--app-id=shop"] {
        let output = sandbox.run(["true", word, "shop"]).output();
        let output = output.assert_error(125, "config");
        assert!(
            output.stderr.contains("hint: put --app before the command"),
            "{output}"
        );
    }
}

#[test]
fn usage_error_exits_125_with_stderr_closed() {
    let sandbox = Sandbox::offline();
    for words in [vec!["--nope"], vec!["--log-format=json", "--nope"]] {
        let output = sandbox.run(words).closed(2).output();
        let output = output.assert_status(Status::Exited(125));
        assert_eq!((output.text(), output.stderr.as_str()), ("", ""));
    }
}

/// A token in the place of a file, an app, a host, an option or the command stays secret.
#[test]
fn misplaced_token_is_never_printed() {
    let (phase, sandbox) = tagged_shop();
    let json = format!("{{\"token\": \"{}\"}}", service_token());
    let account = format!("ServiceAccount {}", bearer());
    for token in [service_token(), bearer(), &account, &json] {
        for format in ["text", "json"] {
            let run = || sandbox.run(["-vv", "--log-format", format]);
            let file = run().args(SHOP).args(["--token-file", token, "--", "true"]);
            let _ = file.output().assert_status(Status::Exited(125));
            let file = run().args(SHOP).args(["true"]);
            let file = file.env("PHASE_SERVICE_TOKEN_FILE", token).output();
            let _ = file.assert_status(Status::Exited(125));
            let command = run().args(SHOP).arg(token).output();
            // A token that is longer than a file name may be cannot be executed.
            let ended = [126, 127].map(Status::Exited);
            assert!(ended.contains(&command.status), "{command}");
            let app = run().args(["--env=production", "--app", token, "true"]);
            let _ = app.output().assert_status(Status::Exited(125));
            let option = run().arg(format!("--{token}")).output();
            let _ = option.assert_status(Status::Exited(125));
            let host = run().args(["--host", token, "true"]).output();
            let _ = host.assert_status(Status::Exited(125));
        }
        let file = sandbox.run(["--token-file", token, "x"]).output();
        let _ = file.assert_error(125, "token");
    }
    for request in phase.requests() {
        assert!(!request.target.contains(bearer()), "{}", request.target);
    }
}

/// A path may be any bytes: the kernel knows no encoding.
#[test]
fn paths_may_be_non_utf8_and_texts_may_not() {
    let sandbox = Sandbox::offline();
    let odd = OsStr::from_bytes(b"\xff\xfe");
    for option in ["--app", "--env", "--path", "--host", "--timeout", "--only"] {
        let output = sandbox.run([option]).arg(odd).arg("x").output();
        let output = output.assert_error(125, "usage");
        let message = format!("the value of {option} is not UTF-8\n");
        assert!(output.stderr.ends_with(&message), "{output}");
    }
    let run = sandbox.run(SHOP).arg("--token-file").arg(odd).arg("x");
    let _ = run.output().assert_error(125, "token");
    let run = sandbox.run(SHOP).arg("--ca-file").arg(odd).arg("x");
    let _ = run.output().assert_error(125, "config");
}
