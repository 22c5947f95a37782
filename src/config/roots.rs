#![forbid(unsafe_code)]
//! Which certificate authorities vouch for Phase.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Source;
use crate::error::{Error, system_words};

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
    pub(super) fn load(file: Option<(PathBuf, &'static str)>) -> Result<Self, Error> {
        let Some((path, from)) = file else {
            return Ok(Self::BuiltIn);
        };
        let unusable = |why: String| Error::CaFile {
            path: path.clone(),
            source: Source::Named(from),
            why,
        };
        let pem = std::fs::read(&path).map_err(|error| unusable(system_words(&error)))?;
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

    /// The file that was given, and where it was named.
    pub(crate) fn file(&self) -> Option<(PathBuf, Source)> {
        match self {
            Self::BuiltIn => None,
            Self::Given { path, source, .. } => Some((path.clone(), source.clone())),
        }
    }
}
