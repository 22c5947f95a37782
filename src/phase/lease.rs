#![forbid(unsafe_code)]
//! Dynamic secrets: the variables of a lease, and when it expires.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::rows::{DynamicRow, LeaseRow, LeasedVariable};
use crate::config::DynamicMode;
use crate::error::Error;
use crate::json::{JsonObject, LimitedVec};
use crate::log::{Event, Log};
use crate::secret::Secret;

/// The length of a date such as `2026-11-24`, in bytes.
const DATE_LENGTH: usize = 10;

/// The longest time that is parsed, in bytes, which leaves 38 digits for a fraction of a second. Messages
/// show as many characters of a text that is not a time.
const MAX_TIME_LENGTH: usize = 64;

/// When a lease expires.
#[derive(Debug)]
pub(crate) struct LeaseExpiry {
    /// As the server wrote it.
    pub(crate) expires_at: String,
    /// How long the lease lasts from its creation.
    pub(crate) duration: Duration,
}

/// The variable of a dynamic secret as its row has it, decrypted or not. Without a lease it has no value.
pub(super) type DynamicVariable<'a> = Secret<Cow<'a, str>, Option<Cow<'a, str>>>;

/// Turns the rows of dynamic secrets into one secret for each variable, and returns when the first
/// lease expires. Logs if the end of a lease is unknown. `read_key` decrypts a key, if it is encrypted.
///
/// # Errors
/// `server` if a lease was requested and a row has none that can be used.
pub(super) fn variables_from_rows<'a>(
    rows: Vec<DynamicRow<'a>>,
    dynamic_mode: DynamicMode,
    environment_label: &str,
    read_key: impl Fn(&str) -> Option<String>,
    log: &dyn Log,
) -> Result<(Vec<DynamicVariable<'a>>, Option<LeaseExpiry>), Error> {
    let mut secrets = Vec::new();
    let mut first_expiry: Option<LeaseExpiry> = None;
    let mut unknown_ends = UnknownEnds::default();
    for row in rows {
        let unusable = |message| Error::LeaseFailed {
            names: vec![row.name.clone()],
            environment_label: environment_label.to_owned(),
            message,
        };
        let variables: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)> = match (row.lease, dynamic_mode) {
            (Some(lease), DynamicMode::Lease { .. }) if lease.has_variables() => {
                check_lease(&lease, &row.id, &row.keys, &read_key).map_err(unusable)?;
                let expiry = LeaseExpiry::from_row(&lease, &row.name, &mut unknown_ends);
                first_expiry = match (first_expiry, expiry) {
                    (Some(first), Some(other)) if first.duration <= other.duration => Some(first),
                    (first, other) => other.or(first),
                };
                let variables = lease
                    .credentials
                    .into_iter()
                    .flat_map(|LimitedVec(all)| all);
                variables
                    .map(|JsonObject(LeasedVariable { key, value })| (key.0, Some(value.0)))
                    .collect()
            }
            (_, DynamicMode::List) => row.keys.into_iter().map(|key| (key, None)).collect(),
            _ => {
                let message = "the response contains no lease for it";
                return Err(unusable(message.to_owned()));
            }
        };
        secrets.extend(variables.into_iter().map(|(key, value)| Secret {
            key,
            value,
            folder: row.folder.clone(),
            tags: Vec::new(),
            secret_type: "dynamic".into(),
            dynamic_secret_name: Some(row.name.clone()),
            keeps_reference: false,
        }));
    }
    if let Some((name, expires_at)) = &unknown_ends.first {
        log.log(Event::LeaseEndUnknown {
            name,
            expires_at,
            others: unknown_ends.others,
        });
    }
    Ok((secrets, first_expiry))
}

/// Checks that a lease is that of the dynamic secret `id`, is in force, and has a value for each of `keys`.
///
/// # Errors
/// The end of a message.
fn check_lease(
    lease: &LeaseRow<'_>,
    id: &str,
    keys: &[Cow<'_, str>],
    read_key: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let leased_id = lease.secret.as_ref();
    let status = lease.status.as_ref().map(|status| status.0.as_ref());
    let why = match status {
        _ if leased_id.is_some_and(|leased| leased.0 != id) => {
            "its lease is for another dynamic secret"
        }
        Some("expired") => "its lease has expired",
        status if status == Some("revoked") || lease.revoked_at.is_some() => {
            "its lease has been revoked"
        }
        _ => return check_values(lease, keys, read_key),
    };
    Err(why.to_owned())
}

/// Checks that a lease has a value for each of `keys`.
fn check_values(
    lease: &LeaseRow<'_>,
    keys: &[Cow<'_, str>],
    read_key: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let variables = lease.credentials.iter().flat_map(|LimitedVec(all)| all);
    let leased: HashSet<&str> = variables
        .map(|JsonObject(leased)| leased.key.0.as_ref())
        .collect();
    if keys.iter().all(|key| leased.contains(key.as_ref())) {
        return Ok(());
    }
    // A key that was encrypted twice has two texts.
    let readable: HashSet<String> = leased.into_iter().filter_map(&read_key).collect();
    let mut keys = keys.iter().map(|key| read_key(key));
    match keys.find(|key| key.as_ref().is_none_or(|key| !readable.contains(key))) {
        Some(key) => {
            let key = key.as_deref().unwrap_or("one of its variables");
            Err(format!("its lease has no value for {key}"))
        }
        None => Ok(()),
    }
}

/// The leases whose end cannot be parsed.
#[derive(Default)]
struct UnknownEnds {
    /// The name of the first one, and the beginning of what the server sent as its end.
    first: Option<(String, String)>,
    others: usize,
}

impl LeaseExpiry {
    /// Returns when the lease of `name` expires, and `None` for a lease that does not expire. If its end
    /// cannot be parsed, adds it to `unknown_ends` and returns `None`. Both times are by the server's
    /// clock, which may differ from this machine's.
    fn from_row(row: &LeaseRow<'_>, name: &str, unknown_ends: &mut UnknownEnds) -> Option<Self> {
        let expires_at = &row.expires_at.as_ref()?.0;
        let Some(end) = parse_rfc3339(expires_at) else {
            match unknown_ends.first {
                Some(_) => unknown_ends.others += 1,
                None => unknown_ends.first = Some((name.to_owned(), shorten(expires_at))),
            }
            return None;
        };
        let created_at = row.created_at.as_ref();
        let start = created_at.and_then(|created_at| parse_rfc3339(&created_at.0));
        Some(Self {
            expires_at: expires_at.clone().into_owned(),
            // A lease that ended before it was created has no time left.
            duration: end
                .duration_since(start.unwrap_or_else(SystemTime::now))
                .unwrap_or_default(),
        })
    }
}

/// Parses a time of RFC 3339, such as `2026-11-24T14:53:35.882401Z`. The separators of section 5.6 are
/// accepted: `T`, `t` and a space. A leap second counts as the end of the second before it.
pub(super) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    // `time` accepts any separator and any number of digits.
    let is_separator = |byte: &u8| b"Tt ".contains(byte);
    let has_separator = text.as_bytes().get(DATE_LENGTH).is_some_and(is_separator);
    if !has_separator || text.len() > MAX_TIME_LENGTH {
        return None;
    }
    Some(OffsetDateTime::parse(text, &Rfc3339).ok()?.into())
}

/// Truncates a text that is not a time, for a message.
fn shorten(text: &str) -> String {
    let is_longer = text.chars().nth(MAX_TIME_LENGTH).is_some();
    let rest = is_longer.then_some('…');
    text.chars().take(MAX_TIME_LENGTH).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::UNIX_EPOCH;

    use super::super::rows::CowStr;
    use super::*;

    /// Seconds since 1970, before it if negative.
    fn seconds(text: &str) -> Option<f64> {
        let time = parse_rfc3339(text)?;
        Some(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        })
    }

    #[test]
    fn rfc3339_times_match_date_command() {
        // From `date -u -d … +%s`.
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0.0),
            ("2000-02-29T12:00:00Z", 951_825_600.0),
            ("2026-11-24T14:53:35Z", 1_795_532_015.0),
            ("2026-11-24t14:53:35z", 1_795_532_015.0),
            ("2026-11-24 14:53:35Z", 1_795_532_015.0),
            ("2026-11-24T14:53:35+00:00", 1_795_532_015.0),
            ("2026-11-24T14:53:35-00:00", 1_795_532_015.0),
            ("2026-11-24T16:53:35+02:00", 1_795_532_015.0),
            ("2026-11-24T09:23:35-05:30", 1_795_532_015.0),
            ("2026-11-25T14:52:35+23:59", 1_795_532_015.0),
            ("2026-11-23T14:54:35-23:59", 1_795_532_015.0),
            ("2026-11-24T14:53:35.25Z", 1_795_532_015.25),
            (
                "2026-11-24T14:53:35.250000000000000000000000Z",
                1_795_532_015.25,
            ),
            ("2100-03-01T00:00:00Z", 4_107_542_400.0),
            ("1969-12-31T23:59:59Z", -1.0),
            ("0000-01-01T00:00:00+23:59", -62_167_305_540.0),
            ("9999-12-31T23:59:59-23:59", 253_402_387_139.0),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        let leap_second = parse_rfc3339("2016-12-31T23:59:60Z");
        let next = parse_rfc3339("2017-01-01T00:00:00Z").unwrap();
        assert_eq!(leap_second, Some(next - Duration::from_nanos(1)));
    }

    #[test]
    fn times_outside_rfc3339_are_rejected() {
        let long = format!("2026-11-24T14:53:35.{}Z", "0".repeat(1 << 20));
        for text in [
            "",
            "T",
            "2026-11-24",
            "2026-11-24T",
            "2026-13-24T14:53:35Z",
            "2026-02-29T14:53:35Z",
            "2026-11-24T14:53Z",
            "2026-11-24T14:53:35",
            "2026-11-24T14:53:35.Z",
            "2026-11-24T14:53:35.-1Z",
            "2026-11-24T14:53:35,5Z",
            "2026-11-24T25:00:00Z",
            "2026-11-24T24:00:00Z",
            // No leap second: not the end of a month in UTC.
            "2026-11-24T14:53:60Z",
            "2026-12-31T23:59:60-01:00",
            "99999999999-01-01T00:00:00Z",
            "-2026-11-24T14:53:35Z",
            "2026-11-24_14:53:35Z",
            "2026-11-24é14:53:35Z",
            " 2026-11-24T14:53:35Z",
            "2026-11-24T14:53:35Z ",
            "2026-11-24T14:53:35 Z",
            "2026-11-24T14:53:35+0200",
            "2026-11-24T14:53:35+02",
            "2026-11-24T14:53:35+24:00",
            "2026-11-24T14:53:35+00:60",
            "2026-11-24T14:53:35+2562047788015216:00",
            "1795532015",
            &long,
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text:.60}");
        }
    }

    #[test]
    fn lease_that_ends_before_its_creation_has_no_time_left() {
        let time = |text| Some(CowStr(Cow::Borrowed(text)));
        for (created_at, expires_at, seconds) in [
            ("2026-11-24T00:00:00Z", "2026-11-24T00:15:00Z", 900),
            ("2026-11-24T00:00:00Z", "1969-12-31T23:59:59Z", 0),
            ("9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59", 0),
            (
                "0000-01-01T00:00:00+23:59",
                "9999-12-31T23:59:59-23:59",
                315_569_692_679,
            ),
            // Without a valid start, now.
            ("+0200", "1969-12-31T23:59:59Z", 0),
        ] {
            let row = LeaseRow {
                credentials: None,
                created_at: time(created_at),
                expires_at: time(expires_at),
                revoked_at: None,
                status: None,
                secret: None,
            };
            let mut unknown = UnknownEnds::default();
            let expiry = LeaseExpiry::from_row(&row, "orders", &mut unknown).unwrap();
            assert_eq!(
                expiry.duration,
                Duration::from_secs(seconds),
                "{expires_at}"
            );
        }
    }
}
