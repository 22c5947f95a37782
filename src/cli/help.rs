#![forbid(unsafe_code)]
//! What `--help` and `--version` print, from the table of options.

use super::{Arity, OPTIONS, Row, Value};

/// The text of `--help`.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "phase-run puts a Phase app's secrets in a command's environment and becomes the command.\n\n\
         Usage: phase-run [options] [--] command [argument...]\n       \
         phase-run [options] -c 'shell command line'\n\nOptions:\n",
    );
    for row in &OPTIONS {
        let short = row
            .short
            .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        text.push_str(&format!("  {short}{}{}\n", row.name, value(row)));
        for line in wrapped(&meaning(row), 72) {
            text.push_str(&format!("          {line}\n"));
        }
    }
    text.push_str(
        "\nThe exit status is the command's own; 125 when phase-run fails before the command starts,\n\
         126 when the command cannot be executed, 127 when it is not there.\n",
    );
    text
}

/// The line of `--version`.
pub(crate) fn version() -> String {
    format!("phase-run {}\n", env!("CARGO_PKG_VERSION"))
}

/// The value's name behind the option's.
pub(super) fn value(row: &Row) -> String {
    match row.value {
        Value::None => String::new(),
        Value::Text(name) | Value::MayBeEmpty(name) => format!(" {name}"),
    }
}

/// The row's text, with what its other columns say.
pub(super) fn meaning(row: &Row) -> String {
    let mut text = row.help.to_owned();
    if row.times == Arity::Many {
        text.push_str("; repeatable");
    }
    if let Some(alias) = row.alias {
        text.push_str(&format!("; also --{alias}"));
    }
    if !row.variables.is_empty() {
        text.push_str(&format!(" [{}]", row.variables.join(", ")));
    }
    text
}

pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_a_terminal() {
        for line in help().lines() {
            assert!(line.chars().count() <= 90, "{line}");
        }
    }
}
