#![forbid(unsafe_code)]
//! Turns the errors of the HTTP library into messages for users.
//!
//! The library's own texts hold the URL and names of Rust types, so only the innermost cause is kept.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError};

use super::proxy::Proxy;
use super::roots::Roots;
use super::verifier::{is_ca_used_as_server, is_wrong_private_key};
use crate::error::{Error, lowercase_first, os_error_text, seconds};

/// Why a request got no usable response.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection or no complete response. It may be transient.
    Unreachable { why: String },
    /// The proxy refused to connect to the server. It may be transient.
    TunnelRefused { why: String },
    /// The proxy refused the credentials, so a retry would fail in the same way.
    ProxyCredentials { why: String },
    /// The request cannot be sent from here, mostly because of a limit of this machine or this process.
    Local { why: String, errno: Option<Errno> },
    /// The certificate's issuer is not among the trusted roots.
    UnknownIssuer {
        why: &'static str,
        tls_peer: TlsPeer,
    },
    Tls {
        why: &'static str,
        tls_peer: TlsPeer,
        hint: Option<String>,
    },
    UnexpectedResponse {
        why: String,
        hint: Option<&'static str>,
    },
}

/// The end of the connection whose certificate or handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsPeer {
    Server,
    Proxy,
}

/// What a TLS connection was used for when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsStage {
    Handshake,
    /// The request and the response.
    Data,
}

/// The most headers that a response may have.
pub(super) const MAX_HEADERS: usize = 1_000;

/// The longest head of a response that hyper accepts, in bytes (`DEFAULT_MAX_BUFFER_SIZE` in
/// `proto/h1/io.rs`).
const MAX_HEAD: usize = 8192 + 4096 * 100;

/// hyper's text for a head with too many headers or bytes; only servers can ask it for the kind.
const HEAD_TOO_LARGE: &str = "message head is too large";

/// hyper's text for data that arrives on a connection before a request has been sent.
const UNEXPECTED_DATA: &str = "received unexpected message from connection";

/// The hint for a server that speaks only HTTP/2.
const HTTP_2_HINT: &str = "enable HTTP/1.1 on the server, or on the load balancer in front of it";

/// The hint for a server that requires a client certificate.
pub(crate) const CLIENT_CERTIFICATE_HINT: &str =
    "use an address of Phase that does not require a client certificate";

/// The start of every error text of hyper-util's proxy tunnel, whose error type is private.
const TUNNEL: &str = "tunnel error: ";

/// What follows [`TUNNEL`] if the proxy closed the connection.
const TUNNEL_CLOSED: &str = "unexpected end of file";

/// tokio-rustls's text for a connection that was closed during the TLS handshake.
const HANDSHAKE_EOF: &str = "tls handshake eof";

const CLOSED_BEFORE_RESPONSE: &str = "the connection was closed before a response";

/// The bound on one try.
pub(super) struct TryLimit {
    pub(super) start: Instant,
    pub(super) limit: Duration,
    /// How long the look-up before the try took, if it took longer than `--timeout`.
    pub(super) slow_lookup: Option<Duration>,
}

impl TryLimit {
    /// Returns how long the try may still take.
    pub(super) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.start.elapsed())
    }

    /// The failure of a try that took too long.
    pub(super) fn exceeded(&self) -> Failure {
        Failure::timed_out(self.limit, self.slow_lookup)
    }
}

impl Failure {
    /// The failure of a response that does not help, without a hint.
    pub(super) fn unexpected(why: String) -> Self {
        Self::UnexpectedResponse { why, hint: None }
    }

    /// The failure of a response that is not HTTP/1.1 and has this start. A server that speaks HTTP/2 sends
    /// a frame first that has its settings (RFC 9113, sections 3.4 and 6.5).
    pub(super) fn not_http_1(start: &[u8]) -> Self {
        match start {
            [0, 0, _, 4, 0, 0, 0, 0, 0, ..] => Self::UnexpectedResponse {
                why: "the response is HTTP/2, which phase-run does not support".to_owned(),
                hint: Some(HTTP_2_HINT),
            },
            _ => Self::unexpected("the response is not HTTP".to_owned()),
        }
    }

    /// The failure of a try or a connection that took longer than `limit`. `slow_lookup` is how long the
    /// look-up before it took, if that left little time for it.
    pub(super) fn timed_out(limit: Duration, slow_lookup: Option<Duration>) -> Self {
        let mut why = format!("no complete response within {}", seconds(limit));
        if let Some(took) = slow_lookup {
            why = format!("{why}, after {} of name resolution", seconds(took));
        }
        Self::Unreachable { why }
    }

    /// The failure to set up what a request needs.
    pub(super) fn from_setup_error(error: &io::Error, why: String) -> Self {
        let errno = error.raw_os_error().map(Errno::from_raw);
        Self::Local { why, errno }
    }

    /// The failure of a look-up or a connection.
    pub(super) fn from_network_error(error: &io::Error, why: String) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            errno @ Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => {
                Self::Local { why, errno }
            }
            _ => Self::Unreachable { why },
        }
    }

    /// Why the connection failed, if a retry may help. Of the local failures, only a shortage of threads,
    /// memory or descriptors of the whole system is transient: nothing else can raise the limit of this
    /// process.
    pub(super) fn transient_reason(&self) -> Option<&str> {
        match self {
            Self::Unreachable { why }
            | Self::TunnelRefused { why }
            | Self::Local {
                why,
                errno: Some(Errno::EAGAIN | Errno::ENOMEM | Errno::ENFILE),
            } => Some(why),
            _ => None,
        }
    }

    /// The failure of a request whose response did not begin. `wants_client_certificate` says whether the
    /// server or the proxy has asked for a client certificate in this exchange.
    pub(super) fn from_send_error(error: &reqwest::Error, wants_client_certificate: bool) -> Self {
        if error.is_builder() {
            // Names and IDs of apps and environments come from the server, and may have any length.
            let why = "the address of the request is longer than 65,534 bytes".to_owned();
            return Self::Local { why, errno: None };
        }
        let mut cause: Option<&(dyn StdError + 'static)> = error.source();
        let mut innermost = String::new();
        let mut tls_peer = TlsPeer::Server;
        while let Some(current) = cause {
            if let Some(tls) = current.downcast_ref::<rustls::Error>() {
                let stage = match error.is_connect() {
                    true => TlsStage::Handshake,
                    false => TlsStage::Data,
                };
                return Self::from_tls(tls, tls_peer, stage, wants_client_certificate);
            }
            if let Some(http) = current.downcast_ref::<hyper::Error>() {
                if http.to_string() == HEAD_TOO_LARGE {
                    let why = format!(
                        "the head of the response is too large: at most {MAX_HEADERS} headers and {} KiB are accepted",
                        MAX_HEAD >> 10
                    );
                    return Self::unexpected(why);
                }
                if http.is_parse() {
                    return Self::not_http_1(b"");
                }
                // An overloaded server may send its response without reading a request, so this is retried.
                if http.to_string() == UNEXPECTED_DATA {
                    let why = "it sends data before the request, as servers of HTTP/2 and other protocols do";
                    return Self::Unreachable {
                        why: why.to_owned(),
                    };
                }
                if http.is_incomplete_message() {
                    let why = CLOSED_BEFORE_RESPONSE.to_owned();
                    return Self::Unreachable { why };
                }
            }
            let io_error = current.downcast_ref::<io::Error>();
            if let Some(error) = io_error.filter(|error| error.raw_os_error().is_some()) {
                return Self::from_network_error(error, os_error_text(error));
            }
            if io_error.is_some_and(|error| error.kind() == ErrorKind::UnexpectedEof) {
                let why = closed_text(&current.to_string(), tls_peer);
                return Self::Unreachable { why };
            }
            innermost = current.to_string();
            // TLS with the server starts only inside the tunnel, so an error of the tunnel is the proxy's.
            if innermost.starts_with(TUNNEL) {
                tls_peer = TlsPeer::Proxy;
            }
            // `source` of an io::Error skips the error that it wraps.
            cause = match io_error.and_then(io::Error::get_ref) {
                Some(wrapped) => Some(wrapped),
                None => current.source(),
            };
        }
        Self::Unreachable {
            why: lowercase_first(&innermost),
        }
    }

    /// The failure of a response that began and did not end.
    pub(super) fn from_body_error(error: &io::Error, limit: &TryLimit) -> Self {
        let truncated = || Self::Unreachable {
            why: "the response was truncated".to_owned(),
        };
        let error = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<reqwest::Error>());
        match error {
            Some(error) if error.is_timeout() => limit.exceeded(),
            Some(error) => match Self::from_send_error(error, false) {
                Self::Unreachable { .. } => truncated(),
                other => other,
            },
            None => truncated(),
        }
    }

    /// Names the proxy that was used, so that the user does not suspect the server. A TLS failure
    /// already says whose certificate it is about.
    pub(super) fn naming_proxy(self, proxy: &Proxy) -> Self {
        let Self::Unreachable { why } = self else {
            return self;
        };
        let name = &proxy.name;
        let why = match why.strip_prefix(TUNNEL) {
            Some("proxy authorization required") => {
                let why = match proxy.authorization {
                    Some(_) => format!("the proxy {name} rejected the credentials (407)"),
                    None => format!("the proxy {name} requires credentials (407)"),
                };
                return Self::ProxyCredentials { why };
            }
            Some(TUNNEL_CLOSED) => format!("the proxy {name} closed the connection"),
            Some(_) => {
                let why = format!("the proxy {name} refused to connect to it");
                return Self::TunnelRefused { why };
            }
            None => format!("{why} (through the proxy {name})"),
        };
        Self::Unreachable { why }
    }

    /// Adds the status with which the proxy refused to connect. `ask` requests it once more, because the
    /// HTTP library drops it.
    pub(super) fn with_proxy_status(self, ask: impl FnOnce() -> Option<u16>) -> Self {
        match self {
            Self::TunnelRefused { why } => Self::TunnelRefused {
                why: match ask() {
                    Some(status) => format!("{why} ({status})"),
                    None => why,
                },
            },
            other => other,
        }
    }

    /// The error about `host`, which was reached through `proxy` if there is one.
    pub(super) fn into_error(self, host: &str, proxy: Option<&Proxy>, roots: &Roots) -> Error {
        let name_of = |tls_peer| match (tls_peer, proxy) {
            (TlsPeer::Proxy, Some(proxy)) => format!("the proxy {}", proxy.name),
            (TlsPeer::Proxy | TlsPeer::Server, _) => host.to_owned(),
        };
        let host = host.to_owned();
        let unreachable = |why, hint, suggests_snapshot| Error::Unreachable {
            host: host.clone(),
            why,
            hint,
            suggests_snapshot,
        };
        match self {
            Self::Unreachable { why } | Self::TunnelRefused { why } => {
                let hint = match proxy {
                    Some(Proxy { variable, .. }) => format!(
                        "check the network and the proxy in {variable}; no_proxy exempts hosts from it"
                    ),
                    None => "check the network, and the address in --host or PHASE_HOST".to_owned(),
                };
                unreachable(why, Some(hint), true)
            }
            Self::ProxyCredentials { why } => {
                let put = |proxy: &Proxy| {
                    format!("put the user and the password into {}", proxy.variable)
                };
                unreachable(why, proxy.map(put), false)
            }
            Self::Local { why, errno } => {
                let hint = errno.and_then(local_hint).map(str::to_owned);
                unreachable(why, hint, false)
            }
            Self::UnknownIssuer { why, tls_peer } => Error::UnknownIssuer {
                host: name_of(tls_peer),
                why,
                ca_file: roots.ca_file(),
            },
            Self::Tls {
                why,
                tls_peer,
                hint,
            } => Error::TlsFailed {
                host: name_of(tls_peer),
                why,
                hint,
            },
            Self::UnexpectedResponse { why, hint } => Error::UnexpectedResponse { host, why, hint },
        }
    }

    fn from_tls(
        error: &rustls::Error,
        tls_peer: TlsPeer,
        stage: TlsStage,
        wants_client_certificate: bool,
    ) -> Self {
        use TlsStage::{Data, Handshake};
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible};
        let (why, hint) = match error {
            InvalidCertificate(error) => return Self::from_certificate(error, tls_peer),
            InvalidMessage(_) if stage == Handshake => ("it does not speak TLS on this port", None),
            PeerIncompatible(_) | AlertReceived(AlertDescription::ProtocolVersion) => {
                ("it supports neither TLS 1.2 nor TLS 1.3", None)
            }
            AlertReceived(AlertDescription::NoApplicationProtocol) => (
                "it does not accept HTTP/1.1, and phase-run does not support HTTP/2",
                Some(HTTP_2_HINT),
            ),
            AlertReceived(alert)
                if *alert == AlertDescription::CertificateRequired
                    || wants_client_certificate && may_mean_no_certificate(*alert) =>
            {
                (
                    "it requires a client certificate, which phase-run cannot send",
                    Some(CLIENT_CERTIFICATE_HINT),
                )
            }
            AlertReceived(_) if stage == Data => {
                ("it ended the TLS connection with an alert", None)
            }
            AlertReceived(_) => ("it refused the TLS handshake", None),
            _ if stage == Data => ("it sent invalid TLS data", None),
            _ => ("the TLS handshake failed", None),
        };
        Self::Tls {
            why,
            tls_peer,
            hint: hint.map(str::to_owned),
        }
    }

    fn from_certificate(error: &CertificateError, tls_peer: TlsPeer) -> Self {
        let mut hint = None;
        let why = match error {
            CertificateError::UnknownIssuer => {
                let why = "its certificate is signed by an unknown CA";
                return Self::UnknownIssuer { why, tls_peer };
            }
            // A trusted CA has the issuer's name and another key, so the right root is missing.
            CertificateError::BadSignature => {
                let why = "its certificate names a known CA that has not signed it";
                return Self::UnknownIssuer { why, tls_peer };
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired (or this machine's clock is wrong)"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet (or this machine's clock is wrong)"
            }
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } if presented.is_empty() => {
                hint = Some(openssl_hint(expected));
                "its certificate has no subjectAltName, and a common name (CN) does not count"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another host name"
            }
            CertificateError::Revoked => "its certificate is revoked",
            wrong_key if is_wrong_private_key(wrong_key) => {
                "it does not have the private key of its certificate"
            }
            ca_certificate if is_ca_used_as_server(ca_certificate) => {
                hint = Some("pass the file of exactly this certificate with --ca-file".to_owned());
                "its certificate is self-signed, or that of a CA"
            }
            CertificateError::Other(why) if why.to_string().contains("Version") => {
                "its certificate uses an outdated format (X.509 before version 3)"
            }
            CertificateError::BadEncoding => "its certificate is malformed",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "its certificate is not meant for servers"
            }
            _ => "its certificate could not be verified",
        };
        Self::Tls {
            why,
            tls_peer,
            hint,
        }
    }
}

/// Whether TLS libraries send this alert if a client has no certificate, besides `certificate_required`.
/// OpenSSL sends `handshake_failure` in TLS 1.2, Go and Java send `bad_certificate`.
fn may_mean_no_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::NoCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
    )
}

/// What to say about a connection that was closed too early. `library_text` is what the library says.
fn closed_text(library_text: &str, tls_peer: TlsPeer) -> String {
    match (library_text, tls_peer) {
        (HANDSHAKE_EOF, _) => "the connection was closed during the TLS handshake".to_owned(),
        (_, TlsPeer::Proxy) => [TUNNEL, TUNNEL_CLOSED].concat(),
        (_, TlsPeer::Server) => CLOSED_BEFORE_RESPONSE.to_owned(),
    }
}

/// How to raise the limit that this machine or this process has reached.
fn local_hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EMFILE => Some("raise the limit on open files (ulimit -n)"),
        Errno::ENFILE => Some("raise the system's limit on open files (fs.file-max)"),
        Errno::EAGAIN => {
            Some("raise the limit on processes (ulimit -u, or the pids limit of the container)")
        }
        Errno::ENOMEM => Some("raise the limit on memory, or free some"),
        _ => None,
    }
}

/// A command line that makes a certificate for this server which phase-run accepts.
fn openssl_hint(server: &ServerName<'_>) -> String {
    let (kind, name) = match server {
        ServerName::IpAddress(_) => ("IP", server.to_str()),
        _ => ("DNS", server.to_str()),
    };
    format!(
        "run openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout key.pem -out cert.pem \
         -subj /CN={name} -addext subjectAltName={kind}:{name}"
    )
}

#[cfg(test)]
mod tests {
    use rustls::Error::{AlertReceived, DecryptError, InvalidMessage};

    use super::*;

    #[test]
    fn tls_failures_are_told_for_each_stage() {
        let invalid = || InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        let alert = || AlertReceived(AlertDescription::InternalError);
        for (error, handshake, data) in [
            (
                invalid(),
                "it does not speak TLS on this port",
                "it sent invalid TLS data",
            ),
            (
                DecryptError,
                "the TLS handshake failed",
                "it sent invalid TLS data",
            ),
            (
                alert(),
                "it refused the TLS handshake",
                "it ended the TLS connection with an alert",
            ),
        ] {
            for (stage, text) in [(TlsStage::Handshake, handshake), (TlsStage::Data, data)] {
                let failure = Failure::from_tls(&error, TlsPeer::Server, stage, false);
                let Failure::Tls { why, .. } = failure else {
                    panic!("{failure:?}");
                };
                assert_eq!(why, text, "{error:?} {stage:?}");
            }
        }
    }

    #[test]
    fn only_certificate_alerts_mean_a_client_certificate() {
        for (alert, if_asked, if_not_asked) in [
            (AlertDescription::CertificateRequired, true, true),
            (AlertDescription::HandshakeFailure, true, false),
            (AlertDescription::BadCertificate, true, false),
            (AlertDescription::UnrecognisedName, false, false),
            (AlertDescription::InternalError, false, false),
        ] {
            for (was_asked, expected) in [(true, if_asked), (false, if_not_asked)] {
                let error = AlertReceived(alert);
                let stage = TlsStage::Handshake;
                let failure = Failure::from_tls(&error, TlsPeer::Server, stage, was_asked);
                let Failure::Tls { why, .. } = failure else {
                    panic!("{failure:?}");
                };
                let is_meant = why.contains("requires a client certificate");
                assert_eq!(is_meant, expected, "{alert:?} {was_asked}");
            }
        }
    }

    #[test]
    fn closed_connections_are_told_in_plain_english() {
        let no_close_notify = "peer closed connection without sending TLS close_notify: …";
        for (library_text, tls_peer, text) in [
            (
                HANDSHAKE_EOF,
                TlsPeer::Server,
                "the connection was closed during the TLS handshake",
            ),
            (no_close_notify, TlsPeer::Server, CLOSED_BEFORE_RESPONSE),
            (
                no_close_notify,
                TlsPeer::Proxy,
                "tunnel error: unexpected end of file",
            ),
        ] {
            assert_eq!(closed_text(library_text, tls_peer), text);
        }
    }

    #[test]
    fn permanent_local_failures_are_not_retried() {
        let is_retried = |failure: Failure| failure.transient_reason().is_some();
        for (errno, after_setup, after_network) in [
            (Errno::EAGAIN, true, true),
            (Errno::ENOMEM, true, true),
            (Errno::ENFILE, true, true),
            (Errno::EMFILE, false, false),
            (Errno::ENOSYS, false, true),
            // A firewall of the cluster may answer so until it knows the pod.
            (Errno::EPERM, false, true),
            (Errno::ECONNREFUSED, false, true),
        ] {
            let error = io::Error::from(errno);
            let setup = Failure::from_setup_error(&error, String::new());
            assert_eq!(is_retried(setup), after_setup, "{errno}");
            let network = Failure::from_network_error(&error, String::new());
            assert_eq!(is_retried(network), after_network, "{errno}");
        }
    }
}
