//! The command gets exactly the values that Phase returns.

#![cfg(target_os = "linux")]

use fake_phase::{Phase, World, app_id, service_token, user_token};
use serde_json::{Value, json};

use crate::support::{SHOP, Sandbox, Status, inspector, shop, shop_id, shop_world};

/// Other tools have passed on only the first line of a key, or turned `\n` into a line break.
#[test]
fn values_arrive_byte_for_byte() {
    let long = "0123456789".repeat(13_100);
    let rows = [
        (
            "PEM",
            "-----BEGIN KEY-----\nabc\ndef==\n-----END KEY-----\n",
        ),
        ("CRLF", "one\r\ntwo\r\n"),
        ("JSON", r#"{"key":"-----BEGIN\nabc\n","path":"C:\\temp"}"#),
        ("JSON_ESCAPES", r#"{"a":"x\ny","b":"\\"}"#),
        ("TWO_CHARACTERS", r"a\nb\tc\u0041\\"),
        ("QUOTES", r#"'"`"#),
        ("ESCAPED_QUOTES", "'\"' \\' \\"),
        ("DOLLARS", "$HOME $(id) $$ `id` %PATH% !1 * ~ ; & | #"),
        ("OPEN_BRACE", "$HOME ${HOME $(id) `id` $$"),
        ("WHITE_SPACE", "  \t a = b\r\n "),
        ("SPACES", "  a \t b  "),
        ("LINE_BREAKS", "\n\n"),
        ("EMPTY", ""),
        (
            "UNICODE",
            "grüß dich 👋\u{301}\u{202e}\u{feff}\u{1f468}\u{200d}\u{1f469}",
        ),
        ("CONTROL", "\u{1b}[31mred\u{7}\u{7f}\u{1}"),
        ("MARKS", "grüß 👋 \u{7f}\u{1}\u{feff}e\u{301}"),
        ("EQUALS", "=a=b="),
        ("LONG", &long),
    ];
    let phase = Phase::serve(shop_world(rows));
    let sandbox = Sandbox::new(&phase);
    let run = sandbox.production(&shop_id()).args([inspector(), "report"]);
    let report = run.report();
    for (key, value) in rows {
        let arrived = report.variable(key).unwrap();
        assert!(
            arrived == value.as_bytes(),
            "{key}: {} bytes",
            arrived.len()
        );
    }
}

#[test]
fn active_override_applies_only_to_its_user() {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production
        .secret("/", "ACTIVE", "shared")
        .overridden("personal", true);
    production
        .secret("/", "INACTIVE", "shared")
        .overridden("personal", false);
    production
        .secret("/", "EMPTY", "shared")
        .overridden("", true);
    production.secret("/", "NONE", "shared");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for (token, expected) in [
        (user_token(), ["personal", "shared", "", "shared"]),
        (service_token(), ["shared"; 4]),
    ] {
        let run = sandbox
            .production(&shop_id())
            .env("PHASE_SERVICE_TOKEN", token);
        let report = run.args([inspector(), "report"]).report();
        for (key, value) in ["ACTIVE", "INACTIVE", "EMPTY", "NONE"].iter().zip(expected) {
            assert_eq!(report.variable(key).unwrap(), value.as_bytes(), "{key}");
        }
    }
}

/// The overrides that the real server returned to a user.
#[test]
fn captured_overrides_apply() {
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    for (token, theme) in [(service_token(), "light"), (user_token(), "dark")] {
        let run = sandbox
            .production(app_id("shop"))
            .args(["--only", "THEME", "printenv", "THEME"]);
        let output = run
            .env("PHASE_SERVICE_TOKEN", token)
            .allow_secrets_on_stdout()
            .output()
            .assert_ok();
        assert_eq!(output.text(), format!("{theme}\n"));
    }
}

/// Phase sends a secret once for each tag that it matches.
#[test]
fn secret_with_two_matching_tags_arrives_once() {
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    let args = ["--tags", "billing,logging", "--dry-run"];
    let run = sandbox.production(app_id("shop")).args(args);
    let output = run.output().assert_ok();
    let rows = [
        "LOG_FORMAT\t/\tconfig\tvariable",
        "PAYMENT_KEY\t/\tsecret\tvariable",
    ];
    assert_eq!(output.text().lines().collect::<Vec<_>>(), rows);
    let requests = phase.requests();
    assert_eq!(
        requests[0].query("tags").as_deref(),
        Some("billing,logging")
    );
}

/// Covers unknown members of a row and of its objects, missing optional ones, and another order.
#[test]
fn unknown_json_members_are_ignored() {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    let mut row = json!({
        "zone": {"value": "not this", "key": ["not", "this"]}, "VALUE": "not this",
        "type": "a kind to come", "value": "this", "key": "KEY", "path": "/", "id": "1",
        "tags": [], "override": {"value": "nor this", "isActive": false, "by": null},
    });
    production.row(row.clone());
    let fields = row.as_object_mut().unwrap();
    fields.remove("override");
    fields.remove("tags");
    fields.insert("id".into(), Value::from("2"));
    fields.insert("key".into(), Value::from("WITHOUT"));
    production.row(row);
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let report = sandbox
        .production(&shop_id())
        .args([inspector(), "report"])
        .report();
    for key in ["KEY", "WITHOUT"] {
        assert_eq!(report.variable(key).unwrap(), b"this");
    }
}

#[test]
fn ten_thousand_secrets_arrive() {
    let mut world = World::empty();
    let shop = world.app("shop");
    for number in 0..10_000 {
        let production = shop.environment("Production", "prod");
        production.secret("/", &format!("S{number}"), &format!("v{number}"));
    }
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let run = sandbox
        .production(&shop_id())
        .args(["-c", "env | grep -c '^S[0-9]*=v'; echo $S0 $S9999"]);
    let output = run
        .allow_secrets_on_stdout()
        .output()
        .assert_status(Status::Exited(0));
    assert_eq!(output.text(), "10000\nv0 v9999\n");
    assert_eq!(phase.requests().len(), 1);
}

/// Each row has the ID of its environment. That of the requested one is known if the app was looked up.
#[test]
fn rows_of_another_environment_are_an_error() {
    let named: &[&str] = &["--app", "shop"];
    let id = shop_id();
    let by_id: &[&str] = &["--app", &id];
    for (app, environments, is_error) in [
        (named, ["own", "own"], false),
        (by_id, ["own", "own"], false),
        (named, ["own", "other"], true),
        (by_id, ["own", "other"], true),
        (named, ["other", "other"], true),
        // Nothing says which one is meant.
        (by_id, ["other", "other"], false),
    ] {
        let shop = shop([("", ""); 0]);
        shop.phase.edit(|world| {
            let production = world.app("shop").environment("Production", "prod");
            production.clear();
            for (number, environment) in environments.into_iter().enumerate() {
                let row = production.secret("/", &format!("KEY_{number}"), "value");
                if environment == "other" {
                    row.set("environment", json!("d2250abf-86ea-45cb-b285-7b14691440e4"));
                }
            }
        });
        let run = shop
            .run(app)
            .args(["--env", "Production", "--", "printenv", "KEY_1"]);
        let output = run.output();
        match is_error {
            true => drop(output.assert_refused("protocol")),
            false => assert_eq!(output.assert_ok().text(), "value\n"),
        }
    }
}

/// The server sends a secret once for each of its tags. Rows with one ID that differ are not Phase's
/// answer, and none of them is chosen in silence.
#[test]
fn contradicting_rows_with_one_id_are_an_error() {
    let row = |key: &str, value: &str| {
        json!({"id": "1", "key": key, "value": value, "path": "/", "tags": ["a", "b"],
            "type": "secret"})
    };
    for (second, is_error) in [
        (row("KEY", "one"), false),
        (row("KEY", "two"), true),
        (row("OTHER", "one"), true),
    ] {
        let shop = shop([("", ""); 0]);
        shop.phase.edit(|world| {
            let production = world.app("shop").environment("Production", "prod");
            production.clear();
            production.row(row("KEY", "one"));
            production.row(second);
        });
        let output = shop.run(SHOP).args(["--", "printenv", "KEY"]).output();
        match is_error {
            true => drop(output.assert_refused("protocol")),
            false => assert_eq!(output.assert_ok().text(), "one\n"),
        }
    }
}
