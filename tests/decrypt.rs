//! "A key, seed or value that does not open" is an error that names it; never a skipped secret.

use fake_phase::{Environment, Phase, World, bearer, service_token};
use serde_json::{Value, json};

use crate::e2ee::e2ee_world;
use crate::support::{Output, SHOP, Sandbox};

const VALUE: &str = "canary of the value";

fn row(production: &Environment, key: &str, value: &str) -> Value {
    json!({
        "id": "9a1f0e2c-row",
        "key": key,
        "value": value,
        "comment": "",
        "tags": [],
        "override": null,
        "type": "secret",
        "path": "/",
        "environment": production.id(),
    })
}

/// Without its first letters.
fn cut(text: &str, letters: usize) -> &str {
    text.split_at(letters).1
}

/// What is said of Production, as `spoil` leaves it.
fn output_of_spoiled_world(spoil: impl FnOnce(&mut World)) -> Output {
    let mut world = e2ee_world(&[("/", "GOOD", VALUE)]);
    spoil(&mut world);
    let phase = Phase::serve(world);
    let mut sandbox = Sandbox::new(&phase);
    sandbox.canary(VALUE);
    sandbox.run(SHOP).args(["echo", "started"]).output()
}

/// Each way in which a box can be wrong, and why it is refused.
fn broken(whole: &str) -> Vec<(String, &'static str)> {
    let fields: Vec<&str> = whole.split(':').collect();
    let [_, _, ephemeral, sealed] = fields.as_slice() else {
        panic!("{whole}")
    };
    let other = e2ee_world(&[])
        .app("other")
        .environment("Else", "dev")
        .sealed("x");
    vec![
        (whole.replace("ph:v1", "ph:v9"), "version is not supported"),
        (whole.replace("ph:", ""), "does not start with ph:"),
        ("in clear".to_owned(), "does not start with ph:"),
        (format!("ph:v1:{ephemeral}"), "is truncated"),
        (
            format!("ph:v1:{}:{sealed}", cut(ephemeral, 1)),
            "64 hex digits",
        ),
        (
            format!("ph:v1:{}:{sealed}", cut(ephemeral, 2)),
            "64 hex digits",
        ),
        (
            format!("ph:v1:{}:{sealed}", ephemeral.to_uppercase()),
            "64 hex digits",
        ),
        (
            format!("ph:v1:x{}:{sealed}", cut(ephemeral, 1)),
            "64 hex digits",
        ),
        (
            format!("ph:v1:{ephemeral}:{}", cut(sealed, 1)),
            "not base64",
        ),
        (format!("ph:v1:{ephemeral}:{sealed}:"), "not base64"),
        (format!("ph:v1:{ephemeral}:"), "too short"),
        (format!("ph:v1:{ephemeral}:AAAA"), "too short"),
        (
            format!("ph:v1:{ephemeral}:{}", cut(sealed, 4)),
            "another key, or changed",
        ),
        (
            format!("ph:v1:{}:{sealed}", "0".repeat(64)),
            "ephemeral public key is invalid",
        ),
        (other, "another key, or changed"),
    ]
}

#[test]
fn a_value_that_does_not_open_is_named_by_its_key() {
    let whole = e2ee_world(&[])
        .app("shop")
        .environment("Production", "prod")
        .sealed(VALUE);
    for (value, why) in broken(&whole) {
        let output = output_of_spoiled_world(|world| {
            let production = world.app("shop").environment("Production", "prod");
            let row = row(production, &production.sealed("BAD_ONE"), &value);
            production.boxed_row(row);
        });
        let output = output.failed(125, "decrypt");
        let what = "cannot decrypt the value of BAD_ONE in Production of shop: ";
        assert!(output.stderr.contains(what), "{output}");
        assert!(output.stderr.contains(why), "{value}: {output}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_key_that_does_not_open_is_named_by_the_secrets_id() {
    let whole = e2ee_world(&[])
        .app("shop")
        .environment("Production", "prod")
        .sealed("BAD_ONE");
    for (key, why) in broken(&whole) {
        let output = output_of_spoiled_world(|world| {
            let production = world.app("shop").environment("Production", "prod");
            let row = row(production, &key, &production.sealed(VALUE));
            production.boxed_row(row);
        });
        let output = output.failed(125, "decrypt");
        let what = "the key of the secret 9a1f0e2c-row in Production of shop: ";
        assert!(output.stderr.contains(what), "{output}");
        assert!(output.stderr.contains(why), "{key}: {output}");
    }
}

#[test]
fn an_active_override_that_does_not_open_is_an_error_too() {
    for (active, status) in [(true, 125), (false, 0)] {
        let output = output_of_spoiled_world(|world| {
            let production = world.app("shop").environment("Production", "prod");
            let mut row = row(
                production,
                &production.sealed("BAD_ONE"),
                &production.sealed(VALUE),
            );
            row["override"] = json!({"value": "ph:v1:", "is_active": active});
            production.boxed_row(row);
        });
        match status {
            0 => assert_eq!(output.ok().text(), "started\n"),
            _ => drop(output.failed(status, "decrypt")),
        }
    }
}

#[test]
fn a_seed_that_does_not_open_is_an_error() {
    let mut other = e2ee_world(&[]);
    let other = other.app("shop").environment("Staging", "staging");
    let (public, sealed) = (other.public_key(), other.sealed(&"0".repeat(64)));
    for (member, value, why) in [
        (
            "wrapped_seed",
            "ph:v9:x".to_owned(),
            "version is not supported",
        ),
        ("wrapped_seed", String::new(), "does not start with ph:"),
        ("wrapped_seed", sealed, "another key, or changed"),
        (
            "identity_key",
            public,
            "does not match the environment's public key",
        ),
        ("identity_key", "00".repeat(31), "64 hex digits"),
        ("identity_key", "0".repeat(63), "64 hex digits"),
        ("identity_key", String::new(), "64 hex digits"),
    ] {
        let output = output_of_spoiled_world(|world| {
            let production = world.app("shop").environment("Production", "prod");
            production.spoil_key(member, value.clone());
        });
        let output = output.failed(125, "decrypt");
        let what = "cannot decrypt the seed of Production of shop: ";
        assert!(output.stderr.contains(what), "{output}");
        assert!(output.stderr.contains(why), "{member} {value}: {output}");
    }
}

#[test]
fn a_key_share_that_does_not_open_is_an_error() {
    for (share, why) in [
        (String::new(), "too short"),
        ("0".repeat(63), "not in lower-case hex digits"),
        ("0".repeat(200), "another key, or changed"),
        ("AB".repeat(100), "not in lower-case hex digits"),
    ] {
        let output = output_of_spoiled_world(|world| {
            world.spoil_key_share(&share);
        });
        let output = output.failed(125, "decrypt");
        let what = "the server's key share for the token from PHASE_SERVICE_TOKEN: it";
        assert!(output.stderr.contains(what), "{output}");
        assert!(output.stderr.contains(why), "{share}: {output}");
    }
}

/// "a token whose shares do not match its public key"
#[test]
fn a_token_whose_parts_are_not_of_one_account_is_refused() {
    let phase = Phase::serve(e2ee_world(&[("/", "GOOD", VALUE)]));
    let sandbox = Sandbox::new(&phase);
    let parts: Vec<&str> = service_token().split(':').collect();
    let with = |place: usize, value: &str| {
        let mut parts = parts.clone();
        parts[place] = value;
        let token = parts.join(":");
        let run = sandbox.run(SHOP).args(["echo", "started"]);
        run.env("PHASE_SERVICE_TOKEN", token).output()
    };
    for (place, kind) in [(3, "token"), (4, "token"), (5, "decrypt")] {
        for other in [bearer(), &"0".repeat(64)] {
            let _ = with(place, other).failed(125, kind);
        }
        // As somebody may have typed it.
        assert_eq!(
            with(place, &parts[place].to_uppercase()).ok().text(),
            "started\n"
        );
    }
}
