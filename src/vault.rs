#![forbid(unsafe_code)]
//! What the standbys of a watch need and their watcher must not know: the token, where it cannot be
//! read again, and the digest's key.
//!
//! The watcher makes the file, in memory and empty, and never reads it. The first process that
//! fetches fills it and seals it, each standby reads it. It is closed at the exec, so the command
//! never has it, and a watcher is not dumpable, so nobody but root gets at it by `/proc`.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::mem;

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::config::credential::{Credential, TokenSource};
use crate::error::{Error, system_words};
use crate::inherited::Inherited;
use crate::notice::Say;
use crate::process::sealed;
use crate::secret::SecretBytes;

/// As long as the hash of the digest.
const KEY: usize = 32;

pub(crate) struct Vault(File);

/// What a process that fetches for a watch starts with.
pub(crate) struct Opened {
    pub(crate) credential: Credential,
    /// Of the digest.
    pub(crate) key: SecretBytes,
}

impl Vault {
    /// # Errors
    /// `exec` where the system has no such files.
    pub(crate) fn new() -> Result<Self, Error> {
        sealed::in_memory(c"phase-run").map(Self).map_err(refused)
    }

    /// Reads the token, from its source in the first process and where that can be read again, else
    /// from here. With `variables`, the token's variables are as they were at the start.
    ///
    /// # Errors
    /// `token` when it cannot be read or is none, `exec` when this file cannot be written.
    pub(crate) fn open(
        mut self,
        source: &TokenSource,
        variables: bool,
        inherited: &mut Inherited,
        say: Say<'_>,
    ) -> Result<Opened, Error> {
        let mut fields = self.fields().map_err(refused)?;
        let (key, token, values) = match fields.as_mut_slice() {
            [] => return self.fill(source, variables, inherited, say),
            [key, token, values @ ..] => (mem::take(key), mem::take(token), values),
            [_] => return Err(refused(io::ErrorKind::UnexpectedEof.into())),
        };
        inherited.recall_tokens(values.iter().map(SecretBytes::expose));
        let credential = match token.expose().is_empty() {
            true => source.read_again(inherited, say)?,
            false => source.parse(&token)?,
        };
        Ok(Opened { credential, key })
    }

    fn fill(
        &mut self,
        source: &TokenSource,
        variables: bool,
        inherited: &Inherited,
        say: Say<'_>,
    ) -> Result<Opened, Error> {
        let again = source.can_be_read_again();
        let token = source.bytes(inherited, say)?;
        let credential = source.parse(&token)?;
        let mut key = vec![0; KEY];
        let random = SystemRandom::new().fill(&mut key);
        let key = SecretBytes::new(key);
        random.map_err(|_| refused(io::Error::other("there is no randomness")))?;
        let values = inherited.tokens().filter(|_| variables);
        let token = if again { b"" } else { token.expose() };
        let fields: Vec<&[u8]> = [key.expose(), token].into_iter().chain(values).collect();
        self.write(&fields).map_err(refused)?;
        Ok(Opened { credential, key })
    }

    /// Each with its length before it.
    fn write(&mut self, fields: &[&[u8]]) -> io::Result<()> {
        for field in fields {
            let length = u32::try_from(field.len()).map_err(io::Error::other)?;
            self.0.write_all(&length.to_le_bytes())?;
            self.0.write_all(field)?;
        }
        sealed::seal_file(&self.0)
    }

    fn fields(&mut self) -> io::Result<Vec<SecretBytes>> {
        let mut bytes = Zeroizing::new(Vec::new());
        // The offset is shared with all that read it before.
        self.0.rewind()?;
        self.0.read_to_end(&mut bytes)?;
        let mut fields = Vec::new();
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
}

fn refused(error: io::Error) -> Error {
    Error::NoProcess {
        why: format!("no file in memory for the token: {}", system_words(&error)),
    }
}
