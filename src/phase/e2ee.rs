#![forbid(unsafe_code)]
//! End-to-end encryption: fetches environments that the server cannot decrypt, and decrypts them.
//!
//! The account's private key is the XOR of two key shares: share 0 is part of the token, share 1 is
//! stored by the server, wrapped with another part of the token. The private key decrypts the seed
//! of an environment, and the key pair derived from that seed decrypts each field of each row.

use std::num::NonZero;
use std::thread;

use super::app_directory::{App, AppDirectory, Environment, EnvironmentKey};
use super::crypto::{DecryptError, KeyPair, decrypt_aead, key_from_any_hex, key_from_lower_hex};
use super::lease::{self, LeaseExpiry};
use super::response::Endpoint;
use super::rows::{CowStr, Override, SecretRows, StaticRow};
use super::{ServerFilter, environment_label};
use crate::auth::Credential;
use crate::config::DynamicMode;
use crate::error::Error;
use crate::secret::{Secret, SecretBytes};

/// The fewest rows per thread. They take about 10 ms to decrypt.
const MIN_ROWS_PER_THREAD: usize = 64;

/// The most threads to decrypt with. More would only wait for memory.
const MAX_THREADS: usize = 8;

/// The stack of a thread that decrypts, in bytes.
const THREAD_STACK_BYTES: usize = 256 << 10;

/// Fetches and decrypts environments with the key pair of the token's account.
pub(super) struct E2eeClient<'a> {
    pub(super) app_directory: AppDirectory<'a>,
    account: KeyPair,
}

/// The secrets of an environment, decrypted.
pub(super) struct DecryptedEnvironment {
    pub(super) secrets: Vec<DecryptedSecret>,
    /// Whether all secrets were requested, without a filter.
    pub(super) is_complete: bool,
    /// The variables of the dynamic secrets; their values are empty if nothing was leased.
    pub(super) dynamic_secrets: Vec<Secret>,
    /// When the first lease expires.
    pub(super) lease: Option<LeaseExpiry>,
}

/// A static secret, decrypted.
pub(super) struct DecryptedSecret {
    pub(super) secret: Secret,
    /// The shared value, if a personal override replaces it. References resolve to this one.
    pub(super) shared_value: Option<SecretBytes>,
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

    /// Fetches an environment and decrypts it.
    ///
    /// # Errors
    /// `decrypt` with the name of what cannot be decrypted; those of a request, the error that the
    /// server responds with, and those of [`lease::secrets_from_rows`].
    pub(super) fn fetch(
        &self,
        app: &App,
        environment: &Environment,
        server_filter: &ServerFilter<'_>,
        dynamic_mode: DynamicMode,
    ) -> Result<DecryptedEnvironment, Error> {
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
        let tags = server_filter.tags.as_deref();
        let tags = tags.filter(|text| fits_header(text));
        headers.extend(tags.map(|tags| ("tags", tags)));
        let client = &self.app_directory.client;
        let response = client.get(&client.host().secrets_url(), &[], &headers)?;
        let endpoint = Endpoint::Secrets {
            environment_label: &environment_label,
            leases: dynamic_mode.takes_leases(),
        };
        let rows: SecretRows<'_, StaticRow<'_, CowStr<'_>>, CowStr<'_>> =
            response.json_if_ok(endpoint, "a list of encrypted secrets")?;
        let decrypt = |CowStr(field): CowStr<'_>, name: &str| {
            key_pair
                .decrypt_field(&field)
                .map_err(|why| Error::DecryptionFailed {
                    what: format!("the lease of {name} in {environment_label}"),
                    why,
                })
        };
        let (dynamic_secrets, lease) = lease::secrets_from_rows(
            rows.dynamic_rows,
            dynamic_mode,
            &environment_label,
            client.log(),
            decrypt,
        )?;
        Ok(DecryptedEnvironment {
            secrets: decrypt_rows(&rows.secrets, &key_pair, &environment_label)?,
            is_complete: folder.is_none() && tags.is_none(),
            dynamic_secrets,
            lease,
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

/// Decrypts the rows and keeps their order. Splits many rows among several threads.
pub(super) fn decrypt_rows(
    rows: &[StaticRow<'_, CowStr<'_>>],
    key_pair: &KeyPair,
    environment_label: &str,
) -> Result<Vec<DecryptedSecret>, Error> {
    let decrypt_chunk = |rows: &[StaticRow<'_, CowStr<'_>>]| {
        let decrypted = rows
            .iter()
            .map(|row| decrypt_row(row, key_pair, environment_label));
        decrypted.collect::<Result<Vec<_>, Error>>()
    };
    let useful_threads = (rows.len() / MIN_ROWS_PER_THREAD).min(MAX_THREADS);
    let threads = match useful_threads {
        0 | 1 => 1,
        useful => thread::available_parallelism()
            .map_or(1, NonZero::get)
            .min(useful),
    };
    if threads == 1 {
        return decrypt_chunk(rows);
    }
    let (first_chunk, others) = rows.split_at(rows.len().div_ceil(threads));
    thread::scope(|scope| {
        let spawned: Vec<_> = others
            .chunks(first_chunk.len())
            .map(|chunk| {
                let thread = thread::Builder::new().stack_size(THREAD_STACK_BYTES);
                (chunk, thread.spawn_scoped(scope, || decrypt_chunk(chunk)))
            })
            .collect();
        let mut secrets = decrypt_chunk(first_chunk)?;
        for (chunk, thread) in spawned {
            let more = match thread {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // No more threads are available: decrypt the chunk here.
                Err(_) => decrypt_chunk(chunk),
            };
            secrets.extend(more?);
        }
        Ok(secrets)
    })
}

fn decrypt_row(
    row: &StaticRow<'_, CowStr<'_>>,
    key_pair: &KeyPair,
    environment_label: &str,
) -> Result<DecryptedSecret, Error> {
    let undecryptable = |what: String, why: DecryptError| Error::DecryptionFailed {
        what: format!("{what} in {environment_label}"),
        why,
    };
    let key = key_pair
        .decrypt_field(&row.key)
        .and_then(|key| match str::from_utf8(key.expose()) {
            Ok(key) => Ok(key.to_owned()),
            Err(_) => Err("it is not UTF-8"),
        })
        .map_err(|why| undecryptable(format!("the key of the secret {}", row.id), why))?;
    let decrypt_value = |CowStr(field): &CowStr<'_>| {
        key_pair
            .decrypt_field(field)
            .map_err(|why| undecryptable(format!("the value of {key}"), why))
    };
    let shared_value = decrypt_value(&row.value)?;
    let (value, shared_value) = match &row.personal_override {
        Some(Override {
            value,
            is_active: true,
        }) => (decrypt_value(value)?, Some(shared_value)),
        _ => (shared_value, None),
    };
    Ok(DecryptedSecret {
        secret: Secret {
            key,
            value,
            folder: row.folder.clone(),
            tags: row.tags.clone(),
            secret_type: row.secret_type.clone(),
            dynamic_secret_name: None,
        },
        shared_value,
    })
}
