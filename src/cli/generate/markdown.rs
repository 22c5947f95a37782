#![forbid(unsafe_code)]
//! The README's tables, each between two comments that say where it stands there.

use super::facts::{STATUSES, VARIABLES};
use crate::cli::help::value;
use crate::cli::{Arity, OPTIONS};

/// All of them, with their comments.
pub(super) fn tables() -> String {
    [
        ("options", options()),
        ("variables", variables()),
        ("statuses", statuses()),
    ]
    .map(|(name, table)| format!("<!-- {name}: generated -->\n{table}<!-- {name}: end -->\n"))
    .join("\n")
}

fn options() -> String {
    let mut table = String::from("| option | variable | meaning |\n| --- | --- | --- |\n");
    for row in &OPTIONS {
        let short = row
            .short
            .map_or(String::new(), |letter| format!("-{letter}, "));
        let name = format!("`{short}{}{}`", row.name, value(row));
        let mut text = row.help.replace('*', "\\*");
        if let Some(alias) = row.alias {
            text.push_str(&format!("; also `--{alias}`"));
        }
        if row.times == Arity::Many {
            text.push_str("; repeatable");
        }
        table.push_str(&line(&[&name, &quoted(row.variables), &text]));
    }
    table
}

fn variables() -> String {
    let mut table = String::from("| variable | meaning |\n| --- | --- |\n");
    let beside: Vec<&str> = OPTIONS
        .iter()
        .flat_map(|row| row.variables)
        .copied()
        .collect();
    let wins = "as the option beside them above, which wins over them";
    table.push_str(&line(&[&quoted(&beside), wins]));
    for (names, text) in VARIABLES {
        table.push_str(&line(&[&quoted(names), text]));
    }
    table
}

fn statuses() -> String {
    let mut table = String::from("| status | when |\n| --- | --- |\n");
    for (status, when) in STATUSES {
        table.push_str(&line(&[status, when]));
    }
    table
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn line(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}
