#![forbid(unsafe_code)]
//! What is done with the environment: exec, supervise, watch, or print what would be injected.

use std::ffi::OsString;
use std::time::Duration;

use super::reader::{ConfigReader, SECONDS, seconds};
use crate::cli::Opt;
use crate::error::Error;
use crate::process::signal::Signal;
use crate::process::watch::WatchOptions;

/// How long a restart waits for the command to end without `--grace`.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// What is done with the environment. Each mode has the command line: the program as typed and its
/// arguments.
pub(crate) enum RunMode {
    /// Replace phase-run by the command.
    Exec(Vec<OsString>),
    /// Run the command in a child process, and stay as its parent.
    Supervise(Vec<OsString>),
    /// Supervise the command, and restart it when its secrets have changed.
    Watch(Vec<OsString>, WatchOptions),
    /// Print what would be injected. The command line counts for the kernel's limits; it may be empty.
    DryRun(Vec<OsString>),
}

impl RunMode {
    /// Returns the command line.
    pub(crate) fn command(&self) -> &[OsString] {
        let (Self::Exec(command)
        | Self::Supervise(command)
        | Self::Watch(command, _)
        | Self::DryRun(command)) = self;
        command
    }
}

impl ConfigReader<'_> {
    /// Reads the command, `--command`, `--dry-run`, `--supervise` and `--watch`.
    ///
    /// # Errors
    /// `usage` when there is no command or a value is invalid, `config` for an invalid variable.
    pub(super) fn run_mode(&self) -> Result<RunMode, Error> {
        let command = self.command();
        let (watch, supervise) = (self.watch()?, self.flag(Opt::Supervise)?);
        if self.args.has(Opt::DryRun) {
            return Ok(RunMode::DryRun(command));
        }
        match (command.is_empty(), watch, supervise) {
            (true, ..) => Err(Error::NoCommand),
            (false, Some(options), _) => Ok(RunMode::Watch(command, options)),
            (false, None, Some(_)) => Ok(RunMode::Supervise(command)),
            (false, None, None) => Ok(RunMode::Exec(command)),
        }
    }

    /// Returns the command line; with `--command`, that of a shell which runs it.
    fn command(&self) -> Vec<OsString> {
        let mut command = self.args.command.clone();
        if let Some(line) = self.args.values(Opt::Command).next() {
            let shell = ["/bin/sh", "-c"].map(OsString::from);
            // The shell would take a line that starts like this for an option of its own.
            let is_option = matches!(line.as_encoded_bytes().first(), Some(b'-' | b'+'));
            let end_of_options = is_option.then(|| OsString::from("--"));
            let shell = shell.into_iter().chain(end_of_options);
            command.splice(0..0, shell.chain([line.to_owned()]));
        }
        command
    }

    /// Reads `--watch`, `--stop-signal` and `--grace`; `None` without `--watch`.
    ///
    /// # Errors
    /// `usage` for an invalid value, or for one of the others without `--watch`.
    fn watch(&self) -> Result<Option<WatchOptions>, Error> {
        let expected = "a number of seconds, 1 or more";
        let interval = self.parsed(Opt::Watch, expected, |text| {
            seconds(text).filter(|interval| *interval >= Duration::from_secs(1))
        })?;
        let Some(interval) = interval else {
            let options = [Opt::StopSignal, Opt::Grace].into_iter();
            return match options.into_iter().find(|option| self.args.has(*option)) {
                Some(option) => Err(Error::RequiresOption {
                    option: option.name(),
                    requires: Opt::Watch.name(),
                }),
                None => Ok(None),
            };
        };
        let stop_signal =
            self.parsed(Opt::StopSignal, "a signal name such as TERM", Signal::parse)?;
        let grace = self.parsed(Opt::Grace, SECONDS, seconds)?;
        Ok(Some(WatchOptions {
            interval,
            stop_signal: stop_signal.unwrap_or(Signal::TERM),
            grace: grace.unwrap_or(DEFAULT_GRACE),
            leases_secrets: self.args.has(Opt::Dynamic),
        }))
    }
}
