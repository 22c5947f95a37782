#![forbid(unsafe_code)]
//! Dynamic secrets: the variables of a lease, and when it expires.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::rows::{DynamicRow, LeaseRow, LeasedVariable};
use crate::config::DynamicMode;
use crate::error::Error;
use crate::json::JsonObject;
use crate::secret::{Secret, SecretBytes};

/// When a lease expires.
#[derive(Debug)]
pub(crate) struct LeaseExpiry {
    /// As the server wrote it.
    pub(crate) expires_at: String,
    /// How long the lease lasts from its creation.
    pub(crate) duration: Duration,
}

/// Turns the rows of dynamic secrets into one secret for each variable, and returns when the first
/// lease expires. If nothing is leased, the values are empty. `decrypt` decrypts a key or a value; its
/// second argument is the row's name, for messages.
///
/// # Errors
/// `server` if a lease was requested and a row has none, and those of `decrypt`.
pub(super) fn secrets_from_rows<V>(
    rows: Vec<DynamicRow<'_, V>>,
    dynamic_mode: DynamicMode,
    environment_label: &str,
    decrypt: impl Fn(V, &str) -> Result<SecretBytes, Error>,
) -> Result<(Vec<Secret>, Option<LeaseExpiry>), Error> {
    let mut secrets = Vec::new();
    let mut first_expiry: Option<LeaseExpiry> = None;
    for row in rows {
        let variables: Vec<(V, Option<V>)> = match (row.lease, dynamic_mode) {
            (Some(lease), DynamicMode::Lease { .. }) if lease.has_variables() => {
                first_expiry = match (first_expiry, LeaseExpiry::from_row(&lease)) {
                    (Some(first), Some(other)) if first.duration <= other.duration => Some(first),
                    (first, other) => other.or(first),
                };
                let variables = lease.credentials.into_iter().flatten();
                variables
                    .map(|JsonObject(LeasedVariable { key, value })| (key, Some(value)))
                    .collect()
            }
            (_, DynamicMode::List) => row.keys.into_iter().map(|key| (key, None)).collect(),
            _ => {
                return Err(Error::LeaseFailed {
                    names: vec![row.name],
                    environment_label: environment_label.to_owned(),
                    message: "the response contains no lease for it".to_owned(),
                });
            }
        };
        for (key, value) in variables {
            let value = value.map(|value| decrypt(value, &row.name)).transpose()?;
            let key = decrypt(key, &row.name)?;
            let key = str::from_utf8(key.expose()).map_err(|_| Error::DecryptionFailed {
                what: format!("a key of {} in {environment_label}", row.name),
                why: "it is not UTF-8",
            })?;
            secrets.push(Secret {
                key: key.to_owned(),
                value: value.unwrap_or_default(),
                folder: row.folder.clone(),
                tags: Vec::new(),
                secret_type: "dynamic".into(),
                dynamic_secret_name: Some(row.name.clone()),
            });
        }
    }
    Ok((secrets, first_expiry))
}

impl LeaseExpiry {
    /// Returns `None` for a lease that does not expire, or whose times cannot be parsed. Both times
    /// are by the server's clock, which may differ from this machine's.
    fn from_row<V>(row: &LeaseRow<'_, V>) -> Option<Self> {
        let expires_at = &row.expires_at.as_ref()?.0;
        let end = parse_rfc3339(expires_at)?;
        let created_at = row.created_at.as_ref();
        let start = created_at.and_then(|created_at| parse_rfc3339(&created_at.0));
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).ok();
        Some(Self {
            expires_at: expires_at.clone().into_owned(),
            duration: end.saturating_sub(start.or_else(now)?),
        })
    }
}

/// Parses a time of RFC 3339, such as `2026-11-24T14:53:35.882401Z`, as the time since 1970.
fn parse_rfc3339(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once('T')?;
    let (time, zone) = match time.strip_suffix('Z') {
        Some(time) => (time, 0),
        None => {
            let (time, zone) = time.split_at(time.find(['+', '-'])?);
            let (hours, minutes) = zone.split_once(':')?;
            let sign = if hours.starts_with('-') { -1 } else { 1 };
            let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
            if !(-23..=23).contains(&hours) || !(0..60).contains(&minutes) {
                return None;
            }
            (time, hours * 3600 + sign * minutes * 60)
        }
    };
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !in_range || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Days of the civil calendar, in years that begin with March so that a leap day comes last.
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
    fn rfc3339_times_match_date_command() {
        // From `date -u -d … +%s`.
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-24T14:53:35Z", 1_795_532_015),
            ("2026-11-24T16:53:35+02:00", 1_795_532_015),
            ("2026-11-24T09:23:35-05:30", 1_795_532_015),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(
                parse_rfc3339(text),
                Some(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        let exact = parse_rfc3339("2026-11-24T14:53:35.250000Z").unwrap();
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
            "2026-11-24T14:53:35+24:00",
            "2026-11-24T14:53:35+00:60",
            "2026-11-24T14:53:35+9999999999999999:00",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
