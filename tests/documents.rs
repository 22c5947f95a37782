//! The documents against the program: every word that it can say or be told is explained, and the
//! rules of how the source is written hold.

use std::collections::BTreeSet;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An option, as the table in the source has it.
pub(crate) struct Row {
    /// `--app`.
    pub(crate) name: String,
    short: Option<String>,
    alias: Option<String>,
    /// What its value is called, `NAME|ID`.
    pub(crate) value: Option<String>,
}

impl Row {
    /// `--app`, `-a`, `--app-id`.
    pub(crate) fn names(&self) -> Vec<String> {
        let more = self.short.iter().chain(&self.alias);
        [&self.name].into_iter().chain(more).cloned().collect()
    }

    /// Each way to write it with this value, as words.
    pub(crate) fn spellings(&self, value: &str) -> Vec<Vec<String>> {
        if self.value.is_none() {
            return self.names().into_iter().map(|name| vec![name]).collect();
        }
        let apart = |name: String| vec![name, value.to_owned()];
        let joined = |name: String| vec![format!("{name}={value}")];
        let names = self.names().into_iter();
        let mut ways: Vec<Vec<String>> =
            names.clone().map(apart).chain(names.map(joined)).collect();
        ways.extend(
            self.short
                .iter()
                .map(|short| vec![format!("{short}{value}")]),
        );
        ways
    }
}

/// Every option that there is.
pub(crate) fn options() -> Vec<Row> {
    let source = source("src/cli/options.rs");
    let rows: Vec<Row> = source.lines().filter_map(row).collect();
    // The array states its length.
    let stated = format!("static OPTIONS: [Row; {}]", rows.len());
    assert!(source.contains(&stated), "the table is not read whole");
    rows
}

/// `row!(App, Some('a'), "app", Some("app-id"), ["PHASE_APP"], Text("NAME|ID"), Once, "…"),`
fn row(line: &str) -> Option<Row> {
    let cells = line.trim().strip_prefix("row!(")?;
    let mut cells = cells.splitn(5, ", ").skip(1);
    let quoted = |cell: &str| {
        let inside = cell.strip_prefix("Some(")?.strip_suffix(')')?;
        Some(inside.trim_matches(['\'', '"']).to_owned())
    };
    let short = quoted(cells.next()?).map(|letter| format!("-{letter}"));
    let name = format!("--{}", cells.next()?.trim_matches('"'));
    let alias = quoted(cells.next()?).map(|alias| format!("--{alias}"));
    let rest = cells.next()?;
    let value = ["Text(\"", "MayBeEmpty(\""]
        .iter()
        .find_map(|start| rest.split_once(start))
        .and_then(|(_, value)| Some(value.split_once("\")")?.0.to_owned()));
    Some(Row {
        name,
        short,
        alias,
        value,
    })
}

/// Every stable word in `error[kind]`.
pub(crate) fn kinds() -> Vec<String> {
    let source = source("src/error.rs");
    let (_, body) = source.split_once("fn kind(").unwrap();
    let (body, _) = body.split_once("\n    }\n").unwrap();
    let words = body.split('"').skip(1).step_by(2);
    let kinds: Vec<String> = words.map(str::to_owned).collect();
    assert!(kinds.len() > 10, "the kinds are not read whole: {kinds:?}");
    kinds
}

/// Every status that is phase-run's own, but for 0 and a signal's.
pub(crate) fn statuses() -> Vec<String> {
    let source = source("src/error/exit.rs");
    let (_, body) = source.split_once("fn code(").unwrap();
    let (body, _) = body.split_once("\n    }\n").unwrap();
    let numbers = body.split(|c: char| !c.is_ascii_digit());
    let statuses = numbers.filter(|number| number.len() == 3);
    let statuses: Vec<String> = statuses.map(str::to_owned).collect();
    assert_eq!(statuses, ["125", "126", "127"]);
    statuses
}

/// Every variable whose name stands as a word in the source, tests aside: those that are read.
pub(crate) fn variables() -> BTreeSet<String> {
    let mut variables = BTreeSet::new();
    for path in rust_files("src") {
        if path.ends_with("cli/generate/facts.rs") {
            continue;
        }
        let text = read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = text.split('"').filter(|word| word.chars().all(letters));
        for word in words {
            let proxy = word.to_lowercase().ends_with("_proxy");
            match word.split_once('_').map(|(family, _)| family) {
                // What the clouds' kits read has a description of their own.
                Some(cloud @ ("AWS" | "AZURE")) => variables.insert(format!("{cloud}_*")),
                Some("PHASE") if word != "PHASE_" => variables.insert(word.to_owned()),
                Some("IDENTITY" | "SSL") => variables.insert(word.to_owned()),
                _ if proxy => variables.insert(word.to_owned()),
                _ => false,
            };
        }
    }
    assert!(variables.len() > 15, "not read whole: {variables:?}");
    variables
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn source(path: &str) -> String {
    read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// "`kind` is a stable word": whoever searches the README for it finds what to do.
#[test]
fn every_kind_of_error_has_a_heading_in_the_readme() {
    let readme = source("README.md");
    for kind in kinds() {
        let heading = |line: &str| line == format!("### {kind}") || line == format!("### `{kind}`");
        assert!(readme.lines().any(heading), "no heading for {kind}");
    }
}

#[test]
fn every_option_and_status_is_in_the_readme() {
    let readme = source("README.md");
    let words = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    for name in options().iter().flat_map(Row::names) {
        assert!(readme.split(words).any(|word| word == name), "no {name}");
    }
    for status in statuses() {
        assert!(
            readme.split(words).any(|word| word == status),
            "no {status}"
        );
    }
}

/// A release whose changes nobody wrote down is none.
#[test]
fn the_version_has_a_heading_in_the_changelog() {
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    let changelog = source("CHANGELOG.md");
    let found = changelog.lines().any(|line| line.starts_with(&heading));
    assert!(found, "no line starts with {heading}");
}

/// "`unsafe` lives in `process/` only."
#[test]
fn policy_forbids_unsafe_code() {
    let mut forbidding = 0;
    for path in rust_files("src") {
        let place = path.strip_prefix(root().join("src")).unwrap();
        if place.starts_with("process")
            || place == Path::new("process.rs")
            || place == Path::new("main.rs")
        {
            continue;
        }
        let first = read_to_string(&path).unwrap();
        let forbids = first.starts_with("#![forbid(unsafe_code)]\n");
        assert!(forbids, "{} does not forbid unsafe code", place.display());
        forbidding += 1;
    }
    assert!(forbidding > 10, "only {forbidding} files were looked at");
}

/// What is tracked stands alone: no path of the place where it was written.
#[test]
fn nothing_mentions_the_place_where_it_was_written() {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "this is no checkout: {listed:?}");
    let names = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
    assert!(names.contains(&"Cargo.toml"), "{names:?}");
    let places = [concat!("/wo", "rk/"), concat!("../sha", "red")];
    for name in names {
        // A file that was just removed is still listed.
        let Ok(bytes) = std::fs::read(root().join(name)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        for place in places {
            let line = text.lines().find(|line| line.contains(place));
            assert!(line.is_none(), "{name} mentions {place}: {line:?}");
        }
    }
}

fn rust_files(directory: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![root().join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Every promise names the test that holds it: a name of several words in backquotes is a test's,
/// and the file that stands right before it has that test.
#[test]
fn every_file_and_test_that_a_document_names_exists() {
    let files = ["src", "tests"].map(rust_files).concat();
    let read = |path: &PathBuf| read_to_string(path).unwrap();
    let mut named = 0;
    for document in ["SECURITY.md", "ARCHITECTURE.md"] {
        for line in source(document).lines() {
            let mut places: Vec<&PathBuf> = files.iter().collect();
            let mut of_the_file = false;
            let pieces: Vec<&str> = line.split('`').collect();
            for pair in pieces.chunks_exact(2) {
                let [before, word] = [pair[0], pair[1]];
                // `file.rs`: `a_test_of_it`, `another_one`
                of_the_file = before == ": " || of_the_file && before == ", ";
                if !of_the_file {
                    places = files.iter().collect();
                }
                let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                if word.ends_with(".rs") {
                    places = files.iter().filter(|path| path.ends_with(word)).collect();
                    assert!(!places.is_empty(), "{document} names {word}: no such file");
                } else if word.matches('_').count() > 1 && word.chars().all(is_name) {
                    named += 1;
                    let declared = format!("fn {word}(");
                    let found = places.iter().any(|path| read(path).contains(&declared));
                    assert!(found, "{document} names {word}: no such test in {places:?}");
                }
            }
        }
    }
    assert!(named > 60, "only {named} tests are named");
}

/// Each fuzz target is the whole program, so it is built from the same crates.
#[test]
fn what_is_fuzzed_has_the_dependencies_of_the_program() {
    let lines = |path: &str| -> Vec<String> {
        let text = source(path);
        let (_, rest) = text.split_once("[dependencies]\n").unwrap();
        let lines = rest.lines().take_while(|line| !line.starts_with('['));
        let lines = lines.filter(|line| line.contains(" = ") && !line.starts_with("libfuzzer-sys"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(lines("fuzz/Cargo.toml"), lines("Cargo.toml"));
}

/// The words of a text that look like options, without their values.
fn option_words(text: &str) -> impl Iterator<Item = &str> {
    let other = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let words = text.split(other).filter(|word| word.len() > 1);
    words.filter(|word| word.starts_with('-') && !word.ends_with('-'))
}

/// In the page for those who move over, the second column and each command line of ours name what
/// there is; whatever else looks like an option is theirs, and stands in a first column.
#[test]
fn whoever_moves_over_finds_each_option_that_is_named() {
    let page = source("docs/moving.md");
    let ours: Vec<String> = options().iter().flat_map(Row::names).collect();
    let mut theirs = Vec::new();
    let mut named = Vec::new();
    let mut rest = Vec::new();
    for line in page.lines() {
        if let Some(row) = line.strip_prefix("| ") {
            let cells: Vec<&str> = row.split(" | ").collect();
            theirs.extend(option_words(cells[0]));
            named.extend(option_words(cells[1]));
            rest.extend(cells[2..].iter().copied().flat_map(option_words));
        } else if let Some(line) = line.strip_prefix("$ phase-run ") {
            let options = line.split(" -- ").next().unwrap();
            named.extend(option_words(options.split(" -c ").next().unwrap()));
        } else if !line.starts_with("$ ") {
            rest.extend(option_words(line));
        }
    }
    let once = |word: &str| word.replace("-vv", "-v");
    let known = |word: &&str| ours.contains(&once(word));
    let unknown: Vec<&&str> = named.iter().filter(|word| !known(word)).collect();
    assert!(unknown.is_empty(), "not ours: {unknown:?}");
    let strangers: Vec<&&str> = rest
        .iter()
        .filter(|word| !known(word) && !theirs.contains(word))
        .collect();
    assert!(strangers.is_empty(), "nobody's: {strangers:?}");
    assert!(named.len() > 60, "only {} were looked at", named.len());
}
