//! Files and variables that were written on Windows: with a byte order mark, in UTF-16, with quotation
//! marks or carriage returns.

use std::fs::read;

use fake_phase::service_token;

use crate::support::{Shop, assert_refused_before_connecting, shop_with_key};

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

/// Env files of Docker keep both. An option takes precedence, so its variable is not checked.
#[test]
fn remains_of_an_env_file_are_named() {
    for (text, named) in [
        ("\"production\"", "is in quotation marks\n"),
        ("'production'", "is in quotation marks\n"),
        ("production\r", "ends with a carriage return\n"),
        ("\"production\"\r", "ends with a carriage return\n"),
    ] {
        let shop = shop_with_key();
        for name in [
            "PHASE_APP",
            "PHASE_ENV",
            "PHASE_HOST",
            "PHASE_PATH",
            "PHASE_CA_FILE",
            "PHASE_TIMEOUT",
            "PHASE_SERVICE_TOKEN_FILE",
        ] {
            let run = shop.run(["true"]).env(name, text);
            let message = format!("the value of {name} {named}");
            let _ = assert_refused_before_connecting(&shop.phase, run, "config", &message);
        }
        let run = shop.run_with(&[]).args(["printenv", "KEY"]);
        let run = run.env("PHASE_ENV", text);
        assert_eq!(run.output().assert_ok().text(), "of the shop\n");
    }
}
