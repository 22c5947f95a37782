#![forbid(unsafe_code)]
//! Decides where the credential comes from: a stored token or a cloud identity. The credential itself is
//! read later, by the process that fetches.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::parse_uuid;
use super::reader::{ConfigReader, invalid_value};
use crate::cli::Opt;
use crate::error::{Error, SetBy, Setting};
use crate::log::Event;
use crate::process::env_block::EnvBlock;
use crate::secret::Token;

/// The variable that holds the token itself.
pub(crate) const TOKEN_VARIABLE: &str = "PHASE_SERVICE_TOKEN";

/// Where the credential comes from.
pub(crate) enum AuthSource {
    Token(TokenSource),
    Identity(Identity),
}

/// Where a stored token is.
#[derive(Debug)]
pub(crate) enum TokenSource {
    /// `PHASE_SERVICE_TOKEN`.
    Variable,
    /// A file, which must be read within a time limit: it may be a pipe.
    File { path: PathBuf, read_limit: Duration },
    /// `-`: the first line of standard input. The command reads the rest.
    StandardInput,
    /// `fd:N`: an inherited descriptor, closed before the command runs.
    Descriptor(i32),
}

impl TokenSource {
    /// Decides where the token is. `file` is the token file and the option or variable that names it; it
    /// takes precedence over `PHASE_SERVICE_TOKEN`.
    ///
    /// # Errors
    /// `token` if no token is given, or if a token is given instead of the path of its file.
    pub(super) fn find(
        file: Option<Setting<PathBuf>>,
        read_limit: Duration,
        inherited: &EnvBlock,
    ) -> Result<Self, Error> {
        let Some(Setting {
            value: path,
            set_by,
        }) = file
        else {
            return match inherited.get(TOKEN_VARIABLE) {
                Some(token) if !token.is_empty() => Ok(Self::Variable),
                _ => Err(Error::NoToken),
            };
        };
        if Token::parse(path.as_os_str().as_bytes()).is_ok()
            || path.as_os_str().as_bytes().starts_with(b"pss_")
        {
            return Err(Error::TokenInsteadOfFile {
                option: set_by.name(),
            });
        }
        match path.to_str() {
            Some("-") => Ok(Self::StandardInput),
            Some(text) => match text.strip_prefix("fd:").map(str::parse) {
                Some(Ok(number)) if number >= 0 => Ok(Self::Descriptor(number)),
                Some(_) => Err(Error::TokenUnreadable {
                    from: text.to_owned(),
                    why: "expected fd:N with the number of an open descriptor".to_owned(),
                }),
                None => Ok(Self::File { path, read_limit }),
            },
            None => Ok(Self::File { path, read_limit }),
        }
    }

    /// How messages name the source.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Variable => TOKEN_VARIABLE.to_owned(),
            Self::File { path, .. } => path.display().to_string(),
            Self::StandardInput => "standard input".to_owned(),
            Self::Descriptor(number) => format!("descriptor {number}"),
        }
    }
}

/// A cloud whose identities Phase accepts.
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

/// `--identity`: which cloud identifies this machine, and whose token is requested.
pub(crate) struct Identity {
    pub(crate) provider: Provider,
    /// The ID of the service account.
    pub(crate) service_account: String,
    /// The option or the variable that sets the provider.
    pub(crate) set_by: SetBy,
}

impl ConfigReader<'_> {
    /// Reads `--identity` and the options that belong to it; `None` if a stored token is used.
    ///
    /// # Errors
    /// `usage` or `config` for an invalid value, a missing service account, or an option that
    /// conflicts.
    pub(super) fn read_identity(&self) -> Result<Option<Identity>, Error> {
        let option = Opt::Identity.name();
        let Some(provider) = self.read_text(Opt::Identity)? else {
            return match self.args.has(Opt::ServiceAccount) {
                true => Err(Error::RequiresOption {
                    option: Opt::ServiceAccount.name(),
                    requires: option,
                }),
                false => Ok(None),
            };
        };
        let set_by = provider.set_by.name();
        let conflict = |option_or_variable, why| {
            Err(Error::ConflictingOptions {
                option: option_or_variable,
                other: option,
                why,
            })
        };
        let log_ignored = |ignored, used| self.log.log(Event::SettingIgnored { ignored, used });
        match (self.args.has(Opt::TokenFile), &provider.set_by) {
            (true, SetBy::Option(_)) => {
                return conflict(Opt::TokenFile.name(), "--identity obtains its own token");
            }
            (true, _) => {
                log_ignored(set_by, Opt::TokenFile.name());
                return Ok(None);
            }
            (false, _) => {}
        }
        let identity = self.parse_identity(provider)?;
        if let Some(snapshot) = self.read_path(Opt::Snapshot) {
            return conflict(
                snapshot.set_by.name(),
                "each start obtains a different token, and only the token that made a snapshot can open it",
            );
        }
        let is_set = |name: &&'static str| self.inherited.get(name).is_some_and(|v| !v.is_empty());
        let token_variables = ["PHASE_SERVICE_TOKEN_FILE", TOKEN_VARIABLE];
        if let Some(variable) = token_variables.into_iter().find(is_set) {
            log_ignored(variable, set_by);
        }
        Ok(Some(identity))
    }

    /// Parses the provider, and reads the service account.
    fn parse_identity(&self, setting: Setting<&str>) -> Result<Identity, Error> {
        let provider = match setting.value {
            "aws" => Provider::Aws,
            "azure" => Provider::Azure,
            _ => return Err(invalid_value(setting, "aws or azure")),
        };
        let expected = "the ID of a service account, as Phase's console shows it";
        let account = self.read_parsed(Opt::ServiceAccount, expected, parse_uuid)?;
        let Some(account) = account else {
            return Err(Error::RequiresOption {
                option: setting.set_by.name(),
                requires: Opt::ServiceAccount.name(),
            });
        };
        Ok(Identity {
            provider,
            service_account: account,
            set_by: setting.set_by,
        })
    }
}
