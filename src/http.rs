#![forbid(unsafe_code)]
//! The way out: one request with its bounds, tried again as long as that may help.
//!
//! One timer bounds an exchange from the name look-up to the last byte. It needs the library's
//! asynchronous side, run on this thread: the blocking side starts its timeout anew at each read of
//! a body, and costs two threads more. The runtime is never dropped, because that waits for a name
//! look-up that hangs.

pub(crate) mod client_builder;
mod dns;
mod failure;
pub(crate) mod form;
pub(crate) mod proxy;
pub(crate) mod redact;
pub(crate) mod retry;
mod roots;

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Client as ReqwestClient, Method, Url};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use client_builder::ConnectTarget;
use failure::{Failure, Whose};

use crate::error::{Error, os_error_text};
use crate::log::{Event, Log};
use crate::process::random_unit;
pub(crate) use dns::is_loopback;
use proxy::Proxy;
pub(crate) use roots::Roots;

/// No environment of Phase comes near; what is larger is not its answer. In bytes.
const MAX_BODY: usize = 64 << 20;

/// What is reserved for a body before any of it is there, in bytes: a server may announce what it
/// likes. Enough for 10,000 secrets, whose body then never grows, which would leave copies to wipe.
const FIRST_ROOM: usize = 6 << 20;

/// What connecting to a cloud's metadata may take: where there is no cloud, nobody refuses.
const METADATA_CONNECT: Duration = Duration::from_secs(1);

/// What all of it may take: a new machine's first answer takes seconds.
const METADATA: Duration = Duration::from_secs(5);

/// Whom a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Api,
    /// A public service of a cloud, over TLS. A `--ca-file` vouches beside the built-in roots: it is
    /// Phase's, or that of a gateway which is in the way of both.
    Cloud,
    /// What tells a machine of itself, in plain http: never through a proxy, and asked twice at most.
    Metadata,
}

/// How requests are made.
pub(crate) struct HttpOptions {
    pub(crate) roots: Roots,
    pub(crate) proxy: Option<Proxy>,
    /// The longest that one request may take, name look-up and last byte included.
    pub(crate) timeout: Duration,
    /// The longest to keep trying, all requests and waits together; zero is one try.
    pub(crate) max_wait: Duration,
}

/// One request.
pub(crate) struct Request<'b> {
    pub(crate) peer: Peer,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Asked for at each try: a signature does not last.
    pub(crate) body: &'b dyn Fn() -> Vec<u8>,
}

/// What arrived whole.
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// How long the same asks to wait.
    floor: Option<Duration>,
    pub(crate) location: Option<String>,
    /// Wiped like every block when it is freed, by the allocator: it can have megabytes, which a
    /// second wiping byte by byte would double the work of.
    pub(crate) body: Vec<u8>,
}

/// What every request of a process goes through.
pub(crate) struct HttpClient<'a> {
    options: &'a HttpOptions,
    /// The API's host as messages name it.
    api: &'a str,
    /// When `max_wait` began.
    start: Instant,
    runtime: ManuallyDrop<Runtime>,
    /// The last one, made for the addresses of its host: Phase Cloud has two hosts.
    library: RefCell<Option<(Peer, String, ReqwestClient)>>,
    pub(crate) log: &'a dyn Log,
}

impl<'a> HttpClient<'a> {
    /// # Errors
    /// `unreachable` when there is no runtime to be had.
    pub(crate) fn new(
        options: &'a HttpOptions,
        api: &'a str,
        log: &'a dyn Log,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                let why = os_error_text(&error);
                Failure::Unreachable { why }.about(api, None, &options.roots)
            })?;
        Ok(Self {
            options,
            api,
            start: Instant::now(),
            runtime: ManuallyDrop::new(runtime),
            library: RefCell::new(None),
            log,
        })
    }

    /// One request, and again as long as that may help. Each try is bounded by `--timeout` from the
    /// name look-up to the last byte, all of them and what is waited between by `--max-wait`.
    ///
    /// # Errors
    /// `unreachable`, `tls`, and `protocol` for what is no answer of HTTP or too large.
    pub(crate) fn answer(&self, call: &Request<'_>) -> Result<RawResponse, Error> {
        let max_wait = self.options.max_wait;
        let name = self.name_of(call);
        let failed =
            |failure: Failure| failure.about(&name, self.proxy_of(call), &self.options.roots);
        let mut tries = 0;
        let mut earlier = None;
        loop {
            tries += 1;
            let outcome = self.try_once(call, &name);
            let (why, floor) = match &outcome {
                Ok(answer) if retry::is_transient(answer.status) => {
                    (format!("status {}", answer.status), answer.floor)
                }
                Err(Failure::Unreachable { why }) => (why.clone(), None),
                _ => return outcome.map_err(failed),
            };
            let elapsed = self.start.elapsed();
            let again = call.peer != Peer::Metadata || tries < 2;
            let wait = retry::wait(tries, elapsed, max_wait, floor, random_unit());
            let Some(wait) = wait.filter(|_| again) else {
                // A last try that the end of the time cut short says less than the one before.
                let cut = outcome.is_err() && elapsed >= max_wait;
                return earlier.filter(|_| cut).unwrap_or(outcome).map_err(failed);
            };
            let why = match call.peer {
                Peer::Api => why,
                Peer::Cloud | Peer::Metadata => format!("{name}: {why}"),
            };
            self.log.log(Event::Retrying {
                why: &why,
                wait,
                attempt: tries + 1,
                left: max_wait.saturating_sub(elapsed),
            });
            self.runtime.block_on(async { sleep(wait).await });
            earlier = Some(outcome);
        }
    }

    fn try_once(&self, call: &Request<'_>, name: &str) -> Result<RawResponse, Failure> {
        let start = Instant::now();
        let longest = match call.peer {
            Peer::Api | Peer::Cloud => self.options.timeout,
            Peer::Metadata => self.options.timeout.min(METADATA),
        };
        let bound = match self.options.max_wait.is_zero() {
            true => longest,
            false => longest.min(self.options.max_wait.saturating_sub(self.start.elapsed())),
        };
        // The timer belongs to the runtime, and can only be made inside it.
        let bounded = async { timeout(bound, self.exchange(call, name)).await };
        let outcome = self.runtime.block_on(bounded);
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::too_slow(bound)));
        let outcome = outcome.map_err(|failure| match self.proxy_of(call) {
            Some(proxy) => failure.through(proxy),
            None => failure,
        });
        let received = outcome.inspect_err(|_| {
            // The next try looks the name up again, and connects anew.
            self.library.replace(None);
        })?;
        // A container's path to its credentials is as good as a token.
        let path = match call.peer {
            Peer::Api | Peer::Cloud => call.url.path(),
            Peer::Metadata => "",
        };
        self.log.log(Event::Request {
            method: call.method.as_str(),
            host: name,
            path,
            status: received.status,
            took: start.elapsed(),
        });
        Ok(received)
    }

    /// As messages name it.
    fn name_of(&self, call: &Request<'_>) -> String {
        match (call.peer, call.url.port()) {
            (Peer::Api, _) => self.api.to_owned(),
            (_, Some(port)) => format!("{}:{port}", call.host()),
            (_, None) => call.host().to_owned(),
        }
    }

    /// The one that a request goes through. Plain http stays on this machine or its link.
    fn proxy_of(&self, call: &Request<'_>) -> Option<&'a Proxy> {
        let goes_far = call.peer != Peer::Metadata && call.url.scheme() == "https";
        let proxy = self.options.proxy.as_ref().filter(|_| goes_far);
        proxy.filter(|proxy| !proxy.excepts(call.host()))
    }

    /// Once with the roots that are given or built in; if those do not know the issuer and nothing
    /// was given, once more with the system's. No token went out before that.
    async fn exchange(&self, call: &Request<'_>, name: &str) -> Result<RawResponse, Failure> {
        let host = call.host();
        let kept = self.library.borrow().clone();
        if let Some((.., library)) =
            kept.filter(|(peer, of, _)| (*peer, &**of) == (call.peer, host))
        {
            return self.attempt(&library, call).await;
        }
        let proxy = self.proxy_of(call);
        let to = proxy.map_or(&call.url, |proxy| &proxy.address);
        let addresses = match to.domain() {
            Some(name) => dns::addresses(name).await?,
            None => Vec::new(),
        };
        let place = ConnectTarget {
            name: to.host_str().unwrap_or_default(),
            addresses: &addresses,
        };
        let (roots, connect) = match call.peer {
            Peer::Api => (self.options.roots.store(), self.options.timeout),
            Peer::Cloud => (self.options.roots.with_built_in(), self.options.timeout),
            Peer::Metadata => (self.options.roots.with_built_in(), METADATA_CONNECT),
        };
        let built = |roots| client_builder::build(roots, &place, proxy, connect);
        let mut library = built(roots)?;
        let mut outcome = self.attempt(&library, call).await;
        if let (Roots::BuiltIn, Err(Failure::Untrusted { whose, .. })) =
            (&self.options.roots, &outcome)
        {
            let untrusted = match (whose, proxy) {
                (Whose::Proxy, Some(proxy)) => &proxy.name,
                (Whose::Proxy | Whose::Peer, _) => name,
            };
            self.log.log(Event::SystemRoots { host: untrusted });
            library = built(Roots::system())?;
            outcome = self.attempt(&library, call).await;
        }
        self.library
            .replace(Some((call.peer, host.to_owned(), library)));
        outcome
    }

    async fn attempt(
        &self,
        library: &ReqwestClient,
        call: &Request<'_>,
    ) -> Result<RawResponse, Failure> {
        let mut request = library
            .request(call.method.clone(), call.url.clone())
            .headers(call.headers.clone());
        if call.method != Method::GET {
            request = request.body((call.body)());
        }
        let mut response = request
            .send()
            .await
            .map_err(|error| match error.is_timeout() {
                true => Failure::too_slow(match call.peer {
                    Peer::Api | Peer::Cloud => self.options.timeout,
                    Peer::Metadata => METADATA_CONNECT,
                }),
                false => failure::of(&error),
            })?;
        let header = |name: HeaderName| {
            let value = response.headers().get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let [retry_after, date, location] = [RETRY_AFTER, DATE, LOCATION].map(header);
        let asked = retry_after.as_deref();
        let floor = asked.and_then(|asked| delay(asked, date.as_deref()));
        let status = response.status().as_u16();
        let too_large = || Failure::UnexpectedResponse {
            why: format!("the answer is larger than {MAX_BODY} bytes"),
        };
        let announced = response.content_length().unwrap_or(0);
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        if announced > MAX_BODY {
            return Err(too_large());
        }
        // Little memory is no reason to end without a word.
        let no_memory = |_| Failure::UnexpectedResponse {
            why: "this process has not the memory for the answer".to_owned(),
        };
        let mut body: Vec<u8> = Vec::new();
        body.try_reserve(announced.min(FIRST_ROOM))
            .map_err(no_memory)?;
        while let Some(part) = response
            .chunk()
            .await
            .map_err(|error| failure::in_body(&error))?
        {
            if body.len() + part.len() > MAX_BODY {
                return Err(too_large());
            }
            // What was reserved and not filled is wiped too, and so costs as much.
            if body.capacity() - body.len() < part.len() {
                let more = part.len().max(body.len() / 4);
                body.try_reserve_exact(more).map_err(no_memory)?;
            }
            body.extend_from_slice(&part);
        }
        Ok(RawResponse {
            status,
            retry_after,
            floor,
            location,
            body,
        })
    }
}

impl Request<'_> {
    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// `Retry-After`: seconds, or a date of HTTP (RFC 9110 §10.2.3). A date is by the clock of whoever
/// answers, which says what time it is there (§6.6.1); ours may be wrong, or have jumped.
fn delay(asked: &str, date: Option<&str>) -> Option<Duration> {
    let asked = asked.trim();
    match asked.bytes().all(|byte| byte.is_ascii_digit()) && !asked.is_empty() {
        true => Some(Duration::from_secs(asked.parse().unwrap_or(u64::MAX))),
        false => {
            let until = httpdate::parse_http_date(asked).ok()?;
            let now = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok());
            let now = now.unwrap_or_else(SystemTime::now);
            Some(until.duration_since(now).unwrap_or_default())
        }
    }
}
