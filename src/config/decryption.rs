#![forbid(unsafe_code)]
//! Who decrypts, and what becomes of secrets that are made at each lease.

use super::reader::ConfigReader;
use crate::cli::Opt;
use crate::error::Error;

/// Who decrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecryptionMode {
    /// Whoever the app is set up for.
    Auto,
    /// The server.
    Rest,
    /// phase-run, with the token's keys; the server sees no plaintext.
    EndToEnd,
}

/// What becomes of dynamic secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DynamicSecrets {
    /// They are not asked for.
    Skip,
    /// Their keys are asked for, and nothing is leased.
    List,
    /// They are leased; `ttl` in seconds, or what the server takes by default.
    Lease { ttl: Option<u64> },
}

impl DynamicSecrets {
    pub(crate) fn leases(self) -> bool {
        matches!(self, Self::Lease { .. })
    }

    pub(crate) fn without_leases(self) -> Self {
        match self {
            Self::Lease { .. } => Self::List,
            other => other,
        }
    }

    pub(crate) fn ttl(self) -> Option<u64> {
        match self {
            Self::Lease { ttl } => ttl,
            Self::Skip | Self::List => None,
        }
    }

    /// What a request says of it, in either interface.
    pub(crate) fn request_fields(self, ttl: Option<&str>) -> Vec<(&'static str, &str)> {
        let (dynamic, lease) = (("dynamic", "true"), ("lease", "true"));
        match self {
            Self::Skip => vec![],
            Self::List => vec![dynamic],
            Self::Lease { .. } => [dynamic, lease]
                .into_iter()
                .chain(ttl.map(|ttl| ("lease_ttl", ttl)))
                .collect(),
        }
    }
}

impl ConfigReader<'_> {
    pub(super) fn mode(&self) -> Result<DecryptionMode, Error> {
        match self.text_of(Opt::Mode)? {
            None => Ok(DecryptionMode::Auto),
            Some(given) => match given.value.as_str() {
                "auto" => Ok(DecryptionMode::Auto),
                "rest" => Ok(DecryptionMode::Rest),
                "e2ee" => Ok(DecryptionMode::EndToEnd),
                _ => Err(self.invalid_value(given, Opt::Mode, "auto, rest or e2ee")),
            },
        }
    }

    pub(super) fn dynamic(&self) -> Result<DynamicSecrets, Error> {
        // The server takes no others.
        const WANTS: &str = "a whole number of seconds above 0";
        let ttl = match self.text_of(Opt::LeaseTtl)? {
            None => None,
            Some(given) => match given.value.parse() {
                Ok(seconds @ 1..) if !given.value.starts_with('+') => Some(seconds),
                _ => return Err(self.invalid_value(given, Opt::LeaseTtl, WANTS)),
            },
        };
        Ok(
            match (self.args.has(Opt::Dynamic), self.args.has(Opt::DryRun)) {
                (false, _) => DynamicSecrets::Skip,
                (true, true) => DynamicSecrets::List,
                (true, false) => DynamicSecrets::Lease { ttl },
            },
        )
    }
}
