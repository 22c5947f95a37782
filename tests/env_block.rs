//! The command's environment: what it inherits, what is injected, and in which order.

#![cfg(target_os = "linux")]

use crate::support::{Run, SHOP, inspector, shop};

/// The names of the command's variables in their order, without those of the sandbox.
fn names(run: Run<'_>) -> Vec<String> {
    let own = ["PATH", "PHASE_HOST", "PHASE_CA_FILE", "PHASE_MAX_WAIT"];
    let entries = run.report().environ();
    let entries = entries
        .iter()
        .map(|entry| String::from_utf8_lossy(entry).into_owned());
    let names = entries.map(|entry| entry.split('=').next().unwrap_or_default().to_owned());
    names.filter(|name| !own.contains(&name.as_str())).collect()
}

/// `--prefix` is put before every injected name.
#[test]
fn prefix_is_added_to_every_name() {
    let shop = shop([("A", "1"), ("DB_URL", "2")]);
    let report = shop.run_inspector(&["--prefix", "APP_"]).report();
    assert_eq!(report.variable("APP_A"), Some(b"1".to_vec()));
    assert_eq!(report.variable("APP_DB_URL"), Some(b"2".to_vec()));
    assert_eq!(report.variable("A"), None);
}

/// An empty value is injected and satisfies `--require`.
#[test]
fn empty_value_is_injected() {
    let shop = shop([("EMPTY", "")]);
    let report = shop.run_inspector(&["--require", "EMPTY"]).report();
    assert_eq!(report.variable("EMPTY"), Some(Vec::new()));
    let only = shop.run_inspector(&["--require", "EMPTY", "--only", "EMPTY"]);
    assert_eq!(only.report().variable("EMPTY"), Some(Vec::new()));
    let replaced = shop.run_inspector(&[]).env("EMPTY", "before").report();
    assert_eq!(replaced.variable("EMPTY"), Some(Vec::new()));
}

/// A secret is at the position of the variable that it replaces.
#[test]
fn secret_replaces_inherited_variable_in_place() {
    let shop = shop([("C", "new"), ("A", "new"), ("X", "new")]);
    let run = shop.run_inspector(&[]).env("B", "1").env("C", "2");
    let run = run.env("A", "3").env("D", "4");
    assert_eq!(names(run), ["B", "C", "A", "D", "X"]);
}

/// Of a duplicate name the first entry stays, which getenv(3) finds. A secret replaces that one.
#[test]
fn duplicate_inherited_name_appears_once() {
    let shop = shop([("S", "secret")]);
    let run = shop.run_inspector(&[]).env_bytes("A=1").env_bytes("S=1");
    let report = run
        .env_bytes("B=")
        .env_bytes("S=2")
        .env_bytes("A=2")
        .report();
    assert_eq!(report.environ()[4..], [&b"A=1"[..], b"S=secret", b"B="]);
}

/// Inherited entries are passed on unchanged, even without UTF-8 or without a `=`.
#[test]
fn unusual_inherited_entries_are_unchanged() {
    let shop = shop([("NOTHING", "secret")]);
    let odd: [&[u8]; 5] = [b"NOTHING", b"=x", b"", b"A\xff=\x80\n", b"\xfe"];
    let run = shop.run_inspector(&[]);
    let report = odd
        .iter()
        .fold(run, |run, entry| run.env_bytes(*entry))
        .report();
    let all = [odd.as_slice(), &[b"NOTHING=secret"]].concat();
    assert_eq!(report.environ()[4..], all);
}

/// With `--keep` a variable that is already set wins over the secret, even an empty one.
#[test]
fn keep_prefers_inherited_variable() {
    let secrets = [("A_SET", "s"), ("A_EMPTY", "s"), ("A_NEW", "s"), ("B", "s")];
    let shop = shop(secrets);
    let run = |options: &[&str]| {
        let run = shop.run_inspector(options).env("A_SET", "own");
        run.env("A_EMPTY", "").env("B", "own").report()
    };
    let report = run(&["--keep", "A_*"]);
    let value = |name: &str| report.variable(name).unwrap();
    assert_eq!(value("A_SET"), b"own");
    assert_eq!(value("A_EMPTY"), b"");
    assert_eq!(value("A_NEW"), b"s");
    assert_eq!(value("B"), b"s");
    let report = run(&["--keep", "A_SET", "--keep", "B"]);
    assert_eq!(report.variable("A_EMPTY").unwrap(), b"s");
    assert_eq!(report.variable("B").unwrap(), b"own");
}

#[test]
fn keep_existing_prefers_all_inherited_variables() {
    let shop = shop([("SET", "s"), ("EMPTY", "s"), ("NEW", "s")]);
    let run = shop.run_inspector(&["--keep-existing"]).env("SET", "own");
    let report = run.env("EMPTY", "").report();
    assert_eq!(report.variable("SET").unwrap(), b"own");
    assert_eq!(report.variable("EMPTY").unwrap(), b"");
    assert_eq!(report.variable("NEW").unwrap(), b"s");
}

/// `--keep` matches the name with its prefix.
#[test]
fn keep_matches_name_with_prefix() {
    let shop = shop([("A", "s"), ("B", "s")]);
    let run = shop.run_inspector(&["--prefix", "P_", "--keep", "P_*"]);
    let report = run.env("A", "own").env("P_B", "own").report();
    assert_eq!(report.variable("P_A").unwrap(), b"s");
    assert_eq!(report.variable("P_B").unwrap(), b"own");
}

/// `--clean` leaves PATH, HOME, USER, LOGNAME, SHELL, TERM, TZ, LANG, LC_*, TMPDIR, PWD and HOSTNAME.
#[test]
fn clean_leaves_only_its_allowlist() {
    let left = [
        "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "LANG", "LC_ALL", "LC_X", "TMPDIR",
        "PWD", "HOSTNAME",
    ];
    let dropped = ["LANGUAGE", "LC", "PATHS", "home", "DISPLAY", "COLORTERM"];
    let shop = shop([("SECRET", "s"), ("COLORTERM", "s")]);
    let run = shop.run_inspector(&["--clean"]).env_bytes("noequals");
    let all = left.iter().chain(&dropped);
    let run = all.fold(run, |run, name| run.env(name, "value"));
    let report = run.report();
    let expected = left.map(|name| format!("{name}=value").into_bytes());
    let environ = report.environ();
    assert_eq!(environ[1..=left.len()], expected);
    assert!(report.variable("PATH").is_some());
    assert_eq!(
        environ[1 + left.len()..],
        [&b"COLORTERM=s"[..], b"SECRET=s"]
    );
}

/// With `--clean`, `--pass` passes further variables. It can be repeated.
#[test]
fn pass_extends_clean_allowlist() {
    let shop = shop([("SECRET", "s")]);
    let run = shop.run_inspector(&["--clean", "--pass", "MY_*", "--pass", "X"]);
    let run = run.env("MY_A", "1").env("X", "2").env("XY", "3");
    assert_eq!(names(run.env("MY_B", "")), ["MY_A", "X", "MY_B", "SECRET"]);
}

/// A variable that `--clean` drops is not set, so `--keep` does not apply to it.
#[test]
fn keep_ignores_variables_dropped_by_clean() {
    let shop = shop([("A", "secret")]);
    let run = shop
        .run_inspector(&["--clean", "--keep-existing"])
        .env("A", "own");
    assert_eq!(run.report().variable("A").unwrap(), b"secret");
}

const TOKENS: [&str; 4] = [
    "PHASE_SERVICE_TOKEN",
    "PHASE_SERVICE_TOKEN_FILE",
    "PHASE_TOKEN",
    "PHASE_MY_TOKENS",
];

/// Inherited `PHASE_*TOKEN*` variables are removed, unless `--keep-token` is given.
#[test]
fn token_variables_are_removed_without_keep_token() {
    let shop = shop([("SECRET", "s")]);
    let run = |options: &[&str]| {
        let token = shop.file("token", fake_phase::service_token());
        let run = shop.bare(["chmod", "600"]).arg(&token).output();
        let _ = run.assert_ok();
        let run = shop
            .run_inspector(&[options, &["-q"]].concat())
            .env("PHASE_SERVICE_TOKEN_FILE", token);
        let run = run.env("PHASE_TOKEN", "t").env("PHASE_MY_TOKENS", "t");
        let run = run.env("MY_PHASE_TOKEN", "mine").env("TOKEN", "mine");
        run.env("PHASE_OTHER", "o").report()
    };
    let report = run(&[]);
    for name in TOKENS {
        assert_eq!(report.variable(name), None, "{name}");
    }
    for name in ["MY_PHASE_TOKEN", "TOKEN", "PHASE_OTHER", "PHASE_HOST"] {
        assert!(report.variable(name).is_some(), "{name}");
    }
    let report = run(&["--keep-token"]);
    for name in TOKENS {
        assert!(report.variable(name).is_some(), "{name}");
    }
    let token = report.variable("PHASE_SERVICE_TOKEN").unwrap();
    assert_eq!(token, fake_phase::service_token().as_bytes());
    let report = run(&["--clean", "--pass", "PHASE_*"]);
    assert_eq!(report.variable("PHASE_SERVICE_TOKEN"), None);
    assert!(report.variable("PHASE_OTHER").is_some());
}

/// A secret with the name of a token variable is injected.
#[test]
fn secret_named_like_token_is_injected() {
    let names = ["PHASE_SERVICE_TOKEN", "PHASE_X_TOKEN"];
    let shop = shop(names.map(|name| (name, "of the app")));
    let allow = ["--allow-name", "PHASE_*"];
    let report = shop.run_inspector(&allow).report();
    for name in names {
        assert_eq!(report.variable(name).unwrap(), b"of the app", "{name}");
    }
    // The inherited variable was removed, so `--keep-existing` does not apply to it.
    let options = [&allow[..], &["--keep-existing"]].concat();
    let report = shop.run_inspector(&options).report();
    assert_eq!(report.variable(names[0]).unwrap(), b"of the app");
}

/// With `-c` and single quotes the shell of the command expands the name, not the caller's shell.
#[test]
fn single_quoted_variable_expands_in_command_shell() {
    let shop = shop([("DB_URL", "postgres://shop")]);
    let run = shop.run(SHOP).args(["-c", "echo \"$DB_URL $0 $1\""]);
    let output = run.args(["zero", "one word"]).output().assert_ok();
    assert_eq!(output.text(), "postgres://shop zero one word\n");
    let run = shop.run(SHOP).args(["--", inspector(), "report", ""]);
    let report = run.arg("$DB_URL").report();
    assert_eq!(report.argv()[3], b"$DB_URL");
}
