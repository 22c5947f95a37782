#![forbid(unsafe_code)]
//! End-to-end encryption: fetches environments that the server cannot decrypt, and decrypts them.
//!
//! Each key and each value is decrypted when it is needed, so that one that cannot be decrypted stops
//! only the commands that use it.
//!
//! The account's private key is the XOR of two key shares: share 0 is part of the token, share 1 is
//! stored by the server, wrapped with another part of the token. The private key decrypts the seed
//! of an environment, and the key pair derived from that seed decrypts each field of each row.

use std::borrow::Cow;
use std::num::NonZero;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::thread;

use super::app_directory::{App, AppDirectory, Environment, EnvironmentKey};
use super::crypto::{DecryptError, KeyPair, decrypt_aead, key_from_any_hex, key_from_lower_hex};
use super::lease::{self, DynamicVariable, LeaseExpiry};
use super::response::Endpoint;
use super::rows::{CowStr, Override, SecretRows, StaticRow, copy_text};
use super::{ServerFilter, environment_label};
use crate::auth::Credential;
use crate::config::DynamicMode;
use crate::error::Error;
use crate::http::RequestPolicy;
use crate::secret::{Secret, SecretBytes, wipe_unused_stack};

/// The most secrets of an environment together with all others that its references need. Decrypting the key
/// and the value of each takes about 1.4 s on one core.
pub(super) const MAX_ENCRYPTED_SECRETS: usize = 10_000;

/// The fewest fields per thread. They take about 5 ms to decrypt.
const MIN_FIELDS_PER_THREAD: usize = 64;

/// The most threads to decrypt with. More would only wait for memory.
const MAX_THREADS: usize = 8;

/// The stack of a thread that decrypts, in bytes.
const THREAD_STACK_BYTES: usize = 256 << 10;

/// Fetches and decrypts environments with the key pair of the token's account.
pub(super) struct E2eeClient<'a> {
    pub(super) app_directory: AppDirectory<'a>,
    account: KeyPair,
}

/// A secret whose key and value have not been decrypted yet.
pub(crate) type EncryptedSecret = Secret<EncryptedKey, EncryptedValue>;

/// The secrets of an environment, as they were fetched.
pub(super) struct EncryptedEnvironment {
    /// Static and dynamic ones.
    pub(super) secrets: Vec<EncryptedSecret>,
    /// Whether all secrets were requested, without a filter.
    pub(super) is_complete: bool,
    /// When the first lease expires.
    pub(super) lease: Option<LeaseExpiry>,
    pub(super) decryptor: Rc<EnvironmentDecryptor>,
    /// The size of the response in bytes.
    pub(super) body_bytes: usize,
}

/// The encrypted key of a secret. It is decrypted at most once, and copies share the result.
#[derive(Clone)]
pub(crate) struct EncryptedKey(Arc<KeyCell>);

struct KeyCell {
    /// What messages call the key, such as `the key of the secret 9a1f0e2c-…`.
    description: String,
    field: Box<str>,
    decrypted: OnceLock<Result<String, DecryptError>>,
}

/// The encrypted value of a secret.
#[derive(Clone)]
pub(crate) struct EncryptedValue {
    /// `None` for a dynamic secret that was not leased.
    field: Option<Arc<String>>,
    /// The shared value, if a personal override replaces it. References resolve to this one.
    shared_field: Option<Arc<String>>,
}

/// Decrypts the keys and values of one environment.
pub(crate) struct EnvironmentDecryptor {
    key_pair: KeyPair,
    /// The environment for messages, such as `Production of shop`.
    label: String,
}

impl<'a> E2eeClient<'a> {
    /// Computes the account's private key from its two shares.
    ///
    /// # Errors
    /// `token` if the token has no keys, or its shares do not match its public key; `decrypt` if the
    /// server's share cannot be decrypted; those of a request.
    pub(super) fn new(
        app_directory: AppDirectory<'a>,
        credential: &Credential,
    ) -> Result<Self, Error> {
        let from = &credential.token_origin;
        let Some([public_key, share_0, unwrap_key]) = credential.token.keys() else {
            return Err(Error::TokenWithoutKeys { from: from.clone() });
        };
        let undecryptable = |why: DecryptError| Error::DecryptionFailed {
            what: format!("the server's key share for the token from {from}"),
            why,
        };
        // A server that sends no share is treated like one that sends an empty share.
        let wrapped = app_directory.wrapped_key_share()?.unwrap_or_default();
        let wrapped = base16ct::lower::decode_vec(wrapped)
            .map_err(|_| undecryptable("it is not in lower-case hex digits"))?;
        let keys = || -> Result<_, DecryptError> {
            let mut private_key = key_from_any_hex(share_0)?;
            let share_1 = decrypt_aead(wrapped, &*key_from_any_hex(unwrap_key)?)?;
            let share_1 = key_from_lower_hex(share_1.expose())?;
            for (byte, other) in private_key.iter_mut().zip(share_1.iter()) {
                *byte ^= other;
            }
            let account = KeyPair::from_private_key(&private_key);
            Ok((account, key_from_any_hex(public_key)?))
        };
        let (account, public_key) = keys().map_err(undecryptable)?;
        match account.has_public_key(&public_key) {
            true => Ok(Self {
                app_directory,
                account,
            }),
            false => Err(Error::TokenKeyMismatch { from: from.clone() }),
        }
    }

    /// Fetches an environment of at most `max_secrets` and decrypts its key pair, but none of its secrets.
    ///
    /// # Errors
    /// `decrypt` if the key pair cannot be decrypted; `protocol` for more secrets; those of a request, the
    /// error that the server responds with, and those of [`lease::variables_from_rows`].
    pub(super) fn fetch(
        &self,
        app: &App,
        environment: &Environment,
        server_filter: &ServerFilter<'_>,
        dynamic_mode: DynamicMode,
        policy: RequestPolicy,
        max_secrets: usize,
    ) -> Result<EncryptedEnvironment, Error> {
        let environment_label = environment_label(&environment.name, app);
        let key = environment.key.as_ref();
        let key = key.ok_or_else(|| Error::DecryptionFailed {
            what: environment_label.clone(),
            why: "the server sent no key for it",
        })?;
        let key_pair = self.environment_key_pair(key, &environment_label)?;
        let dynamic_fields = dynamic_mode.request_fields();
        let mut headers = vec![("environment", key.environment_id.as_str())];
        headers.extend(
            dynamic_fields
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        // A filter that a header cannot carry is only applied by the selection after the fetch.
        let folder = server_filter.folder.filter(|text| fits_header(text));
        headers.extend(folder.map(|folder| ("path", folder)));
        let tags = server_filter.tag_list().filter(|text| fits_header(text));
        headers.extend(tags.as_deref().map(|tags| ("tags", tags)));
        let client = &self.app_directory.client;
        let response =
            client.get_with_policy(&client.host().secrets_url(), &[], &headers, policy)?;
        let endpoint = Endpoint::Secrets {
            environment_label: &environment_label,
            leases: dynamic_mode.takes_leases(),
        };
        let rows: SecretRows<'_, EncryptedSecret> =
            response.json_if_ok(endpoint, "a list of encrypted secrets")?;
        let (variables, lease) = lease::variables_from_rows(
            rows.dynamic_rows,
            dynamic_mode,
            &environment_label,
            |key| {
                Some(
                    str::from_utf8(key_pair.decrypt_field(key).ok()?.expose())
                        .ok()?
                        .to_owned(),
                )
            },
            client.log(),
        )?;
        let mut secrets = rows.secrets;
        secrets.extend(variables.into_iter().map(EncryptedSecret::from));
        if secrets.len() > max_secrets {
            let host = client.host().name().to_owned();
            let why = "more than 10,000 encrypted secrets in the environment and all others that its references need"
                .to_owned();
            let hint = None;
            return Err(Error::UnexpectedResponse { host, why, hint });
        }
        Ok(EncryptedEnvironment {
            secrets,
            is_complete: folder.is_none() && tags.is_none(),
            lease,
            decryptor: Rc::new(EnvironmentDecryptor::new(key_pair, environment_label)),
            body_bytes: response.body_bytes(),
        })
    }

    /// Decrypts the environment's seed and derives its key pair.
    fn environment_key_pair(
        &self,
        key: &EnvironmentKey,
        environment_label: &str,
    ) -> Result<KeyPair, Error> {
        let undecryptable = |why: DecryptError| Error::DecryptionFailed {
            what: format!("the seed of {environment_label}"),
            why,
        };
        let seed = self.account.decrypt_field(&key.wrapped_seed);
        let seed = seed.map_err(undecryptable)?;
        let seed = key_from_lower_hex(seed.expose()).map_err(undecryptable)?;
        let key_pair = KeyPair::from_seed(&seed);
        let public_key = key_from_lower_hex(key.public_key.as_bytes()).map_err(undecryptable)?;
        match key_pair.has_public_key(&public_key) {
            true => Ok(key_pair),
            false => Err(undecryptable(
                "it does not match the environment's public key",
            )),
        }
    }
}

/// Whether `text` arrives unchanged as the value of an HTTP header: printable ASCII without spaces
/// at its ends.
fn fits_header(text: &str) -> bool {
    let is_printable = |c: char| c.is_ascii_graphic() || c == ' ';
    text.chars().all(is_printable) && text.trim() == text
}

impl EnvironmentDecryptor {
    pub(super) fn new(key_pair: KeyPair, label: String) -> Self {
        Self { key_pair, label }
    }

    /// Decrypts the keys of these secrets.
    ///
    /// # Errors
    /// `decrypt` for the first key that cannot be decrypted or is not UTF-8.
    pub(crate) fn decrypt_keys<V: Sync>(
        &self,
        secrets: Vec<Secret<EncryptedKey, V>>,
    ) -> Result<Vec<Secret<String, V>>, Error> {
        let keys = decrypt_all(&secrets, |secret| {
            let key = secret.key.decrypt(&self.key_pair).map(str::to_owned);
            key.map_err(|why| self.error(&secret.key.0.description, why))
        });
        let secrets = secrets.into_iter().zip(keys);
        secrets
            .map(|(secret, key)| key.map(|key| secret.map_key(|_| key)))
            .collect()
    }

    /// Decrypts the values of these secrets. The value of a dynamic secret that was not leased, and of a key
    /// for which `is_used` is false, is empty.
    ///
    /// # Errors
    /// `decrypt` for the first value that cannot be decrypted.
    pub(crate) fn decrypt_values(
        &self,
        secrets: Vec<Secret<String, EncryptedValue>>,
        is_used: impl Fn(&str) -> bool + Sync,
    ) -> Result<Vec<Secret>, Error> {
        let values = decrypt_all(&secrets, |secret| {
            let field = secret.value.field.as_ref();
            let Some(field) = field.filter(|_| is_used(&secret.key)) else {
                return Ok(SecretBytes::default());
            };
            match &secret.dynamic_secret_name {
                None => self.decrypt_value(&secret.key, field),
                Some(name) => {
                    let value = self.key_pair.decrypt_field(field);
                    value.map_err(|why| self.error(&format!("the lease of {name}"), why))
                }
            }
        });
        let secrets = secrets.into_iter().zip(values);
        secrets
            .map(|(secret, value)| value.map(|value| secret.map_value(|_| value)))
            .collect()
    }

    /// Returns the keys in this order; `None` for one that cannot be decrypted.
    pub(super) fn decrypt_readable_keys(&self, keys: &[&EncryptedKey]) -> Vec<Option<String>> {
        decrypt_all(keys, |key| {
            key.decrypt(&self.key_pair).ok().map(str::to_owned)
        })
    }

    /// Decrypts a value that a reference names by `key`.
    ///
    /// # Errors
    /// `decrypt` if that fails.
    pub(super) fn decrypt_value(&self, key: &str, field: &str) -> Result<SecretBytes, Error> {
        let value = self.key_pair.decrypt_field(field);
        value.map_err(|why| self.error(&format!("the value of {key}"), why))
    }

    fn error(&self, what: &str, why: DecryptError) -> Error {
        Error::DecryptionFailed {
            what: format!("{what} in {}", self.label),
            why,
        }
    }
}

/// Runs `decrypt` on each item and keeps the order. Splits many items among several threads.
fn decrypt_all<T: Sync, D: Send>(items: &[T], decrypt: impl Fn(&T) -> D + Sync) -> Vec<D> {
    let decrypt_chunk = |items: &[T]| items.iter().map(&decrypt).collect::<Vec<D>>();
    let useful_threads = (items.len() / MIN_FIELDS_PER_THREAD).min(MAX_THREADS);
    let threads = match useful_threads {
        0 | 1 => 1,
        useful => thread::available_parallelism()
            .map_or(1, NonZero::get)
            .min(useful),
    };
    if threads == 1 {
        return decrypt_chunk(items);
    }
    let (first_chunk, others) = items.split_at(items.len().div_ceil(threads));
    thread::scope(|scope| {
        let spawned: Vec<_> = others
            .chunks(first_chunk.len())
            .map(|chunk| {
                let thread = thread::Builder::new().stack_size(THREAD_STACK_BYTES);
                let decrypt_and_wipe = || {
                    let decrypted = decrypt_chunk(chunk);
                    // The C library keeps the stack for another thread.
                    wipe_unused_stack();
                    decrypted
                };
                (chunk, thread.spawn_scoped(scope, decrypt_and_wipe))
            })
            .collect();
        let mut decrypted = decrypt_chunk(first_chunk);
        for (chunk, thread) in spawned {
            decrypted.extend(match thread {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // No more threads are available: decrypt the chunk here.
                Err(_) => decrypt_chunk(chunk),
            });
        }
        decrypted
    })
}

impl EncryptedKey {
    fn new(description: String, field: &str) -> Self {
        Self(Arc::new(KeyCell {
            description,
            field: field.into(),
            decrypted: OnceLock::new(),
        }))
    }

    fn decrypt(&self, key_pair: &KeyPair) -> Result<&str, DecryptError> {
        let decrypted = self.0.decrypted.get_or_init(|| {
            let key = key_pair.decrypt_field(&self.0.field)?;
            match str::from_utf8(key.expose()) {
                Ok(key) => Ok(key.to_owned()),
                Err(_) => Err("it is not UTF-8"),
            }
        });
        match decrypted {
            Ok(key) => Ok(key),
            Err(why) => Err(why),
        }
    }
}

impl EncryptedValue {
    /// Whether a personal override replaces the shared value.
    pub(super) fn is_overridden(&self) -> bool {
        self.shared_field.is_some()
    }

    /// The shared value, still encrypted.
    pub(super) fn shared_field(&self) -> Option<Arc<String>> {
        self.shared_field.as_ref().or(self.field.as_ref()).cloned()
    }
}

impl TryFrom<StaticRow<'_>> for EncryptedSecret {
    type Error = &'static str;

    /// Copies the encrypted value out of the response.
    ///
    /// # Errors
    /// Those of [`copy_text`].
    fn try_from(row: StaticRow<'_>) -> Result<Self, &'static str> {
        /// The server's IDs have 36.
        const MAX_ID_CHARS: usize = 100;
        let id: String = row.id.chars().take(MAX_ID_CHARS).collect();
        let description = format!("the key of the secret {id}");
        let shared = Arc::new(copy_text(row.value)?);
        let value = match row.personal_override {
            Some(Override {
                value: CowStr(own),
                is_active: true,
            }) => EncryptedValue {
                field: Some(Arc::new(copy_text(own)?)),
                shared_field: Some(shared),
            },
            _ => EncryptedValue {
                field: Some(shared),
                shared_field: None,
            },
        };
        Ok(Self {
            key: EncryptedKey::new(description, &row.key),
            value,
            folder: row.folder,
            tags: row.tags,
            secret_type: row.secret_type,
            dynamic_secret_name: None,
            keeps_reference: false,
        })
    }
}

impl From<DynamicVariable<'_>> for EncryptedSecret {
    fn from(variable: DynamicVariable<'_>) -> Self {
        let name = variable.dynamic_secret_name.as_deref().unwrap_or_default();
        let description = format!("the lease of {name}");
        variable
            .map_key(|key: Cow<'_, str>| EncryptedKey::new(description, &key))
            .map_value(|value| EncryptedValue {
                field: value.map(|field| Arc::new(field.into_owned())),
                shared_field: None,
            })
    }
}
