#![forbid(unsafe_code)]
//! How the command is run: exec, supervise, watch, or a dry run.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::reader::{ConfigReader, SECONDS, requires_option, seconds};
use crate::cli::{Opt, options};
use crate::error::{CommandMissing, Error};
use crate::process::signal::Signal;
use crate::process::watch::WatchOptions;

/// The default of `--grace`: how long a restart waits for the command to end.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// How the command is run.
pub(crate) enum RunMode {
    /// Replace phase-run by the command.
    Exec,
    /// Run the command in a child process, and stay as its parent.
    Supervise,
    /// Supervise the command, and restart it when its secrets have changed.
    Watch(WatchOptions),
    /// Print what would be injected, and do not run the command.
    DryRun,
}

impl ConfigReader<'_> {
    /// Checks that this system can do what the options ask for.
    ///
    /// # Errors
    /// `usage` for `--supervise`, `--watch` and `--file`, also by a variable, if `supports_all` is false.
    pub(super) fn check_platform(&self, supports_all: bool) -> Result<(), Error> {
        if supports_all {
            return Ok(());
        }
        let watch = self.read_text(Opt::Watch)?;
        let watch = watch.map(|setting| setting.set_by.name());
        let file = self.args.has(Opt::File).then(|| Opt::File.name());
        match self.read_flag(Opt::Supervise)?.or(watch).or(file) {
            Some(option) => Err(Error::NeedsLinux { option }),
            None => Ok(()),
        }
    }

    /// Reads the command line, `--command`, `--dry-run`, `--supervise` and `--watch`. Only a dry run
    /// can have an empty command line.
    ///
    /// # Errors
    /// `usage` if there is no command or a value is invalid, `config` for an invalid variable, `exec` if an
    /// option stands in place of the command.
    pub(super) fn read_run_mode(&self) -> Result<(Vec<OsString>, RunMode), Error> {
        let command = self.read_command();
        let (watch, supervise) = (self.read_watch_options()?, self.read_flag(Opt::Supervise)?);
        let run_mode = match (self.args.has(Opt::DryRun), watch, supervise) {
            (true, ..) => RunMode::DryRun,
            (false, ..) if command.is_empty() => {
                let is_pid1 = std::process::id() == 1;
                return Err(Error::NoCommand { is_pid1 });
            }
            (false, Some(options), _) => RunMode::Watch(options),
            (false, None, Some(_)) => RunMode::Supervise,
            (false, None, None) => RunMode::Exec,
        };
        // Later errors would hide this one, and their hints would recommend options again.
        match command.first().filter(is_own_option) {
            Some(option) if !self.args.has(Opt::DryRun) => Err(Error::CommandNotFound {
                command: option.clone(),
                why: CommandMissing::OwnOption,
            }),
            _ => Ok((command, run_mode)),
        }
    }

    /// Returns the command line; with `--command`, that of a shell which runs it.
    fn read_command(&self) -> Vec<OsString> {
        let mut command = self.args.command.clone();
        if let Some(line) = self.args.values(Opt::Command).next() {
            command.splice(0..0, shell_command(line));
        }
        command
    }

    /// Reads `--watch`, `--stop-signal` and `--grace`; `None` without `--watch`. An image may set the
    /// variables of the other two for all its containers, so these do not require `--watch`.
    ///
    /// # Errors
    /// `usage` for an invalid value, and for `--stop-signal` and `--grace` without `--watch`; `config` for
    /// an invalid variable.
    fn read_watch_options(&self) -> Result<Option<WatchOptions>, Error> {
        let expected = "a number of seconds, 1 or more, without a unit, such as 60";
        let interval = self.read_parsed(Opt::Watch, expected, |text| {
            seconds(text).filter(|interval| *interval >= Duration::from_secs(1))
        })?;
        let Some(interval) = interval else {
            let mut options = [Opt::StopSignal, Opt::Grace].into_iter();
            return match options.find(|option| self.args.has(*option)) {
                Some(option) => Err(requires_option(option.name(), Opt::Watch)),
                None => Ok(None),
            };
        };
        let stop_signal =
            self.read_parsed(Opt::StopSignal, "a signal name such as TERM", Signal::parse)?;
        let grace = self.read_parsed(Opt::Grace, SECONDS, seconds)?;
        Ok(Some(WatchOptions {
            interval,
            stop_signal: stop_signal.unwrap_or(Signal::TERM),
            grace: grace.unwrap_or(DEFAULT_GRACE),
            leases_secrets: self.args.has(Opt::Dynamic),
        }))
    }
}

/// Returns the command that runs a line with a shell.
pub(super) fn shell_command(line: &OsStr) -> Vec<OsString> {
    let mut command = ["/bin/sh", "-c"].map(OsString::from).to_vec();
    // The shell would parse such a line as an option.
    if let Some(b'-' | b'+') = line.as_encoded_bytes().first() {
        command.push("--".into());
    }
    command.push(line.to_owned());
    command
}

/// Returns whether the word is a spelling of an option of phase-run, with or without its value.
fn is_own_option(word: &&OsString) -> bool {
    let word = word.to_string_lossy();
    let name = word.split('=').next();
    options().any(|spec| spec.names().any(|spelling| name == Some(&spelling)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use crate::log::Event;
    use crate::process::env_block::{EnvBlock, EnvEntry};

    #[test]
    fn what_needs_linux_is_refused_elsewhere() {
        let check = |words: &[&str], variables: &[(&str, &str)], supports_all| {
            let (args, _) = cli::parse(words.iter().map(OsString::from).collect());
            let entries = variables
                .iter()
                .map(|(name, value)| EnvEntry::new(name, value.as_bytes()).unwrap());
            let reader = ConfigReader {
                args: &args,
                inherited: &EnvBlock::new(entries.collect()),
                log: &|_: Event<'_>| {},
            };
            let error = reader.check_platform(supports_all).err();
            error.map(|error| error.to_string())
        };
        for (words, variables, option) in [
            (&["--supervise"][..], &[][..], "--supervise"),
            (&["--watch", "5", "--dry-run"], &[], "--watch"),
            (&["--file", "KEY"], &[], "--file"),
            (&[], &[("PHASE_SUPERVISE", "1")], "PHASE_SUPERVISE"),
            (&[], &[("PHASE_WATCH", "5")], "PHASE_WATCH"),
        ] {
            let expected = format!("{option} needs Linux");
            assert_eq!(check(words, variables, false), Some(expected));
            assert_eq!(check(words, variables, true), None);
        }
        let off = [("PHASE_SUPERVISE", "0"), ("PHASE_WATCH", "")];
        assert_eq!(check(&["--", "true"], &off, false), None);
    }
}
