#![forbid(unsafe_code)]
//! The manual page, in the macros of man(7).

use super::facts::{KINDS, STATUSES, VARIABLES};
use crate::cli::help::{meaning, value, wrapped};
use crate::cli::{OPTIONS, Row};

const PAGE: &str = include_str!("phase-run.1");

/// Short enough for mandoc(1), which calls a line of more than 80 long, with its escapes.
const WIDTH: usize = 56;

/// The whole page.
pub(super) fn page() -> String {
    let statuses: String = STATUSES
        .iter()
        .map(|(name, text)| item(name, text))
        .collect();
    let kinds: String = KINDS.iter().map(|(name, text)| item(name, text)).collect();
    PAGE.replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace(
            "@OPTIONS@\n",
            &OPTIONS.iter().map(option).collect::<String>(),
        )
        .replace("@ENVIRONMENT@\n", &environment())
        .replace("@STATUSES@\n", &statuses)
        .replace("@KINDS@\n", &kinds)
}

fn option(row: &Row) -> String {
    let names = row
        .short
        .map_or(String::new(), |letter| format!("-{letter}, "));
    let name = bold(&format!("{names}{}", row.name));
    let value = value(row);
    let value = match value.trim() {
        "" => String::new(),
        value => format!(" \\fI{}\\fP", exact(value)),
    };
    format!(".TP\n{name}{value}\n{}", text(&meaning(row)))
}

fn environment() -> String {
    let beside = OPTIONS.iter().flat_map(|row| {
        let text = format!("as `{}`", row.name);
        row.variables.iter().map(move |name| item(name, &text))
    });
    let alone = VARIABLES
        .iter()
        .map(|(names, text)| item(&names.join(", "), text));
    beside.chain(alone).collect()
}

fn item(name: &str, words: &str) -> String {
    format!(".TP\n{}\n{}", bold(name), text(words))
}

/// Words as lines of the page; options, and what stands in backquotes, in bold.
fn text(words: &str) -> String {
    let mut typed = false;
    let mut lines = String::new();
    for line in wrapped(words, WIDTH) {
        // A line that starts with one of these would be a request to the formatter.
        if line.starts_with(['.', '\'']) {
            lines.push_str("\\&");
        }
        for (n, part) in line.split('`').enumerate() {
            if n > 0 {
                typed = !typed;
                lines.push_str(if typed { "\\fB" } else { "\\fP" });
            }
            let part = if typed { exact(part) } else { prose(part) };
            lines.push_str(&part);
        }
        lines.push('\n');
    }
    lines
}

fn prose(words: &str) -> String {
    let words = words.split(' ').map(|word| {
        let (before, word) = match word.strip_prefix('(') {
            Some(inside) => ("(", inside),
            None => ("", word),
        };
        let name = word.trim_end_matches([',', ';', ':', ')']);
        match word.strip_prefix(name) {
            Some(after) if name.starts_with('-') => format!("{before}{}{after}", bold(name)),
            _ => format!("{before}{}", plain(word)),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn bold(words: &str) -> String {
    format!("\\fB{}\\fP", exact(words))
}

/// What is typed or searched for: its hyphens are those of the keyboard.
fn exact(words: &str) -> String {
    plain(words).replace('-', "\\-")
}

/// No escape of the formatter's, and nothing that only one encoding knows.
fn plain(words: &str) -> String {
    words.replace('\\', "\\e").replace('…', "...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_no_requests_to_the_formatter() {
        for (words, line) in [
            (".phase.json", "\\&.phase.json\n"),
            ("'x' \\n", "\\&'x' \\en\n"),
            (
                "in-memory (--clean, -)",
                "in-memory (\\fB\\-\\-clean\\fP, \\fB\\-\\fP)\n",
            ),
            ("`a-b` $1 …", "\\fBa\\-b\\fP $1 ...\n"),
        ] {
            assert_eq!(text(words), line);
        }
    }
}
