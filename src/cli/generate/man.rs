#![forbid(unsafe_code)]
//! The manual page, written with the macros of man(7).

use super::facts::{STATUSES, VARIABLES};
use crate::cli::help::{meaning, notes, value_name, wrap};
use crate::cli::{OptSpec, groups, options};
use crate::error::KINDS;

const TEMPLATE: &str = include_str!("phase-run.1");

/// The width of a source line in characters. mandoc(1) warns about lines of more than 80, with their
/// escapes.
const WIDTH: usize = 56;

/// Returns the whole page.
pub(super) fn page() -> String {
    let statuses = STATUSES.iter().map(|(status, when)| item(status, when));
    let kinds = KINDS.iter().map(|kind| item(kind.name, kind.meaning));
    TEMPLATE
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@OPTIONS@\n", &option_groups())
        .replace("@ENVIRONMENT@\n", &variable_items())
        .replace("@STATUSES@\n", &statuses.collect::<String>())
        .replace("@KINDS@\n", &kinds.collect::<String>())
}

/// Returns a subsection for each group of options.
fn option_groups() -> String {
    groups()
        .map(|(title, specs)| {
            let items: String = specs.map(option_item).collect();
            format!(".SS {title}\n{items}")
        })
        .collect()
}

fn option_item(spec: &OptSpec) -> String {
    let short = spec
        .short
        .map_or(String::new(), |letter| format!("-{letter}, "));
    let name = bold(&format!("{short}{}", spec.name));
    let value = match value_name(spec).trim() {
        "" => String::new(),
        value => format!(" \\fI{}\\fP", literal(value)),
    };
    format!(
        ".TP\n{name}{value}\n{}",
        paragraph(&format!("{} {}", meaning(spec), notes(spec)))
    )
}

fn variable_items() -> String {
    let of_options = options().flat_map(|spec| {
        let text = format!("same as `{}`", spec.name);
        spec.variables.iter().map(move |name| item(name, &text))
    });
    let others = VARIABLES
        .iter()
        .map(|(names, text)| item(&names.join(", "), text));
    of_options.chain(others).collect()
}

/// Returns a tagged paragraph: a bold name and the text about it.
fn item(name: &str, text: &str) -> String {
    format!(".TP\n{}\n{}", bold(name), paragraph(text))
}

/// Returns the text as source lines; what stands between backquotes is bold.
fn paragraph(text: &str) -> String {
    let mut in_backquotes = false;
    let mut lines = String::new();
    for line in wrap(text, WIDTH) {
        // A line that starts with one of these would be a request to the formatter.
        if line.starts_with(['.', '\'']) {
            lines.push_str("\\&");
        }
        for (n, part) in line.split('`').enumerate() {
            if n > 0 {
                in_backquotes = !in_backquotes;
                lines.push_str(if in_backquotes { "\\fB" } else { "\\fP" });
            }
            let part = match in_backquotes {
                true => literal(part),
                false => escape(part),
            };
            lines.push_str(&part);
        }
        lines.push('\n');
    }
    lines
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fP", literal(text))
}

/// Escapes a text that is typed or searched for: its hyphens must stay ASCII hyphens.
fn literal(text: &str) -> String {
    escape(text).replace('-', "\\-")
}

/// Escapes backslashes and replaces `…`, the only character that is not ASCII.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('…', "...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraph_escapes_formatter_requests() {
        for (text, line) in [
            (".phase.json", "\\&.phase.json\n"),
            ("'x' \\n", "\\&'x' \\en\n"),
            ("in-memory (`--clean`)", "in-memory (\\fB\\-\\-clean\\fP)\n"),
            ("`a-b` $1 …", "\\fBa\\-b\\fP $1 ...\n"),
        ] {
            assert_eq!(paragraph(text), line);
        }
    }
}
