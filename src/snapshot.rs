#![forbid(unsafe_code)]
//! The snapshot: an encrypted copy of what was last chosen and resolved, for when Phase is away.
//!
//! [`Snapshot::back`] stands around a fetch and decides: what came is kept, an outage is bridged, a
//! refusal ends the copy. What the file may be is in [`file`], what it holds in [`sealed`], and what
//! it is a copy of in [`binding`].

mod binding;
mod file;
mod sealed;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::credential::Credential;
use crate::config::{Fallback, Filter, Request};
use crate::error::Error;
use crate::notice::{Notice, Say, in_words};
use crate::secret::Secret;
use sealed::Contents;
#[cfg(any(test, fuzzing))]
pub(crate) use sealed::fuzz;

/// What the secrets are fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A command that has to start.
    Start,
    /// A look at what has changed: an outage is a failed poll, and no copy hides it.
    Poll,
    /// A list for a person: nothing is written or removed.
    DryRun,
}

/// Why a snapshot cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Missing,
    /// It cannot be read, or is no file that only we can have written.
    File {
        why: String,
    },
    /// It is damaged, or one of something else; they cannot be told apart.
    Sealed,
    Old {
        age: Duration,
        limit: Duration,
    },
    /// What was leased is in none.
    Leased {
        names: Vec<String>,
    },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is none"),
            Self::File { why } => f.write_str(why),
            Self::Sealed => f.write_str(
                "it is damaged, or was made with another token, host, app, environment, filter or mode",
            ),
            Self::Old { age, limit } => write!(
                f,
                "it was made {} ago, and --snapshot-max-age is {} s",
                in_words(*age),
                limit.as_secs_f64()
            ),
            Self::Leased { names } => write!(
                f,
                "what is leased is in no snapshot, which {} would be",
                names.join(", ")
            ),
        }
    }
}

/// The one of this command line and this token.
pub(crate) struct Snapshot<'a> {
    fallback: &'a Fallback,
    request: &'a Request,
    filter: &'a Filter,
    credential: &'a Credential,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn of(
        fallback: &'a Fallback,
        request: &'a Request,
        filter: &'a Filter,
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
    pub(crate) fn back<T>(
        &self,
        fetch: impl FnOnce() -> Result<(Vec<Secret>, Option<T>), Error>,
        occasion: Occasion,
        say: Say<'_>,
    ) -> Result<(Vec<Secret>, Option<T>), Error> {
        let path = &self.fallback.path.display().to_string();
        if self.fallback.offline {
            self.check_target()?;
            let (secrets, age) = self.kept().map_err(|why| Error::Snapshot {
                path: self.fallback.path.clone(),
                why,
            })?;
            let why = "Phase is not asked, because of --offline";
            say(Notice::SnapshotUsed { path, age, why });
            return Ok((secrets, None));
        }
        let error = match fetch() {
            Ok((secrets, more)) => {
                if occasion != Occasion::DryRun {
                    match self.keep(&secrets) {
                        Ok(()) => say(Notice::SnapshotWritten { path }),
                        Err(why) => say(Notice::SnapshotUnwritten { path, why: &why }),
                    }
                }
                return Ok((secrets, more));
            }
            Err(error) => error,
        };
        match bearing(&error) {
            Bearing::Outage if occasion != Occasion::Poll => match self.kept() {
                Ok((secrets, age)) => {
                    let why = &error.to_string();
                    say(Notice::SnapshotUsed { path, age, why });
                    return Ok((secrets, None));
                }
                Err(unfit) => {
                    let why = &unfit.to_string();
                    say(Notice::SnapshotUnfit { path, why });
                }
            },
            Bearing::Refusal if occasion != Occasion::DryRun => {
                match file::remove(&self.fallback.path) {
                    Ok(()) => say(Notice::SnapshotRemoved { path }),
                    Err(Unfit::Missing) => {}
                    Err(unfit) => {
                        let why = &unfit.to_string();
                        say(Notice::SnapshotStays { path, why });
                    }
                }
            }
            Bearing::Outage | Bearing::Refusal | Bearing::None => {}
        }
        Err(error)
    }

    /// What a fetch would have found out.
    fn check_target(&self) -> Result<(), Error> {
        let target = &self.request.target;
        match (&target.app, &target.environment) {
            (None, _) => Err(Error::NoApp {
                readable: vec![],
                passed_over: target.passed_over.clone(),
                misplaced: target.misplaced,
            }),
            (Some(app), None) => Err(Error::NoEnvironment {
                app: app.value.clone(),
                readable: vec![],
                passed_over: target.passed_over.clone(),
            }),
            (Some(_), Some(_)) => Ok(()),
        }
    }

    fn kept(&self) -> Result<(Vec<Secret>, Option<Duration>), Unfit> {
        let bytes = file::read(&self.fallback.path)?;
        let of = binding::of(self.request, self.filter);
        let contents = sealed::open(bytes, &self.credential.token, &of).ok_or(Unfit::Sealed)?;
        usable(contents, now(), self.fallback.max_age)
    }

    fn keep(&self, secrets: &[Secret]) -> Result<(), String> {
        let of = binding::of(self.request, self.filter);
        let sealed = sealed::seal(secrets, now(), &self.credential.token, &of)
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
) -> Result<(Vec<Secret>, Option<Duration>), Unfit> {
    let Contents {
        made,
        leased,
        secrets,
    } = contents;
    let age = now.checked_sub(made);
    match (age, max_age) {
        (Some(age), Some(limit)) if age > limit => Err(Unfit::Old { age, limit }),
        _ if !leased.is_empty() => Err(Unfit::Leased { names: leased }),
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
enum Bearing {
    /// Phase is away or overloaded: the copy is as good as it was.
    Outage,
    /// Phase itself says that this token may not, or may no longer, have these values.
    Refusal,
    None,
}

fn bearing(error: &Error) -> Bearing {
    match error {
        Error::Unreachable { .. } | Error::RateLimited { .. } => Bearing::Outage,
        Error::Server { status, .. } if *status >= 500 => Bearing::Outage,
        Error::TokenRefused { .. } | Error::Denied { .. } | Error::ListingDenied { .. } => {
            Bearing::Refusal
        }
        _ => Bearing::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(made: u64, now: u64, max_age: Option<u64>) -> Result<Option<Duration>, Unfit> {
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
            assert_eq!(judged, Err(Unfit::Old { age, limit }));
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
        assert_eq!(judged, Err(Unfit::Leased { names }));
    }

    /// Outages: `unreachable`, `rate-limited`, 5xx. Never a 400 to 404; Phase's own 401 and 403 end it.
    #[test]
    fn only_an_outage_is_bridged_and_only_a_refusal_removes() {
        let (host, server) = (String::new, String::new);
        let answered = |status| Error::Server {
            host: host(),
            status,
            server: server(),
        };
        for (error, expected) in [
            (
                Error::Unreachable {
                    host: host(),
                    why: String::new(),
                },
                Bearing::Outage,
            ),
            (
                Error::RateLimited {
                    host: host(),
                    retry_after: None,
                },
                Bearing::Outage,
            ),
            (answered(500), Bearing::Outage),
            (answered(599), Bearing::Outage),
            (answered(400), Bearing::None),
            (
                Error::TokenRefused {
                    host: host(),
                    from: String::new(),
                    server: server(),
                },
                Bearing::Refusal,
            ),
            (
                Error::Denied {
                    what: String::new(),
                    server: server(),
                },
                Bearing::Refusal,
            ),
            (
                Error::ListingDenied {
                    what: "apps",
                    instead: "",
                    server: server(),
                },
                Bearing::Refusal,
            ),
            (
                Error::NotPhase {
                    host: host(),
                    why: String::new(),
                    hint: None,
                },
                Bearing::None,
            ),
            (
                Error::Tls {
                    host: host(),
                    why: "",
                },
                Bearing::None,
            ),
            (Error::NoToken, Bearing::None),
        ] {
            assert_eq!(bearing(&error), expected, "{error}");
        }
    }
}
