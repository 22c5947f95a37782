//! Variables and options: precedence, empty variables, and invalid values.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fake_phase::{Account, Phase, World, bearer, service_token};

use crate::support::{Run, SHOP, Sandbox, Shop, assert_refused_before_connecting, shop_with_key};

/// Checks that a run fails with a `config` error before any request.
pub(crate) fn assert_config_error(shop: &Shop, run: Run<'_>, message: &str) {
    let _ = assert_refused_before_connecting(&shop.phase, run, "config", message);
}

#[test]
fn option_takes_precedence_over_variable() {
    let shop = shop_with_key();
    let host = shop.phase.host();
    let ca = shop.directory().with_file_name("ca.pem");
    for (name, wrong, option, right) in [
        ("PHASE_APP", "nowhere", "--app", "shop"),
        ("PHASE_ENV", "nothing", "--env", "production"),
        ("PHASE_PATH", "/nowhere", "--path", "/"),
        ("PHASE_HOST", "http://stranger.test", "--host", &host),
        (
            "PHASE_CA_FILE",
            "nowhere.pem",
            "--ca-file",
            ca.to_str().unwrap(),
        ),
        ("PHASE_TIMEOUT", "never", "--timeout", "9.5"),
        ("PHASE_MODE", "bad", "--mode", "rest"),
        ("PHASE_LOG_FORMAT", "xml", "--log-format", "text"),
    ] {
        let run = |words: &[&str]| {
            let words = words.iter().chain(&["printenv", "KEY"]);
            let run = shop.run(words).env("PHASE_APP", "shop");
            run.env("PHASE_ENV", "production").env(name, wrong)
        };
        let alone = run(&[]).output();
        assert_ne!(alone.stderr, "", "{name} makes no difference\n{alone}");
        assert_eq!(
            run(&[option, right]).output().assert_ok().text(),
            "of the shop\n"
        );
        let empty = run(&[option, right]).env(name, "").output();
        assert_eq!(empty.assert_ok().text(), "of the shop\n");
    }
}

#[test]
fn empty_variable_counts_as_unset() {
    let shop = shop_with_key();
    let run = || shop.run(["printenv", "KEY"]).env("PHASE_APP", "Shop");
    let run = || run().env("PHASE_ENV", "Production");
    assert_eq!(run().output().assert_ok().text(), "of the shop\n");
    for name in [
        "PHASE_PATH",
        "PHASE_TIMEOUT",
        "PHASE_MODE",
        "PHASE_LOG_FORMAT",
        "PHASE_SERVICE_TOKEN_FILE",
        "PHASE_VERIFY_SSL",
        "SSL_CERT_FILE",
    ] {
        assert_eq!(
            run().env(name, "").output().assert_ok().text(),
            "of the shop\n",
            "{name}"
        );
    }
    for (name, message) in [
        ("PHASE_APP", "error[config]: no app is specified"),
        (
            "PHASE_ENV",
            "error[config]: no environment of Shop is specified",
        ),
        ("PHASE_SERVICE_TOKEN", "error[token]: no token is specified"),
    ] {
        let output = run().env(name, "").output();
        assert!(
            output
                .stderr
                .to_lowercase()
                .contains(&message.to_lowercase()),
            "{output}"
        );
    }
    let run = run()
        .env("PHASE_CA_FILE", "")
        .env("SSL_CERT_FILE", shop.phase.ca_file());
    assert_eq!(run.output().assert_ok().text(), "of the shop\n");
}

#[test]
fn invalid_variable_is_a_config_error() {
    let shop = shop_with_key();
    let run = || shop.run_with(&[]).arg("true");
    for (name, value, expected) in [
        ("PHASE_TIMEOUT", "x", "expected a number of seconds above 0"),
        ("PHASE_TIMEOUT", "0", "expected a number of seconds above 0"),
        (
            "PHASE_TIMEOUT",
            "-1",
            "expected a number of seconds above 0",
        ),
        (
            "PHASE_TIMEOUT",
            "10s",
            "expected a number of seconds above 0",
        ),
        ("PHASE_LOG_FORMAT", "JSON", "expected text or json"),
        ("PHASE_MODE", "server", "expected auto, rest or e2ee"),
        (
            "PHASE_PATH",
            "/a::/b",
            "expected folders separated by colons",
        ),
        ("PHASE_PATH", ":", "expected folders separated by colons"),
    ] {
        // Quoted where it could be read as part of the sentence.
        let quoted = if value == ":" { "\":\"" } else { value };
        assert_config_error(
            &shop,
            run().env(name, value),
            &format!("{name}={quoted}: {expected}"),
        );
    }
    for name in [
        "PHASE_APP",
        "PHASE_ENV",
        "PHASE_HOST",
        "PHASE_PATH",
        "PHASE_TIMEOUT",
    ] {
        let run = shop
            .run(["true"])
            .env("PHASE_APP", "shop")
            .env("PHASE_ENV", "production");
        let run = run.env(name, OsStr::from_bytes(b"\xff"));
        assert_config_error(&shop, run, &format!("{name}=\u{fffd}: expected UTF-8"));
    }
}

/// PHASE_PATH holds folders separated by colons; later ones take precedence.
#[test]
fn path_variable_works_like_the_option() {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    for folder in ["/", "/a", "/a/b", "/c"] {
        production.secret(folder, "WHERE", folder);
    }
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for (variable, options, folder) in [
        ("/a", vec![], "/a"),
        ("/a:/c", vec![], "/c"),
        ("/c:/a", vec![], "/a"),
        ("c:a//b/:/", vec![], "/"),
        ("/a/**:/a", vec![], "/a"),
        ("/a:/c", vec!["--path", "/a/b"], "/a/b"),
        ("/a", vec!["--path", "", "--path", "/c"], "/c"),
    ] {
        let run = sandbox.run(SHOP).args(&options).args(["printenv", "WHERE"]);
        let output = run.env("PHASE_PATH", variable).output().assert_ok();
        assert_eq!(
            output.text(),
            format!("{folder}\n"),
            "{variable} {options:?}"
        );
    }
    let run = sandbox
        .run(SHOP)
        .arg("true")
        .env("PHASE_PATH", "/a:/nowhere");
    let output = run.output().assert_error(125, "not-found");
    assert!(
        output
            .stderr
            .contains("PHASE_PATH /nowhere matches nothing"),
        "{output}"
    );
}

/// There is no default environment.
#[test]
fn missing_app_or_environment_lists_readable() {
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    let apps = "no app is specified; this token can read platform, shop, shop-e2ee\n";
    let environments = "no environment of shop is specified, and there is no default; \
                        this token can read Development, Production\n";
    let run = |words: &[&str], token: &str| {
        let output = sandbox
            .run(words)
            .arg("true")
            .env("PHASE_SERVICE_TOKEN", token)
            .output();
        output.assert_error(125, "config").stderr
    };
    for token in [service_token(), bearer()] {
        let stderr = run(&[], token);
        assert!(
            stderr.starts_with(&format!("phase-run: error[config]: {apps}hint: ")),
            "{stderr}"
        );
        let stderr = run(&["--app", "shop"], token);
        let start = format!("phase-run: error[config]: {environments}hint: ");
        assert!(stderr.starts_with(&start), "{stderr}");
    }
    // If the list cannot be fetched, the error is still that the app or environment is missing.
    phase.edit(|world| _ = world.forbid_listing());
    let id = fake_phase::app_id("shop");
    for words in [vec![], vec!["--app", id]] {
        let stderr = run(&words, bearer());
        assert!(!stderr.contains("can read"), "{stderr}");
    }
    phase.edit(|world| _ = world.revoke(Account::ServiceAccount));
    let stderr = run(&[], service_token());
    assert!(stderr.contains("no app is specified\n"), "{stderr}");
}
