#![forbid(unsafe_code)]
//! The one HTTP client: roots of trust, a bound on time and size, no redirects.
//!
//! Each request runs on a thread of its own while the calling thread watches the clock. The
//! library's own timeout starts anew at each read of a body, and dropping its client waits for a
//! name look-up that hangs; so the clock is outside, and the client is never dropped.

use std::io::Read;
use std::mem::ManuallyDrop;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::blocking::{Client as Library, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;

use super::failure::{self, Failure};
use super::refusal;
use crate::config::{Host, Request, Roots};
use crate::error::Error;
use crate::notice::{Notice, Say};
use crate::secret::{SecretBytes, Token};

/// No environment of Phase comes near; what is larger is not its answer. In bytes.
const MAX_BODY: u64 = 64 << 20;

/// The client for one host, with one token.
pub(super) struct Client<'a> {
    host: &'a Host,
    timeout: Duration,
    authorization: HeaderValue,
    token_source: String,
    library: Mutex<ManuallyDrop<Library>>,
    fallback: bool,
    say: Say<'a>,
}

/// An answer that arrived whole.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) location: Option<String>,
    pub(super) host: String,
    pub(super) token_source: String,
    body: SecretBytes,
}

impl<'a> Client<'a> {
    /// # Errors
    /// `config` when there is no TLS to be had, `unreachable` when no thread can be started.
    pub(super) fn new(
        request: &'a Request,
        token: &Token,
        token_source: String,
        say: Say<'a>,
    ) -> Result<Self, Error> {
        let (roots, fallback) = match &request.roots {
            Roots::BuiltIn => (
                webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
                true,
            ),
            Roots::Given(roots) => (roots.clone(), false),
        };
        // Hex digits and known words: always a header's value.
        let mut authorization =
            HeaderValue::from_bytes(&token.authorization()).unwrap_or(HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        Ok(Self {
            host: &request.host,
            timeout: request.timeout,
            authorization,
            token_source,
            library: Mutex::new(ManuallyDrop::new(library(roots, &request.host)?)),
            fallback,
            say,
        })
    }

    pub(super) fn host(&self) -> &'a Host {
        self.host
    }

    /// One GET. Bounded by `--timeout` from the name look-up to the last byte.
    ///
    /// # Errors
    /// `unreachable`, `tls`, and `protocol` for what is no answer of HTTP, a redirect or too large.
    pub(super) fn get(&self, address: &str, query: &[(&str, &str)]) -> Result<Answer, Error> {
        let start = Instant::now();
        let host = self.host.name();
        let url = match query {
            [] => Url::parse(address),
            query => Url::parse_with_params(address, query),
        }
        .map_err(|_| not_phase(host, "the address is too long or malformed".to_owned()))?;
        let mut outcome = self.attempt(&url, start);
        if self.fallback
            && matches!(
                outcome,
                Err(Failure::Tls {
                    unknown_issuer: true,
                    ..
                })
            )
        {
            (self.say)(Notice::SystemRoots { host });
            let system = rustls_native_certs::load_native_certs().certs;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(system);
            *self.library.lock().unwrap_or_else(PoisonError::into_inner) =
                ManuallyDrop::new(library(roots, self.host)?);
            outcome = self.attempt(&url, start);
        }
        let (status, retry_after, location, body) =
            outcome.map_err(|failure| failure.about(host))?;
        (self.say)(Notice::Request {
            host,
            path: url.path(),
            status,
            took: start.elapsed(),
        });
        let answer = Answer {
            status,
            retry_after,
            location,
            host: host.to_owned(),
            token_source: self.token_source.clone(),
            body: SecretBytes::new(body),
        };
        match status {
            200 | 400..=599 => Ok(answer),
            _ => Err(refusal::redirect(&answer)),
        }
    }

    fn attempt(&self, url: &Url, start: Instant) -> Result<Received, Failure> {
        let library: Library = {
            let held = self.library.lock().unwrap_or_else(PoisonError::into_inner);
            Library::clone(&held)
        };
        let request = library
            .get(url.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(AUTHORIZATION, self.authorization.clone());
        let (finished, outcome) = mpsc::sync_channel(1);
        let exchange = move || {
            // Nobody listens once the time is over.
            let _ = finished.send(
                request
                    .send()
                    .map_err(|error| failure::of(&error))
                    .and_then(receive),
            );
        };
        std::thread::Builder::new()
            .spawn(exchange)
            .map_err(|error| Failure::no_thread(&error))?;
        match outcome.recv_timeout(self.timeout.saturating_sub(start.elapsed())) {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::too_slow(self.timeout)),
        }
    }
}

type Received = (u16, Option<String>, Option<String>, Vec<u8>);

fn receive(mut response: Response) -> Result<Received, Failure> {
    let header = |name| {
        let value: Option<&HeaderValue> = response.headers().get(name);
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let (retry_after, location) = (header(RETRY_AFTER), header(LOCATION));
    let status = response.status().as_u16();
    let announced = response.content_length().unwrap_or(0).min(MAX_BODY);
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    let read = (&mut response).take(MAX_BODY + 1).read_to_end(&mut body);
    match read {
        Err(error) => Err(failure::in_body(&error)),
        Ok(size) if size as u64 > MAX_BODY => Err(Failure::NotPhase {
            why: format!("the answer is larger than {MAX_BODY} bytes"),
        }),
        Ok(_) => Ok((status, retry_after, location, body)),
    }
}

fn library(roots: RootCertStore, host: &Host) -> Result<Library, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |why: &str| Error::Unreachable {
        host: host.name().to_owned(),
        why: why.to_owned(),
    };
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| unusable("TLS cannot be set up"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // One session is all there is.
    tls.resumption = rustls::client::Resumption::disabled();
    Library::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("phase-run/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        .timeout(None)
        .build()
        .map_err(|_| unusable("a thread cannot be started"))
}

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
    pub(super) fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, Error> {
        serde_json::from_slice(self.body.expose()).map_err(|error| {
            let start = self.body.expose().trim_ascii_start();
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

    /// The text of `{"error": "…"}`, if the answer is one.
    pub(super) fn server_error(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Refusal {
            #[serde(alias = "detail")]
            error: String,
        }
        let refusal: Refusal = serde_json::from_slice(self.body.expose()).ok()?;
        Some(refusal.error.chars().take(300).collect())
    }
}
