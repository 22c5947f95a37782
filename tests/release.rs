//! Checks of the release: the static binary, its bill of materials, and the workflow.
//! `scripts/package` checks the packages themselves.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs::{read, read_to_string};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::documents::{markdown_files, source};
use crate::examples::LINTERS;
use crate::support::{inherited, pypi_packages, static_binary};

/// A build is reproducible on every machine only if no path of one is in it.
#[test]
fn static_binary_contains_no_local_path() {
    let Some(path) = static_binary() else { return };
    let file = read(path).unwrap();
    let contains = |text: &str| {
        let mut windows = file.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    };
    // The panic locations of crates do have paths, so the search would find others.
    assert!(contains("/cargo/registry/src/"));
    let home = inherited("HOME").unwrap().into_string().unwrap();
    let cargo = inherited("CARGO_HOME").and_then(|home| home.into_string().ok());
    let cargo = cargo.unwrap_or_else(|| format!("{home}/.cargo"));
    for path in [
        env!("CARGO_MANIFEST_DIR"),
        env!("CARGO_TARGET_TMPDIR"),
        &cargo,
    ] {
        assert!(!contains(path), "{path} is in it");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The bill of materials passes the library's strict validation, and lists what is linked but no
/// dependency of the tests.
#[test]
fn bill_of_materials_is_valid_cyclonedx() {
    let Some(library) = pypi_packages(&["cyclonedx-python-lib[json-validation]==11.12.0"]) else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &mut Command| {
        let output = command.current_dir(root).output().unwrap();
        assert!(output.status.success(), "{output:#?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let version = run(Command::new("rustc").arg("-vV"));
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let mut sbom = Command::new(root.join("scripts/sbom"));
    let sbom = sbom.arg(host.unwrap()).arg(folder.path());
    run(sbom.env("SOURCE_DATE_EPOCH", "0"));
    let bill = folder.path().join("phase-run.cdx.json");
    let validate = "\
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read()))";
    let mut python = Command::new("python3");
    let python = python.args(["-c", validate]).arg(&bill);
    assert_eq!(run(python.env("PYTHONPATH", library)), "None\n");
    let bill: Value = serde_json::from_slice(&read(bill).unwrap()).unwrap();
    let components = bill["components"].as_array().unwrap();
    let references: BTreeSet<&str> = components.iter().map(|one| text(&one["bom-ref"])).collect();
    assert_eq!(references.len(), components.len());
    for dependency in bill["dependencies"].as_array().unwrap() {
        for reference in dependency["dependsOn"].as_array().unwrap() {
            assert!(
                references.contains(text(reference)),
                "there is no {reference}"
            );
        }
    }
    let names: Vec<&str> = components.iter().map(|one| text(&one["name"])).collect();
    for linked in ["ring", "webpki-roots", "rust-std", "glibc"] {
        assert!(names.contains(&linked), "no {linked} in {names:?}");
    }
    for other in ["fake-phase", "toml"] {
        assert!(!names.contains(&other), "{other} in {names:?}");
    }
    let notices = read_to_string(folder.path().join("THIRD-PARTY")).unwrap();
    assert!(notices.contains("\nring 0."), "ring's licence is missing");
}

/// Every package that a document names has this version.
#[test]
fn documents_install_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let mut packages = 0;
    for document in markdown_files() {
        let text = source(&document);
        for rest in text.split("phase-run_").skip(1) {
            packages += 1;
            assert!(rest.starts_with(version), "{document}: {rest:.20}");
        }
    }
    assert!(packages > 0, "no document names the Debian package");
}

/// check-jsonschema contains GitHub's schema.
#[test]
fn workflow_passes_githubs_schema() {
    let Some(folder) = pypi_packages(&LINTERS) else {
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

/// Whoever takes over the repository of an action can move its tags, but not a commit.
#[test]
fn workflow_pins_actions_by_commit() {
    let workflow = source(".github/workflows/gate.yml");
    let uses = workflow
        .lines()
        .filter_map(|line| line.split_once("uses: "));
    let uses: Vec<&str> = uses.map(|(_, action)| action).collect();
    assert!(!uses.is_empty());
    for action in uses {
        let (_, pin) = action.split_once('@').unwrap();
        let (commit, version) = pin.split_once(" # v").unwrap_or((pin, ""));
        let is_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(is_commit && !version.is_empty(), "{action}");
    }
}

/// The fuzz targets are built from a lock file of their own.
#[test]
fn workflow_checks_both_lock_files_for_advisories() {
    let workflow = source(".github/workflows/gate.yml");
    for manifest in ["", "--manifest-path fuzz/Cargo.toml "] {
        let check = format!("cargo deny {manifest}--config .deny.toml check advisories\n");
        assert!(workflow.contains(&check), "{check}");
    }
}
