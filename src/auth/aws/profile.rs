#![forbid(unsafe_code)]
//! Profiles in AWS's shared files, `~/.aws/credentials` and `~/.aws/config`.
//!
//! A profile's access key or web identity is used. For a profile that needs a login, a second role or
//! another program, the error names the AWS command that exports its credentials to variables.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::shared_files::{FileKind, Line, SharedFile};
use super::{AwsAccessKey, INVALID_KEY};
use crate::auth::credential_chain::{Lookup, ProviderEnv, Unusable};
use crate::secret::SecretBytes;

/// Settings that phase-run does not support and that take precedence over an access key of the same
/// profile.
const UNSUPPORTED: [&str; 5] = [
    "source_profile",
    "credential_source",
    "sso_session",
    "sso_start_url",
    "login_session",
];

/// An unsupported setting that takes precedence over an access key in the config file, but not over one in
/// the credentials file.
const CREDENTIAL_PROCESS: &str = "credential_process";

const ACCESS_KEY_SETTINGS: [&str; 2] = ["aws_access_key_id", "aws_secret_access_key"];

const EXPORT_HINT: &str =
    "run eval \"$(aws configure export-credentials --format env)\" before phase-run";

/// The selected profile and both files that may define it.
pub(super) struct Profiles {
    name: String,
    /// Whether a variable names the profile: then it must exist.
    is_named: bool,
    /// Whether two variables name different profiles.
    is_ambiguous: bool,
    credentials: SharedFile,
    config: SharedFile,
}

/// What a profile defines.
pub(super) enum ProfileCredentials<'p> {
    AccessKey(AwsAccessKey),
    WebIdentity {
        role_arn: Option<&'p str>,
        session_name: Option<&'p str>,
        token_file: &'p str,
    },
}

impl Profiles {
    /// Reads both files; one that is missing or cannot be used is an error only if it is needed.
    pub(super) fn load(env: &ProviderEnv<'_>) -> Self {
        let load = |variable, name: &str, kind| {
            let home = env.path("HOME").unwrap_or(Path::new("/nonexistent"));
            let path = match env.path(variable) {
                None => home.join(".aws").join(name),
                Some(path) => match path.strip_prefix("~") {
                    Ok(below) => home.join(below),
                    Err(_) if needs_expansion(path) => return SharedFile::unexpanded(path, kind),
                    Err(_) => path.to_owned(),
                },
            };
            SharedFile::read(&path, kind)
        };
        let [name, older_name] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"].map(|name| env.text(name));
        Self {
            name: name.or(older_name).unwrap_or("default").to_owned(),
            is_named: name.or(older_name).is_some(),
            is_ambiguous: name.is_some() && older_name.is_some() && name != older_name,
            credentials: load(
                "AWS_SHARED_CREDENTIALS_FILE",
                "credentials",
                FileKind::Credentials,
            ),
            config: load("AWS_CONFIG_FILE", "config", FileKind::Config),
        }
    }

    pub(super) fn region(&self) -> Option<String> {
        self.value("region").map(str::to_owned)
    }

    /// Returns the credentials of the profile.
    ///
    /// # Errors
    /// The reason if the profile or a file is configured but cannot be used.
    pub(super) fn credentials(&self) -> Result<Lookup<ProfileCredentials<'_>>, Unusable> {
        if let Some(why) = self.files().iter().find_map(|file| file.unusable()) {
            return Err(why.into());
        }
        if self.is_ambiguous {
            return Err("AWS_PROFILE and AWS_DEFAULT_PROFILE name different profiles".into());
        }
        if let Some(key) = UNSUPPORTED
            .into_iter()
            .find(|key| self.value(key).is_some())
        {
            return Err(self.unsupported(key));
        }
        let role_arn = self.value("role_arn");
        if let Some(token_file) = self.value("web_identity_token_file") {
            let credentials = ProfileCredentials::WebIdentity {
                role_arn,
                session_name: self.value("role_session_name"),
                token_file,
            };
            return Ok(Lookup::Found(credentials, self.describe(&self.config)));
        }
        if role_arn.is_some() {
            let name = &self.name;
            let why =
                format!("the profile {name} has role_arn but no credentials to assume the role");
            return Err(why.into());
        }
        if let Some(key) = self.access_key(&self.credentials)? {
            let key = ProfileCredentials::AccessKey(key);
            return Ok(Lookup::Found(key, self.describe(&self.credentials)));
        }
        if self.value(CREDENTIAL_PROCESS).is_some() {
            return Err(self.unsupported(CREDENTIAL_PROCESS));
        }
        if let Some(key) = self.access_key(&self.config)? {
            let key = ProfileCredentials::AccessKey(key);
            return Ok(Lookup::Found(key, self.describe(&self.config)));
        }
        self.no_access_key()
    }

    /// The access key of the profile in one of the files.
    fn access_key(&self, file: &SharedFile) -> Result<Option<AwsAccessKey>, Unusable> {
        let lines = file.profile(&self.name).unwrap_or_default();
        let secret = |key| {
            let text = value(&lines, key)?.as_bytes();
            Some(SecretBytes::new(text.to_vec()))
        };
        let flaw = match ACCESS_KEY_SETTINGS.map(secret) {
            [Some(id), Some(secret_key)] => {
                let session_token =
                    secret("aws_session_token").or_else(|| secret("aws_security_token"));
                match AwsAccessKey::new(id, secret_key, session_token) {
                    Some(key) => return Ok(Some(key)),
                    None => format!(": {INVALID_KEY}"),
                }
            }
            [Some(_), None] | [None, Some(_)] => {
                format!(" has only one of {}", ACCESS_KEY_SETTINGS.join(" and "))
            }
            [None, None]
                if ACCESS_KEY_SETTINGS
                    .iter()
                    .any(|key| line(&lines, key).is_some()) =>
            {
                " has empty keys".to_owned()
            }
            [None, None] => return Ok(None),
        };
        Err(format!("{}{flaw}", self.describe(file)).into())
    }

    fn no_access_key(&self) -> Result<Lookup<ProfileCredentials<'_>>, Unusable> {
        let name = &self.name;
        let exists = self.files().iter().any(|file| file.profile(name).is_some());
        let why = match (exists, self.is_named, self.credentials.unreadable()) {
            (true, ..) => format!("the profile {name} has no access key"),
            (false, true, _) => return Err(format!("there is no profile {name}").into()),
            (false, false, Some(why)) => why.to_owned(),
            (false, false, None) => {
                let path = self.credentials.path.display();
                format!("{path} has no profile {name}")
            }
        };
        Ok(Lookup::NotConfigured(why))
    }

    /// How messages name the profile in a file.
    fn describe(&self, file: &SharedFile) -> String {
        format!("the profile {} of {}", self.name, file.path.display())
    }

    fn unsupported(&self, key: &str) -> Unusable {
        let name = &self.name;
        Unusable {
            why: format!("the profile {name} uses {key}, which phase-run does not support"),
            hint: Some(EXPORT_HINT),
        }
    }

    fn files(&self) -> [&SharedFile; 2] {
        [&self.credentials, &self.config]
    }

    /// A setting that is not secret, from the first file that has it.
    fn value(&self, key: &str) -> Option<&str> {
        self.files().into_iter().find_map(|file| {
            let lines = file.profile(&self.name)?;
            value(&lines, key)
        })
    }
}

/// Whether AWS's SDKs would expand the path, each in its own way: it has a variable or another user's
/// home directory.
fn needs_expansion(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.starts_with(b"~") || bytes.contains(&b'$')
}

fn value<'t>(lines: &[Line<'t>], key: &str) -> Option<&'t str> {
    let value = line(lines, key)?.value;
    Some(value).filter(|value| !value.is_empty())
}

fn line<'l, 't>(lines: &'l [Line<'t>], key: &str) -> Option<&'l Line<'t>> {
    lines.iter().find(|line| line.key.eq_ignore_ascii_case(key))
}

#[cfg(any(test, fuzzing))]
impl Profiles {
    fn from_bytes(credentials: &[u8], config: &[u8]) -> Self {
        Self {
            name: "default".to_owned(),
            is_named: false,
            is_ambiguous: false,
            credentials: SharedFile::from_bytes(credentials, FileKind::Credentials),
            config: SharedFile::from_bytes(config, FileKind::Config),
        }
    }
}

/// Reads any bytes as both files.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    let profiles = Profiles::from_bytes(data, data);
    if let Ok(Lookup::Found(ProfileCredentials::AccessKey(key), _)) = profiles.credentials() {
        assert!(!key.id.expose().is_empty() && !key.secret.expose().is_empty());
    }
    let _ = profiles.region();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_keys_are_an_error() {
        for text in [
            "[default]\naws_access_key_id =\naws_secret_access_key =",
            "[default]\nAWS_ACCESS_KEY_ID =",
        ] {
            let profiles = Profiles::from_bytes(text.as_bytes(), b"");
            let Err(Unusable { why, .. }) = profiles.credentials() else {
                panic!("{text} was accepted")
            };
            assert!(why.ends_with("has empty keys"), "{why}");
        }
    }
}
