#![forbid(unsafe_code)]
//! What a TLS handshake needs besides the trusted roots: who may be a server, and which client
//! certificate is sent.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

/// Verifies like webpki, with two differences. A certificate that is not that of a CA vouches only for itself:
/// webpki trusts each root to sign others. And the certificate of a CA may be the server's own if it is in the
/// CA file: `openssl req -x509` makes such certificates, and webpki refuses them. It does so before it reads the
/// extended key usage, so that of such a certificate does not count.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    /// With the certificates of CAs as roots; `None` if there are none.
    pub(super) authorities: Option<Arc<WebPkiServerVerifier>>,
    /// With all certificates as roots, for a server that has one of `servers`.
    pub(super) webpki: Arc<WebPkiServerVerifier>,
    /// The certificates that a server may have as its own.
    pub(super) servers: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut servers = self.servers.iter();
        let is_known = servers.any(|known| known.as_ref() == end_entity.as_ref());
        let verifier = match is_known {
            true => Some(&self.webpki),
            false => self.authorities.as_ref(),
        };
        let verifier = verifier.ok_or(CertificateError::UnknownIssuer)?;
        let outcome =
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match outcome {
            // webpki has checked the dates before it returns this error, but not the name.
            Err(Error::InvalidCertificate(error)) if is_known && is_ca_used_as_server(&error) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let outcome = self
            .webpki
            .verify_tls12_signature(message, certificate, signature);
        outcome.map_err(from_handshake_error)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let outcome = self
            .webpki
            .verify_tls13_signature(message, certificate, signature);
        outcome.map_err(from_handshake_error)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// The signature of a handshake does not fit the server's certificate. webpki has the same error for
/// the signature of a CA.
#[derive(Debug)]
struct WrongPrivateKey;

impl fmt::Display for WrongPrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the server does not have the private key of its certificate")
    }
}

impl std::error::Error for WrongPrivateKey {}

fn from_handshake_error(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => Error::InvalidCertificate(
            CertificateError::Other(OtherError(Arc::new(WrongPrivateKey))),
        ),
        other => other,
    }
}

/// Whether the server could not prove that it has the private key of its certificate.
pub(super) fn is_wrong_private_key(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(why) if why.0.is::<WrongPrivateKey>())
}

/// Whether a certificate was refused only because it is that of a CA. rustls has no variant for this
/// error of webpki and shows only its name.
pub(super) fn is_ca_used_as_server(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(why) if why.to_string() == "CaUsedAsEndEntity")
}

/// Sends no client certificate, and records whether a server or proxy has asked for one.
#[derive(Debug, Default)]
pub(super) struct NoClientCertificate {
    was_requested: AtomicBool,
}

impl NoClientCertificate {
    /// Forgets what connections before this call have asked for.
    pub(super) fn reset(&self) {
        self.was_requested.store(false, Ordering::Relaxed);
    }

    /// Returns whether a client certificate has been asked for since the last reset.
    pub(super) fn was_requested(&self) -> bool {
        self.was_requested.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for NoClientCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_requested.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
