#![forbid(unsafe_code)]
//! The certificate authorities that are trusted.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::certificate::is_ca;
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
        trusted: TrustedCertificates,
        file: Setting<PathBuf>,
    },
}

/// The certificates of a bundle.
#[derive(Clone, Debug)]
pub(crate) struct TrustedCertificates {
    /// All that can serve as a root, whether they are those of CAs or not.
    pub(super) all: RootCertStore,
    /// Those of CAs; `None` if that is all of them.
    pub(super) authorities: Option<RootCertStore>,
    /// Those that a server may have as its own.
    pub(super) servers: Vec<CertificateDer<'static>>,
}

impl TrustedCertificates {
    /// A bundle may hold certificates that cannot serve as a root.
    fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        let store = |certificates: Vec<CertificateDer<'static>>| {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(certificates);
            store
        };
        let authorities: Vec<_> = certificates
            .iter()
            .filter(|certificate| is_ca(certificate))
            .cloned()
            .collect();
        Self {
            all: store(certificates.clone()),
            authorities: (authorities.len() < certificates.len()).then(|| store(authorities)),
            servers: certificates,
        }
    }

    /// Adds Mozilla's roots.
    fn add_built_in(&mut self) {
        let built_in = || webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        self.all.extend(built_in());
        if let Some(authorities) = &mut self.authorities {
            authorities.extend(built_in());
        }
    }
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
        let trusted = TrustedCertificates::new(certificates);
        if trusted.all.is_empty() {
            let why = "it contains no CA certificate in PEM format";
            return Err(unusable(why.to_owned()));
        }
        Ok(Self::CaFile { trusted, file })
    }

    /// Returns what is trusted at first.
    pub(super) fn configured(&self) -> TrustedCertificates {
        match self {
            Self::BuiltIn => self.with_built_in(),
            Self::CaFile { trusted, .. } => trusted.clone(),
        }
    }

    /// Returns the built-in roots and those of the file.
    pub(super) fn with_built_in(&self) -> TrustedCertificates {
        let mut trusted = match self {
            Self::BuiltIn => TrustedCertificates::new(Vec::new()),
            Self::CaFile { trusted, .. } => trusted.clone(),
        };
        trusted.add_built_in();
        trusted
    }

    /// Returns what the system's bundle holds, and on macOS what the keychains trust; nothing if both
    /// are missing. Variables that name a bundle are not consulted: they set the CA file.
    pub(super) fn system() -> TrustedCertificates {
        let mut paths = SYSTEM_BUNDLES.iter().map(Path::new);
        let pem = paths.find_map(|path| read_bundle(path, Duration::MAX).ok());
        let certificates = CertificateDer::pem_slice_iter(pem.as_deref().unwrap_or_default());
        let keychain = keychain_roots().into_iter().map(CertificateDer::from);
        let mut trusted =
            TrustedCertificates::new(certificates.flatten().chain(keychain).collect());
        // Whoever installs a CA there does not mean a server.
        trusted.servers.retain(|certificate| !is_ca(certificate));
        trusted
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
