//! The program, started as scripts start it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::client::Client;

#[test]
fn program_serves_until_its_input_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, token) = (
        directory.path().join("ca.pem"),
        directory.path().join("token"),
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_fake-phase"))
        .args(["--secrets", "3", "--ca-out"])
        .arg(&ca)
        .arg("--token-out")
        .arg(&token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines: Vec<String> = lines
        .map(Result::unwrap)
        .take_while(|line| line != "ready")
        .collect();
    let value = |name: &str| {
        let mut values = lines
            .iter()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.next().unwrap()
    };
    assert_eq!(value("PHASE_CA_FILE"), ca.to_str().unwrap());
    assert_eq!(value("PHASE_SERVICE_TOKEN"), fake_phase::service_token());
    assert_eq!(
        (value("APP"), value("APP_ID")),
        ("shop", fake_phase::app_id("shop"))
    );
    assert_eq!(
        std::fs::read_to_string(&token).unwrap(),
        fake_phase::service_token()
    );
    assert_eq!(
        std::fs::metadata(&token).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let port = value("PHASE_HOST")
        .strip_prefix("https://localhost:")
        .unwrap()
        .parse()
        .unwrap();
    let target = format!("/v1/secrets/?app_id={}&env=production", value("APP_ID"));
    let bearer = format!("Bearer ServiceAccount {}", fake_phase::bearer());
    let reply = Client::trusting(port, &ca).request("GET", &target, &[("Authorization", &bearer)]);
    let rows = reply.unwrap().json();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!(rows.pointer("/0/key").unwrap(), "KEY_00001");

    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// A value can be changed, the token rotated, and the server taken away and back.
#[test]
fn program_performs_commands() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    let mut child = Command::new(env!("CARGO_BIN_EXE_fake-phase"))
        .args(["--plain", "--token-out"])
        .arg(&token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = lines.by_ref().map(Result::unwrap);
    assert!(started.take_while(|line| line != "ready").count() > 0);
    let mut input = child.stdin.take().unwrap();
    let mut ask = |command: &str| {
        writeln!(input, "{command}").unwrap();
        let answer = lines.by_ref().map(Result::unwrap);
        let mut text = Vec::new();
        for line in answer {
            text.push(line);
            // The last line says whether the command succeeded.
            if [".", "!"].contains(&text[text.len() - 1].as_str()) {
                break;
            }
        }
        text.join("\n")
    };
    assert_eq!(ask("set\tPORT\t1 2"), "changed PORT in /backend\n.");
    assert_eq!(ask("set\tNEW\tx\tProduction"), "added NEW to /\n.");
    assert_eq!(ask("unset\tNEW\tProduction"), "removed NEW from /\n.");
    assert!(ask("list").contains("shop: Development, Production"));
    assert!(ask("rotate").starts_with("a new token is in "));
    let content = std::fs::read_to_string(&token).unwrap();
    assert_eq!(content, fake_phase::user_token());
    assert_eq!(ask("down"), "the server closes every connection\n.");
    assert_eq!(ask("up"), "the server responds\n.");
    assert_eq!(ask("what\tnow"), "unknown command: what now\n!");
    assert_eq!(
        ask("set\tPORT"),
        "usage: demo set KEY VALUE [ENVIRONMENT [FOLDER]]\n!"
    );
    assert_eq!(ask("unset\tNEW"), "there is no NEW\n!");
    assert!(ask("set\tA\tx\tStaging").ends_with("\n!"));
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn unknown_option_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_fake-phase"))
        .arg("--nope")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("--nope"));
}
