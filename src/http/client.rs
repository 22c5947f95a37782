#![forbid(unsafe_code)]
//! Sends requests, retries transient failures, and bounds the total time.
//!
//! reqwest's timeout of a request bounds a try from connecting to the last byte of the body. The name
//! is looked up before the try, with a bound of its own.

use std::cell::RefCell;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

use super::clients::{ClientKind, Clients, RootSet};
use super::dns::{LookupLimit, Resolver};
use super::failure::{Failure, TlsPeer, TryLimit};
use super::proxy::Proxy;
use super::waiting::{Wait, WaitGuard, WaitingLine};
use super::{HttpOptions, Request, RequestPolicy, Response, Roots, retry, tunnel};
use crate::error::Error;
use crate::log::{Event, Log};
use crate::process::random_unit;

/// Sends requests one after the other, all within [`HttpOptions::max_wait`].
pub(crate) struct HttpClient<'a> {
    options: &'a HttpOptions,
    /// When [`HttpOptions::max_wait`] began.
    start: Instant,
    resolver: Resolver,
    clients: Clients,
    /// The hosts whose issuer is not among the built-in roots.
    hosts_with_system_roots: RefCell<Vec<String>>,
    /// Shows on a terminal what a slow request is waiting for.
    waiting_line: Option<WaitingLine>,
    /// The server of [`Self::expect_server`], until something is sent.
    next_server: RefCell<Option<Url>>,
    pub(crate) log: &'a dyn Log,
}

impl<'a> HttpClient<'a> {
    /// Creates a client. The time of [`HttpOptions::max_wait`] begins.
    pub(crate) fn new(options: &'a HttpOptions, log: &'a dyn Log) -> Self {
        Self {
            options,
            start: Instant::now(),
            resolver: Resolver::default(),
            clients: Clients::default(),
            hosts_with_system_roots: RefCell::default(),
            waiting_line: WaitingLine::start(log),
            next_server: RefCell::default(),
            log,
        }
    }

    /// Announces that this server will probably be needed after another one. The first request to the
    /// other one then also connects to this server.
    pub(crate) fn expect_server(&self, url: Url) {
        *self.next_server.borrow_mut() = Some(url);
    }

    /// Sends a request and waits for its response. Repeats it after transient failures, until
    /// [`HttpOptions::max_wait`] is over, and then returns the last response or failure.
    ///
    /// # Errors
    /// `unreachable` or `tls` if there is no connection or no complete response, `protocol` if the response
    /// is not HTTP or too large.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        let label = request.server_name();
        let start = Instant::now();
        self.connect_early(request);
        let outcome = self.send_with_retries(request, &label);
        outcome.map_err(|failure| {
            let proxy = self.proxy_for(request);
            let ask = || {
                let proxy = proxy?;
                let addresses = self.resolver.addresses.of(&proxy.address);
                let left = self.time_left_since(start, request);
                tunnel::refusal_status(proxy, &addresses, &request.url, left)
            };
            let failure = failure.with_proxy_status(ask);
            failure.into_error(&label, proxy, &self.options.roots)
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a delay between two tries has no event"
    )]
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
            let _wait = self.begin_wait(|| Wait::Retry {
                at: Instant::now() + delay,
            });
            sleep(delay);
            previous = Some(outcome);
        }
    }

    /// Connects to the server of [`Self::expect_server`] while `request` waits for its response, unless
    /// that goes to the same server or there is a proxy in between.
    ///
    /// reqwest connects only to send a request, so this sends a HEAD request without a token. Nobody
    /// waits for it, and its failure changes nothing.
    fn connect_early(&self, request: &Request<'_>) {
        let Some(url) = self.next_server.take() else {
            return;
        };
        let early = Request {
            policy: RequestPolicy::DEFAULT,
            method: Method::HEAD,
            url,
            headers: HeaderMap::new(),
            body: &Vec::new,
        };
        let is_direct = self.proxy_for(&early).is_none();
        let Some(name) = early.url.domain().filter(|_| is_direct) else {
            return;
        };
        if early.host() == request.host() {
            return;
        }
        let Ok(client) = self.client(&early, self.root_set(&early)) else {
            return;
        };
        let head = client
            .head(early.url.clone())
            .timeout(self.try_timeout(&early));
        self.resolver.look_up_early(name, move || {
            // The look-up ends here; the thread that sends the request inherits its blocked signals.
            let _ = thread::Builder::new().spawn(|| head.send());
        });
    }

    fn send_once(&self, request: &Request<'_>, label: &str) -> Result<Response, Failure> {
        let proxy = self.proxy_for(request);
        let target = proxy.map_or(&request.url, |proxy| &proxy.address);
        let outcome = self.resolve(target, proxy, request).and_then(|lookup| {
            let slow_lookup = Some(lookup).filter(|took| *took > self.options.timeout);
            let outcome = self.exchange(request, label, slow_lookup);
            outcome.map_err(|failure| match proxy {
                Some(proxy) => failure.naming_proxy(proxy),
                None => failure,
            })
        });
        // The next try resolves the name again.
        outcome.inspect_err(|_| {
            target
                .domain()
                .inspect(|name| self.resolver.addresses.expire(name));
        })
    }

    /// Looks up the name of the server or proxy to connect to, and returns how long that took.
    fn resolve(
        &self,
        target: &Url,
        proxy: Option<&Proxy>,
        request: &Request<'_>,
    ) -> Result<Duration, Failure> {
        let start = Instant::now();
        if let Some(name) = target.domain() {
            let limit = LookupLimit {
                wait: request.policy.timeout.min(match self.options.max_wait {
                    Duration::ZERO => self.options.timeout,
                    max_wait => max_wait.saturating_sub(self.start.elapsed()),
                }),
                slow_after: self.options.timeout,
            };
            let _wait = self.begin_wait(|| Wait::Lookup {
                name: name.to_owned(),
            });
            let outcome = self.resolver.resolve(name, &limit, self.log);
            outcome.map_err(|error| match proxy {
                Some(proxy) => {
                    error.into_failure(&format!("name resolution of the proxy {}", proxy.name))
                }
                None => error.into_failure("name resolution"),
            })?;
        }
        Ok(start.elapsed())
    }

    /// Shows what is waited for until the guard is dropped.
    fn begin_wait(&self, wait: impl FnOnce() -> Wait) -> Option<WaitGuard<'_>> {
        let line = self.waiting_line.as_ref()?;
        Some(line.begin(wait()))
    }

    /// The bound on the next try: the timeout, or what is left of `max_wait`.
    fn try_timeout(&self, request: &Request<'_>) -> Duration {
        let limit = self.options.timeout.min(request.policy.timeout);
        match self.options.max_wait.is_zero() {
            true => limit,
            false => limit.min(self.options.max_wait.saturating_sub(self.start.elapsed())),
        }
    }

    /// What is left of `max_wait`; if that is zero, of the timeout of the only try, which began at `start`.
    fn time_left_since(&self, start: Instant, request: &Request<'_>) -> Duration {
        match self.options.max_wait {
            Duration::ZERO => self.try_timeout(request).saturating_sub(start.elapsed()),
            max_wait => max_wait.saturating_sub(self.start.elapsed()),
        }
    }

    fn connect_timeout(&self, request: &Request<'_>) -> Duration {
        let limit = request.policy.connect_timeout;
        limit.min(self.options.timeout)
    }

    /// The proxy that a request goes through. Plain http is used only for
    /// loopback and link-local addresses, which need no proxy.
    fn proxy_for(&self, request: &Request<'_>) -> Option<&'a Proxy> {
        let may_use_proxy = request.policy.uses_proxy && request.url.scheme() == "https";
        let proxy = self.options.proxy.as_ref().filter(|_| may_use_proxy);
        proxy.filter(|proxy| !proxy.is_bypassed_for(request.host()))
    }

    /// Connects and makes the exchange. If the issuer of the certificate is not among the built-in
    /// roots, tries once more with the roots of the system. No token has been sent before that.
    fn exchange(
        &self,
        request: &Request<'_>,
        label: &str,
        slow_lookup: Option<Duration>,
    ) -> Result<Response, Failure> {
        let roots = self.root_set(request);
        let client = self.client(request, roots)?;
        // Building the client is not part of the exchange.
        let limit = TryLimit {
            start: Instant::now(),
            limit: self.try_timeout(request),
            slow_lookup,
        };
        let mut outcome = self.round_trip(request, &client, &limit);
        if let (Roots::BuiltIn, RootSet::Configured, Err(Failure::UnknownIssuer { tls_peer, .. })) =
            (&self.options.roots, roots, &outcome)
        {
            let host = match (tls_peer, self.proxy_for(request)) {
                (TlsPeer::Proxy, Some(proxy)) => &proxy.name,
                (TlsPeer::Proxy | TlsPeer::Server, _) => label,
            };
            self.log.log(Event::SystemRoots { host });
            let host = request.host().to_owned();
            self.hosts_with_system_roots.borrow_mut().push(host);
            let client = self.client(request, RootSet::System)?;
            outcome = self.round_trip(request, &client, &limit);
        }
        let response = outcome?;
        self.log.log(Event::Request {
            method: request.method.as_str(),
            host: label,
            path: match request.policy.logs_path {
                true => request.url.path(),
                false => "",
            },
            status: response.status,
            took: limit.start.elapsed(),
        });
        Ok(response)
    }

    /// The roots to try first.
    fn root_set(&self, request: &Request<'_>) -> RootSet {
        let hosts = self.hosts_with_system_roots.borrow();
        match &self.options.roots {
            Roots::BuiltIn if hosts.iter().any(|host| host == request.host()) => RootSet::System,
            Roots::CaFile { .. } if request.policy.trusts_built_in_roots => {
                RootSet::ConfiguredAndBuiltIn
            }
            Roots::BuiltIn | Roots::CaFile { .. } => RootSet::Configured,
        }
    }

    fn client(&self, request: &Request<'_>, roots: RootSet) -> Result<Client, Failure> {
        let kind = ClientKind {
            roots,
            uses_proxy: self.proxy_for(request).is_some(),
            connect_timeout: self.connect_timeout(request),
        };
        let addresses = &self.resolver.addresses;
        self.clients.get(kind, self.options, addresses)
    }

    fn round_trip(
        &self,
        request: &Request<'_>,
        client: &Client,
        limit: &TryLimit,
    ) -> Result<Response, Failure> {
        let mut builder = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone());
        let _wait = self.begin_wait(|| Wait::Response);
        // An alert later in this exchange can only be about what it was asked for itself.
        self.clients.client_certificate.reset();
        if request.method != Method::GET {
            builder = builder.body((request.body)());
        }
        let response = builder.timeout(limit.left()).send().map_err(|error| {
            match (error.is_timeout(), error.is_connect()) {
                (true, true) => Failure::timed_out(self.connect_timeout(request), None),
                (true, false) => limit.exceeded(),
                (false, _) => Failure::from_send_error(
                    &error,
                    self.clients.client_certificate.was_requested(),
                ),
            }
        })?;
        Response::receive(response, limit, request.policy.body_limit)
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
        Ok(_) => None,
        Err(failure) => {
            let why = failure.transient_reason()?;
            Some((format!("cannot reach {label}: {why}"), None))
        }
    }
}
