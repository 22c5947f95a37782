//! Checks of the documents against the program and against each other.

use std::collections::BTreeSet;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::generate::generated;

/// A row of the generated tables of options.
pub(crate) struct OptionRow {
    /// The long name, such as `--app`.
    pub(crate) name: String,
    short: Option<String>,
    alias: Option<String>,
    /// The name of the option's value, such as `NAME|ID`.
    pub(crate) value: Option<String>,
}

impl OptionRow {
    /// Parses a row whose first cell is `` `-a, --app NAME|ID` `` and whose text may name an alias, as in
    /// `` Also `--app-id`. ``.
    fn parse(cells: &[String]) -> Self {
        let [names, _, text] = cells else {
            panic!("not a row of options: {cells:?}")
        };
        let names = names.trim_matches('`');
        let (short, long) = match names.split_once(", ") {
            Some((short, long)) => (Some(short.to_owned()), long),
            None => (None, names),
        };
        let (name, value) = match long.split_once(' ') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let alias = text.split_once(" Also `--");
        let alias = alias.map(|(_, rest)| format!("--{}", rest.split('`').next().unwrap()));
        Self {
            name: name.to_owned(),
            short,
            alias,
            value,
        }
    }

    /// The spellings of the name: `--app`, `-a`, `--app-id`.
    pub(crate) fn names(&self) -> Vec<String> {
        let more = self.short.iter().chain(&self.alias);
        [&self.name].into_iter().chain(more).cloned().collect()
    }

    /// Every way to write the option with this value, as arguments.
    pub(crate) fn spellings(&self, value: &str) -> Vec<Vec<String>> {
        let names = self.names();
        if self.value.is_none() {
            return names.into_iter().map(|name| vec![name]).collect();
        }
        let separate = names
            .iter()
            .map(|name| vec![name.clone(), value.to_owned()]);
        let with_equals = names.iter().map(|name| vec![format!("{name}={value}")]);
        let attached = self
            .short
            .iter()
            .map(|short| vec![format!("{short}{value}")]);
        separate.chain(with_equals).chain(attached).collect()
    }
}

/// The rows of the tables in a section of what `--generate markdown` prints, without their headings.
fn generated_rows(section: &str) -> Vec<Vec<String>> {
    let page = generated("markdown");
    let (_, section) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    // A vertical bar in a cell is escaped.
    let cells = |row: &str| -> Vec<String> {
        row.replace("\\|", "\0")
            .split('|')
            .map(|cell| cell.trim().replace('\0', "|"))
            .collect()
    };
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| cells(row.trim_matches('|'))).collect()
}

/// The texts between backquotes.
fn code_spans(cell: &str) -> Vec<String> {
    let spans = cell.split('`').skip(1).step_by(2);
    spans.map(str::to_owned).collect()
}

/// Every option of the program.
pub(crate) fn options() -> Vec<OptionRow> {
    let rows = generated_rows("Options");
    rows.iter().map(|cells| OptionRow::parse(cells)).collect()
}

/// Every variable that the program reads.
pub(crate) fn variables() -> BTreeSet<String> {
    let rows = generated_rows("Variables");
    rows.iter()
        .flat_map(|cells| code_spans(&cells[0]))
        .collect()
}

/// Every stable word in `error[kind]`.
pub(crate) fn kinds() -> Vec<String> {
    let rows = generated_rows("Error kinds");
    rows.iter()
        .flat_map(|cells| code_spans(&cells[0]))
        .collect()
}

/// Every exit status of phase-run itself, except 0 and those of signals.
pub(crate) fn statuses() -> Vec<String> {
    let rows = generated_rows("Error kinds");
    let statuses = rows.iter().flat_map(|cells| cells[1].split(", "));
    let statuses: BTreeSet<String> = statuses.map(str::to_owned).collect();
    statuses.into_iter().collect()
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn source(path: &str) -> String {
    read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// The paths of all Markdown files of the project below its root.
pub(crate) fn markdown_files() -> Vec<String> {
    let mut files: Vec<String> = ["", "docs", "examples", "fuzz"]
        .into_iter()
        .flat_map(|folder| read_dir(root().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| path.strip_prefix(root()).unwrap().display().to_string())
        .collect();
    files.sort();
    files
}

#[test]
fn changelog_has_a_heading_for_this_version() {
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    let changelog = source("CHANGELOG.md");
    let found = changelog.lines().any(|line| line.starts_with(&heading));
    assert!(found, "no line starts with {heading}");
}

/// A path of the machine where the project is developed means nothing to others.
#[test]
fn tracked_files_name_no_local_path() {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "this is no checkout: {listed:?}");
    let names = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
    assert!(names.contains(&"Cargo.toml"), "{names:?}");
    let paths = [concat!("/wo", "rk/"), concat!("../sha", "red")];
    for name in names {
        // git still lists a file that was just deleted.
        let Ok(bytes) = std::fs::read(root().join(name)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        for path in paths {
            let line = text.lines().find(|line| line.contains(path));
            assert!(line.is_none(), "{name} mentions {path}: {line:?}");
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

/// A name of at least three words in backquotes is that of a test. If the name of a file stands right
/// before it, that file must have the test.
#[test]
fn files_and_tests_named_in_documents_exist() {
    let files = ["src", "tests"].map(rust_files).concat();
    let read = |path: &PathBuf| read_to_string(path).unwrap();
    let mut named = 0;
    for document in ["SECURITY.md", "ARCHITECTURE.md"] {
        for line in source(document).lines() {
            let mut candidates: Vec<&PathBuf> = files.iter().collect();
            let mut in_file = false;
            let pieces: Vec<&str> = line.split('`').collect();
            for pair in pieces.chunks_exact(2) {
                let [before, word] = [pair[0], pair[1]];
                // `file.rs`: `one_test_in_it`, `another_test_in_it`
                in_file = before == ": " || in_file && before == ", ";
                if !in_file {
                    candidates = files.iter().collect();
                }
                let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                if word.ends_with(".rs") {
                    candidates = files.iter().filter(|path| path.ends_with(word)).collect();
                    assert!(
                        !candidates.is_empty(),
                        "{document} names {word}: no such file"
                    );
                } else if word.matches('_').count() > 1 && word.chars().all(is_name) {
                    named += 1;
                    let declared = format!("fn {word}(");
                    let found = candidates.iter().any(|path| read(path).contains(&declared));
                    assert!(
                        found,
                        "{document} names {word}: no such test in {candidates:?}"
                    );
                }
            }
        }
    }
    assert!(named > 60, "only {named} tests are named");
}

/// A fuzz target contains the whole program.
#[test]
fn fuzz_targets_use_the_same_dependencies() {
    let lines = |path: &str| -> Vec<String> {
        let text = source(path);
        let (_, rest) = text.split_once("[dependencies]\n").unwrap();
        let lines = rest.lines().take_while(|line| !line.starts_with('['));
        let lines = lines.filter(|line| line.contains(" = ") && !line.starts_with("libfuzzer-sys"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(lines("fuzz/Cargo.toml"), lines("Cargo.toml"));
}

/// Returns the words of a text that look like options, without their values.
fn option_words(text: &str) -> impl Iterator<Item = &str> {
    let other = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let words = text.split(other).filter(|word| word.len() > 1);
    words.filter(|word| word.starts_with('-') && !word.ends_with('-'))
}

/// The second column of the tables and the command lines name options of phase-run. Any other option
/// in the text belongs to another program, and must be in a first column.
#[test]
fn migration_guide_options_exist() {
    let page = source("docs/migrating.md");
    let ours: Vec<String> = options().iter().flat_map(OptionRow::names).collect();
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
