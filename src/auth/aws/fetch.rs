#![forbid(unsafe_code)]
//! Fetches an AWS access key from the source that the chain selected: STS, a container's endpoint, or
//! the instance metadata service.

use std::rc::Rc;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::sts::{self, DEFAULT_REGION, is_region};
use super::{AwsAccessKey, AwsCredentials, AwsSource, INVALID_KEY};
use crate::auth::cloud::LoginEvidence;
use crate::auth::selected_source::{MAX_TEXT_LENGTH, SelectedSource, UNEXPECTED_RESPONSE};
use crate::error::Error;
use crate::http::{HttpClient, Response, redact};
use crate::secret::SecretBytes;

/// The lifetime of a session with the instance metadata service, in seconds: longer than any fetch.
const IMDS_SESSION_TTL: &str = "300";

const IMDS_TTL_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const IMDS_TOKEN_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

/// The path that lists the instance's roles, one per line. The role's name behind it leads to the access
/// key of that role.
const IMDS_ROLES: &str = "meta-data/iam/security-credentials/";

impl AwsCredentials {
    /// Fetches the access key unless it is on the machine, and the region of an instance unless it is
    /// set.
    ///
    /// # Errors
    /// `identity` if a request fails or its response cannot be used.
    pub(in crate::auth) fn fetch_evidence(
        &self,
        http: &HttpClient<'_>,
    ) -> Result<LoginEvidence, Error> {
        let selected = &self.selected;
        let mut region = self.region.clone();
        let key = match &self.source {
            AwsSource::AccessKey(key) => Rc::clone(key),
            AwsSource::WebIdentity {
                role_arn,
                session_name,
                token,
                sts_url,
            } => {
                let url = match sts_url {
                    Some(url) => url.clone(),
                    None => {
                        let region = region.as_deref().unwrap_or(DEFAULT_REGION);
                        let url = format!("https://{}", sts::host(region, self.sts));
                        Url::parse(&url).map_err(|_| selected.error("the region is not valid"))?
                    }
                };
                let role = [role_arn, session_name];
                Rc::new(assume_role_with_web_identity(
                    http, selected, &url, role, token,
                )?)
            }
            AwsSource::Container { url, authorization } => {
                let authorization = authorization.as_ref();
                Rc::new(fetch_container_key(http, selected, url, authorization)?)
            }
            AwsSource::InstanceMetadata { endpoint } => {
                let imds = Imds::connect(http, selected, endpoint)?;
                let key = imds.fetch_key()?;
                if region.is_none() {
                    region = Some(imds.fetch_region()?);
                }
                Rc::new(key)
            }
        };
        Ok(LoginEvidence::Aws {
            key,
            region: region.unwrap_or_else(|| DEFAULT_REGION.to_owned()),
            sts: self.sts,
        })
    }
}

/// Exchanges the token of a web identity for an access key. The request needs no signature.
fn assume_role_with_web_identity(
    http: &HttpClient<'_>,
    selected: &SelectedSource,
    url: &Url,
    [role_arn, session_name]: [&String; 2],
    token: &SecretBytes,
) -> Result<AwsAccessKey, Error> {
    let fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role_arn),
        ("RoleSessionName", session_name),
        ("WebIdentityToken", selected.token_text(token, "the token")?),
    ];
    let response = selected.post_form(http, url, &fields, token, |body| {
        xml_element(body, "Message").map(str::to_owned)
    })?;
    let element = |name| {
        let text = xml_element(&response.body, name)?;
        Some(SecretBytes::new(text.as_bytes().to_vec()))
    };
    let parts = [
        element("AccessKeyId"),
        element("SecretAccessKey"),
        element("SessionToken"),
    ];
    access_key(selected, parts, UNEXPECTED_RESPONSE)
}

/// The text of the first XML element with this name. AWS's responses have no attributes, and their
/// keys and tokens need no escapes.
fn xml_element<'b>(xml: &'b [u8], name: &str) -> Option<&'b str> {
    let text = str::from_utf8(xml).ok()?;
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content)
}

/// Requests the access key from the credentials endpoint of a container.
fn fetch_container_key(
    http: &HttpClient<'_>,
    selected: &SelectedSource,
    url: &Url,
    authorization: Option<&SecretBytes>,
) -> Result<AwsAccessKey, Error> {
    let mut headers = HeaderMap::new();
    if let Some(token) = authorization {
        let value = selected.sensitive_header(token.expose(), "the authorization token")?;
        headers.insert(AUTHORIZATION, value);
    }
    let request = (Method::GET, url.clone());
    let response = selected.request_metadata(http, request, headers, authorization, |_| None)?;
    parse_access_key(selected, &response)
}

/// A client for version 2 of the instance metadata service. Version 1 is not used: it requires no session,
/// so a forged request could read it.
struct Imds<'a> {
    http: &'a HttpClient<'a>,
    selected: &'a SelectedSource,
    endpoint: &'a Url,
    session: HeaderValue,
}

impl<'a> Imds<'a> {
    fn connect(
        http: &'a HttpClient<'a>,
        selected: &'a SelectedSource,
        endpoint: &'a Url,
    ) -> Result<Self, Error> {
        let ttl = HeaderValue::from_static(IMDS_SESSION_TTL);
        let request = (Method::PUT, imds_url(endpoint, "api/token"));
        let headers = HeaderMap::from_iter([(IMDS_TTL_HEADER, ttl)]);
        let response = selected.request_metadata(http, request, headers, None, |_| None)?;
        Ok(Self {
            http,
            selected,
            endpoint,
            session: selected.sensitive_header(&response.body, "the session token")?,
        })
    }

    fn get(&self, path: &str) -> Result<Response, Error> {
        let request = (Method::GET, imds_url(self.endpoint, path));
        let headers = HeaderMap::from_iter([(IMDS_TOKEN_HEADER, self.session.clone())]);
        self.selected
            .request_metadata(self.http, request, headers, None, |_| None)
    }

    fn fetch_key(&self) -> Result<AwsAccessKey, Error> {
        let roles = self.get(IMDS_ROLES)?;
        let roles = String::from_utf8_lossy(&roles.body);
        let role = roles.lines().next().unwrap_or_default().trim();
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        if role.is_empty() || !role.bytes().all(is_allowed) {
            return Err(self.selected.error("the response names no role"));
        }
        let response = self.get(&format!("{IMDS_ROLES}{role}"))?;
        parse_access_key(self.selected, &response)
    }

    fn fetch_region(&self) -> Result<String, Error> {
        let response = self.get("meta-data/placement/region")?;
        let region = String::from_utf8_lossy(&response.body).trim().to_owned();
        match is_region(&region) {
            true => Ok(region),
            false => Err(self.selected.error("the response names no region")),
        }
    }
}

fn imds_url(endpoint: &Url, path: &str) -> Url {
    let base = endpoint.path().trim_end_matches('/');
    let mut url = endpoint.clone();
    url.set_path(&format!("{base}/latest/{path}"));
    url
}

/// Parses the response of a container's endpoint or the instance metadata service.
fn parse_access_key(selected: &SelectedSource, response: &Response) -> Result<AwsAccessKey, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct AccessKeyBody {
        access_key_id: Option<SecretBytes>,
        secret_access_key: Option<SecretBytes>,
        token: Option<SecretBytes>,
        /// `Success`, or why there is no access key.
        code: Option<String>,
    }
    let response: AccessKeyBody = selected.parse_json(response)?;
    let parts = [
        response.access_key_id,
        response.secret_access_key,
        response.token,
    ];
    let missing = match response.code {
        Some(code) => {
            let secrets = parts.iter().flatten().map(SecretBytes::expose);
            let code = redact::quote(&code, MAX_TEXT_LENGTH, secrets);
            format!("no access key: {code}")
        }
        None => UNEXPECTED_RESPONSE.to_owned(),
    };
    access_key(selected, parts, &missing)
}

/// Makes the key of its ID, secret and session token; `missing` is the reason if one of the first two
/// is missing or empty.
fn access_key(
    selected: &SelectedSource,
    parts: [Option<SecretBytes>; 3],
    missing: &str,
) -> Result<AwsAccessKey, Error> {
    let is_set = |part: &SecretBytes| !part.expose().is_empty();
    let [Some(id), Some(secret), session_token] = parts.map(|part| part.filter(is_set)) else {
        return Err(selected.error(missing));
    };
    AwsAccessKey::new(id, secret, session_token).ok_or_else(|| selected.error(INVALID_KEY))
}
