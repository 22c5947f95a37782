//! Checks of what `--generate` prints: the manual page and `docs/reference.md`.

use std::collections::BTreeSet;
use std::fs::{read_to_string, write};
use std::process::Command;

use crate::documents::{OptionRow, kinds, options, root, statuses, variables};
use crate::support::{Sandbox, inherited, require_programs};

/// Returns what `--generate` prints for this value.
pub(crate) fn generated(form: &str) -> String {
    let sandbox = Sandbox::offline();
    let output = sandbox.run(["--generate", form]).output().assert_ok();
    output.text().to_owned()
}

#[test]
fn generate_ignores_other_errors() {
    let sandbox = Sandbox::offline();
    for (form, start) in [
        ("man", ".TH PHASE\\-RUN 1 "),
        ("bash", "# bash completion"),
        ("zsh", "#compdef phase-run\n"),
        ("fish", "# fish completion"),
        ("markdown", "# Reference\n"),
    ] {
        let alone = generated(form);
        assert!(alone.starts_with(start), "{alone}");
        // Every placeholder is replaced.
        let mut words = alone.split('@').skip(1);
        let is_placeholder = |word: &str| word.chars().all(|c| c.is_ascii_uppercase());
        assert!(
            !words.any(|word| !word.is_empty() && is_placeholder(word)),
            "{alone}"
        );
        let form = format!("--generate={form}");
        for more in [vec![], vec!["--app"], vec!["no-such-command"]] {
            let run = sandbox.run([&form]).args(more);
            let output = run.env("PHASE_TIMEOUT", "bad").output().assert_ok();
            assert_eq!(output.text(), alone);
        }
    }
}

/// `UPDATE=1` in the environment rewrites the page.
#[test]
fn reference_page_matches_the_program() {
    let page = generated("markdown");
    let path = root().join("docs/reference.md");
    if read_to_string(&path).is_ok_and(|old| old == page) {
        return;
    }
    assert!(
        inherited("UPDATE").is_some(),
        "docs/reference.md is old: run this test once with UPDATE=1"
    );
    write(path, page).unwrap();
}

/// Returns the tags of a section's tagged paragraphs, as a reader sees them.
fn items(page: &str, section: &str) -> Vec<String> {
    let (_, rest) = page.split_once(&format!("\n.SH {section}\n")).unwrap();
    let section = rest.split("\n.SH ").next().unwrap();
    let items = section.split(".TP\n").skip(1);
    items
        .map(|item| read(item.lines().next().unwrap()))
        .collect()
}

/// Removes the formatter's escapes from a line.
fn read(line: &str) -> String {
    let mut line = line.replace("\\-", "-");
    for font in ["\\fB", "\\fI", "\\fP"] {
        line = line.replace(font, "");
    }
    assert!(!line.contains('\\'), "{line}");
    line
}

/// What is gone from the program must be gone from the page as well.
#[test]
fn man_page_lists_everything_and_no_more() {
    let page = generated("man");
    for section in [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "ENVIRONMENT",
        "FILES",
        "EXIT STATUS",
        "SIGNALS",
        "DIAGNOSTICS",
        "SECURITY",
        "EXAMPLES",
        "SEE ALSO",
    ] {
        assert!(page.contains(&format!("\n.SH {section}\n")), "no {section}");
    }
    assert_eq!(items(&page, "DIAGNOSTICS"), kinds());
    let listed = ["0".to_owned()].into_iter().chain(statuses());
    let listed: Vec<String> = listed.chain(["128+N".to_owned()]).collect();
    assert_eq!(items(&page, "EXIT STATUS"), listed);
    let named = items(&page, "ENVIRONMENT");
    let named: BTreeSet<&str> = named.iter().flat_map(|item| item.split(", ")).collect();
    let known = variables();
    assert_eq!(named, known.iter().map(String::as_str).collect());
    let rows: Vec<String> = options().iter().map(heading).collect();
    assert_eq!(items(&page, "OPTIONS"), rows);
    let text = read_all(&page);
    for name in options().iter().flat_map(OptionRow::names) {
        let words = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
        assert!(text.split(words).any(|word| word == name), "no {name}");
    }
}

fn heading(row: &OptionRow) -> String {
    let mut names = row.names();
    names.retain(|name| *name == row.name || !name.starts_with("--"));
    names.sort_by_key(String::len);
    let value = row.value.as_ref().map(|value| format!(" {value}"));
    names.join(", ") + &value.unwrap_or_default()
}

fn read_all(page: &str) -> String {
    page.replace("\\-", "-")
        .replace("\\fP", " ")
        .replace("\\fB", " ")
}

/// Neither formatter has a warning, and the name is where whatis(1) looks for it.
#[test]
fn man_page_passes_man_and_mandoc() {
    let sandbox = Sandbox::offline();
    let page = sandbox.file("phase-run.1", generated("man"));
    let run = |program: &str, options: &[&str]| {
        let mut command = Command::new(program);
        let command = command.args(options).arg(&page).env("MANWIDTH", "80");
        let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && stderr.is_empty(),
            "{program}: {stderr}"
        );
        String::from_utf8(output.stdout).unwrap()
    };
    if require_programs(&["mandoc"]) {
        assert_eq!(run("mandoc", &["-Tlint", "-Wall"]), "");
    }
    if !require_programs(&["man"]) {
        return;
    }
    let page = run("man", &["--warnings", "-l"]);
    let words: Vec<&str> = page.split_whitespace().collect();
    let words = words.join(" ");
    assert!(
        words.contains(" NAME phase-run - run a command with "),
        "{words}"
    );
    // These are ASCII hyphens, which can be copied.
    assert!(words.contains(" --header-file FILE "), "{words}");
    for line in page.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
