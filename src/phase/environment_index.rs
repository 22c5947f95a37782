#![forbid(unsafe_code)]
//! The values that references can resolve to, by folder and key. Each is decrypted when a reference needs
//! it.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;

use super::e2ee::{EncryptedEnvironment, EncryptedKey, EncryptedSecret, EnvironmentDecryptor};
use crate::error::Error;
use crate::secret::{Secret, SecretBytes};

/// The shared values of an environment, before anyone needs an index of them.
pub(super) struct SharedValues {
    /// The folder, the key and the value of each static secret.
    entries: Vec<(String, EncryptedKey, IndexedValue)>,
    decryptor: Rc<EnvironmentDecryptor>,
    /// Whether these are all secrets of the environment, rather than those that a filter selected.
    is_complete: bool,
}

/// The shared values of an environment by folder and key.
#[derive(Default)]
pub(super) struct EnvironmentIndex {
    folders: HashMap<String, HashMap<String, IndexedValue>>,
    pub(super) coverage: Coverage,
}

/// How much of an environment an index contains.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Coverage {
    /// All secrets.
    Complete,
    /// The secrets that a filter selected. The rest can be fetched.
    #[default]
    Filtered,
    /// The same, but the account may not read the rest.
    Denied,
    /// The same, but the rest could not be fetched or decrypted when a reference with unusual names
    /// needed it.
    Failed,
}

/// A shared value, which is decrypted when a reference needs it.
pub(super) struct IndexedValue {
    field: Arc<String>,
    decryptor: Rc<EnvironmentDecryptor>,
    decrypted: OnceCell<Rc<SecretBytes>>,
    /// Whether a personal override replaces it where it is selected.
    pub(super) is_overridden: bool,
    /// Whether its folder has several secrets of its key, so that no reference can mean this one.
    pub(super) is_duplicate: bool,
    /// While references are resolved: the index in the trail of a value that this one forms a cycle with.
    pub(super) cyclic_with: Cell<Option<usize>>,
}

impl SharedValues {
    pub(super) fn new(fetched: &EncryptedEnvironment) -> Self {
        let entry = |secret: &EncryptedSecret| {
            let value = IndexedValue {
                field: secret.value.shared_field()?,
                decryptor: Rc::clone(&fetched.decryptor),
                decrypted: OnceCell::new(),
                is_overridden: secret.value.is_overridden(),
                is_duplicate: false,
                cyclic_with: Cell::new(None),
            };
            Some((secret.folder.clone(), secret.key.clone(), value))
        };
        let is_static = |secret: &&EncryptedSecret| secret.dynamic_secret_name.is_none();
        let secrets = fetched.secrets.iter().filter(is_static);
        Self {
            entries: secrets.filter_map(entry).collect(),
            decryptor: Rc::clone(&fetched.decryptor),
            is_complete: fetched.is_complete,
        }
    }
}

impl EnvironmentIndex {
    /// Decrypts the keys. One that cannot be decrypted is left out: no reference can name it.
    pub(super) fn new(values: SharedValues) -> Self {
        let keys: Vec<&EncryptedKey> = values.entries.iter().map(|(_, key, _)| key).collect();
        let keys = values.decryptor.decrypt_readable_keys(&keys);
        let mut folders: HashMap<String, HashMap<String, IndexedValue>> = HashMap::new();
        for ((folder, _, value), key) in values.entries.into_iter().zip(keys) {
            let Some(key) = key else { continue };
            match folders.entry(folder).or_default().entry(key) {
                Entry::Vacant(entry) => drop(entry.insert(value)),
                Entry::Occupied(mut entry) => entry.get_mut().is_duplicate = true,
            }
        }
        Self {
            folders,
            coverage: match values.is_complete {
                true => Coverage::Complete,
                false => Coverage::Filtered,
            },
        }
    }

    /// Finds the value of the secret with this folder and key.
    pub(super) fn find(&self, folder: &str, key: &str) -> Option<&IndexedValue> {
        self.folders.get(folder)?.get(key)
    }

    /// Takes over the values of these secrets, which are decrypted already.
    pub(super) fn reuse_decrypted<'s>(&mut self, secrets: impl Iterator<Item = &'s Secret>) {
        for secret in secrets {
            let folder = self.folders.get_mut(&secret.folder);
            let value = folder.and_then(|folder| folder.get_mut(&secret.key));
            let is_this = |value: &&mut IndexedValue| !value.is_overridden && !value.is_duplicate;
            if secret.dynamic_secret_name.is_none()
                && let Some(value) = value.filter(is_this)
            {
                // Without memory for a copy, it is decrypted again if a reference needs it.
                let Some(copy) = secret.value.try_copy() else {
                    continue;
                };
                value.decrypted = OnceCell::from(Rc::new(copy));
                // The ciphertext is not needed any more, and may be large.
                value.field = Arc::default();
            }
        }
    }
}

impl IndexedValue {
    /// Decrypts the value. `key` is for messages.
    pub(super) fn decrypt(&self, key: &str) -> Result<Rc<SecretBytes>, Error> {
        if let Some(value) = self.decrypted.get() {
            return Ok(Rc::clone(value));
        }
        let value = Rc::new(self.decryptor.decrypt_value(key, &self.field)?);
        Ok(Rc::clone(self.decrypted.get_or_init(|| value)))
    }
}
