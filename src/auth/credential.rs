#![forbid(unsafe_code)]
//! Where the token is, and reading it from there when it is needed.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use reqwest::header::HeaderMap;

use super::identity::CloudCredentials;
use crate::config::credential_file::{MAX_SIZE, regular, warn_if_exposed, whole};
use crate::config::{TOKEN_VARIABLE, TokenSource};
use crate::error::{Error, os_error_text};
use crate::log::Log;
use crate::process::descriptor;
use crate::process::env_block::EnvBlock;
use crate::secret::{SecretBytes, Token};

/// The token, and where it was, which a refusal of the server names.
pub(crate) struct Credential {
    pub(crate) token: Token,
    pub(crate) token_source: String,
    /// What a gateway wants to see beside it.
    pub(crate) gateway_headers: HeaderMap,
}

/// What requests are made with.
pub(crate) enum Auth<'k> {
    Token(Credential),
    /// A token is got for it before the first.
    Identity(Box<IdentityLogin<'k>>),
}

/// What a token is got for.
pub(crate) struct IdentityLogin<'k> {
    pub(crate) cloud_credentials: CloudCredentials,
    /// The ID of the service account whose token is requested.
    pub(crate) service_account: String,
    /// Where the token comes from, as messages name it: `--identity AWS`.
    pub(crate) token_source: String,
    pub(crate) gateway_headers: HeaderMap,
    pub(crate) on_minted: OnMinted<'k>,
    /// The previous token, if it has not expired: used when Phase cannot mint a new one now.
    pub(crate) previous: Option<Credential>,
    /// The minted token, set by the login so that later steps can borrow it.
    pub(crate) minted: OnceCell<Credential>,
}

/// Called with each newly minted token and its lifetime, so that later polls can reuse it.
pub(crate) type OnMinted<'k> = &'k dyn Fn(&SecretBytes, Duration);

impl Auth<'_> {
    pub(crate) fn set_gateway_headers(&mut self, headers: HeaderMap) {
        match self {
            Self::Token(credential) => credential.gateway_headers = headers,
            Self::Identity(login) => {
                if let Some(previous) = &mut login.previous {
                    previous.gateway_headers = headers.clone();
                }
                login.gateway_headers = headers;
            }
        }
    }
}

impl TokenSource {
    /// Reads the token and closes what it was read from.
    ///
    /// # Errors
    /// `token` when it cannot be read or has not the shape of one.
    pub(crate) fn read(&self, inherited: &EnvBlock, log: &dyn Log) -> Result<Credential, Error> {
        self.parse(&self.bytes(inherited, log)?)
    }

    /// What is there, whole; closes what it was read from.
    ///
    /// # Errors
    /// `token` when it cannot be read.
    pub(crate) fn bytes(&self, inherited: &EnvBlock, log: &dyn Log) -> Result<SecretBytes, Error> {
        let unreadable = |error| self.unreadable(&error);
        Ok(match self {
            Self::Variable => {
                let token = inherited.get(TOKEN_VARIABLE).unwrap_or_default();
                SecretBytes::new(token.as_bytes().to_vec())
            }
            Self::File(path) => {
                let file = File::open(path).map_err(unreadable)?;
                warn_if_exposed(path, &file, log);
                whole(file, MAX_SIZE).map_err(unreadable)?
            }
            Self::StandardInput => first_line().map_err(unreadable)?,
            Self::Descriptor(number) => {
                let file = descriptor::take_inherited(*number).map_err(unreadable)?;
                whole(File::from(file), MAX_SIZE).map_err(unreadable)?
            }
        })
    }

    /// # Errors
    /// `token` when it has not the shape of one.
    pub(crate) fn parse(&self, bytes: &SecretBytes) -> Result<Credential, Error> {
        parsed(self.name(), bytes)
    }

    /// Whether it can be read again later, and may be another one then: a file that is no pipe.
    pub(crate) fn can_be_read_again(&self) -> bool {
        match self {
            Self::File(path) => path.metadata().is_ok_and(|facts| facts.is_file()),
            Self::Variable | Self::StandardInput | Self::Descriptor(_) => false,
        }
    }

    /// Reads the file again that was one before.
    ///
    /// # Errors
    /// `token`, also for what is no regular file any more: a pipe would keep the reader for ever.
    pub(crate) fn read_again(
        &self,
        inherited: &EnvBlock,
        log: &dyn Log,
    ) -> Result<Credential, Error> {
        let Self::File(path) = self else {
            return self.read(inherited, log);
        };
        let unreadable = |error| self.unreadable(&error);
        let file = regular(path).map_err(unreadable)?;
        let file = file.ok_or_else(|| Error::TokenFile {
            from: self.name(),
            why: "it is no regular file any more".to_owned(),
        })?;
        warn_if_exposed(path, &file, log);
        self.parse(&whole(file, MAX_SIZE).map_err(unreadable)?)
    }

    /// For a process that does not read it and stays: closes the descriptor, if it is one.
    pub(crate) fn close_descriptor(&self) {
        if let Self::Descriptor(number) = self {
            drop(descriptor::take_inherited(*number));
        }
    }

    fn unreadable(&self, error: &std::io::Error) -> Error {
        let why = match error.kind() {
            // An image's user is rarely the file's.
            ErrorKind::PermissionDenied => {
                format!(
                    "{} to user {}",
                    os_error_text(error),
                    nix::unistd::geteuid()
                )
            }
            _ => os_error_text(error),
        };
        let from = self.name();
        Error::TokenFile { from, why }
    }
}

pub(super) fn parsed(from: String, bytes: &SecretBytes) -> Result<Credential, Error> {
    if bytes.expose().len() as u64 > MAX_SIZE {
        return Err(Error::InvalidToken {
            from,
            why: "it is longer than 65536 bytes",
        });
    }
    match Token::parse(bytes.expose()) {
        Ok(token) => Ok(Credential {
            token,
            token_source: from,
            gateway_headers: HeaderMap::new(),
        }),
        Err(why) => Err(Error::InvalidToken { from, why }),
    }
}

/// Byte by byte, past std's buffer: what follows the line is the command's.
fn first_line() -> std::io::Result<SecretBytes> {
    let mut input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() as u64 <= MAX_SIZE {
        match input.read(&mut byte) {
            Ok(1) if byte != *b"\n" => line.extend_from_slice(&byte),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(SecretBytes::new(line))
}
