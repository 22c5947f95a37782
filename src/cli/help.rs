#![forbid(unsafe_code)]
//! What `--help` and `--version` print, from the table of options.

use super::{Arity, OptSpec, ValueSpec, options};

/// The width of the text of an option, without its indentation.
const TEXT_WIDTH: usize = 72;

/// Returns the text of `--help`.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "phase-run puts a Phase app's secrets in a command's environment and becomes the command.\n\n\
         Usage: phase-run [options] [--] command [argument...]\n       \
         phase-run [options] -c 'shell command line'\n\nOptions:\n",
    );
    for spec in options() {
        let short = spec
            .short
            .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        text.push_str(&format!("  {short}{}{}\n", spec.name, value_name(spec)));
        for line in wrap(&description(spec), TEXT_WIDTH) {
            text.push_str(&format!("          {line}\n"));
        }
    }
    text.push_str(
        "\nThe exit status is the command's own; 125 when phase-run fails before the command starts,\n\
         126 when the command cannot be executed, 127 when it is not there.\n",
    );
    text
}

/// Returns the text of `--version`.
pub(crate) fn version() -> String {
    format!("phase-run {}\n", env!("CARGO_PKG_VERSION"))
}

/// Returns a space and the name of the option's value, or nothing for a flag.
pub(super) fn value_name(spec: &OptSpec) -> String {
    match spec.value {
        ValueSpec::Flag => String::new(),
        ValueSpec::NonEmpty(name) | ValueSpec::MayBeEmpty(name) => format!(" {name}"),
    }
}

/// Returns the option's help text with its alias, its variables and whether it can be repeated.
pub(super) fn description(spec: &OptSpec) -> String {
    let mut text = spec.help.to_owned();
    if spec.arity == Arity::Repeatable {
        text.push_str("; repeatable");
    }
    if let Some(alias) = spec.alias {
        text.push_str(&format!("; also --{alias}"));
    }
    if !spec.variables.is_empty() {
        text.push_str(&format!(" [{}]", spec.variables.join(", ")));
    }
    text
}

/// Breaks a text at its spaces into lines shorter than `width` characters; a longer word gets
/// its own line.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
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
    fn help_is_at_most_90_columns_wide() {
        for line in help().lines() {
            assert!(line.chars().count() <= 90, "{line}");
        }
    }
}
