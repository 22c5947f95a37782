//! Anything that a command uses and that cannot be decrypted is an error that names it, never a skipped
//! secret. What it does not use may be impossible to decrypt.

use fake_phase::{Environment, Phase, World, bearer, service_token};
use serde_json::{Value, json};

use crate::e2ee::e2ee_world;
use crate::support::{Output, SHOP, Sandbox, require_linux};

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

/// Returns `text` without its first characters.
fn drop_prefix(text: &str, length: usize) -> &str {
    text.split_at(length).1
}

/// Runs phase-run on Production after `corrupt` has changed it.
fn run_with_world(corrupt: impl FnOnce(&mut World)) -> Output {
    let mut world = e2ee_world(&[("/", "GOOD", VALUE)]);
    corrupt(&mut world);
    let phase = Phase::serve(world);
    let mut sandbox = Sandbox::new(&phase);
    sandbox.canary(VALUE);
    sandbox.run(SHOP).args(["echo", "started"]).output()
}

/// Every way in which an encrypted field can be invalid, with the expected reason.
fn invalid_fields(field: &str) -> Vec<(String, &'static str)> {
    let fields: Vec<&str> = field.split(':').collect();
    let [_, _, ephemeral, ciphertext] = fields.as_slice() else {
        panic!("{field}")
    };
    let other = e2ee_world(&[])
        .app("other")
        .environment("Else", "dev")
        .encrypt("x");
    vec![
        (field.replace("ph:v1", "ph:v9"), "version is not supported"),
        (field.replace("ph:", ""), "does not start with ph:"),
        ("plain text".to_owned(), "does not start with ph:"),
        (format!("ph:v1:{ephemeral}"), "is truncated"),
        (
            format!("ph:v1:{}:{ciphertext}", drop_prefix(ephemeral, 1)),
            "64 hex digits",
        ),
        (
            format!("ph:v1:{}:{ciphertext}", drop_prefix(ephemeral, 2)),
            "64 hex digits",
        ),
        (
            format!("ph:v1:{}:{ciphertext}", ephemeral.to_uppercase()),
            "64 hex digits",
        ),
        (
            format!("ph:v1:x{}:{ciphertext}", drop_prefix(ephemeral, 1)),
            "64 hex digits",
        ),
        (
            format!("ph:v1:{ephemeral}:{}", drop_prefix(ciphertext, 1)),
            "not base64",
        ),
        (format!("ph:v1:{ephemeral}:{ciphertext}:"), "not base64"),
        (format!("ph:v1:{ephemeral}:"), "too short"),
        (format!("ph:v1:{ephemeral}:AAAA"), "too short"),
        (
            format!("ph:v1:{ephemeral}:{}", drop_prefix(ciphertext, 4)),
            "another key or has been modified",
        ),
        (
            format!("ph:v1:{}:{ciphertext}", "0".repeat(64)),
            "ephemeral public key is invalid",
        ),
        (other, "another key or has been modified"),
    ]
}

#[test]
fn undecryptable_value_is_named_by_its_key() {
    let field = e2ee_world(&[])
        .app("shop")
        .environment("Production", "prod")
        .encrypt(VALUE);
    for (value, why) in invalid_fields(&field) {
        let output = run_with_world(|world| {
            let production = world.app("shop").environment("Production", "prod");
            let row = row(production, &production.encrypt("BAD_ONE"), &value);
            production.encrypted_row(row);
        });
        let output = output.assert_error(125, "decrypt");
        let what = "cannot decrypt the value of BAD_ONE in Production of shop: ";
        assert!(output.stderr.contains(what), "{output}");
        assert!(output.stderr.contains(why), "{value}: {output}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn undecryptable_key_is_named_by_the_secret_id() {
    let field = e2ee_world(&[])
        .app("shop")
        .environment("Production", "prod")
        .encrypt("BAD_ONE");
    for (key, why) in invalid_fields(&field) {
        let output = run_with_world(|world| {
            let production = world.app("shop").environment("Production", "prod");
            let row = row(production, &key, &production.encrypt(VALUE));
            production.encrypted_row(row);
        });
        let output = output.assert_error(125, "decrypt");
        let what = "the key of the secret 9a1f0e2c-row in Production of shop: ";
        assert!(output.stderr.contains(what), "{output}");
        assert!(output.stderr.contains(why), "{key}: {output}");
    }
}

/// A world with a folder for the secrets that cannot be decrypted.
fn run_beside_broken(rows: &[(&str, &str, Value)], options: &[&str]) -> Output {
    let mut world = e2ee_world(&[("/", "GOOD", VALUE), ("/web", "SPARE", "in another folder")]);
    let production = world.app("shop").environment("Production", "prod");
    for (key, value, more) in rows {
        let mut row = row(production, key, value);
        for (name, value) in more.as_object().unwrap() {
            row[name] = value.clone();
        }
        production.encrypted_row(row);
    }
    let phase = Phase::serve(world);
    let mut sandbox = Sandbox::new(&phase);
    sandbox.canary(VALUE);
    let run = sandbox.run(SHOP).args(options).args(["echo", "started"]);
    run.output()
}

/// Returns `text`, encrypted for Production.
fn encrypt(text: &str) -> String {
    let mut world = e2ee_world(&[]);
    let production = world.app("shop").environment("Production", "prod");
    production.encrypt(text)
}

#[test]
fn undecryptable_value_stops_only_what_uses_it() {
    let broken = "ph:v1:";
    let in_folder = |folder: &str| json!({"path": folder, "tags": ["odd"]});
    let refers = (
        encrypt("REFERS"),
        encrypt("<${x/BAD_ONE}>"),
        json!({"path": "/"}),
    );
    for (folder, options, is_used) in [
        ("/", &["--only", "GOOD"][..], false),
        ("/", &["--only", "GOOD", "--dry-run"], false),
        ("/", &["--except", "BAD*", "--except", "REFERS"], false),
        ("/x", &["--path", "/", "--except", "REFERS"], false),
        (
            "/x",
            &["--path", "/", "--path", "/web", "--except", "REFERS"],
            false,
        ),
        ("/x", &["--tags", "none", "--allow-empty"], false),
        ("/x", &["--only", "REFERS"], true),
        ("/x", &["--path", "/"], true),
        ("/x", &["--tags", "odd"], true),
        (
            "/x",
            &["--path", "/", "--path", "/x", "--except", "REFERS"],
            true,
        ),
        ("/x", &["--only", "*_ONE", "--dry-run"], true),
    ] {
        let (key, value, more) = &refers;
        let rows = [
            (encrypt("BAD_ONE"), broken.to_owned(), in_folder(folder)),
            (key.clone(), value.clone(), more.clone()),
        ];
        let rows = rows
            .each_ref()
            .map(|(key, value, more)| (key.as_str(), value.as_str(), more.clone()));
        let output = run_beside_broken(&rows, options);
        if !is_used {
            let _ = output.assert_ok();
            continue;
        }
        let output = output.assert_error(125, "decrypt");
        let what = "cannot decrypt the value of BAD_ONE in Production of shop: ";
        assert!(output.stderr.contains(what), "{options:?}: {output}");
    }
}

/// The value in the folder of the first `--path` is replaced, and one of equal precedence is compared.
#[test]
fn undecryptable_value_of_lower_precedence_is_ignored() {
    let row = (encrypt("SPARE"), "ph:v1:".to_owned(), json!({"path": "/"}));
    let rows = [(row.0.as_str(), row.1.as_str(), row.2)];
    let _ = run_beside_broken(&rows, &["--path", "/", "--path", "/web"]).assert_ok();
    for options in [&["--path", "/web", "--path", "/"][..], &["--path", "/**"]] {
        let _ = run_beside_broken(&rows, options).assert_error(125, "decrypt");
    }
}

/// Nobody knows which pattern would match a key that cannot be decrypted, so it is an error wherever its
/// folder and its tags are selected.
#[test]
fn undecryptable_key_stops_only_its_folder_and_tags() {
    let value = encrypt(VALUE);
    for (options, is_selected) in [
        (&["--path", "/"][..], false),
        (&["--path", "/", "--path", "/web"], false),
        (&["--tags", "none", "--allow-empty"], false),
        (&["--path", "/x"], true),
        (&["--path", "/", "--path", "/x"], true),
        (&["--tags", "odd"], true),
        (&["--only", "GOOD"], true),
        (&["--except", "*", "--dry-run"], true),
    ] {
        let more = json!({"path": "/x", "tags": ["odd"]});
        let output = run_beside_broken(&[("ph:v1:", &value, more)], options);
        match is_selected {
            true => drop(output.assert_error(125, "decrypt")),
            false => drop(output.assert_ok()),
        }
    }
}

/// Of another environment, only what is referenced has to be decrypted.
#[test]
fn unreferenced_secret_need_not_be_decryptable() {
    for (reference, is_broken) in [
        ("${Staging.FINE}", false),
        ("${Staging.BROKEN}", true),
        ("${Staging.REFERS}", true),
    ] {
        let mut world = e2ee_world(&[("/", "VALUE", reference)]);
        let staging = world.app("shop").environment("Staging", "staging");
        staging.secret("/", "FINE", "from staging");
        staging.secret("/", "REFERS", "${BROKEN}");
        let rows = [
            row(staging, "ph:v1:", &staging.encrypt(VALUE)),
            row(staging, &staging.encrypt("BROKEN"), "ph:v1:"),
        ];
        for row in rows {
            staging.encrypted_row(row);
        }
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        let output = sandbox.run(SHOP).args(["printenv", "VALUE"]).output();
        if !is_broken {
            assert_eq!(output.assert_ok().text(), "from staging\n");
            continue;
        }
        let output = output.assert_error(125, "decrypt");
        let what = "cannot decrypt the value of BROKEN in Staging of shop: ";
        assert!(output.stderr.contains(what), "{output}");
    }
}

/// A variable that is kept needs no value of its secret, and nothing that the value refers to. A snapshot
/// and a reference do.
#[test]
fn undecryptable_value_of_a_kept_variable_is_not_needed() {
    if !require_linux("--file needs Linux") {
        return;
    }
    let mut world = e2ee_world(&[("/", "REFERS", "<${BAD_ONE}>")]);
    let production = world.app("shop").environment("Production", "prod");
    production.encrypted_row(row(production, &production.encrypt("BAD_ONE"), "ph:v1:"));
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let keep = ["--keep", "BAD_ONE"];
    for (options, is_needed) in [
        (&["--keep", "*"][..], false),
        (&["--keep-existing"], false),
        (&["--keep-existing", "--dry-run"], false),
        (&["--keep-existing", "--file", "BAD_ONE"], false),
        (&["--keep", "BAD_ONE", "--except", "REFERS"], false),
        (&keep, true),
        (&["--keep", "*", "--snapshot", "copy"], true),
        (&["--keep", "*", "--prefix", "SHOP_"], true),
        (&["--except", "REFERS"], true),
    ] {
        let run = sandbox.run(SHOP).args(options);
        let run = run.env("BAD_ONE", "of the shell").env("REFERS", "too");
        let output = run.args(["printenv", "BAD_ONE"]).output();
        match is_needed {
            true => {
                let what = "cannot decrypt the value of BAD_ONE in Production of shop: ";
                let output = output.assert_refused("decrypt");
                assert!(output.stderr.contains(what), "{output}");
            }
            false if options.contains(&"--dry-run") => {
                let listed = "BAD_ONE\t/\tsecret\tkept\nREFERS\t/\tsecret\tkept\n";
                assert_eq!(output.assert_ok().text(), listed);
            }
            false => assert_eq!(output.assert_ok().text(), "of the shell\n", "{options:?}"),
        }
    }
}

/// A reference resolves to the value of the secret, not to that of the variable that is kept.
#[test]
fn reference_to_a_kept_variable_has_the_secret() {
    let phase = Phase::serve(e2ee_world(&[
        ("/", "HOST", "of the shop"),
        ("/", "URL", "<${HOST}>"),
    ]));
    let sandbox = Sandbox::new(&phase);
    let run = sandbox.run(SHOP).args(["--keep", "HOST"]);
    let run = run.env("HOST", "of the shell");
    let output = run.args(["-c", "echo $HOST $URL"]).output();
    assert_eq!(output.assert_ok().text(), "of the shell <of the shop>\n");
}

/// Only a reference resolves to the shared value that a personal override replaces.
#[test]
fn undecryptable_shared_value_stops_only_references() {
    for (option, status) in [("BAD_ONE", 0), ("REFERS", 125)] {
        let mut world = e2ee_world(&[("/", "REFERS", "${BAD_ONE}")]);
        let production = world.app("shop").environment("Production", "prod");
        let mut row = row(production, &production.encrypt("BAD_ONE"), "ph:v1:");
        let own = production.encrypt("own value");
        row["override"] = json!({"value": own, "is_active": true});
        production.encrypted_row(row);
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        let run = sandbox.run(SHOP).args(["--only", option]);
        let output = run.args(["printenv", option]).output();
        match status {
            0 => assert_eq!(output.assert_ok().text(), "own value\n"),
            _ => drop(output.assert_error(status, "decrypt")),
        }
    }
}

#[test]
fn undecryptable_active_override_is_an_error() {
    for (active, status) in [(true, 125), (false, 0)] {
        let output = run_with_world(|world| {
            let production = world.app("shop").environment("Production", "prod");
            let mut row = row(
                production,
                &production.encrypt("BAD_ONE"),
                &production.encrypt(VALUE),
            );
            row["override"] = json!({"value": "ph:v1:", "is_active": active});
            production.encrypted_row(row);
        });
        match status {
            0 => assert_eq!(output.assert_ok().text(), "started\n"),
            _ => drop(output.assert_error(status, "decrypt")),
        }
    }
}

#[test]
fn undecryptable_seed_is_an_error() {
    let mut other = e2ee_world(&[]);
    let other = other.app("shop").environment("Staging", "staging");
    let (public, other_seed) = (other.public_key(), other.encrypt(&"0".repeat(64)));
    for (member, value, why) in [
        (
            "wrapped_seed",
            "ph:v9:x".to_owned(),
            "version is not supported",
        ),
        ("wrapped_seed", String::new(), "does not start with ph:"),
        (
            "wrapped_seed",
            other_seed,
            "another key or has been modified",
        ),
        (
            "identity_key",
            public,
            "does not match the environment's public key",
        ),
        ("identity_key", "00".repeat(31), "64 hex digits"),
        ("identity_key", "0".repeat(63), "64 hex digits"),
        ("identity_key", String::new(), "64 hex digits"),
    ] {
        let output = run_with_world(|world| {
            let production = world.app("shop").environment("Production", "prod");
            production.corrupt_key(member, value.clone());
        });
        let output = output.assert_error(125, "decrypt");
        let what = "cannot decrypt the seed of Production of shop: ";
        assert!(output.stderr.contains(what), "{output}");
        assert!(output.stderr.contains(why), "{member} {value}: {output}");
    }
}

#[test]
fn undecryptable_key_share_is_an_error() {
    for (share, why) in [
        (String::new(), "too short"),
        ("0".repeat(63), "not in lower-case hex digits"),
        ("0".repeat(200), "another key or has been modified"),
        ("AB".repeat(100), "not in lower-case hex digits"),
    ] {
        let output = run_with_world(|world| {
            world.corrupt_key_share(&share);
        });
        let output = output.assert_error(125, "decrypt");
        let what = "the server's key share for the token from PHASE_SERVICE_TOKEN: it";
        assert!(output.stderr.contains(what), "{output}");
        assert!(output.stderr.contains(why), "{share}: {output}");
    }
}

/// The key shares of the token do not match its public key.
#[test]
fn token_of_mixed_accounts_is_rejected() {
    let phase = Phase::serve(e2ee_world(&[("/", "GOOD", VALUE)]));
    let sandbox = Sandbox::new(&phase);
    let parts: Vec<&str> = service_token().split(':').collect();
    let with = |position: usize, value: &str| {
        let mut parts = parts.clone();
        parts[position] = value;
        let token = parts.join(":");
        let run = sandbox.run(SHOP).args(["echo", "started"]);
        run.env("PHASE_SERVICE_TOKEN", token).output()
    };
    for (position, kind) in [(3, "token"), (4, "token"), (5, "decrypt")] {
        for other in [bearer(), &"0".repeat(64)] {
            let _ = with(position, other).assert_error(125, kind);
        }
        // A token may have been typed in upper case.
        assert_eq!(
            with(position, &parts[position].to_uppercase())
                .assert_ok()
                .text(),
            "started\n"
        );
    }
}
