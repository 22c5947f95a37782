#![forbid(unsafe_code)]
//! Builds reqwest clients and keeps them until the exec.
//!
//! A blocking client has a thread that polls its connections, so one serves every host that has the
//! same roots, the same proxy and the same limit on connecting.

use std::cell::RefCell;
use std::error::Error as _;
use std::io;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use reqwest::blocking::Client;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use rustls::client::WebPkiServerVerifier;
use rustls::{ClientConfig, RootCertStore};

use super::HttpOptions;
use super::dns::AddressBook;
use super::failure::{Failure, MAX_HEADERS};
use super::roots::{Roots, TrustedCertificates};
use super::verifier::{NoClientCertificate, ServerVerifier};
use crate::error::os_error_text;
use crate::process::with_signals_blocked;

/// The roots that a client trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RootSet {
    /// The CAs of `--ca-file`, or the built-in ones.
    Configured,
    /// The CAs of `--ca-file` and the built-in ones.
    ConfiguredAndBuiltIn,
    /// The CAs of the system's bundle.
    System,
}

impl RootSet {
    fn load(self, roots: &Roots) -> TrustedCertificates {
        match self {
            Self::Configured => roots.configured(),
            Self::ConfiguredAndBuiltIn => roots.with_built_in(),
            Self::System => Roots::system(),
        }
    }
}

/// The settings in which two clients can differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientKind {
    pub(super) roots: RootSet,
    pub(super) uses_proxy: bool,
    pub(super) connect_timeout: Duration,
}

/// The clients of a run, which are built when they are needed.
#[derive(Default)]
pub(super) struct Clients {
    built: RefCell<Vec<(ClientKind, ManuallyDrop<Client>)>>,
    pub(super) client_certificate: Arc<NoClientCertificate>,
}

impl Clients {
    /// Returns the client of this kind, and builds it on the first call. It is never dropped: that
    /// would wait for its thread, which the exec ends anyway.
    ///
    /// # Errors
    /// A failure if the client cannot be built. It is transient if no thread can be started.
    pub(super) fn get(
        &self,
        kind: ClientKind,
        options: &HttpOptions,
        addresses: &Arc<AddressBook>,
    ) -> Result<Client, Failure> {
        let mut clients = self.built.borrow_mut();
        if let Some((_, client)) = clients.iter().find(|(other, _)| *other == kind) {
            return Ok(Client::clone(client));
        }
        let tls = self.tls_config(kind.roots, &options.roots)?;
        let client = build(kind, tls, options, addresses)?;
        clients.push((kind, ManuallyDrop::new(client.clone())));
        Ok(client)
    }

    /// Returns the settings of TLS.
    fn tls_config(&self, root_set: RootSet, roots: &Roots) -> Result<ClientConfig, Failure> {
        let TrustedCertificates {
            all,
            authorities,
            servers,
        } = root_set.load(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| unusable("TLS"))?;
        // A verifier cannot be built without roots.
        let verifier = |roots: RootCertStore| {
            let builder =
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
            builder.build().map_err(|_| unusable("TLS"))
        };
        let builder = match all.is_empty() {
            true => builder.with_root_certificates(all),
            false => {
                let with_all = verifier(all)?;
                let verifier = ServerVerifier {
                    authorities: match authorities {
                        None => Some(Arc::clone(&with_all)),
                        Some(roots) if roots.is_empty() => None,
                        Some(roots) => Some(verifier(roots)?),
                    },
                    webpki: with_all,
                    servers,
                };
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let client_certificate = Arc::clone(&self.client_certificate);
        let mut tls = builder.with_client_cert_resolver(client_certificate);
        // A process opens one session with each host and has none to resume.
        tls.resumption = rustls::client::Resumption::disabled();
        // A server without HTTP/1.1 then refuses the handshake and says why (RFC 7301).
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(tls)
    }
}

fn unusable(what: &str) -> Failure {
    Failure::Local {
        why: format!("cannot set up {what}"),
        errno: None,
    }
}

fn build(
    kind: ClientKind,
    tls: ClientConfig,
    options: &HttpOptions,
    addresses: &Arc<AddressBook>,
) -> Result<Client, Failure> {
    let identity = HeaderValue::from_static("identity");
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("phase-run/", env!("CARGO_PKG_VERSION")))
        .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, identity)]))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        // Keeps reqwest from reading the proxy variables, which are read in `config`.
        .no_proxy()
        .http1_only()
        .http1_max_headers(MAX_HEADERS)
        // Only to see what a server sends instead of HTTP/1.1: see `Response::receive`.
        .http09_responses()
        .dns_resolver(Arc::clone(addresses))
        // Each request has its own limit.
        .timeout(None)
        .connect_timeout(kind.connect_timeout);
    if let Some(proxy) = options.proxy.as_ref().filter(|_| kind.uses_proxy) {
        let all_requests = reqwest::Proxy::all(proxy.address.clone());
        let mut all_requests = all_requests.map_err(|_| unusable("the proxy"))?;
        if let Some(authorization) = &proxy.authorization {
            all_requests = all_requests.custom_http_auth(authorization.clone());
        }
        builder = builder.proxy(all_requests);
    }
    let client = with_signals_blocked(|| builder.build());
    client.map_err(|error| {
        // The system may refuse its thread, or the descriptors of its runtime.
        let source = error.source();
        match source.and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(error) => {
                let why = format!("cannot start the HTTP client: {}", os_error_text(error));
                Failure::from_setup_error(error, why)
            }
            None => unusable("the HTTP client"),
        }
    })
}
