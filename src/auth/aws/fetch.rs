#![forbid(unsafe_code)]
//! AWS: keys from where they are, and a request to STS that is signed by them and never sent. Phase
//! sends it, and STS tells Phase whose keys they are.

use std::time::SystemTime;

use base64ct::{Base64, Encoding};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::super::identity::{
    CredentialPlace, METADATA_SERVICE, NOT_IT, Shown, asked, header, json, posted, short,
};
use super::{Aws, AwsKeys, AwsSource, REGION, is_region, sigv4};
use crate::error::Error;
use crate::http::{HttpClient, Request, Response, form_encode};
use crate::secret::SecretBytes;

/// Of the session with the metadata service, in seconds: longer than any start.
const SESSION: &str = "300";

const TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

/// What the container's endpoint and the metadata service answer.
#[derive(Deserialize)]
struct Given {
    #[serde(rename = "AccessKeyId")]
    id: Option<SecretBytes>,
    #[serde(rename = "SecretAccessKey")]
    secret: Option<SecretBytes>,
    #[serde(rename = "Token")]
    session: Option<SecretBytes>,
    /// `Success`, or why there are none.
    #[serde(rename = "Code")]
    code: Option<String>,
}

impl Given {
    fn keys(self, place: CredentialPlace<'_>) -> Result<AwsKeys, Error> {
        let filled = |bytes: &SecretBytes| !bytes.expose().is_empty();
        match (
            self.id.filter(filled),
            self.secret.filter(filled),
            self.code,
        ) {
            (Some(id), Some(secret), _) => Ok(AwsKeys {
                id,
                secret,
                session: self.session.filter(filled),
            }),
            (_, _, Some(code)) => Err(place.fails(&format!("it gives none: {}", short(&code)))),
            (_, _, None) => Err(place.fails(NOT_IT)),
        }
    }
}

/// The member `awsIam` of a request to Phase, signed anew for each.
pub(crate) fn evidence<'e>(network: &HttpClient<'_>, aws: &'e Aws) -> Result<Shown<'e>, Error> {
    let mut region = aws.region.clone();
    let place = CredentialPlace {
        tried: &aws.tried,
        name: &aws.from,
        is_last: matches!(aws.source, AwsSource::Instance { .. }),
    };
    let keys = match &aws.source {
        AwsSource::Keys(keys) => Keys::Given(keys),
        AwsSource::WebIdentity {
            role,
            session,
            token,
            at,
        } => {
            let region = region.as_deref().unwrap_or(REGION);
            let url = match at {
                Some(url) => url.clone(),
                None => Url::parse(&sigv4::endpoint(region, aws.sts))
                    .map_err(|_| place.fails("the region is none"))?,
            };
            Keys::Got(assumed(network, place, &url, [role, session], token)?)
        }
        AwsSource::Container { url, authorization } => {
            Keys::Got(container(network, place, url, authorization.as_ref())?)
        }
        AwsSource::Instance { url } => {
            let (keys, told) = instance(network, place, url, region.is_none())?;
            region = region.or(told);
            Keys::Got(keys)
        }
    };
    let region = region.unwrap_or_else(|| REGION.to_owned());
    let copy = |secret: &SecretBytes| SecretBytes::new(secret.expose().to_vec());
    let AwsKeys {
        id,
        secret,
        session,
    } = keys.as_ref();
    let secrets = [Some(id), Some(secret), session.as_ref()];
    let mut hidden: Vec<SecretBytes> = secrets.into_iter().flatten().map(copy).collect();
    let sign = move || sigv4::sign(keys.as_ref(), &region, aws.sts, SystemTime::now());
    let first = sign().ok_or_else(|| place.fails("they hold what no header can"))?;
    hidden.push(SecretBytes::new(
        Base64::encode_string(&first.headers).into_bytes(),
    ));
    let encoded = |bytes: &[u8]| Base64::encode_string(bytes);
    let member = move || {
        let signed = sign()?;
        let parts = [
            r#""awsIam":{"httpRequestMethod":"POST","httpRequestUrl":""#,
            &encoded(signed.url.as_bytes()),
            r#"","httpRequestHeaders":""#,
            &encoded(&signed.headers),
            r#"","httpRequestBody":""#,
            &encoded(sigv4::BODY.as_bytes()),
            r#""}"#,
        ];
        Some(parts.concat().into_bytes())
    };
    Ok(Shown {
        member: Box::new(move || member().unwrap_or_default()),
        hidden,
    })
}

/// Those that were there, or those that were asked for.
enum Keys<'k> {
    Given(&'k AwsKeys),
    Got(AwsKeys),
}

impl Keys<'_> {
    fn as_ref(&self) -> &AwsKeys {
        match self {
            Self::Given(keys) => keys,
            Self::Got(keys) => keys,
        }
    }
}

/// `AssumeRoleWithWebIdentity`, which needs no signature: the token is the proof.
fn assumed(
    network: &HttpClient<'_>,
    place: CredentialPlace<'_>,
    url: &Url,
    [role, session]: [&String; 2],
    token: &SecretBytes,
) -> Result<AwsKeys, Error> {
    let text = str::from_utf8(token.expose()).map_err(|_| place.fails("its token is not text"))?;
    let body = form_encode(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", text.trim()),
    ]);
    let said = |received: &Response| element(&received.body, "Message").map(str::to_owned);
    let body = || body.clone();
    let received = asked(network, &posted(url, &body), place, &[token], said)?;
    let part = |name| {
        let text = element(&received.body, name)?;
        Some(SecretBytes::new(text.as_bytes().to_vec()))
    };
    let keys = || {
        Some(AwsKeys {
            id: part("AccessKeyId")?,
            secret: part("SecretAccessKey")?,
            session: part("SessionToken"),
        })
    };
    keys().ok_or_else(|| place.fails(NOT_IT))
}

fn container(
    network: &HttpClient<'_>,
    place: CredentialPlace<'_>,
    url: &Url,
    authorization: Option<&SecretBytes>,
) -> Result<AwsKeys, Error> {
    let mut headers = HeaderMap::new();
    if let Some(token) = authorization {
        let value = header(token.expose());
        let value = value.ok_or_else(|| place.fails("its token is no header"))?;
        headers.insert(AUTHORIZATION, value);
    }
    let call = Request {
        policy: METADATA_SERVICE,
        label: None,
        method: Method::GET,
        url: url.clone(),
        headers,
        body: &Vec::new,
    };
    let received = asked(network, &call, place, &[], |_| None)?;
    json::<Given>(&received, place)?.keys(place)
}

/// Version 2 alone: a session first, which a request that somebody else forged could not make.
fn instance(
    network: &HttpClient<'_>,
    place: CredentialPlace<'_>,
    base: &Url,
    wants_region: bool,
) -> Result<(AwsKeys, Option<String>), Error> {
    let asked = |method, path: &str, headers| -> Result<Response, Error> {
        let mut url = base.clone();
        url.set_path(&format!(
            "{}/latest/{path}",
            base.path().trim_end_matches('/')
        ));
        let call = Request {
            policy: METADATA_SERVICE,
            label: None,
            method,
            url,
            headers,
            body: &Vec::new,
        };
        asked(network, &call, place, &[], |_| None)
    };
    let ttl = HeaderMap::from_iter([(TTL, HeaderValue::from_static(SESSION))]);
    let session = asked(Method::PUT, "api/token", ttl)?;
    let session = header(&session.body).ok_or_else(|| place.fails("its session is no header"))?;
    let with_session = || HeaderMap::from_iter([(TOKEN, session.clone())]);
    let get = |path: &str| asked(Method::GET, path, with_session());

    const ROLES: &str = "meta-data/iam/security-credentials/";
    let roles = get(ROLES)?;
    let roles = String::from_utf8_lossy(&roles.body);
    let role = roles.lines().next().unwrap_or_default().trim();
    let is_role = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    if role.is_empty() || !role.bytes().all(is_role) {
        return Err(place.fails("it names no role"));
    }
    let received = get(&format!("{ROLES}{role}"))?;
    let keys = json::<Given>(&received, place)?.keys(place)?;
    if !wants_region {
        return Ok((keys, None));
    }
    let told = get("meta-data/placement/region")?;
    let told = String::from_utf8_lossy(&told.body).trim().to_owned();
    match is_region(&told) {
        true => Ok((keys, Some(told))),
        false => Err(place.fails("it names no region")),
    }
}

/// The text of the first element of that name: AWS's answers have no attributes, and what is asked
/// for has no escapes.
fn element<'b>(xml: &'b [u8], name: &str) -> Option<&'b str> {
    let text = str::from_utf8(xml).ok()?;
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inside)
}
