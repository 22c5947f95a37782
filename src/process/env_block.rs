#![forbid(unsafe_code)]
//! Environment blocks as raw bytes.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use crate::secret::is_token_variable;

/// The entries of an environment in their order. An entry need not be UTF-8 and need not contain
/// `=`, and a name may occur twice (environ(7)).
#[derive(Debug, Default)]
pub(crate) struct EnvBlock(Vec<EnvEntry>);

impl EnvBlock {
    /// Creates a block from its entries.
    pub(crate) fn new(entries: Vec<EnvEntry>) -> Self {
        Self(entries)
    }

    /// Returns the value of a variable. If the name occurs twice, the first one counts, as for
    /// getenv(3).
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0
            .iter()
            .find_map(|entry| entry.value_if_named(name.as_bytes()))
            .map(OsStr::from_bytes)
    }

    /// Replaces the supervisor's pid by the command's in LISTEN_PID and WATCHDOG_PID. systemd sets
    /// both to the pid of the process that it has started (sd_listen_fds(3),
    /// sd_watchdog_enabled(3)).
    #[expect(clippy::expect_used, reason = "names and pids are ours")]
    pub(crate) fn rewrite_systemd_pids(&mut self, supervisor_pid: u32, command_pid: u32) {
        let supervisor_pid = supervisor_pid.to_string();
        let command_pid = command_pid.to_string();
        for name in ["LISTEN_PID", "WATCHDOG_PID"] {
            for entry in &mut self.0 {
                if entry.value_if_named(name.as_bytes()) == Some(supervisor_pid.as_bytes()) {
                    *entry = EnvEntry::new(name, command_pid.as_bytes())
                        .expect("names and pids contain no NUL");
                }
            }
        }
    }

    /// Returns the values of all token variables (`PHASE_*TOKEN*`) in their order.
    pub(crate) fn token_variable_values(&self) -> impl Iterator<Item = &[u8]> {
        let tokens = self.0.iter().filter(|entry| entry.is_token());
        tokens.filter_map(EnvEntry::value)
    }

    /// Copies the entries that are no token variables.
    pub(crate) fn without_token_variables(&self) -> Self {
        let entries = self.0.iter().filter(|entry| !entry.is_token());
        Self(
            entries
                .map(|entry| EnvEntry::from_c_str(entry.as_ref()))
                .collect(),
        )
    }

    /// Empties the values of the token variables, and zeroes the memory they were in.
    pub(crate) fn wipe_token_variables(&mut self) {
        for entry in self.0.iter_mut().filter(|entry| entry.is_token()) {
            entry.set_value(b"");
        }
    }

    /// Restores the values of the token variables, in the order of
    /// [`EnvBlock::token_variable_values`].
    pub(crate) fn restore_token_variables<'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a [u8]>,
    ) {
        let tokens = self.0.iter_mut().filter(|entry| entry.is_token());
        for (entry, value) in tokens.zip(values) {
            entry.set_value(value);
        }
    }

    /// Returns the entries in their order.
    pub(crate) fn entries(&self) -> &[EnvEntry] {
        &self.0
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the entries by value.
    pub(crate) fn into_entries(self) -> Vec<EnvEntry> {
        self.0
    }
}

/// The kernel's limits on the arguments and the environment of a program, in bytes (execve(2),
/// "Limits on size of arguments and environment").
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExecLimits {
    /// For one string, its NUL included.
    pub(crate) max_string: usize,
    /// For all strings, and one pointer to each.
    pub(crate) max_total: usize,
}

/// One entry of an environment: a C string, usually `NAME=value`.
pub(crate) struct EnvEntry(CString);

impl EnvEntry {
    /// Copies an entry.
    pub(crate) fn from_c_str(text: &CStr) -> Self {
        Self(text.to_owned())
    }

    /// Creates the entry `NAME=value`. Returns `None` if the name or the value contains NUL.
    pub(crate) fn new(name: &str, value: &[u8]) -> Option<Self> {
        Self::joined(name.as_bytes(), value)
    }

    /// Returns the size in bytes of the entry `NAME=value`, with its NUL.
    pub(crate) fn size_of(name: &str, value: &[u8]) -> usize {
        name.len() + value.len() + "=\0".len()
    }

    fn joined(name: &[u8], value: &[u8]) -> Option<Self> {
        // The capacity includes the `=` and the NUL, so that `CString::new` copies nothing.
        let mut text = Vec::with_capacity(name.len() + value.len() + 2);
        text.extend_from_slice(name);
        text.push(b'=');
        text.extend_from_slice(value);
        CString::new(text).ok().map(Self)
    }

    /// Returns the name, or `None` for an entry that has no `=` or starts with it.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        let bytes = self.0.to_bytes();
        let end = bytes.iter().position(|byte| *byte == b'=')?;
        bytes.get(..end).filter(|name| !name.is_empty())
    }

    fn is_token(&self) -> bool {
        self.name().is_some_and(is_token_variable)
    }

    /// Returns the value of an entry that has a name.
    fn value(&self) -> Option<&[u8]> {
        self.value_if_named(self.name()?)
    }

    /// Replaces the value of an entry that has a name.
    #[expect(clippy::expect_used, reason = "values of tokens come from C strings")]
    fn set_value(&mut self, value: &[u8]) {
        let entry = self.name().and_then(|name| Self::joined(name, value));
        *self = entry.expect("the entry has a name, and the value contains no NUL");
    }

    /// Returns the value if this entry has the given name.
    pub(crate) fn value_if_named(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.to_bytes().strip_prefix(name)?.strip_prefix(b"=")
    }

    /// Returns the length in bytes, with the NUL.
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
        f.write_str("EnvEntry(..)")
    }
}
