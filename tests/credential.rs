//! Where the token may be, and what is said when it is not there or is none.

use std::fs::File;
use std::os::unix::fs::{chown, symlink};

use fake_phase::{bearer, expired_bearer, service_token, user_bearer, user_token};
use nix::unistd::Uid;

use crate::support::{
    Run, SHOP, Shop, has_root, inspector, refused_before_connecting, set_mode, shop_with_key,
};

/// A file that only its owner may read, as a token's should be.
fn private(shop: &Shop, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = shop.file(name, content);
    set_mode(&path, 0o600);
    path.to_str().unwrap().to_owned()
}

/// The reader of a secret with its token from here and nowhere else.
fn from<'a>(shop: &'a Shop, source: &str) -> Run<'a> {
    let run = shop
        .with(&["--token-file", source])
        .args(["printenv", "KEY"]);
    run.unset("PHASE_SERVICE_TOKEN")
}

/// What the server was shown.
fn shown(shop: &Shop) -> String {
    let requests = shop.phase.requests();
    let header = requests.last().unwrap().header("Authorization");
    header.unwrap().to_owned()
}

/// What is said of a failure before anything was asked.
fn token_refused(shop: &Shop, run: Run<'_>, message: &str) -> String {
    refused_before_connecting(&shop.phase, run, "token", message).stderr
}

/// `PHASE_SERVICE_TOKEN` is "the token, when no file is named"; the option comes before its
/// variable, and what is set but empty is not set.
#[test]
fn a_named_file_goes_before_the_token_itself() {
    let shop = shop_with_key();
    let user = private(&shop, "user", user_token());
    let bare = private(&shop, "bare", user_bearer());
    let run = || shop.with(&[]).args(["printenv", "KEY"]);
    let bearer_of = |run: Run<'_>| {
        assert_eq!(run.output().ok().text(), "of the shop\n");
        shown(&shop)
    };
    let service = format!("Bearer ServiceAccount {}", bearer());
    assert_eq!(bearer_of(run()), service);
    assert_eq!(
        bearer_of(run().env("PHASE_SERVICE_TOKEN_FILE", "")),
        service
    );
    let both = run().env("PHASE_SERVICE_TOKEN_FILE", &user);
    assert_eq!(bearer_of(both), format!("Bearer User {}", user_bearer()));
    let option = shop
        .with(&["--token-file", &user])
        .args(["printenv", "KEY"]);
    let option = option.env("PHASE_SERVICE_TOKEN_FILE", &bare);
    assert_eq!(bearer_of(option), format!("Bearer User {}", user_bearer()));
}

/// "White space around it is dropped": an editor's last line break, a copied space.
#[test]
fn white_space_around_a_token_is_dropped() {
    let shop = shop_with_key();
    for before in ["", "\n \t"] {
        for after in ["\n", "\r\n", "  \n\n", ""] {
            let file = private(
                &shop,
                "token",
                format!("{before}{}{after}", service_token()),
            );
            assert_eq!(from(&shop, &file).output().ok().text(), "of the shop\n");
        }
    }
    let run = from(&shop, "").unset("PHASE_SERVICE_TOKEN");
    let _ = run.output().failed(125, "usage");
    let run = shop.with(&[]).args(["printenv", "KEY"]);
    let run = run.env("PHASE_SERVICE_TOKEN", format!(" {}\n", bearer()));
    assert_eq!(run.output().ok().text(), "of the shop\n");
}

/// "or the JSON that `phase auth --no-store` prints": several lines of it, too.
#[test]
fn the_json_of_phase_auth_is_a_token() {
    let shop = shop_with_key();
    let token = service_token();
    for json in [
        format!("{{\"authentication\": {{\"token\": \"{token}\", \"TTL\": 60}}}}"),
        format!("{{\n  \"id\": \"x\",\n  \"token\": \"{token}\"\n}}\n"),
    ] {
        let file = private(&shop, "token", json);
        assert_eq!(from(&shop, &file).output().ok().text(), "of the shop\n");
        assert_eq!(shown(&shop), format!("Bearer ServiceAccount {}", bearer()));
    }
}

/// "`-` is the first line of standard input", and "standard input after the token's line is the
/// command's".
#[test]
fn what_follows_the_tokens_line_is_the_commands_input() {
    let shop = shop_with_key();
    let run = || {
        shop.with(&["--token-file", "-"])
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
        let output = run().stdin(input).output().ok();
        assert!(
            output.text() == rest,
            "after {end:?} not {} bytes\n{output}",
            rest.len()
        );
    }
    let from = "what standard input holds is no token";
    let empty = run().stdin(format!("\n{}\n", service_token()));
    token_refused(&shop, empty, &format!("{from}: it is empty"));
    token_refused(&shop, run().stdin_closed(), &format!("{from}: it is empty"));
    let endless = run().stdin("x".repeat(70_000));
    token_refused(
        &shop,
        endless,
        &format!("{from}: it is longer than 65536 bytes"),
    );
}

/// "`fd:N` an open descriptor", and "a descriptor is closed before the exec".
#[test]
fn a_tokens_descriptor_is_closed_before_the_command() {
    let shop = shop_with_key();
    let file = File::open(private(&shop, "token", service_token())).unwrap();
    let other = File::open(shop.file("other", "")).unwrap();
    let run = shop.reporting(&["--token-file", "fd:7"]);
    let run = run.unset("PHASE_SERVICE_TOKEN").hand_over(&file, 7);
    let report = run.hand_over(&other, 5).report();
    assert_eq!(report.descriptors(), [0, 1, 2, 5]);
    assert_eq!(report.variable("KEY"), Some(b"of the shop".to_vec()));

    // Standard input as a whole: then the command has none.
    let run = shop
        .reporting(&["--token-file", "fd:0"])
        .unset("PHASE_SERVICE_TOKEN");
    let file = File::open(private(&shop, "token", service_token())).unwrap();
    let report = run.hand_over(&file, 0).report();
    assert_eq!(report.descriptors(), [1, 2]);
}

/// "`token`: none, malformed, its file missing or unreadable"
#[test]
fn a_descriptor_that_is_not_open_is_no_source() {
    let shop = shop_with_key();
    for number in ["9", "0"] {
        let run = from(&shop, &format!("fd:{number}")).stdin_closed();
        let message = format!("cannot read the token from descriptor {number}: bad file");
        token_refused(&shop, run, &message);
    }
    for number in ["", "x", "-1", "1x", "99999999999999"] {
        let message = format!("cannot read the token from fd:{number}: fd: requires the number");
        token_refused(&shop, from(&shop, &format!("fd:{number}")), &message);
    }
    let directory = File::open(shop.directory()).unwrap();
    let run = from(&shop, "fd:3").hand_over(&directory, 3);
    token_refused(
        &shop,
        run,
        "cannot read the token from descriptor 3: is a directory",
    );
    let run = from(&shop, "fd:3").hand_over(File::open("/dev/null").unwrap(), 3);
    token_refused(
        &shop,
        run,
        "what descriptor 3 holds is no token: it is empty",
    );
}

/// "`token`: none, malformed, its file missing or unreadable"
#[test]
fn a_token_file_that_cannot_be_read_is_named_with_the_reason() {
    let shop = shop_with_key();
    let missing = from(&shop, "nowhere/token");
    let output = token_refused(
        &shop,
        missing,
        "cannot read the token from nowhere/token: no such file",
    );
    assert!(!output.contains("hint: "), "{output}");
    let directory = from(&shop, ".");
    token_refused(
        &shop,
        directory,
        "cannot read the token from .: is a directory",
    );
    let file = shop.file("token", service_token());
    set_mode(&file, 0o000);
    let mut run = from(&shop, "token");
    if Uid::effective().is_root() {
        run = run.as_user(65534);
    }
    token_refused(
        &shop,
        run,
        "cannot read the token from token: permission denied",
    );
    let none = shop.with(&[]).arg("true").unset("PHASE_SERVICE_TOKEN");
    let output = token_refused(
        &shop,
        none,
        "no token is given\nhint: set PHASE_SERVICE_TOKEN, ",
    );
    assert!(output.contains("--token-file"), "{output}");
}

/// "inside it is an error"; and what is no token is told without a letter of it.
#[test]
fn what_is_no_token_is_told_without_showing_it() {
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
        let message = format!("what {file} holds is no token: {why}");
        token_refused(&shop, from(&shop, &file), &message);
    }
    let run = shop
        .with(&[])
        .arg("true")
        .env("PHASE_SERVICE_TOKEN", "mistyped");
    token_refused(
        &shop,
        run,
        "what PHASE_SERVICE_TOKEN holds is no token: it is neither",
    );
}

/// A token of the right shape that the server refuses: where it came from is named.
#[test]
fn a_token_that_phase_refuses_is_named_by_its_source() {
    let shop = shop_with_key();
    let file = private(&shop, "token", expired_bearer());
    for (run, source) in [
        (from(&shop, &file), file.as_str()),
        (from(&shop, "-").stdin(expired_bearer()), "standard input"),
        (
            from(&shop, "fd:4").hand_over(File::open(&file).unwrap(), 4),
            "descriptor 4",
        ),
    ] {
        let output = run.output().failed(125, "token");
        let host = shop.phase.host().replace("https://", "");
        let message = format!("phase-run: error[token]: {host} refused the token from {source}: ");
        assert!(output.stderr.starts_with(&message), "{output}");
    }
}

/// "A token file that its group or others may read gets a warning when the user could mend it: it
/// is phase-run's own user's"
#[test]
fn a_token_file_that_others_may_read_gets_a_warning_from_its_owner() {
    let shop = shop_with_key();
    let path = private(&shop, "token", service_token());
    for bits in [0o400, 0o600, 0o700, 0o711, 0o622] {
        set_mode(&path, bits);
        let _ = from(&shop, &path).output().ok();
    }
    for bits in [0o440, 0o604, 0o640, 0o644, 0o666] {
        set_mode(&path, bits);
        let run = || from(&shop, &path);
        let warning =
            format!("warning: others may read the file {path} (mode {bits:04o}): chmod 600 it");
        let _ = run().output().notices(&[&warning]).ok();
        let quiet = shop.run(["-q"]).args(SHOP).args(["--token-file", &path]);
        let _ = quiet.arg("true").output().ok();
        // What names it does not matter.
        let link = shop.directory().join(format!("link-{bits:o}"));
        symlink(&path, &link).unwrap();
        let linked = from(&shop, link.to_str().unwrap()).output();
        let _ = linked.notices(&["warning: others may read the file "]).ok();
        let _ = from(&shop, "fd:3")
            .hand_over(File::open(&path).unwrap(), 3)
            .output()
            .ok();
    }
}

/// "and not on a read-only mount (as orchestrators' secret mounts are)"
#[test]
fn a_token_file_that_the_user_cannot_mend_gets_no_warning() {
    let shop = shop_with_key();
    let path = private(&shop, "token", service_token());
    set_mode(&path, 0o644);
    let script =
        "mount --bind \"$PWD\" \"$PWD\" && mount -o remount,bind,ro \"$PWD\" && exec \"$@\"";
    let run = from(&shop, &path).prepared(&["--mount"], script);
    let _ = run.output().ok();
    // Writable again, so that the mount was what made the difference.
    let _ = from(&shop, &path)
        .output()
        .notices(&["warning: others may"])
        .ok();
    if has_root("only root can give a file away") {
        chown(&path, Some(65534), None).unwrap();
        let _ = from(&shop, &path).output().ok();
        let own = from(&shop, &path).as_user(65534).output();
        let _ = own.notices(&["warning: others may read the file "]).ok();
    }
}

/// `PHASE_SERVICE_TOKEN_FILE` takes what `--token-file` takes.
#[test]
fn the_variable_takes_each_form_of_the_option() {
    let shop = shop_with_key();
    let token = File::open(private(&shop, "token", service_token())).unwrap();
    let run = |form: &str| {
        let run = shop.reporting(&[]).unset("PHASE_SERVICE_TOKEN");
        run.env("PHASE_SERVICE_TOKEN_FILE", form)
    };
    let report = run("fd:9").hand_over(&token, 9).report();
    assert_eq!(report.descriptors(), [0, 1, 2]);
    let report = run("-").stdin(service_token()).report();
    assert_eq!(report.variable("KEY"), Some(b"of the shop".to_vec()));
    assert_eq!(report.argv()[0], inspector().as_bytes());
}
