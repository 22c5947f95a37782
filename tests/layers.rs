//! The modules of `src/` form layers: each one imports only from those below it.

use std::collections::BTreeSet;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// From the bottom to the top. `main` and `fuzz` may use everything.
const LAYERS: [&str; 16] = [
    "explore",
    "error",
    "encoding",
    "secret",
    "json",
    "log",
    "process",
    "http",
    "cli",
    "config",
    "auth",
    "phase",
    "selection",
    "environ",
    "snapshot",
    "run",
];

/// An import that points upwards: the file, and the layer that it names.
type UpwardImport = (PathBuf, String);

#[test]
fn modules_import_only_from_layers_below() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut seen = BTreeSet::new();
    let mut upward = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&source).unwrap();
        let layer = layer_of(relative);
        if ["main", "fuzz"].contains(&layer.as_str()) {
            continue;
        }
        seen.insert(layer.clone());
        upward.extend(
            upward_imports(relative, &read_to_string(&file).unwrap())
                .into_iter()
                .map(|target| (relative.to_owned(), target)),
        );
    }
    let upward: Vec<UpwardImport> = upward;
    assert!(upward.is_empty(), "imports from above: {upward:#?}");
    let layers: BTreeSet<String> = LAYERS.iter().map(|&layer| layer.to_owned()).collect();
    assert_eq!(seen, layers, "src/ and the list of layers differ");
}

#[test]
fn upward_import_is_detected() {
    for (file, text) in [
        ("http.rs", "use crate::phase::fetch;"),
        ("http.rs", "use crate::{error::Error, phase::fetch};"),
        (
            "http.rs",
            "use crate::{\n    error::{Error, Source},\n    phase,\n};",
        ),
        ("http.rs", "fn x() { crate::phase::fetch() }"),
        ("http.rs", "pub(crate) use crate::phase as api;"),
        ("http.rs", "use super::phase::fetch;"),
        ("http.rs", "use super::{error::Error, phase::fetch};"),
        ("http.rs", "fn x() { super::phase::fetch() }"),
        ("http/dns.rs", "use crate::phase::fetch;"),
        ("http/dns.rs", "use super::super::phase::fetch;"),
    ] {
        assert_eq!(upward_imports(Path::new(file), text), ["phase"], "{text}");
    }
    for (file, text) in [
        ("http.rs", "use crate::error::Error;"),
        ("http.rs", "use crate::http::retry;"),
        ("http.rs", "use super::error::Error;"),
        ("http.rs", "// use crate::phase::fetch;"),
        ("http/dns.rs", "use super::phase;"),
        (
            "http.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::phase::fetch;\n}",
        ),
    ] {
        assert!(upward_imports(Path::new(file), text).is_empty(), "{text}");
    }
}

/// Returns the layer of a file, which is the first part of its path below `src/`.
fn layer_of(relative: &Path) -> String {
    let first = relative.iter().next().unwrap();
    Path::new(first)
        .file_stem()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

/// Returns the layers above its own that a file names after the crate root. That is `crate::`, or as many
/// `super::` as its path below `src/` has parts. The tests at the end of a file may use everything.
fn upward_imports(file: &Path, text: &str) -> Vec<String> {
    let height = |name: &str| LAYERS.iter().position(|&layer| layer == name);
    let layer = layer_of(file);
    let own = height(&layer).unwrap_or_else(|| panic!("{layer} is in no layer"));
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code: String = code
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect::<Vec<_>>()
        .join(" ");
    let root = "super::".repeat(file.iter().count());
    let code = code.replace(&root, "crate::");
    let named = code
        .split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => first_names(group),
            None => vec![leading_name(rest)],
        });
    named
        .filter(|name| height(name).is_some_and(|height| height > own))
        .collect()
}

/// Returns the first name of each member of a group in braces, which begins after the opening brace.
fn first_names(group: &str) -> Vec<String> {
    let mut depth = 0;
    let members = group.split(move |letter| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        depth < 0 || depth == 0 && letter == ','
    });
    let named = members.map(|member| leading_name(member.trim_start()));
    named.take_while(|name| !name.is_empty()).collect()
}

fn leading_name(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
