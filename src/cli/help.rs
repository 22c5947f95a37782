#![forbid(unsafe_code)]
//! What `-h`, `--help` and `--version` print, from the table of options.

use super::{Arity, Opt, OptSpec, ValueSpec, groups};

/// The width of a line in characters.
const WIDTH: usize = 80;

/// Where the text of an option starts in `-h`.
const SUMMARY_INDENT: usize = 27;

/// Where the text of an option starts in `--help`.
const DETAILS_INDENT: usize = 10;

const USAGE: &str = "\
Runs a command with the secrets of a Phase app in its environment.

Usage: phase-run [OPTIONS] [--] COMMAND [ARGUMENT...]
       phase-run [OPTIONS] -c LINE [ARGUMENT...]
";

/// The options that `-h` lists.
const EVERYDAY: [Opt; 16] = [
    Opt::App,
    Opt::Env,
    Opt::Path,
    Opt::Only,
    Opt::File,
    Opt::Keep,
    Opt::TokenFile,
    Opt::Host,
    Opt::Snapshot,
    Opt::Command,
    Opt::Supervise,
    Opt::Watch,
    Opt::DryRun,
    Opt::Verbose,
    Opt::Help,
    Opt::Version,
];

/// Returns the text of `-h`: the everyday options and examples.
pub(crate) fn summary() -> String {
    let mut text = String::from(USAGE);
    for (title, specs) in groups() {
        let everyday = specs.filter(|spec| EVERYDAY.contains(&spec.option));
        text.push_str(&format!("\n{title}:\n"));
        for spec in everyday {
            let names = names(spec);
            let help = without_backquotes(spec.help);
            text.push_str(&format!("  {names:<0$}{help}\n", SUMMARY_INDENT - 2));
        }
    }
    text.push_str(
        "
Examples:
  export PHASE_SERVICE_TOKEN=pss_service:v2:...
  phase-run --app shop --env production -- node server.js
  phase-run --app shop --env staging --only 'PG*' -- psql shop
  phase-run --app shop --env production --dry-run

See phase-run --help for all options.
",
    );
    text
}

/// Returns the text of `--help`: all options with their details.
pub(crate) fn help() -> String {
    let mut text = String::from(USAGE);
    for (title, specs) in groups() {
        text.push_str(&format!("\n{title}:\n"));
        for spec in specs {
            text.push_str(&format!("  {}\n", names(spec)));
            for paragraph in [meaning(spec), notes(spec)] {
                for line in wrap(&without_backquotes(&paragraph), WIDTH - DETAILS_INDENT) {
                    text.push_str(&format!("{:DETAILS_INDENT$}{line}\n", ""));
                }
            }
        }
    }
    text.push_str(
        "
Options end at -- or at the first argument that is not an option. Write a value
as --name VALUE or --name=VALUE. A GLOB is a shell pattern with *, ?, [a-z] and
[!a-z]. It is case-sensitive, and a comma does not separate patterns.

If the app or the environment is not specified, .phase.json supplies it, from
the working directory or from a parent if its monorepoSupport is true.

phase-run(1) describes the variables that have no option, such as https_proxy,
no_proxy, PHASE_SERVICE_TOKEN and PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH. To read
it: phase-run --generate man >/tmp/phase-run.1 && man /tmp/phase-run.1

The exit status is that of the command. It is 125 if phase-run fails, 126 if the
command cannot be executed, and 127 if the command does not exist.
",
    );
    text
}

/// Returns the text of `--version`.
pub(crate) fn version() -> String {
    format!("phase-run {}\n", env!("CARGO_PKG_VERSION"))
}

/// Returns the names and the value in a column of their own, as in `-a, --app NAME|ID`.
fn names(spec: &OptSpec) -> String {
    let short = spec
        .short
        .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    format!("{short}{}{}", spec.name, value_name(spec))
}

/// Returns a space and the name of the option's value, or nothing for a flag.
pub(super) fn value_name(spec: &OptSpec) -> String {
    match spec.value {
        ValueSpec::Flag => String::new(),
        ValueSpec::NonEmpty(name) | ValueSpec::MayBeEmpty(name) => format!(" {name}"),
    }
}

/// Returns the option's text and details.
pub(super) fn meaning(spec: &OptSpec) -> String {
    match spec.details {
        "" => spec.help.to_owned(),
        details => format!("{}. {details}", spec.help),
    }
}

/// Returns the option's alias, whether it can be repeated, and its variables, each in brackets.
pub(super) fn notes(spec: &OptSpec) -> String {
    let alias = spec.alias.map(|alias| format!("[also: `--{alias}`]"));
    let repeatable = match spec.arity {
        Arity::Once => None,
        Arity::Repeatable => Some("[repeatable]".to_owned()),
    };
    let variables = match spec.variables {
        [] => None,
        names => Some(format!("[env: `{}`]", names.join("`, `"))),
    };
    let notes: Vec<String> = [alias, repeatable, variables]
        .into_iter()
        .flatten()
        .collect();
    notes.join(" ")
}

/// Returns a text as a terminal shows it.
pub(super) fn without_backquotes(text: &str) -> String {
    text.replace('`', "")
}

/// Breaks a text at its spaces into lines of at most `width` characters; a longer word gets its own
/// line.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
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
    fn help_is_at_most_80_columns_wide() {
        for line in [summary(), help()].concat().lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn summary_has_two_columns_and_every_group() {
        let summary = summary();
        for option in EVERYDAY {
            let (_, line) = summary.split_once(option.name()).unwrap();
            let help = without_backquotes(option.spec().help);
            assert!(line.lines().next().unwrap().ends_with(&help), "{line}");
            assert!(names(option.spec()).len() < SUMMARY_INDENT - 2, "{line}");
        }
        for (title, specs) in groups() {
            let has_one = specs
                .into_iter()
                .any(|spec| EVERYDAY.contains(&spec.option));
            assert!(has_one, "{title} is empty");
        }
    }
}
