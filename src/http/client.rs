#![forbid(unsafe_code)]
//! Sends requests, retries transient failures, and bounds the total time.
//!
//! One timer bounds a try from the name look-up to the last byte. This requires the asynchronous
//! client, run on this thread: the blocking one restarts its timeout at each read of a body and
//! costs two more threads.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client as ReqwestClient, Method, Url};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::failure::{Failure, TlsPeer};
use super::proxy::Proxy;
use super::{HttpOptions, Request, RequestPolicy, Response, Roots, dns, retry};
use crate::error::{Error, os_error_text};
use crate::log::{Event, Log};
use crate::process::random_unit;

/// Sends requests one after the other, all within [`HttpOptions::max_wait`].
pub(crate) struct HttpClient<'a> {
    options: &'a HttpOptions,
    /// When [`HttpOptions::max_wait`] began.
    start: Instant,
    /// Never dropped: a drop would wait for whatever blocks in it, and the exec frees it anyway.
    runtime: ManuallyDrop<Runtime>,
    /// The client of the last request, which may hold an open connection to its host.
    cached: RefCell<Option<CachedClient>>,
    pub(crate) log: &'a dyn Log,
}

/// A client that was built for one host: for its addresses, its roots and its proxy.
struct CachedClient {
    policy: RequestPolicy,
    host: String,
    client: ReqwestClient,
}

/// The host to connect to, which is the proxy if there is one.
struct ConnectTarget<'a> {
    host: &'a str,
    /// Empty if the host is an address.
    addresses: Vec<SocketAddr>,
}

impl<'a> HttpClient<'a> {
    /// Creates a client. The time of [`HttpOptions::max_wait`] begins.
    ///
    /// # Errors
    /// `unreachable`, about `host`, if the runtime cannot be created.
    pub(crate) fn new(
        options: &'a HttpOptions,
        host: &str,
        log: &'a dyn Log,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Unreachable {
                host: host.to_owned(),
                why: os_error_text(&error),
            })?;
        Ok(Self {
            options,
            start: Instant::now(),
            runtime: ManuallyDrop::new(runtime),
            cached: RefCell::new(None),
            log,
        })
    }

    /// Sends a request and waits for its response. Repeats it after transient failures, until
    /// [`HttpOptions::max_wait`] is over, and then returns the last response or failure.
    ///
    /// # Errors
    /// `unreachable` or `tls` if there is no connection or no complete response, `protocol` if the response
    /// is not HTTP or too large.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        let label = request.server_label();
        let outcome = self.send_with_retries(request, &label);
        outcome.map_err(|failure| {
            failure.into_error(&label, self.proxy_for(request), &self.options.roots)
        })
    }

    fn send_with_retries(&self, request: &Request<'_>, label: &str) -> Result<Response, Failure> {
        let max_wait = self.options.max_wait;
        let mut tries = 0;
        let mut previous = None;
        loop {
            tries += 1;
            let outcome = self.send_once(request, label);
            let Some((why, min_delay)) = retry_reason(&outcome, label) else {
                return outcome;
            };
            let elapsed = self.start.elapsed();
            let delay = retry::delay(tries, elapsed, max_wait, min_delay, random_unit());
            let Some(delay) = delay.filter(|_| tries < request.policy.max_tries) else {
                // If the deadline cut the last try short, the failure before it says more.
                let was_cut_short = outcome.is_err() && elapsed >= max_wait;
                return previous.filter(|_| was_cut_short).unwrap_or(outcome);
            };
            self.log.log(Event::Retrying {
                why: &why,
                wait: delay,
                attempt: tries + 1,
                left: max_wait.saturating_sub(elapsed),
            });
            self.runtime.block_on(async { sleep(delay).await });
            previous = Some(outcome);
        }
    }

    fn send_once(&self, request: &Request<'_>, label: &str) -> Result<Response, Failure> {
        let start = Instant::now();
        let limit = self.try_timeout(request);
        // The timer belongs to the runtime and can only be created inside it.
        let exchange = async { timeout(limit, self.exchange(request, label)).await };
        let outcome = self.runtime.block_on(exchange);
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::timed_out(limit)));
        let response = outcome.map_err(|failure| {
            // The next try resolves the name again and opens a new connection.
            self.cached.replace(None);
            match self.proxy_for(request) {
                Some(proxy) => failure.naming_proxy(proxy),
                None => failure,
            }
        })?;
        self.log.log(Event::Request {
            method: request.method.as_str(),
            host: label,
            path: match request.policy.logs_path {
                true => request.url.path(),
                false => "",
            },
            status: response.status,
            took: start.elapsed(),
        });
        Ok(response)
    }

    /// The bound on the next try: the timeout, or what is left of `max_wait`.
    fn try_timeout(&self, request: &Request<'_>) -> Duration {
        let limit = self.options.timeout.min(request.policy.timeout);
        match self.options.max_wait.is_zero() {
            true => limit,
            false => limit.min(self.options.max_wait.saturating_sub(self.start.elapsed())),
        }
    }

    fn connect_timeout(&self, request: &Request<'_>) -> Duration {
        let limit = request.policy.connect_timeout;
        limit.min(self.options.timeout)
    }

    /// The proxy that a request goes through. Plain http stays on this machine or its link.
    fn proxy_for(&self, request: &Request<'_>) -> Option<&'a Proxy> {
        let may_use_proxy = request.policy.uses_proxy && request.url.scheme() == "https";
        let proxy = self.options.proxy.as_ref().filter(|_| may_use_proxy);
        proxy.filter(|proxy| !proxy.is_bypassed_for(request.host()))
    }

    /// Connects and makes the exchange. If the issuer of the certificate is not among the built-in
    /// roots, tries once more with the roots of the system. No token has been sent before that.
    async fn exchange(&self, request: &Request<'_>, label: &str) -> Result<Response, Failure> {
        if let Some(client) = self.cached_client(request) {
            return self.round_trip(&client, request).await;
        }
        let proxy = self.proxy_for(request);
        let target = ConnectTarget::resolve(proxy.map_or(&request.url, |proxy| &proxy.address));
        let target = target.await?;
        let build = |roots| build_client(roots, &target, proxy, self.connect_timeout(request));
        let mut client = build(match request.policy.trusts_built_in_roots {
            true => self.options.roots.root_store_with_built_in(),
            false => self.options.roots.root_store(),
        })?;
        let mut outcome = self.round_trip(&client, request).await;
        if let (Roots::BuiltIn, Err(Failure::UnknownIssuer { tls_peer, .. })) =
            (&self.options.roots, &outcome)
        {
            let host = match (tls_peer, proxy) {
                (TlsPeer::Proxy, Some(proxy)) => &proxy.name,
                (TlsPeer::Proxy | TlsPeer::Server, _) => label,
            };
            self.log.log(Event::SystemRoots { host });
            client = build(Roots::system_root_store())?;
            outcome = self.round_trip(&client, request).await;
        }
        self.cached.replace(Some(CachedClient {
            policy: request.policy,
            host: request.host().to_owned(),
            client,
        }));
        outcome
    }

    fn cached_client(&self, request: &Request<'_>) -> Option<ReqwestClient> {
        let cached = self.cached.borrow();
        let fits = |cached: &&CachedClient| {
            cached.policy == request.policy && cached.host == request.host()
        };
        cached
            .as_ref()
            .filter(fits)
            .map(|cached| cached.client.clone())
    }

    async fn round_trip(
        &self,
        client: &ReqwestClient,
        request: &Request<'_>,
    ) -> Result<Response, Failure> {
        let mut builder = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone());
        if request.method != Method::GET {
            builder = builder.body((request.body)());
        }
        let response = builder
            .send()
            .await
            .map_err(|error| match error.is_timeout() {
                true => Failure::timed_out(self.connect_timeout(request)),
                false => Failure::from_send_error(&error),
            })?;
        Response::receive(response).await
    }
}

/// The reason to retry, and the delay that the server asked for; `None` if a retry would not help.
fn retry_reason(
    outcome: &Result<Response, Failure>,
    label: &str,
) -> Option<(String, Option<Duration>)> {
    match outcome {
        Ok(response) if retry::is_transient(response.status) => {
            let why = format!("{label} responded with status {}", response.status);
            Some((why, response.min_delay))
        }
        Err(Failure::Unreachable { why }) => Some((format!("cannot reach {label}: {why}"), None)),
        _ => None,
    }
}

impl<'a> ConnectTarget<'a> {
    #[expect(
        clippy::expect_used,
        reason = "every URL of a request or proxy has a host"
    )]
    async fn resolve(url: &'a Url) -> Result<Self, Failure> {
        Ok(Self {
            host: url.host_str().expect("an http URL has a host"),
            addresses: match url.domain() {
                Some(name) => dns::resolve(name).await?,
                None => Vec::new(),
            },
        })
    }
}

/// Builds a client that connects to one host only.
fn build_client(
    roots: RootCertStore,
    target: &ConnectTarget<'_>,
    proxy: Option<&Proxy>,
    connect_timeout: Duration,
) -> Result<ReqwestClient, Failure> {
    let unusable = |what: &str| Failure::Unreachable {
        why: format!("cannot set up {what}"),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| unusable("TLS"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A process opens one session with each host and has none to resume.
    tls.resumption = rustls::client::Resumption::disabled();
    let mut builder = ReqwestClient::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("phase-run/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        // Keeps reqwest from reading the proxy variables, which are read in `config`.
        .no_proxy()
        .http1_only()
        .resolve_to_addrs(
            target.host,
            &dns::pad_for_connect_timeout(&target.addresses),
        )
        .connect_timeout(connect_timeout);
    if let Some(proxy) = proxy {
        let all_requests = reqwest::Proxy::all(proxy.address.clone());
        let mut all_requests = all_requests.map_err(|_| unusable("the proxy"))?;
        if let Some(authorization) = &proxy.authorization {
            all_requests = all_requests.custom_http_auth(authorization.clone());
        }
        builder = builder.proxy(all_requests);
    }
    builder.build().map_err(|_| unusable("the HTTP client"))
}
