#![forbid(unsafe_code)]
//! The command line: the table of options, and arguments parsed according to it.
//!
//! [`options`] has one row per option; parsing, `--help`, the hint for a mistyped option and
//! everything that `--generate` prints come from these rows. [`parse`] reads neither the environment
//! nor files: it turns the arguments into [`ParsedArgs`], which `config` turns into a configuration.
//! Options end at `--` or at the first argument that is not an option (POSIX Utility Syntax
//! Guideline 9).

pub(crate) mod generate;
pub(crate) mod help;
mod options;

use std::ffi::{OsStr, OsString};

use lexopt::Arg;

use crate::error::Error;
pub(crate) use options::{Arity, Completion, Opt, OptSpec, ValueSpec, groups, options};

/// The options with their values, in order, and the command.
#[derive(Debug, Default)]
pub(crate) struct ParsedArgs {
    options: Vec<(Opt, OsString)>,
    /// The command and its arguments, unchanged.
    pub(crate) command: Vec<OsString>,
    /// Whether help was asked for by `-h`, which prints less than `--help`.
    pub(crate) wants_summary: bool,
}

impl ParsedArgs {
    /// Returns whether the option was given.
    pub(crate) fn has(&self, option: Opt) -> bool {
        self.count(option) > 0
    }

    /// Returns how often the option was given.
    pub(crate) fn count(&self, option: Opt) -> usize {
        self.values(option).count()
    }

    /// Returns the values of an option, in order.
    pub(crate) fn values(&self, option: Opt) -> impl Iterator<Item = &OsStr> {
        self.options
            .iter()
            .filter(move |(other, _)| *other == option)
            .map(|(_, value)| value.as_os_str())
    }

    /// Returns the values of an option that takes text.
    ///
    /// # Errors
    /// `usage` when a value is not UTF-8.
    pub(crate) fn texts(&self, option: Opt) -> Result<Vec<&str>, Error> {
        self.values(option)
            .map(|value| {
                value.to_str().ok_or(Error::NotUtf8 {
                    option: option.name(),
                })
            })
            .collect()
    }

    /// Returns the value of an option that takes text and cannot be repeated.
    ///
    /// # Errors
    /// `usage` when the value is not UTF-8.
    pub(crate) fn text(&self, option: Opt) -> Result<Option<&str>, Error> {
        Ok(self.texts(option)?.first().copied())
    }
}

/// Parses the arguments after the program's name. After an error, the options that were read before
/// it are returned as well, so that the error can be printed in the requested format.
pub(crate) fn parse(arguments: Vec<OsString>) -> (ParsedArgs, Result<(), Error>) {
    let mut args = ParsedArgs::default();
    let outcome = parse_into(&mut args, arguments);
    (args, outcome)
}

#[expect(
    clippy::expect_used,
    reason = "lexopt returns its errors only after an option"
)]
fn parse_into(args: &mut ParsedArgs, arguments: Vec<OsString>) -> Result<(), Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut previous: Option<&OptSpec> = None;
    loop {
        let next = parser
            .try_raw_args()
            .and_then(|words| words.peek().map(OsStr::to_owned));
        if let Some(option) = next.as_deref().and_then(option_of_several_words) {
            return Err(Error::SeveralWordsInArgument { option });
        }
        if let Some(name) = next
            .as_deref()
            .and_then(OsStr::to_str)
            .and_then(long_after_one_dash)
        {
            return Err(Error::UnknownOption {
                option: format!("-{name}"),
                nearest: find_long(name).ok().map(|spec| spec.name),
            });
        }
        let (spec, is_long) = match parser.next() {
            Ok(None) => return Ok(()),
            Ok(Some(Arg::Value(command))) => {
                let arguments = parser.raw_args().ok();
                let arguments = arguments.expect("a command leaves no option value to be read");
                args.command = [command].into_iter().chain(arguments).collect();
                return Ok(());
            }
            Ok(Some(Arg::Long(name))) => (find_long(name)?, true),
            Ok(Some(Arg::Short(letter))) => (find_short(letter)?, false),
            // The only possible error is a flag with a value, as in `-q=x`.
            Err(_) => {
                let flag = previous.expect("a value belongs to the option before it");
                return Err(Error::UnexpectedValue { option: flag.name });
            }
        };
        let value = parse_value(&mut parser, spec, is_long)?;
        if spec.arity == Arity::Once && args.has(spec.option) {
            return Err(Error::RepeatedOption { option: spec.name });
        }
        args.options.push((spec.option, value));
        args.wants_summary = spec.option == Opt::Help && !is_long;
        // These options ignore everything after them.
        if matches!(spec.option, Opt::Generate | Opt::Help | Opt::Version) {
            return Ok(());
        }
        previous = Some(spec);
    }
}

/// Reads the value of an option that was just parsed; a flag has an empty one.
fn parse_value(
    parser: &mut lexopt::Parser,
    spec: &OptSpec,
    is_long: bool,
) -> Result<OsString, Error> {
    let option = spec.name;
    let (ValueSpec::NonEmpty(name) | ValueSpec::MayBeEmpty(name)) = spec.value else {
        return match is_long && parser.optional_value().is_some() {
            true => Err(Error::UnexpectedValue { option }),
            false => Ok(OsString::new()),
        };
    };
    let missing = || Error::MissingValue {
        option,
        value: name,
    };
    let value = match parser.optional_value() {
        Some(value) => value,
        None => match parser.value() {
            // The value was forgotten. `--path=--` passes this one.
            Ok(value) if value == "--" => return Err(missing()),
            Ok(value) => value,
            Err(_) => return Err(missing()),
        },
    };
    match spec.value {
        ValueSpec::NonEmpty(_) if value.is_empty() => Err(Error::EmptyValue { option }),
        _ => Ok(value),
    }
}

/// Returns the option in front of other words in one argument, such as `-v` in `-v --app shop`. The kernel
/// passes everything after the interpreter of a `#!` line as one argument.
///
/// A value may contain white space. If it is attached to its option, one of its words must be an option,
/// and the value of `--command` counts as one word.
fn option_of_several_words(argument: &OsStr) -> Option<String> {
    let argument = argument.to_string_lossy();
    let (first, rest) = argument.split_once([' ', '\t'])?;
    let has_option = |spec: &OptSpec| {
        spec.option != Opt::Command && rest.split([' ', '\t']).any(is_option_or_end)
    };
    if first.starts_with("--") {
        let Some((name, _)) = first.split_once('=') else {
            return Some(first.to_owned());
        };
        let spec = find_long(name.trim_start_matches('-')).ok()?;
        return has_option(spec).then(|| name.to_owned());
    }
    let mut letters = first.strip_prefix('-')?.chars();
    while let Some(letter) = letters.next() {
        let spec = options().find(|spec| spec.short == Some(letter))?;
        let option = format!("-{letter}");
        match (spec.value, letters.as_str()) {
            (ValueSpec::Flag, "") => return Some(first.to_owned()),
            (ValueSpec::Flag, _) => {}
            // An attached value does not start with white space.
            (_, "") => return Some(option),
            (_, _) => return has_option(spec).then_some(option),
        }
    }
    None
}

/// Whether a word starts with the spelling of an option, or ends the options.
fn is_option_or_end(word: &str) -> bool {
    match word.strip_prefix("--") {
        Some("") => true,
        Some(long) => find_long(long.split('=').next().unwrap_or(long)).is_ok(),
        None => {
            let letter = word.strip_prefix('-').and_then(|rest| rest.chars().next());
            letter.is_some_and(|letter| options().any(|spec| spec.short == Some(letter)))
        }
    }
}

/// Returns the long name in a word such as `-app` or `-app=shop`, which would be read as `-a pp`.
fn long_after_one_dash(word: &str) -> Option<&str> {
    let name = word.strip_prefix('-')?.split(['=', ' ', '\t']).next()?;
    let is_long = |spec: &OptSpec| spec.long == name || spec.alias == Some(name);
    options().any(is_long).then_some(name)
}

fn find_long(name: &str) -> Result<&'static OptSpec, Error> {
    options()
        .find(|spec| spec.long == name || spec.alias == Some(name))
        .ok_or_else(|| Error::UnknownOption {
            option: format!("--{name}"),
            nearest: nearest_long(name),
        })
}

fn find_short(letter: char) -> Result<&'static OptSpec, Error> {
    let is_same_letter = |short: char| short.eq_ignore_ascii_case(&letter);
    options()
        .find(|spec| spec.short == Some(letter))
        .ok_or_else(|| Error::UnknownOption {
            option: format!("-{letter}"),
            nearest: options()
                .find(|spec| spec.short.is_some_and(is_same_letter))
                .map(|spec| spec.name),
        })
}

/// Names that other programs give an option, without dashes, each with the option that does the same here.
const FOREIGN_NAMES: &[(&str, Opt)] = &[
    ("exclude", Opt::Except),
    ("ignore", Opt::Except),
    ("skip", Opt::Except),
    ("include", Opt::Only),
    ("folder", Opt::Path),
    ("dir", Opt::Path),
    ("project", Opt::App),
    ("domain", Opt::Host),
    ("url", Opt::Host),
    ("preserve-env", Opt::KeepExisting),
];

/// Returns the option that was probably meant: one that starts with `unknown`, one with at most one
/// typing error for each three letters, one that `unknown` starts with, or one that other programs call so.
fn nearest_long(unknown: &str) -> Option<&'static str> {
    let unknown = unknown.to_lowercase();
    let foreign = FOREIGN_NAMES.iter().find(|(name, _)| *name == unknown);
    if let Some((_, option)) = foreign {
        return Some(option.name());
    }
    options()
        .filter_map(|spec| Some((mistyping_score(&unknown, spec.long)?, spec)))
        .min_by_key(|(score, _)| *score)
        .map(|(_, spec)| spec.name)
}

/// Returns how unlikely it is that `known` was meant; `None` if the two are not alike.
fn mistyping_score(unknown: &str, known: &str) -> Option<usize> {
    let max_errors = unknown.len() / 3;
    if unknown.len() >= 2 && known.starts_with(unknown) {
        return Some(0);
    }
    match (
        strsim::osa_distance(unknown, known),
        unknown.strip_prefix(known),
    ) {
        (errors, _) if errors <= max_errors => Some(errors),
        (_, Some(rest)) => Some(max_errors + rest.len()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Result<ParsedArgs, String> {
        let (args, outcome) = parse(line.iter().map(OsString::from).collect());
        outcome.map(|()| args).map_err(|error| error.to_string())
    }

    #[test]
    fn options_end_at_the_first_argument() {
        for (line, app, command) in [
            (
                vec!["--app", "a", "ls", "--env", "b"],
                Some("a"),
                vec!["ls", "--env", "b"],
            ),
            (
                vec!["--app=a", "--", "--app", "x"],
                Some("a"),
                vec!["--app", "x"],
            ),
            (vec!["-aa", "--", "--"], Some("a"), vec!["--"]),
            (vec!["-a=a", "-", "--"], Some("a"), vec!["-", "--"]),
            (vec!["--app-id", "a"], Some("a"), vec![]),
            (vec!["", "--app", "a"], None, vec!["", "--app", "a"]),
        ] {
            let args = parsed(&line).unwrap();
            assert_eq!(args.text(Opt::App).unwrap(), app, "{line:?}");
            assert_eq!(args.command, command, "{line:?}");
        }
    }

    #[test]
    fn parse_error_names_the_option() {
        for (line, message) in [
            (vec!["--app"], "--app requires a value: NAME|ID"),
            (vec!["-a"], "--app requires a value: NAME|ID"),
            (vec!["--app", ""], "the value of --app is empty"),
            (
                vec!["--app=a", "--app-id=b"],
                "--app was given more than once",
            ),
            (vec!["-q", "-q"], "--quiet was given more than once"),
            (vec!["--clean=yes"], "--clean does not take a value"),
            (vec!["-q=x"], "--quiet does not take a value"),
            (vec!["--help=x"], "--help does not take a value"),
            (vec!["--nope=secret"], "unknown option --nope"),
            (vec!["-z"], "unknown option -z"),
            (
                vec!["--app a --env=b -- sh", "script"],
                "several words are in one argument: \"--app …\"",
            ),
            (
                vec!["-a a -e b -- sh", "script"],
                "several words are in one argument: \"-a …\"",
            ),
        ] {
            assert_eq!(parsed(&line).unwrap_err(), message, "{line:?}");
        }
    }

    #[test]
    fn several_words_in_one_argument_are_recognized() {
        for (argument, option) in [
            ("--app shop", Some("--app")),
            ("--app=shop --env=prod", Some("--app")),
            ("--app=shop -- sh", Some("--app")),
            ("--app=my shop -eprod", Some("--app")),
            ("--app\tshop\t--env\tprod", Some("--app")),
            ("--app=shop\t-e\tprod", Some("--app")),
            ("--clean -v", Some("--clean")),
            ("--unknown word", Some("--unknown")),
            ("-- sh", Some("--")),
            ("-v --app shop", Some("-v")),
            ("-vq\t-- sh", Some("-vq")),
            ("-a shop", Some("-a")),
            ("-va shop", Some("-a")),
            ("-ashop --env=prod", Some("-a")),
            ("-c echo hi", Some("-c")),
            ("--app=my shop", None),
            ("--app=shop - a -1 --more", None),
            ("--app", None),
            ("-amy shop", None),
            ("--command=ls --app -v", None),
            ("-cls -v", None),
            ("-z word", None),
            ("- word", None),
            ("a word --app", None),
            ("", None),
        ] {
            let found = option_of_several_words(OsStr::new(argument));
            assert_eq!(found.as_deref(), option, "{argument}");
        }
    }

    #[test]
    fn unknown_option_suggests_the_nearest() {
        for (unknown, nearest) in [
            ("environment", Some("--env")),
            ("pat", Some("--path")),
            ("timout", Some("--timeout")),
            ("token", Some("--token-file")),
            ("keep-exist", Some("--keep-existing")),
            ("ap", Some("--app")),
            ("ENV", Some("--env")),
            ("watched", Some("--watch")),
            ("keep-exisiting", Some("--keep-existing")),
            ("keep-tokn", Some("--keep-token")),
            ("keep-existing-variables", Some("--keep-existing")),
            ("Exclude", Some("--except")),
            ("folder", Some("--path")),
            ("schedule", None),
            ("zzzzzzzz", None),
        ] {
            assert_eq!(nearest_long(unknown), nearest, "{unknown}");
        }
    }

    /// Tries every command line of up to five of these arguments.
    #[test]
    fn parse_never_panics() {
        let arguments = [
            "-a",
            "--app",
            "--app=",
            "-qv",
            "-c=",
            "--",
            "-",
            "x",
            "--clean=1",
        ];
        for length in 0..=5_u32 {
            for mut number in 0..arguments.len().pow(length) {
                let mut line = Vec::new();
                for _ in 0..length {
                    line.push(arguments[number % arguments.len()]);
                    number /= arguments.len();
                }
                let _ = parsed(&line);
            }
        }
    }
}
