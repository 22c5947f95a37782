//! Verifies AWS Signature Version 4, as STS does.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use base16ct::lower::encode_string as hex;
use ring::{digest, hmac};

use crate::cloud_credentials::{AccessKey, aws};
use crate::request;

/// A signed request for STS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The method: `POST`.
    pub method: String,
    /// The URL, such as `https://sts.eu-west-1.amazonaws.com/`.
    pub url: String,
    /// The headers, in the order and with the names that were sent.
    pub headers: Vec<(String, String)>,
    /// The body, a form.
    pub body: String,
}

/// The name of the algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

impl Signed {
    /// The first header with this name, ignoring case.
    pub fn header(&self, name: &str) -> Option<&str> {
        request::header(&self.headers, name)
    }

    /// The access key that the request names.
    pub fn access_key(&self) -> Option<AccessKey> {
        let (id, _) = self.part("Credential=")?.split_once('/')?;
        aws::KEYS.into_iter().find(|key| key.id == id)
    }

    /// The region that the request names.
    pub fn region(&self) -> Option<&str> {
        self.part("Credential=")?.split('/').nth(2)
    }

    /// The host of its URL.
    pub(crate) fn host(&self) -> &str {
        host(&self.url)
    }

    /// Whether it is a `GetCallerIdentity` request and its signature is right.
    pub(crate) fn is_genuine(&self) -> bool {
        let expected = self
            .access_key()
            .and_then(|key| self.expected(key.secret, key.token));
        self.body == "Action=GetCallerIdentity&Version=2011-06-15"
            && self.method == "POST"
            && expected.is_some()
            && expected.as_deref() == self.part("Signature=")
    }

    /// A part of the `Authorization` header.
    fn part(&self, name: &str) -> Option<&str> {
        let parts = self.header("Authorization")?.strip_prefix(ALGORITHM)?;
        let mut parts = parts.split(',').map(str::trim);
        parts.find_map(|part| part.strip_prefix(name))
    }

    /// The right signature; `None` if a required header is not signed.
    fn expected(&self, secret: &str, token: Option<&str>) -> Option<String> {
        let stamp = self.header("X-Amz-Date")?;
        if self.header("X-Amz-Security-Token") != token {
            return None;
        }
        let (_, scope) = self.part("Credential=")?.split_once('/')?;
        let [date, region, "sts", "aws4_request"] = *scope.split('/').collect::<Vec<_>>() else {
            return None;
        };
        let names = self.part("SignedHeaders=")?;
        let signed = |name: &str| names.split(';').any(|one| one == name);
        let must = |name: &&str| self.header(name).is_some() || *name == "host";
        let all = ["content-type", "host", "x-amz-date", "x-amz-security-token"];
        if !all
            .iter()
            .filter(|name| must(name))
            .all(|name| signed(name))
            || !stamp.starts_with(date)
        {
            return None;
        }
        let mut request = format!("{}\n{}\n\n", self.method, path(&self.url));
        for name in names.split(';') {
            let value = self.header(name);
            let value = value.or_else(|| (name == "host").then(|| self.host()))?;
            request.push_str(&format!("{name}:{}\n", value.trim()));
        }
        request.push_str(&format!("\n{names}\n{}", sha256(&self.body)));
        let text = format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", sha256(&request));

        let mut derived = format!("AWS4{secret}").into_bytes();
        for part in [date, region, "sts", "aws4_request"] {
            derived = hmac(&derived, part);
        }
        Some(hex(&hmac(&derived, &text)))
    }
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// Parses a timestamp such as `20261126T000000Z` as seconds since 1970.
pub(crate) fn seconds(stamp: &str) -> Option<i64> {
    let number = |at: usize, length: usize| -> Option<i64> {
        let digits = stamp.get(at..at + length)?;
        let all = digits.bytes().all(|digit| digit.is_ascii_digit());
        all.then(|| digits.parse().ok()).flatten()
    };
    let shape = stamp.len() == 16 && stamp.get(8..9) == Some("T") && stamp.ends_with('Z');
    let (year, month, day) = (number(0, 4)?, number(4, 2)?, number(6, 2)?);
    // With years that begin in March, the leap day is the last one. March is month 0.
    let (year, month) = match month {
        3.. => (year, month - 3),
        _ => (year - 1, month + 9),
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // There are 719,468 days between March 1 of year 0 and 1970.
    let days = year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468;
    let clock = number(9, 2)? * 3600 + number(11, 2)? * 60 + number(13, 2)?;
    shape.then_some(days * 86_400 + clock)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Vec<Value> {
        serde_json::from_str(include_str!("../../vectors/sigv4.json")).unwrap()
    }

    fn text<'a>(vector: &'a Value, member: &str) -> &'a str {
        vector.get(member).and_then(Value::as_str).unwrap()
    }

    #[test]
    fn only_botocore_signatures_are_genuine() {
        for vector in vectors() {
            let headers = vector.get("headers").and_then(Value::as_object).unwrap();
            let headers = headers.iter();
            let signed = Signed {
                method: "POST".to_owned(),
                url: text(&vector, "endpoint").to_owned(),
                headers: headers
                    .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                    .collect(),
                body: text(&vector, "body").to_owned(),
            };
            let (secret, token) = (text(&vector, "secret_key"), &vector["session_token"]);
            let signature = signed.part("Signature=");
            assert!(signature.is_some_and(|digits| digits.len() == 64));
            let expected = |signed: &Signed| signed.expected(secret, token.as_str());
            assert_eq!(expected(&signed).as_deref(), signature, "{vector}");
            assert_eq!(signed.region(), vector["region"].as_str());

            let changed = |change: fn(&mut Signed)| {
                let mut other = signed.clone();
                change(&mut other);
                assert_ne!(expected(&other).as_deref(), signature, "{other:?}");
            };
            changed(|signed| signed.body.push('1'));
            changed(|signed| signed.method = "GET".to_owned());
            changed(|signed| signed.headers.retain(|(name, _)| name != "X-Amz-Date"));
            changed(|signed| signed.headers.retain(|(name, _)| name != "Content-Type"));
            assert_ne!(
                signed.expected("another", token.as_str()).as_deref(),
                signature
            );
            assert_eq!(signed.expected(secret, Some("another")), None);
        }
    }

    #[test]
    fn timestamps_of_vectors_are_parsed() {
        for vector in vectors() {
            let stamp = text(&vector, "amz_date");
            let unix = vector.get("unix").and_then(Value::as_i64);
            assert_eq!(seconds(stamp), unix, "{stamp}");
        }
        for stamp in [
            "",
            "20261126T000000",
            "2026-11-26T00:00Z",
            "20261126 000000Z",
        ] {
            assert_eq!(seconds(stamp), None, "{stamp}");
        }
    }
}
