#![forbid(unsafe_code)]
//! Decides where the credential comes from: a token, a command that prints one, the login of Phase's own
//! CLI, or a cloud identity. The credential itself is read later, by the process that fetches.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::{ConfigReader, invalid_value, lookup, requires_option, variable_value};
use super::run_mode::shell_command;
use super::{Login, parse_uuid};
use crate::cli::Opt;
use crate::error::{Error, SetBy, Setting};
use crate::log::Event;
use crate::secret::Token;

/// The variable that holds the token itself.
pub(crate) const TOKEN_VARIABLE: &str = "PHASE_SERVICE_TOKEN";

/// The variables that give a token, in order of precedence.
const TOKEN_VARIABLES: [&str; 3] = [
    "PHASE_SERVICE_TOKEN_FILE",
    TOKEN_VARIABLE,
    "PHASE_TOKEN_COMMAND",
];

/// The setting that says where the credential comes from.
pub(super) enum CredentialSetting<'a> {
    Identity(Identity),
    TokenFile(Setting<PathBuf>),
    /// `PHASE_SERVICE_TOKEN`.
    TokenVariable,
    TokenCommand(Setting<&'a OsStr>),
    /// The login of Phase's own CLI.
    Login(Login),
    /// There is none, and this says whether a login could have been used.
    None {
        may_use_login: bool,
    },
}

/// How long reading a token may take.
#[derive(Clone, Copy)]
pub(super) struct ReadLimits {
    /// From a file.
    pub(super) file: Duration,
    /// From a command, or a descriptor that one may write to.
    pub(super) command: Duration,
}

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
    File {
        path: PathBuf,
        set_by: SetBy,
        read_limit: Duration,
    },
    /// `-`: the first line of standard input. The command reads the rest.
    StandardInput { read_limit: Duration },
    /// `fd:N`: an inherited descriptor, closed before the command runs.
    Descriptor { number: i32, read_limit: Duration },
    /// A command that prints the token.
    Command(TokenCommand),
    /// The login of Phase's own CLI.
    Login(Login),
}

/// `--token-command`.
#[derive(Debug)]
pub(crate) struct TokenCommand {
    /// The shell and its arguments.
    pub(crate) words: Vec<OsString>,
    /// The option or the variable that sets it.
    pub(crate) set_by: SetBy,
    pub(crate) time_limit: Duration,
}

impl TokenSource {
    /// Parses the name of a token file.
    ///
    /// # Errors
    /// `token` if the name is malformed, or if it is a token.
    fn parse_file(setting: Setting<PathBuf>, limits: ReadLimits) -> Result<Self, Error> {
        let Setting {
            value: path,
            set_by,
        } = setting;
        check_no_token(
            path.as_os_str(),
            &set_by,
            "the path of a file that contains the token",
        )?;
        let read_limit = limits.command;
        let text = path.to_str().unwrap_or_default();
        if text == "-" {
            return Ok(Self::StandardInput { read_limit });
        }
        if let Some(number) = text.strip_prefix("fd:") {
            let why = match number.parse() {
                Ok(1 | 2) => "standard output and standard error cannot provide a token",
                Ok(number) if number >= 0 => return Ok(Self::Descriptor { number, read_limit }),
                _ => "expected fd:N with the number of an open descriptor",
            };
            return Err(Error::TokenUnreadable {
                from: text.to_owned(),
                set_by: Some(set_by),
                why: why.to_owned(),
                cause: None,
            });
        }
        // bash and zsh give such a path for `<(…)`.
        let mut folders = ["/dev/fd/", "/proc/self/fd/"].into_iter();
        let number = folders.find_map(|folder| text.strip_prefix(folder)?.parse().ok());
        match number {
            Some(number) if number > 2 => Ok(Self::Descriptor { number, read_limit }),
            _ => Ok(Self::File {
                path,
                set_by,
                read_limit: limits.file,
            }),
        }
    }

    /// How messages name the source.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Variable => TOKEN_VARIABLE.to_owned(),
            Self::File { path, .. } => path.display().to_string(),
            Self::StandardInput { .. } => "standard input".to_owned(),
            Self::Descriptor { number, .. } => format!("descriptor {number}"),
            Self::Command(command) => command.set_by.name().to_owned(),
            Self::Login(login) => login.name(),
        }
    }
}

/// Checks that an argument is not a token itself.
///
/// # Errors
/// `token` if it is one; `expected` says what it should be.
fn check_no_token(value: &OsStr, set_by: &SetBy, expected: &'static str) -> Result<(), Error> {
    let value = value.as_bytes();
    // In the quotation marks of an env file it is not valid, but no message may show it either.
    let unquoted = match value {
        [b'"' | b'\'', rest @ ..] => rest,
        _ => value,
    };
    match unquoted.starts_with(b"pss_") || Token::parse(value).is_ok() {
        true => Err(Error::TokenAsArgument {
            option: set_by.name(),
            expected,
        }),
        false => Ok(()),
    }
}

impl CredentialSetting<'_> {
    /// The login, if it is the credential.
    pub(super) fn login(&self) -> Option<&Login> {
        match self {
            Self::Login(login) => Some(login),
            _ => None,
        }
    }

    /// Returns where the credential is.
    ///
    /// # Errors
    /// `token` if there is none, or if a token is given in place of something else.
    pub(super) fn into_source(self, limits: ReadLimits) -> Result<AuthSource, Error> {
        let source = match self {
            Self::Identity(identity) => return Ok(AuthSource::Identity(identity)),
            Self::TokenFile(file) => TokenSource::parse_file(file, limits)?,
            Self::TokenVariable => TokenSource::Variable,
            Self::TokenCommand(Setting { value, set_by }) => {
                check_no_token(value, &set_by, "a command that prints the token")?;
                TokenSource::Command(TokenCommand {
                    words: shell_command(value),
                    set_by,
                    time_limit: limits.command,
                })
            }
            Self::Login(login) => TokenSource::Login(login),
            Self::None { may_use_login } => return Err(Error::NoToken { may_use_login }),
        };
        Ok(AuthSource::Token(source))
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

impl<'a> ConfigReader<'a> {
    /// Chooses the setting that says where the credential comes from: an option, or else a variable, or else
    /// the login. It warns about variables that the chosen one overrides.
    ///
    /// # Errors
    /// Those of [`Self::read_identity`] and of [`Self::find_login`].
    pub(super) fn choose_credential(&self) -> Result<CredentialSetting<'a>, Error> {
        if let Some(identity) = self.read_identity()? {
            return Ok(CredentialSetting::Identity(identity));
        }
        let file = self.read_path(Opt::TokenFile);
        let command = lookup(self.args, self.inherited, Opt::TokenCommand);
        let mut set = self.token_variables();
        let used = set.next();
        Ok(match (file, command) {
            (Some(file), _) if self.args.has(Opt::TokenFile) => CredentialSetting::TokenFile(file),
            (_, Some(command)) if self.args.has(Opt::TokenCommand) => {
                CredentialSetting::TokenCommand(command)
            }
            (file, command) => {
                if let Some(used) = used {
                    set.for_each(|ignored| self.log.log(Event::SettingIgnored { ignored, used }));
                }
                let token = variable_value(self.inherited, TOKEN_VARIABLE);
                match (file, token, command) {
                    (Some(file), ..) => CredentialSetting::TokenFile(file),
                    (None, Some(_), _) => CredentialSetting::TokenVariable,
                    (None, None, Some(command)) => CredentialSetting::TokenCommand(command),
                    (None, None, None) => match self.find_login()? {
                        Some(login) => CredentialSetting::Login(login),
                        None => CredentialSetting::None {
                            may_use_login: self.may_use_login()?,
                        },
                    },
                }
            }
        })
    }

    /// Returns the variables of a token that are set.
    fn token_variables(&self) -> impl Iterator<Item = &'static str> {
        let is_set = |name: &&'static str| variable_value(self.inherited, name).is_some();
        TOKEN_VARIABLES.into_iter().filter(is_set)
    }

    /// Reads `--identity` and the options that belong to it; `None` if a stored token is used.
    ///
    /// # Errors
    /// `usage` or `config` for an invalid value, a missing service account, or an option that
    /// conflicts.
    fn read_identity(&self) -> Result<Option<Identity>, Error> {
        let Some(provider) = self.read_text(Opt::Identity)? else {
            return match self.args.has(Opt::ServiceAccount) {
                true => Err(requires_option(Opt::ServiceAccount.name(), Opt::Identity)),
                false => Ok(None),
            };
        };
        let set_by = provider.set_by.name();
        let log_ignored = |ignored, used| self.log.log(Event::SettingIgnored { ignored, used });
        let mut token_options = [Opt::TokenFile, Opt::TokenCommand].into_iter();
        if let Some(option) = token_options.find(|option| self.args.has(*option)) {
            log_ignored(set_by, option.name());
            return Ok(None);
        }
        let identity = self.parse_identity(provider)?;
        if let Some(snapshot) = self.read_path(Opt::Snapshot) {
            return Err(Error::ConflictingOptions {
                option: snapshot.set_by.name(),
                other: Opt::Identity.name(),
                why: "each start obtains a different token, and only the token that made a snapshot can open it",
            });
        }
        for variable in self.token_variables() {
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
            let option = setting.set_by.name();
            return Err(requires_option(option, Opt::ServiceAccount));
        };
        Ok(Identity {
            provider,
            service_account: account,
            set_by: setting.set_by,
        })
    }
}
