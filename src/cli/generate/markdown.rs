#![forbid(unsafe_code)]
//! The page `docs/reference.md`.

use super::facts::{STATUSES, VARIABLES};
use crate::cli::help::{meaning, value_name};
use crate::cli::{Arity, OptSpec, groups, options};
use crate::error::KINDS;

const TEMPLATE: &str = include_str!("reference.md");

/// Returns the whole page.
pub(super) fn reference() -> String {
    TEMPLATE
        .replace("@OPTIONS@\n", &option_tables())
        .replace("@VARIABLES@\n", &variable_table())
        .replace("@STATUSES@\n", &status_table())
        .replace("@KINDS@\n", &kind_table())
}

/// Returns a heading and a table for each group of options.
fn option_tables() -> String {
    let mut text = String::new();
    for (title, specs) in groups() {
        let rows = specs.map(|spec| {
            [
                option_name(spec),
                code_list(spec.variables),
                option_meaning(spec),
            ]
        });
        let table = table(["option", "variable", "meaning"], rows);
        text.push_str(&format!("### {title}\n\n{table}\n"));
    }
    text
}

fn option_name(spec: &OptSpec) -> String {
    let short = spec
        .short
        .map_or(String::new(), |letter| format!("-{letter}, "));
    format!("`{short}{}{}`", spec.name, value_name(spec))
}

fn option_meaning(spec: &OptSpec) -> String {
    let mut text = meaning(spec);
    if !text.ends_with('.') {
        text.push('.');
    }
    if let Some(alias) = spec.alias {
        text.push_str(&format!(" Also `--{alias}`."));
    }
    if spec.arity == Arity::Repeatable {
        text.push_str(" Repeatable.");
    }
    text
}

fn variable_table() -> String {
    let of_options = options().flat_map(|spec| {
        let text = format!("same as `{}`", spec.name);
        let variables = spec.variables.iter();
        variables.map(move |name| [format!("`{name}`"), text.clone()])
    });
    let others = VARIABLES
        .iter()
        .map(|(names, text)| [code_list(names), (*text).to_owned()]);
    table(["variable", "meaning"], of_options.chain(others))
}

fn status_table() -> String {
    let rows = STATUSES
        .iter()
        .map(|(status, when)| [format!("`{status}`"), (*when).to_owned()]);
    table(["status", "when"], rows)
}

fn kind_table() -> String {
    let rows = KINDS.iter().map(|kind| {
        let mut statuses: Vec<String> = kind.exit_statuses.iter().map(u8::to_string).collect();
        statuses.sort();
        statuses.dedup();
        [
            format!("`{}`", kind.name),
            statuses.join(", "),
            kind.meaning.to_owned(),
        ]
    });
    table(["kind", "status", "when"], rows)
}

fn table<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rule = format!("|{}\n", " --- |".repeat(N));
    let rows = rows.into_iter().map(|cells| row(&cells));
    [row(&heading.map(str::to_owned)), rule]
        .into_iter()
        .chain(rows)
        .collect()
}

fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn code_list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
