#![forbid(unsafe_code)]
//! Which variables a restart of a watch changes, for `-v`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::log::{Event, Log};
use crate::process::secret_file;
use crate::secret::length_prefixed;

/// The names and keyed digests of what the command has been started with: a memfd that the workers of a
/// watch share. Each worker reads what the last one has stored, and the watcher never reads it. It is
/// closed at the exec.
pub(crate) struct ChangeRecord(File);

impl ChangeRecord {
    /// Creates the record, empty. Without a memfd there is none: it only serves the log.
    pub(crate) fn new() -> Option<Self> {
        secret_file::create_memfd(c"phase-run").ok().map(Self)
    }

    /// Logs how these entries differ from the recorded ones, if they do.
    pub(crate) fn log_changes(&self, new: &[Entry], log: &dyn Log) {
        let Ok(old) = self.read() else {
            return;
        };
        if old == new {
            return;
        }
        let [old_digests, new_digests] = [&old, new].map(|entries| {
            let entries = entries.iter().map(|(name, digest)| (name, digest));
            entries.collect::<HashMap<&String, &Vec<u8>>>()
        });
        let names = |of: &[Entry], is_listed: &dyn Fn(&Entry) -> bool| -> Vec<String> {
            let listed = of.iter().filter(|entry| is_listed(entry));
            listed.map(|(name, _)| name.clone()).collect()
        };
        let added = names(new, &|(name, _)| !old_digests.contains_key(name));
        let removed = names(&old, &|(name, _)| !new_digests.contains_key(name));
        let changed = names(new, &|(name, digest)| {
            let old = old_digests.get(name);
            old.is_some_and(|old| *old != digest)
        });
        log.log(Event::SecretsChanged {
            added: &added,
            removed: &removed,
            changed: &changed,
        });
    }

    /// Records the entries of the command that is about to start. If that fails, the next change is logged
    /// incompletely.
    pub(crate) fn store(&self, entries: &[Entry]) {
        let mut bytes = Vec::new();
        for (name, digest) in entries {
            length_prefixed::push(&mut bytes, name.as_bytes());
            length_prefixed::push(&mut bytes, digest);
        }
        let _ = self.0.set_len(0);
        if secret_file::check_size_limit(bytes.len()).is_ok() {
            let _ = self.0.write_all_at(&bytes, 0);
        }
    }

    fn read(&self) -> io::Result<Vec<Entry>> {
        let size = usize::try_from(self.0.metadata()?.len()).unwrap_or_default();
        let mut bytes = vec![0; size];
        self.0.read_exact_at(&mut bytes, 0)?;
        let mut rest = bytes.as_slice();
        let mut entries = Vec::new();
        while let Some(name) = length_prefixed::take(&mut rest) {
            let digest = length_prefixed::take(&mut rest).unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            entries.push((name, digest.to_vec()));
        }
        Ok(entries)
    }
}

/// The name of a variable, and the digest of what it gets.
pub(crate) type Entry = (String, Vec<u8>);
