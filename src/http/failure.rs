#![forbid(unsafe_code)]
//! Why there is no answer: the library's errors in the words of whoever must act.
//!
//! The library's own texts hold the URL and Rust's type names; only the innermost cause is kept.

use std::error::Error as Cause;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use super::proxy::Proxy;
use super::roots::Roots;
use crate::error::{Error, lowercase_first, os_error_text};

/// An exchange that came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    Unreachable {
        why: String,
    },
    /// A proxy that says no, and would again.
    ProxyRefuses {
        why: String,
    },
    /// The issuer is not among the roots.
    Untrusted {
        why: &'static str,
        whose: Whose,
    },
    Tls {
        why: &'static str,
        whose: Whose,
    },
    UnexpectedResponse {
        why: String,
    },
}

/// Whose certificate or handshake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Peer,
    Proxy,
}

/// How the texts of the library's tunnel begin, whose type is not to be had.
const TUNNEL: &str = "tunnel error: ";

impl Failure {
    pub(super) fn too_slow(limit: Duration) -> Self {
        // What is left of a bound on several is no round number.
        let limit = (limit.as_secs_f64() * 100.0).round() / 100.0;
        Self::Unreachable {
            why: format!("no whole answer within {limit} s"),
        }
    }

    /// The same where a proxy was in between, so that nobody looks for the fault at Phase. A
    /// certificate is told with its owner.
    pub(super) fn through(self, proxy: &Proxy) -> Self {
        let Self::Unreachable { why } = self else {
            return self;
        };
        let credentials = match proxy.login {
            Some(_) => "other credentials",
            None => "credentials",
        };
        let proxy = &proxy.name;
        match why.strip_prefix(TUNNEL) {
            Some("proxy authorization required") => Self::ProxyRefuses {
                why: format!("the proxy {proxy} wants {credentials} (407)"),
            },
            Some("unexpected end of file") => Self::Unreachable {
                why: format!("the proxy {proxy} closed the connection"),
            },
            Some(_) => Self::Unreachable {
                why: format!("the proxy {proxy} does not connect to it"),
            },
            None => Self::Unreachable {
                why: format!("{why} (by way of the proxy {proxy})"),
            },
        }
    }

    /// `proxy` is the one in between, if there is one.
    pub(super) fn about(self, host: &str, proxy: Option<&Proxy>, roots: &Roots) -> Error {
        let of = |whose| match (whose, proxy) {
            (Whose::Proxy, Some(proxy)) => format!("the proxy {}", proxy.name),
            (Whose::Proxy | Whose::Peer, _) => host.to_owned(),
        };
        let host = host.to_owned();
        match self {
            Self::Unreachable { why } | Self::ProxyRefuses { why } => {
                Error::Unreachable { host, why }
            }
            Self::Untrusted { why, whose } => Error::UnknownIssuer {
                host: of(whose),
                why,
                ca_file: roots.file(),
            },
            Self::Tls { why, whose } => Error::TlsFailed {
                host: of(whose),
                why,
            },
            Self::UnexpectedResponse { why } => Error::UnexpectedResponse {
                host,
                why,
                hint: None,
            },
        }
    }
}

/// A request that failed before its answer began.
pub(super) fn of(error: &reqwest::Error) -> Failure {
    let mut cause: Option<&(dyn Cause + 'static)> = error.source();
    let mut innermost = String::new();
    let mut whose = Whose::Peer;
    while let Some(this) = cause {
        if let Some(tls) = this.downcast_ref::<rustls::Error>() {
            return of_tls(tls, whose);
        }
        if let Some(http) = this.downcast_ref::<hyper::Error>() {
            if http.is_parse() {
                return Failure::UnexpectedResponse {
                    why: "the answer is not HTTP".to_owned(),
                };
            }
            if http.is_incomplete_message() {
                return Failure::Unreachable {
                    why: "the connection ended before the answer".to_owned(),
                };
            }
        }
        let inner = this.downcast_ref::<io::Error>();
        if let Some(system) = inner.filter(|io| io.raw_os_error().is_some()) {
            return Failure::Unreachable {
                why: os_error_text(system),
            };
        }
        innermost = this.to_string();
        // TLS with Phase begins when the tunnel is there.
        if innermost.starts_with(TUNNEL) {
            whose = Whose::Proxy;
        }
        // An io::Error hides what it wraps: its source is the wrapped one's source.
        cause = match inner.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => this.source(),
        };
    }
    Failure::Unreachable {
        why: lowercase_first(&innermost),
    }
}

/// An answer that began and did not end.
pub(super) fn in_body(error: &reqwest::Error) -> Failure {
    match of(error) {
        Failure::Unreachable { .. } => Failure::Unreachable {
            why: "the answer broke off".to_owned(),
        },
        other => other,
    }
}

fn of_tls(error: &rustls::Error, whose: Whose) -> Failure {
    let why = match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => {
                let why = "its certificate is signed by a CA that is not known";
                return Failure::Untrusted { why, whose };
            }
            // The CA of that name has another key here: the file with the right one is missing.
            CertificateError::BadSignature => {
                let why = "a CA of the name in its certificate is known, and has not signed it";
                return Failure::Untrusted { why, whose };
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired (or this machine's clock is wrong)"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet (or this machine's clock is wrong)"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            CertificateError::Revoked => "its certificate is revoked",
            CertificateError::Other(why) if why.to_string().contains("CaUsedAsEndEntity") => {
                "its certificate is one of a CA, self-signed perhaps, and not one of a server"
            }
            CertificateError::Other(why) if why.to_string().contains("Version") => {
                "its certificate is of an old form (X.509 before version 3)"
            }
            CertificateError::BadEncoding => "its certificate is damaged",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "its certificate is not for servers"
            }
            _ => "its certificate does not verify",
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS on this port",
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "it speaks no version of TLS that phase-run does (1.2 and 1.3)"
        }
        rustls::Error::AlertReceived(_) => "it refused the TLS handshake",
        _ => "the TLS handshake went wrong",
    };
    Failure::Tls { why, whose }
}
