#![forbid(unsafe_code)]
//! `--watch`, and how a restart stops the command.

use std::time::Duration;

use super::Setting;
use super::reader::{ConfigReader, seconds};
use crate::cli::Opt;
use crate::error::Error;
use crate::process::signal::Signal;
use crate::process::watch::WatchOptions;

/// How long a command that was told to stop may take to, unless `--grace` says otherwise.
const GRACE: Duration = Duration::from_secs(10);

impl ConfigReader<'_> {
    /// None without `--watch`.
    pub(super) fn watch(&self) -> Result<Option<WatchOptions>, Error> {
        let Some(given) = self.text_of(Opt::Watch)? else {
            let unused = [Opt::StopSignal, Opt::Grace];
            return match unused.into_iter().find(|option| self.args.has(*option)) {
                Some(option) => Err(Error::RequiresOption {
                    option: option.name(),
                    requires: Opt::Watch.name(),
                }),
                None => Ok(None),
            };
        };
        let interval = seconds(&given.value).filter(|interval| *interval >= Duration::from_secs(1));
        let wants = "a number of seconds, 1 or more";
        let interval = interval.ok_or_else(|| self.invalid_value(given, Opt::Watch, wants))?;
        let chosen = |Setting { value, source }| match Signal::parse(&value) {
            Some(signal) => Ok(signal),
            None => {
                let given = Setting { value, source };
                Err(self.invalid_value(
                    given,
                    Opt::StopSignal,
                    "the name of a signal, such as TERM",
                ))
            }
        };
        let stop = self.text_of(Opt::StopSignal)?.map(chosen).transpose()?;
        let grace = match self.text_of(Opt::Grace)? {
            None => GRACE,
            Some(given) => seconds(&given.value).ok_or_else(|| {
                self.invalid_value(given, Opt::Grace, "a number of seconds, 0 or more")
            })?,
        };
        Ok(Some(WatchOptions {
            interval,
            stop_signal: stop.unwrap_or(Signal::TERM),
            grace,
            leases_secrets: self.args.has(Opt::Dynamic),
        }))
    }
}
