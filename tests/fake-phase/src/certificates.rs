//! A new CA for each server, its PEM file, and a certificate for loopback that is valid or has one
//! defect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

/// The certificate is that of a CA.
const ANY_CA: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

/// The certificate that the server presents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// For `localhost`, `127.0.0.1` and `::1`, signed by the CA of `ca_file`.
    #[default]
    Good,
    /// For the same names, signed by a CA that nobody trusts.
    UnknownCa,
    /// Signed by the CA of `ca_file`, for `other.test`.
    OtherName,
    /// Signed by the CA of `ca_file`, for the two hosts of Phase Cloud.
    PhaseCloud,
    /// Signed by the CA of `ca_file` for the right names, expired in 2021.
    Expired,
    /// Self-signed and marked as a CA, as plain `openssl req -x509` makes it; `ca_file` is this certificate.
    SelfSigned,
    /// Like [`Self::SelfSigned`], for `other.test`.
    SelfSignedOtherName,
    /// Like [`Self::SelfSigned`], expired in 2021.
    SelfSignedExpired,
    /// Like [`Self::SelfSigned`], with a common name only.
    SelfSignedWithoutNames,
    /// Like [`Self::SelfSigned`], but `ca_file` is another certificate of the same subject.
    SelfSignedImpostor,
    /// Self-signed like [`Self::SelfSigned`], but marked as that of a server (`CA:FALSE`).
    SelfSignedServer,
    /// Signed for the right names with the key of a [`Self::SelfSignedServer`] for `other.test`, which is
    /// `ca_file`.
    SignedByServer,
    /// Like [`Self::SignedByServer`], but the certificate in `ca_file` does not say whether it is that of a CA.
    SignedByUnmarked,
    /// Like [`Self::Good`], but the server has another private key.
    OtherKey,
}

impl Certificate {
    fn is_self_signed(self) -> bool {
        matches!(
            self,
            Certificate::SelfSigned
                | Certificate::SelfSignedOtherName
                | Certificate::SelfSignedExpired
                | Certificate::SelfSignedWithoutNames
                | Certificate::SelfSignedImpostor
                | Certificate::SelfSignedServer
        )
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Certificate::OtherName | Certificate::SelfSignedOtherName => &["other.test"],
            Certificate::SelfSignedWithoutNames => &[],
            Certificate::PhaseCloud => &["console.phase.dev", "api.phase.dev"],
            _ => &["localhost", "127.0.0.1", "::1"],
        }
    }

    /// Returns the certificate, its key, and the certificate for clients to trust in PEM format.
    fn create(self) -> (CertificateDer<'static>, KeyPair, String) {
        let names = self.names().iter().map(|&name| name.to_owned());
        let mut params = CertificateParams::new(names.collect::<Vec<String>>()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "fake Phase");
        if matches!(self, Certificate::Expired | Certificate::SelfSignedExpired) {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        if self.is_self_signed() {
            params.is_ca = match self {
                Certificate::SelfSignedServer => IsCa::ExplicitNoCa,
                _ => ANY_CA,
            };
            let certificate = params.self_signed(&key).unwrap();
            let trusted = match self {
                Certificate::SelfSignedImpostor => {
                    params.self_signed(&KeyPair::generate().unwrap()).unwrap()
                }
                _ => certificate.clone(),
            };
            return (certificate.der().clone(), key, trusted.pem());
        }
        let (trusted, ca_pem) = match self {
            Certificate::SignedByServer => authority("other.test", IsCa::ExplicitNoCa),
            Certificate::SignedByUnmarked => authority("other.test", IsCa::NoCa),
            _ => authority("fake Phase CA", ANY_CA),
        };
        let (unknown, _) = authority("unknown CA", ANY_CA);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = match self {
            Certificate::UnknownCa => &unknown,
            _ => &trusted,
        };
        let certificate = params.signed_by(&key, issuer).unwrap();
        let key = match self {
            Certificate::OtherKey => KeyPair::generate().unwrap(),
            _ => key,
        };
        (certificate.der().clone(), key, ca_pem)
    }
}

/// What the server demands in the TLS handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handshake {
    /// Nothing in particular.
    #[default]
    Ordinary,
    /// HTTP/2 (ALPN `h2`); any other protocol is refused.
    Http2,
    /// A client certificate, by TLS 1.2.
    ClientCertificateTls12,
    /// A client certificate, by TLS 1.3.
    ClientCertificateTls13,
}

impl Handshake {
    fn config(self, chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> ServerConfig {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let versions: &[&SupportedProtocolVersion] = match self {
            Handshake::ClientCertificateTls12 => &[&TLS12],
            Handshake::ClientCertificateTls13 => &[&TLS13],
            Handshake::Ordinary | Handshake::Http2 => &[&TLS12, &TLS13],
        };
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = match self {
            Handshake::Ordinary | Handshake::Http2 => builder.with_no_client_auth(),
            Handshake::ClientCertificateTls12 | Handshake::ClientCertificateTls13 => {
                let mut roots = RootCertStore::empty();
                let (_, pem) = authority("CA of clients", ANY_CA);
                roots
                    .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
                    .unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
                builder.with_client_cert_verifier(verifier.unwrap())
            }
        };
        // Unlike `with_single_cert`, this does not check that the key belongs to the certificate.
        let key = ring::sign::any_supported_type(&key).unwrap();
        let certified = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        let mut config = builder.with_cert_resolver(Arc::new(certified));
        if self == Handshake::Http2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        config
    }
}

/// The server's TLS configuration, and the CA for clients to trust.
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    ca_file: PathBuf,
    _directory: TempDir,
}

impl Identity {
    pub(crate) fn new(certificate: Certificate, handshake: Handshake) -> Identity {
        let (certificate, key, ca_pem) = certificate.create();
        let config = handshake.config(vec![certificate], &key);
        let directory = tempfile::tempdir().unwrap();
        let ca_file = directory.path().join("ca.pem");
        std::fs::write(&ca_file, ca_pem).unwrap();
        Identity {
            config: Arc::new(config),
            ca_file,
            _directory: directory,
        }
    }

    pub(crate) fn ca_file(&self) -> &Path {
        &self.ca_file
    }
}

fn authority(name: &str, is_ca: IsCa) -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = is_ca;
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}
