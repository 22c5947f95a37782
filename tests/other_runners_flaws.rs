//! Flaws of other runners that no other test file covers: the rows of SECURITY.md that name this file.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs::read_to_string;

use fake_phase::{Phase, World, app_id};

use crate::support::{SHOP, Sandbox, Status, require_programs};

/// A name with a line break must not become another header (RFC 9112 §5), and one with `&` or `#` must
/// not become another parameter (RFC 3986 §3.4).
#[test]
fn name_cannot_inject_into_request() {
    let odd = "/a\r\nX-Evil: 1\r\n&env=Development#%0d%0a+?";
    for options in [
        ["--env", "Production", "--path", odd],
        ["--env", odd, "--path", "/"],
        ["--env", "Production", "--tags", odd],
    ] {
        let phase = Phase::start();
        let sandbox = Sandbox::new(&phase);
        let run = sandbox.run(["--app", app_id("shop")]).args(options);
        let output = run.arg("true").output();
        assert_eq!(output.status, Status::Exited(125), "{output}");
        let requests = phase.requests();
        assert!(!requests.is_empty(), "{options:?}");
        let mut arrived = BTreeSet::new();
        for request in requests {
            assert_eq!(request.headers.len(), 5, "{request:?}");
            let plain = |c: char| c.is_ascii_graphic() && c != '#';
            assert!(request.target.chars().all(plain), "{request:?}");
            for name in ["env", "path", "tags"] {
                arrived.extend(request.query(name));
            }
        }
        // A folder is sent as one value, and a list of tags as it is written.
        assert!(arrived.contains(odd), "{options:?}: {arrived:?}");
    }
}

/// An error about a secret must not quote its value.
#[test]
fn errors_never_contain_secret_value() {
    let value = "the value itself";
    let of = |key: &str, value: &str| {
        let mut world = World::empty();
        let production = world.app("shop").environment("Production", "prod");
        production.secret("/", key, value);
        world
    };
    let mut twice = of("KEY", value);
    let production = twice.app("shop").environment("Production", "prod");
    production.secret("/b", "KEY", "of another");
    let large = format!("{value}{}", "x".repeat(200_000));
    for (world, kind) in [
        (of("KEY", &format!("{value}\0")), "environment"),
        (of("KEY", &large), "environment"),
        (of("LD_PRELOAD", value), "environment"),
        (of("A=B", value), "environment"),
        (of("KEY", &format!("{value} ${{NOPE}}")), "environment"),
        (twice, "ambiguous"),
    ] {
        let phase = Phase::serve(world);
        let mut sandbox = Sandbox::new(&phase);
        // The harness searches the output for the value.
        sandbox.canary(value);
        for form in ["text", "json"] {
            let run = sandbox
                .run(SHOP)
                .args(["--strict", "-vv", "--log-format", form]);
            let output = run.arg("true").output();
            assert_eq!(output.status, Status::Exited(125), "{output}");
            assert!(output.stderr.contains(kind), "{output}");
        }
    }
}

/// phase-run neither looks for updates nor sends telemetry, even if it fails. strace shows each address
/// that it connects to.
#[test]
fn only_phase_is_contacted() {
    if !require_programs(&["strace"]) {
        return;
    }
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    for app in ["shop", "none"] {
        let strace = [
            "strace",
            "-f",
            "-qqq",
            "-e",
            "trace=connect",
            "-o",
            "../trace",
        ];
        let run = sandbox.run(["--app", app, "--env", "Production", "--path", "/"]);
        let output = run.wrap(strace).arg("true").output();
        let expected = if app == "shop" { 0 } else { 125 };
        assert_eq!(output.status, Status::Exited(expected), "{output}");
        let trace = read_to_string(sandbox.directory().with_file_name("trace")).unwrap();
        let internet: Vec<&str> = trace
            .lines()
            .filter(|line| line.contains("AF_INET"))
            .collect();
        assert!(!internet.is_empty(), "{trace}");
        let ours = format!("htons({})", phase.port());
        for line in internet {
            assert!(line.contains(&ours), "{line}");
        }
    }
}
