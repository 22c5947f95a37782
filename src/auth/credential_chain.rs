#![forbid(unsafe_code)]
//! The credential chain of a cloud's SDKs, and the variables and files that its sources read.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::selected_source::SelectedSource;
use crate::config::Provider;
use crate::config::credential_file::{open_regular, read_bounded};
use crate::error::{Error, os_error_text};
use crate::process::env_block::EnvBlock;
use crate::secret::SecretBytes;

/// The size limit of a credential file, in bytes: AWS's shared files may list hundreds of accounts.
pub(super) const MAX_FILE_SIZE: u64 = 1 << 20;

/// The variables that a cloud's SDKs read. An empty variable counts as unset.
pub(super) struct ProviderEnv<'a>(pub(super) &'a EnvBlock);

impl<'a> ProviderEnv<'a> {
    pub(super) fn value(&self, name: &str) -> Option<&'a OsStr> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    /// The value as text. Each name must be one that [`CredentialChain::new`] has checked: a value that
    /// is not UTF-8 counts as unset here.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name)?.to_str()
    }

    /// Whether the variable has this value, ignoring case.
    pub(super) fn is_set_to(&self, name: &str, value: &str) -> bool {
        self.text(name)
            .is_some_and(|text| text.eq_ignore_ascii_case(value))
    }

    pub(super) fn secret(&self, name: &str) -> Option<SecretBytes> {
        let value = self.value(name)?.as_bytes();
        Some(SecretBytes::new(value.to_vec()))
    }

    pub(super) fn path(&self, name: &str) -> Option<&'a Path> {
        self.value(name).map(Path::new)
    }

    /// Whether this process runs in a Kubernetes pod, for a hint.
    pub(super) fn is_kubernetes(&self) -> bool {
        self.value("KUBERNETES_SERVICE_HOST").is_some()
    }
}

/// The credential chain of a cloud's SDKs: its sources in order, of which the first that is
/// configured is used.
pub(super) struct CredentialChain {
    provider: Provider,
    /// The sources that are not configured, each with the reason.
    skipped: Vec<String>,
    /// What to do if no source is configured.
    pub(super) hint: &'static str,
}

/// The result of looking at one source of the chain.
pub(super) enum Lookup<S> {
    /// The source, and how messages name it.
    Found(S, String),
    /// Why the next source is tried.
    NotConfigured(String),
}

/// Why a source that is configured cannot be used. The chain ends there: the next source may belong
/// to another principal.
pub(super) struct Unusable {
    pub(super) why: String,
    pub(super) hint: Option<&'static str>,
}

impl<T: Into<String>> From<T> for Unusable {
    fn from(why: T) -> Self {
        let why = why.into();
        Self { why, hint: None }
    }
}

/// A source of the chain: its name in messages, and the function that looks for it.
pub(super) type ChainSource<'s, S> = (&'static str, &'s dyn Fn() -> Result<Lookup<S>, Unusable>);

impl CredentialChain {
    /// Creates a chain. The `text_variables` must be UTF-8: one that is not would count as unset, and the
    /// chain could end at another principal.
    pub(super) fn new(
        provider: Provider,
        hint: &'static str,
        env: &ProviderEnv<'_>,
        text_variables: &[&'static str],
    ) -> Result<Self, Error> {
        let chain = Self {
            provider,
            skipped: Vec::new(),
            hint,
        };
        let is_utf8 = |name: &str| env.value(name).is_none_or(|value| value.to_str().is_some());
        match text_variables.iter().find(|name| !is_utf8(name)) {
            Some(name) => Err(chain.error(name, "it is not UTF-8", None)),
            None => Ok(chain),
        }
    }

    /// Returns the first source that is configured.
    ///
    /// # Errors
    /// `identity` if none is, or the first one cannot be used.
    pub(super) fn select<S>(
        mut self,
        sources: &[ChainSource<'_, S>],
    ) -> Result<(S, SelectedSource), Error> {
        for (nth, (source_name, look_up)) in sources.iter().enumerate() {
            match look_up() {
                Ok(Lookup::Found(source, name)) => {
                    let selected = SelectedSource {
                        chain: self,
                        name,
                        is_last: nth + 1 == sources.len(),
                    };
                    return Ok((source, selected));
                }
                Ok(Lookup::NotConfigured(why)) => {
                    self.skipped.push(format!("{source_name}: {why}"));
                }
                Err(Unusable { why, hint }) => return Err(self.error(source_name, &why, hint)),
            }
        }
        Err(Error::NoCloudCredentials {
            provider: self.provider.name(),
            attempts: self.skipped,
            hint: Some(self.hint),
            is_outage: false,
        })
    }

    /// The error about one source, which also lists the skipped ones.
    pub(super) fn error(&self, source_name: &str, why: &str, hint: Option<&'static str>) -> Error {
        let mut attempts = self.skipped.clone();
        attempts.push(format!("{source_name}: {why}"));
        Error::NoCloudCredentials {
            provider: self.provider.name(),
            attempts,
            hint,
            is_outage: false,
        }
    }
}

/// Reads a file that holds a token.
///
/// # Errors
/// The path and the reason.
pub(super) fn read_token_file(path: &Path) -> Result<SecretBytes, String> {
    // A JSON web token (RFC 7519 §3.1) instead of the path of its file must not be shown.
    if path.as_os_str().as_bytes().starts_with(b"eyJ") {
        return Err("a token is given instead of the path of its file".to_owned());
    }
    let unusable = |why: &str| format!("{}: {why}", path.display());
    let unreadable = |error| unusable(&os_error_text(&error));
    let file = open_regular(path).map_err(unreadable)?;
    let file = file.ok_or_else(|| unusable("it is not a regular file"))?;
    let bytes = read_bounded(file, MAX_FILE_SIZE).map_err(unreadable)?;
    match bytes.expose() {
        long if long.len() as u64 > MAX_FILE_SIZE => Err(unusable(&format!(
            "it is longer than {MAX_FILE_SIZE} bytes"
        ))),
        blank if blank.trim_ascii().is_empty() => Err(unusable("it is empty")),
        _ => Ok(bytes),
    }
}
