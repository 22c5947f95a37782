#![forbid(unsafe_code)]
//! Where the snapshot is, and when it may be used.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{
    ConfigReader, POSITIVE_SECONDS, invalid_value, positive_seconds, requires_option,
};
use crate::cli::Opt;
use crate::error::{Error, Setting, WHOLE_PATH};

/// `--snapshot`: the encrypted copy that is used when Phase cannot be reached.
#[derive(Debug)]
pub(crate) struct SnapshotOptions {
    pub(crate) file: Setting<PathBuf>,
    /// The maximum age of a snapshot that may be used.
    pub(crate) max_age: Option<Duration>,
    /// The option or variable by which only the snapshot is used, and nothing is sent.
    pub(crate) offline: Option<&'static str>,
}

impl ConfigReader<'_> {
    /// Reads `--snapshot`, `--snapshot-max-age` and `--offline`; `None` without `--snapshot`.
    ///
    /// # Errors
    /// `usage` for an invalid value, for `--snapshot-max-age` or `--offline` without `--snapshot`, and for
    /// `--watch` with `--offline`; `config` for an invalid variable.
    pub(super) fn read_snapshot(&self) -> Result<Option<SnapshotOptions>, Error> {
        let offline = self.read_flag(Opt::Offline)?;
        let max_age = self.read_parsed(Opt::SnapshotMaxAge, POSITIVE_SECONDS, positive_seconds)?;
        let Some(setting) = self.read_path(Opt::Snapshot) else {
            let max_age = max_age.map(|_| Opt::SnapshotMaxAge.name());
            return match max_age.or(offline) {
                Some(option) => Err(requires_option(option, Opt::Snapshot)),
                None => Ok(None),
            };
        };
        if let Some(offline) = offline
            && let Some(watch) = self.read_text(Opt::Watch)?
        {
            return Err(Error::ConflictingOptions {
                option: watch.set_by.name(),
                other: offline,
                why: "an offline run sends no requests",
            });
        }
        let text = setting.value.to_string_lossy().into_owned();
        // Nobody means a directory of this name, and the next outage would be the time to notice.
        if text.starts_with('~') && text.contains('/') {
            return Err(invalid_value(setting.map(|_| text.as_str()), WHOLE_PATH));
        }
        // The system would take such a path for that of a directory.
        let name = text.rsplit('/').next();
        if name.is_some_and(|name| ["", ".", ".."].contains(&name)) {
            let expected = "the path of a file, not of a directory";
            return Err(invalid_value(setting.map(|_| text.as_str()), expected));
        }
        Ok(Some(SnapshotOptions {
            file: setting,
            max_age,
            offline,
        }))
    }
}
