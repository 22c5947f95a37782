#![forbid(unsafe_code)]
//! The snapshot: an encrypted copy of the selected and resolved secrets, for outages of Phase.
//!
//! [`Snapshot::fetch_or_restore`] runs a fetch. It writes what was fetched to the snapshot, falls back to
//! it in an outage, and removes it if Phase denies access. [`file`] reads and writes the file,
//! [`format`] encrypts its contents, and [`binding`] encodes the settings that a snapshot is bound to.

mod binding;
mod file;
mod format;

use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::auth::Credential;
use crate::cli::Opt;
use crate::config::{FetchConfig, SelectionOptions, SnapshotOptions};
use crate::error::{Error, SnapshotError, env_file_hint};
use crate::log::{Event, Log};
use crate::phase::{FetchedTarget, LeaseExpiry, is_outage};
use crate::secret::Secret;
use binding::Binding;
use format::SnapshotContents;
#[cfg(any(test, fuzzing))]
pub(crate) use format::fuzz;

/// What the secrets are fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchPurpose {
    /// A command is about to start.
    Start,
    /// A standby of a watch looks for changes or takes new leases. In an outage the poll must fail,
    /// so the snapshot is not used.
    Standby,
    /// The user lists the secrets. The snapshot is read but neither written nor removed.
    DryRun,
}

/// What a fetch has returned, after the selection.
pub(crate) struct Fetched {
    pub(crate) secrets: Vec<Secret>,
    /// Why some references are left that the next start may resolve.
    pub(crate) unfetched_reason: Option<String>,
    pub(crate) target: FetchedTarget,
    /// When the first lease expires, if anything was leased.
    pub(crate) lease: Option<LeaseExpiry>,
}

/// The snapshot of one configuration and one token.
pub(crate) struct Snapshot<'a> {
    options: &'a SnapshotOptions,
    fetch_config: &'a FetchConfig,
    selection: &'a SelectionOptions,
    credential: &'a Credential,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(
        options: &'a SnapshotOptions,
        fetch_config: &'a FetchConfig,
        selection: &'a SelectionOptions,
        credential: &'a Credential,
    ) -> Self {
        Self {
            options,
            fetch_config,
            selection,
            credential,
        }
    }

    /// Runs `fetch` and falls back to the snapshot during an outage, or uses only the snapshot with
    /// `--offline`. `check_restored` checks what is read from the snapshot; `fetch` has already checked
    /// what it returns. The second element says when the first lease expires; it is `None` without leases
    /// and if the snapshot was used.
    ///
    /// # Errors
    /// Those of `fetch` and `check_restored`. With `--offline`, `snapshot` if the snapshot cannot be used
    /// and `config` if the app or the environment is missing.
    pub(crate) fn fetch_or_restore(
        &self,
        fetch: impl FnOnce() -> Result<Fetched, Error>,
        check_restored: impl FnOnce(&[Secret]) -> Result<(), Error>,
        purpose: FetchPurpose,
        log: &dyn Log,
    ) -> Result<(Vec<Secret>, Option<LeaseExpiry>), Error> {
        let path = &self.options.file.value.display().to_string();
        if let Some(offline) = self.options.offline {
            self.check_target()?;
            let (secrets, age) = self.restore().map_err(|why| Error::SnapshotUnusable {
                file: self.options.file.clone(),
                why,
                offline,
            })?;
            let why = &format!("{offline} is set");
            log.log(Event::SnapshotUsed { path, age, why });
            return check_restored(&secrets).map(|()| (secrets, None));
        }
        let error = match fetch() {
            Ok(Fetched {
                secrets,
                unfetched_reason,
                target,
                lease,
            }) => {
                if purpose != FetchPurpose::DryRun {
                    let written = match unfetched_reason {
                        // A copy from an earlier start has the values.
                        Some(why) => Err(format!("references are not resolved: {why}")),
                        None => self.write(&secrets, &target),
                    };
                    match written {
                        Ok(()) => log.log(Event::SnapshotWritten { path }),
                        Err(why) => log.log(Event::SnapshotWriteFailed {
                            path,
                            why: &self.with_env_file_hint(why),
                        }),
                    }
                }
                return Ok((secrets, lease));
            }
            Err(error) => error,
        };
        match classify(&error) {
            FailureClass::Outage if purpose != FetchPurpose::Standby => match self.restore() {
                Ok((secrets, age)) => {
                    let why = &error.to_string();
                    log.log(Event::SnapshotUsed { path, age, why });
                    return check_restored(&secrets).map(|()| (secrets, None));
                }
                Err(why) => {
                    let why = &self.with_env_file_hint(why.to_string());
                    log.log(Event::SnapshotUnusable { path, why });
                }
            },
            FailureClass::Refusal if purpose != FetchPurpose::DryRun => {
                self.remove_refused(&error, log);
            }
            FailureClass::Outage | FailureClass::Refusal | FailureClass::Other => {}
        }
        Err(error)
    }

    /// Checks that an app and an environment are given, which a fetch would have done.
    fn check_target(&self) -> Result<(), Error> {
        let target = &self.fetch_config.target;
        match (&target.app, &target.environment) {
            (None, _) => Err(Error::NoApp {
                readable: vec![],
                ignored_project: target.ignored_project.clone(),
                misplaced: target.misplaced,
            }),
            (Some(app), None) => Err(Error::NoEnvironment {
                app: app.value.clone(),
                readable: vec![],
                ignored_project: target.ignored_project.clone(),
            }),
            (Some(_), Some(_)) => Ok(()),
        }
    }

    /// Removes the snapshot after a refusal, if it holds what was refused: it was made with the refused
    /// token and, unless the token itself was refused, with these settings.
    fn remove_refused(&self, refusal: &Error, log: &dyn Log) {
        let path = &self.options.file.value.display().to_string();
        file::remove_leftovers(&self.options.file.value);
        let removed = self.decrypt().and_then(|(snapshot, contents)| {
            match (self.binding().check(&contents.binding), refusal) {
                // Another host knows nothing of the token.
                (
                    Err(SnapshotError::OtherSettings { setting, .. }),
                    Error::TokenRejected { .. },
                ) if setting != Opt::Host.name() => {}
                (checked, _) => checked?,
            }
            file::remove(&self.options.file.value, &snapshot)
        });
        match removed {
            Ok(()) => log.log(Event::SnapshotRemoved { path }),
            Err(SnapshotError::Missing) => {}
            Err(why @ (SnapshotError::Undecryptable | SnapshotError::OtherSettings { .. })) => {
                let why = &why.to_string();
                log.log(Event::SnapshotKept { path, why });
            }
            Err(why) => {
                let why = &why.to_string();
                log.log(Event::SnapshotRemoveFailed { path, why });
            }
        }
    }

    /// Reads the snapshot. Returns its secrets and its age, or `None` if the age is unknown.
    fn restore(&self) -> Result<(Vec<Secret>, Option<Duration>), SnapshotError> {
        let (_, contents) = self.decrypt()?;
        self.binding().check(&contents.binding)?;
        check_usable(contents, unix_time(), self.options.max_age)
    }

    /// Reads the snapshot with this token, whatever its settings are. Returns the open file too.
    fn decrypt(&self) -> Result<(File, SnapshotContents), SnapshotError> {
        let (file, bytes) = file::read(&self.options.file.value)?;
        let contents = format::decrypt(bytes, &self.credential.token);
        Ok((file, contents.ok_or(SnapshotError::Undecryptable)?))
    }

    /// Writes these secrets to the snapshot. The error is the reason, for the log.
    fn write(&self, secrets: &[Secret], target: &FetchedTarget) -> Result<(), String> {
        let binding = self.binding().encode(target);
        let bytes = format::encrypt(secrets, unix_time(), &self.credential.token, &binding)?;
        file::replace(&self.options.file.value, &bytes)
    }

    /// Adds to the reason of a failure what an env file may have left in the path.
    fn with_env_file_hint(&self, why: String) -> String {
        let SnapshotOptions { file, .. } = self.options;
        match env_file_hint(&file.set_by, &file.value) {
            Some(hint) => format!("{why}; {hint}"),
            None => why,
        }
    }

    fn binding(&self) -> Binding {
        Binding::new(self.fetch_config, self.selection)
    }
}

/// Returns the secrets and their age, or why they must not be used.
///
/// The age is `None` if the clock is behind the time of the snapshot. During an outage the clock is often
/// unset, and a wrong clock must not prevent a start. Forging the time requires the ability to write
/// snapshots.
fn check_usable(
    contents: SnapshotContents,
    now: Duration,
    max_age: Option<Duration>,
) -> Result<(Vec<Secret>, Option<Duration>), SnapshotError> {
    let age = now.checked_sub(contents.created);
    match (age, max_age) {
        (Some(age), Some(limit)) if age > limit => Err(SnapshotError::TooOld { age, limit }),
        _ if !contents.leased.is_empty() => Err(SnapshotError::LeasedSecrets {
            names: contents.leased,
        }),
        _ => Ok((contents.secrets, age)),
    }
}

/// Returns the time since 1970 by this machine's clock, or zero if the clock is before 1970.
fn unix_time() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// What a failed fetch means for the snapshot.
#[derive(Debug, PartialEq, Eq)]
enum FailureClass {
    /// Phase is unreachable or overloaded: the snapshot may be used.
    Outage,
    /// Phase says that the token has no (or no longer) access: the snapshot that it made is removed.
    Refusal,
    /// Any other failure: the snapshot is neither used nor removed.
    Other,
}

fn classify(error: &Error) -> FailureClass {
    match error {
        error if is_outage(error) => FailureClass::Outage,
        Error::TokenRejected { .. }
        | Error::AccessDenied { .. }
        | Error::AddressDenied { .. }
        | Error::ListingDenied { .. } => FailureClass::Refusal,
        _ => FailureClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age_of(
        created: u64,
        now: u64,
        max_age: Option<u64>,
    ) -> Result<Option<Duration>, SnapshotError> {
        let contents = SnapshotContents {
            created: Duration::from_secs(created),
            binding: vec![],
            leased: vec![],
            secrets: vec![],
        };
        let max_age = max_age.map(Duration::from_secs);
        check_usable(contents, Duration::from_secs(now), max_age).map(|(_, age)| age)
    }

    /// A clock that jumps ahead makes a snapshot old. One that jumps back makes its age unknown.
    #[test]
    fn age_follows_clock_and_is_unknown_behind_it() {
        let seconds = |age| Ok(Some(Duration::from_secs(age)));
        assert_eq!(age_of(100, 100, None), seconds(0));
        assert_eq!(age_of(100, 160, Some(60)), seconds(60));
        assert_eq!(age_of(100, u64::MAX, None), seconds(u64::MAX - 100));
        for (created, now, limit) in [(100, 161, 60), (0, 1 << 40, 3600)] {
            let (age, limit) = (
                Duration::from_secs(now - created),
                Duration::from_secs(limit),
            );
            let outcome = age_of(created, now, Some(limit.as_secs()));
            assert_eq!(outcome, Err(SnapshotError::TooOld { age, limit }));
        }
        assert_eq!(age_of(100, 99, None), Ok(None));
        assert_eq!(age_of(100, 0, Some(1)), Ok(None));
    }

    #[test]
    fn leased_secrets_are_named() {
        let contents = SnapshotContents {
            created: Duration::ZERO,
            binding: vec![],
            leased: vec!["lender".to_owned()],
            secrets: vec![],
        };
        let names = vec!["lender".to_owned()];
        let outcome = check_usable(contents, Duration::ZERO, None).map(drop);
        assert_eq!(outcome, Err(SnapshotError::LeasedSecrets { names }));
    }

    /// `unreachable`, `rate-limited` and 5xx are outages. Phase's own 401 and 403 are refusals.
    #[test]
    fn failures_are_classified_as_outage_refusal_or_other() {
        let (host, server) = (String::new, String::new);
        let answered = |status| Error::ServerFailed {
            host: host(),
            status,
            message: None,
        };
        for (error, expected) in [
            (
                Error::Unreachable {
                    host: host(),
                    why: String::new(),
                    hint: None,
                    suggests_snapshot: true,
                },
                FailureClass::Outage,
            ),
            (
                Error::RateLimited {
                    host: host(),
                    retry_after: None,
                    app_name_set_by: None,
                },
                FailureClass::Outage,
            ),
            (answered(500), FailureClass::Outage),
            (answered(599), FailureClass::Outage),
            (answered(408), FailureClass::Outage),
            (answered(400), FailureClass::Other),
            (
                Error::TokenRejected {
                    host: host(),
                    from: String::new(),
                    message: server(),
                },
                FailureClass::Refusal,
            ),
            (
                Error::AccessDenied {
                    environment_label: String::new(),
                    message: server(),
                },
                FailureClass::Refusal,
            ),
            (
                Error::AddressDenied {
                    host: host(),
                    message: server(),
                },
                FailureClass::Refusal,
            ),
            (
                Error::ListingDenied {
                    what: "apps",
                    alternative: "",
                    message: server(),
                    wanted: None,
                },
                FailureClass::Refusal,
            ),
            (
                Error::UnexpectedResponse {
                    host: host(),
                    why: String::new(),
                    hint: None,
                },
                FailureClass::Other,
            ),
            (
                Error::TlsFailed {
                    host: host(),
                    why: "",
                    hint: None,
                },
                FailureClass::Other,
            ),
            (
                Error::NoToken {
                    may_use_login: true,
                },
                FailureClass::Other,
            ),
        ] {
            assert_eq!(classify(&error), expected, "{error}");
        }
    }
}
