//! The login of the official CLI: which file counts, whose token it gives, and when it is used.

use std::fs::{create_dir_all, read_to_string, remove_file, write};
use std::os::unix::fs::{chown, symlink};
use std::path::PathBuf;

use fake_phase::{service_token, user_bearer, user_token};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::support::{
    PRINT_SECRET_AND_SERVE, Run, SHOP, Shop, WATCH, assert_refused_before_connecting,
    await_restart, inherited, require_linux, require_root, set_mode, set_secret_value, shop,
    shop_with_key, spawn_watched, stop_watched, wait_for_more_requests, watched_shop,
};

/// The ID of the account that is logged in.
pub(crate) const ACCOUNT: &str = "7c0f1f0e-59f3-4a63-9d1a-1f2f8c0b5a11";

/// The file of the login, in the working directory as the home directory.
pub(crate) fn login_file(shop: &Shop) -> PathBuf {
    let directory = shop.directory().join(".phase/secrets");
    create_dir_all(&directory).unwrap();
    directory.join("config.json")
}

/// Writes the file as the CLI does.
pub(crate) fn write_login(shop: &Shop, content: &Value) -> PathBuf {
    let file = login_file(shop);
    let _ = remove_file(&file);
    write(&file, serde_json::to_string_pretty(content).unwrap()).unwrap();
    set_mode(&file, 0o600);
    file
}

/// A user as the CLI writes one, with more members.
fn user(shop: &Shop, more: &Value) -> Value {
    let mut user = json!({
        "host": shop.phase.host(),
        "id": ACCOUNT,
        "email": "dev@acme.test",
        "organization_id": "444b23d6-555b-40b1-9315-a5d41815ff7c",
        "organization_name": "Globex",
        "wrapped_key_share": null,
    });
    let members = more.as_object().unwrap().clone();
    user.as_object_mut().unwrap().extend(members);
    user
}

/// A login whose token is in the keyring, or in the file if `more` has one.
pub(crate) fn log_in(shop: &Shop, more: &Value) {
    let users = [user(shop, more)];
    write_login(
        shop,
        &json!({"default-user": ACCOUNT, "phase-users": users}),
    );
}

/// A program in place of the keyring's, which records its arguments.
fn replace_keyring(shop: &Shop, script: &str) {
    let script = format!("#!/bin/sh\necho \"$*\" >>arguments\n{script}\n");
    shop.executable("secret-tool", script);
}

/// A run with the login alone: without a host and a token.
fn run_with<'a>(shop: &'a Shop, options: &[&str]) -> Run<'a> {
    let path = inherited("PATH").unwrap();
    let path = format!("{}:{}", shop.directory().display(), path.display());
    let run = shop.run(SHOP).args(options).arg("--");
    let run = run.unset("PHASE_SERVICE_TOKEN").unset("PHASE_HOST");
    run.env("HOME", shop.directory()).env("PATH", path)
}

fn assert_token_error(shop: &Shop, message: &str) -> String {
    let run = run_with(shop, &["-q"]).arg("true");
    assert_refused_before_connecting(&shop.phase, run, "token", message).stderr
}

/// The line that announces the login.
fn announcement(shop: &Shop) -> String {
    let host = shop.phase.host().replace("https://", "");
    format!("using the login of dev@acme.test at {host}\n")
}

/// The `Authorization` header of the last request.
fn authorization(shop: &Shop) -> String {
    let requests = shop.phase.requests();
    let header = requests.last().unwrap().header("Authorization");
    header.unwrap().to_owned()
}

#[test]
fn login_gives_token_and_host_and_says_so() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    let shop = shop_with_key();
    log_in(&shop, &json!({"token": user_token()}));
    let run = |options: &[&str]| run_with(&shop, options).args(["printenv", "KEY"]).output();
    let announcement = announcement(&shop);
    let output = run(&[]).assert_log_lines(&[&announcement]).assert_ok();
    assert_eq!(output.text(), "of the shop\n");
    let user = format!("Bearer User {}", user_bearer());
    assert_eq!(authorization(&shop), user);
    let _ = run(&["-q"]).assert_ok();
    let verbose = run(&["-v"]);
    let source = "with the token from the login of dev@acme.test";
    assert!(verbose.stderr.contains(source), "{verbose}");
    for mode in ["--supervise", "--dry-run"] {
        let output = run(&[mode]).assert_log_lines(&[&announcement]);
        let _ = output.assert_ok();
    }
    let json = run(&["--log-format", "json"]);
    assert!(json.stderr.contains("\"kind\":\"login-used\""), "{json}");
    // A service account has no email address.
    log_in(&shop, &json!({"token": service_token(), "email": null}));
    let account = format!("using the login of service account {ACCOUNT} at ");
    let _ = run(&[]).assert_log_lines(&[&account]).assert_ok();
}

/// The keyring's program is asked for the CLI's entry. It gets no token, and no terminal.
#[test]
fn keyring_program_is_asked_for_entry_of_the_cli() {
    let shop = shop_with_key();
    log_in(&shop, &json!({"token": ""}));
    shop.private_file("token", user_token());
    replace_keyring(&shop, "env >environment; cat; cat token");
    let run = run_with(&shop, &["-q"]).arg("cat");
    let run = run.env("PHASE_OTHER_TOKEN", service_token()).stdin("input");
    assert_eq!(run.output().assert_ok().text(), "input");
    let read = |name: &str| read_to_string(shop.directory().join(name)).unwrap();
    let entry = format!("lookup service phase-cli-user-{ACCOUNT} username pss\n");
    assert_eq!(read("arguments"), entry);
    assert!(!read("environment").contains("TOKEN"));
    assert!(read("environment").contains("PHASE_CA_FILE="));
}

/// A login is the last source: it is not even read if there is another one.
#[test]
fn every_other_source_precedes_login() {
    let shop = shop_with_key();
    let token = shop.private_file("token", user_token());
    let token = token.to_str().unwrap();
    mkfifo(&login_file(&shop), Mode::S_IRWXU).unwrap();
    for (options, variable) in [
        (&["--token-file", token][..], None),
        (&["--token-command", "cat token"], None),
        (&[], Some(("PHASE_SERVICE_TOKEN_FILE", token))),
        (&[], Some(("PHASE_SERVICE_TOKEN", user_token()))),
        (&[], Some(("PHASE_TOKEN_COMMAND", "cat token"))),
    ] {
        let run = run_with(&shop, options).env("PHASE_HOST", shop.phase.host());
        let run = variable
            .into_iter()
            .fold(run, |run, (name, value)| run.env(name, value));
        let _ = run.arg("true").output().assert_ok();
    }
    let run = run_with(&shop, &["-v"]).env("PHASE_HOST", shop.phase.host());
    let run = run.env("PHASE_SERVICE_TOKEN", user_token()).arg("true");
    let output = run.output();
    let source = "with the token from PHASE_SERVICE_TOKEN";
    assert!(output.stderr.contains(source), "{output}");
}

/// Without a login, or where none may be used, the error names the ways that are left.
#[test]
fn missing_token_lists_the_ways_there_are() {
    if !require_linux("only Linux has namespaces") {
        return;
    }
    let shop = shop_with_key();
    let ways = "set PHASE_SERVICE_TOKEN, pass --token-file FILE or --token-command LINE, \
        or pass --identity with --service-account\n";
    let with_login = format!("no token is specified\nhint: log in with phase auth, {ways}");
    let without = format!("no token is specified\nhint: {ways}");
    assert_token_error(&shop, &with_login);
    let nobody = |users: Value| write_login(&shop, &users);
    for users in [
        json!({"default-user": null, "phase-users": []}),
        json!({"default-user": "", "phase-users": []}),
        json!({"phase-users": []}),
        json!({}),
    ] {
        nobody(users);
        assert_token_error(&shop, &with_login);
    }
    log_in(&shop, &json!({"token": user_token()}));
    let forbidden = |run: Run<'_>| {
        let run = run.arg("true").env("PHASE_HOST", shop.phase.host());
        let _ = assert_refused_before_connecting(&shop.phase, run, "token", &without);
    };
    forbidden(run_with(&shop, &["--no-login"]));
    forbidden(run_with(&shop, &[]).env("PHASE_NO_LOGIN", "1"));
    for mode in [
        &[][..],
        &["--supervise"],
        &["--watch", "60"],
        &["--dry-run"],
    ] {
        forbidden(run_with(&shop, mode).as_pid1());
    }
    for home in ["", "relative", "/nowhere"] {
        let run = run_with(&shop, &[]).env("HOME", home).arg("true");
        let _ = assert_refused_before_connecting(&shop.phase, run, "token", &with_login);
    }
    let run = run_with(&shop, &["-q"]).env("PHASE_NO_LOGIN", "0");
    let _ = run.arg("true").output().assert_ok();
    let run = run_with(&shop, &[]).env("PHASE_NO_LOGIN", "maybe");
    let _ = run.arg("true").output().assert_error(125, "config");
}

#[test]
fn default_account_is_chosen_or_the_only_one() {
    let shop = shop_with_key();
    let with_token = |id: &str| user(&shop, &json!({"id": id, "token": user_token()}));
    let (one, other) = (with_token(ACCOUNT), with_token("other"));
    for (content, why) in [
        (
            json!({"default-user": ACCOUNT, "phase-users": [other, one]}),
            "",
        ),
        (json!({"default-user": null, "phase-users": [one]}), ""),
        (json!({"phase-users": [one]}), ""),
        (
            json!({"default-user": null, "phase-users": [one, other]}),
            "it has 2 accounts, and none is the default\nhint: choose an account with phase users switch",
        ),
        (
            json!({"default-user": "x", "phase-users": [one, other]}),
            "its default account is not among its accounts\nhint: choose",
        ),
        (
            json!({"default-user": ACCOUNT, "phase-users": [one, other, one]}),
            "it has its default account twice\nhint: log in again",
        ),
        (
            json!({"phase-users": [with_token("")]}),
            "the ID of its default account is malformed\nhint: log in again",
        ),
        (
            json!({"phase-users": [with_token("a\u{0}b")]}),
            "the ID of its default account is malformed",
        ),
    ] {
        let file = write_login(&shop, &content);
        if why.is_empty() {
            let _ = run_with(&shop, &["-q"]).arg("true").output().assert_ok();
            continue;
        }
        let message = format!("cannot use the login in {}: {why}", file.display());
        assert_token_error(&shop, &message);
    }
}

/// A file that is damaged, or that somebody else could have written, is an error with its reason.
#[test]
fn unusable_login_file_is_an_error() {
    let shop = shop_with_key();
    log_in(&shop, &json!({}));
    let file = login_file(&shop);
    let path = file.display();
    let assert_unusable = |why: &str| {
        let message = format!("cannot use the login in {path}: {why}");
        assert_token_error(&shop, &message)
    };
    for mode in [0o620, 0o602, 0o666] {
        set_mode(&file, mode);
        let why = format!("other users can write it (mode {mode:04o})\nhint: run chmod 600 {path}");
        assert_unusable(&why);
    }
    log_in(&shop, &json!({"token": user_token()}));
    for mode in [0o640, 0o604, 0o644, 0o610] {
        set_mode(&file, mode);
        let why =
            format!("it has a token, and other users can read it (mode {mode:04o})\nhint: run");
        assert_unusable(&why);
    }
    set_mode(&file, 0o600);
    if require_root("only root can give a file away") {
        chown(&file, Some(65534), None).unwrap();
        assert_unusable("it belongs to another user (65534)");
        chown(&file, Some(0), None).unwrap();
        set_mode(&file, 0o600);
        let run = run_with(&shop, &[]).as_user(65534).arg("true");
        let message = format!("cannot use the login in {path}: permission denied");
        let _ = assert_refused_before_connecting(&shop.phase, run, "token", &message);
        // Nobody can tell whether there is a login in a home directory of somebody else.
        set_mode(shop.directory().join(".phase"), 0o700);
        let run = run_with(&shop, &[]).as_user(65534).arg("true");
        let _ = assert_refused_before_connecting(&shop.phase, run, "token", "no token is");
    }
    for (content, why) in [
        (
            "",
            "it is not valid JSON (line 1, column 0)\nhint: log in again with phase auth",
        ),
        ("null", "it is not in the format of phase auth"),
        ("[]", "it is not in the format of phase auth"),
        ("\"text\"", "it is not in the format of phase auth"),
        (
            "{\"phase-users\": {}}",
            "it is not in the format of phase auth",
        ),
        (
            "{\"phase-users\": [[]]}",
            "it is not in the format of phase auth",
        ),
        (
            "{\"phase-users\": [{\"id\": \"x\"}]}",
            "it is not in the format of phase auth",
        ),
        (
            "{\"default-user\": 7}",
            "it is not in the format of phase auth",
        ),
        (
            "\u{feff}{\"phase-users\": 7}",
            "it is not in the format of phase auth",
        ),
    ] {
        write(&file, content).unwrap();
        assert_unusable(why);
    }
    write(&file, b"\xff\xfe{\0}\0").unwrap();
    assert_unusable("it is encoded in UTF-16");
    write(&file, vec![b' '; (1 << 20) + 1]).unwrap();
    assert_unusable("it is longer than 1048576 bytes");
    remove_file(&file).unwrap();
    create_dir_all(&file).unwrap();
    assert_unusable("it is not a regular file");
    std::fs::remove_dir(&file).unwrap();
    mkfifo(&file, Mode::S_IRWXU).unwrap();
    assert_unusable("it is not a regular file");
    remove_file(&file).unwrap();
    symlink("/dev/zero", &file).unwrap();
    assert_unusable("it is not a regular file");
}

/// The token goes to the login's own host only.
#[test]
fn login_is_for_its_own_host() {
    let shop = shop_with_key();
    log_in(&shop, &json!({"token": user_token()}));
    let host = shop.phase.host();
    let run = |host: &str| run_with(&shop, &["-q"]).env("PHASE_HOST", host).arg("true");
    for same in [
        host.clone(),
        format!("{host}/"),
        host.replace("localhost", "LOCALHOST"),
    ] {
        let _ = run(&same).output().assert_ok();
    }
    let name = host.replace("https://", "");
    let message = format!("the login of dev@acme.test is at {name}, not at phase.acme.test (from ");
    let other = "https://phase.acme.test";
    let refused = assert_refused_before_connecting(&shop.phase, run(other), "token", &message);
    assert!(
        refused.stderr.contains("hint: unset PHASE_HOST, "),
        "{refused}"
    );
    let option = run_with(&shop, &["--host", other]).arg("true");
    let refused = assert_refused_before_connecting(&shop.phase, option, "token", &message);
    assert!(
        refused.stderr.contains("hint: remove --host, "),
        "{refused}"
    );
    for insecure in [
        "http://phase.acme.test",
        "phase.acme.test",
        "https://user:word@acme.test",
    ] {
        log_in(&shop, &json!({"token": user_token(), "host": insecure}));
        let run = run_with(&shop, &[]).arg("true");
        let message = match insecure.contains("word") {
            true => "cannot use ".to_owned(),
            false => format!(
                "cannot use {insecure} (from {}",
                login_file(&shop).display()
            ),
        };
        let refused = assert_refused_before_connecting(&shop.phase, run, "config", &message);
        assert!(!refused.stderr.contains("word@"), "{refused}");
    }
}

/// Whatever the keyring's program does, the error has the reason, and none of the output.
#[test]
fn failing_keyring_program_is_an_error_without_its_output() {
    if !require_linux("the keyring's program is another one elsewhere") {
        return;
    }
    let mut shop = shop_with_key();
    shop.canary("canary-of-output");
    log_in(&shop, &json!({}));
    shop.private_file("token", user_token());
    let from = "cannot read the token of dev@acme.test from the keyring: secret-tool";
    let missing =
        format!("{from} found no entry phase-cli-user-{ACCOUNT}, or the keyring is locked");
    let invalid = "the token from the login of dev@acme.test is not valid: it";
    for (script, message) in [
        ("exit 1", missing.clone()),
        ("echo canary-of-output; exit 1", missing.clone()),
        ("true", missing),
        (
            "exit 127",
            format!("{from} is not installed\nhint: install secret-tool"),
        ),
        ("kill -SEGV $$", format!("{from} was killed by signal SEGV")),
        (
            "yes canary-of-output | head -c 67108864",
            format!("{from} printed more than 65536 bytes"),
        ),
        (
            "cat token; echo; echo canary-of-output",
            format!("{invalid} contains white space"),
        ),
        ("printf '\\0'; cat token", format!("{invalid} is neither")),
        ("echo canary-of-output", format!("{invalid} is neither")),
    ] {
        replace_keyring(&shop, script);
        assert_token_error(&shop, &message);
    }
}

/// A keyring that waits for its password does not block a start for ever.
#[test]
fn hanging_keyring_program_is_killed() {
    if !require_linux("the keyring's program is another one elsewhere") {
        return;
    }
    let shop = shop_with_key();
    log_in(&shop, &json!({}));
    replace_keyring(&shop, "exec sleep 1000");
    let message = "cannot read the token of dev@acme.test from the keyring: \
        secret-tool did not end within 30 s\nhint: unlock the keyring";
    assert_token_error(&shop, message);
}

/// All polls of a watch use the token that the first start has read.
#[test]
fn watch_reads_login_once() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    let shop = watched_shop();
    log_in(&shop, &json!({}));
    shop.private_file("token", user_token());
    replace_keyring(&shop, "cat token");
    let mut running = spawn_watched(run_with(&shop, &WATCH), PRINT_SECRET_AND_SERVE);
    wait_for_more_requests(&shop.phase, 4);
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    let user = format!("Bearer User {}", user_bearer());
    assert_eq!(authorization(&shop), user);
    let arguments = read_to_string(shop.directory().join("arguments")).unwrap();
    assert_eq!(arguments.lines().count(), 1, "{arguments}");
    let output = stop_watched(running);
    let lines = [announcement(&shop), "the secrets have changed".to_owned()];
    let _ = output.assert_log_lines(&lines.each_ref().map(String::as_str));
}

/// A snapshot can be opened with the login that made it.
#[test]
fn login_opens_its_snapshot() {
    let shop = shop_with_key();
    log_in(&shop, &json!({"token": user_token()}));
    let run = |options: &[&str]| {
        let options = [&["-q", "--snapshot", "snapshot"], options].concat();
        run_with(&shop, &options).args(["printenv", "KEY"])
    };
    let _ = run(&[]).output().assert_ok();
    let output = run(&["--offline"]).output().assert_ok();
    assert_eq!(output.text(), "of the shop\n");
    log_in(&shop, &json!({"token": service_token()}));
    let output = run(&["--offline"]).output().assert_error(125, "snapshot");
    assert!(
        output.stderr.contains("made with another token"),
        "{output}"
    );
}

/// A login that Phase no longer knows is named.
#[test]
fn refused_login_is_named() {
    let shop = shop([("KEY", "value")]);
    log_in(&shop, &json!({"token": fake_phase::expired_bearer()}));
    let output = run_with(&shop, &["-q"]).arg("true").output();
    let output = output.assert_error(125, "token");
    let message = "rejected the token from the login of dev@acme.test: ";
    assert!(output.stderr.contains(message), "{output}");
    let hint = "\nhint: log in again with phase auth\n";
    assert!(output.stderr.ends_with(hint), "{output}");
}
