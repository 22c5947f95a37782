//! Checks of every Markdown file: links, options and command lines, spelling and form.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::documents::{OptionRow, markdown_files, options, root, source};
use crate::support::{Sandbox, pypi_packages};

/// A fenced block of code.
struct Block<'a> {
    language: &'a str,
    text: &'a str,
}

/// Splits a document into its text without code, and its blocks of code.
fn split_code(document: &str) -> (String, Vec<Block<'_>>) {
    let mut prose = String::new();
    let mut blocks = Vec::new();
    for (number, part) in document.split("```").enumerate() {
        match part.split_once('\n') {
            Some((language, text)) if number % 2 == 1 => blocks.push(Block { language, text }),
            _ => prose.push_str(part),
        }
    }
    (prose, blocks)
}

/// Splits a text into what is outside of backquotes, and the spans between them.
fn split_code_spans(prose: &str) -> (String, Vec<&str>) {
    let outside = prose.split('`').step_by(2).collect();
    (outside, prose.split('`').skip(1).step_by(2).collect())
}

/// The anchors of a document, as GitHub makes them from its headings.
fn anchors(document: &str) -> BTreeSet<String> {
    let (prose, _) = split_code(document);
    let mut anchors = BTreeSet::new();
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    for heading in headings {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ if letter.is_alphanumeric() => Some(letter),
            _ => None,
        });
        let anchor: String = kept.collect();
        let copies = (1..).map(|number| format!("{anchor}-{number}"));
        let mut names = [anchor.clone()].into_iter().chain(copies);
        anchors.insert(names.find(|name| !anchors.contains(name)).unwrap());
    }
    anchors
}

/// The targets of the links and pictures of a document.
fn link_targets(document: &str) -> Vec<String> {
    let (prose, _) = split_code(document);
    // A code span may be the text of a link.
    let text = split_code_spans(&prose).0;
    [
        ("](", ')'),
        ("src=\"", '"'),
        ("srcset=\"", '"'),
        ("href=\"", '"'),
    ]
    .into_iter()
    .flat_map(|(start, end)| {
        let found = text.split(start).skip(1);
        found.map(move |rest| rest.split(end).next().unwrap().to_owned())
    })
    .collect()
}

#[test]
fn links_and_anchors_resolve() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for document in markdown_files() {
        let text = source(&document);
        let folder = Path::new(&document).parent().unwrap();
        for target in link_targets(&text) {
            if target.contains("://") {
                continue;
            }
            checked += 1;
            let (path, anchor) = match target.split_once('#') {
                Some((path, anchor)) => (path, Some(anchor)),
                None => (target.as_str(), None),
            };
            let path = match path {
                "" => root().join(&document),
                path => root().join(folder).join(path),
            };
            let resolves = path.exists()
                && anchor.is_none_or(|anchor| {
                    anchors(&std::fs::read_to_string(path).unwrap()).contains(anchor)
                });
            if !resolves {
                broken.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
    assert!(checked > 60, "only {checked} links were looked at");
}

#[test]
fn anchors_are_those_of_github() {
    let document = "# A `b-c`, d\n\n## `.phase.json`\n```\n# no\n```\n## A `b-c`, d\n";
    let expected = ["a-b-c-d", "a-b-c-d-1", "phasejson"];
    assert!(anchors(document).iter().eq(expected));
}

/// Options of other programs, and placeholders, that have a code span of their own.
const OTHER_OPTIONS: [&str; 1] = ["--name"];

/// A code span that starts with a hyphen is an option of phase-run. `docs/migrating.md`, which names
/// those of other programs too, has a test of its own.
#[test]
fn options_in_documents_exist() {
    let known: Vec<String> = options().iter().flat_map(OptionRow::names).collect();
    let mut unknown = Vec::new();
    let mut checked = 0;
    for document in markdown_files() {
        if document == "docs/migrating.md" {
            continue;
        }
        let text = source(&document);
        let (prose, _) = split_code(&text);
        for span in split_code_spans(&prose).1 {
            let name = span.split([' ', '=', '\n']).next().unwrap();
            let name = name.trim_end_matches(',');
            // A line of a PEM file starts with five hyphens.
            let is_option =
                name.len() > 1 && name != "--" && name.starts_with('-') && !name.starts_with("---");
            if is_option && !OTHER_OPTIONS.contains(&name) {
                checked += 1;
                if !known.contains(&name.replace("-vv", "-v")) {
                    unknown.push(format!("{document}: {span}"));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "options of nobody: {unknown:#?}");
    assert!(checked > 200, "only {checked} options were looked at");
}

/// The simple commands of a line of sh(1), each as its words. A redirection ends a command.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![vec![]];
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '#' if word.is_none() => break,
            ' ' => commands.last_mut().unwrap().extend(word.take()),
            '|' | '&' | ';' | '<' | '>' | '(' | ')' => {
                commands.last_mut().unwrap().extend(word.take());
                commands.push(vec![]);
            }
            _ => {
                let text = word.get_or_insert_default();
                match letter {
                    '\'' | '"' => text.extend(letters.by_ref().take_while(|end| *end != letter)),
                    '\\' => text.extend(letters.next()),
                    '~' if text.is_empty() => text.push_str("/home/user"),
                    _ => text.push(letter),
                }
            }
        }
    }
    commands.last_mut().unwrap().extend(word);
    commands
}

/// The lines of a block that a user types, without their prompts.
fn typed_lines(block: &Block<'_>) -> Vec<String> {
    let text = block.text.replace("\\\n", " ");
    let typed = text.lines().filter_map(|line| match block.language {
        "console" => line.trim_start().strip_prefix("$ "),
        "sh" => Some(line),
        _ => None,
    });
    typed.map(str::to_owned).collect()
}

/// Each command line in the documents is run, but can never get further than to a file of headers that
/// does not exist.
#[test]
fn documented_command_lines_parse() {
    let sandbox = Sandbox::offline();
    let mut checked = 0;
    for document in markdown_files() {
        let text = source(&document);
        let lines = split_code(&text).1;
        for line in lines.iter().flat_map(typed_lines) {
            for command in simple_commands(&line) {
                let is_variable = |word: &&String| word.contains('=') && !word.starts_with('-');
                let mut words = command.iter().skip_while(is_variable);
                if words.next().map(String::as_str) != Some("phase-run") {
                    continue;
                }
                let run = sandbox
                    .run(words)
                    .env("PHASE_APP", "shop")
                    .env("PHASE_ENV", "Production")
                    .env("PHASE_HEADER_FILE", "nowhere");
                let output = run.output();
                let parses = !output.stderr.contains("error[usage]");
                assert!(parses, "{document}: {line}\n{output}");
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "only {checked} command lines were run");
}

/// zsh, the usual shell of a Mac, passes a comment behind a typed command to the command.
#[test]
fn typed_commands_have_no_comment() {
    for document in markdown_files() {
        let text = source(&document);
        let blocks = split_code(&text).1.into_iter();
        let consoles = blocks.filter(|block| block.language == "console");
        for line in consoles.flat_map(|block| typed_lines(&block)) {
            assert!(!line.contains(" # "), "{document}: {line}");
        }
    }
}

/// Runs a program of a package from PyPI on all Markdown files.
fn lint(package: &str, module: &str, arguments: &[&str]) {
    let Some(folder) = pypi_packages(&[package]) else {
        return;
    };
    let mut python = Command::new("python3");
    let python = python.args(["-m", module]).args(arguments);
    let python = python.args(markdown_files()).current_dir(root());
    let output = python.env("PYTHONPATH", folder).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(output.status.success(), "{module}:\n{printed}");
}

#[test]
fn documents_pass_codespell() {
    // A misspelled folder in an example, and a product's name.
    let ignored = "--ignore-words-list=backedn,aks";
    lint("codespell==2.4.3", "codespell_lib", &[ignored]);
}

/// `.pymarkdown.json` has the rules; prose has at most 100 columns.
#[test]
fn documents_pass_pymarkdown() {
    let arguments = ["--config", ".pymarkdown.json", "scan"];
    lint("pymarkdownlnt==0.9.41", "pymarkdown", &arguments);
}
