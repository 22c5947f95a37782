//! Dynamic secrets, in both modes: leased with `--dynamic`, and never without it.

use fake_phase::{Phase, Request, Responder, World};
use serde_json::{Value, json};

use crate::support::{Output, Run, SHOP, Sandbox, Status};

const MODES: [&str; 2] = ["rest", "e2ee"];

fn leasing_world() -> World {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "KEY", "static");
    let writer = [("AWS_ID", "AKIAEXAMPLE"), ("AWS_KEY", "wJalr ${KEY}")];
    production.dynamic("/", "s3-writer", &writer, 3600);
    production.dynamic("/db", "orders", &[("DB_USER", "u1")], 900);
    world
}

/// Runs phase-run in this mode with these arguments.
fn run_in_mode<'a>(sandbox: &'a Sandbox, mode: &str, args: &[&str]) -> Run<'a> {
    sandbox.run(SHOP).args(["--mode", mode]).args(args)
}

/// The parameters for dynamic secrets, from the query or from the headers of a request.
fn dynamic_parameters(request: &Request) -> [Option<String>; 3] {
    ["dynamic", "lease", "lease_ttl"].map(|name| {
        let header = request.header(name).map(str::to_owned);
        request.query(name).or(header)
    })
}

/// The parameters for dynamic secrets of each request for secrets.
fn requested_parameters(phase: &Phase) -> Vec<[Option<String>; 3]> {
    let requests = phase.requests();
    let is_for_secrets = |request: &&Request| request.path().ends_with("/secrets/");
    requests
        .iter()
        .filter(is_for_secrets)
        .map(dynamic_parameters)
        .collect()
}

fn texts(values: [Option<&str>; 3]) -> [Option<String>; 3] {
    values.map(|value| value.map(str::to_owned))
}

/// In exec mode one message tells when the first lease expires.
#[test]
fn lease_is_injected_and_its_expiry_logged() {
    for mode in MODES {
        let mut world = leasing_world();
        // The lease that expires first is the second of three.
        let production = world.app("shop").environment("Production", "prod");
        production.dynamic("/", "third", &[("THIRD", "3")], 1800);
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        let line = "echo $KEY $AWS_ID \"$AWS_KEY\" $DB_USER";
        let output = run_in_mode(&sandbox, mode, &["--dynamic", "-c", line]).output();
        let output = output.assert_status(Status::Exited(0));
        assert_eq!(output.text(), "static AKIAEXAMPLE wJalr ${KEY} u1\n");
        let lines: Vec<&str> = output.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{output}");
        assert!(lines[0].contains("could not resolve references in "));
        assert_eq!(
            lines[1],
            "phase-run: leased secrets expire at 2026-11-24T00:15:00.000000Z (in 15 min 0 s); \
             restart the command before then"
        );
        assert_eq!(
            requested_parameters(&phase),
            [texts([Some("true"), Some("true"), None])]
        );
    }
}

/// The lease of a row of one variable.
fn lease_until(expires_at: &str) -> Value {
    json!({
        "id": "d1",
        "name": "orders",
        "type": "dynamic",
        "path": "/",
        "keyMap": [{"keyName": "DB_KEY"}],
        "lease": {
            "credentials": [{"key": "DB_KEY", "value": "v"}],
            "createdAt": "2026-11-24T00:00:00Z",
            "expiresAt": expires_at,
        },
    })
}

/// Runs a command with a lease that ends then.
fn run_with_lease_until(mode: &str, expires_at: &str) -> Output {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.dynamic_row(lease_until(expires_at));
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    run_in_mode(&sandbox, mode, &["--dynamic", "printenv", "DB_KEY"]).output()
}

/// RFC 3339 allows lower case, a space and any offset.
#[test]
fn lease_end_is_read_as_rfc3339() {
    for (expires_at, remaining) in [
        ("2026-11-24t01:00:00z", "1 h 0 min"),
        ("2026-11-24 01:00:00Z", "1 h 0 min"),
        ("2026-11-24T03:00:00.5+02:00", "1 h 0 min"),
        ("9999-12-31T23:59:59-23:59", "2912116 d 23 h"),
        ("1969-12-31T23:59:59Z", "0 s"),
    ] {
        for mode in MODES {
            let line = format!("leased secrets expire at {expires_at} (in {remaining}); ");
            let output = run_with_lease_until(mode, expires_at).assert_log_lines(&[&line]);
            assert_eq!(output.assert_ok().text(), "v\n");
        }
    }
}

/// The command starts, and a warning quotes no more than the start of the text.
#[test]
fn unreadable_lease_end_is_a_warning() {
    let long = "z".repeat(1000);
    let shortened = ["z".repeat(64), "…".to_owned()].concat();
    for (expires_at, shown) in [
        ("2026-11-24T01:00:00+0200", "2026-11-24T01:00:00+0200"),
        (
            "2026-11-24T01:00:00+2562047788015216:00",
            "2026-11-24T01:00:00+2562047788015216:00",
        ),
        ("", ""),
        ("soon\x1b[2J", "soon\\u{1b}[2J"),
        (&long, &shortened),
    ] {
        for mode in MODES {
            let line = format!(
                "warning: the end of the lease of orders is unknown: expiresAt is \
                 \"{shown}\", expected a time such as 2026-11-24T14:53:35Z\n"
            );
            let output = run_with_lease_until(mode, expires_at).assert_log_lines(&[&line]);
            assert_eq!(output.assert_ok().text(), "v\n");
        }
    }
}

/// A leased password may look like a reference.
#[test]
fn leased_values_are_not_resolved() {
    let mut world = leasing_world();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "REFERS", "${KEY}");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let line = "echo $REFERS \"$AWS_KEY\"";
    let output = run_in_mode(&sandbox, "e2ee", &["-q", "--dynamic", "-c", line]).output();
    assert_eq!(output.assert_ok().text(), "static wJalr ${KEY}\n");
}

#[test]
fn lease_ttl_is_sent() {
    for mode in MODES {
        let phase = Phase::serve(leasing_world());
        let sandbox = Sandbox::new(&phase);
        let args = ["--dynamic", "--lease-ttl", "120", "-q", "true"];
        let _ = run_in_mode(&sandbox, mode, &args).output().assert_ok();
        let expected = texts([Some("true"), Some("true"), Some("120")]);
        assert_eq!(requested_parameters(&phase), [expected]);
    }
    let sandbox = Sandbox::offline();
    for ttl in [
        "0",
        "-1",
        "1.5",
        "+1",
        "soon",
        "1e3",
        "99999999999999999999",
    ] {
        let args = ["--dynamic", "--lease-ttl", ttl, "true"];
        let output = run_in_mode(&sandbox, "auto", &args)
            .output()
            .assert_error(125, "usage");
        let message = format!(
            "--lease-ttl {ttl}: expected a whole number of seconds above 0, without a unit, such as 3600\n"
        );
        assert!(output.stderr.ends_with(&message), "{output}");
    }
}

/// `--dry-run` requests only the names of the variables.
#[test]
fn nothing_is_leased_without_dynamic() {
    for mode in MODES {
        let phase = Phase::serve(leasing_world());
        let sandbox = Sandbox::new(&phase);
        let output = run_in_mode(&sandbox, mode, &["-c", "env | grep -c AWS_ID"]).output();
        assert_eq!(output.assert_status(Status::Exited(1)).text(), "0\n");
        assert_eq!(requested_parameters(&phase), [texts([None, None, None])]);

        let phase = Phase::serve(leasing_world());
        let sandbox = Sandbox::new(&phase);
        let output = run_in_mode(&sandbox, mode, &["--dynamic", "--dry-run"]).output();
        let listed = "AWS_ID\t/\tdynamic\tvariable\nAWS_KEY\t/\tdynamic\tvariable\n\
                      DB_USER\t/db\tdynamic\tvariable\nKEY\t/\tsecret\tvariable\n";
        assert_eq!(output.assert_ok().text(), listed);
        assert_eq!(
            requested_parameters(&phase),
            [texts([Some("true"), None, None])]
        );
    }
}

/// Filters, prefixes and checks apply to leased values, too.
#[test]
fn leased_values_are_selected_like_others() {
    for mode in MODES {
        let phase = Phase::serve(leasing_world());
        let sandbox = Sandbox::new(&phase);
        let args = ["--dynamic", "-q", "--path", "/db", "--prefix", "X_"];
        let line = "env | grep -c -e AWS -e KEY; echo $X_DB_USER";
        let output = run_in_mode(&sandbox, mode, &args)
            .args(["-c", line])
            .output();
        assert_eq!(output.assert_ok().text(), "0\nu1\n");
        phase.edit(|world| {
            let production = world.app("shop").environment("Production", "prod");
            production.dynamic("/other", "second", &[("DB_USER", "u2")], 60);
        });
        let output = run_in_mode(&sandbox, mode, &["--dynamic", "true"]).output();
        let output = output.assert_error(125, "ambiguous");
        assert!(
            output
                .stderr
                .contains("DB_USER has different values in /db and /other")
        );
    }
}

/// The server does not name the secrets that it could not lease.
#[test]
fn failed_lease_names_the_dynamic_secrets() {
    for mode in MODES {
        let mut world = leasing_world();
        world.fail_leases("the role may not be assumed");
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        let output = run_in_mode(&sandbox, mode, &["--dynamic", "echo", "started"]).output();
        let output = output.assert_error(125, "server");
        let message = "cannot lease orders, s3-writer in Production of shop: \
                       the role may not be assumed (400)\n";
        assert!(output.stderr.contains(message), "{output}");
        // The second request lists the names without leasing.
        let (both, names) = (
            [Some("true"), Some("true"), None],
            [Some("true"), None, None],
        );
        assert_eq!(requested_parameters(&phase), [texts(both), texts(names)]);
    }
}

/// The REST interface and the end-to-end interface write the members differently.
#[test]
fn failed_lease_is_told_with_its_own_reason() {
    for (mode, endpoint, failed, name) in [
        ("rest", "/v1/secrets/", "failedLeases", "secretName"),
        ("e2ee", "/service/secrets/", "failed_leases", "secret_name"),
    ] {
        let phase = Phase::serve(leasing_world());
        let body = json!({
            "error": "One or more dynamic secret leases could not be created",
            failed: [{name: "orders", "error": "the database is full"}],
        });
        // The request for the list of apps has the same start as the one for encrypted secrets.
        let skipped = usize::from(mode == "e2ee");
        let responder = Responder::json(400, &body.to_string());
        phase.respond(endpoint, responder.after(skipped));
        let sandbox = Sandbox::new(&phase);
        let output = run_in_mode(&sandbox, mode, &["--dynamic", "true"]).output();
        let output = output.assert_error(125, "server");
        let message = "cannot lease orders in Production of shop: the database is full (400)\n";
        assert!(output.stderr.contains(message), "{output}");
        assert_eq!(requested_parameters(&phase).len(), 1, "{output}");
    }
}

#[test]
fn missing_lease_names_the_dynamic_secret() {
    for (lease, status) in [
        (Value::Null, 125),
        (json!({"credentials": []}), 125),
        (json!({"credentials": null}), 125),
        (json!({}), 125),
        (json!({"credentials": [], "expiresAt": null}), 125),
        (json!({"credentials": [{"key": "DB_KEY", "value": "v"}]}), 0),
    ] {
        for mode in MODES {
            let mut world = World::empty();
            let production = world.app("shop").environment("Production", "prod");
            production.dynamic_row(json!({
                "id": "d1",
                "name": "orders",
                "type": "dynamic",
                "path": "/",
                "keyMap": [{"keyName": "DB_KEY"}],
                "lease": lease,
            }));
            let phase = Phase::serve(world);
            let sandbox = Sandbox::new(&phase);
            let output = run_in_mode(&sandbox, mode, &["--dynamic", "printenv", "DB_KEY"]).output();
            match status {
                0 => assert_eq!(output.assert_ok().text(), "v\n"),
                _ => {
                    let output = output.assert_error(status, "server");
                    let message = "cannot lease orders in Production of shop: \
                                   the response contains no lease for it\n";
                    assert!(output.stderr.contains(message), "{output}");
                }
            }
        }
    }
}

/// Runs `true` with a lease of `DB_USER` and `DB_KEY` that `change` has changed.
fn run_with_changed_lease(mode: &str, change: impl Fn(&mut Value)) -> Output {
    let mut row = json!({
        "id": "d1",
        "name": "orders",
        "type": "dynamic",
        "path": "/",
        "keyMap": [{"keyName": "DB_USER"}, {"keyName": "DB_KEY"}],
        "lease": {
            "secret": "d1",
            "status": "active",
            "credentials": [{"key": "DB_KEY", "value": "v"}, {"key": "DB_USER", "value": "u"}],
            "revokedAt": null,
        },
    });
    change(&mut row["lease"]);
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.dynamic_row(row);
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    run_in_mode(&sandbox, mode, &["--dynamic", "-q", "true"]).output()
}

/// Otherwise the command would start without a variable that `--dry-run` lists, or with a value that no
/// longer works.
#[test]
fn unusable_lease_is_an_error() {
    let expired_at = "2026-11-24T00:00:00Z";
    for mode in MODES {
        for (member, value, message) in [
            (
                "credentials",
                json!([{"key": "DB_KEY", "value": "v"}]),
                "its lease has no value for DB_USER",
            ),
            (
                "credentials",
                json!([{"key": "OTHER", "value": "v"}, {"key": "DB_USER", "value": "u"}]),
                "its lease has no value for DB_KEY",
            ),
            (
                "secret",
                json!("d2"),
                "its lease is for another dynamic secret",
            ),
            ("status", json!("revoked"), "its lease has been revoked"),
            ("status", json!("expired"), "its lease has expired"),
            ("revokedAt", json!(expired_at), "its lease has been revoked"),
        ] {
            let output = run_with_changed_lease(mode, |lease| lease[member] = value.clone());
            let output = output.assert_error(125, "server");
            let message = format!("cannot lease orders in Production of shop: {message}\n");
            assert!(output.stderr.contains(&message), "{mode}: {output}");
        }
        for status in ["created", "active", "renewed", "of a later version"] {
            let output = run_with_changed_lease(mode, |lease| lease["status"] = json!(status));
            let _ = output.assert_ok();
        }
    }
}

/// The row is neither skipped nor injected without a value.
#[test]
fn unrequested_dynamic_secret_is_an_error() {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.row(json!({"id": "d1", "name": "orders", "type": "dynamic", "path": "/"}));
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for mode in MODES {
        let output = run_in_mode(&sandbox, mode, &["true"]).output();
        let output = output.assert_error(125, "server");
        assert!(
            output.stderr.contains("cannot lease orders in "),
            "{output}"
        );
    }
}

#[test]
fn undecryptable_lease_is_named() {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    let key = production.encrypt("DB_KEY");
    production.encrypted_dynamic_row(json!({
        "id": "d1",
        "name": "orders",
        "type": "dynamic",
        "path": "/",
        "key_map": [{"key_name": key}],
        "lease": {"credentials": [{"key": key, "value": "ph:v9:"}]},
    }));
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let output = run_in_mode(&sandbox, "e2ee", &["--dynamic", "true"]).output();
    let output = output.assert_error(125, "decrypt");
    let what = "cannot decrypt the lease of orders in Production of shop: ";
    assert!(output.stderr.contains(what), "{output}");
    // What is not selected need not be decrypted.
    let options = ["--dynamic", "--except", "*", "true"];
    let _ = run_in_mode(&sandbox, "e2ee", &options).output().assert_ok();
}

/// The responses of the real server, in both modes.
#[test]
fn captured_leases_are_injected() {
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    for app in ["shop", "shop-e2ee"] {
        let args = [
            "--env",
            "Production",
            "--dynamic",
            "--path",
            "/",
            "-q",
            "-c",
        ];
        let run = sandbox.run(["--app", app]).args(args);
        let output = run
            .arg("echo $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY")
            .output();
        assert_eq!(output.assert_ok().text(), "AKIAEXAMPLE wJalrEXAMPLE\n");
    }
}
