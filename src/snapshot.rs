#![forbid(unsafe_code)]
//! The snapshot: an encrypted copy of what was last chosen and resolved, for when Phase is away.
//!
//! [`Snapshot::back`] stands around a fetch and decides: what came is kept, an outage is bridged, a
//! refusal ends the copy. What the file may be is in [`file`], what it holds in [`sealed`], and what
//! it is a copy of in [`binding`].

mod binding;
mod file;
mod format;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::auth::Credential;
use crate::config::{FetchConfig, SelectionOptions, SnapshotOptions};
use crate::error::{Error, SnapshotError};
use crate::log::{Event, Log};
use crate::secret::Secret;
use format::Contents;
#[cfg(any(test, fuzzing))]
pub(crate) use format::fuzz;

/// What the secrets are fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchPurpose {
    /// A command that has to start.
    Start,
    /// A look at what has changed: an outage is a failed poll, and no copy hides it.
    Poll,
    /// A list for a person: nothing is written or removed.
    DryRun,
}

/// The one of this command line and this token.
pub(crate) struct Snapshot<'a> {
    fallback: &'a SnapshotOptions,
    request: &'a FetchConfig,
    filter: &'a SelectionOptions,
    credential: &'a Credential,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn of(
        fallback: &'a SnapshotOptions,
        request: &'a FetchConfig,
        filter: &'a SelectionOptions,
        credential: &'a Credential,
    ) -> Self {
        Self {
            fallback,
            request,
            filter,
            credential,
        }
    }

    /// The outcome of `fetch`, or what is kept in its place; the second part is what only a fetch
    /// can give.
    ///
    /// # Errors
    /// Those of `fetch`; with `--offline`, `snapshot`, and `config` where the app or the environment
    /// is missing.
    pub(crate) fn fetch_or_restore<T>(
        &self,
        fetch: impl FnOnce() -> Result<(Vec<Secret>, Option<T>), Error>,
        occasion: FetchPurpose,
        log: &dyn Log,
    ) -> Result<(Vec<Secret>, Option<T>), Error> {
        let path = &self.fallback.path.display().to_string();
        if self.fallback.offline {
            self.check_target()?;
            let (secrets, age) = self.kept().map_err(|why| Error::SnapshotUnusable {
                path: self.fallback.path.clone(),
                why,
            })?;
            let why = "Phase is not asked, because of --offline";
            log.log(Event::SnapshotUsed { path, age, why });
            return Ok((secrets, None));
        }
        let error = match fetch() {
            Ok((secrets, more)) => {
                if occasion != FetchPurpose::DryRun {
                    match self.keep(&secrets) {
                        Ok(()) => log.log(Event::SnapshotWritten { path }),
                        Err(why) => log.log(Event::SnapshotWriteFailed { path, why: &why }),
                    }
                }
                return Ok((secrets, more));
            }
            Err(error) => error,
        };
        match classify(&error) {
            FailureClass::Outage if occasion != FetchPurpose::Poll => match self.kept() {
                Ok((secrets, age)) => {
                    let why = &error.to_string();
                    log.log(Event::SnapshotUsed { path, age, why });
                    return Ok((secrets, None));
                }
                Err(unfit) => {
                    let why = &unfit.to_string();
                    log.log(Event::SnapshotUnusable { path, why });
                }
            },
            FailureClass::Refusal if occasion != FetchPurpose::DryRun => {
                match file::remove(&self.fallback.path) {
                    Ok(()) => log.log(Event::SnapshotRemoved { path }),
                    Err(SnapshotError::Missing) => {}
                    Err(unfit) => {
                        let why = &unfit.to_string();
                        log.log(Event::SnapshotRemoveFailed { path, why });
                    }
                }
            }
            FailureClass::Outage | FailureClass::Refusal | FailureClass::None => {}
        }
        Err(error)
    }

    /// What a fetch would have found out.
    fn check_target(&self) -> Result<(), Error> {
        let target = &self.request.target;
        match (&target.app, &target.environment) {
            (None, _) => Err(Error::NoApp {
                readable: vec![],
                ignored_project: target.ignored_project.clone(),
                app_flag_after_command: target.app_flag_after_command,
            }),
            (Some(app), None) => Err(Error::NoEnvironment {
                app: app.value.clone(),
                readable: vec![],
                ignored_project: target.ignored_project.clone(),
            }),
            (Some(_), Some(_)) => Ok(()),
        }
    }

    fn kept(&self) -> Result<(Vec<Secret>, Option<Duration>), SnapshotError> {
        let bytes = file::read(&self.fallback.path)?;
        let of = binding::of(self.request, self.filter);
        let contents =
            format::open(bytes, &self.credential.token, &of).ok_or(SnapshotError::Undecryptable)?;
        usable(contents, now(), self.fallback.max_age)
    }

    fn keep(&self, secrets: &[Secret]) -> Result<(), String> {
        let of = binding::of(self.request, self.filter);
        let sealed = format::seal(secrets, now(), &self.credential.token, &of)
            .ok_or("there is no randomness")?;
        file::replace(&self.fallback.path, &sealed)
    }
}

/// The secrets and their age, which is none where the clock is behind the time they were made at. A
/// clock that was set back makes them look young, never old: outages come with clocks that nothing
/// has set yet, and only who could make a new copy could forge the time.
fn usable(
    contents: Contents,
    now: Duration,
    max_age: Option<Duration>,
) -> Result<(Vec<Secret>, Option<Duration>), SnapshotError> {
    let Contents {
        made,
        leased,
        secrets,
    } = contents;
    let age = now.checked_sub(made);
    match (age, max_age) {
        (Some(age), Some(limit)) if age > limit => Err(SnapshotError::TooOld { age, limit }),
        _ if !leased.is_empty() => Err(SnapshotError::LeasedSecrets { names: leased }),
        _ => Ok((secrets, age)),
    }
}

/// Since 1970, by this machine's clock.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// What a failed fetch means for the copy.
#[derive(Debug, PartialEq, Eq)]
enum FailureClass {
    /// Phase is away or overloaded: the copy is as good as it was.
    Outage,
    /// Phase itself says that this token may not, or may no longer, have these values.
    Refusal,
    None,
}

fn classify(error: &Error) -> FailureClass {
    match error {
        Error::Unreachable { .. } | Error::RateLimited { .. } => FailureClass::Outage,
        Error::ServerFailed { status, .. } if *status >= 500 => FailureClass::Outage,
        Error::TokenRejected { .. } | Error::AccessDenied { .. } | Error::ListingDenied { .. } => {
            FailureClass::Refusal
        }
        _ => FailureClass::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(
        made: u64,
        now: u64,
        max_age: Option<u64>,
    ) -> Result<Option<Duration>, SnapshotError> {
        let contents = Contents {
            made: Duration::from_secs(made),
            leased: vec![],
            secrets: vec![],
        };
        let max_age = max_age.map(Duration::from_secs);
        usable(contents, Duration::from_secs(now), max_age).map(|(_, age)| age)
    }

    /// A clock that jumps ahead makes a copy old, one that jumps back makes its age unknown.
    #[test]
    fn the_clock_decides_the_age() {
        let seconds = |age| Ok(Some(Duration::from_secs(age)));
        assert_eq!(judged(100, 100, None), seconds(0));
        assert_eq!(judged(100, 160, Some(60)), seconds(60));
        assert_eq!(judged(100, u64::MAX, None), seconds(u64::MAX - 100));
        for (made, now, limit) in [(100, 161, 60), (0, 1 << 40, 3600)] {
            let (age, limit) = (Duration::from_secs(now - made), Duration::from_secs(limit));
            let judged = judged(made, now, Some(limit.as_secs()));
            assert_eq!(judged, Err(SnapshotError::TooOld { age, limit }));
        }
        assert_eq!(judged(100, 99, None), Ok(None));
        assert_eq!(judged(100, 0, Some(1)), Ok(None));
    }

    #[test]
    fn what_was_leased_is_named() {
        let contents = Contents {
            made: Duration::ZERO,
            leased: vec!["lender".to_owned()],
            secrets: vec![],
        };
        let names = vec!["lender".to_owned()];
        let judged = usable(contents, Duration::ZERO, None).map(drop);
        assert_eq!(judged, Err(SnapshotError::LeasedSecrets { names }));
    }

    /// Outages: `unreachable`, `rate-limited`, 5xx. Never a 400 to 404; Phase's own 401 and 403 end it.
    #[test]
    fn only_an_outage_is_bridged_and_only_a_refusal_removes() {
        let (host, server) = (String::new, String::new);
        let answered = |status| Error::ServerFailed {
            host: host(),
            status,
            message: server(),
        };
        for (error, expected) in [
            (
                Error::Unreachable {
                    host: host(),
                    why: String::new(),
                },
                FailureClass::Outage,
            ),
            (
                Error::RateLimited {
                    host: host(),
                    retry_after: None,
                },
                FailureClass::Outage,
            ),
            (answered(500), FailureClass::Outage),
            (answered(599), FailureClass::Outage),
            (answered(400), FailureClass::None),
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
                    scope: String::new(),
                    message: server(),
                },
                FailureClass::Refusal,
            ),
            (
                Error::ListingDenied {
                    what: "apps",
                    alternative: "",
                    message: server(),
                },
                FailureClass::Refusal,
            ),
            (
                Error::UnexpectedResponse {
                    host: host(),
                    why: String::new(),
                    hint: None,
                },
                FailureClass::None,
            ),
            (
                Error::TlsFailed {
                    host: host(),
                    why: "",
                },
                FailureClass::None,
            ),
            (Error::NoToken, FailureClass::None),
        ] {
            assert_eq!(classify(&error), expected, "{error}");
        }
    }
}
