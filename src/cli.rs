#![forbid(unsafe_code)]
//! The command line: one table of options, and what was typed.
//!
//! [`OPTIONS`] has a row for each option; parsing, `--help`, the hints for mistyped options and all
//! that `--generate` prints come from it. [`parse`] knows neither the environment nor files: it turns
//! argv into [`ParsedArgs`], which `config` turns into decisions. Options end at `--` or at the first
//! word that is not one, as in POSIX's utility conventions (guideline 9).

pub(crate) mod generate;
pub(crate) mod help;
mod options;

use std::ffi::{OsStr, OsString};

use lexopt::Arg;

use crate::error::Error;
pub(crate) use options::{Arity, Completion, OPTIONS, Opt, Row, Value};

/// What was typed: options with their values, in order, and the command's words.
#[derive(Debug, Default)]
pub(crate) struct ParsedArgs {
    given: Vec<(Opt, OsString)>,
    /// The command and its arguments, untouched.
    pub(crate) command: Vec<OsString>,
}

impl ParsedArgs {
    pub(crate) fn has(&self, option: Opt) -> bool {
        self.count(option) > 0
    }

    pub(crate) fn count(&self, option: Opt) -> usize {
        self.bytes(option).count()
    }

    /// The values of an option, as typed.
    pub(crate) fn bytes(&self, option: Opt) -> impl Iterator<Item = &OsStr> {
        self.given
            .iter()
            .filter(move |(given, _)| *given == option)
            .map(|(_, value)| value.as_os_str())
    }

    /// The values of an option that must be text.
    ///
    /// # Errors
    /// `usage` when one is not UTF-8.
    pub(crate) fn texts(&self, option: Opt) -> Result<Vec<&str>, Error> {
        self.bytes(option)
            .map(|value| {
                value.to_str().ok_or(Error::NotUtf8 {
                    option: option.name(),
                })
            })
            .collect()
    }

    /// The value of an option that is given once or not at all.
    ///
    /// # Errors
    /// `usage` when it is not UTF-8.
    pub(crate) fn text(&self, option: Opt) -> Result<Option<&str>, Error> {
        Ok(self.texts(option)?.first().copied())
    }
}

/// Reads the arguments behind the program's name. What was read before a mistake is kept, so that
/// the mistake can be reported in the form that was asked for.
pub(crate) fn parse(arguments: Vec<OsString>) -> (ParsedArgs, Result<(), Error>) {
    let mut words = ParsedArgs::default();
    let outcome = read(arguments, &mut words);
    (words, outcome)
}

fn read(arguments: Vec<OsString>, words: &mut ParsedArgs) -> Result<(), Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut last = "";
    loop {
        let mut long = false;
        let row = match parser.next() {
            Ok(None) => return Ok(()),
            Ok(Some(Arg::Value(command))) => {
                words.command.push(command);
                // Cannot fail: a word that is no option leaves no value pending.
                words
                    .command
                    .extend(parser.raw_args().into_iter().flatten());
                return Ok(());
            }
            Ok(Some(Arg::Long(name))) => {
                long = true;
                let known = |row: &&Row| row.long == name || row.alias == Some(name);
                OPTIONS
                    .iter()
                    .find(known)
                    .ok_or_else(|| unknown_long(name))?
            }
            Ok(Some(Arg::Short(letter))) => OPTIONS
                .iter()
                .find(|row| row.short == Some(letter))
                .ok_or_else(|| unknown_short(letter))?,
            // The only mistake left: `-q=x`.
            Err(_) => return Err(Error::UnexpectedValue { option: last }),
        };
        last = row.option.name();
        let value = match row.value {
            Value::None if long && parser.optional_value().is_some() => {
                return Err(Error::UnexpectedValue { option: last });
            }
            Value::None => OsString::new(),
            Value::Text(name) | Value::MayBeEmpty(name) => {
                parser.value().map_err(|_| Error::MissingValue {
                    option: last,
                    value: name,
                })?
            }
        };
        if matches!(row.value, Value::Text(_)) && value.is_empty() {
            return Err(Error::EmptyValue { option: last });
        }
        if row.times == Arity::Once && words.has(row.option) {
            return Err(Error::RepeatedOption { option: last });
        }
        words.given.push((row.option, value));
        if matches!(row.option, Opt::Generate | Opt::Help | Opt::Version) {
            return Ok(());
        }
    }
}

/// The option that was meant: one that it begins or that begins it, or one that is a slip away for
/// every three letters.
fn unknown_long(name: &str) -> Error {
    let nearest = OPTIONS
        .iter()
        .map(|row| (distance(&name.to_lowercase(), row.long), row))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= name.len() / 3)
        .map(|(_, row)| row.option.name());
    Error::UnknownOption {
        option: format!("--{name}"),
        nearest,
    }
}

fn distance(typed: &str, known: &str) -> usize {
    match typed.len() {
        2.. if known.starts_with(typed) => 0,
        _ if typed.starts_with(known) => 1,
        _ => strsim::osa_distance(typed, known),
    }
}

fn unknown_short(letter: char) -> Error {
    let nearest = OPTIONS
        .iter()
        .find(|row| {
            row.short
                .is_some_and(|short| short.eq_ignore_ascii_case(&letter))
        })
        .map(|row| row.option.name());
    Error::UnknownOption {
        option: format!("-{letter}"),
        nearest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Result<ParsedArgs, String> {
        let (words, outcome) = parse(line.iter().map(OsString::from).collect());
        outcome.map(|()| words).map_err(|error| error.to_string())
    }

    #[test]
    fn options_end_at_the_first_word_that_is_none() {
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
            let words = parsed(&line).unwrap();
            assert_eq!(words.text(Opt::App).unwrap(), app, "{line:?}");
            assert_eq!(words.command, command, "{line:?}");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for (line, message) in [
            (vec!["--app"], "--app needs a value: NAME|ID"),
            (vec!["-a"], "--app needs a value: NAME|ID"),
            (vec!["--app", ""], "the value of --app is empty"),
            (
                vec!["--app=a", "--app-id=b"],
                "--app is given twice: it takes one value",
            ),
            (
                vec!["-q", "-q"],
                "--quiet is given twice: it takes one value",
            ),
            (vec!["--clean=yes"], "--clean takes no value"),
            (vec!["-q=x"], "--quiet takes no value"),
            (vec!["--help=x"], "--help takes no value"),
            (vec!["--nope=secret"], "there is no option --nope"),
            (vec!["-z"], "there is no option -z"),
        ] {
            assert_eq!(parsed(&line).unwrap_err(), message, "{line:?}");
        }
    }

    #[test]
    fn the_nearest_option_is_found() {
        for (typed, nearest) in [
            ("environment", Some("--env")),
            ("pat", Some("--path")),
            ("timout", Some("--timeout")),
            ("token", Some("--token-file")),
            ("keep-exist", Some("--keep-existing")),
            ("ap", Some("--app")),
            ("ENV", Some("--env")),
            ("watched", Some("--watch")),
            ("schedule", None),
            ("zzzzzzzz", None),
        ] {
            let Error::UnknownOption { nearest: found, .. } = unknown_long(typed) else {
                panic!()
            };
            assert_eq!(found, nearest, "{typed}");
        }
    }

    /// Bounded exhaustive: every line of up to five of these words is read or refused, no panic.
    #[test]
    fn no_short_line_panics() {
        let words = [
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
            for mut number in 0..words.len().pow(length) {
                let mut line = Vec::new();
                for _ in 0..length {
                    line.push(words[number % words.len()]);
                    number /= words.len();
                }
                let _ = parsed(&line);
            }
        }
    }
}
