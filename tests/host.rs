//! The address of Phase, the CA file, and that verification cannot be disabled.

use fake_phase::{Certificate, Options, Phase, World};
use nix::unistd::Uid;

use crate::config::assert_config_error;
use crate::support::{SHOP, Sandbox, shop_with_key};

/// An address may have a host, a port and a path, which is kept. Other parts are refused.
#[test]
fn host_accepts_only_scheme_host_port_path() {
    let options = Options {
        path_prefix: "/phase".to_owned(),
        ..Options::default()
    };
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "KEY", "value");
    let phase = Phase::with(world, options);
    let sandbox = Sandbox::new(&phase);
    let port = phase.port();
    let run = |host: &str| {
        sandbox
            .run(SHOP)
            .args(["--host", host, "printenv", "KEY"])
            .output()
    };
    for host in [
        format!("https://localhost:{port}/phase"),
        format!("https://localhost:{port}/phase/"),
        format!("HTTPS://LOCALHOST:{port}/phase//"),
        format!("https://127.0.0.1:{port}/phase"),
    ] {
        assert_eq!(run(&host).assert_ok().text(), "value\n", "{host}");
    }
    let connections = phase.connections();
    for (host, why, hint) in [
        (
            "phase.acme.test",
            "it is not a URL",
            Some("https://phase.acme.test"),
        ),
        (
            "localhost:8000/phase",
            "it has no host",
            Some("https://localhost:8000/phase"),
        ),
        (
            "ftp://localhost",
            "its scheme is neither https nor http",
            Some("https://localhost"),
        ),
        ("https://", "it is not a URL", None),
        ("https://local host", "it is not a URL", None),
        (
            "https://b\u{fc}cher.example",
            "its host name is not ASCII: write it in its xn-- form",
            None,
        ),
        ("https://localhost:99999", "it is not a URL", None),
        ("https://localhost?x=1", "it has a query", None),
        (
            "https://localhost#x",
            "it has a user name, a password or a fragment",
            None,
        ),
        (
            "http://0.0.0.0",
            "plain HTTP to another machine would send credentials unencrypted",
            Some("https://0.0.0.0"),
        ),
    ] {
        for output in [
            run(host),
            sandbox
                .run(SHOP)
                .arg("true")
                .env("PHASE_HOST", host)
                .output(),
        ] {
            let output = output.assert_error(125, "config");
            // The message leaves out the parts that may hold a token.
            let shown = host.split(['?', '#']).next().unwrap();
            let message = format!("cannot use {shown} (from ");
            assert!(output.stderr.contains(&message), "{output}");
            let reason = format!(") as Phase's address: {why}");
            assert!(output.stderr.contains(&reason), "{output}");
            let offered = output.stderr.lines().nth(1);
            let hint = hint.map(|url| format!("hint: use {url}"));
            assert_eq!(offered, hint.as_deref(), "{output}");
        }
    }
    assert_eq!(phase.connections(), connections);
}

/// No message shows a password that somebody has written into an address.
#[test]
fn password_in_host_is_never_shown() {
    let mut shop = shop_with_key();
    shop.canary("hunter2hunter2");
    for host in [
        "https://admin:hunter2hunter2@localhost",
        "https://hunter2hunter2@localhost/phase",
        "http://admin:hunter2hunter2@localhost",
        "http://admin:hunter2hunter2@acme.test",
        "admin:hunter2hunter2@localhost",
        "https://admin:hunter2@hunter2hunter2@localhost",
        "https://admin:hunter2hunter2@local host",
        "ftp://admin:hunter2hunter2@localhost",
    ] {
        for format in ["text", "json"] {
            let words = ["-vv", "--log-format", format, "--host", host, "true"];
            let output = shop.run(SHOP).args(words).output();
            assert!(output.stderr.contains("localhost") || output.stderr.contains("host"));
            let run = shop.run_with(&["--log-format", format]).arg("true");
            let _ = run.env("PHASE_HOST", host).output();
        }
        assert_config_error(
            &shop,
            shop.run_with(&["--host", host]).arg("true"),
            "cannot use ",
        );
    }
}

/// An unusable CA file is a `config` error that names the file and the setting.
#[test]
fn unusable_ca_file_is_named_with_source() {
    let shop = shop_with_key();
    let good = std::fs::read_to_string(shop.phase.ca_file()).unwrap();
    let body = good.lines().nth(1).unwrap();
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let none = "it contains no CA certificate";
    let damaged = "it contains a malformed certificate";
    for (content, why) in [
        (String::new(), none),
        ("nothing\n".to_owned(), none),
        (key.to_owned(), none),
        (good.replace("CERTIFICATE", "SOMETHING"), none),
        (good.replacen(body, "!!!!", 1), damaged),
        (good.replacen("-----END", "", 1), damaged),
        (good.replacen(body, "", 1), none),
        (
            good.clone() + &"\n".repeat((16 << 20) - good.len() + 1),
            "it is longer than 16777216 bytes",
        ),
    ] {
        shop.file("roots.pem", content);
        let run = shop.run_with(&["--ca-file", "roots.pem"]).arg("true");
        assert_config_error(
            &shop,
            run,
            &format!("cannot use the CA file roots.pem (from --ca-file): {why}"),
        );
    }
    for name in ["PHASE_CA_FILE", "SSL_CERT_FILE"] {
        let run = |path: &str| {
            let run = shop
                .run_with(&[])
                .args(["printenv", "KEY"])
                .unset("PHASE_CA_FILE");
            run.env(name, path)
        };
        let good = shop.phase.ca_file().to_str().unwrap();
        assert_eq!(run(good).output().assert_ok().text(), "of the shop\n");
        let message =
            format!("cannot use the CA file nowhere.pem (from {name}): no such file or directory");
        assert_config_error(&shop, run("nowhere.pem"), &message);
        assert_config_error(
            &shop,
            run("."),
            &format!("cannot use the CA file . (from {name}): is a directory"),
        );
    }
    // PHASE_CA_FILE overrides SSL_CERT_FILE.
    let run = shop
        .run_with(&[])
        .args(["printenv", "KEY"])
        .env("SSL_CERT_FILE", "nowhere.pem");
    assert_eq!(run.output().assert_ok().text(), "of the shop\n");
    let path = shop.file("roots.pem", good);
    let _ = shop.bare(["chmod", "000"]).arg(path).output().assert_ok();
    let mut run = shop.run_with(&["--ca-file", "roots.pem"]).arg("true");
    if Uid::effective().is_root() {
        run = run.as_user(65534);
    }
    assert_config_error(
        &shop,
        run,
        "cannot use the CA file roots.pem (from --ca-file): permission denied",
    );
}

/// `PHASE_VERIFY_SSL=false` has no effect but one warning, which names `--ca-file`.
#[test]
fn tls_verification_cannot_be_disabled() {
    let phase = Phase::with(
        World::captured(),
        Options {
            certificate: Certificate::UnknownCa,
            ..Options::default()
        },
    );
    let stranger = Sandbox::new(&phase);
    let shop = shop_with_key();
    let warning = "warning: ignoring PHASE_VERIFY_SSL: certificates are always verified; \
                   pass --ca-file to trust a CA of your own";
    for value in ["false", "False", "FALSE", "0", "no", "off"] {
        let run = shop
            .run_with(&[])
            .arg("true")
            .env("PHASE_VERIFY_SSL", value);
        let _ = run.output().assert_log_lines(&[warning]).assert_ok();
        let run = stranger
            .run(SHOP)
            .arg("true")
            .env("PHASE_VERIFY_SSL", value);
        let _ = run
            .output()
            .assert_log_lines(&[warning])
            .assert_error(125, "tls");
    }
    for value in ["true", "1", "", "yes"] {
        let run = shop
            .run_with(&[])
            .arg("true")
            .env("PHASE_VERIFY_SSL", value);
        let _ = run.output().assert_ok();
    }
    let quiet = shop
        .run_with(&["-q"])
        .arg("true")
        .env("PHASE_VERIFY_SSL", "false");
    let _ = quiet.output().assert_ok();
}
