#![forbid(unsafe_code)]
//! Signs the `GetCallerIdentity` request of STS with AWS Signature Version 4, as AWS documents it in
//! "Create a signed AWS API request". The test vectors are botocore's.

use std::time::{SystemTime, UNIX_EPOCH};

use base16ct::lower::encode_string;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign as hmac};
use serde::Serializer;
use time::UtcDateTime;

use super::AwsAccessKey;
use super::sts::{self, StsOptions};
use crate::secret::SecretBytes;

/// The body of the request.
pub(in crate::auth) const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The signed request, which Phase sends to STS.
pub(in crate::auth) struct SignedRequest {
    pub(in crate::auth) url: String,
    /// A JSON object of header names and values.
    pub(in crate::auth) headers: Vec<u8>,
    /// The signature in these headers, in hex digits.
    pub(in crate::auth) signature: String,
}

/// Signs the request with this key for a region's STS endpoint.
#[expect(clippy::expect_used, reason = "strings are written to memory")]
pub(in crate::auth) fn sign(
    key: &AwsAccessKey,
    region: &str,
    options: StsOptions,
    at: SystemTime,
) -> SignedRequest {
    let host = sts::host(region, options);
    let (date, time) = utc_date_and_time(at);
    let timestamp = format!("{date}T{time}Z");

    let mut headers = vec![
        ("Content-Type", CONTENT_TYPE),
        ("Host", &host),
        ("X-Amz-Date", &timestamp),
    ];
    let session_token = key.session_token.as_ref().map(text);
    headers.extend(session_token.map(|token| ("X-Amz-Security-Token", token)));
    // The signature is over names in lower case that are sorted, as these are.
    let lower_case = |(name, _): &(&str, &str)| name.to_ascii_lowercase();
    let names: Vec<String> = headers.iter().map(lower_case).collect();
    let lines = names.iter().zip(&headers);
    let lines: String = lines
        .map(|(name, (_, value))| format!("{name}:{value}\n"))
        .collect();
    let names = names.join(";");
    let body_hash = hex_sha256(BODY.as_bytes());
    let canonical_request = format!("POST\n/\n\n{lines}\n{names}\n{body_hash}");
    let scope = format!("{date}/{region}/sts/aws4_request");
    let string_to_sign = format!(
        "AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{}",
        hex_sha256(canonical_request.as_bytes())
    );
    let signing_key = derive_signing_key(&key.secret, &date, region);
    let signature = encode_string(hmac(&signing_key, string_to_sign.as_bytes()).as_ref());
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        text(&key.id)
    );

    headers.push(("Authorization", &authorization));
    let mut json = Vec::new();
    let written = serde_json::Serializer::new(&mut json).collect_map(headers);
    written.ok().expect("a Vec takes every byte");
    SignedRequest {
        url: format!("https://{host}"),
        headers: json,
        signature,
    }
}

fn derive_signing_key(secret: &SecretBytes, date: &str, region: &str) -> Key {
    let first = [b"AWS4", secret.expose()].concat();
    [date, region, "sts", "aws4_request"]
        .into_iter()
        .fold(Key::new(HMAC_SHA256, &first), |key, part| {
            Key::new(HMAC_SHA256, hmac(&key, part.as_bytes()).as_ref())
        })
}

fn hex_sha256(bytes: &[u8]) -> String {
    encode_string(digest(&SHA256, bytes).as_ref())
}

#[expect(clippy::expect_used, reason = "AwsAccessKey::new checks the bytes")]
fn text(part: &SecretBytes) -> &str {
    str::from_utf8(part.expose())
        .ok()
        .expect("a key consists of ASCII characters")
}

/// The UTC date and time, as in `20150830` and `123600`. A time before 1970 or after 9999 counts as 1970:
/// Phase then rejects the signature as expired.
fn utc_date_and_time(at: SystemTime) -> (String, String) {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let at = i64::try_from(seconds).ok();
    let at = at.and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok());
    let at = at.unwrap_or(UtcDateTime::UNIX_EPOCH);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.as_hms();
    (
        format!("{year:04}{:02}{day:02}", u8::from(month)),
        format!("{hour:02}{minute:02}{second:02}"),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        access_key: String,
        secret_key: String,
        session_token: Option<String>,
        region: String,
        endpoint: String,
        unix: u64,
        body: String,
        headers: BTreeMap<String, String>,
    }

    fn access_key(id: &str, secret: &str, session_token: Option<&str>) -> Option<AwsAccessKey> {
        let bytes = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
        AwsAccessKey::new(bytes(id), bytes(secret), session_token.map(bytes))
    }

    #[test]
    fn signatures_match_botocore() {
        let vectors = include_str!("../../../tests/vectors/sigv4.json");
        let vectors: Vec<Vector> = serde_json::from_str(vectors).unwrap();
        assert!(vectors.len() > 5);
        for vector in vectors {
            let session_token = vector.session_token.as_deref();
            let key = access_key(&vector.access_key, &vector.secret_key, session_token).unwrap();
            let at = UNIX_EPOCH + Duration::from_secs(vector.unix);
            let signed = sign(&key, &vector.region, StsOptions::default(), at);
            let headers: BTreeMap<String, String> =
                serde_json::from_slice(&signed.headers).unwrap();
            assert_eq!(headers, vector.headers);
            assert_eq!(format!("{}/", signed.url), vector.endpoint);
            assert_eq!(BODY, vector.body);
        }
    }

    #[test]
    fn access_key_that_needs_escapes_is_rejected() {
        for bad in ["a\"b", "a\\b", "a b", "a\nb", "\u{e4}"] {
            assert!(access_key(bad, "s", None).is_none(), "{bad}");
            assert!(access_key("a", "s", Some(bad)).is_none(), "{bad}");
            // Only the signature depends on the secret, which is not sent.
            assert!(access_key("a", bad, None).is_some(), "{bad}");
        }
    }

    #[test]
    fn timestamps_follow_the_calendar() {
        for (seconds, date, time) in [
            (0, "19700101", "000000"),
            (951_782_399, "20000228", "235959"),
            (951_782_400, "20000229", "000000"),
            (1_440_938_160, "20150830", "123600"),
            (4_107_542_400, "21000301", "000000"),
            (1_798_761_599, "20261231", "235959"),
            (253_402_300_799, "99991231", "235959"),
            (253_402_300_800, "19700101", "000000"),
            (i64::MAX.unsigned_abs(), "19700101", "000000"),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(utc_date_and_time(at), (date.to_owned(), time.to_owned()));
        }
        let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(utc_date_and_time(before_1970).0, "19700101");
    }
}
