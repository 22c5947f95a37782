#![forbid(unsafe_code)]
//! `--snapshot`: where the copy for outages is, and when it may be used.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{ConfigReader, seconds};
use crate::cli::Opt;
use crate::error::Error;

/// What to start from when Phase cannot be reached.
#[derive(Debug)]
pub(crate) struct SnapshotOptions {
    pub(crate) path: PathBuf,
    /// An older one is not used.
    pub(crate) max_age: Option<Duration>,
    /// Phase is not even asked.
    pub(crate) offline: bool,
}

impl ConfigReader<'_> {
    /// None without `--snapshot`.
    pub(super) fn snapshot(&self) -> Result<Option<SnapshotOptions>, Error> {
        const WANTS: &str = "a number of seconds above 0";
        let requires_snapshot = |option| {
            let requires = Opt::Snapshot.name();
            Err(Error::RequiresOption { option, requires })
        };
        let offline = self.switch(Opt::Offline)?;
        let typed_or_set = match self.args.has(Opt::Offline) {
            true => Opt::Offline.name(),
            false => "PHASE_OFFLINE",
        };
        let max_age = match self.text_of(Opt::SnapshotMaxAge)? {
            None => None,
            Some(given) => match seconds(&given.value).filter(|limit| !limit.is_zero()) {
                None => return Err(self.invalid_value(given, Opt::SnapshotMaxAge, WANTS)),
                limit => limit,
            },
        };
        let Some((path, _)) = self.path_of(Opt::Snapshot)? else {
            return match (max_age, offline) {
                (Some(_), _) => requires_snapshot(Opt::SnapshotMaxAge.name()),
                (None, true) => requires_snapshot(typed_or_set),
                (None, false) => Ok(None),
            };
        };
        if offline && self.args.has(Opt::Watch) {
            return Err(Error::ConflictingOptions {
                option: Opt::Watch.name(),
                other: typed_or_set,
                why: "an offline run sends no requests",
            });
        }
        Ok(Some(SnapshotOptions {
            path,
            max_age,
            offline,
        }))
    }
}
