//! Checks the table of errors against the message tests and the documentation.

use std::collections::BTreeSet;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

use super::{KINDS, VARIANTS};

fn repository_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub(crate) fn document(name: &str) -> String {
    read_to_string(repository_path(name)).unwrap()
}

/// The lines of standard error that `tests/messages` expects, each with the exit status.
pub(crate) fn expected_lines() -> Vec<(u8, String)> {
    let mut lines = Vec::new();
    for entry in read_dir(repository_path("tests/messages")).unwrap() {
        let path = entry.unwrap().path();
        let case: toml::Table = read_to_string(&path).unwrap().parse().unwrap();
        let status = case["status"].as_integer().unwrap().try_into().unwrap();
        let stderr = case["stderr"].as_str().unwrap();
        lines.extend(stderr.lines().map(|line| (status, line.to_owned())));
    }
    lines
}

/// Whether `format!` can make this text from the template.
pub(crate) fn matches_template(template: &str, text: &str) -> bool {
    let mut literals = literals(template).into_iter();
    let Some(mut rest) = text.strip_prefix(literals.next().unwrap()) else {
        return false;
    };
    let mut at_end = true;
    for literal in literals {
        let Some((_, after)) = rest.split_once(literal) else {
            return false;
        };
        at_end = literal.is_empty() || after.is_empty() || rest.ends_with(literal);
        rest = after;
    }
    at_end
}

/// The pieces of a template around its placeholders.
fn literals(template: &str) -> Vec<&str> {
    template
        .split('{')
        .enumerate()
        .map(|(nth, piece)| match (nth, piece.split_once('}')) {
            (0, _) => piece,
            (_, Some((_, literal))) => literal,
            (_, None) => panic!("{template}"),
        })
        .collect()
}

/// The cells of each table row under a heading of a document, without their backquotes.
pub(crate) fn table_cells(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = document.split_once(&format!("## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split(" | ").map(|cell| cell.replace('`', "")).collect())
        .collect()
}

#[test]
fn every_variant_has_a_message_test() {
    let mut shown = BTreeSet::new();
    for (status, line) in expected_lines() {
        let Some(error) = line.strip_prefix("phase-run: error[") else {
            continue;
        };
        let (kind, text) = error.split_once("]: ").unwrap();
        let length = |template: &str| literals(template).concat().len();
        let fitting = VARIANTS
            .iter()
            .filter(|(_, its_kind, template, its_status)| {
                *its_kind == kind && *its_status == status && matches_template(template, text)
            });
        // Pick the most specific variant: "--app requires a value: NAME" also matches "{} requires {}".
        let best = fitting.max_by_key(|(_, _, template, _)| length(template));
        let (variant, ..) = best.unwrap_or_else(|| panic!("no variant has the text of {line}"));
        shown.insert(*variant);
    }
    let missing: Vec<&str> = VARIANTS
        .iter()
        .map(|(variant, ..)| *variant)
        .filter(|variant| !shown.contains(variant))
        .collect();
    assert!(
        missing.is_empty(),
        "no file in tests/messages shows {missing:?}"
    );
}

/// `docs/reference.md`, which lists the kinds with their statuses, is generated from [`KINDS`].
#[test]
fn troubleshooting_has_an_entry_for_every_kind() {
    let page = document("docs/troubleshooting.md");
    let entries = page.lines().filter_map(|line| line.strip_prefix("### "));
    let entries: Vec<&str> = entries.collect();
    for kind in KINDS {
        assert!(entries.contains(&kind.name), "no entry for {}", kind.name);
    }
}
