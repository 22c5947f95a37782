//! A new CA for each server, its PEM file, and a certificate for loopback that is valid or has one
//! defect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

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
    /// Signed by the CA of `ca_file` for the right names, expired in 2021.
    Expired,
}

/// The server's TLS configuration, and the CA for clients to trust.
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    ca_file: PathBuf,
    _directory: TempDir,
}

impl Identity {
    pub(crate) fn new(certificate: Certificate) -> Identity {
        let (trusted, ca_pem) = authority("fake Phase CA");
        let (unknown, _) = authority("unknown CA");
        let names: &[&str] = match certificate {
            Certificate::Good | Certificate::UnknownCa | Certificate::Expired => {
                &["localhost", "127.0.0.1", "::1"]
            }
            Certificate::OtherName => &["other.test"],
        };
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.distinguished_name
            .push(DnType::CommonName, "fake Phase");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        if certificate == Certificate::Expired {
            leaf.not_before = date_time_ymd(2020, 1, 1);
            leaf.not_after = date_time_ymd(2021, 1, 1);
        }
        let issuer = match certificate {
            Certificate::UnknownCa => &unknown,
            Certificate::Good | Certificate::OtherName | Certificate::Expired => &trusted,
        };
        let key = KeyPair::generate().unwrap();
        let chain = vec![leaf.signed_by(&key, issuer).unwrap().der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();

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

fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}
