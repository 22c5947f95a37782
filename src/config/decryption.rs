#![forbid(unsafe_code)]
//! Who decrypts, and what becomes of secrets that are made at each lease.

use super::reader::ConfigReader;
use crate::cli::Opt;
use crate::error::Error;

/// Who decrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Whoever the app is set up for.
    Auto,
    /// The server.
    Rest,
    /// phase-run, with the token's keys; the server sees no plaintext.
    EndToEnd,
}

/// What becomes of dynamic secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dynamic {
    /// They are not asked for.
    Ignored,
    /// Their keys are asked for, and nothing is leased.
    Listed,
    /// They are leased; `ttl` in seconds, or what the server takes by default.
    Leased { ttl: Option<u64> },
}

impl Dynamic {
    pub(crate) fn takes_leases(self) -> bool {
        matches!(self, Self::Leased { .. })
    }

    pub(crate) fn without_leases(self) -> Self {
        match self {
            Self::Leased { .. } => Self::Listed,
            other => other,
        }
    }

    pub(crate) fn ttl(self) -> Option<u64> {
        match self {
            Self::Leased { ttl } => ttl,
            Self::Ignored | Self::Listed => None,
        }
    }

    /// What a request says of it, in either interface.
    pub(crate) fn asked(self, ttl: Option<&str>) -> Vec<(&'static str, &str)> {
        let (dynamic, lease) = (("dynamic", "true"), ("lease", "true"));
        match self {
            Self::Ignored => vec![],
            Self::Listed => vec![dynamic],
            Self::Leased { .. } => [dynamic, lease]
                .into_iter()
                .chain(ttl.map(|ttl| ("lease_ttl", ttl)))
                .collect(),
        }
    }
}

impl ConfigReader<'_> {
    pub(super) fn mode(&self) -> Result<Mode, Error> {
        match self.text_of(Opt::Mode)? {
            None => Ok(Mode::Auto),
            Some(given) => match given.value.as_str() {
                "auto" => Ok(Mode::Auto),
                "rest" => Ok(Mode::Rest),
                "e2ee" => Ok(Mode::EndToEnd),
                _ => Err(self.invalid_value(given, Opt::Mode, "auto, rest or e2ee")),
            },
        }
    }

    pub(super) fn dynamic(&self) -> Result<Dynamic, Error> {
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
                (false, _) => Dynamic::Ignored,
                (true, true) => Dynamic::Listed,
                (true, false) => Dynamic::Leased { ttl },
            },
        )
    }
}
