//! `--dry-run`: lists what would be injected without values, and starts nothing.

use fake_phase::{Phase, World, bearer, service_token};

use crate::support::{Output, Run, Sandbox, Status, require_linux, require_programs};

const VALUE: &str = "a-value-that-is-never-shown";

fn world_of_each_type() -> World {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/web", "B_SEALED", VALUE).kind("sealed");
    production.secret("/", "C_CONFIG", VALUE).kind("config");
    production.secret("/a/b", "A_SECRET", VALUE);
    production.secret("/", "a_lower", VALUE);
    world
}

fn with_canary(phase: &Phase) -> Sandbox {
    let mut sandbox = Sandbox::new(phase);
    sandbox.canary(VALUE);
    sandbox
}

fn dry_run<'a>(sandbox: &'a Sandbox, words: &[&str]) -> Run<'a> {
    let run = sandbox.run(["--app", "shop", "--env", "Production", "--dry-run"]);
    run.args(words)
}

/// Each line has the name, folder, type and form (`variable`, `file` or `kept`) with a TAB between two.
/// Lines are sorted by name, and the command may be left out.
#[test]
fn dry_run_prints_four_fields_per_secret() {
    if !require_linux("--file needs Linux") {
        return;
    }
    let phase = Phase::serve(world_of_each_type());
    let sandbox = with_canary(&phase);
    let words = [
        "--file",
        "A_*",
        "--file",
        "B_SEALED=B_PATH",
        "--keep",
        "C_*",
        "--prefix",
        "C_",
    ];
    for (words, expected) in [
        (
            &[][..],
            "A_SECRET\t/a/b\tsecret\tvariable\nB_SEALED\t/web\tsealed\tvariable\n\
             C_CONFIG\t/\tconfig\tvariable\na_lower\t/\tsecret\tvariable\n",
        ),
        (
            &words[..],
            "B_PATH\t/web\tsealed\tfile\nC_A_SECRET\t/a/b\tsecret\tfile\n\
             C_C_CONFIG\t/\tconfig\tkept\nC_a_lower\t/\tsecret\tvariable\n",
        ),
        (
            &["--keep-existing", "--only", "C*"],
            "C_CONFIG\t/\tconfig\tkept\n",
        ),
        (
            &["--keep", "X*", "--only", "C*"],
            "C_CONFIG\t/\tconfig\tvariable\n",
        ),
    ] {
        let run = dry_run(&sandbox, words)
            .env("C_CONFIG", "set")
            .env("C_C_CONFIG", "set");
        assert_eq!(run.output().assert_ok().text(), expected, "{words:?}");
    }
}

/// With `--log-format json` each line is a JSON object.
#[test]
fn dry_run_json_prints_object_per_secret() {
    if !require_linux("--file needs Linux") {
        return;
    }
    let phase = Phase::serve(world_of_each_type());
    let sandbox = with_canary(&phase);
    let expected = "{\"name\":\"A_SECRET\",\"folder\":\"/a/b\",\"type\":\"secret\",\"form\":\"file\"}\n\
                    {\"name\":\"B_SEALED\",\"folder\":\"/web\",\"type\":\"sealed\",\"form\":\"variable\"}\n";
    let words = ["--only", "[AB]_*", "--file", "A_*"];
    let option = dry_run(&sandbox, &words).args(["--log-format", "json"]);
    let variable = dry_run(&sandbox, &words).env("PHASE_LOG_FORMAT", "json");
    for run in [option, variable] {
        let output = run.output().assert_ok();
        assert_eq!(output.text(), expected);
        for line in output.text().lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(object.as_object().unwrap().len(), 4);
        }
    }
}

/// Characters that would break the line or steer the terminal are escaped.
#[test]
fn tab_in_folder_is_escaped() {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/a\tb\u{1b}[2J", "KEY", VALUE);
    let phase = Phase::serve(world);
    let sandbox = with_canary(&phase);
    let output = dry_run(&sandbox, &[]).output().assert_ok();
    assert_eq!(output.text(), "KEY\t/a\\tb\\u{1b}[2J\tsecret\tvariable\n");
    let output = dry_run(&sandbox, &["--log-format", "json"])
        .output()
        .assert_ok();
    let object: serde_json::Value = serde_json::from_str(output.text()).unwrap();
    assert_eq!(object["folder"], "/a\tb\u{1b}[2J");
}

/// A server may repeat the token as a name.
#[test]
fn token_as_name_is_redacted() {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    let folder = format!("/{}", bearer().to_uppercase());
    production.secret(&folder, service_token(), VALUE);
    production.secret("/", &format!("KEY_{}", bearer()), VALUE);
    let phase = Phase::serve(world);
    let sandbox = with_canary(&phase);
    let output = dry_run(&sandbox, &[]).output();
    assert_eq!(
        output.text(),
        "KEY_…\t/\tsecret\tvariable\npss_…\t/…\tsecret\tvariable\n"
    );
    let output = dry_run(&sandbox, &["--log-format", "json"]).output();
    let lines = "{\"name\":\"KEY_…\",\"folder\":\"/\",\"type\":\"secret\",\"form\":\"variable\"}\n\
                 {\"name\":\"pss_…\",\"folder\":\"/…\",\"type\":\"secret\",\"form\":\"variable\"}\n";
    assert_eq!(output.text(), lines);
}

/// `--dry-run` starts no process and creates no file, which strace shows.
#[test]
fn dry_run_starts_nothing_and_creates_no_file() {
    if !require_programs(&["strace"]) {
        return;
    }
    let phase = Phase::serve(world_of_each_type());
    let sandbox = with_canary(&phase);
    let calls = |words: &[&str], dry: &[&str]| {
        let run = sandbox.run(["--app", "shop", "--env", "Production"]);
        let run = run.args(dry).args(["--file", "A_*"]).args(words);
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "trace",
            "-e",
            "trace=memfd_create,execve,execveat",
        ];
        let output = run
            .wrap(strace)
            .allow_secrets_on_stdout()
            .output()
            .assert_status(Status::Exited(0));
        let trace = std::fs::read_to_string(sandbox.directory().join("trace")).unwrap();
        let count = |call: &str| trace.matches(call).count();
        (output, count("execve"), count("memfd_create"))
    };
    let touch = ["touch", "made"];
    let (output, execs, files) = calls(&touch, &["--dry-run"]);
    assert_eq!((execs, files), (1, 0), "{output}");
    assert!(!sandbox.directory().join("made").exists());
    // The same command line without the option does both, so the search above can fail.
    let (output, execs, files) = calls(&touch, &[]);
    assert!(execs > 1 && files == 1, "{output}");
    assert!(sandbox.directory().join("made").exists());
}

/// If a start would fail, the dry run fails, too.
#[test]
fn dry_run_fails_like_a_start() {
    if !require_linux("--file needs Linux") {
        return;
    }
    let mut world = world_of_each_type();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/bad", "LD_PRELOAD", VALUE);
    production.secret("/large", "LARGE", &VALUE.repeat(8000));
    production.secret("/odd", "EQUALS=", VALUE);
    let phase = Phase::serve(world);
    let sandbox = with_canary(&phase);
    for path in ["/bad", "/large", "/odd"] {
        let output = dry_run(&sandbox, &["--path", path]).output();
        assert!(output.stdout.is_empty(), "{output}");
        let _ = output.assert_error(125, "environment");
    }
    let output: Output = dry_run(&sandbox, &["--path", "/large", "--file", "LARGE"]).output();
    assert_eq!(output.assert_ok().text(), "LARGE\t/large\tsecret\tfile\n");
}

/// An empty selection with `--allow-empty` prints nothing.
#[test]
fn empty_selection_prints_nothing() {
    let phase = Phase::serve(world_of_each_type());
    let sandbox = with_canary(&phase);
    let words = ["--only", "A_*", "--except", "A_*"];
    assert_eq!(dry_run(&sandbox, &words).output().assert_ok().text(), "");
}
