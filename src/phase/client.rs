#![forbid(unsafe_code)]
//! Phase's interfaces: requests that carry the token and what a gateway wants to see.

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::response::Answer;
use crate::auth::Credential;
use crate::config::Host;
use crate::error::Error;
use crate::http::{HttpClient, Request, RequestPolicy};

/// The client for one host, with one token.
pub(super) struct ApiClient<'a> {
    network: HttpClient<'a>,
    host: &'a Host,
    authorization: HeaderValue,
    credential: &'a Credential,
}

impl<'a> ApiClient<'a> {
    pub(super) fn new(network: HttpClient<'a>, host: &'a Host, credential: &'a Credential) -> Self {
        // Hex digits and known words: always a header's value.
        let mut authorization = HeaderValue::from_bytes(&credential.token.authorization())
            .unwrap_or(HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        Self {
            network,
            host,
            authorization,
            credential,
        }
    }

    pub(super) fn host(&self) -> &'a Host {
        self.host
    }

    /// One GET, with its retries.
    ///
    /// # Errors
    /// Those of [`HttpClient::send`].
    pub(super) fn get(
        &self,
        address: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, Error> {
        let host = self.host().name();
        let url = match query {
            [] => Url::parse(address),
            query => Url::parse_with_params(address, query),
        }
        .map_err(|_| not_phase(host, "the address is too long or malformed".to_owned()))?;
        let named = |(name, text): &(&'static str, &str)| {
            let value = HeaderValue::from_str(text).ok()?;
            Some((HeaderName::from_static(name), value))
        };
        let headers = headers.iter().map(named).collect::<Option<HeaderMap>>();
        let mut headers = headers
            .ok_or_else(|| not_phase(host, "it names an environment that cannot be".to_owned()))?;
        headers.extend(self.credential.gateway_headers.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, self.authorization.clone());
        let received = self.network.send(&Request {
            policy: RequestPolicy::DEFAULT,
            label: Some(host),
            method: Method::GET,
            url,
            headers,
            body: &Vec::new,
        })?;
        let Credential {
            token_source,
            gateway_headers,
            ..
        } = self.credential;
        Ok(Answer::new(received, host, token_source, gateway_headers))
    }
}

fn not_phase(host: &str, why: String) -> Error {
    Error::UnexpectedResponse {
        host: host.to_owned(),
        why,
        hint: None,
    }
}
