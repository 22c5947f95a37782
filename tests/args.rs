//! Parsing of the command line, and the effect of every option.

use fake_phase::{Phase, World, service_token};

use crate::documents::options;
use crate::support::{SHOP, Sandbox, Status, require_linux};

/// A fake Phase with two secrets in two folders, one of them tagged, and a second environment whose
/// secret has an unsafe name.
pub(crate) fn tagged_shop() -> (Phase, Sandbox) {
    let mut world = World::empty();
    let app = world.app("shop");
    let production = app.environment("Production", "prod");
    production.secret("/", "ALPHA", "canary of alpha");
    production
        .secret("/web", "BETA", "canary of beta")
        .tags(&["net"]);
    production.dynamic("/", "lender", &[("LEASED", "canary of leased")], 60);
    app.environment("Danger", "custom")
        .secret("/", "PS4", "canary of ps4");
    let phase = Phase::serve(world);
    let mut sandbox = Sandbox::new(&phase);
    for value in [
        "canary of alpha",
        "canary of beta",
        "canary of leased",
        "canary of ps4",
    ] {
        sandbox.canary(value);
    }
    (phase, sandbox)
}

/// An option may be written `--name value` or `--name=value`, a short one as for getopt(3).
#[test]
fn option_has_effect_in_every_spelling() {
    if !require_linux("--file needs Linux") {
        return;
    }
    let (phase, sandbox) = tagged_shop();
    let (host, ca) = (phase.host(), sandbox.directory().with_file_name("ca.pem"));
    let ca = ca.to_str().unwrap();
    let token = sandbox.file("token", service_token());
    let chmod = sandbox.bare(["chmod", "600"]).arg(&token).output();
    let _ = chmod.assert_ok();
    let token = token.to_str().unwrap();
    let shop = "--app shop --env production";
    let listed = "--app shop --env production --dry-run";
    let (alpha, beta) = ("ALPHA\t/\tsecret", "BETA\t/web\tsecret");
    // Option, value, the other arguments, and what is printed only because of the option.
    let cases = [
        ("--app", "shop", "--env production --dry-run", alpha),
        (
            "--env",
            "danger",
            "--app shop --dry-run",
            "refusing to inject PS4",
        ),
        ("--path", "/nope", listed, "--path /nope matches nothing"),
        ("--tags", "nope", listed, "--tags nope matches nothing"),
        ("--only", "X*", listed, "--only X* matches nothing"),
        (
            "--except",
            "A*",
            &format!("{listed} --require ALPHA"),
            "required secrets are not selected",
        ),
        (
            "--require",
            "NOPE",
            listed,
            "required secrets are not selected: NOPE",
        ),
        (
            "--allow-empty",
            "",
            &format!("{listed} --path /nope --path /web"),
            beta,
        ),
        ("--prefix", "X_", listed, "X_ALPHA\t/\tsecret\tvariable"),
        ("--file", "ALPHA", listed, "ALPHA\t/\tsecret\tfile"),
        ("--keep", "ALPH?", listed, "ALPHA\t/\tsecret\tkept"),
        ("--keep-existing", "", listed, "ALPHA\t/\tsecret\tkept"),
        (
            "--clean",
            "",
            &format!("{shop} -c 'echo ${{OTHER-clean}}'"),
            "clean\n",
        ),
        (
            "--pass",
            "ZZZ",
            &format!("{shop} --clean -c 'echo $ZZZ'"),
            "passed",
        ),
        (
            "--keep-token",
            "",
            &format!("{shop} -c 'echo $PHASE_OTHER_TOKEN'"),
            "kept",
        ),
        (
            "--allow-name",
            "PS4",
            "--app shop --env danger --dry-run",
            "PS4\t/",
        ),
        (
            "--strict",
            "",
            &format!("{shop} --strict x"),
            "--strict was given more than once",
        ),
        ("--host", &host, &format!("{listed} HOST"), alpha),
        (
            "--identity",
            "azure",
            &format!("{shop} x"),
            "--identity requires --service-account",
        ),
        (
            "--service-account",
            "x",
            &format!("{shop} x"),
            "--service-account requires --identity",
        ),
        ("--token-file", token, &format!("{listed} TOKEN"), alpha),
        (
            "--no-login",
            "",
            &format!("{shop} --no-login x"),
            "--no-login was given more than once",
        ),
        (
            "--token-command",
            "exit 7",
            listed,
            "cannot get a token with --token-command: the command exited with status 7",
        ),
        (
            "--header-file",
            "none",
            listed,
            "cannot use the header file none (from --header-file)",
        ),
        ("--ca-file", ca, &format!("{listed} CA"), alpha),
        (
            "--timeout",
            "never",
            listed,
            "--timeout never: expected a number",
        ),
        (
            "--max-wait",
            "never",
            listed,
            "--max-wait never: expected a number",
        ),
        (
            "--snapshot",
            "none",
            &format!("{listed} --offline"),
            "cannot use the snapshot none: it does not exist",
        ),
        (
            "--snapshot-max-age",
            "60",
            listed,
            "--snapshot-max-age requires --snapshot",
        ),
        (
            "--offline",
            "",
            &format!("{listed} --snapshot none"),
            "it does not exist",
        ),
        (
            "--mode",
            "no",
            listed,
            "--mode no: expected auto, rest or e2ee",
        ),
        ("--dynamic", "", listed, "LEASED\t/\tdynamic\tvariable"),
        (
            "--lease-ttl",
            "60",
            &format!("{shop} -c 'echo $LEASED'"),
            "--lease-ttl requires --dynamic",
        ),
        (
            "--supervise",
            "",
            &format!("{shop} sh -c 'cat /proc/$PPID/comm'"),
            "phase-run\n",
        ),
        (
            "--watch",
            "1.5",
            &format!("{shop} sh -c 'cat /proc/$PPID/comm'"),
            "phase-run\n",
        ),
        (
            "--stop-signal",
            "TERM",
            &format!("{shop} x"),
            "--stop-signal requires --watch",
        ),
        (
            "--grace",
            "0",
            &format!("{shop} x"),
            "--grace requires --watch",
        ),
        ("--command", "echo from the shell", shop, "from the shell\n"),
        ("--dry-run", "", shop, beta),
        (
            "--quiet",
            "",
            &format!("{shop} -v x"),
            "--verbose cannot be used with --quiet",
        ),
        ("--verbose", "", &format!("{shop} echo"), "executing echo"),
        ("--log-format", "json", listed, "{\"name\":\"ALPHA\""),
        ("--generate", "fish", "", "complete -c phase-run"),
        ("--help", "", "true", "Usage: phase-run [OPTIONS]"),
        ("--version", "", "", env!("CARGO_PKG_VERSION")),
    ];
    for row in options() {
        let case = cases.iter().find(|(option, ..)| *option == row.name);
        let (_, value, rest, expected) =
            case.unwrap_or_else(|| panic!("no case for {}: add one to this test", row.name));
        let rest = words_of(rest);
        let written = |option: &[String]| {
            let run = sandbox.run(option).args(&rest);
            let run = run.env("ALPHA", "1").env("OTHER", "2").env("ZZZ", "passed");
            let run = run.env("PHASE_OTHER_TOKEN", "kept");
            let run = match rest.last().map(String::as_str) {
                Some("HOST") => run.unset("PHASE_HOST").env("PHASE_TIMEOUT", "5"),
                Some("TOKEN") => run.unset("PHASE_SERVICE_TOKEN"),
                Some("CA") => run.unset("PHASE_CA_FILE"),
                _ => run,
            };
            let output = run.output();
            (output.text().to_owned() + &output.stderr).contains(expected)
        };
        if row.name != "--host" {
            assert!(!written(&[]), "{} makes no difference", row.name);
        }
        for option in row.spellings(value) {
            assert!(
                written(&option),
                "{option:?} {rest:?} does not say {expected:?}"
            );
        }
    }
}

/// Splits a command line into arguments; only single quotes are special.
fn words_of(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (nth, part) in line.split('\'').enumerate() {
        match nth % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[test]
fn arguments_after_command_are_unchanged() {
    let (_phase, sandbox) = tagged_shop();
    for (words, expected) in [
        (
            vec!["echo", "--env", "behind", "-q", "--", "x"],
            "--env behind -q -- x\n",
        ),
        (
            vec!["echo", "--env=behind", "--app"],
            "--env=behind --app\n",
        ),
        (vec!["--", "echo", "--env", "x"], "--env x\n"),
        (vec!["--", "echo", "--", "--"], "-- --\n"),
        (vec!["echo", "-c", "x", "--help"], "-c x --help\n"),
    ] {
        let output = sandbox.run(SHOP).args(&words).output().assert_ok();
        assert_eq!(output.text(), expected, "{words:?}");
    }
    for (words, command) in [
        (["--", "--"], "cannot run --: not found in PATH\n"),
        (
            ["--", "--unknown"],
            "cannot run --unknown: not found in PATH\n",
        ),
        (
            ["--", "--help"],
            "cannot run --help: it is an option of phase-run, not a program\n",
        ),
        (
            ["--", "--path=/"],
            "cannot run --path=/: it is an option of phase-run, not a program\n",
        ),
        (
            ["--", "-c"],
            "cannot run -c: it is an option of phase-run, not a program\n",
        ),
        (["-", "x"], "cannot run -: not found in PATH\n"),
        (["", "x"], "cannot run \"\": not found in PATH\n"),
    ] {
        let output = sandbox
            .run(SHOP)
            .args(words)
            .output()
            .assert_error(127, "exec");
        let error = format!("phase-run: error[exec]: {command}");
        assert!(output.stderr.starts_with(&error), "{output}");
    }
}

/// Further arguments become `$0 $1 …`, as for `sh -c`.
#[test]
fn command_option_passes_arguments_like_sh() {
    let (_phase, sandbox) = tagged_shop();
    let line = "echo \"$# $0 $1\"";
    for (words, expected) in [
        (vec!["-c", line], "0 /bin/sh \n"),
        (vec!["-c", line, "zero"], "0 zero \n"),
        (vec!["-c", line, "zero", "one two"], "1 zero one two\n"),
        (vec!["-c", line, "--", "zero", "--"], "1 zero --\n"),
        (vec!["-c", line, "--clean", "zero"], "0 zero \n"),
        (vec!["-c", "echo $BETA | wc -w"], "3\n"),
        (vec!["-c", "-no-option; echo run"], "run\n"),
        (vec!["-c", "+no-option; echo run"], "run\n"),
    ] {
        let output = sandbox.run(SHOP).args(&words).output();
        let output = output.assert_status(Status::Exited(0));
        assert_eq!(output.text().trim_start(), expected, "{words:?}");
    }
}

#[test]
fn repeatable_options_are_accepted_twice() {
    if !require_linux("--file needs Linux") {
        return;
    }
    let (_phase, sandbox) = tagged_shop();
    let line = "--path / --path /web --only A* --only B* --except X --except Y --require ALPHA \
                --require BETA --file ALPHA --file BETA --keep X --keep Y --clean --pass X \
                --pass Y --allow-name X --allow-name Y --dry-run";
    let output = sandbox.run(SHOP).args(words_of(line)).output().assert_ok();
    let expected = "ALPHA\t/\tsecret\tfile\nBETA\t/web\tsecret\tfile\n";
    assert_eq!(output.text(), expected);
}

#[test]
fn help_and_version_ignore_other_errors() {
    let sandbox = Sandbox::offline();
    for more in [vec![], vec!["--app"], vec!["no-such-command"]] {
        let printed = |option: &str| {
            let run = sandbox.run([option]).args(&more);
            let output = run.env("PHASE_TIMEOUT", "bad").output().assert_ok();
            output.text().to_owned()
        };
        assert_eq!(printed("-V"), printed("--version"));
        let version = format!("phase-run {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(printed("--version"), version);
        let (help, summary) = (printed("--help"), printed("-h"));
        assert!(summary.lines().count() < help.lines().count());
        assert!(summary.contains("See phase-run --help"), "{summary}");
        for row in options() {
            for name in row.names() {
                assert!(help.contains(&name), "--help does not tell {name}");
            }
        }
    }
}

#[test]
fn help_fails_when_stdout_is_not_writable() {
    if !require_linux("only Linux has /dev/full") {
        return;
    }
    let sandbox = Sandbox::offline();
    for option in ["--help", "--version", "--generate=man"] {
        let full = sandbox.run([option]).stdout_to("/dev/full").output();
        let full = full.assert_error(125, "output");
        let message = "cannot write to standard output: no space left on device\n";
        assert!(full.stderr.ends_with(message), "{full}");
        let closed = sandbox.run([option]).closed(1).output();
        let _ = closed.assert_error(125, "output");
    }
}

/// The kernel passes everything after the interpreter of a `#!` line as one argument.
#[test]
fn words_of_an_interpreter_line_get_a_hint() {
    let (phase, sandbox) = tagged_shop();
    for (words, option) in [
        ("--app shop --env Production -- sh", "--app"),
        ("--app=shop --env=Production", "--app"),
        ("--app=shop\t--env=Production\t--\tsh", "--app"),
        ("--app\tshop --env\tProduction", "--app"),
        ("-v --app shop", "-v"),
        ("-v\t-ashop -eProduction", "-v"),
        ("-ashop -eProduction", "-a"),
        ("-- sh", "--"),
    ] {
        let line = format!("#!{} {words}\necho started\n", sandbox.program());
        let script = sandbox.executable("script", line);
        let run = sandbox.run(["argument"]).wrap([script]);
        let output = run.output().assert_error(125, "usage");
        let message = format!("several words are in one argument: \"{option} …\"\n");
        assert!(output.stderr.contains(&message), "{words}: {output}");
        let hint = "start a script with #!/usr/bin/env -S phase-run …\n";
        assert!(output.stderr.ends_with(hint), "{words}: {output}");
    }
    assert_eq!(phase.connections(), 0);
}
