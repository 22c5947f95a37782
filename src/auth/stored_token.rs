#![forbid(unsafe_code)]
//! Reads a stored token from its source.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::{Credential, LoadContext, keyring};
use crate::config::credential_file::{
    MAX_SIZE, open_regular, read_bounded, warn_if_exposed, warn_if_replaced,
};
use crate::config::{TOKEN_VARIABLE, TokenSource};
use crate::encoding::decode_file;
use crate::error::{Error, os_error_text};
use crate::process::bounded_read::{open_without_waiting, read_line_within, read_within};
use crate::process::descriptor;
use crate::secret::SecretBytes;

impl TokenSource {
    /// Reads and parses the token, and closes its file or descriptor.
    ///
    /// # Errors
    /// `token` if it cannot be read or is not a valid token.
    pub(super) fn read(&self, context: LoadContext<'_>) -> Result<Credential, Error> {
        self.parse(&self.read_bytes(context)?)
    }

    /// Reads the bytes of the token without parsing them, and closes its file or descriptor.
    ///
    /// # Errors
    /// `token` if they cannot be read.
    pub(super) fn read_bytes(&self, context: LoadContext<'_>) -> Result<SecretBytes, Error> {
        let unreadable = |error| self.read_error(&error);
        Ok(match self {
            Self::Variable => {
                let token = context
                    .inherited
                    .get(TOKEN_VARIABLE)
                    .ok_or(Error::NoToken {
                        may_use_login: false,
                    })?;
                SecretBytes::new(token.as_bytes().to_vec())
            }
            Self::File {
                path, read_limit, ..
            } => {
                let file = open_without_waiting(path).map_err(unreadable)?;
                warn_if_exposed(path, &file, context.log);
                let bytes = read_within(&file, MAX_SIZE + 1, *read_limit);
                SecretBytes::new(bytes.and_then(decode_file).map_err(unreadable)?)
            }
            Self::StandardInput { read_limit } => {
                let input = std::io::stdin().as_fd().try_clone_to_owned();
                let input = File::from(input.map_err(unreadable)?);
                let limit = descriptor_limit(&input, *read_limit);
                let line = read_line_within(&input, MAX_SIZE + 1, limit);
                SecretBytes::new(line.map_err(unreadable)?)
            }
            Self::Descriptor { number, read_limit } => {
                let file = descriptor::take_inherited(*number).map_err(unreadable)?;
                let file = File::from(file);
                let limit = descriptor_limit(&file, *read_limit);
                let bytes = read_within(&file, MAX_SIZE + 1, limit);
                SecretBytes::new(bytes.and_then(decode_file).map_err(unreadable)?)
            }
            Self::Command(command) => command.run(context, true)?,
            Self::Login(login) if login.has_token => login.read_token()?,
            Self::Login(login) => keyring::read_token(login, context)?,
        })
    }

    /// Parses bytes that [`Self::read_bytes`] returned.
    ///
    /// # Errors
    /// `token` if they are not a valid token.
    pub(super) fn parse(&self, bytes: &SecretBytes) -> Result<Credential, Error> {
        Credential::parse(self.name(), bytes)
    }

    /// Whether each poll of a watch can read the token again, because it may be rotated: true for regular
    /// files and for commands.
    pub(super) fn can_be_read_again(&self) -> bool {
        match self {
            Self::File { path, .. } => path.metadata().is_ok_and(|metadata| metadata.is_file()),
            Self::Command(_) => true,
            Self::Variable
            | Self::StandardInput { .. }
            | Self::Descriptor { .. }
            | Self::Login(_) => false,
        }
    }

    /// Reads a token again for which [`Self::can_be_read_again`] was true. Only for the first start may
    /// a command ask the user: later, the terminal belongs to the command that runs.
    ///
    /// # Errors
    /// `token`, also if it is no longer a regular file: a pipe could block the reader forever.
    pub(super) fn read_again(
        &self,
        context: LoadContext<'_>,
        is_first_start: bool,
    ) -> Result<Credential, Error> {
        let path = match self {
            Self::File { path, .. } => path,
            Self::Command(command) => return self.parse(&command.run(context, is_first_start)?),
            _ => return self.read(context),
        };
        let unreadable = |error| self.read_error(&error);
        let file = open_regular(path).map_err(unreadable)?;
        let file = file.ok_or_else(|| {
            let why = "it is no longer a regular file";
            self.unreadable(why.to_owned(), None)
        })?;
        warn_if_exposed(path, &file, context.log);
        warn_if_replaced(path, &file, context.log);
        self.parse(&read_bounded(file, MAX_SIZE).map_err(unreadable)?)
    }

    /// Closes the token's descriptor, if the source is one.
    pub(super) fn close_descriptor(&self) {
        if let Self::Descriptor { number, .. } = self {
            drop(descriptor::take_inherited(*number));
        }
    }

    fn read_error(&self, error: &std::io::Error) -> Error {
        let why = match error.kind() {
            // Containers often run as another user than the owner of a mounted file.
            ErrorKind::PermissionDenied => {
                let user = nix::unistd::geteuid();
                format!("{} to user {user}", os_error_text(error))
            }
            _ => os_error_text(error),
        };
        self.unreadable(why, Some(error.kind()))
    }

    fn unreadable(&self, why: String, cause: Option<ErrorKind>) -> Error {
        Error::TokenUnreadable {
            from: self.name(),
            set_by: match self {
                Self::File { set_by, .. } => Some(set_by.clone()),
                _ => None,
            },
            why,
            cause,
        }
    }
}

/// How long a descriptor may be read. A terminal waits for its user.
fn descriptor_limit(file: &File, read_limit: Duration) -> Duration {
    match file.is_terminal() {
        true => Duration::MAX,
        false => read_limit,
    }
}
