#![forbid(unsafe_code)]
//! What was chosen on the line or by a variable, one decision at a time.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::project::{self, Project};
use super::{
    FileRule, FolderPattern, Host, InjectionOptions, KeepPolicy, Pattern, RunMode,
    SelectionOptions, Setting, Target,
};
use crate::cli::{Opt, ParsedArgs};
use crate::error::Error;
use crate::error::Source;
use crate::process::env_block::EnvBlock;

/// What one request may take unless `--timeout` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long it is tried unless `--max-wait` says otherwise.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The two places where a decision may be written.
pub(super) struct ConfigReader<'a> {
    pub(super) args: &'a ParsedArgs,
    pub(super) inherited: &'a EnvBlock,
}

impl<'a> ConfigReader<'a> {
    pub(super) fn check_contradictions(&self) -> Result<(), Error> {
        for (option, requires) in [(Opt::Pass, Opt::Clean), (Opt::LeaseTtl, Opt::Dynamic)] {
            if self.args.has(option) && !self.args.has(requires) {
                return Err(Error::RequiresOption {
                    option: option.name(),
                    requires: requires.name(),
                });
            }
        }
        for (option, other, why) in [
            (
                Opt::Keep,
                Opt::KeepExisting,
                "--keep-existing already keeps every variable",
            ),
            (Opt::Dynamic, Opt::Tags, "dynamic secrets have no tags"),
            (Opt::Verbose, Opt::Quiet, "--quiet prints only errors"),
        ] {
            if self.args.has(option) && self.args.has(other) {
                return Err(Error::ConflictingOptions {
                    option: option.name(),
                    other: other.name(),
                    why,
                });
            }
        }
        Ok(())
    }

    pub(super) fn run_mode(&self) -> Result<RunMode, Error> {
        let mut command = self.args.command.clone();
        if let Some(line) = self.args.values(Opt::Command).next() {
            let shell = ["/bin/sh", "-c"].map(OsString::from);
            // A line may start like an option of the shell.
            let is_option = matches!(line.as_encoded_bytes().first(), Some(b'-' | b'+'));
            let end = is_option.then(|| OsString::from("--"));
            command.splice(0..0, shell.into_iter().chain(end).chain([line.to_owned()]));
        }
        let (watch, supervised) = (self.watch()?, self.switch(Opt::Supervise)?);
        if self.args.has(Opt::DryRun) {
            return Ok(RunMode::DryRun(command));
        }
        match (command.is_empty(), watch, supervised) {
            (true, ..) => Err(Error::NoCommand),
            (false, Some(terms), _) => Ok(RunMode::Watch(command, terms)),
            (false, None, true) => Ok(RunMode::Supervise(command)),
            (false, None, false) => Ok(RunMode::Exec(command)),
        }
    }

    pub(super) fn selection(&self) -> Result<SelectionOptions, Error> {
        let listed = |option| -> Result<Vec<String>, Error> {
            let texts = self.args.texts(option)?;
            let items = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
            items
                .map(|item| match item {
                    "" => Err(Error::InvalidValue {
                        option: option.name(),
                        value: texts.join(","),
                        expected: "names with a comma between two",
                    }),
                    item => Ok(item.to_owned()),
                })
                .collect()
        };
        Ok(SelectionOptions {
            paths: self.paths()?,
            tags: listed(Opt::Tags)?,
            only: self.patterns(Opt::Only)?,
            except: self.patterns(Opt::Except)?,
            require: listed(Opt::Require)?,
            allow_empty: self.args.has(Opt::AllowEmpty),
        })
    }

    fn paths(&self) -> Result<Vec<FolderPattern>, Error> {
        let typed = self.args.texts(Opt::Path)?;
        if !typed.is_empty() {
            return Ok(typed
                .into_iter()
                .map(|text| FolderPattern::parse(text, "--path"))
                .collect());
        }
        let Some(list) = self.variable("PHASE_PATH")? else {
            return Ok(Vec::new());
        };
        list.split(':')
            .map(|text| match text {
                "" => Err(Error::InvalidVariable {
                    name: "PHASE_PATH",
                    value: list.to_owned(),
                    expected: "folders with a colon between two (/** is every folder)",
                }),
                text => Ok(FolderPattern::parse(text, "PHASE_PATH")),
            })
            .collect()
    }

    pub(super) fn injection(&self) -> Result<InjectionOptions, Error> {
        let keep = match self.args.has(Opt::KeepExisting) {
            true => KeepPolicy::Everything,
            false => KeepPolicy::Matching(self.patterns(Opt::Keep)?),
        };
        let clean = match self.args.has(Opt::Clean) {
            true => Some(self.patterns(Opt::Pass)?),
            false => None,
        };
        Ok(InjectionOptions {
            prefix: self.args.text(Opt::Prefix)?.unwrap_or_default().to_owned(),
            files: FileRule::parse_all(&self.args.texts(Opt::File)?)?,
            keep,
            clean,
            keep_token: self.args.has(Opt::KeepToken),
            allowed_names: self.patterns(Opt::AllowName)?,
            strict: self.args.has(Opt::Strict),
        })
    }

    fn patterns(&self, option: Opt) -> Result<Vec<Pattern>, Error> {
        let typed = self.args.texts(option)?;
        typed
            .into_iter()
            .map(|text| Pattern::parse(text, option.name()))
            .collect()
    }

    pub(super) fn host(&self) -> Result<Host, Error> {
        match self.text_of(Opt::Host)? {
            Some(Setting { value, source }) => Host::parse(&value, source),
            None => Ok(Host::phase_cloud()),
        }
    }

    pub(super) fn timeout(&self) -> Result<Duration, Error> {
        const WANTS: &str = "a number of seconds above 0";
        let Some(given) = self.text_of(Opt::Timeout)? else {
            return Ok(TIMEOUT);
        };
        seconds(&given.value)
            .filter(|timeout| !timeout.is_zero())
            .ok_or_else(|| self.invalid_value(given, Opt::Timeout, WANTS))
    }

    pub(super) fn max_wait(&self) -> Result<Duration, Error> {
        let Some(given) = self.text_of(Opt::MaxWait)? else {
            return Ok(MAX_WAIT);
        };
        seconds(&given.value).ok_or_else(|| {
            self.invalid_value(given, Opt::MaxWait, "a number of seconds, 0 or more")
        })
    }

    /// A switch: typed, or set to one of four words.
    pub(super) fn switch(&self, option: Opt) -> Result<bool, Error> {
        if self.args.has(option) {
            return Ok(true);
        }
        match self.text_of(option)? {
            None => Ok(false),
            Some(set) => match set.value.as_str() {
                "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                _ => Err(self.invalid_value(set, option, "1, true, 0 or false")),
            },
        }
    }

    pub(super) fn one_of(
        &self,
        option: Opt,
        choices: &[&str],
        wants: &'static str,
    ) -> Result<(), Error> {
        match self.text_of(option)? {
            Some(given) if !choices.contains(&given.value.as_str()) => {
                Err(self.invalid_value(given, option, wants))
            }
            _ => Ok(()),
        }
    }

    /// A wrong word is a `usage` error where it was typed, a `config` error in a variable.
    pub(super) fn invalid_value(&self, given: Setting, option: Opt, wants: &'static str) -> Error {
        match given.source {
            Source::Named(name) if name != option.name() => Error::InvalidVariable {
                name,
                value: given.value,
                expected: wants,
            },
            _ => Error::InvalidValue {
                option: option.name(),
                value: given.value,
                expected: wants,
            },
        }
    }

    /// The app and the environment, from the line, the variables, or else `.phase.json`.
    pub(super) fn target(&self) -> Result<Target, Error> {
        let behind = |word: &OsString| {
            let word = word.to_string_lossy();
            word == "-a" || word == "--app" || word.starts_with("--app=")
        };
        let mut target = Target {
            app: self.text_of(Opt::App)?,
            environment: self.text_of(Opt::Env)?,
            ignored_project: None,
            environment_scope: None,
            app_flag_after_command: self.args.command.iter().any(behind),
        };
        if target.app.is_some() && target.environment.is_some() {
            return Ok(target);
        }
        let Some(project) = Project::find(self.variable(project::DEPTH)?)? else {
            return Ok(target);
        };
        // The project's environment is its app's: another app never runs on it.
        if target
            .app
            .as_ref()
            .is_some_and(|app| !project.is_of(&app.value))
        {
            target.ignored_project = Some(project.path);
            return Ok(target);
        }
        if target.environment.is_none() {
            target.environment_scope = project.id.clone().map(|id| (id, project.path.clone()));
        }
        let app = project.app().cloned();
        let source = Source::ProjectFile(project.path);
        let sourced = |value: Option<String>| {
            let source = source.clone();
            value.map(|value| Setting { value, source })
        };
        target.app = target.app.or(sourced(app));
        target.environment = target.environment.or(sourced(project.environment));
        Ok(target)
    }

    /// What was typed, else the first of the option's variables that is set.
    pub(super) fn text_of(&self, option: Opt) -> Result<Option<Setting>, Error> {
        if let Some(value) = self.args.text(option)? {
            return Ok(Some(Setting {
                value: value.to_owned(),
                source: Source::Named(option.name()),
            }));
        }
        for name in option.spec().variables {
            if let Some(value) = self.variable(name)? {
                return Ok(Some(Setting {
                    value: value.to_owned(),
                    source: Source::Named(name),
                }));
            }
        }
        Ok(None)
    }

    /// The same for a path, which may be any bytes.
    pub(super) fn path_of(&self, option: Opt) -> Result<Option<(PathBuf, &'static str)>, Error> {
        if let Some(path) = self.args.values(option).next() {
            return Ok(Some((path.into(), option.name())));
        }
        let set = |name: &&&'static str| {
            self.inherited
                .get(name)
                .is_some_and(|value| !value.is_empty())
        };
        let name = option.spec().variables.iter().find(set);
        Ok(name.and_then(|name| Some((self.inherited.get(name)?.into(), *name))))
    }

    /// A variable; one that is set but empty is not set.
    pub(super) fn variable(&self, name: &'static str) -> Result<Option<&'a str>, Error> {
        let Some(value) = self.inherited.get(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let text = value.to_str();
        text.map(Some).ok_or_else(|| Error::InvalidVariable {
            name,
            value: value.to_string_lossy().into_owned(),
            expected: "UTF-8",
        })
    }
}

/// Whole or decimal seconds.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
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
