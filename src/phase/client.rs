#![forbid(unsafe_code)]
//! Requests to Phase's API, each with the token and the headers that a gateway requires.

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::response::ApiResponse;
use crate::auth::Credential;
use crate::config::Host;
use crate::error::Error;
use crate::http::{HttpClient, Request, RequestPolicy};
use crate::log::Log;

/// Sends requests to one host with one token.
pub(super) struct ApiClient<'a> {
    http: HttpClient<'a>,
    host: &'a Host,
    authorization: HeaderValue,
    credential: &'a Credential,
}

impl<'a> ApiClient<'a> {
    #[expect(
        clippy::expect_used,
        reason = "a token's bearer consists of hex digits"
    )]
    pub(super) fn new(http: HttpClient<'a>, host: &'a Host, credential: &'a Credential) -> Self {
        let mut authorization = HeaderValue::from_bytes(&credential.token.authorization())
            .ok()
            .expect("an account type and hex digits are a valid header value");
        authorization.set_sensitive(true);
        Self {
            http,
            host,
            authorization,
            credential,
        }
    }

    pub(super) fn host(&self) -> &'a Host {
        self.host
    }

    pub(super) fn log(&self) -> &'a dyn Log {
        self.http.log
    }

    /// Sends a GET request, and retries it after transient failures.
    ///
    /// # Errors
    /// Those of [`HttpClient::send`], and `protocol` if the server's environment ID is not a
    /// valid header value.
    pub(super) fn get(
        &self,
        address: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<ApiResponse, Error> {
        self.get_with_policy(address, query, headers, RequestPolicy::DEFAULT)
    }

    /// Sends a GET request within the limits of `policy`.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    #[expect(
        clippy::expect_used,
        reason = "the host is a valid URL, and paths are constants"
    )]
    pub(super) fn get_with_policy(
        &self,
        address: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        policy: RequestPolicy,
    ) -> Result<ApiResponse, Error> {
        let url = match query {
            [] => Url::parse(address),
            query => Url::parse_with_params(address, query),
        }
        .ok()
        .expect("a fixed path behind a valid host is a valid URL");
        let header = |(name, text): &(&'static str, &str)| {
            let value = HeaderValue::from_str(text).ok()?;
            Some((HeaderName::from_static(name), value))
        };
        // Only the environment's ID can fail here, because it comes from the server.
        let headers = headers.iter().map(header).collect::<Option<HeaderMap>>();
        let mut headers = headers.ok_or_else(|| Error::UnexpectedResponse {
            host: self.host.name().to_owned(),
            why: "it sent a malformed environment ID".to_owned(),
            hint: None,
        })?;
        headers.extend(self.credential.gateway_headers.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, self.authorization.clone());
        let request = Request {
            policy,
            method: Method::GET,
            url,
            headers,
            body: &Vec::new,
        };
        Ok(ApiResponse::new(
            self.http.send(&request)?,
            &request.server_name(),
            &self.credential.token_origin,
            &self.credential.gateway_headers,
            self.credential.token.copy_secrets(),
        ))
    }
}
