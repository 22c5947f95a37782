#![forbid(unsafe_code)]
//! Where the credential comes from: a stored token or a cloud identity. Never the credential.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::reader::ConfigReader;
use super::{Setting, uuid};
use crate::cli::Opt;
use crate::error::{Error, Source};
use crate::log::{Event, Log};
use crate::process::env_block::EnvBlock;
use crate::secret::Token;

/// The variable that holds the token itself.
pub(crate) const TOKEN_VARIABLE: &str = "PHASE_SERVICE_TOKEN";

/// What opens Phase, or gets what does.
pub(crate) enum AuthSource {
    Token(TokenSource),
    Identity(Identity),
}

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

impl TokenSource {
    /// A file that is named goes before the variable.
    ///
    /// # Errors
    /// `token` where there is none, `usage` for a token in the place of a file.
    pub(super) fn find(
        file: Option<(PathBuf, &'static str)>,
        inherited: &EnvBlock,
    ) -> Result<Self, Error> {
        let Some((path, option)) = file else {
            return match inherited.get(TOKEN_VARIABLE) {
                Some(token) if !token.is_empty() => Ok(Self::Variable),
                _ => Err(Error::NoToken),
            };
        };
        if Token::parse(path.as_os_str().as_bytes()).is_ok()
            || path.as_os_str().as_bytes().starts_with(b"pss_")
        {
            return Err(Error::TokenInsteadOfFile { option });
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

    /// As messages name it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Variable => TOKEN_VARIABLE.to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::StandardInput => "standard input".to_owned(),
            Self::Descriptor(number) => format!("descriptor {number}"),
        }
    }
}

/// Who can tell Phase what this machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Aws,
    Azure,
}

impl Provider {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Azure => "Azure",
        }
    }
}

/// Whose token is wanted, and who vouches.
pub(crate) struct Identity {
    pub(crate) provider: Provider,
    /// The service account's id.
    pub(crate) account: String,
    /// Where it was asked for.
    pub(crate) source: Source,
}

impl ConfigReader<'_> {
    /// None where a token is to be read.
    ///
    /// # Errors
    /// `usage` and `config` for what is no cloud, no account, or makes no sense together.
    pub(super) fn identity(&self, log: &dyn Log) -> Result<Option<Identity>, Error> {
        let identity = Opt::Identity.name();
        let conflict = |option, why| {
            let other = identity;
            Err(Error::ConflictingOptions { option, other, why })
        };
        let requires = |option, requires| Err(Error::RequiresOption { option, requires });
        let Some(Setting { value, source }) = self.text_of(Opt::Identity)? else {
            return match self.args.has(Opt::ServiceAccount) {
                true => requires(Opt::ServiceAccount.name(), identity),
                false => Ok(None),
            };
        };
        let Source::Named(name) = source else {
            return Ok(None);
        };
        let ignored_project = |what, by| {
            log.log(Event::SettingIgnored {
                ignored: what,
                used: by,
            })
        };
        match (self.args.has(Opt::TokenFile), name == identity) {
            (true, true) => {
                return conflict(Opt::TokenFile.name(), "--identity obtains its own token");
            }
            (true, false) => {
                ignored_project(name, Opt::TokenFile.name());
                return Ok(None);
            }
            (false, _) => {}
        }
        let provider = match value.as_str() {
            "aws" => Provider::Aws,
            "azure" => Provider::Azure,
            _ => {
                let given = Setting { value, source };
                return Err(self.invalid_value(given, Opt::Identity, "aws or azure"));
            }
        };
        let Some(account) = self.text_of(Opt::ServiceAccount)? else {
            return requires(name, Opt::ServiceAccount.name());
        };
        let Some(id) = uuid(&account.value) else {
            let wants = "the id of a service account, as Phase's console shows it";
            return Err(self.invalid_value(account, Opt::ServiceAccount, wants));
        };
        if let Some((_, option)) = self.path_of(Opt::Snapshot)? {
            return conflict(
                option,
                "each start obtains a different token, and only the token that made a snapshot can open it",
            );
        }
        let set = |name: &&'static str| self.inherited.get(name).is_some_and(|v| !v.is_empty());
        let tokens = ["PHASE_SERVICE_TOKEN_FILE", "PHASE_SERVICE_TOKEN"];
        if let Some(token) = tokens.into_iter().find(set) {
            ignored_project(token, name);
        }
        Ok(Some(Identity {
            provider,
            account: id,
            source,
        }))
    }
}
