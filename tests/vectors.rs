//! phase-run decrypts what libsodium has encrypted: a file that the script in `tests/vectors` wrote with
//! PyNaCl, and a new one if PyNaCl is available.

use std::path::{Path, PathBuf};
use std::process::Command;

use fake_phase::{Phase, World, bearer};
use serde_json::{Value, json};

use crate::support::{SHOP, Sandbox, pypi_packages};

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap()
}

/// Serves the encrypted rows, and compares the command's variables with the original values.
fn opens(sealed: &str) {
    let vector: Value = serde_json::from_str(sealed).unwrap();
    let mut world = World::empty();
    world.corrupt_key_share(text(&vector, "wrapped_key_share"));
    let production = world.app("shop").e2e().environment("Production", "prod");
    for member in ["identity_key", "wrapped_seed"] {
        production.corrupt_key(member, text(&vector, member));
    }
    for (number, row) in vector["rows"].as_array().unwrap().iter().enumerate() {
        production.encrypted_row(json!({
            "id": format!("row {number}"),
            "key": row["key"],
            "value": row["value"],
            "comment": "",
            "path": "/",
            "type": "secret",
        }));
    }
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let token = format!("pss_service:v2:{}:{}", bearer(), text(&vector, "keys"));
    let values = vector["values"].as_object().unwrap();
    let comparison = sandbox.compare_with_bare(SHOP, |run| run.env("PHASE_SERVICE_TOKEN", &token));
    let comparison = values.iter().fold(comparison, |comparison, (key, value)| {
        comparison.expect_added(key, value.as_str().unwrap())
    });
    assert!(values.len() > 30);
    comparison.expect_removed("PHASE_SERVICE_TOKEN").check();
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

#[test]
fn recorded_libsodium_boxes_decrypt() {
    opens(&std::fs::read_to_string(folder().join("sealed.json")).unwrap());
}

#[test]
fn fresh_libsodium_boxes_decrypt() {
    let Some(nacl) = pypi_packages(&["PyNaCl==1.6.0"]) else {
        return;
    };
    let mut python = Command::new("python3");
    let python = python.arg(folder().join("seal.py")).env("PYTHONPATH", nacl);
    let sealed = python.output().unwrap();
    assert!(sealed.status.success(), "{sealed:?}");
    opens(str::from_utf8(&sealed.stdout).unwrap());
}
