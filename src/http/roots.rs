#![forbid(unsafe_code)]
//! The certificate authorities that are trusted.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::encoding::decode_file;
use crate::error::{Error, Setting, os_error_text};
use crate::process::bounded_read::{open_without_waiting, read_whole_within};
use crate::process::keychain_roots;

/// Where systems keep their bundle: Debian, Fedora, openSUSE, Red Hat, and both Alpine and macOS.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The most that is read of a bundle, in bytes. Bundles are far smaller.
const MAX_SIZE: u64 = 16 << 20;

/// Where the trusted roots come from.
#[derive(Debug)]
pub(crate) enum Roots {
    /// Mozilla's roots, which are compiled in, so that phase-run works in an empty image and parses no
    /// bundle at its start. The system's bundle is read only if they do not know an issuer.
    BuiltIn,
    /// The roots in a file that the user named, and no others.
    CaFile {
        store: RootCertStore,
        /// All certificates of the file, also those that cannot serve as a root.
        certificates: Vec<CertificateDer<'static>>,
        file: Setting<PathBuf>,
    },
}

impl Roots {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// Returns `config` if the file cannot be read within `read_limit` or contains no valid certificate.
    pub(crate) fn load(
        file: Option<Setting<PathBuf>>,
        read_limit: Duration,
    ) -> Result<Self, Error> {
        let Some(file) = file else {
            return Ok(Self::BuiltIn);
        };
        let unusable = |why: String| Error::CaFileUnusable {
            file: file.clone(),
            why,
        };
        let pem = read_bundle(&file.value, read_limit)
            .map_err(|error| unusable(os_error_text(&error)))?;
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|_| unusable("it contains a malformed certificate".to_owned()))?;
        let mut store = RootCertStore::empty();
        // A bundle may hold certificates that cannot serve as a root.
        store.add_parsable_certificates(certificates.iter().cloned());
        if store.is_empty() {
            let why = "it contains no CA certificate in PEM format";
            return Err(unusable(why.to_owned()));
        }
        Ok(Self::CaFile {
            store,
            certificates,
            file,
        })
    }

    /// Returns the roots that are trusted at first.
    pub(super) fn root_store(&self) -> RootCertStore {
        match self {
            Self::BuiltIn => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
            Self::CaFile { store, .. } => store.clone(),
        }
    }

    /// Returns the built-in roots and those of the file.
    pub(super) fn root_store_with_built_in(&self) -> RootCertStore {
        let mut roots = Self::BuiltIn.root_store();
        if let Self::CaFile { store, .. } = self {
            roots.extend(store.roots.iter().cloned());
        }
        roots
    }

    /// Returns the roots of the system's bundle, and on macOS those that the keychains trust; there are none
    /// if both are missing. Variables that name a
    /// bundle are not consulted: they set the CA file.
    pub(super) fn system_root_store() -> RootCertStore {
        let mut store = RootCertStore::empty();
        let mut paths = SYSTEM_BUNDLES.iter().map(Path::new);
        let pem = paths.find_map(|path| read_bundle(path, Duration::MAX).ok());
        let certificates = CertificateDer::pem_slice_iter(pem.as_deref().unwrap_or_default());
        store.add_parsable_certificates(certificates.flatten());
        let keychain = keychain_roots().into_iter().map(CertificateDer::from);
        store.add_parsable_certificates(keychain);
        store
    }

    /// All certificates of the file that the user named.
    pub(super) fn file_certificates(&self) -> &[CertificateDer<'static>] {
        match self {
            Self::BuiltIn => &[],
            Self::CaFile { certificates, .. } => certificates,
        }
    }

    /// The file that replaces the built-in roots.
    pub(super) fn ca_file(&self) -> Option<Setting<PathBuf>> {
        match self {
            Self::BuiltIn => None,
            Self::CaFile { file, .. } => Some(file.clone()),
        }
    }
}

fn read_bundle(path: &Path, read_limit: Duration) -> io::Result<Vec<u8>> {
    let file = open_without_waiting(path)?;
    decode_file(read_whole_within(&file, MAX_SIZE, read_limit)?)
}
