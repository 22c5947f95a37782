//! Files and variables that were written on Windows: with a byte order mark, in UTF-16, with quotation
//! marks or carriage returns.

use std::fs::read;

use fake_phase::{Phase, World, bearer, service_token};

use crate::support::{Sandbox, Shop, assert_refused_before_connecting, shop_with_key};

/// A text as Windows writes it.
type Encode = fn(&str) -> Vec<u8>;

fn utf_8_with_mark(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").into_bytes()
}

fn utf_16_little_endian(text: &str) -> Vec<u8> {
    let marked = format!("\u{feff}{text}");
    marked.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn utf_16_big_endian(text: &str) -> Vec<u8> {
    let marked = format!("\u{feff}{text}");
    marked.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// Writes a file that only its owner may read, and returns its path.
fn private_file(shop: &Shop, name: &str, content: Vec<u8>) -> String {
    let path = shop.private_file(name, content);
    path.to_str().unwrap().to_owned()
}

/// The CA of the fake server in PEM format.
fn ca_certificate(shop: &Shop) -> String {
    String::from_utf8(read(shop.phase.ca_file()).unwrap()).unwrap()
}

#[test]
fn byte_order_mark_is_dropped_from_every_file() {
    let shop = shop_with_key();
    let token = private_file(&shop, "token", utf_8_with_mark(service_token()));
    let headers = private_file(&shop, "headers", utf_8_with_mark("X-Gateway: word\n"));
    let ca_file = private_file(&shop, "ca", utf_8_with_mark(&ca_certificate(&shop)));
    let project = r#"{"phaseApp": "shop", "defaultEnv": "Production"}"#;
    let _ = private_file(&shop, ".phase.json", utf_8_with_mark(project));
    let files = ["--header-file", &headers, "--ca-file", &ca_file];
    let run = shop.run(files).unset("PHASE_SERVICE_TOKEN");
    let run = run.args(["--token-file", &token, "printenv", "KEY"]);
    assert_eq!(run.output().assert_ok().text(), "of the shop\n");
    let requests = shop.phase.requests();
    let header = requests.last().unwrap().header("x-gateway");
    assert_eq!(header, Some("word"));
}

#[test]
fn byte_order_mark_is_dropped_from_every_variable() {
    let shop = shop_with_key();
    let mark = |text: &str| format!("\u{feff}{text}");
    let run = shop.run(["printenv", "KEY"]);
    let run = run.env("PHASE_SERVICE_TOKEN", mark(service_token()));
    let run = run.env("PHASE_HOST", mark(&shop.phase.host()));
    let ca_file = shop.phase.ca_file().to_str().unwrap();
    let run = run.env("PHASE_CA_FILE", mark(ca_file));
    let run = run.env("PHASE_APP", mark("shop"));
    let run = run.env("PHASE_ENV", mark("Production"));
    assert_eq!(run.output().assert_ok().text(), "of the shop\n");
}

#[test]
fn utf_16_is_named_in_every_file() {
    let encodings: [Encode; 2] = [utf_16_little_endian, utf_16_big_endian];
    for encode in encodings {
        let shop = shop_with_key();
        let named = "it is encoded in UTF-16; UTF-8 is required";
        for (option, content, kind) in [
            ("--token-file", service_token().to_owned(), "token"),
            ("--header-file", "X-Gateway: word\n".to_owned(), "config"),
            ("--ca-file", ca_certificate(&shop), "config"),
        ] {
            let path = private_file(&shop, "file", encode(&content));
            let run = shop.run_with(&[option, &path]).arg("true");
            let output = assert_refused_before_connecting(&shop.phase, run, kind, "cannot ");
            assert!(output.stderr.contains(named), "{output}");
        }
        let _ = private_file(&shop, ".phase.json", encode("{}"));
        let run = shop.run(["--app", "shop", "true"]);
        let output = assert_refused_before_connecting(&shop.phase, run, "config", "cannot ");
        assert!(output.stderr.contains(named), "{output}");
    }
}

/// Env files of Docker keep quotation marks and carriage returns, and a Kubernetes Secret may end in a line
/// break. Each is named as the cause if the value cannot be used.
#[test]
fn remains_of_an_env_file_are_named() {
    let quotation_marks = |name: &str| {
        format!(
            "hint: remove the quotation marks where {name} is set: an env file of Docker keeps them\n"
        )
    };
    let carriage_return = |name: &str| {
        format!(
            "hint: change the file that sets {name} to Unix line endings: the value ends with a \
             carriage return\n"
        )
    };
    let line_break = |name: &str| format!("hint: remove the line break at the end of {name}\n");
    let shop = shop_with_key();
    let host = shop.phase.host();
    for (name, value, kind) in [
        ("PHASE_APP", "shop", "not-found"),
        ("PHASE_ENV", "production", "not-found"),
        ("PHASE_HOST", host.as_str(), "config"),
        ("PHASE_PATH", "/", "not-found"),
        ("PHASE_MODE", "rest", "config"),
        ("PHASE_CA_FILE", "/ca.pem", "config"),
        ("PHASE_HEADER_FILE", "/headers", "config"),
        ("PHASE_TIMEOUT", "10", "config"),
        ("PHASE_SUPERVISE", "1", "config"),
        ("PHASE_SERVICE_TOKEN_FILE", "/token", "token"),
        ("PHASE_SERVICE_TOKEN_FILE", "fd:9", "token"),
        ("PHASE_IDENTITY", "aws", "config"),
        ("PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH", "1", "config"),
    ] {
        for (text, hint) in [
            (format!("\"{value}\""), quotation_marks(name)),
            (format!("'{value}'"), quotation_marks(name)),
            (format!("{value}\r"), carriage_return(name)),
            (format!("\"{value}\"\r\n"), carriage_return(name)),
            (format!("{value}\n"), line_break(name)),
        ] {
            let mut run = shop.run(["true"]).env("PHASE_ENV", "production");
            // The depth is only read if there is no app.
            if name != "PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH" {
                run = run.env("PHASE_APP", "shop");
            }
            if name == "PHASE_SERVICE_TOKEN_FILE" {
                run = run.unset("PHASE_SERVICE_TOKEN");
            }
            let run = run.env(name, &text);
            let output = run.output().assert_error(125, kind);
            assert!(output.stderr.contains(&hint), "{name}={text:?}: {output}");
        }
    }
}

/// One mark is at the start of the first folder, and the other at the end of the last.
#[test]
fn quotation_marks_around_several_folders_are_named() {
    let shop = shop_with_key();
    for list in ["\"/:/\"", "'/'", "/:/'"] {
        let run = shop.run_with(&[]).arg("true").env("PHASE_PATH", list);
        let output = run.output().assert_error(125, "not-found");
        let hint = "hint: remove the quotation marks where PHASE_PATH is set: ";
        assert!(output.stderr.contains(hint), "{output}");
    }
}

/// A value that can be used is used as it is. An option takes precedence over its variable.
#[test]
fn quotation_marks_may_belong_to_a_name() {
    let mut world = World::empty();
    let production = world.app("\"shop\"").environment("'Production'", "custom");
    production.secret("/\"web\"", "KEY", "quoted");
    production.secret("/web", "KEY", "plain");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for (variable, expected) in [("/\"web\"", "quoted\n"), ("/web", "plain\n")] {
        let run = sandbox.run(["printenv", "KEY"]);
        let run = run.env("PHASE_APP", "\"shop\"");
        let run = run.env("PHASE_ENV", "'Production'");
        let run = run.env("PHASE_PATH", variable);
        assert_eq!(run.output().assert_ok().text(), expected);
    }
    let shop = shop_with_key();
    for name in ["PHASE_APP", "PHASE_ENV", "PHASE_PATH"] {
        let run = shop.run_with(&["--path", "/"]).args(["printenv", "KEY"]);
        let run = run.env(name, "\"of an env file\"\r");
        assert_eq!(run.output().assert_ok().text(), "of the shop\n");
    }
}

/// Without permission to list apps, the lookup of a name fails before the name is compared.
#[test]
fn quotation_marks_are_named_when_a_lookup_is_denied() {
    let mut world = World::empty();
    world.app("shop").environment("Production", "prod");
    world.forbid_listing();
    let id = world.app("shop").id().to_owned();
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for (name, app, environment) in [
        ("PHASE_APP", format!("\"{id}\""), "Production"),
        ("PHASE_ENV", id, "\"Production\""),
    ] {
        let run = sandbox.run(["true"]).env("PHASE_SERVICE_TOKEN", bearer());
        let run = run.env("PHASE_APP", app).env("PHASE_ENV", environment);
        let output = run.output().assert_error(125, "access");
        let hint = format!("hint: remove the quotation marks where {name} is set: ");
        assert!(output.stderr.contains(&hint), "{output}");
    }
}

/// The token of an env file, in quotation marks, where the path of its file belongs.
#[test]
fn quoted_token_instead_of_a_file_is_not_shown() {
    let shop = shop_with_key();
    let quoted = format!("\"{}\"", service_token());
    let run = shop.run_with(&[]).arg("true");
    let run = run.unset("PHASE_SERVICE_TOKEN");
    let run = run.env("PHASE_SERVICE_TOKEN_FILE", quoted);
    let output = run.output().assert_error(125, "token");
    let message = "PHASE_SERVICE_TOKEN_FILE takes the path of a file";
    assert!(output.stderr.contains(message), "{output}");
    assert!(!output.stderr.contains("pss_"), "{output}");
}

#[test]
fn quotation_marks_around_a_snapshot_path_are_named() {
    let shop = shop_with_key();
    let run = shop.run_with(&[]).arg("true");
    let run = run.env("PHASE_SNAPSHOT", "\"/var/lib/snapshot\"");
    let warning = "warning: cannot write the snapshot \"/var/lib/snapshot\": no such file or directory; \
                   remove the quotation marks where PHASE_SNAPSHOT is set: ";
    let _ = run.output().assert_log_lines(&[warning]).assert_ok();
    let run = shop.run_with(&["--offline"]).arg("true");
    let run = run.env("PHASE_SNAPSHOT", "\"/var/lib/snapshot\"");
    let output = run.output().assert_error(125, "snapshot");
    let hint = "hint: remove the quotation marks where PHASE_SNAPSHOT is set: ";
    assert!(output.stderr.contains(hint), "{output}");
}
