#![forbid(unsafe_code)]
//! The shell completions: options and their values, and then the command's own completion.

use crate::cli::help::{value_name, without_backquotes};
use crate::cli::{Arity, Completion, Opt, OptSpec, options};

/// Returns the completion for bash.
pub(super) fn bash() -> String {
    let names = |specs: &[&OptSpec], separator| {
        let names: Vec<String> = specs.iter().flat_map(|spec| spec.names()).collect();
        names.join(separator)
    };
    let (flags, valued): (Vec<&OptSpec>, Vec<&OptSpec>) =
        options().partition(|spec| spec.completion() == Completion::NoValue);
    let letters: String = flags.iter().filter_map(|spec| spec.short).collect();
    let offers = valued.iter().filter_map(|spec| {
        let offer = match spec.completion() {
            Completion::OneOf(words) => compgen(&format!("-W '{}'", words.replace('|', " "))),
            Completion::CommandLine => compgen("-c"),
            Completion::File => "compopt -o default".to_owned(),
            Completion::NoValue | Completion::AnyText => return None,
        };
        Some(format!("\t{}) {offer}; return ;;\n", names(&[spec], "|")))
    });
    // The command line may be part of the same word.
    let lines = Opt::Command
        .spec()
        .names()
        .map(|name| match name.starts_with("--") {
            true => format!("{name}|{name}=*"),
            false => format!("{name}*"),
        });
    include_str!("phase-run.bash")
        .replace("@SWITCHES@", &letters)
        .replace("@LINES@", &lines.collect::<Vec<_>>().join("|"))
        .replace("@VALUED@", &names(&valued, "|"))
        .replace("@NAMES@", &names(&options().collect::<Vec<_>>(), " "))
        .replace("@OFFERS@\n", &offers.collect::<String>())
}

fn compgen(arguments: &str) -> String {
    format!("COMPREPLY=($(compgen {arguments} -- \"$current\"))")
}

/// Returns the completion for zsh.
pub(super) fn zsh() -> String {
    let specs = options().flat_map(|spec| {
        let names: Vec<String> = spec.names().collect();
        let excluded = match spec.arity {
            Arity::Once => format!("({})", names.join(" ")),
            Arity::Repeatable => "*".to_owned(),
        };
        let description = without_backquotes(spec.help)
            .replace('[', "\\[")
            .replace(']', "\\]");
        let action = match spec.completion() {
            Completion::NoValue => String::new(),
            Completion::OneOf(words) => format!("({})", words.replace('|', " ")),
            Completion::File => "_files".to_owned(),
            Completion::CommandLine => "_cmdstring".to_owned(),
            Completion::AnyText => " ".to_owned(),
        };
        let (short, long, value) = match value_name(spec).trim() {
            "" => ("", "", String::new()),
            value => ("+", "=", format!(":{value}:{action}")),
        };
        let argument = move |name: String| {
            let joined = if name.starts_with("--") { long } else { short };
            let argument = format!("{excluded}{name}{joined}[{description}]{value}");
            format!("\t\t{} \\\n", single_quoted(&argument, "'\\''"))
        };
        names.into_iter().map(argument)
    });
    include_str!("phase-run.zsh")
        .replace("@OPTIONS@\n", &specs.collect::<String>())
        .replace(
            "@LINES@",
            &Opt::Command.spec().names().collect::<Vec<_>>().join("|"),
        )
}

/// Returns the completion for fish.
pub(super) fn fish() -> String {
    // The argument specifications of fish's argparse.
    let argparse = options().flat_map(|spec| {
        let equals = match spec.completion() {
            Completion::NoValue => "",
            _ => "=",
        };
        let short = spec
            .short
            .map_or(String::new(), |letter| format!("{letter}/"));
        [
            Some(format!("{short}{}", spec.long)),
            spec.alias.map(str::to_owned),
        ]
        .into_iter()
        .flatten()
        .map(move |name| format!("{name}{equals}"))
    });
    let completions = options().map(|spec| {
        let names: String = spec
            .names()
            .map(|name| match name.strip_prefix("--") {
                Some(long) => format!(" -l {long}"),
                None => format!(" -s {}", name.trim_start_matches('-')),
            })
            .collect();
        let offer = match spec.completion() {
            Completion::NoValue => String::new(),
            Completion::OneOf(words) => format!(" -x -a '{}'", words.replace('|', " ")),
            Completion::File => " -r -F".to_owned(),
            Completion::CommandLine => " -x -a '(__fish_complete_command)'".to_owned(),
            Completion::AnyText => " -x".to_owned(),
        };
        let text = single_quoted(&without_backquotes(spec.help), "\\'");
        format!("complete -c phase-run -n __phase_run_is_before{names}{offer} -d {text}\n")
    });
    include_str!("phase-run.fish")
        .replace("@SPECS@", &argparse.collect::<Vec<_>>().join(" "))
        .replace("@LINE@", &format!("_flag_{}", Opt::Command.spec().long))
        .replace("@OPTIONS@\n", &completions.collect::<String>())
}

/// Quotes a word for a shell that writes a single quote inside of single quotes as `escaped_quote`.
fn single_quoted(word: &str, escaped_quote: &str) -> String {
    format!("'{}'", word.replace('\'', escaped_quote))
}
