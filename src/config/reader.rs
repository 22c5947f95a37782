#![forbid(unsafe_code)]
//! Reads one option at a time: from the command line, or else from its variables.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::Pattern;
use crate::cli::{Opt, ParsedArgs};
use crate::encoding;
use crate::error::{Error, SetBy, Setting};
use crate::log::Log;
use crate::process::env_block::EnvBlock;

/// How messages describe what [`seconds`] accepts.
pub(super) const SECONDS: &str = "a number of seconds, 0 or more, without a unit, such as 30";

/// How messages describe what [`positive_seconds`] accepts.
pub(super) const POSITIVE_SECONDS: &str = "a number of seconds above 0, without a unit, such as 10";

/// Reads the options from the command line and from their variables.
///
/// Each method is in the file of the configuration struct that it fills: [`super::fetch`],
/// [`super::selection`], and so on.
pub(super) struct ConfigReader<'a> {
    pub(super) args: &'a ParsedArgs,
    pub(super) inherited: &'a EnvBlock,
    pub(super) log: &'a dyn Log,
}

/// Looks up the value of an option. The command line takes precedence over the option's variables, and
/// the first variable that is set and not empty over the others. For a repeated option, returns the
/// first value.
pub(super) fn lookup<'a>(
    args: &'a ParsedArgs,
    inherited: &'a EnvBlock,
    option: Opt,
) -> Option<Setting<&'a OsStr>> {
    let argument = args.values(option).next().map(|value| Setting {
        value,
        set_by: SetBy::Option(option.name()),
    });
    let variable = |name: &&'static str| {
        let value = variable_value(inherited, name)?;
        let set_by = SetBy::Variable(name);
        Some(Setting { value, set_by })
    };
    argument.or_else(|| option.spec().variables.iter().find_map(variable))
}

/// Returns the value of a variable without a byte order mark; an empty one counts as unset.
pub(super) fn variable_value<'a>(inherited: &'a EnvBlock, name: &str) -> Option<&'a OsStr> {
    let value = encoding::without_mark(inherited.get(name)?.as_bytes());
    (!value.is_empty()).then(|| OsStr::from_bytes(value))
}

impl<'a> ConfigReader<'a> {
    /// Reads an option that takes text.
    ///
    /// # Errors
    /// `usage` or, for a variable, `config` if the value is not UTF-8.
    pub(super) fn read_text(&self, option: Opt) -> Result<Option<Setting<&'a str>>, Error> {
        let Some(Setting { value, set_by }) = lookup(self.args, self.inherited, option) else {
            return Ok(None);
        };
        match value.to_str() {
            Some(value) => Ok(Some(Setting { value, set_by })),
            None => Err(match set_by {
                SetBy::Option(option) => Error::NotUtf8 { option },
                variable => not_utf8(variable.name(), value),
            }),
        }
    }

    /// Reads an option whose text `parse` understands; `expected` completes "expected …" in
    /// the error.
    ///
    /// # Errors
    /// `usage` or, for a variable, `config` if `parse` returns `None`.
    pub(super) fn read_parsed<T>(
        &self,
        option: Opt,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(setting) = self.read_text(option)? else {
            return Ok(None);
        };
        match parse(setting.value) {
            Some(value) => Ok(Some(value)),
            None => Err(invalid_value(setting, expected)),
        }
    }

    /// Reads a flag, and returns the option or variable that turns it on.
    ///
    /// # Errors
    /// `config` if a variable is not 1, true, 0 or false.
    pub(super) fn read_flag(&self, option: Opt) -> Result<Option<&'static str>, Error> {
        if self.args.has(option) {
            return Ok(Some(option.name()));
        }
        let Some(variable) = self.read_text(option)? else {
            return Ok(None);
        };
        match variable.value {
            "1" | "true" => Ok(Some(variable.set_by.name())),
            "0" | "false" => Ok(None),
            _ => Err(invalid_value(variable, "1, true, 0 or false")),
        }
    }

    /// Reads an option that takes a path, which need not be UTF-8.
    pub(super) fn read_path(&self, option: Opt) -> Option<Setting<PathBuf>> {
        let path = lookup(self.args, self.inherited, option)?;
        Some(path.map(PathBuf::from))
    }

    /// Reads a repeatable option that takes shell patterns.
    ///
    /// # Errors
    /// `usage` for a malformed pattern.
    pub(super) fn read_patterns(&self, option: Opt) -> Result<Vec<Pattern>, Error> {
        let texts = self.args.texts(option)?.into_iter();
        texts
            .map(|text| Pattern::parse(text, option.name()))
            .collect()
    }

    /// Reads a variable that belongs to no option. An empty one counts as unset.
    ///
    /// # Errors
    /// `config` if the value is not UTF-8.
    pub(super) fn read_variable(&self, name: &'static str) -> Result<Option<&'a str>, Error> {
        match variable_value(self.inherited, name) {
            Some(value) => {
                let text = value.to_str();
                text.map(Some).ok_or_else(|| not_utf8(name, value))
            }
            None => Ok(None),
        }
    }

    /// Checks the options that require or exclude each other. If a variable can set one of the two, the
    /// method that reads the option checks instead.
    ///
    /// # Errors
    /// `usage` for the first such option.
    pub(super) fn check_conflicts(&self) -> Result<(), Error> {
        // With a reason, the two exclude each other. Without one, the first requires the second.
        for (option, other, conflict) in [
            (Opt::Pass, Opt::Clean, None),
            (
                Opt::Keep,
                Opt::KeepExisting,
                Some("--keep-existing already keeps every variable"),
            ),
            (Opt::LeaseTtl, Opt::Dynamic, None),
            (
                Opt::Dynamic,
                Opt::Tags,
                Some("dynamic secrets have no tags"),
            ),
            (
                Opt::TokenFile,
                Opt::TokenCommand,
                Some("the token comes from one of them"),
            ),
            (
                Opt::TokenFile,
                Opt::Identity,
                Some("--identity obtains its own token"),
            ),
            (
                Opt::TokenCommand,
                Opt::Identity,
                Some("--identity obtains its own token"),
            ),
            (Opt::Verbose, Opt::Quiet, Some("--quiet prints only errors")),
        ] {
            if !self.args.has(option) {
                continue;
            }
            let (option, has_other) = (option.name(), self.args.has(other));
            match conflict {
                None if !has_other => {
                    return Err(requires_option(option, other));
                }
                Some(why) if has_other => {
                    let other = other.name();
                    return Err(Error::ConflictingOptions { option, other, why });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns the error for an option, or a variable, that has no effect without another option.
pub(super) fn requires_option(option: &'static str, required: Opt) -> Error {
    let variables = required.spec().variables;
    Error::RequiresOption {
        option,
        requires: required.name(),
        variable: variables.first().copied(),
    }
}

/// Returns the error for a value that its option does not take: `usage` if it is from the command
/// line, `config` if it is from a variable.
pub(super) fn invalid_value(setting: Setting<&str>, expected: &'static str) -> Error {
    let value = setting.value.to_owned();
    match setting.set_by {
        SetBy::Option(option) => Error::InvalidValue {
            option,
            value,
            expected,
        },
        variable => Error::InvalidVariable {
            name: variable.name(),
            value,
            expected,
        },
    }
}

fn not_utf8(name: &'static str, value: &OsStr) -> Error {
    Error::InvalidVariable {
        name,
        value: value.to_string_lossy().into_owned(),
        expected: "UTF-8",
    }
}

/// Parses whole or decimal seconds.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let is_decimal = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    match text.bytes().all(is_decimal) {
        true => Duration::try_from_secs_f64(text.parse().ok()?).ok(),
        false => None,
    }
}

/// Parses whole or decimal seconds above 0.
pub(super) fn positive_seconds(text: &str) -> Option<Duration> {
    seconds(text).filter(|time| !time.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_or_decimal() {
        for (text, millis) in [
            ("1", Some(1000)),
            ("0.25", Some(250)),
            (".5", Some(500)),
            ("0", Some(0)),
        ] {
            assert_eq!(seconds(text).map(|s| s.as_millis()), millis, "{text}");
        }
        for text in [
            "",
            ".",
            "-1",
            "+1",
            "1e3",
            "inf",
            "NaN",
            "1s",
            "1 ",
            "1.2.3",
            "99999999999999999999999",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
