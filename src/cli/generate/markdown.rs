#![forbid(unsafe_code)]
//! The tables of the README, each between the two comments that mark its place there.

use super::facts::{STATUSES, VARIABLES};
use crate::cli::help::value_name;
use crate::cli::{Arity, options};

/// Returns all tables with their comments.
pub(super) fn tables() -> String {
    [
        ("options", option_table()),
        ("variables", variable_table()),
        ("statuses", status_table()),
    ]
    .map(|(name, table)| format!("<!-- {name}: generated -->\n{table}<!-- {name}: end -->\n"))
    .join("\n")
}

fn option_table() -> String {
    let mut table = String::from("| option | variable | meaning |\n| --- | --- | --- |\n");
    for spec in options() {
        let short = spec
            .short
            .map_or(String::new(), |letter| format!("-{letter}, "));
        let name = format!("`{short}{}{}`", spec.name, value_name(spec));
        let mut text = spec.help.replace('*', "\\*");
        if let Some(alias) = spec.alias {
            text.push_str(&format!("; also `--{alias}`"));
        }
        if spec.arity == Arity::Repeatable {
            text.push_str("; repeatable");
        }
        table.push_str(&table_row(&[&name, &code_list(spec.variables), &text]));
    }
    table
}

fn variable_table() -> String {
    let mut table = String::from("| variable | meaning |\n| --- | --- |\n");
    let of_options: Vec<&str> = options().flat_map(|spec| spec.variables).copied().collect();
    let precedence = "same as the option in the table above, which takes precedence";
    table.push_str(&table_row(&[&code_list(&of_options), precedence]));
    for (names, text) in VARIABLES {
        table.push_str(&table_row(&[&code_list(names), text]));
    }
    table
}

fn status_table() -> String {
    let mut table = String::from("| status | when |\n| --- | --- |\n");
    for (status, when) in STATUSES {
        table.push_str(&table_row(&[status, when]));
    }
    table
}

fn code_list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn table_row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}
