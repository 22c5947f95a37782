#![forbid(unsafe_code)]
//! Cloud identity: finds the machine's cloud credentials and turns them into the evidence that Phase
//! verifies.
//!
//! [`CloudCredentials::find`] walks the credential chain of the cloud's own SDKs: their variables and
//! files, then the instance metadata service. [`CloudCredentials::fetch_evidence`] then requests what
//! is not on the machine. The variables belong to the command too and stay in its environment.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::aws::sts::StsOptions;
use super::aws::{AwsAccessKey, AwsCredentials, sigv4};
use super::azure::AzureCredentials;
use crate::config::Provider;
use crate::config::credential_file::{open_regular, read_bounded};
use crate::error::{Error, os_error_text};
use crate::http::{HttpClient, Request, RequestPolicy, Response, form_encode, is_loopback, redact};
use crate::json::JsonObject;
use crate::process::env_block::EnvBlock;
use crate::secret::SecretBytes;

/// The size limit of a credential file, in bytes: AWS's shared files may list hundreds of accounts.
pub(super) const MAX_FILE_SIZE: u64 = 1 << 20;

/// The length to which text from a cloud is cut in messages, in characters.
const MAX_TEXT_LENGTH: usize = 200;

/// The reason in messages for a response that cannot be parsed.
pub(super) const UNEXPECTED_RESPONSE: &str = "unexpected response";

/// Requests to a public service of a cloud. A `--ca-file` may be meant for Phase alone, or for a gateway
/// in front of both, so the built-in roots are trusted too.
const CLOUD_SERVICE: RequestPolicy = RequestPolicy {
    trusts_built_in_roots: true,
    ..RequestPolicy::DEFAULT
};

/// Requests to a metadata service on this machine or its link. Outside that cloud nothing answers at
/// its address; on a new machine the first answer takes seconds. A container's path to its credentials
/// is as secret as a token.
const METADATA_SERVICE: RequestPolicy = RequestPolicy {
    timeout: Duration::from_secs(5),
    connect_timeout: Duration::from_secs(1),
    max_tries: 2,
    uses_proxy: false,
    trusts_built_in_roots: true,
    logs_path: false,
};

/// The machine's cloud credentials, or the source to fetch them from.
pub(crate) enum CloudCredentials {
    Aws(AwsCredentials),
    Azure(AzureCredentials),
}

impl CloudCredentials {
    /// Finds the credentials of this machine in the order of the cloud's SDKs.
    ///
    /// # Errors
    /// `identity` if there are none, or those that are configured cannot be used.
    pub(super) fn find(provider: Provider, inherited: &EnvBlock) -> Result<Self, Error> {
        let env = ProviderEnv(inherited);
        match provider {
            Provider::Aws => AwsCredentials::find(&env).map(Self::Aws),
            Provider::Azure => AzureCredentials::find(&env).map(Self::Azure),
        }
    }

    /// The credentials and their source, as messages name them.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Aws(aws) => format!("the AWS credentials from {}", aws.selected.name),
            Self::Azure(azure) => format!("the Azure token from {}", azure.selected.name),
        }
    }

    /// The last part of Phase's login address.
    pub(crate) fn login_path(&self) -> &'static str {
        match self {
            Self::Aws(_) => "aws/iam",
            Self::Azure(_) => "azure/entra",
        }
    }

    /// Fetches credentials that are not on the machine, and returns the evidence for Phase.
    ///
    /// # Errors
    /// `identity` if the credentials cannot be fetched or used.
    pub(crate) fn fetch_evidence(&self, http: &HttpClient<'_>) -> Result<LoginEvidence, Error> {
        match self {
            Self::Aws(aws) => aws.fetch_evidence(http),
            Self::Azure(azure) => Ok(LoginEvidence::Azure {
                access_token: azure.fetch_access_token(http)?,
            }),
        }
    }
}

/// What Phase verifies to learn who this machine is.
pub(crate) enum LoginEvidence {
    /// A `GetCallerIdentity` request signed with this key. Phase sends it to STS, which answers whose
    /// key it is.
    Aws {
        key: Rc<AwsAccessKey>,
        region: String,
        sts: StsOptions,
    },
    /// An access token of Microsoft Entra, whose signature Phase verifies.
    Azure { access_token: SecretBytes },
}

impl LoginEvidence {
    /// Builds the member of the login request's JSON object, and adds the secrets that were made for
    /// it to `sent_secrets`. Call it for each try, because an AWS signature expires within a minute.
    pub(crate) fn json_member(&self, sent_secrets: &mut Vec<SecretBytes>) -> Vec<u8> {
        match self {
            Self::Aws { key, region, sts } => {
                let signed = sigv4::sign(key, region, *sts, SystemTime::now());
                let headers = Base64::encode_string(signed.headers.as_bytes());
                let parts = [
                    r#""awsIam":{"httpRequestMethod":"POST","httpRequestUrl":""#,
                    &Base64::encode_string(signed.url.as_bytes()),
                    r#"","httpRequestHeaders":""#,
                    &headers,
                    r#"","httpRequestBody":""#,
                    &Base64::encode_string(sigv4::BODY.as_bytes()),
                    r#""}"#,
                ];
                let member = parts.concat().into_bytes();
                let secrets = [headers, signed.signature].map(String::into_bytes);
                sent_secrets.extend(secrets.map(SecretBytes::new));
                member
            }
            Self::Azure { access_token } => {
                let token = Base64::encode_string(access_token.expose());
                [r#""azureEntra":{"jwt":""#, &token, r#""}"#]
                    .concat()
                    .into_bytes()
            }
        }
    }

    /// The secrets that the login request is made of, which no message may repeat.
    pub(crate) fn into_secrets(self) -> Vec<SecretBytes> {
        match self {
            Self::Aws { key, .. } => {
                let copy = |secret: &SecretBytes| SecretBytes::new(secret.expose().to_vec());
                let parts = [Some(&key.id), Some(&key.secret), key.session_token.as_ref()];
                parts.into_iter().flatten().map(copy).collect()
            }
            Self::Azure { access_token } => vec![access_token],
        }
    }
}

/// The variables that a cloud's SDKs read. An empty variable counts as unset.
pub(super) struct ProviderEnv<'a>(pub(super) &'a EnvBlock);

impl<'a> ProviderEnv<'a> {
    pub(super) fn value(&self, name: &str) -> Option<&'a OsStr> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    /// The value as text. Each name must be one that [`CredentialChain::start`] has checked: a value that
    /// is not UTF-8 counts as unset here.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name)?.to_str()
    }

    /// Whether the variable has this value, ignoring case.
    pub(super) fn is_set_to(&self, name: &str, value: &str) -> bool {
        self.text(name)
            .is_some_and(|text| text.eq_ignore_ascii_case(value))
    }

    pub(super) fn secret(&self, name: &str) -> Option<SecretBytes> {
        let value = self.value(name)?.as_bytes();
        Some(SecretBytes::new(value.to_vec()))
    }

    pub(super) fn path(&self, name: &str) -> Option<&'a Path> {
        self.value(name).map(Path::new)
    }

    /// Whether this process runs in a Kubernetes pod, for a hint.
    pub(super) fn is_kubernetes(&self) -> bool {
        self.value("KUBERNETES_SERVICE_HOST").is_some()
    }
}

/// The credential chain of a cloud's SDKs: its sources in order, of which the first that is
/// configured is used.
pub(super) struct CredentialChain {
    provider: Provider,
    /// The sources that are not configured, each with the reason.
    skipped: Vec<String>,
    /// What to do if no source is configured.
    hint: &'static str,
}

/// The result of looking at one source of the chain.
pub(super) enum Lookup<S> {
    /// The source, and how messages name it.
    Found(S, String),
    /// Why the next source is tried.
    NotConfigured(String),
}

/// Why a source that is configured cannot be used. The chain ends there: the next source may belong
/// to another principal.
pub(super) struct Unusable {
    pub(super) why: String,
    pub(super) hint: Option<&'static str>,
}

impl<T: Into<String>> From<T> for Unusable {
    fn from(why: T) -> Self {
        let why = why.into();
        Self { why, hint: None }
    }
}

/// A source of the chain: its name in messages, and the function that looks for it.
pub(super) type ChainSource<'s, S> = (&'static str, &'s dyn Fn() -> Result<Lookup<S>, Unusable>);

impl CredentialChain {
    /// Starts a chain. The `text_variables` must be UTF-8: one that is not would count as unset, and the
    /// chain could end at another principal.
    pub(super) fn start(
        provider: Provider,
        hint: &'static str,
        env: &ProviderEnv<'_>,
        text_variables: &[&'static str],
    ) -> Result<Self, Error> {
        let chain = Self {
            provider,
            skipped: Vec::new(),
            hint,
        };
        let is_utf8 = |name: &str| env.value(name).is_none_or(|value| value.to_str().is_some());
        match text_variables.iter().find(|name| !is_utf8(name)) {
            Some(name) => Err(chain.error(name, "it is not UTF-8", None)),
            None => Ok(chain),
        }
    }

    /// Returns the first source that is configured.
    ///
    /// # Errors
    /// `identity` if none is, or the first one cannot be used.
    pub(super) fn select<S>(
        mut self,
        sources: &[ChainSource<'_, S>],
    ) -> Result<(S, SelectedSource), Error> {
        for (nth, (source_name, look_up)) in sources.iter().enumerate() {
            match look_up() {
                Ok(Lookup::Found(source, name)) => {
                    let selected = SelectedSource {
                        chain: self,
                        name,
                        is_last: nth + 1 == sources.len(),
                    };
                    return Ok((source, selected));
                }
                Ok(Lookup::NotConfigured(why)) => {
                    self.skipped.push(format!("{source_name}: {why}"));
                }
                Err(Unusable { why, hint }) => return Err(self.error(source_name, &why, hint)),
            }
        }
        Err(Error::NoCloudCredentials {
            provider: self.provider.name(),
            attempts: self.skipped,
            hint: Some(self.hint),
        })
    }

    /// The error about one source, which also lists the skipped ones.
    fn error(&self, source_name: &str, why: &str, hint: Option<&'static str>) -> Error {
        let mut attempts = self.skipped.clone();
        attempts.push(format!("{source_name}: {why}"));
        Error::NoCloudCredentials {
            provider: self.provider.name(),
            attempts,
            hint,
        }
    }
}

/// The source that the chain selected: sends requests to it and makes errors about it.
pub(super) struct SelectedSource {
    chain: CredentialChain,
    /// How messages name it.
    name: String,
    /// The last source, the metadata service, needs no configuration: if it fails, probably no
    /// source was configured.
    is_last: bool,
}

impl SelectedSource {
    pub(super) fn error(&self, why: &str) -> Error {
        let hint = self.is_last.then_some(self.chain.hint);
        self.chain.error(&self.name, why, hint)
    }

    /// The error about a setting other than the source.
    pub(super) fn setting_error(&self, setting: &str, why: &str) -> Error {
        self.chain.error(setting, why, None)
    }

    /// Posts a form to a public service of the cloud. See [`Self::send`].
    pub(super) fn post_form(
        &self,
        http: &HttpClient<'_>,
        url: &Url,
        fields: &[(&str, &str)],
        secret: &SecretBytes,
        error_text: fn(&[u8]) -> Option<String>,
    ) -> Result<Response, Error> {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let body = form_encode(fields);
        let request = Request {
            policy: CLOUD_SERVICE,
            label: None,
            method: Method::POST,
            url: url.clone(),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, form)]),
            body: &|| body.clone(),
        };
        self.send(http, &request, Some(secret), error_text)
    }

    /// Sends a request to a metadata service. See [`Self::send`].
    pub(super) fn ask_metadata(
        &self,
        http: &HttpClient<'_>,
        (method, url): (Method, Url),
        headers: HeaderMap,
        secret: Option<&SecretBytes>,
        error_text: fn(&[u8]) -> Option<String>,
    ) -> Result<Response, Error> {
        let request = Request {
            policy: METADATA_SERVICE,
            label: None,
            method,
            url,
            headers,
            body: &Vec::new,
        };
        self.send(http, &request, secret, error_text)
    }

    /// Sends a request and requires status 200. `error_text` finds the reason in the body of another
    /// response; `secret` is redacted from it.
    ///
    /// # Errors
    /// `identity`.
    fn send(
        &self,
        http: &HttpClient<'_>,
        request: &Request<'_>,
        secret: Option<&SecretBytes>,
        error_text: fn(&[u8]) -> Option<String>,
    ) -> Result<Response, Error> {
        let response = http.send(request).map_err(|error| match error {
            Error::UnexpectedResponse { host, why, .. } => self.error(&format!("{host}: {why}")),
            error => self.error(&error.to_string()),
        })?;
        let status = match (response.status, &response.location) {
            (200, _) => return Ok(response),
            (status @ 300..=399, Some(_)) => {
                format!("it redirects (status {status}), which is not followed")
            }
            (status, _) => format!("status {status}"),
        };
        let why = match error_text(&response.body) {
            Some(text) => {
                let text =
                    redact::redact_secrets(&text, secret.into_iter().map(SecretBytes::expose));
                format!("{status}: {}", shorten(&text))
            }
            None => status,
        };
        Err(self.error(&why))
    }

    /// Parses a JSON response. The error does not quote it: it may hold a secret.
    ///
    /// # Errors
    /// `identity`.
    pub(super) fn parse_json<'b, T: Deserialize<'b>>(
        &self,
        response: &'b Response,
    ) -> Result<T, Error> {
        match serde_json::from_slice(&response.body) {
            Ok(JsonObject(parsed)) => Ok(parsed),
            Err(_) => Err(self.error(UNEXPECTED_RESPONSE)),
        }
    }

    /// Makes a header value that is not logged.
    ///
    /// # Errors
    /// `identity` if the bytes cannot be a header value; `what` names them.
    pub(super) fn sensitive_header(&self, value: &[u8], what: &str) -> Result<HeaderValue, Error> {
        let mut value = HeaderValue::from_bytes(value.trim_ascii())
            .map_err(|_| self.error(&format!("{what} is not a valid header value")))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The text of a token, without white space around it.
    ///
    /// # Errors
    /// `identity` if it is not UTF-8; `what` names it.
    pub(super) fn token_text<'s>(
        &self,
        token: &'s SecretBytes,
        what: &str,
    ) -> Result<&'s str, Error> {
        match str::from_utf8(token.expose()) {
            Ok(text) => Ok(text.trim()),
            Err(_) => Err(self.error(&format!("{what} is not UTF-8"))),
        }
    }
}

/// Cuts text from a cloud for a message.
pub(super) fn shorten(text: &str) -> String {
    text.chars().take(MAX_TEXT_LENGTH).collect()
}

/// Reads a file that holds a token.
///
/// # Errors
/// The path and the reason.
pub(super) fn read_token_file(path: &Path) -> Result<SecretBytes, String> {
    // A JSON web token (RFC 7519 §3.1) instead of the path of its file must not be shown.
    if path.as_os_str().as_bytes().starts_with(b"eyJ") {
        return Err("a token is given instead of the path of its file".to_owned());
    }
    let unusable = |why: &str| format!("{}: {why}", path.display());
    let unreadable = |error| unusable(&os_error_text(&error));
    let file = open_regular(path).map_err(unreadable)?;
    let file = file.ok_or_else(|| unusable("it is not a regular file"))?;
    let bytes = read_bounded(file, MAX_FILE_SIZE).map_err(unreadable)?;
    match bytes.expose() {
        long if long.len() as u64 > MAX_FILE_SIZE => Err(unusable(&format!(
            "it is longer than {MAX_FILE_SIZE} bytes"
        ))),
        blank if blank.trim_ascii().is_empty() => Err(unusable("it is empty")),
        _ => Ok(bytes),
    }
}

/// Parses the address of a metadata service: https, or http to this machine or a link-local address.
///
/// # Errors
/// The reason.
pub(super) fn metadata_url(text: &str) -> Result<Url, &'static str> {
    parse_url(text, |host| is_loopback(host) || is_link_local(host))
}

/// Parses the address of a cloud's public service: https, or http to this machine.
///
/// # Errors
/// The reason.
pub(super) fn service_url(text: &str) -> Result<Url, &'static str> {
    parse_url(text, is_loopback)
}

fn parse_url(text: &str, allows_http: impl Fn(&str) -> bool) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL")?;
    let host = url.host_str().ok_or("it has no host")?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("it has a user name, a password or a fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allows_http(host) => Ok(url),
        "http" => Err("plain HTTP to another machine would send credentials unencrypted"),
        _ => Err("it is neither https nor http"),
    }
}

/// Whether the host is a link-local IPv4 address (RFC 3927), where clouds have their metadata
/// services, or one of AWS's two metadata addresses for IPv6.
fn is_link_local(host: &str) -> bool {
    let v4 = host.parse::<std::net::Ipv4Addr>();
    v4.is_ok_and(|address| address.is_link_local())
        || ["[fd00:ec2::254]", "[fd00:ec2::23]"].contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_loopback_and_link_local_only() {
        for text in [
            "http://169.254.169.254",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/",
            "http://127.0.0.1:8080/x",
            "http://localhost:42356/msi/token",
            "https://sts.eu-central-1.amazonaws.com",
        ] {
            assert!(metadata_url(text).is_ok(), "{text}");
        }
        for text in [
            "http://169.253.169.254",
            "http://10.0.0.1",
            "http://169.254.169.254.acme.test",
            "http://[fd00:ec2::255]",
            "http://[fe80::1]",
            "http://user:word@127.0.0.1",
            "http://127.0.0.1/#fragment",
            "http://acme.test",
            "file:///etc/passwd",
            "169.254.169.254",
            "",
        ] {
            assert!(metadata_url(text).is_err(), "{text}");
        }
        assert!(service_url("http://169.254.169.254").is_err());
        assert!(service_url("http://127.0.0.1:1").is_ok());
    }
}
