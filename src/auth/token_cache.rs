#![forbid(unsafe_code)]
//! What the standbys of a watch need and their watcher must not know: the token, where it cannot be
//! read again, and the digest's key; with `--identity` the token that was got last.
//!
//! The watcher makes the file, in memory and empty, and never reads it. The first process that
//! fetches fills it, each standby reads it. It is closed at the exec, so the command never has it,
//! and a watcher is not dumpable, so nobody but root gets at it by `/proc`. It is sealed, but with
//! `--identity`: there a standby that gets a new token puts it in the place of the old one.

use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use super::credential::{Auth, OnMinted};
use crate::config::AuthSource;
use crate::error::{Error, os_error_text};
use crate::log::Log;
use crate::process::env_block::EnvBlock;
use crate::process::{secret_file, since_boot};
use crate::secret::SecretBytes;

/// As long as the hash of the digest.
const KEY: usize = 32;

/// Before what stays the same, its length; before the token that was got, a hash of the rest.
const LENGTH: usize = 8;
const HASH: usize = 32;

/// More than a token has, in bytes.
const LONGEST: usize = 4096;

pub(crate) struct TokenCache(File);

/// What a process that fetches for a watch starts with.
pub(crate) struct CachedAuth<'k> {
    pub(crate) auth: Auth<'k>,
    /// The key of the plan's digest.
    pub(crate) digest_key: SecretBytes,
}

/// Of a token that is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    /// Less than two thirds of its life are over.
    Fresh,
    RenewalDue,
}

impl TokenCache {
    /// # Errors
    /// `exec` where the system has no such files.
    pub(crate) fn new() -> Result<Self, Error> {
        secret_file::create_memfd(c"phase-run")
            .map(Self)
            .map_err(refused)
    }

    /// Reads the token, from its source in the first process and where that can be read again, else
    /// from here. With `variables`, the token's variables are as they were at the start. `keep` is
    /// for a token that is got.
    ///
    /// # Errors
    /// `token` when it cannot be read or is none, `identity` where none can be got, `exec` when this
    /// file cannot be written.
    pub(crate) fn load_auth<'k>(
        &self,
        access: &AuthSource,
        variables: bool,
        inherited: &mut EnvBlock,
        keep: OnMinted<'k>,
        log: &dyn Log,
    ) -> Result<CachedAuth<'k>, Error> {
        let mut fields = self.fields().map_err(refused)?;
        let (key, token) = match fields.as_mut_slice() {
            [] => self.fill(access, variables, inherited, log)?,
            [key, token, values @ ..] => {
                inherited.restore_tokens(values.iter().map(SecretBytes::expose));
                (mem::take(key), mem::take(token))
            }
            [_] => return Err(refused(io::ErrorKind::UnexpectedEof.into())),
        };
        let auth = match access {
            AuthSource::Token(source) if token.expose().is_empty() => {
                Auth::Token(source.read_again(inherited, log)?)
            }
            AuthSource::Token(source) => Auth::Token(source.parse(&token)?),
            AuthSource::Identity(identity) => match self.load() {
                Some((token, Freshness::Fresh)) => Auth::Token(identity.credential(&token)?),
                older => {
                    let mut login = identity.proof(inherited, keep)?;
                    let previous = older.map(|(token, _)| identity.credential(&token));
                    login.previous = previous.transpose()?;
                    Auth::Identity(Box::new(login))
                }
            },
        };
        Ok(CachedAuth {
            auth,
            digest_key: key,
        })
    }

    /// The key, and the token where it cannot be read again.
    fn fill(
        &self,
        access: &AuthSource,
        variables: bool,
        inherited: &EnvBlock,
        log: &dyn Log,
    ) -> Result<(SecretBytes, SecretBytes), Error> {
        let token = match access {
            AuthSource::Token(source) if !source.can_be_read_again() => {
                source.bytes(inherited, log)?
            }
            AuthSource::Token(_) | AuthSource::Identity(_) => SecretBytes::default(),
        };
        let mut key = vec![0; KEY];
        let random = SystemRandom::new().fill(&mut key);
        let key = SecretBytes::new(key);
        random.map_err(|_| refused(io::Error::other("there is no randomness")))?;
        let values = inherited.token_values().filter(|_| variables);
        let fields = [key.expose(), token.expose()].into_iter().chain(values);
        self.write(fields).map_err(refused)?;
        if let AuthSource::Token(_) = access {
            secret_file::add_seals(&self.0).map_err(refused)?;
        }
        Ok((key, token))
    }

    /// Each with its length before it.
    fn write<'f>(&self, fields: impl Iterator<Item = &'f [u8]>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for field in fields {
            let length = u32::try_from(field.len()).map_err(io::Error::other)?;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(field);
        }
        let length = (bytes.len() as u64).to_le_bytes();
        self.0.write_all_at(&length, 0)?;
        self.0.write_all_at(&bytes, LENGTH as u64)
    }

    /// None in a file that nobody has filled.
    fn fields(&self) -> io::Result<Vec<SecretBytes>> {
        let mut fields = Vec::new();
        let Some(length) = self.length()? else {
            return Ok(fields);
        };
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, LENGTH as u64)?;
        let mut rest = bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = u32::from_le_bytes(*length) as usize;
            let (field, after) = after
                .split_at_checked(length)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            fields.push(SecretBytes::new(field.to_vec()));
            rest = after;
        }
        Ok(fields)
    }

    fn length(&self) -> io::Result<Option<usize>> {
        let mut length = [0; LENGTH];
        match self.0.read_exact_at(&mut length, 0) {
            Ok(()) => usize::try_from(u64::from_le_bytes(length))
                .map(Some)
                .map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The token that was got last, as long as it is good.
    fn load(&self) -> Option<(SecretBytes, Freshness)> {
        let mut bytes = vec![0; LONGEST];
        let length = self.0.read_at(&mut bytes, self.place()?).ok()?;
        let (hash, rest) = bytes.get(..length)?.split_at_checked(HASH)?;
        if digest(&SHA256, rest).as_ref() != hash {
            return None;
        }
        let (young, rest) = rest.split_first_chunk()?;
        let (good, token) = rest.split_first_chunk()?;
        let until = |millis: &[u8; 8]| Duration::from_millis(u64::from_le_bytes(*millis));
        let age = match since_boot() {
            now if now < until(young) => Freshness::Fresh,
            now if now < until(good) => Freshness::RenewalDue,
            _ => return None,
        };
        Some((SecretBytes::new(token.to_vec()), age))
    }

    /// Puts it in the place of the last one. What is cut off in between, by a signal, is none.
    pub(crate) fn store(&self, token: &SecretBytes, lasts: Duration) {
        let until = |part: Duration| {
            let until = since_boot().saturating_add(part).as_millis();
            u64::try_from(until).unwrap_or(u64::MAX).to_le_bytes()
        };
        let (young, good) = (until(lasts / 3 * 2), until(lasts));
        let rest = [&young, &good, token.expose()].concat();
        let hash = digest(&SHA256, &rest);
        let bytes = [hash.as_ref(), &rest].concat();
        if let Some(place) = self.place() {
            // The next standby gets one of its own otherwise.
            let _ = self.0.set_len(place);
            let _ = self.0.write_all_at(&bytes, place);
        }
    }

    /// Phase does not know it any more.
    pub(crate) fn clear(&self) {
        if let Some(place) = self.place() {
            let _ = self.0.set_len(place);
        }
    }

    fn place(&self) -> Option<u64> {
        Some((LENGTH + self.length().ok()??) as u64)
    }
}

fn refused(error: io::Error) -> Error {
    Error::SpawnFailed {
        why: format!("no file in memory for the token: {}", os_error_text(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(3600);

    fn cache() -> TokenCache {
        let cache = TokenCache::new().unwrap();
        cache.write([&b"key"[..], b""].into_iter()).unwrap();
        cache
    }

    fn kept(cache: &TokenCache, text: &[u8], lasts: Duration) -> Option<(Vec<u8>, Freshness)> {
        cache.store(&SecretBytes::new(text.to_vec()), lasts);
        let (token, age) = cache.load()?;
        Some((token.expose().to_vec(), age))
    }

    #[test]
    fn the_token_that_was_kept_last_is_got_alone() {
        let cache = cache();
        assert!(cache.load().is_none());
        for token in [&b"a long token"[..], b"short", b"a longer token"] {
            let young = Some((token.to_vec(), Freshness::Fresh));
            assert_eq!(kept(&cache, token, LASTS), young);
        }
        assert_eq!(kept(&cache, b"over", Duration::ZERO), None);
        assert!(kept(&cache, b"good", LASTS).is_some());
        cache.clear();
        assert!(cache.load().is_none());
        assert_eq!(cache.fields().unwrap().len(), 2);
    }

    #[test]
    fn what_was_cut_off_on_the_way_is_no_token() {
        let cache = cache();
        let _ = kept(&cache, b"token", LASTS);
        let end = cache.0.metadata().unwrap().len();
        for length in cache.place().unwrap()..end {
            let _ = kept(&cache, b"token", LASTS);
            cache.0.set_len(length).unwrap();
            assert!(cache.load().is_none(), "{length}");
        }
        // One over the other, half.
        let _ = kept(&cache, b"token", LASTS);
        cache.0.write_all_at(b"b", end - 5).unwrap();
        assert!(cache.load().is_none());
    }
}
