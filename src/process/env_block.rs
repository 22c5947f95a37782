#![forbid(unsafe_code)]
//! What phase-run was started with, as bytes: not all of it is UTF-8, not all has a `=`.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use crate::secret::is_token_variable;

/// Entries in the order of the block: not all are UTF-8, not all have a `=`, names may repeat.
#[derive(Debug, Default)]
pub(crate) struct EnvBlock(Vec<EnvEntry>);

impl EnvBlock {
    pub(crate) fn new(entries: Vec<EnvEntry>) -> Self {
        Self(entries)
    }

    /// A variable's value; of a name that stands twice the first counts, as for getenv(3).
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0
            .iter()
            .find_map(|entry| entry.value_of(name.as_bytes()))
            .map(OsStr::from_bytes)
    }

    /// systemd names the process that it started in these (sd_listen_fds(3), sd_watchdog_enabled(3));
    /// of a supervised command that is the parent.
    pub(crate) fn rewrite_systemd_pids(&mut self, parent: u32, own: u32) {
        for name in ["LISTEN_PID", "WATCHDOG_PID"] {
            let named = parent.to_string();
            for entry in &mut self.0 {
                if entry.value_of(name.as_bytes()) == Some(named.as_bytes())
                    && let Some(renamed) = EnvEntry::new(name, own.to_string().as_bytes())
                {
                    *entry = renamed;
                }
            }
        }
    }

    /// The values of all `PHASE_*TOKEN*` entries, in their order.
    pub(crate) fn token_values(&self) -> impl Iterator<Item = &[u8]> {
        let tokens = self.0.iter().filter(|entry| entry.is_token());
        tokens.map(|entry| entry.value())
    }

    /// Wipes these values; names stay.
    pub(crate) fn wipe_tokens(&mut self) {
        for entry in self.0.iter_mut().filter(|entry| entry.is_token()) {
            entry.set_value(b"");
        }
    }

    /// Puts them back, in their order.
    pub(crate) fn restore_tokens<'a>(&mut self, values: impl IntoIterator<Item = &'a [u8]>) {
        let tokens = self.0.iter_mut().filter(|entry| entry.is_token());
        for (entry, value) in tokens.zip(values) {
            entry.set_value(value);
        }
    }

    pub(crate) fn entries(&self) -> &[EnvEntry] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn into_entries(self) -> Vec<EnvEntry> {
        self.0
    }
}

/// What the kernel takes at an exec, in bytes (execve(2), «Limits on size of arguments and
/// environment»).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExecLimits {
    /// One string with its NUL.
    pub(crate) string: usize,
    /// All strings, and a pointer for each.
    pub(crate) total: usize,
}

/// One string of the block, `NAME=value` with its NUL. It cannot hold another NUL.
pub(crate) struct EnvEntry(CString);

impl EnvEntry {
    pub(crate) fn from_c_str(text: &CStr) -> Self {
        Self(text.to_owned())
    }

    /// `NAME=value`; none where one of them holds a NUL.
    pub(crate) fn new(name: &str, value: &[u8]) -> Option<Self> {
        Self::joined(name.as_bytes(), value)
    }

    fn joined(name: &[u8], value: &[u8]) -> Option<Self> {
        // Room for the NUL, so that `CString::new` copies nothing.
        let mut text = Vec::with_capacity(name.len() + value.len() + 2);
        text.extend_from_slice(name);
        text.push(b'=');
        text.extend_from_slice(value);
        CString::new(text).ok().map(Self)
    }

    /// What stands before the first `=`; none for an entry that has none or starts with it.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        let bytes = self.0.to_bytes();
        let end = bytes.iter().position(|byte| *byte == b'=')?;
        bytes.get(..end).filter(|name| !name.is_empty())
    }

    fn is_token(&self) -> bool {
        self.name().is_some_and(is_token_variable)
    }

    /// What stands behind the name and its `=`.
    fn value(&self) -> &[u8] {
        let name = self.name().unwrap_or_default();
        self.value_of(name).unwrap_or_default()
    }

    fn set_value(&mut self, value: &[u8]) {
        if let Some(entry) = Self::joined(self.name().unwrap_or_default(), value) {
            *self = entry;
        }
    }

    /// The value, if this is the entry of that name.
    pub(crate) fn value_of(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.to_bytes().strip_prefix(name)?.strip_prefix(b"=")
    }

    /// With the NUL.
    pub(crate) fn size(&self) -> usize {
        self.0.to_bytes_with_nul().len()
    }
}

impl AsRef<CStr> for EnvEntry {
    fn as_ref(&self) -> &CStr {
        &self.0
    }
}

impl fmt::Debug for EnvEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(..)")
    }
}
