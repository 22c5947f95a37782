//! The log: silence when all is well, `-v`, `-vv`, `-q`, JSON, and the line of a panic.

use std::collections::BTreeMap;

use fake_phase::{Phase, app_id};

use crate::support::{
    Output, SHOP, Sandbox, Status, fill_pipe, require_debug_build, require_linux, shop_with_key,
};

/// Without `-v`, a start in which nothing was guessed logs nothing. Only the command writes to
/// standard output.
#[test]
fn clean_run_is_silent() {
    let shop = shop_with_key();
    let output = shop
        .run_with(&[])
        .args(["echo", "from the command"])
        .output()
        .assert_ok();
    assert_eq!(output.text(), "from the command\n");
    // A command that fails logs nothing either.
    let output = shop.run_with(&[]).args(["sh", "-c", "exit 7"]).output();
    let output = output.assert_status(Status::Exited(7));
    assert_eq!(output.stderr, "");
}

/// `-v` logs what is fetched, where each setting came from, and how long it took.
#[test]
fn verbose_logs_settings_sources_and_time() {
    let shop = shop_with_key();
    let port = shop.phase.port();
    for option in ["-v", "--verbose"] {
        let run = shop.run(["--app", "SHOP", option, "printenv", "KEY"]);
        let output = run.env("PHASE_ENV", "production").output();
        assert_eq!(output.text(), "of the shop\n");
        let chosen =
            "fetching app shop (from --app), environment Production (from PHASE_ENV) from ";
        let chosen = format!("{chosen}localhost:{port} with the token from PHASE_SERVICE_TOKEN\n");
        let output = output.assert_log_lines(&[&chosen, "1 of 1 secrets selected, "]);
        let _ = output
            .assert_log_lines(&["executing printenv\n"])
            .assert_ok();
    }
    let run = shop.run_with(&["-v", "--only", "K*"]).args(["true", "KEY"]);
    let output = run.output();
    let took = output.stderr.lines().nth(1).unwrap();
    let took = took
        .strip_prefix("phase-run: 1 of 1 secrets selected, ")
        .unwrap();
    let millis = took.strip_suffix(" ms after the start").unwrap();
    assert!(millis.parse::<f64>().unwrap() > 0.0, "{output}");
}

/// `-vv` also logs the method, host, path, status and time of each request, but not its query, which
/// may name secrets.
#[test]
fn very_verbose_logs_each_request() {
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    let host = format!("localhost:{}", phase.port());
    for twice in [vec!["-vv"], vec!["-v", "--verbose"], vec!["-vvv"]] {
        let run = sandbox
            .run(&twice)
            .args(["--app", "platform", "--env", "prod"]);
        let output = run.args(["--path", "/", "true"]).output();
        let tokens = format!("GET {host}/service/secrets/tokens/: 200 in ");
        let secrets = format!("GET {host}/service/public/v1/secrets/: 200 in ");
        let chosen = "using environment Production (the only one of type 'prod' from --env)\n";
        let output =
            output.assert_log_lines(&[&tokens, chosen, "fetching app platform (from --app), "]);
        let _ = output
            .assert_log_lines(&[&secrets, "1 of 1 secrets", "executing true\n"])
            .assert_ok();
    }
    let refused = ["-vv", "--app", app_id("shop"), "--env", "Staging", "true"];
    let output = sandbox.run(refused).output();
    let secrets = format!("GET {host}/service/public/v1/secrets/: 401 in ");
    let output = output.assert_log_lines(&["fetching app ", &secrets]);
    let _ = output.assert_error(125, "access");
}

/// `-q` logs only errors.
#[test]
fn quiet_logs_only_errors() {
    let shop = shop_with_key();
    for option in ["-q", "--quiet"] {
        let doubtful = ["--app", "shop", "--env", "prod", "--prefix", "x.", option];
        let run = || shop.run(doubtful).env("PHASE_VERIFY_SSL", "false");
        let _ = run().arg("true").output().assert_ok();
        let _ = run()
            .arg("no-such-command")
            .output()
            .assert_error(127, "exec");
    }
}

/// Parses each line of standard error as an object of strings.
fn objects(output: &Output) -> Vec<BTreeMap<String, String>> {
    let object = |line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}\n{output}"));
    output.stderr.lines().map(object).collect()
}

fn members(object: &BTreeMap<String, String>, names: [&str; 2]) -> [String; 2] {
    names.map(|name| object[name].clone())
}

/// With `--log-format json`, each line is one object, for log collectors.
#[test]
fn json_log_is_one_object_per_line() {
    let shop = shop_with_key();
    let doubtful = [
        "-vv", "--app", "shop", "--env", "prod", "--prefix", "x.", "true",
    ];
    let run = || shop.run(doubtful).env("PHASE_VERIFY_SSL", "false");
    let text = run().output().assert_status(Status::Exited(0));
    let json = run().env("PHASE_LOG_FORMAT", "json").output();
    let json = json.assert_status(Status::Exited(0));
    let objects = objects(&json);
    let kinds: Vec<String> = objects
        .iter()
        .map(|object| members(object, ["level", "kind"]).join(" "))
        .collect();
    let expected = [
        "warning verify-ssl-ignored",
        "info request",
        "info environment-chosen",
        "info fetching",
        "info request",
        "info selected",
        "warning nonportable-name",
        "info exec",
    ];
    assert_eq!(kinds, expected, "{json}");
    // Both formats have the same messages, apart from the times.
    let untimed =
        |message: &str| -> String { message.chars().filter(|c| !c.is_ascii_digit()).collect() };
    for (object, line) in objects.iter().zip(text.stderr.lines()) {
        assert_eq!(object.len(), 3, "{object:?}");
        let line = line.strip_prefix("phase-run: ").unwrap();
        let line = line.strip_prefix("warning: ").unwrap_or(line);
        assert_eq!(untimed(&object["message"]), untimed(line));
    }
}

/// An error is one object as well, with its hint if it has one.
#[test]
fn json_error_is_one_object_with_its_hint() {
    let shop = shop_with_key();
    let json = |words: &[&str]| {
        let output = shop.run(words).output();
        let [object] = objects(&output)
            .try_into()
            .unwrap_or_else(|_| panic!("{output}"));
        (output.status, object)
    };
    let (status, object) = json(&["--log-format=json", "--app=shop", "--env", "x\"\\", "true"]);
    assert_eq!(status, Status::Exited(125));
    assert_eq!(members(&object, ["level", "kind"]), ["error", "not-found"]);
    assert!(object["message"].starts_with("environment x\"\\ (from --env) not found in shop"));
    assert!(object["hint"].starts_with("pass --env "));
    let (status, object) = json(&[
        "--log-format",
        "json",
        "--app=shop",
        "--env=production",
        "/",
    ]);
    assert_eq!(status, Status::Exited(126));
    assert_eq!(object.get("hint"), None);
    // So is a mistake in the command line that asks for JSON.
    let (_, object) = json(&["--log-format=json", "--nope"]);
    assert_eq!(
        members(&object, ["kind", "message"]),
        ["usage", "unknown option --nope"]
    );
    let output = shop
        .run(["--nope"])
        .env("PHASE_LOG_FORMAT", "json")
        .output();
    assert_eq!(objects(&output)[0]["kind"], "usage");
    let run = shop
        .run(["--log-format=text", "--nope"])
        .env("PHASE_LOG_FORMAT", "json");
    let _ = run.output().assert_error(125, "usage");
}

/// phase-run ignores that standard error is closed, and the command runs.
#[test]
fn closed_stderr_does_not_stop_the_command() {
    let shop = shop_with_key();
    let words = ["-vv", "printenv", "KEY"];
    let output = shop.run(SHOP).args(words).closed(2).output().assert_ok();
    assert_eq!(output.text(), "of the shop\n");
}

/// A panic is one line of kind `internal` and exit status 125 in every process and thread, and no
/// command runs.
#[test]
fn panic_is_one_line_and_exits_with_125() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    if !require_debug_build() {
        return;
    }
    let shop = shop_with_key();
    let run = |place: &str, options: &[&str]| {
        let run = shop.run_with(options).args(["echo", "started"]);
        run.env("PANIC_IN", place)
    };
    let modes: [&[&str]; 4] = [&[], &["--dry-run"], &["--supervise"], &["--watch", "60"]];
    for options in modes {
        let output = run("fetch", options).output().assert_error(125, "internal");
        let line = "phase-run: error[internal]: this is a bug in phase-run: \
                    PANIC_IN asked for a panic (src/process/panic_hook.rs:";
        assert!(output.stderr.starts_with(line), "{output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        // The message of a panic is withheld if it may contain a value.
        let output = run("thread", options)
            .output()
            .assert_error(125, "internal");
        let line = "phase-run: error[internal]: this is a bug in phase-run: \
                    the panic message is withheld because it may contain a secret (src/process/panic_hook.rs:";
        assert!(output.stderr.starts_with(line), "{output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
    }
    let json = run("thread", &["--log-format", "json"]).output();
    let [object] = objects(&json).try_into().unwrap();
    assert_eq!(json.status, Status::Exited(125));
    assert_eq!(members(&object, ["level", "kind"]), ["error", "internal"]);
    // A standard error that nobody reads does not keep the process alive.
    let (_reader, writer) = std::io::pipe().unwrap();
    fill_pipe(&writer);
    let blocked =
        run("fetch", &["--watch", "60"]).wrap(["sh", "-c", "exec 2>&7; exec \"$0\" \"$@\""]);
    let blocked = blocked.pass_descriptor(&writer, 7).output();
    assert_eq!(blocked.status, Status::Exited(125));
    assert!(shop.phase.requests().is_empty());
}
