#![forbid(unsafe_code)]
//! AWS's shared files: `~/.aws/credentials` and `~/.aws/config`, in which profiles have names.
//!
//! Keys and web identities are read from them. Profiles that need a login, a second role or another
//! program are named, with the command of AWS's own that turns them into variables.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::identity::ProviderEnv;
use super::AwsKeys;
use super::shared_files::{Kind, Line, Shared};
use crate::secret::SecretBytes;

/// What needs more than is written there, and comes before keys of the same profile.
const FOREIGN: [&str; 5] = [
    "source_profile",
    "credential_source",
    "sso_session",
    "sso_start_url",
    "login_session",
];

/// The same; keys of the credentials file come before it, those of the other do not.
const PROCESS: &str = "credential_process";

const KEYS: [&str; 2] = ["aws_access_key_id", "aws_secret_access_key"];

const EXPORT: &str = "run eval \"$(aws configure export-credentials --format env)\" before";

/// Both files, as far as they can be read.
pub(super) struct Profiles {
    name: String,
    /// The name was given: then there has to be such a profile.
    chosen: bool,
    /// Two variables name one, and not the same.
    two: bool,
    credentials: Shared,
    config: Shared,
}

/// What a profile holds.
pub(super) enum Found {
    Keys(AwsKeys, String),
    WebIdentity {
        role: Option<String>,
        session: Option<String>,
        file: String,
        from: String,
    },
    /// Nobody set it up.
    Nothing(String),
    Broken {
        why: String,
        hint: Option<&'static str>,
    },
}

impl Profiles {
    pub(super) fn of(around: &ProviderEnv<'_>) -> Self {
        let shared = |variable, name: &str, kind| {
            let home = around.path("HOME").unwrap_or(Path::new("/nonexistent"));
            let path = match around.path(variable) {
                None => home.join(".aws").join(name),
                Some(path) => match path.strip_prefix("~") {
                    Ok(below) => home.join(below),
                    Err(_) if is_a_shells(path) => return Shared::elsewhere(path, kind),
                    Err(_) => path.to_owned(),
                },
            };
            Shared::read(&path, kind)
        };
        let named = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"].map(|name| around.text(name));
        let [one, other] = named;
        Self {
            name: one.or(other).unwrap_or("default").to_owned(),
            chosen: one.or(other).is_some(),
            two: one.is_some() && other.is_some() && one != other,
            credentials: shared(
                "AWS_SHARED_CREDENTIALS_FILE",
                "credentials",
                Kind::Credentials,
            ),
            config: shared("AWS_CONFIG_FILE", "config", Kind::Config),
        }
    }

    /// The region of the profile.
    pub(super) fn region(&self) -> Option<String> {
        self.value("region")
    }

    pub(super) fn credentials(&self) -> Found {
        let broken = |why: &str| Found::Broken {
            why: why.to_owned(),
            hint: None,
        };
        if let Some(why) = self.files().iter().find_map(|file| file.broken()) {
            return broken(why);
        }
        if self.two {
            return broken("AWS_PROFILE and AWS_DEFAULT_PROFILE name two profiles");
        }
        let name = &self.name;
        let from = |file: &Shared| format!("the profile {name} of {}", file.path.display());
        let foreign = |key: &str| Found::Broken {
            why: format!(
                "the profile {name} gets its keys by {key}, which phase-run does not follow"
            ),
            hint: Some(EXPORT),
        };
        if let Some(key) = FOREIGN.into_iter().find(|key| self.value(key).is_some()) {
            return foreign(key);
        }
        let role = self.value("role_arn");
        if let Some(file) = self.value("web_identity_token_file") {
            return Found::WebIdentity {
                role,
                session: self.value("role_session_name"),
                file,
                from: from(&self.config),
            };
        }
        if role.is_some() {
            return broken(&format!(
                "the profile {name} has a role, and nothing that may take it"
            ));
        }
        for (nth, file) in self.files().into_iter().enumerate() {
            if nth == 1 && self.value(PROCESS).is_some() {
                return foreign(PROCESS);
            }
            let lines = file.profile(name).unwrap_or_default();
            let of = |key| {
                let text = value(&lines, key)?.as_bytes();
                Some(SecretBytes::new(text.to_vec()))
            };
            match KEYS.map(of) {
                [Some(id), Some(secret)] => {
                    let session = of("aws_session_token").or_else(|| of("aws_security_token"));
                    return Found::Keys(
                        AwsKeys {
                            id,
                            secret,
                            session,
                        },
                        from(file),
                    );
                }
                [Some(_), None] | [None, Some(_)] => {
                    return broken(&format!("{} has one of the two keys", from(file)));
                }
                [None, None] if KEYS.iter().any(|key| line(&lines, key).is_some()) => {
                    return broken(&format!("{} has empty keys", from(file)));
                }
                [None, None] => {}
            }
        }
        let known = self.files().iter().any(|file| file.profile(name).is_some());
        match (known, self.chosen, self.credentials.absent()) {
            (true, ..) => Found::Nothing(format!("the profile {name} has no keys")),
            (false, true, _) => broken(&format!("there is no profile {name}")),
            (false, false, Some(why)) => Found::Nothing(why.to_owned()),
            (false, false, None) => {
                let path = self.credentials.path.display();
                Found::Nothing(format!("{path} has no profile {name}"))
            }
        }
    }

    fn files(&self) -> [&Shared; 2] {
        [&self.credentials, &self.config]
    }

    /// What is no secret.
    fn value(&self, key: &str) -> Option<String> {
        self.files().into_iter().find_map(|file| {
            let lines = file.profile(&self.name)?;
            value(&lines, key).map(str::to_owned)
        })
    }
}

/// AWS's kits put variables and other users' directories in their places, each in its own way.
fn is_a_shells(path: &Path) -> bool {
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

/// Reads any bytes as both files.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    let profiles = Profiles {
        name: "default".to_owned(),
        chosen: false,
        two: false,
        credentials: Shared::of(data, Kind::Credentials),
        config: Shared::of(data, Kind::Config),
    };
    if let Found::Keys(keys, _) = profiles.credentials() {
        assert!(!keys.id.expose().is_empty() && !keys.secret.expose().is_empty());
    }
    let _ = profiles.region();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_keys_are_an_error_however_they_are_written() {
        for text in [
            "[default]\naws_access_key_id =\naws_secret_access_key =",
            "[default]\nAWS_ACCESS_KEY_ID =",
        ] {
            let profiles = Profiles {
                name: "default".to_owned(),
                chosen: false,
                two: false,
                credentials: Shared::of(text.as_bytes(), Kind::Credentials),
                config: Shared::of(b"", Kind::Config),
            };
            let Found::Broken { why, .. } = profiles.credentials() else {
                panic!("{text} was taken")
            };
            assert!(why.ends_with("has empty keys"), "{why}");
        }
    }
}
