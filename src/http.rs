#![forbid(unsafe_code)]
//! An HTTP client for short requests, with one deadline, retries and proxies.
//!
//! This module knows HTTP, TLS and name resolution, but none of the services that are called. The caller
//! passes the settings of each service as a [`RequestPolicy`].

mod address;
mod certificate;
mod client;
mod clients;
mod dns;
mod failure;
pub(crate) mod proxy;
pub(crate) mod redact;
mod response;
mod retry;
mod roots;
mod tunnel;
mod verifier;
mod waiting;

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

pub(crate) use address::{is_loopback, parse_url};
pub(crate) use client::HttpClient;
pub(crate) use failure::CLIENT_CERTIFICATE_HINT;
use proxy::Proxy;
pub(crate) use response::{BodyLimit, Response};
pub(crate) use retry::is_transient;
pub(crate) use roots::Roots;

/// The settings that apply to every request.
pub(crate) struct HttpOptions {
    pub(crate) roots: Roots,
    pub(crate) proxy: Option<Proxy>,
    /// The longest that one try may take, from connecting to the last byte of the body.
    pub(crate) timeout: Duration,
    /// The longest that all tries, with their look-ups, and the delays between them may take. Zero
    /// allows one try, and a look-up of `timeout`.
    pub(crate) max_wait: Duration,
}

/// The settings of the requests to one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestPolicy {
    /// A bound on one try, and on waiting for a look-up, that applies where it is shorter than those of
    /// [`HttpOptions`].
    pub(crate) timeout: Duration,
    /// The longest that connecting may take, within the bound on the whole try.
    pub(crate) connect_timeout: Duration,
    pub(crate) max_tries: u32,
    /// The largest body of a response that is accepted.
    pub(crate) body_limit: BodyLimit,
    /// Whether requests over https go through the configured proxy.
    pub(crate) uses_proxy: bool,
    /// Whether the built-in roots are trusted in addition to those of `--ca-file`.
    pub(crate) trusts_built_in_roots: bool,
    /// Whether the log shows the path of the URL, which some services treat as a secret.
    pub(crate) logs_path: bool,
}

impl RequestPolicy {
    /// Adds no limits to those of [`HttpOptions`], and logs paths.
    pub(crate) const DEFAULT: Self = Self {
        timeout: Duration::MAX,
        connect_timeout: Duration::MAX,
        max_tries: u32::MAX,
        body_limit: BodyLimit::DEFAULT,
        uses_proxy: true,
        trusts_built_in_roots: false,
        logs_path: true,
    };
}

/// One request, which may be sent several times.
pub(crate) struct Request<'r> {
    pub(crate) policy: RequestPolicy,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Builds the body. It is called for each try, because a signature in the body may expire.
    pub(crate) body: &'r dyn Fn() -> Vec<u8>,
}

impl Request<'_> {
    #[expect(clippy::expect_used, reason = "every URL of a request has a host")]
    fn host(&self) -> &str {
        self.url.host_str().expect("an http URL has a host")
    }

    /// The name of the server in messages: its host, with the port if that is not the default.
    pub(crate) fn server_name(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_owned(),
        }
    }
}
