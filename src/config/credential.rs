#![forbid(unsafe_code)]
//! Where the token is, and reading it from there when it is needed.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::{FsFlags, fstatvfs};
use reqwest::header::HeaderMap;

use super::Evidence;
use crate::error::{Error, system_words};
use crate::inherited::Inherited;
use crate::notice::{Notice, Say};
use crate::process::descriptor;
use crate::secret::{SecretBytes, Token};

/// The variable that holds the token itself.
const VARIABLE: &str = "PHASE_SERVICE_TOKEN";

/// In bytes. A token has about 350, the JSON of `phase auth` about 1,000.
pub(super) const MAX_SIZE: u64 = 64 << 10;

/// Where the token is; never the token.
#[derive(Debug)]
pub(crate) enum TokenSource {
    /// `PHASE_SERVICE_TOKEN`.
    Variable,
    File(PathBuf),
    /// `-`: the first line of standard input; what follows is the command's.
    StandardInput,
    /// `fd:N`: an open descriptor, closed before the command runs.
    Descriptor(i32),
}

/// The token, and where it was, which a refusal of the server names.
pub(crate) struct Credential {
    pub(crate) token: Token,
    pub(crate) from: String,
    /// What a gateway wants to see beside it.
    pub(crate) gateway: HeaderMap,
}

/// What requests are made with.
pub(crate) enum Pass<'k> {
    Token(Credential),
    /// A token is got for it before the first.
    Identity(Box<Proof<'k>>),
}

/// What a token is got for.
pub(crate) struct Proof<'k> {
    pub(crate) evidence: Evidence,
    /// The service account's id.
    pub(crate) account: String,
    /// What the token is from, as messages name it.
    pub(crate) name: String,
    pub(crate) gateway: HeaderMap,
    /// Called with the token and how long it is good for.
    pub(crate) keep: Keep<'k>,
    /// An older one that is still good, for when no new one can be got now.
    pub(crate) spare: Option<Credential>,
    pub(crate) minted: OnceCell<Credential>,
}

/// What becomes of a token that was got, for who comes later.
pub(crate) type Keep<'k> = &'k dyn Fn(&SecretBytes, Duration);

impl Pass<'_> {
    pub(crate) fn set_gateway(&mut self, headers: HeaderMap) {
        match self {
            Self::Token(credential) => credential.gateway = headers,
            Self::Identity(proof) => {
                if let Some(spare) = &mut proof.spare {
                    spare.gateway = headers.clone();
                }
                proof.gateway = headers;
            }
        }
    }
}

impl TokenSource {
    /// A file that is named goes before the variable.
    ///
    /// # Errors
    /// `token` where there is none, `usage` for a token in the place of a file.
    pub(super) fn find(
        file: Option<(PathBuf, &'static str)>,
        inherited: &Inherited,
    ) -> Result<Self, Error> {
        let Some((path, option)) = file else {
            return match inherited.get(VARIABLE) {
                Some(token) if !token.is_empty() => Ok(Self::Variable),
                _ => Err(Error::NoToken),
            };
        };
        if Token::parse(path.as_os_str().as_bytes()).is_ok()
            || path.as_os_str().as_bytes().starts_with(b"pss_")
        {
            return Err(Error::TokenAsFile { option });
        }
        match path.to_str() {
            Some("-") => Ok(Self::StandardInput),
            Some(text) => match text.strip_prefix("fd:").map(str::parse) {
                Some(Ok(number)) if number >= 0 => Ok(Self::Descriptor(number)),
                Some(_) => Err(Error::TokenFile {
                    from: text.to_owned(),
                    why: "fd: takes the number of an open descriptor".to_owned(),
                }),
                None => Ok(Self::File(path)),
            },
            None => Ok(Self::File(path)),
        }
    }

    /// Reads the token and closes what it was read from.
    ///
    /// # Errors
    /// `token` when it cannot be read or has not the shape of one.
    pub(crate) fn read(&self, inherited: &Inherited, say: Say<'_>) -> Result<Credential, Error> {
        self.parse(&self.bytes(inherited, say)?)
    }

    /// What is there, whole; closes what it was read from.
    ///
    /// # Errors
    /// `token` when it cannot be read.
    pub(crate) fn bytes(&self, inherited: &Inherited, say: Say<'_>) -> Result<SecretBytes, Error> {
        let unreadable = |error| self.unreadable(&error);
        Ok(match self {
            Self::Variable => {
                let token = inherited.get(VARIABLE).unwrap_or_default();
                SecretBytes::new(token.as_bytes().to_vec())
            }
            Self::File(path) => {
                let file = File::open(path).map_err(unreadable)?;
                warn_if_exposed(path, &file, say);
                whole(file, MAX_SIZE).map_err(unreadable)?
            }
            Self::StandardInput => first_line().map_err(unreadable)?,
            Self::Descriptor(number) => {
                let file = descriptor::adopt(*number).map_err(unreadable)?;
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
        inherited: &Inherited,
        say: Say<'_>,
    ) -> Result<Credential, Error> {
        let Self::File(path) = self else {
            return self.read(inherited, say);
        };
        let unreadable = |error| self.unreadable(&error);
        let file = regular(path).map_err(unreadable)?;
        let file = file.ok_or_else(|| Error::TokenFile {
            from: self.name(),
            why: "it is no regular file any more".to_owned(),
        })?;
        warn_if_exposed(path, &file, say);
        self.parse(&whole(file, MAX_SIZE).map_err(unreadable)?)
    }

    /// For a process that does not read it and stays: closes the descriptor, if it is one.
    pub(crate) fn let_go(&self) {
        if let Self::Descriptor(number) = self {
            drop(descriptor::adopt(*number));
        }
    }

    fn unreadable(&self, error: &std::io::Error) -> Error {
        let why = match error.kind() {
            // An image's user is rarely the file's.
            ErrorKind::PermissionDenied => {
                format!("{} to user {}", system_words(error), nix::unistd::geteuid())
            }
            _ => system_words(error),
        };
        let from = self.name();
        Error::TokenFile { from, why }
    }

    /// As messages name it.
    fn name(&self) -> String {
        match self {
            Self::Variable => VARIABLE.to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::StandardInput => "standard input".to_owned(),
            Self::Descriptor(number) => format!("descriptor {number}"),
        }
    }
}

pub(super) fn parsed(from: String, bytes: &SecretBytes) -> Result<Credential, Error> {
    if bytes.expose().len() as u64 > MAX_SIZE {
        return Err(Error::TokenShape {
            from,
            why: "it is longer than 65536 bytes",
        });
    }
    match Token::parse(bytes.expose()) {
        Ok(token) => Ok(Credential {
            token,
            from,
            gateway: HeaderMap::new(),
        }),
        Err(why) => Err(Error::TokenShape { from, why }),
    }
}

/// For what is read again: `None` for anything but a regular file. Opened before it is looked at,
/// and without waiting for the other end, so that a pipe in its place cannot keep the reader.
pub(super) fn regular(path: &Path) -> std::io::Result<Option<File>> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    match options.open(path) {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        // A socket, open(2).
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// To its end, or to one byte more than `longest`.
pub(super) fn whole(file: File, longest: u64) -> std::io::Result<SecretBytes> {
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes)?;
    Ok(SecretBytes::new(bytes))
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

/// Only where the user could mend it: a file of their own, not on a read-only mount, as the secret
/// mounts of orchestrators are.
pub(super) fn warn_if_exposed(path: &Path, file: &File, say: Say<'_>) {
    let Ok(facts) = file.metadata() else { return };
    let mode = facts.mode() & 0o7777;
    let mendable = facts.is_file()
        && facts.uid() == nix::unistd::geteuid().as_raw()
        && !fstatvfs(file).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_RDONLY));
    if mendable && mode & 0o044 != 0 {
        say(Notice::TokenFileExposed {
            path: &path.display().to_string(),
            mode,
        });
    }
}
