#![forbid(unsafe_code)]
//! The one HTTP client: roots of trust, a bound on time and size, no redirects.
//!
//! One timer bounds an exchange from the name look-up to the last byte. It needs the library's
//! asynchronous side, run on this thread: the blocking side starts its timeout anew at each read of
//! a body, and costs two threads more. The runtime is never dropped, because that waits for a name
//! look-up that hangs.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{
    ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Client as Library, Url};
use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::failure::{self, Failure, Whose};
use super::library::{self, Place};
use super::{lookup, repeated, retry};
use crate::chance::chance;
use crate::config::credential::Credential;
use crate::config::{Host, Proxy, Request, Roots};
use crate::error::{Error, system_words};
use crate::notice::{Notice, Say};
use crate::object::Object;

/// No environment of Phase comes near; what is larger is not its answer. In bytes.
const MAX_BODY: usize = 64 << 20;

/// What a message quotes of the server's text, in characters. Phase's own have up to 100.
const MAX_TEXT: usize = 300;

/// What is reserved for a body before any of it is there, in bytes: a server may announce what it
/// likes. Enough for 10,000 secrets, whose body then never grows, which would leave copies to wipe.
const FIRST_ROOM: usize = 6 << 20;

/// The client for one host, with one token.
pub(super) struct Client<'a> {
    host: &'a Host,
    timeout: Duration,
    max_wait: Duration,
    /// When `max_wait` began.
    start: Instant,
    authorization: HeaderValue,
    gateway: &'a HeaderMap,
    token_source: &'a str,
    runtime: ManuallyDrop<Runtime>,
    /// The last one, made for the addresses of its host: Phase Cloud has two hosts.
    library: RefCell<Option<(String, Library)>>,
    roots: &'a Roots,
    proxy: Option<&'a Proxy>,
    say: Say<'a>,
}

/// An answer that arrived whole.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) location: Option<String>,
    pub(super) host: String,
    pub(super) token_source: String,
    /// What went to the gateway, which no message repeats.
    sent: HeaderMap,
    /// Wiped like every block when it is freed, by the allocator: it can have megabytes, which a
    /// second wiping byte by byte would double the work of.
    body: Vec<u8>,
}

impl<'a> Client<'a> {
    /// # Errors
    /// `unreachable` when there is no TLS or no runtime to be had.
    pub(super) fn new(
        request: &'a Request,
        credential: &'a Credential,
        say: Say<'a>,
    ) -> Result<Self, Error> {
        // Hex digits and known words: always a header's value.
        let mut authorization = HeaderValue::from_bytes(&credential.token.authorization())
            .unwrap_or(HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                let why = system_words(&error);
                Failure::Unreachable { why }.about(request.host.name(), None, &request.roots)
            })?;
        Ok(Self {
            host: &request.host,
            timeout: request.timeout,
            max_wait: request.max_wait,
            start: Instant::now(),
            authorization,
            gateway: &credential.gateway,
            token_source: &credential.from,
            runtime: ManuallyDrop::new(runtime),
            library: RefCell::new(None),
            roots: &request.roots,
            proxy: request.proxy.as_ref(),
            say,
        })
    }

    pub(super) fn host(&self) -> &'a Host {
        self.host
    }

    /// One GET, and again as long as that may help. Each try is bounded by `--timeout` from the name
    /// look-up to the last byte, all of them and what is waited between by `--max-wait`.
    ///
    /// # Errors
    /// `unreachable`, `tls`, and `protocol` for what is no answer of HTTP or too large.
    pub(super) fn get(
        &self,
        address: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, Error> {
        let host = self.host.name();
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
        let headers = headers
            .ok_or_else(|| not_phase(host, "it names an environment that cannot be".to_owned()))?;
        let proxy = self.proxy_of(&url);
        let failed = |failure: Failure| failure.about(host, proxy, self.roots);
        let mut tries = 0;
        let mut earlier = None;
        loop {
            tries += 1;
            let outcome = self.once(&url, &headers);
            let (why, floor) = match &outcome {
                Ok(answer) if retry::is_passing(answer.status) => {
                    let asked = answer.retry_after.as_deref();
                    (format!("status {}", answer.status), asked.and_then(delay))
                }
                Err(Failure::Unreachable { why }) => (why.clone(), None),
                _ => return outcome.map_err(failed),
            };
            let elapsed = self.start.elapsed();
            let Some(wait) = retry::wait(tries, elapsed, self.max_wait, floor, chance()) else {
                // A last try that the end of the time cut short says less than the one before.
                let cut = outcome.is_err() && elapsed >= self.max_wait;
                return earlier.filter(|_| cut).unwrap_or(outcome).map_err(failed);
            };
            (self.say)(Notice::Retrying {
                why: &why,
                wait,
                attempt: tries + 1,
                left: self.max_wait.saturating_sub(elapsed),
            });
            self.runtime.block_on(async { sleep(wait).await });
            earlier = Some(outcome);
        }
    }

    fn once(&self, url: &Url, headers: &HeaderMap) -> Result<Answer, Failure> {
        let start = Instant::now();
        let host = self.host.name();
        let bound = match self.max_wait.is_zero() {
            true => self.timeout,
            false => self
                .timeout
                .min(self.max_wait.saturating_sub(self.start.elapsed())),
        };
        // The timer belongs to the runtime, and can only be made inside it.
        let bounded = async { timeout(bound, self.exchange(url, headers)).await };
        let outcome = self.runtime.block_on(bounded);
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::too_slow(bound)));
        let outcome = outcome.map_err(|failure| match self.proxy_of(url) {
            Some(proxy) => failure.through(proxy),
            None => failure,
        });
        let (status, retry_after, location, body) = outcome.inspect_err(|_| {
            // The next try looks the name up again, and connects anew.
            self.library.replace(None);
        })?;
        (self.say)(Notice::Request {
            host,
            path: url.path(),
            status,
            took: start.elapsed(),
        });
        let text = |text: Option<String>| text.map(|text| repeated::cut(&text, self.gateway));
        Ok(Answer {
            status,
            retry_after: text(retry_after),
            location: text(location),
            sent: self.gateway.clone(),
            host: host.to_owned(),
            token_source: self.token_source.to_owned(),
            body,
        })
    }

    /// The one that a request goes through.
    fn proxy_of(&self, url: &Url) -> Option<&'a Proxy> {
        let host = url.host_str().unwrap_or_default();
        self.proxy.filter(|proxy| !proxy.excepts(host))
    }

    /// Once with the roots that are given or built in; if those do not know the issuer and nothing
    /// was given, once more with the system's. No token went out before that.
    async fn exchange(&self, url: &Url, headers: &HeaderMap) -> Result<Received, Failure> {
        let host = url.host_str().unwrap_or_default();
        let kept = self.library.borrow().clone();
        if let Some((_, library)) = kept.filter(|(of, _)| of == host) {
            return self.attempt(&library, url, headers).await;
        }
        let proxy = self.proxy_of(url);
        let to = proxy.map_or(url, |proxy| &proxy.address);
        let addresses = match to.domain() {
            Some(name) => lookup::addresses(name).await?,
            None => Vec::new(),
        };
        let place = Place {
            name: to.host_str().unwrap_or_default(),
            addresses: &addresses,
        };
        let built = |roots| library::build(roots, &place, proxy, self.timeout);
        let mut library = built(self.roots.store())?;
        let mut outcome = self.attempt(&library, url, headers).await;
        if let (Roots::BuiltIn, Err(Failure::Untrusted { whose, .. })) = (self.roots, &outcome) {
            let untrusted = match (whose, proxy) {
                (Whose::Proxy, Some(proxy)) => &proxy.name,
                (Whose::Proxy | Whose::Phase, _) => self.host.name(),
            };
            (self.say)(Notice::SystemRoots { host: untrusted });
            library = built(Roots::system())?;
            outcome = self.attempt(&library, url, headers).await;
        }
        self.library.replace(Some((host.to_owned(), library)));
        outcome
    }

    async fn attempt(
        &self,
        library: &Library,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Received, Failure> {
        let mut response = library
            .get(url.clone())
            .headers(headers.clone())
            .headers(self.gateway.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(AUTHORIZATION, self.authorization.clone())
            .send()
            .await
            .map_err(|error| match error.is_timeout() {
                true => Failure::too_slow(self.timeout),
                false => failure::of(&error),
            })?;
        let header = |name: HeaderName| {
            let value = response.headers().get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let (retry_after, location) = (header(RETRY_AFTER), header(LOCATION));
        let status = response.status().as_u16();
        let too_large = || Failure::NotPhase {
            why: format!("the answer is larger than {MAX_BODY} bytes"),
        };
        let announced = response.content_length().unwrap_or(0);
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        if announced > MAX_BODY {
            return Err(too_large());
        }
        // Little memory is no reason to end without a word.
        let no_memory = |_| Failure::NotPhase {
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
        Ok((status, retry_after, location, body))
    }
}

/// `Retry-After`: seconds, or a date of HTTP (RFC 9110 §10.2.3).
fn delay(text: &str) -> Option<Duration> {
    let text = text.trim();
    match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        true => Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX))),
        false => {
            let until = httpdate::parse_http_date(text).ok()?;
            Some(until.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

type Received = (u16, Option<String>, Option<String>, Vec<u8>);

fn not_phase(host: &str, why: String) -> Error {
    Error::NotPhase {
        host: host.to_owned(),
        why,
        hint: None,
    }
}

impl Answer {
    /// The body, as what was asked for. The message never quotes it.
    ///
    /// # Errors
    /// `protocol`.
    pub(super) fn json<'b, T: Deserialize<'b>>(&'b self, what: &str) -> Result<T, Error> {
        // Checked once, not string by string. What is not UTF-8 is not JSON either.
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        serde_json::from_str(text).map_err(|error| {
            let start = self.body.trim_ascii_start();
            let why = match start.first() {
                None => "the answer is empty".to_owned(),
                Some(b'<') => "the answer is an HTML page".to_owned(),
                _ if error.is_data() => format!(
                    "the answer is not {what} (line {}, column {})",
                    error.line(),
                    error.column()
                ),
                _ => format!(
                    "the answer is not JSON (line {}, column {})",
                    error.line(),
                    error.column()
                ),
            };
            let hint = start
                .starts_with(b"<")
                .then_some("check --host: it is where Phase's console is, without /service");
            Error::NotPhase {
                host: self.host.clone(),
                why,
                hint,
            }
        })
    }

    /// Whether the server says that it cannot read the app.
    pub(super) fn is_end_to_end(&self) -> bool {
        let said = self.server_error();
        said.is_some_and(|said| said.starts_with("SSE is not enabled"))
    }

    /// The text of `{"error": "…"}`, if the answer is one.
    pub(super) fn server_error(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Refusal {
            #[serde(alias = "detail")]
            error: String,
        }
        let Object(refusal) = serde_json::from_slice::<Object<Refusal>>(&self.body).ok()?;
        let text = repeated::cut(&refusal.error, &self.sent);
        let Some((end, _)) = text.char_indices().nth(MAX_TEXT) else {
            return Some(text);
        };
        // Between two words: half of a token that the server repeats would not be known as one.
        let (start, _) = text.split_at(end);
        let words = start.rsplit_once(char::is_whitespace);
        Some(format!("{} …", words.map_or("", |(words, _)| words)))
    }
}
