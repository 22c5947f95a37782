#![forbid(unsafe_code)]
//! The login that `phase auth`, of Phase's own CLI, has left in `~/.phase/secrets/config.json`.
//!
//! The file names the account and its host. It has the token only where the CLI found no keyring; all
//! other tokens are in the system's keyring. `auth` reads the token, in the process that fetches.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Host;
use super::credential_file::{open_regular, read_bounded};
use super::reader::{ConfigReader, variable_value};
use crate::cli::Opt;
use crate::error::{Error, SetBy, os_error_text};
use crate::json::{self, JsonObject};
use crate::secret::SecretBytes;

/// Where the file is in the home directory.
const FILE: &str = ".phase/secrets/config.json";

/// The largest file that is read, in bytes. An account takes about 500.
const MAX_SIZE: u64 = 1 << 20;

/// What to do about a file that is damaged.
const LOG_IN_AGAIN: &str = "log in again with phase auth";

/// What to do if it is unclear which account counts.
const SWITCH: &str = "choose an account with phase users switch";

/// The default account of Phase's own CLI.
#[derive(Debug)]
pub(crate) struct Login {
    file: PathBuf,
    /// The account's ID, which also names its entry in the keyring.
    pub(crate) account_id: String,
    /// The account for messages: its email address, or the ID of a service account, which has none.
    pub(crate) account: String,
    /// The address of Phase, as it is in the file.
    host: String,
    /// Whether the file has the token. Otherwise the keyring has it.
    pub(crate) has_token: bool,
}

/// The content of the file.
#[derive(Deserialize)]
struct LoginsJson {
    #[serde(rename = "default-user")]
    default_user: Option<String>,
    #[serde(rename = "phase-users", default)]
    users: Vec<JsonObject<UserJson>>,
}

#[derive(Deserialize)]
struct UserJson {
    id: String,
    host: String,
    email: Option<String>,
    token: Option<SecretBytes>,
}

impl UserJson {
    fn take_token(&mut self) -> Option<SecretBytes> {
        self.token.take().filter(|token| !token.expose().is_empty())
    }
}

impl Login {
    /// Finds the login of the default account; `None` if nobody has logged in.
    ///
    /// # Errors
    /// `token` if there is a login, but it cannot be used.
    fn find(home: &Path) -> Result<Option<Self>, Error> {
        let file = home.join(FILE);
        let Some((logins, mode)) = read_logins(&file)? else {
            return Ok(None);
        };
        let Some(mut user) = choose_default(&file, logins)? else {
            return Ok(None);
        };
        let has_token = user.take_token().is_some();
        if has_token {
            check_token_is_private(&file, mode)?;
        }
        let account = user.email.filter(|email| !email.is_empty());
        Ok(Some(Self {
            file,
            account: account.unwrap_or_else(|| format!("service account {}", user.id)),
            account_id: user.id,
            host: user.host,
            has_token,
        }))
    }

    /// Parses the address of Phase.
    ///
    /// # Errors
    /// `config` for an address that is not valid or not secure.
    pub(super) fn host(&self) -> Result<Host, Error> {
        Host::parse(&self.host, SetBy::LoginFile(self.file.clone()))
    }

    /// Reads the token from the file, after the same checks as before.
    ///
    /// # Errors
    /// `token` if the file cannot be used, or if the token is no longer in it.
    pub(crate) fn read_token(&self) -> Result<SecretBytes, Error> {
        let logins = read_logins(&self.file)?;
        if let Some((_, mode)) = &logins {
            check_token_is_private(&self.file, *mode)?;
        }
        let users = logins.into_iter().flat_map(|(logins, _)| logins.users);
        let mut users = users.map(|JsonObject(user)| user);
        let user = users.find(|user| user.id == self.account_id && user.host == self.host);
        user.and_then(|mut user| user.take_token())
            .ok_or_else(|| unusable(&self.file, "it was changed during this start", "try again"))
    }

    /// How messages name the source of the token.
    pub(crate) fn name(&self) -> String {
        format!("the login of {}", self.account)
    }
}

/// Reads the file, and returns its mode as well; `None` if there is no file.
fn read_logins(path: &Path) -> Result<Option<(LoginsJson, u32)>, Error> {
    let file = match open_regular(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(unusable(path, "it is not a regular file", LOG_IN_AGAIN)),
        // A home directory that cannot be entered counts as one without a login.
        Err(_) if path.symlink_metadata().is_err() => return Ok(None),
        Err(error) => return Err(unusable(path, &os_error_text(&error), "")),
    };
    let mode = check_owner(path, &file)?;
    let json = match read_bounded(file, MAX_SIZE) {
        Ok(json) if json.expose().len() as u64 > MAX_SIZE => {
            let why = format!("it is longer than {MAX_SIZE} bytes");
            return Err(unusable(path, &why, LOG_IN_AGAIN));
        }
        Ok(json) => json,
        Err(error) => return Err(unusable(path, &os_error_text(&error), "")),
    };
    match json::from_bytes(json.expose()) {
        Ok(JsonObject(logins)) => Ok(Some((logins, mode))),
        Err(error) => {
            let what = match error.is_data() {
                true => "it is not in the format of phase auth",
                false => "it is not valid JSON",
            };
            let why = format!("{what} (line {}, column {})", error.line(), error.column());
            Err(unusable(path, &why, LOG_IN_AGAIN))
        }
    }
}

/// Checks that nobody else could have written the file: whoever writes it decides which host gets the
/// token. Returns the file's mode.
fn check_owner(path: &Path, file: &File) -> Result<u32, Error> {
    let metadata = file
        .metadata()
        .map_err(|error| unusable(path, &os_error_text(&error), ""))?;
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    if owner != nix::unistd::geteuid().as_raw() {
        let why = format!("it belongs to another user ({owner})");
        return Err(unusable(path, &why, ""));
    }
    if mode & 0o022 != 0 {
        let why = format!("other users can write it (mode {mode:04o})");
        return Err(unusable(path, &why, &chmod(path)));
    }
    Ok(mode)
}

/// Checks that nobody else can read a file with a token.
fn check_token_is_private(path: &Path, mode: u32) -> Result<(), Error> {
    match mode & 0o077 {
        0 => Ok(()),
        _ => {
            let why = format!("it has a token, and other users can read it (mode {mode:04o})");
            Err(unusable(path, &why, &chmod(path)))
        }
    }
}

/// Returns the default user, or the only one; `None` if there are no users.
fn choose_default(path: &Path, logins: LoginsJson) -> Result<Option<UserJson>, Error> {
    let default = logins.default_user.filter(|id| !id.is_empty());
    let count = logins.users.len();
    let users = logins.users.into_iter().map(|JsonObject(user)| user);
    let mut chosen = users.filter(|user| default.as_ref().is_none_or(|id| *id == user.id));
    let user = match (chosen.next(), chosen.next(), &default) {
        (_, _, None) if count == 0 => return Ok(None),
        (Some(user), None, _) => user,
        (_, _, None) => {
            let why = format!("it has {count} accounts, and none is the default");
            return Err(unusable(path, &why, SWITCH));
        }
        (None, ..) => {
            let why = "its default account is not among its accounts";
            return Err(unusable(path, why, SWITCH));
        }
        (Some(_), Some(_), Some(_)) => {
            let why = "it has its default account twice";
            return Err(unusable(path, why, LOG_IN_AGAIN));
        }
    };
    // The ID becomes an argument of the keyring's program.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match !user.id.is_empty() && user.id.bytes().all(is_plain) {
        true => Ok(Some(user)),
        false => {
            let why = "the ID of its default account is malformed";
            Err(unusable(path, why, LOG_IN_AGAIN))
        }
    }
}

/// The error about the file. The hint may be empty.
fn unusable(path: &Path, why: &str, hint: &str) -> Error {
    Error::LoginUnusable {
        path: path.to_owned(),
        why: why.to_owned(),
        hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()),
    }
}

fn chmod(path: &Path) -> String {
    format!("run chmod 600 {}", path.display())
}

impl ConfigReader<'_> {
    /// Finds the login, unless `--no-login` forbids it.
    ///
    /// PID 1 never uses a login: a service whose token is missing must not start with that of a person.
    ///
    /// # Errors
    /// Those of [`Login::find`], and `config` if `PHASE_NO_LOGIN` is invalid.
    pub(super) fn find_login(&self) -> Result<Option<Login>, Error> {
        let home = variable_value(self.inherited, "HOME").map(Path::new);
        match home.filter(|home| home.is_absolute()) {
            Some(home) if self.may_use_login()? => Login::find(home),
            _ => Ok(None),
        }
    }

    /// Returns whether a login could be used.
    ///
    /// # Errors
    /// `config` if `PHASE_NO_LOGIN` is invalid.
    pub(super) fn may_use_login(&self) -> Result<bool, Error> {
        let is_forbidden = self.read_flag(Opt::NoLogin)?.is_some();
        Ok(!is_forbidden && std::process::id() != 1)
    }
}
