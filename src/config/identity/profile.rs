#![forbid(unsafe_code)]
//! AWS's shared files: `~/.aws/credentials` and `~/.aws/config`, in which profiles have names.
//!
//! Keys and web identities are read from them. Profiles that need a login, a second role or another
//! program are named, with the command of AWS's own that turns them into variables.

use std::path::{Path, PathBuf};

use super::{AwsKeys, Surroundings, read};
use crate::secret::SecretBytes;

/// What needs more than is written there, and comes before keys of the same profile.
const FOREIGN: [&str; 4] = [
    "source_profile",
    "credential_source",
    "sso_session",
    "sso_start_url",
];

/// The same, and keys come before it.
const PROCESS: &str = "credential_process";

const EXPORT: &str = "run eval \"$(aws configure export-credentials --format env)\" before";

/// Both files, as far as they can be read.
pub(super) struct Profiles {
    name: String,
    /// The name was given: then there has to be such a profile.
    chosen: bool,
    credentials: Shared,
    config: Shared,
}

struct Shared {
    path: PathBuf,
    text: Result<SecretBytes, String>,
    /// A variable names it: then it has to be readable.
    chosen: bool,
}

/// What a profile holds.
pub(super) enum Found {
    Keys(AwsKeys, String),
    WebIdentity {
        role: String,
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
    pub(super) fn of(around: &Surroundings<'_>) -> Self {
        let home = around.path("HOME");
        let shared = |variable, name: &str| {
            let chosen = around.path(variable);
            let home = home.unwrap_or(Path::new("/"));
            let path = match chosen {
                None => home.join(".aws").join(name),
                Some(path) => match path.strip_prefix("~") {
                    Ok(below) => home.join(below),
                    Err(_) => path.to_owned(),
                },
            };
            Shared {
                text: read(&path),
                path,
                chosen: chosen.is_some(),
            }
        };
        let named = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
        let named = named.into_iter().find_map(|name| around.text(name));
        Self {
            name: named.unwrap_or("default").to_owned(),
            chosen: named.is_some(),
            credentials: shared("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            config: shared("AWS_CONFIG_FILE", "config"),
        }
    }

    /// The region of the profile.
    pub(super) fn region(&self) -> Option<String> {
        self.value("region").map(str::to_owned)
    }

    pub(super) fn credentials(&self) -> Found {
        let broken = |why| Found::Broken { why, hint: None };
        let files = [&self.credentials, &self.config];
        for file in files {
            if let (Err(why), true) = (&file.text, file.chosen) {
                return broken(why.clone());
            }
        }
        let name = &self.name;
        let from = |file: &Shared| format!("the profile {name} of {}", file.path.display());
        let foreign = |key: &str| Found::Broken {
            why: format!(
                "the profile {name} gets its keys by {key}, which phase-run does not follow"
            ),
            hint: Some(EXPORT),
        };
        if let (Some(role), Some(file)) = (
            self.value("role_arn"),
            self.value("web_identity_token_file"),
        ) {
            return Found::WebIdentity {
                role: role.to_owned(),
                session: self.value("role_session_name").map(str::to_owned),
                file: file.to_owned(),
                from: from(&self.config),
            };
        }
        if let Some(key) = FOREIGN.into_iter().find(|key| self.value(key).is_some()) {
            return foreign(key);
        }
        for file in files {
            let of = |key| self.value_in(file, key);
            match [of("aws_access_key_id"), of("aws_secret_access_key")] {
                [Some(id), Some(secret)] => {
                    let secret_bytes = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
                    let keys = AwsKeys {
                        id: secret_bytes(id),
                        secret: secret_bytes(secret),
                        session: of("aws_session_token").map(secret_bytes),
                    };
                    return Found::Keys(keys, from(file));
                }
                [Some(_), None] | [None, Some(_)] => {
                    return broken(format!("{} has one of the two keys", from(file)));
                }
                [None, None] => {}
            }
        }
        if self.value(PROCESS).is_some() {
            return foreign(PROCESS);
        }
        match (files.iter().any(|file| self.knows(file)), self.chosen) {
            (true, _) => Found::Nothing(format!("the profile {name} has no keys")),
            (false, true) => broken(format!("there is no profile {name}")),
            (false, false) => {
                let path = self.credentials.path.display();
                match &self.credentials.text {
                    Err(why) => Found::Nothing(why.clone()),
                    Ok(_) => Found::Nothing(format!("{path} has no profile {name}")),
                }
            }
        }
    }

    fn value(&self, key: &str) -> Option<&str> {
        let files = [&self.credentials, &self.config];
        files.into_iter().find_map(|file| self.value_in(file, key))
    }

    fn value_in<'s>(&self, file: &'s Shared, key: &str) -> Option<&'s str> {
        let mut lines = lines(file.text()).filter(|line| line.profile == self.name);
        let line = lines.find(|line| line.key.eq_ignore_ascii_case(key))?;
        Some(line.value).filter(|value| !value.is_empty())
    }

    fn knows(&self, file: &Shared) -> bool {
        lines(file.text()).any(|line| line.profile == self.name)
    }
}

impl Shared {
    fn text(&self) -> &str {
        let bytes = self.text.as_ref().map(SecretBytes::expose);
        str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }
}

/// `key = value` in a profile. The line of its name is one with an empty key.
struct Line<'t> {
    profile: &'t str,
    key: &'t str,
    value: &'t str,
}

/// Sections are `[name]` or, in the one file, `[profile name]`; what is indented belongs to the line
/// before, which nothing here has.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut profile = None;
    text.lines().filter_map(move |line| {
        if line.starts_with(['#', ';', ' ', '\t']) {
            return None;
        }
        if let Some(section) = line.strip_prefix('[') {
            let name = section.split(']').next().unwrap_or_default().trim();
            let rest = name.strip_prefix("profile").unwrap_or_default();
            let named = rest
                .starts_with([' ', '\t'])
                .then(|| rest.trim().trim_matches('"'));
            profile = Some(named.unwrap_or(name));
            let (key, value) = ("", "");
            return profile.map(|profile| Line {
                profile,
                key,
                value,
            });
        }
        let (key, value) = line.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        profile.map(|profile| Line {
            profile,
            key,
            value,
        })
    })
}

/// Reads any bytes as both files.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    let shared = || Shared {
        path: PathBuf::from("credentials"),
        text: Ok(SecretBytes::new(data.to_vec())),
        chosen: false,
    };
    let profiles = Profiles {
        name: "default".to_owned(),
        chosen: false,
        credentials: shared(),
        config: shared(),
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
    fn sections_keys_and_values_are_told_apart() {
        let text = "# a\nstray = 1\n[default]\n aws_access_key_id = no\nAWS_ACCESS_KEY_ID=a=b \n\
                    ; c\n[ profile other ]\nregion = eu-west-1\n  nested = 1\n[profile \"a b\"]\nx=\n[profiler]\ny=1";
        let read: Vec<_> = lines(text)
            .map(|line| format!("{}|{}|{}", line.profile, line.key, line.value))
            .collect();
        assert_eq!(
            read,
            [
                "default||",
                "default|AWS_ACCESS_KEY_ID|a=b",
                "other||",
                "other|region|eu-west-1",
                "a b||",
                "a b|x|",
                "profiler||",
                "profiler|y|1",
            ]
        );
    }
}
