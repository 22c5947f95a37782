#![forbid(unsafe_code)]
//! Which certificate authorities vouch for Phase.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::Source;
use crate::error::{Error, os_error_text};

/// Where distributions keep their bundle: Debian and its kin, Fedora and its kin, openSUSE, Alpine.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Far more than any bundle has, in bytes.
const MAX_SIZE: u64 = 16 << 20;

/// Where trust comes from.
#[derive(Debug)]
pub(crate) enum Roots {
    /// Mozilla's, compiled in: an empty image works, and no bundle is parsed at each start. Only
    /// an issuer that is unknown to them makes the system's bundle count.
    BuiltIn,
    /// Those of a file, and no others.
    Given {
        store: RootCertStore,
        path: PathBuf,
        source: Source,
    },
}

impl Roots {
    /// # Errors
    /// `config` when the file cannot be read or holds no certificate.
    pub(crate) fn load(file: Option<(PathBuf, &'static str)>) -> Result<Self, Error> {
        let Some((path, from)) = file else {
            return Ok(Self::BuiltIn);
        };
        let unusable = |why: String| Error::CaFile {
            path: path.clone(),
            source: Source::Named(from),
            why,
        };
        let pem = read(&path).map_err(|error| unusable(os_error_text(&error)))?;
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate =
                certificate.map_err(|_| unusable("a certificate in it is damaged".to_owned()))?;
            // A bundle may hold one that is of no use here.
            store.add_parsable_certificates([certificate]);
        }
        match store.is_empty() {
            true => Err(unusable("it holds no PEM certificate of a CA".to_owned())),
            false => Ok(Self::Given {
                store,
                path,
                source: Source::Named(from),
            }),
        }
    }

    /// What vouches first.
    pub(crate) fn store(&self) -> RootCertStore {
        match self {
            Self::BuiltIn => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
            Self::Given { store, .. } => store.clone(),
        }
    }

    /// The built-in ones, and those of the file beside them.
    pub(crate) fn with_built_in(&self) -> RootCertStore {
        let mut store = Self::BuiltIn.store();
        if let Self::Given { store: given, .. } = self {
            store.extend(given.roots.iter().cloned());
        }
        store
    }

    /// The bundle of this system, empty where it has none. Where to look for it is asked of no
    /// variable: those that name one count before the built-in roots.
    pub(crate) fn system() -> RootCertStore {
        let mut store = RootCertStore::empty();
        let pem = BUNDLES.iter().find_map(|path| read(Path::new(path)).ok());
        let certificates = CertificateDer::pem_slice_iter(pem.as_deref().unwrap_or_default());
        store.add_parsable_certificates(certificates.flatten());
        store
    }

    /// The file that was given, and where it was named.
    pub(crate) fn file(&self) -> Option<(PathBuf, Source)> {
        match self {
            Self::BuiltIn => None,
            Self::Given { path, source, .. } => Some((path.clone(), source.clone())),
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    File::open(path)?.take(MAX_SIZE).read_to_end(&mut pem)?;
    Ok(pem)
}
