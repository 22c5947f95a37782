#![forbid(unsafe_code)]
//! The completions: options, what can be offered for their values, and behind them whatever the
//! command's own completion offers.

use crate::cli::help::value;
use crate::cli::{Arity, Completion, OPTIONS, Row};

/// For bash.
pub(super) fn bash() -> String {
    let names = |rows: &[&Row], between| {
        let names: Vec<String> = rows.iter().flat_map(|row| row.names()).collect();
        names.join(between)
    };
    let (switches, valued): (Vec<&Row>, Vec<&Row>) = OPTIONS
        .iter()
        .partition(|row| row.takes() == Completion::Nothing);
    let letters: String = switches.iter().filter_map(|row| row.short).collect();
    let offers = valued.iter().filter_map(|row| {
        let offer = match row.takes() {
            Completion::ParsedArgs(words) => compgen(&format!("-W '{}'", words.replace('|', " "))),
            Completion::Line => compgen("-c"),
            Completion::File => "compopt -o default".to_owned(),
            Completion::Nothing | Completion::Anything => return None,
        };
        Some(format!("\t{}) {offer}; return ;;\n", names(&[row], "|")))
    });
    // The line may stand in the same word.
    let lines = of_lines().map(|name| match name.starts_with("--") {
        true => format!("{name}|{name}=*"),
        false => format!("{name}*"),
    });
    include_str!("phase-run.bash")
        .replace("@SWITCHES@", &letters)
        .replace("@LINES@", &lines.collect::<Vec<_>>().join("|"))
        .replace("@VALUED@", &names(&valued, "|"))
        .replace("@NAMES@", &names(&OPTIONS.iter().collect::<Vec<_>>(), " "))
        .replace("@OFFERS@\n", &offers.collect::<String>())
}

fn compgen(what: &str) -> String {
    format!("COMPREPLY=($(compgen {what} -- \"$current\"))")
}

/// For zsh.
pub(super) fn zsh() -> String {
    let options = OPTIONS.iter().flat_map(|row| {
        let names: Vec<String> = row.names().collect();
        let others = match row.times {
            Arity::Once => format!("({})", names.join(" ")),
            Arity::Many => "*".to_owned(),
        };
        let brief = brief(row).replace('[', "\\[").replace(']', "\\]");
        let action = match row.takes() {
            Completion::Nothing => String::new(),
            Completion::ParsedArgs(words) => format!("({})", words.replace('|', " ")),
            Completion::File => "_files".to_owned(),
            Completion::Line => "_cmdstring".to_owned(),
            Completion::Anything => " ".to_owned(),
        };
        let (short, long, value) = match value(row).trim() {
            "" => ("", "", String::new()),
            value => ("+", "=", format!(":{value}:{action}")),
        };
        let spec = move |name: String| {
            let joined = if name.starts_with("--") { long } else { short };
            let spec = format!("{others}{name}{joined}[{brief}]{value}");
            format!("\t\t{} \\\n", quoted(&spec, "'\\''"))
        };
        names.into_iter().map(spec)
    });
    include_str!("phase-run.zsh")
        .replace("@OPTIONS@\n", &options.collect::<String>())
        .replace("@LINES@", &of_lines().collect::<Vec<_>>().join("|"))
}

/// For fish.
pub(super) fn fish() -> String {
    let specs = OPTIONS.iter().flat_map(|row| {
        let equals = if row.takes() == Completion::Nothing {
            ""
        } else {
            "="
        };
        let short = row
            .short
            .map_or(String::new(), |letter| format!("{letter}/"));
        [
            Some(format!("{short}{}", row.long)),
            row.alias.map(str::to_owned),
        ]
        .into_iter()
        .flatten()
        .map(move |name| format!("{name}{equals}"))
    });
    let options = OPTIONS.iter().map(|row| {
        let names: String = row
            .names()
            .map(|name| match name.strip_prefix("--") {
                Some(long) => format!(" -l {long}"),
                None => format!(" -s {}", name.trim_start_matches('-')),
            })
            .collect();
        let offer = match row.takes() {
            Completion::Nothing => String::new(),
            Completion::ParsedArgs(words) => format!(" -x -a '{}'", words.replace('|', " ")),
            Completion::File => " -r -F".to_owned(),
            Completion::Line => " -x -a '(__fish_complete_command)'".to_owned(),
            Completion::Anything => " -x".to_owned(),
        };
        let brief = quoted(brief(row), "\\'");
        format!("complete -c phase-run -n __phase_run_is_before{names}{offer} -d {brief}\n")
    });
    let lines = OPTIONS
        .iter()
        .filter(|row| row.takes() == Completion::Line)
        .map(|row| format!("_flag_{}", row.long.replace('-', "_")));
    include_str!("phase-run.fish")
        .replace("@SPECS@", &specs.collect::<Vec<_>>().join(" "))
        .replace("@LINE@", &lines.collect::<Vec<_>>().join(" "))
        .replace("@OPTIONS@\n", &options.collect::<String>())
}

/// The names of the options that take a line for a shell.
fn of_lines() -> impl Iterator<Item = String> {
    OPTIONS
        .iter()
        .filter(|row| row.takes() == Completion::Line)
        .flat_map(|row| row.names())
}

/// The row's text without its details: a list has room for one line each.
fn brief(row: &Row) -> &'static str {
    let ends = [": ", "; "].iter();
    let briefs = ends.filter_map(|end| row.help.split_once(end));
    let brief = briefs
        .map(|(brief, _)| brief)
        .min_by_key(|brief| brief.len());
    let brief = brief.unwrap_or(row.help);
    match brief.rsplit_once(" (") {
        // One at the end, or one that was cut in the middle.
        Some((before, more)) if more.ends_with(')') || !more.contains(')') => before,
        _ => brief,
    }
}

/// One word for a shell, whose way to write a quote is `quote`.
fn quoted(word: &str, quote: &str) -> String {
    format!("'{}'", word.replace('\'', quote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::OPTIONS;

    #[test]
    fn no_description_breaks_off_inside_a_parenthesis() {
        for row in &OPTIONS {
            let brief = brief(row);
            let count = |letter| brief.matches(letter).count();
            assert_eq!(count('('), count(')'), "{}: {brief}", row.name);
            assert!(!brief.is_empty(), "{}", row.name);
        }
    }
}
