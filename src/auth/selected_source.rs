#![forbid(unsafe_code)]
//! Sends requests to the source that the credential chain selected, and makes errors about it.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::credential_chain::CredentialChain;
use crate::error::Error;
use crate::http::{
    BodyLimit, HttpClient, Request, RequestPolicy, Response, is_loopback, is_transient, parse_url,
    redact,
};
use crate::json::{self, JsonObject};
use crate::secret::SecretBytes;

/// The instance metadata service (IMDS), which has the same address in both clouds.
pub(super) const IMDS_ENDPOINT: &str = "http://169.254.169.254";

/// How much of a text from a cloud a message quotes, in characters.
pub(super) const MAX_TEXT_LENGTH: usize = 200;

/// The reason in messages for a response that cannot be parsed.
pub(super) const UNEXPECTED_RESPONSE: &str = "unexpected response";

/// Requests to a public service of a cloud. A `--ca-file` may be meant for Phase alone, or for a gateway
/// in front of both, so the built-in roots are trusted too.
const CLOUD_SERVICE: RequestPolicy = RequestPolicy {
    body_limit: BodyLimit::SHORT,
    trusts_built_in_roots: true,
    ..RequestPolicy::DEFAULT
};

/// Requests to a metadata service on this machine or its link. Tries are few, because nothing responds
/// outside that cloud, but may take seconds, because a new machine responds slowly. The path is not logged:
/// that of a container's credentials is as secret as a token.
const METADATA_SERVICE: RequestPolicy = RequestPolicy {
    timeout: Duration::from_secs(5),
    connect_timeout: Duration::from_secs(1),
    max_tries: 2,
    body_limit: BodyLimit::SHORT,
    uses_proxy: false,
    trusts_built_in_roots: true,
    logs_path: false,
};

/// The source that the chain selected: sends requests to it and makes errors about it.
pub(super) struct SelectedSource {
    pub(super) chain: CredentialChain,
    /// How messages name it.
    pub(super) name: String,
    /// True for the metadata service, which needs no configuration: if it fails, probably no source was
    /// configured, so its errors have the chain's hint.
    pub(super) is_last: bool,
}

impl SelectedSource {
    pub(super) fn error(&self, why: &str) -> Error {
        let hint = self.is_last.then_some(self.chain.hint);
        self.chain.error(&self.name, why, hint)
    }

    /// The same error, if the source is unreachable or overloaded.
    fn outage(&self, why: &str) -> Error {
        match self.error(why) {
            Error::NoCloudCredentials {
                provider,
                attempts,
                hint,
                ..
            } => Error::NoCloudCredentials {
                provider,
                attempts,
                hint,
                is_outage: true,
            },
            other => other,
        }
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
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut form = form_urlencoded::Serializer::new(String::new());
        let body = form.extend_pairs(fields).finish().into_bytes();
        let request = Request {
            policy: CLOUD_SERVICE,
            method: Method::POST,
            url: url.clone(),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, form_type)]),
            body: &|| body.clone(),
        };
        self.send(http, &request, Some(secret), error_text)
    }

    /// Sends a request to a metadata service. See [`Self::send`].
    pub(super) fn request_metadata(
        &self,
        http: &HttpClient<'_>,
        (method, url): (Method, Url),
        headers: HeaderMap,
        secret: Option<&SecretBytes>,
        error_text: fn(&[u8]) -> Option<String>,
    ) -> Result<Response, Error> {
        let request = Request {
            policy: METADATA_SERVICE,
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
    /// `identity` if the request fails or its status is not 200.
    fn send(
        &self,
        http: &HttpClient<'_>,
        request: &Request<'_>,
        secret: Option<&SecretBytes>,
        error_text: fn(&[u8]) -> Option<String>,
    ) -> Result<Response, Error> {
        let response = http.send(request).map_err(|error| match error {
            Error::UnexpectedResponse { host, why, .. } => self.error(&format!("{host}: {why}")),
            error @ Error::Unreachable { .. } => self.outage(&error.to_string()),
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
                let secrets = secret.into_iter().map(SecretBytes::expose);
                let text = redact::quote(&text, MAX_TEXT_LENGTH, secrets);
                format!("{status}: {text}")
            }
            None => status,
        };
        Err(match response.status {
            500.. => self.outage(&why),
            status if is_transient(status) => self.outage(&why),
            _ => self.error(&why),
        })
    }

    /// Parses a JSON response. The error does not quote it: it may hold a secret.
    ///
    /// # Errors
    /// `identity` if the response is not JSON or has another shape.
    pub(super) fn parse_json<'b, T: Deserialize<'b>>(
        &self,
        response: &'b Response,
    ) -> Result<T, Error> {
        match json::from_bytes(&response.body) {
            Ok(JsonObject(parsed)) => Ok(parsed),
            Err(_) => Err(self.error(UNEXPECTED_RESPONSE)),
        }
    }

    /// Creates a header value that is not logged.
    ///
    /// # Errors
    /// `identity` if the bytes cannot be a header value; `what` names them.
    pub(super) fn sensitive_header(&self, value: &[u8], what: &str) -> Result<HeaderValue, Error> {
        let mut value = HeaderValue::from_bytes(value.trim_ascii())
            .map_err(|_| self.error(&format!("{what} is not a valid header value")))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Returns the text of a token, without white space around it.
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
