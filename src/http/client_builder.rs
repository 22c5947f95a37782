#![forbid(unsafe_code)]
//! The HTTP library, set up for one host: which roots, which addresses, through which proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client as ReqwestClient;
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};

use super::dns;
use super::failure::Failure;
use super::proxy::Proxy;

/// Of the host that is connected to, which is the proxy where there is one.
pub(super) struct ConnectTarget<'a> {
    pub(super) name: &'a str,
    pub(super) addresses: &'a [SocketAddr],
}

/// # Errors
/// `unreachable` when it cannot be set up.
pub(super) fn build(
    roots: RootCertStore,
    place: &ConnectTarget<'_>,
    proxy: Option<&Proxy>,
    timeout: Duration,
) -> Result<ReqwestClient, Failure> {
    let unusable = |what: &str| Failure::Unreachable {
        why: format!("{what} cannot be set up"),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| unusable("TLS"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // One session is all there is.
    tls.resumption = rustls::client::Resumption::disabled();
    let mut builder = ReqwestClient::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("phase-run/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        // Its own reading of the variables.
        .no_proxy()
        .http1_only()
        .resolve_to_addrs(place.name, &dns::pad_for_connect_timeout(place.addresses))
        .connect_timeout(timeout);
    if let Some(proxy) = proxy {
        let through = reqwest::Proxy::all(proxy.address.clone());
        let mut through = through.map_err(|_| unusable("the proxy"))?;
        if let Some(login) = &proxy.login {
            through = through.custom_http_auth(login.clone());
        }
        builder = builder.proxy(through);
    }
    builder.build().map_err(|_| unusable("the HTTP client"))
}
