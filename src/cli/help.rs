#![forbid(unsafe_code)]
//! What is rendered from the table of options: `--help`, `--version`, and the README's table.

use super::{OPTIONS, Row, Times, Value};

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

fn value(row: &Row) -> String {
    match row.value {
        Value::None => String::new(),
        Value::Text(name) | Value::MayBeEmpty(name) => format!(" {name}"),
    }
}

/// The row's text, with what its other columns say.
fn meaning(row: &Row) -> String {
    let mut text = row.help.to_owned();
    if row.times == Times::Many {
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

fn wrapped(text: &str, width: usize) -> Vec<String> {
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
    use std::path::Path;

    use super::*;

    const START: &str = "<!-- options: generated -->\n";
    const END: &str = "<!-- options: end -->\n";

    fn markdown() -> String {
        let cell = |text: &str| text.replace('|', "\\|");
        let mut table = String::from("| option | variable | meaning |\n| --- | --- | --- |\n");
        for row in &OPTIONS {
            let short = row
                .short
                .map(|letter| format!("-{letter}, "))
                .unwrap_or_default();
            let variables: Vec<String> = row
                .variables
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            let mut text = row.help.to_owned();
            if let Some(alias) = row.alias {
                text.push_str(&format!("; also `--{alias}`"));
            }
            if row.times == Times::Many {
                text.push_str("; repeatable");
            }
            table.push_str(&format!(
                "| `{short}{}{}` | {} | {} |\n",
                row.name,
                cell(&value(row)),
                variables.join(", "),
                cell(&text).replace('*', "\\*")
            ));
        }
        table
    }

    /// `UPDATE=1` rewrites it.
    #[test]
    fn the_readme_has_the_table_as_it_is() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let readme = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = readme
            .split_once(START)
            .expect("the README marks where the table starts");
        let (table, after) = rest
            .split_once(END)
            .expect("the README marks where the table ends");
        if table != markdown() {
            #[expect(
                clippy::disallowed_methods,
                reason = "a switch for whoever runs the tests"
            )]
            let update = std::env::var_os("UPDATE").is_some();
            assert!(
                update,
                "the README's table of options is old: run the tests once with UPDATE=1"
            );
            std::fs::write(&path, format!("{before}{START}{}{END}{after}", markdown())).unwrap();
        }
    }

    #[test]
    fn help_fits_a_terminal() {
        for line in help().lines() {
            assert!(line.chars().count() <= 90, "{line}");
        }
    }
}
