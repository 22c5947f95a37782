#![forbid(unsafe_code)]
//! AWS Signature Version 4 of one request: `GetCallerIdentity` of STS, as AWS documents it in "Create
//! a signed AWS API request". Its vectors are botocore's.

use std::time::{SystemTime, UNIX_EPOCH};

use base16ct::lower::encode_string;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, Tag, sign as hmac};

use super::{AwsKeys, Sts, is_region};
use crate::secret::SecretBytes;

pub(super) const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// What Phase sends on.
pub(super) struct Signed {
    pub(super) url: String,
    /// A JSON object of names and values.
    pub(super) headers: Vec<u8>,
}

/// The address of STS in a region. The plain one of us-east-1 is older than regions.
pub(super) fn endpoint(region: &str, sts: Sts) -> String {
    let domain = match region {
        _ if region.starts_with("cn-") => "amazonaws.com.cn",
        _ if region.starts_with("eusc-") => "amazonaws.eu",
        _ if region.starts_with("us-iso-") => "c2s.ic.gov",
        _ if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ if region.starts_with("us-isof-") => "csp.hci.ic.gov",
        _ if region.starts_with("eu-isoe-") => "cloud.adc-e.uk",
        _ => "amazonaws.com",
    };
    match (region, sts) {
        (
            "us-east-1",
            Sts {
                regional: false,
                fips: false,
            },
        ) => "https://sts.amazonaws.com".to_owned(),
        (region, Sts { fips: true, .. }) => format!("https://sts-fips.{region}.{domain}"),
        (region, _) => format!("https://sts.{region}.{domain}"),
    }
}

/// What has to be set for an address of STS.
pub(crate) fn settings_for(address: &str) -> Option<String> {
    let address = address.trim_end_matches('/');
    let words = address.split(['.', '/']).filter(|word| is_region(word));
    let regions = ["us-east-1"].into_iter().chain(words);
    let ways = [
        ("", Sts::default()),
        (
            " and AWS_STS_REGIONAL_ENDPOINTS=regional",
            Sts {
                regional: true,
                fips: false,
            },
        ),
        (
            " and AWS_USE_FIPS_ENDPOINT=true",
            Sts {
                regional: false,
                fips: true,
            },
        ),
    ];
    let all = regions.flat_map(|region| ways.map(|(more, sts)| (region, more, sts)));
    let (region, more, _) = all
        .into_iter()
        .find(|(region, _, sts)| endpoint(region, *sts) == address)?;
    Some(format!("AWS_REGION={region}{more}"))
}

/// None where a key cannot stand in a header or in JSON as it is.
pub(super) fn sign(keys: &AwsKeys, region: &str, sts: Sts, at: SystemTime) -> Option<Signed> {
    let id = plain(&keys.id)?;
    let session = match &keys.session {
        None => None,
        Some(token) => Some(plain(token)?).filter(|text| !text.is_empty()),
    };
    let time = time(at)?;
    let (date, _) = time.split_once('T')?;
    let url = endpoint(region, sts);
    let host = url.strip_prefix("https://")?;

    // Names in lower case and in order, each once.
    let mut signed = vec![
        ("content-type", TYPE),
        ("host", host),
        ("x-amz-date", &time),
    ];
    signed.extend(session.map(|token| ("x-amz-security-token", token)));
    let lines: String = signed
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let hash = |bytes: &[u8]| encode_string(digest(&SHA256, bytes).as_ref());
    let canonical = [
        "POST\n/\n\n",
        &lines,
        "\n",
        &names,
        "\n",
        &hash(BODY.as_bytes()),
    ]
    .concat();
    let scope = format!("{date}/{region}/sts/aws4_request");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hash(canonical.as_bytes())
    );
    let step = |key: &[u8], text: &str| hmac(&Key::new(HMAC_SHA256, key), text.as_bytes());
    let first = [b"AWS4", keys.secret.expose()].concat();
    let derived = |tag: Tag, text| step(tag.as_ref(), text);
    let key = derived(
        derived(derived(step(&first, date), region), "sts"),
        "aws4_request",
    );
    let signature = encode_string(derived(key, &to_sign).as_ref());
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    );

    let shown = ["Content-Type", "Host", "X-Amz-Date", "X-Amz-Security-Token"];
    let mut headers = Vec::new();
    let values = signed.iter().map(|(_, value)| *value);
    let pairs = shown
        .into_iter()
        .zip(values)
        .chain([("Authorization", authorization.as_str())]);
    for (name, value) in pairs {
        let start = if headers.is_empty() { "{\"" } else { ",\"" };
        for part in [start, name, "\":\"", value, "\""] {
            headers.extend_from_slice(part.as_bytes());
        }
    }
    headers.extend_from_slice(b"}");
    Some(Signed { url, headers })
}

fn plain(secret: &SecretBytes) -> Option<&str> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    let text = str::from_utf8(secret.expose()).ok()?;
    text.bytes().all(fits).then_some(text)
}

/// `20150830T123600Z`, by the calendar that repeats every 400 years.
fn time(at: SystemTime) -> Option<String> {
    let seconds = at.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let (mut days, time) = (seconds / 86400, seconds % 86400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hours, minutes, seconds) = (time / 3600, time / 60 % 60, time % 60);
    Some(format!(
        "{year:04}{month:02}{:02}T{hours:02}{minutes:02}{seconds:02}Z",
        days + 1
    ))
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

    fn keys(id: &str, secret: &str, session: Option<&str>) -> AwsKeys {
        let bytes = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
        AwsKeys {
            id: bytes(id),
            secret: bytes(secret),
            session: session.map(bytes),
        }
    }

    #[test]
    fn what_botocore_signs_is_signed_alike() {
        let vectors = include_str!("../../../tests/vectors/sigv4.json");
        let vectors: Vec<Vector> = serde_json::from_str(vectors).unwrap();
        assert!(vectors.len() > 5);
        for vector in vectors {
            let session = vector.session_token.as_deref();
            let keys = keys(&vector.access_key, &vector.secret_key, session);
            let at = UNIX_EPOCH + Duration::from_secs(vector.unix);
            let signed = sign(&keys, &vector.region, Sts::default(), at).unwrap();
            let headers: BTreeMap<String, String> =
                serde_json::from_slice(&signed.headers).unwrap();
            assert_eq!(headers, vector.headers);
            assert_eq!(format!("{}/", signed.url), vector.endpoint);
            assert_eq!(BODY, vector.body);
        }
    }

    #[test]
    fn a_key_that_could_leave_its_header_is_none() {
        for bad in ["a\"b", "a\\b", "a b", "a\nb", "\u{e4}"] {
            assert!(
                sign(&keys(bad, "s", None), "x", Sts::default(), UNIX_EPOCH).is_none(),
                "{bad}"
            );
            assert!(
                sign(&keys("a", "s", Some(bad)), "x", Sts::default(), UNIX_EPOCH).is_none(),
                "{bad}"
            );
            assert!(
                sign(&keys("a", bad, None), "x", Sts::default(), UNIX_EPOCH).is_some(),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_address_tells_what_to_set() {
        for (address, settings) in [
            ("https://sts.amazonaws.com", "AWS_REGION=us-east-1"),
            ("https://sts.amazonaws.com/", "AWS_REGION=us-east-1"),
            (
                "https://sts.us-east-1.amazonaws.com",
                "AWS_REGION=us-east-1 and AWS_STS_REGIONAL_ENDPOINTS=regional",
            ),
            (
                "https://sts-fips.us-west-2.amazonaws.com",
                "AWS_REGION=us-west-2 and AWS_USE_FIPS_ENDPOINT=true",
            ),
            (
                "https://sts.eu-central-1.amazonaws.com",
                "AWS_REGION=eu-central-1",
            ),
            (
                "https://sts.cn-north-1.amazonaws.com.cn",
                "AWS_REGION=cn-north-1",
            ),
            (
                "https://sts.us-iso-east-1.c2s.ic.gov",
                "AWS_REGION=us-iso-east-1",
            ),
            (
                "https://sts.us-isob-east-1.sc2s.sgov.gov",
                "AWS_REGION=us-isob-east-1",
            ),
            (
                "https://sts.us-isof-south-1.csp.hci.ic.gov",
                "AWS_REGION=us-isof-south-1",
            ),
            (
                "https://sts.eu-isoe-west-1.cloud.adc-e.uk",
                "AWS_REGION=eu-isoe-west-1",
            ),
            (
                "https://sts.eusc-de-east-1.amazonaws.eu",
                "AWS_REGION=eusc-de-east-1",
            ),
        ] {
            assert_eq!(
                settings_for(address).as_deref(),
                Some(settings),
                "{address}"
            );
        }
        for other in [
            "https://sts.acme.test",
            "",
            "https://sts..amazonaws.com",
            "https://sts.A.amazonaws.com",
            "http://sts.amazonaws.com",
            "https://vpce-1.sts.eu-west-3.vpce.amazonaws.com",
        ] {
            assert_eq!(settings_for(other), None, "{other}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (4_107_542_400, "21000301T000000Z"),
            (1_798_761_599, "20261231T235959Z"),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(time(at).as_deref(), Some(text));
        }
    }
}
