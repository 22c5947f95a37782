#![forbid(unsafe_code)]
//! `--identity`: no stored token. The machine proves to its cloud who it is, and by that to Phase.
//!
//! Configuration knows the cloud and the service account. What proves it, or where that is to be
//! had, is [`CloudCredentials`]: variables and files of the cloud's own kits, read in the process that
//! fetches. They are the command's own, and stay in its environment.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::aws::Aws;
use super::azure::Azure;
use super::credential::{Auth, Credential, IdentityLogin, OnMinted, parsed};
use crate::config::credential_file::{regular, whole};
use crate::config::{AuthSource, Identity, Provider};
use crate::error::{Error, os_error_text};
use crate::http::{HttpClient, Request, RequestPolicy, Response, is_loopback, redact};
use crate::json::JsonObject;
use crate::log::Log;
use crate::process::env_block::EnvBlock;
use crate::secret::SecretBytes;

/// Shared files of AWS may list hundreds of accounts. In bytes.
pub(super) const MAX_SIZE: u64 = 1 << 20;

/// What proves who this machine is, or where that is to be had.
pub(crate) enum CloudCredentials {
    Aws(Aws),
    Azure(Azure),
}

impl Identity {
    /// # Errors
    /// `identity` where nothing can be found, or what is there cannot be used.
    pub(crate) fn proof<'k>(
        &self,
        inherited: &EnvBlock,
        keep: OnMinted<'k>,
    ) -> Result<IdentityLogin<'k>, Error> {
        let around = ProviderEnv(inherited);
        let evidence = match self.provider {
            Provider::Aws => CloudCredentials::Aws(Aws::find(&around)?),
            Provider::Azure => CloudCredentials::Azure(Azure::find(&around)?),
        };
        Ok(IdentityLogin {
            cloud_credentials: evidence,
            service_account: self.account.clone(),
            token_source: self.name(),
            gateway_headers: HeaderMap::new(),
            on_minted: keep,
            previous: None,
            minted: OnceCell::new(),
        })
    }

    /// # Errors
    /// `token` for what is none.
    pub(crate) fn credential(&self, kept: &SecretBytes) -> Result<Credential, Error> {
        parsed(self.name(), kept)
    }

    /// What its token is from, as messages name it.
    fn name(&self) -> String {
        format!("{} {}", self.source, self.provider.name())
    }
}

/// The variables that a cloud's own kits read. One that is set but empty is not set.
pub(super) struct ProviderEnv<'a>(pub(super) &'a EnvBlock);

impl<'a> ProviderEnv<'a> {
    pub(super) fn bytes(&self, name: &str) -> Option<&'a OsStr> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    /// Those that are looked at with [`Self::text`] have to be text: one that could not be read would
    /// count as not set, and another principal be found.
    pub(super) fn first_non_utf8(&self, names: &[&'static str]) -> Option<&'static str> {
        let no_text = |name: &&&str| {
            self.bytes(name)
                .is_some_and(|value| value.to_str().is_none())
        };
        names.iter().find(no_text).copied()
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.bytes(name)?.to_str()
    }

    /// Whether it is set to this word, in any case.
    pub(super) fn is(&self, name: &str, word: &str) -> bool {
        self.text(name)
            .is_some_and(|set| set.eq_ignore_ascii_case(word))
    }

    pub(super) fn secret(&self, name: &str) -> Option<SecretBytes> {
        let value = self.bytes(name)?.as_bytes();
        Some(SecretBytes::new(value.to_vec()))
    }

    pub(super) fn path(&self, name: &str) -> Option<&'a Path> {
        self.bytes(name).map(Path::new)
    }

    /// For a hint.
    pub(super) fn is_kubernetes(&self) -> bool {
        self.bytes("KUBERNETES_SERVICE_HOST").is_some()
    }
}

/// Where was looked, in the order of the cloud's own kits, and why it was not to be had there.
#[derive(Clone, Debug)]
pub(crate) struct CredentialChain {
    provider: Provider,
    places: Vec<String>,
    /// What to do where nothing was set up at all.
    hint: &'static str,
}

impl CredentialChain {
    pub(super) fn new(provider: Provider, hint: &'static str) -> Self {
        Self {
            provider,
            places: Vec::new(),
            hint,
        }
    }

    pub(super) fn pass(&mut self, place: &str, why: &str) {
        self.places.push(format!("{place}: {why}"));
    }

    /// The last place came to nothing: none of them was set up.
    pub(crate) fn nothing(&self, place: &str, why: &str) -> Error {
        self.broken(place, why, Some(self.hint))
    }

    /// What is set up there cannot be used. No other place is asked: whoever set it up means this one,
    /// and the machine may be somebody else elsewhere.
    pub(crate) fn broken(&self, place: &str, why: &str, hint: Option<&'static str>) -> Error {
        let mut places = self.places.clone();
        places.push(format!("{place}: {why}"));
        Error::NoCloudCredentials {
            provider: self.provider.name(),
            attempts: places,
            hint,
        }
    }
}

/// A file that holds a secret, in the words of why not.
pub(super) fn read(path: &Path) -> Result<SecretBytes, String> {
    // A JSON web token (RFC 7519 §3.1) where its file's path belongs is not shown.
    if path.as_os_str().as_bytes().starts_with(b"eyJ") {
        return Err("a token stands in the place of its file's path".to_owned());
    }
    let unusable = |why: &str| format!("{}: {why}", path.display());
    let unreadable = |error| unusable(&os_error_text(&error));
    let file = regular(path).map_err(unreadable)?;
    let file = file.ok_or_else(|| unusable("it is no regular file"))?;
    let bytes = whole(file, MAX_SIZE).map_err(unreadable)?;
    match (
        bytes.expose().len() as u64 > MAX_SIZE,
        bytes.expose().trim_ascii(),
    ) {
        (true, _) => Err(unusable(&format!("it is longer than {MAX_SIZE} bytes"))),
        (false, b"") => Err(unusable("it is empty")),
        (false, _) => Ok(bytes),
    }
}

/// An address that a machine learns of itself at: https, or http to this machine or its own link.
pub(super) fn metadata(text: &str) -> Result<Url, &'static str> {
    address(text, |host| is_loopback(host) || is_link_local(host))
}

/// An address of a cloud's public service: https, or http to this machine.
pub(super) fn service(text: &str) -> Result<Url, &'static str> {
    address(text, is_loopback)
}

fn address(text: &str, may_be_plain: impl Fn(&str) -> bool) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    let host = url.host_str().ok_or("it names no host")?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("it holds more than an address");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if may_be_plain(host) => Ok(url),
        "http" => Err("over http to another machine credentials would cross the network in clear"),
        _ => Err("it is neither https nor http"),
    }
}

/// RFC 3927, where clouds keep their metadata, and the two addresses that AWS has for IPv6.
fn is_link_local(host: &str) -> bool {
    let v4 = host.parse::<std::net::Ipv4Addr>();
    v4.is_ok_and(|address| address.is_link_local())
        || ["[fd00:ec2::254]", "[fd00:ec2::23]"].contains(&host)
}

impl AuthSource {
    /// # Errors
    /// `token` and `identity`.
    pub(crate) fn load<'k>(
        &self,
        inherited: &EnvBlock,
        keep: OnMinted<'k>,
        log: &dyn Log,
    ) -> Result<Auth<'k>, Error> {
        Ok(match self {
            Self::Token(source) => Auth::Token(source.read(inherited, log)?),
            Self::Identity(identity) => Auth::Identity(Box::new(identity.proof(inherited, keep)?)),
        })
    }

    /// For a process that does not read it and stays.
    pub(crate) fn close_descriptor(&self) {
        match self {
            Self::Token(source) => source.close_descriptor(),
            Self::Identity(_) => {}
        }
    }
}

/// Requests to a public service of a cloud. A `--ca-file` may be meant for Phase alone, or for a gateway
/// in front of both, so the built-in roots are trusted too.
const CLOUD_SERVICE: RequestPolicy = RequestPolicy {
    trusts_built_in_roots: true,
    ..RequestPolicy::DEFAULT
};

/// Requests to a metadata service on this machine or its link. Outside that cloud nothing answers at
/// its address; on a new machine the first answer takes seconds. A container's path to its credentials
/// is as secret as a token.
pub(super) const METADATA_SERVICE: RequestPolicy = RequestPolicy {
    timeout: Duration::from_secs(5),
    connect_timeout: Duration::from_secs(1),
    max_tries: 2,
    uses_proxy: false,
    trusts_built_in_roots: true,
    logs_path: false,
};

/// Of an answer that cannot be read.
pub(super) const NOT_IT: &str = "the answer is not what it should be";

/// What a message quotes of a cloud's text, in characters.
const MAX_TEXT: usize = 200;

/// What Phase is shown.
pub(crate) struct Shown<'e> {
    /// A member of the request's object, made anew for each try.
    pub(crate) member: Box<dyn Fn() -> Vec<u8> + 'e>,
    /// What no message repeats of it.
    pub(crate) hidden: Vec<SecretBytes>,
}

/// Where credentials are asked for.
#[derive(Clone, Copy)]
pub(super) struct CredentialPlace<'t> {
    pub(super) tried: &'t CredentialChain,
    /// As messages name it.
    pub(super) name: &'t str,
    /// Nobody set it up: it is where a machine looks last.
    pub(super) is_last: bool,
}

impl CredentialPlace<'_> {
    pub(super) fn fails(&self, why: &str) -> Error {
        match self.is_last {
            true => self.tried.nothing(self.name, why),
            false => self.tried.broken(self.name, why, None),
        }
    }
}

/// An answer of a cloud's, or why there is none, as an error that names the place. `sent` is no part
/// of it.
pub(super) fn asked(
    network: &HttpClient<'_>,
    call: &Request<'_>,
    place: CredentialPlace<'_>,
    sent: &[&SecretBytes],
    words: impl Fn(&Response) -> Option<String>,
) -> Result<Response, Error> {
    let answer = network.send(call);
    let received = answer.map_err(|error| match error {
        Error::UnexpectedResponse { host, why, .. } => place.fails(&format!("{host}: {why}")),
        error => place.fails(&error.to_string()),
    })?;
    if received.status == 200 {
        return Ok(received);
    }
    let status = match (received.status, &received.location) {
        (status @ 300..=399, Some(_)) => {
            format!("it redirects (status {status}), which is not followed")
        }
        (status, _) => format!("status {status}"),
    };
    let why = match words(&received) {
        Some(words) => {
            let words = redact::secrets(&words, sent.iter().map(|secret| secret.expose()));
            format!("{status}: {}", short(&words))
        }
        None => status,
    };
    Err(place.fails(&why))
}

/// What a cloud answers in JSON; its text is never quoted.
pub(super) fn json<'b, T: Deserialize<'b>>(
    received: &'b Response,
    place: CredentialPlace<'_>,
) -> Result<T, Error> {
    match serde_json::from_slice(&received.body) {
        Ok(JsonObject(inner)) => Ok(inner),
        Err(_) => Err(place.fails(NOT_IT)),
    }
}

pub(super) fn short(words: &str) -> String {
    words.chars().take(MAX_TEXT).collect()
}

pub(super) fn header(value: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(super) fn posted<'b>(url: &Url, body: &'b dyn Fn() -> Vec<u8>) -> Request<'b> {
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    Request {
        policy: CLOUD_SERVICE,
        label: None,
        method: Method::POST,
        url: url.clone(),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, form)]),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_and_its_link() {
        for text in [
            "http://169.254.169.254",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/",
            "http://127.0.0.1:8080/x",
            "http://localhost:42356/msi/token",
            "https://sts.eu-central-1.amazonaws.com",
        ] {
            assert!(metadata(text).is_ok(), "{text}");
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
            assert!(metadata(text).is_err(), "{text}");
        }
        assert!(service("http://169.254.169.254").is_err());
        assert!(service("http://127.0.0.1:1").is_ok());
    }
}
