#![forbid(unsafe_code)]
//! Dynamic secrets: what a lease holds, and how long it lasts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::rows::{Credential, DynamicRow, LeaseRow};
use crate::config::DynamicSecrets;
use crate::error::Error;
use crate::json::JsonObject;
use crate::secret::{Secret, SecretBytes};

/// When what was leased ends; of several leases, the one that ends first.
#[derive(Debug)]
pub(crate) struct Lease {
    /// As the server says it.
    pub(crate) ends: String,
    /// From the moment it was taken.
    pub(crate) lasts: Duration,
}

/// Turns dynamic rows into a secret for each variable, leased or only listed; `open` gives what
/// stands for a value, and gets the row's name for messages.
///
/// # Errors
/// `server` for a dynamic secret without a lease, and those of `open`.
pub(super) fn secrets<V>(
    rows: Vec<DynamicRow<'_, V>>,
    dynamic: DynamicSecrets,
    place: &str,
    open: impl Fn(V, &str) -> Result<SecretBytes, Error>,
) -> Result<(Vec<Secret>, Option<Lease>), Error> {
    let mut secrets = Vec::new();
    let mut shortest: Option<Lease> = None;
    for row in rows {
        let leased = |key: SecretBytes, value| -> Result<Secret, Error> {
            let key = str::from_utf8(key.expose()).map_err(|_| Error::DecryptionFailed {
                what: format!("a key of {} in {place}", row.name),
                why: "it is not UTF-8",
            })?;
            Ok(Secret {
                key: key.to_owned(),
                value,
                folder: row.folder.clone(),
                tags: Vec::new(),
                kind: "dynamic".into(),
                dynamic: Some(row.name.clone()),
            })
        };
        match (row.lease, dynamic) {
            (Some(lease), DynamicSecrets::Lease { .. }) if lease.holds_something() => {
                let taken = Lease::of(&lease);
                for JsonObject(Credential { key, value }) in lease.credentials.into_iter().flatten()
                {
                    let value = open(value, &row.name)?;
                    secrets.push(leased(open(key, &row.name)?, value)?);
                }
                shortest = match (shortest, taken) {
                    (Some(one), Some(other)) if one.lasts <= other.lasts => Some(one),
                    (one, other) => other.or(one),
                };
            }
            (_, DynamicSecrets::List) => {
                for key in row.keys {
                    secrets.push(leased(open(key, &row.name)?, SecretBytes::default())?);
                }
            }
            _ => {
                return Err(Error::LeaseFailed {
                    names: vec![row.name],
                    scope: place.to_owned(),
                    message: "the answer holds no lease of it".to_owned(),
                });
            }
        }
    }
    Ok((secrets, shortest))
}

impl Lease {
    /// None for a lease without an end. By the server's clock, which need not be ours.
    fn of<V>(row: &LeaseRow<'_, V>) -> Option<Self> {
        let ends = &row.expires_at.as_ref()?.0;
        let end = instant(ends)?;
        let start = row.created_at.as_ref();
        let start = start.and_then(|created| instant(&created.0)).or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.ok()
        });
        Some(Self {
            ends: ends.clone().into_owned(),
            lasts: end.saturating_sub(start?),
        })
    }
}

/// A time of RFC 3339 as the time since 1970, UTC: `2026-11-24T14:53:35.882401Z`.
fn instant(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once('T')?;
    let (time, zone) = match time.strip_suffix('Z') {
        Some(time) => (time, 0),
        None => {
            let (time, zone) = time.split_at(time.find(['+', '-'])?);
            let (hours, minutes) = zone.split_once(':')?;
            let sign = if hours.starts_with('-') { -1 } else { 1 };
            let minutes: i64 = minutes.parse().ok()?;
            (
                time,
                hours.parse::<i64>().ok()? * 3600 + sign * minutes * 60,
            )
        }
    };
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let sane = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !sane || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Days of the civil calendar, with March as the first month: leap days then end a year.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - zone;
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    let whole = Duration::from_secs(u64::try_from(seconds).ok()?);
    Some(whole + Duration::try_from_secs_f64(fraction).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_that_of_date() {
        // `date -u -d … +%s`
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-24T14:53:35Z", 1_795_532_015),
            ("2026-11-24T16:53:35+02:00", 1_795_532_015),
            ("2026-11-24T09:23:35-05:30", 1_795_532_015),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(instant(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        let exact = instant("2026-11-24T14:53:35.250000Z").unwrap();
        assert_eq!(exact.subsec_millis(), 250);
        for text in [
            "",
            "T",
            "2026-11-24",
            "2026-11-24T",
            "2026-13-24T14:53:35Z",
            "2026-11-24T14:53Z",
            "2026-11-24T14:53:35",
            "2026-11-24T14:53:35.-1Z",
            "1969-12-31T23:59:59Z",
            "2026-11-24T25:00:00Z",
            "99999999999-01-01T00:00:00Z",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
