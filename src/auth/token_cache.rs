#![forbid(unsafe_code)]
//! The token cache of a watch: a memfd shared by the workers, holding the token and the digest key.
//!
//! The watcher creates the file empty and never reads it. The first process that fetches fills it, and
//! each standby reads it. It is closed at the exec, so the command never has it, and the watcher is not
//! dumpable, so only root can open it through `/proc`. With a stored token it is sealed against
//! changes; with `--identity` a standby that mints a new token replaces the old one.
//!
//! # Layout
//!
//! 1. The length of the fields, in [`LENGTH_SIZE`] bytes.
//! 2. The fields, each after its length ([`length_prefixed`]): the digest key, the token if its source cannot
//!    be read again, and the values of the token's variables if the command inherits them.
//! 3. With `--identity`, the minted token: a hash of the rest, the times to renew it and when it expires,
//!    and the token itself.

use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use super::{Auth, LoadContext, OnMinted};
use crate::config::AuthSource;
use crate::error::{Error, os_error_text};
use crate::log::Log;
use crate::process::env_block::EnvBlock;
use crate::process::{SingleThreaded, secret_file, since_boot};
use crate::secret::SecretBytes;
use crate::secret::length_prefixed::{self, LENGTH_SIZE, encode_length};

/// The length of the digest key in bytes, which is that of a SHA-256 hash.
const KEY_SIZE: usize = 32;

/// The size of the minted token's hash, in bytes.
const HASH_SIZE: usize = 32;

/// An upper bound on the size of a minted token with its hash and times, in bytes.
const MAX_MINTED_SIZE: usize = 4096;

pub(crate) struct TokenCache(File);

/// The token or login, and the digest key, that a process of a watch starts with.
pub(crate) struct CachedAuth<'k> {
    pub(crate) auth: Auth<'k>,
    /// The key of the plan's digest.
    pub(crate) digest_key: SecretBytes,
}

/// How old a minted token is that has not expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    /// Less than two thirds of its lifetime have passed.
    Fresh,
    RenewalDue,
}

impl TokenCache {
    /// Creates the file, empty.
    ///
    /// # Errors
    /// `exec` if the system cannot create a memfd.
    pub(crate) fn new() -> Result<Self, Error> {
        secret_file::create_memfd(c"phase-run")
            .map(Self)
            .map_err(cache_error)
    }

    /// Loads the token: from its source if this is the first process or the source can be read again, and
    /// otherwise from the cache. With `keep_token`, also restores the values of the token's variables, which
    /// the watcher has wiped.
    ///
    /// # Errors
    /// `token` if it cannot be read or is not valid, `identity` if the machine has no cloud credentials,
    /// `exec` if the cache cannot be read or written.
    pub(crate) fn load_auth<'k>(
        &self,
        source: &AuthSource,
        keep_token: bool,
        single_threaded: &SingleThreaded,
        inherited: &mut EnvBlock,
        on_minted: OnMinted<'k>,
        log: &dyn Log,
    ) -> Result<CachedAuth<'k>, Error> {
        let mut fields = self.read_fields().map_err(cache_error)?;
        let is_first_start = fields.is_empty();
        if let [_, _, values @ ..] = fields.as_slice() {
            inherited.restore_token_variables(values.iter().map(SecretBytes::expose));
        }
        let context = LoadContext {
            single_threaded,
            inherited,
            log,
        };
        let (digest_key, token) = match fields.as_mut_slice() {
            [] => self.fill(source, keep_token, context)?,
            [digest_key, token, ..] => (mem::take(digest_key), mem::take(token)),
            [_] => return Err(cache_error(io::ErrorKind::UnexpectedEof.into())),
        };
        let auth = match source {
            AuthSource::Token(source) if token.expose().is_empty() => {
                Auth::Token(source.read_again(context, is_first_start)?)
            }
            AuthSource::Token(source) => Auth::Token(source.parse(&token)?),
            AuthSource::Identity(identity) => match self.load_minted() {
                Some((token, Freshness::Fresh)) => Auth::Token(identity.parse_minted(&token)?),
                due => {
                    let mut login = identity.prepare_login(context.inherited, on_minted)?;
                    let previous = due.map(|(token, _)| identity.parse_minted(&token));
                    login.previous = previous.transpose()?;
                    Auth::Identity(Box::new(login))
                }
            },
        };
        Ok(CachedAuth { auth, digest_key })
    }

    /// Fills the empty cache. Returns the digest key, and the token if its source cannot be read again.
    fn fill(
        &self,
        source: &AuthSource,
        keep_token: bool,
        context: LoadContext<'_>,
    ) -> Result<(SecretBytes, SecretBytes), Error> {
        let token = match source {
            AuthSource::Token(source) if !source.can_be_read_again() => {
                source.read_bytes(context)?
            }
            AuthSource::Token(_) | AuthSource::Identity(_) => SecretBytes::default(),
        };
        let mut digest_key = vec![0; KEY_SIZE];
        SystemRandom::new()
            .fill(&mut digest_key)
            .map_err(|_| cache_error(io::Error::other("no random numbers are available")))?;
        let digest_key = SecretBytes::new(digest_key);
        let values = context.inherited.token_variable_values();
        let values = values.filter(|_| keep_token);
        let fields = [digest_key.expose(), token.expose()]
            .into_iter()
            .chain(values);
        self.write_fields(fields).map_err(cache_error)?;
        if let AuthSource::Token(_) = source {
            secret_file::add_seals(&self.0).map_err(cache_error)?;
        }
        Ok((digest_key, token))
    }

    fn write_fields<'f>(&self, fields: impl Iterator<Item = &'f [u8]>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for field in fields {
            length_prefixed::push(&mut bytes, field);
        }
        secret_file::check_size_limit(LENGTH_SIZE + bytes.len())?;
        self.0.write_all_at(&encode_length(bytes.len()), 0)?;
        self.0.write_all_at(&bytes, LENGTH_SIZE as u64)
    }

    /// Reads the fields; there are none if nobody has filled the cache.
    fn read_fields(&self) -> io::Result<Vec<SecretBytes>> {
        let mut fields = Vec::new();
        let Some(length) = self.fields_length()? else {
            return Ok(fields);
        };
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, LENGTH_SIZE as u64)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let field = length_prefixed::take(&mut rest).ok_or(io::ErrorKind::UnexpectedEof)?;
            fields.push(SecretBytes::new(field.to_vec()));
        }
        Ok(fields)
    }

    /// The length of the fields in bytes; `None` if nobody has filled the cache.
    fn fields_length(&self) -> io::Result<Option<usize>> {
        let mut length = [0; LENGTH_SIZE];
        match self.0.read_exact_at(&mut length, 0) {
            Ok(()) => usize::try_from(u64::from_le_bytes(length))
                .map(Some)
                .map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Loads the minted token, if there is one that has not expired.
    fn load_minted(&self) -> Option<(SecretBytes, Freshness)> {
        let mut bytes = vec![0; MAX_MINTED_SIZE];
        let length = self.0.read_at(&mut bytes, self.minted_offset()?).ok()?;
        let (hash, rest) = bytes.get(..length)?.split_at_checked(HASH_SIZE)?;
        if digest(&SHA256, rest).as_ref() != hash {
            return None;
        }
        let (renew_at, rest) = rest.split_first_chunk()?;
        let (expires_at, token) = rest.split_first_chunk()?;
        let time = |millis: &[u8; 8]| Duration::from_millis(u64::from_le_bytes(*millis));
        let freshness = match since_boot() {
            now if now < time(renew_at) => Freshness::Fresh,
            now if now < time(expires_at) => Freshness::RenewalDue,
            _ => return None,
        };
        Some((SecretBytes::new(token.to_vec()), freshness))
    }

    /// Stores a minted token in place of the last one. [`Self::load_minted`] ignores a token whose write was
    /// interrupted by a signal: its hash is wrong.
    pub(crate) fn store_minted(&self, token: &SecretBytes, lifetime: Duration) {
        let after = |part: Duration| {
            let millis = since_boot().saturating_add(part).as_millis();
            // A lifetime that does not fit is practically unlimited.
            u64::try_from(millis).unwrap_or(u64::MAX).to_le_bytes()
        };
        let (renew_at, expires_at) = (after(lifetime / 3 * 2), after(lifetime));
        let rest = [&renew_at, &expires_at, token.expose()].concat();
        let hash = digest(&SHA256, &rest);
        let bytes = [hash.as_ref(), &rest].concat();
        if let Some(offset) = self.minted_offset() {
            // If it fails, the next standby mints its own token.
            let _ = self.0.set_len(offset);
            let size = usize::try_from(offset).unwrap_or(usize::MAX);
            if secret_file::check_size_limit(size.saturating_add(bytes.len())).is_ok() {
                let _ = self.0.write_all_at(&bytes, offset);
            }
        }
    }

    /// Removes the minted token, after Phase has refused it.
    pub(crate) fn clear_minted(&self) {
        if let Some(offset) = self.minted_offset() {
            // If it fails, the token is rejected and removed once more.
            let _ = self.0.set_len(offset);
        }
    }

    /// Where the minted token starts; `None` if nobody has filled the cache.
    fn minted_offset(&self) -> Option<u64> {
        Some((LENGTH_SIZE + self.fields_length().ok()??) as u64)
    }
}

fn cache_error(error: io::Error) -> Error {
    Error::SuperviseFailed {
        why: format!("the token cache: {}", os_error_text(&error)),
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(3600);

    fn cache() -> TokenCache {
        let cache = TokenCache::new().unwrap();
        cache.write_fields([&b"key"[..], b""].into_iter()).unwrap();
        cache
    }

    fn stored(cache: &TokenCache, text: &[u8], lifetime: Duration) -> Option<(Vec<u8>, Freshness)> {
        cache.store_minted(&SecretBytes::new(text.to_vec()), lifetime);
        let (token, freshness) = cache.load_minted()?;
        Some((token.expose().to_vec(), freshness))
    }

    #[test]
    fn load_returns_the_last_stored_token() {
        let cache = cache();
        assert!(cache.load_minted().is_none());
        for token in [&b"a long token"[..], b"short", b"a longer token"] {
            let fresh = Some((token.to_vec(), Freshness::Fresh));
            assert_eq!(stored(&cache, token, LIFETIME), fresh);
        }
        assert_eq!(stored(&cache, b"expired", Duration::ZERO), None);
        assert!(stored(&cache, b"valid", LIFETIME).is_some());
        cache.clear_minted();
        assert!(cache.load_minted().is_none());
        assert_eq!(cache.read_fields().unwrap().len(), 2);
    }

    #[test]
    fn interrupted_store_leaves_no_token() {
        let cache = cache();
        let _ = stored(&cache, b"token", LIFETIME);
        let end = cache.0.metadata().unwrap().len();
        for length in cache.minted_offset().unwrap()..end {
            let _ = stored(&cache, b"token", LIFETIME);
            cache.0.set_len(length).unwrap();
            assert!(cache.load_minted().is_none(), "{length}");
        }
        // Half of a token over another one.
        let _ = stored(&cache, b"token", LIFETIME);
        cache.0.write_all_at(b"b", end - 5).unwrap();
        assert!(cache.load_minted().is_none());
    }
}
