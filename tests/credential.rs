//! The sources of a stored token, and the errors if it is missing or not valid.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{chown, symlink};

use fake_phase::{bearer, expired_bearer, service_token, user_bearer, user_token};
use nix::unistd::Uid;

use crate::support::{
    Run, SHOP, Shop, assert_refused_before_connecting, inspector, require_linux, require_root,
    set_mode, shop_with_key,
};

/// A file that only its owner may read, as a token's should be.
fn private(shop: &Shop, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = shop.file(name, content);
    set_mode(&path, 0o600);
    path.to_str().unwrap().to_owned()
}

/// Reads a secret with the token from this source only.
fn run_with_token<'a>(shop: &'a Shop, source: &str) -> Run<'a> {
    let run = shop
        .run_with(&["--token-file", source])
        .args(["printenv", "KEY"]);
    run.unset("PHASE_SERVICE_TOKEN")
}

/// The `Authorization` header of the last request.
fn authorization(shop: &Shop) -> String {
    let requests = shop.phase.requests();
    let header = requests.last().unwrap().header("Authorization");
    header.unwrap().to_owned()
}

/// Checks that the run fails before it connects, and returns its standard error.
fn assert_token_error(shop: &Shop, run: Run<'_>, message: &str) -> String {
    assert_refused_before_connecting(&shop.phase, run, "token", message).stderr
}

/// The option precedes its variable, which precedes `PHASE_SERVICE_TOKEN`. An empty variable counts
/// as unset.
#[test]
fn token_file_precedes_token_variable() {
    let shop = shop_with_key();
    let user = private(&shop, "user", user_token());
    let bare = private(&shop, "bare", user_bearer());
    let run = || shop.run_with(&[]).args(["printenv", "KEY"]);
    let bearer_of = |run: Run<'_>| {
        assert_eq!(run.output().assert_ok().text(), "of the shop\n");
        authorization(&shop)
    };
    let service = format!("Bearer ServiceAccount {}", bearer());
    assert_eq!(bearer_of(run()), service);
    assert_eq!(
        bearer_of(run().env("PHASE_SERVICE_TOKEN_FILE", "")),
        service
    );
    let both = run().env("PHASE_SERVICE_TOKEN_FILE", &user);
    let ignored =
        "warning: ignoring PHASE_SERVICE_TOKEN: PHASE_SERVICE_TOKEN_FILE takes precedence";
    let _ = both.output().assert_log_lines(&[ignored]).assert_ok();
    assert_eq!(
        authorization(&shop),
        format!("Bearer User {}", user_bearer())
    );
    let option = shop
        .run_with(&["--token-file", &user])
        .args(["printenv", "KEY"]);
    let option = option.env("PHASE_SERVICE_TOKEN_FILE", &bare);
    assert_eq!(bearer_of(option), format!("Bearer User {}", user_bearer()));
}

/// White space around the token is ignored, such as an editor's last line break or a copied space.
#[test]
fn white_space_around_token_is_ignored() {
    let shop = shop_with_key();
    for before in ["", "\n \t"] {
        for after in ["\n", "\r\n", "  \n\n", ""] {
            let file = private(
                &shop,
                "token",
                format!("{before}{}{after}", service_token()),
            );
            assert_eq!(
                run_with_token(&shop, &file).output().assert_ok().text(),
                "of the shop\n"
            );
        }
    }
    let run = run_with_token(&shop, "").unset("PHASE_SERVICE_TOKEN");
    let _ = run.output().assert_error(125, "usage");
    let run = shop.run_with(&[]).args(["printenv", "KEY"]);
    let run = run.env("PHASE_SERVICE_TOKEN", format!(" {}\n", bearer()));
    assert_eq!(run.output().assert_ok().text(), "of the shop\n");
}

/// The JSON that `phase auth --no-store` prints is accepted, on several lines too.
#[test]
fn phase_auth_json_is_accepted() {
    let shop = shop_with_key();
    let token = service_token();
    for json in [
        format!("{{\"authentication\": {{\"token\": \"{token}\", \"TTL\": 60}}}}"),
        format!("{{\n  \"id\": \"x\",\n  \"token\": \"{token}\"\n}}\n"),
    ] {
        let file = private(&shop, "token", json);
        assert_eq!(
            run_with_token(&shop, &file).output().assert_ok().text(),
            "of the shop\n"
        );
        assert_eq!(
            authorization(&shop),
            format!("Bearer ServiceAccount {}", bearer())
        );
    }
}

/// `-` reads the first line of standard input. The command reads the rest.
#[test]
fn command_reads_stdin_after_token_line() {
    let shop = shop_with_key();
    let run = || {
        shop.run_with(&["--token-file", "-"])
            .arg("cat")
            .unset("PHASE_SERVICE_TOKEN")
    };
    let large = "a line of its input\n".repeat(20_000);
    for (end, rest) in [
        ("", ""),
        ("\n", ""),
        ("\n", "one\ntwo"),
        ("\r\n", "\n\nthree\n"),
        ("\n", &large),
    ] {
        let input = format!("{}{end}{rest}", service_token());
        let output = run().stdin(input).output().assert_ok();
        assert!(
            output.text() == rest,
            "after {end:?} not {} bytes\n{output}",
            rest.len()
        );
    }
    let from = "the token from standard input is not valid";
    let empty = run().stdin(format!("\n{}\n", service_token()));
    assert_token_error(&shop, empty, &format!("{from}: it is empty"));
    assert_token_error(&shop, run().stdin_closed(), &format!("{from}: it is empty"));
    let endless = run().stdin("x".repeat(70_000));
    assert_token_error(
        &shop,
        endless,
        &format!("{from}: it is longer than 65536 bytes"),
    );
}

/// The descriptor of `fd:N` is closed before the exec.
#[test]
fn token_descriptor_is_closed_before_exec() {
    if !require_linux("the inspector reads /proc") {
        return;
    }
    let shop = shop_with_key();
    let file = File::open(private(&shop, "token", service_token())).unwrap();
    let other = File::open(shop.file("other", "")).unwrap();
    let run = shop.run_inspector(&["--token-file", "fd:7"]);
    let run = run.unset("PHASE_SERVICE_TOKEN").pass_descriptor(&file, 7);
    let report = run.pass_descriptor(&other, 5).report();
    assert_eq!(report.descriptors(), [0, 1, 2, 5]);
    assert_eq!(report.variable("KEY"), Some(b"of the shop".to_vec()));

    // Shells give such a path for `<(…)`.
    for path in ["/dev/fd/63", "/proc/self/fd/63"] {
        for mode in [&[][..], &["--supervise"], &["--watch", "60"]] {
            let run = shop.run_inspector(&[mode, &["--token-file", path]].concat());
            let file = File::open(private(&shop, "token", service_token())).unwrap();
            let run = run.unset("PHASE_SERVICE_TOKEN").pass_descriptor(&file, 63);
            assert_eq!(run.report().descriptors(), [0, 1, 2], "{path} {mode:?}");
        }
    }

    // All of standard input is the token, so the command has none.
    let run = shop
        .run_inspector(&["--token-file", "fd:0"])
        .unset("PHASE_SERVICE_TOKEN");
    let file = File::open(private(&shop, "token", service_token())).unwrap();
    let report = run.pass_descriptor(&file, 0).report();
    assert_eq!(report.descriptors(), [1, 2]);
}

/// A descriptor that is not open, cannot be read or is empty is an error.
#[test]
fn unusable_token_descriptor_is_an_error() {
    let shop = shop_with_key();
    for number in ["9", "0"] {
        let run = run_with_token(&shop, &format!("fd:{number}")).stdin_closed();
        let message = format!("cannot read the token from descriptor {number}: bad file");
        assert_token_error(&shop, run, &message);
    }
    for number in ["", "x", "-1", "1x", "99999999999999"] {
        let message = format!(
            "cannot read the token from fd:{number} (from --token-file): expected fd:N with the number"
        );
        assert_token_error(
            &shop,
            run_with_token(&shop, &format!("fd:{number}")),
            &message,
        );
    }
    let directory = File::open(shop.directory()).unwrap();
    let run = run_with_token(&shop, "fd:3").pass_descriptor(&directory, 3);
    assert_token_error(
        &shop,
        run,
        "cannot read the token from descriptor 3: is a directory",
    );
    let run = run_with_token(&shop, "fd:3").pass_descriptor(File::open("/dev/null").unwrap(), 3);
    assert_token_error(
        &shop,
        run,
        "the token from descriptor 3 is not valid: it is empty",
    );
}

/// The error names a token file that cannot be read, with the reason.
#[test]
fn unreadable_token_file_is_named_with_reason() {
    let shop = shop_with_key();
    let missing = run_with_token(&shop, "nowhere/token");
    let output = assert_token_error(
        &shop,
        missing,
        "cannot read the token from nowhere/token (from --token-file): no such file",
    );
    let hint = "\nhint: check the path in --token-file, ";
    assert!(output.contains(hint), "{output}");
    let directory = run_with_token(&shop, ".");
    let output = assert_token_error(
        &shop,
        directory,
        "cannot read the token from . (from --token-file): is a directory",
    );
    let hint = "\nhint: pass --token-file with the path of the file, ";
    assert!(output.contains(hint), "{output}");
    let file = shop.file("token", service_token());
    set_mode(&file, 0o000);
    let mut run = shop.run_with(&["true"]).unset("PHASE_SERVICE_TOKEN");
    run = run.env("PHASE_SERVICE_TOKEN_FILE", "token");
    if Uid::effective().is_root() {
        run = run.as_user(65534);
    }
    let output = assert_token_error(
        &shop,
        run,
        "cannot read the token from token (from PHASE_SERVICE_TOKEN_FILE): permission denied",
    );
    // The hint does not ask for what is set.
    let hint = "\nhint: give this user permission to read the file ";
    assert!(output.contains(hint), "{output}");
    let none = shop.run_with(&[]).arg("true").unset("PHASE_SERVICE_TOKEN");
    let output = assert_token_error(
        &shop,
        none,
        "no token is specified\nhint: log in with phase auth, set PHASE_SERVICE_TOKEN, ",
    );
    assert!(output.contains("--token-file"), "{output}");
}

/// The error gives the reason and never shows any of the token.
#[test]
fn invalid_token_is_rejected_without_quoting_it() {
    let mut shop = shop_with_key();
    let (full, bare) = (service_token(), bearer());
    shop.canary("mistyped");
    for (content, why) in [
        (String::new(), "it is empty"),
        (" \n\n".to_owned(), "it is empty"),
        (
            "mistyped".to_owned(),
            "it is neither pss_service:…, pss_user:… nor 64 hex",
        ),
        (bare.chars().skip(1).collect(), "it is neither"),
        (format!("{bare} mistyped"), "it contains white space"),
        (full.replacen(":", ": ", 1), "it contains white space"),
        (
            format!("{bare}\n{}", user_bearer()),
            "it contains white space",
        ),
        (format!("user {bare}"), "it contains white space"),
        (format!("{full}:mistyped"), "it does not have four fields"),
        (full.replace("v2", "v9"), "its version is unknown"),
        (
            full.replace("pss_service", "pss_mistyped"),
            "it starts with neither",
        ),
        ("pss_service:v2".to_owned(), "it is incomplete"),
        ("{\"mistyped".to_owned(), "it looks like JSON but"),
        ("{\"mistyped\": 1}".to_owned(), "the JSON contains no token"),
        ("\u{1b}]0;mistyped\u{7}".to_owned(), "it is neither"),
        ("\u{0}".to_owned(), "it is neither"),
        ("x".repeat(65_537), "it is longer than 65536 bytes"),
    ] {
        let file = private(&shop, "token", content);
        let message = format!("the token from {file} is not valid: {why}");
        assert_token_error(&shop, run_with_token(&shop, &file), &message);
    }
    let run = shop
        .run_with(&[])
        .arg("true")
        .env("PHASE_SERVICE_TOKEN", "mistyped");
    assert_token_error(
        &shop,
        run,
        "the token from PHASE_SERVICE_TOKEN is not valid: it is neither",
    );
}

/// The error about a token that Phase refuses names where it came from.
#[test]
fn refused_token_is_named_by_its_source() {
    let shop = shop_with_key();
    let file = private(&shop, "token", expired_bearer());
    for (run, source) in [
        (run_with_token(&shop, &file), file.as_str()),
        (
            run_with_token(&shop, "-").stdin(expired_bearer()),
            "standard input",
        ),
        (
            run_with_token(&shop, "fd:4").pass_descriptor(File::open(&file).unwrap(), 4),
            "descriptor 4",
        ),
    ] {
        let output = run.output().assert_error(125, "token");
        let host = shop.phase.host().replace("https://", "");
        let message = format!("phase-run: error[token]: {host} rejected the token from {source}: ");
        assert!(output.stderr.starts_with(&message), "{output}");
    }
}

/// A token file that its group or others may read gets a warning if it belongs to the user.
#[test]
fn exposed_token_file_warns_its_owner() {
    let shop = shop_with_key();
    let path = private(&shop, "token", service_token());
    for bits in [0o400, 0o600, 0o700, 0o711, 0o622] {
        set_mode(&path, bits);
        let _ = run_with_token(&shop, &path).output().assert_ok();
    }
    for bits in [0o440, 0o604, 0o640, 0o644, 0o666] {
        set_mode(&path, bits);
        let run = || run_with_token(&shop, &path);
        let warning = format!(
            "warning: other users can read the file {path} (mode {bits:04o}): run chmod 600 on it"
        );
        let _ = run().output().assert_log_lines(&[&warning]).assert_ok();
        let quiet = shop.run(["-q"]).args(SHOP).args(["--token-file", &path]);
        let _ = quiet.arg("true").output().assert_ok();
        // The link's own mode does not matter.
        let link = shop.directory().join(format!("link-{bits:o}"));
        symlink(&path, &link).unwrap();
        let linked = run_with_token(&shop, link.to_str().unwrap()).output();
        let _ = linked
            .assert_log_lines(&["warning: other users can read the file "])
            .assert_ok();
        let _ = run_with_token(&shop, "fd:3")
            .pass_descriptor(File::open(&path).unwrap(), 3)
            .output()
            .assert_ok();
    }
}

/// A file on a read-only mount, or of another user, gets no warning: the user cannot fix it.
#[test]
fn unfixable_exposed_token_file_is_silent() {
    if !require_linux("only Linux has namespaces") {
        return;
    }
    let shop = shop_with_key();
    let path = private(&shop, "token", service_token());
    set_mode(&path, 0o644);
    let script =
        "mount --bind \"$PWD\" \"$PWD\" && mount -o remount,bind,ro \"$PWD\" && exec \"$@\"";
    let run = run_with_token(&shop, &path).in_namespaces(&["--mount"], script);
    let _ = run.output().assert_ok();
    // With a writable mount there is a warning again.
    let _ = run_with_token(&shop, &path)
        .output()
        .assert_log_lines(&["warning: other users can read the file "])
        .assert_ok();
    if require_root("only root can give a file away") {
        chown(&path, Some(65534), None).unwrap();
        let _ = run_with_token(&shop, &path).output().assert_ok();
        let own = run_with_token(&shop, &path).as_user(65534).output();
        let _ = own
            .assert_log_lines(&["warning: other users can read the file "])
            .assert_ok();
    }
}

/// `PHASE_SERVICE_TOKEN_FILE` accepts what `--token-file` accepts.
#[test]
fn token_file_variable_accepts_all_forms() {
    if !require_linux("the inspector reads /proc") {
        return;
    }
    let shop = shop_with_key();
    let token = File::open(private(&shop, "token", service_token())).unwrap();
    let run = |form: &str| {
        let run = shop.run_inspector(&[]).unset("PHASE_SERVICE_TOKEN");
        run.env("PHASE_SERVICE_TOKEN_FILE", form)
    };
    let report = run("fd:9").pass_descriptor(&token, 9).report();
    assert_eq!(report.descriptors(), [0, 1, 2]);
    let report = run("-").stdin(service_token()).report();
    assert_eq!(report.variable("KEY"), Some(b"of the shop".to_vec()));
    assert_eq!(report.argv()[0], inspector().as_bytes());
}

/// A pipe or a socket that stays open and silent is an error after `--max-wait`.
#[test]
fn silent_token_descriptor_is_an_error() {
    let shop = shop_with_key();
    let (pipe, _writer) = std::io::pipe().unwrap();
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    for descriptor in [OwnedFd::from(pipe), OwnedFd::from(socket)] {
        for (form, number) in [("-", 0), ("fd:0", 0), ("fd:3", 3), ("/dev/fd/3", 3)] {
            let run = shop.run_with(&["--max-wait", "0.2", "--token-file", form]);
            let run = run.unset("PHASE_SERVICE_TOKEN").arg("true");
            let run = run.pass_descriptor(&descriptor, number);
            let output = run.output().assert_error(125, "token");
            let why = "nobody has written its content within 0.2 s";
            assert!(output.stderr.contains(why), "{form}: {output}");
        }
    }
}

/// A pipe as a file is read to its end. One that nobody writes to is an error after `--max-wait`, or
/// after `--timeout` where that is 0.
#[test]
fn pipe_without_writer_is_an_error() {
    let shop = shop_with_key();
    let path = shop.directory().join("pipe");
    nix::unistd::mkfifo(
        &path,
        nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR,
    )
    .unwrap();
    let pipe = path.to_str().unwrap();
    for (option, kind) in [
        ("--token-file", "token"),
        ("--header-file", "config"),
        ("--ca-file", "config"),
    ] {
        for limit in [["--max-wait", "0.2"], ["--timeout", "0.3"]] {
            let run = shop.run_with(&[&[option, pipe], &limit[..]].concat());
            let output = run.arg("true").output().assert_error(125, kind);
            let why = format!("nobody has written its content within {} s", limit[1]);
            assert!(output.stderr.contains(pipe), "{output}");
            assert!(output.stderr.contains(&why), "{output}");
        }
    }
    let run = shop.run_with(&["--token-file", pipe, "--max-wait", "60"]);
    let running = run.args(["printenv", "KEY"]).spawn();
    std::fs::write(&path, service_token()).unwrap();
    assert_eq!(running.wait().assert_ok().text(), "of the shop\n");
}
