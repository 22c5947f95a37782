//! What a release is made of and by: `scripts/package` looks into the packages themselves.

use std::fs::read;
use std::path::Path;
use std::process::Command;

use crate::examples::LINTERS;
use crate::static_binary::binary;
use crate::support::{inherited, packages};

/// The same commit is to be the same bytes on every machine, so that nothing of this one is in them.
#[test]
fn the_static_binary_names_no_path_of_the_machine() {
    let Some(path) = binary() else { return };
    let file = read(path).unwrap();
    let holds = |text: &str| {
        let mut windows = file.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    };
    // Of the crates' sources, in the places of checks that may fail: the search can find them.
    assert!(holds("/cargo/registry/src/"));
    let home = inherited("HOME").unwrap().into_string().unwrap();
    let cargo = inherited("CARGO_HOME").and_then(|home| home.into_string().ok());
    let cargo = cargo.unwrap_or_else(|| format!("{home}/.cargo"));
    for place in [
        env!("CARGO_MANIFEST_DIR"),
        env!("CARGO_TARGET_TMPDIR"),
        &cargo,
    ] {
        assert!(!holds(place), "{place} is in it");
    }
}

/// GitHub's schema of it, as the linters bring it along.
#[test]
fn the_workflow_is_what_github_takes() {
    let Some(folder) = packages(&LINTERS) else {
        return;
    };
    let workflows = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows");
    let mut python = Command::new("python3");
    let check = ["-m", "check_jsonschema", "--builtin-schema"];
    let python = python.args(check).arg("vendor.github-workflows");
    let python = python.arg(workflows.join("gate.yml"));
    let output = python.env("PYTHONPATH", folder).output().unwrap();
    assert!(output.status.success(), "{output:#?}");
}
