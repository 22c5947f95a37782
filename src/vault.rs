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
use zeroize::Zeroizing;

use crate::config::Access;
use crate::config::credential::{Keep, Pass};
use crate::error::{Error, system_words};
use crate::inherited::Inherited;
use crate::notice::Say;
use crate::process::{sealed, since_boot};
use crate::secret::SecretBytes;

/// As long as the hash of the digest.
const KEY: usize = 32;

/// Before what stays the same, its length; before the token that was got, a hash of the rest.
const LENGTH: usize = 8;
const HASH: usize = 32;

/// More than a token has, in bytes.
const LONGEST: usize = 4096;

pub(crate) struct Vault(File);

/// What a process that fetches for a watch starts with.
pub(crate) struct Opened<'k> {
    pub(crate) pass: Pass<'k>,
    /// Of the digest.
    pub(crate) key: SecretBytes,
}

/// Of a token that is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// Less than two thirds of its life are over.
    Young,
    Old,
}

impl Vault {
    /// # Errors
    /// `exec` where the system has no such files.
    pub(crate) fn new() -> Result<Self, Error> {
        sealed::in_memory(c"phase-run").map(Self).map_err(refused)
    }

    /// Reads the token, from its source in the first process and where that can be read again, else
    /// from here. With `variables`, the token's variables are as they were at the start. `keep` is
    /// for a token that is got.
    ///
    /// # Errors
    /// `token` when it cannot be read or is none, `identity` where none can be got, `exec` when this
    /// file cannot be written.
    pub(crate) fn open<'k>(
        &self,
        access: &Access,
        variables: bool,
        inherited: &mut Inherited,
        keep: Keep<'k>,
        say: Say<'_>,
    ) -> Result<Opened<'k>, Error> {
        let mut fields = self.fields().map_err(refused)?;
        let (key, token) = match fields.as_mut_slice() {
            [] => self.fill(access, variables, inherited, say)?,
            [key, token, values @ ..] => {
                inherited.recall_tokens(values.iter().map(SecretBytes::expose));
                (mem::take(key), mem::take(token))
            }
            [_] => return Err(refused(io::ErrorKind::UnexpectedEof.into())),
        };
        let pass = match access {
            Access::Token(source) if token.expose().is_empty() => {
                Pass::Token(source.read_again(inherited, say)?)
            }
            Access::Token(source) => Pass::Token(source.parse(&token)?),
            Access::Identity(identity) => match self.got() {
                Some((token, Age::Young)) => Pass::Token(identity.credential(&token)?),
                older => {
                    let mut proof = identity.proof(inherited, keep)?;
                    let spare = older.map(|(token, _)| identity.credential(&token));
                    proof.spare = spare.transpose()?;
                    Pass::Identity(Box::new(proof))
                }
            },
        };
        Ok(Opened { pass, key })
    }

    /// The key, and the token where it cannot be read again.
    fn fill(
        &self,
        access: &Access,
        variables: bool,
        inherited: &Inherited,
        say: Say<'_>,
    ) -> Result<(SecretBytes, SecretBytes), Error> {
        let token = match access {
            Access::Token(source) if !source.can_be_read_again() => source.bytes(inherited, say)?,
            Access::Token(_) | Access::Identity(_) => SecretBytes::default(),
        };
        let mut key = vec![0; KEY];
        let random = SystemRandom::new().fill(&mut key);
        let key = SecretBytes::new(key);
        random.map_err(|_| refused(io::Error::other("there is no randomness")))?;
        let values = inherited.tokens().filter(|_| variables);
        let fields = [key.expose(), token.expose()].into_iter().chain(values);
        self.write(fields).map_err(refused)?;
        if let Access::Token(_) = access {
            sealed::seal_file(&self.0).map_err(refused)?;
        }
        Ok((key, token))
    }

    /// Each with its length before it.
    fn write<'f>(&self, fields: impl Iterator<Item = &'f [u8]>) -> io::Result<()> {
        let mut bytes = Zeroizing::new(Vec::new());
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
        let mut bytes = Zeroizing::new(vec![0; length]);
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
    fn got(&self) -> Option<(SecretBytes, Age)> {
        let mut bytes = Zeroizing::new(vec![0; LONGEST]);
        let length = self.0.read_at(&mut bytes, self.place()?).ok()?;
        let (hash, rest) = bytes.get(..length)?.split_at_checked(HASH)?;
        if digest(&SHA256, rest).as_ref() != hash {
            return None;
        }
        let (young, rest) = rest.split_first_chunk()?;
        let (good, token) = rest.split_first_chunk()?;
        let until = |millis: &[u8; 8]| Duration::from_millis(u64::from_le_bytes(*millis));
        let age = match since_boot() {
            now if now < until(young) => Age::Young,
            now if now < until(good) => Age::Old,
            _ => return None,
        };
        Some((SecretBytes::new(token.to_vec()), age))
    }

    /// Puts it in the place of the last one. What is cut off in between, by a signal, is none.
    pub(crate) fn keep(&self, token: &SecretBytes, lasts: Duration) {
        let until = |part: Duration| {
            let until = since_boot().saturating_add(part).as_millis();
            u64::try_from(until).unwrap_or(u64::MAX).to_le_bytes()
        };
        let (young, good) = (until(lasts / 3 * 2), until(lasts));
        let rest = Zeroizing::new([&young, &good, token.expose()].concat());
        let hash = digest(&SHA256, &rest);
        let bytes = Zeroizing::new([hash.as_ref(), &rest].concat());
        if let Some(place) = self.place() {
            // The next standby gets one of its own otherwise.
            let _ = self.0.set_len(place);
            let _ = self.0.write_all_at(&bytes, place);
        }
    }

    /// Phase does not know it any more.
    pub(crate) fn forget(&self) {
        if let Some(place) = self.place() {
            let _ = self.0.set_len(place);
        }
    }

    fn place(&self) -> Option<u64> {
        Some((LENGTH + self.length().ok()??) as u64)
    }
}

fn refused(error: io::Error) -> Error {
    Error::NoProcess {
        why: format!("no file in memory for the token: {}", system_words(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(3600);

    fn vault() -> Vault {
        let vault = Vault::new().unwrap();
        vault.write([&b"key"[..], b""].into_iter()).unwrap();
        vault
    }

    fn kept(vault: &Vault, text: &[u8], lasts: Duration) -> Option<(Vec<u8>, Age)> {
        vault.keep(&SecretBytes::new(text.to_vec()), lasts);
        let (token, age) = vault.got()?;
        Some((token.expose().to_vec(), age))
    }

    #[test]
    fn the_token_that_was_kept_last_is_got_alone() {
        let vault = vault();
        assert!(vault.got().is_none());
        for token in [&b"a long token"[..], b"short", b"a longer token"] {
            let young = Some((token.to_vec(), Age::Young));
            assert_eq!(kept(&vault, token, LASTS), young);
        }
        assert_eq!(kept(&vault, b"over", Duration::ZERO), None);
        assert!(kept(&vault, b"good", LASTS).is_some());
        vault.forget();
        assert!(vault.got().is_none());
        assert_eq!(vault.fields().unwrap().len(), 2);
    }

    #[test]
    fn what_was_cut_off_on_the_way_is_no_token() {
        let vault = vault();
        let _ = kept(&vault, b"token", LASTS);
        let end = vault.0.metadata().unwrap().len();
        for length in vault.place().unwrap()..end {
            let _ = kept(&vault, b"token", LASTS);
            vault.0.set_len(length).unwrap();
            assert!(vault.got().is_none(), "{length}");
        }
        // One over the other, half.
        let _ = kept(&vault, b"token", LASTS);
        vault.0.write_all_at(b"b", end - 5).unwrap();
        assert!(vault.got().is_none());
    }
}
