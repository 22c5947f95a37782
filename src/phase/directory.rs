#![forbid(unsafe_code)]
//! What the token can read: names of apps and environments become ids, exact names and keys.
//!
//! A full token has an endpoint that answers all of it at once. A bare bearer asks the REST
//! interface, which some accounts may not: an id and an exact name need no look-up.

use std::cell::OnceCell;

use serde::Deserialize;

use super::client::ApiClient;
use super::status::{self, Endpoint};
use crate::auth::Credential;
use crate::config::{DecryptionMode, Setting, uuid};
use crate::error::Error;
use crate::json::JsonObject;

/// An app that the token can read.
#[derive(Clone)]
pub(super) struct App {
    /// Lower case, with dashes, as the server compares it.
    pub(super) id: String,
    /// For messages.
    pub(super) name: String,
    pub(super) encryption: Option<Encryption>,
    pub(super) environments: Option<Vec<Environment>>,
}

/// Who can read an app's secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    /// The server and the token's account.
    ServerSide,
    /// The token's account alone.
    EndToEnd,
}

/// An environment that the token can read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Environment {
    pub(super) name: String,
    /// `dev`, `staging`, `prod` or `custom`.
    #[serde(rename = "envType")]
    pub(super) kind: String,
    /// From the token endpoint alone.
    #[serde(skip)]
    pub(super) key: Option<Key>,
}

/// What opens an environment, as the server keeps it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// The environment's id.
    pub(super) environment: String,
    /// Its public key, in hex digits.
    pub(super) identity_key: String,
    /// Its seed, boxed for the account.
    pub(super) wrapped_seed: String,
}

/// Looks up what a request does not need.
pub(super) struct Directory<'a> {
    pub(super) client: ApiClient<'a>,
    credential: &'a Credential,
    mode: DecryptionMode,
    known: OnceCell<AccessList>,
}

/// What the token can read, asked for once.
struct AccessList {
    apps: Vec<App>,
    /// The server's share of the account's private key, wrapped, in hex digits.
    wrapped_share: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    wrapped_key_share: Option<String>,
    apps: Vec<JsonObject<ReadableApp>>,
}

#[derive(Deserialize)]
struct ReadableApp {
    id: String,
    name: String,
    encryption: String,
    environment_keys: Vec<JsonObject<EnvironmentKey>>,
}

#[derive(Deserialize)]
struct EnvironmentKey {
    environment: JsonObject<KeyedEnvironment>,
    #[serde(default)]
    identity_key: String,
    #[serde(default)]
    wrapped_seed: String,
}

#[derive(Deserialize)]
struct KeyedEnvironment {
    #[serde(default)]
    id: String,
    name: String,
    env_type: String,
}

#[derive(Deserialize)]
struct Listing<T> {
    data: Vec<JsonObject<T>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedApp {
    id: String,
    name: String,
    sse_enabled: bool,
}

impl<'a> Directory<'a> {
    pub(super) fn new(
        client: ApiClient<'a>,
        credential: &'a Credential,
        mode: DecryptionMode,
    ) -> Self {
        Self {
            client,
            credential,
            mode,
            known: OnceCell::new(),
        }
    }

    /// The apps' names, for messages.
    pub(super) fn app_names(&self) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = self.apps()?.iter().map(|app| app.name.clone()).collect();
        names.sort();
        Ok(names)
    }

    /// Whether the app's secrets are to be decrypted here.
    ///
    /// # Errors
    /// `config` where the server should and cannot, `token` for a bare bearer where it would be us.
    pub(super) fn decrypts_locally(&self, app: &App) -> Result<bool, Error> {
        match (self.mode, app.encryption) {
            (DecryptionMode::Rest, Some(Encryption::EndToEnd)) => Err(Error::EndToEndEncrypted {
                app: app.name.clone(),
            }),
            (DecryptionMode::Rest, _)
            | (DecryptionMode::Auto, None | Some(Encryption::ServerSide)) => Ok(false),
            (DecryptionMode::Auto, Some(Encryption::EndToEnd)) | (DecryptionMode::EndToEnd, _) => {
                match self.credential.token.is_full() {
                    true => Ok(true),
                    false => Err(Error::TokenWithoutKeys {
                        from: self.credential.token_source.clone(),
                    }),
                }
            }
        }
    }

    /// The app of an id, or of a name, compared whole and without case.
    ///
    /// # Errors
    /// `not-found`, `ambiguous`; those of a request.
    pub(super) fn app(&self, given: &Setting) -> Result<App, Error> {
        let apps = self.apps()?;
        let named = |app: &&App| match uuid(&given.value) {
            Some(id) => app.id == id,
            None => app.name.to_lowercase() == given.value.to_lowercase(),
        };
        let matching: Vec<&App> = apps.iter().filter(named).collect();
        match matching.as_slice() {
            [app] => Ok((*app).clone()),
            [] => {
                let Setting { value, source } = given.clone();
                Err(Error::AppNotFound {
                    app: value,
                    source,
                    readable: self.app_names()?,
                })
            }
            several => Err(Error::AmbiguousApp {
                name: given.value.clone(),
                candidates: several.iter().map(|app| app.id.clone()).collect(),
            }),
        }
    }

    /// The app's environments; asked for once. Tells its encryption, too, where that is known.
    pub(super) fn environments<'b>(&self, app: &'b mut App) -> Result<&'b [Environment], Error> {
        let listed = match app.environments.take() {
            Some(known) => known,
            None if self.credential.token.is_full() => {
                let found = self.apps()?.iter().find(|found| found.id == app.id);
                app.encryption = app.encryption.or(found.and_then(|found| found.encryption));
                self.decrypts_locally(app)?;
                found
                    .and_then(|found| found.environments.clone())
                    .unwrap_or_default()
            }
            None => {
                let query = [("app_id", app.id.as_str())];
                let address = self.client.host().rest_url("v1/environments/");
                let answer = self.client.get(&address, &query, &[])?;
                let JsonObject(listing) = match answer.status {
                    200 => {
                        answer.json::<JsonObject<Listing<Environment>>>("a list of environments")?
                    }
                    403 if answer.is_end_to_end() => {
                        app.encryption = Some(Encryption::EndToEnd);
                        self.decrypts_locally(app)?;
                        return Err(status::error_for_status(&answer, Endpoint::Environments));
                    }
                    _ => return Err(status::error_for_status(&answer, Endpoint::Environments)),
                };
                listing
                    .data
                    .into_iter()
                    .map(|JsonObject(one)| one)
                    .collect()
            }
        };
        Ok(app.environments.insert(listed))
    }

    /// The server's share of the account's private key, wrapped, in hex digits.
    pub(super) fn wrapped_share(&self) -> Result<Option<&str>, Error> {
        Ok(self.known()?.wrapped_share.as_deref())
    }

    /// All that the token can read.
    pub(super) fn apps(&self) -> Result<&[App], Error> {
        Ok(&self.known()?.apps)
    }

    fn known(&self) -> Result<&AccessList, Error> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let known = match self.credential.token.is_full() {
            true => self.readable()?,
            false => self.listed()?,
        };
        Ok(self.known.get_or_init(|| known))
    }

    fn readable(&self) -> Result<AccessList, Error> {
        let answer = self
            .client
            .get(&self.client.host().tokens_url(), &[], &[])?;
        let JsonObject(account) = match answer.status {
            200 => answer.json::<JsonObject<Account>>("what a token can read")?,
            _ => return Err(status::error_for_status(&answer, Endpoint::Token)),
        };
        let apps = account
            .apps
            .into_iter()
            .map(|JsonObject(app)| App::from(app));
        Ok(AccessList {
            apps: apps.collect(),
            wrapped_share: account.wrapped_key_share,
        })
    }

    fn listed(&self) -> Result<AccessList, Error> {
        let address = self.client.host().rest_url("v1/apps/");
        let answer = self.client.get(&address, &[], &[])?;
        let JsonObject(listing) = match answer.status {
            200 => answer.json::<JsonObject<Listing<ListedApp>>>("a list of apps")?,
            _ => return Err(status::error_for_status(&answer, Endpoint::Apps)),
        };
        let apps = listing
            .data
            .into_iter()
            .map(|JsonObject(app)| App::from(app));
        Ok(AccessList {
            apps: apps.collect(),
            wrapped_share: None,
        })
    }
}

impl App {
    /// An app of which only the id is known.
    pub(super) fn from_id(id: String, given: &str) -> Self {
        Self {
            id,
            name: given.to_owned(),
            encryption: None,
            environments: None,
        }
    }
}

impl Environment {
    /// An environment of which only a name is known.
    pub(super) fn from_id(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: String::new(),
            key: None,
        }
    }
}

impl From<ReadableApp> for App {
    fn from(app: ReadableApp) -> Self {
        let keyed = |JsonObject(key): JsonObject<EnvironmentKey>| {
            let JsonObject(environment) = key.environment;
            Environment {
                name: environment.name,
                kind: environment.env_type,
                key: Some(Key {
                    environment: environment.id,
                    identity_key: key.identity_key,
                    wrapped_seed: key.wrapped_seed,
                }),
            }
        };
        let mut environments: Vec<Environment> =
            app.environment_keys.into_iter().map(keyed).collect();
        // They come in the order of their keys' ids, which means nothing to anybody.
        environments.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            id: app.id,
            name: app.name,
            encryption: Some(match app.encryption == "E2E" {
                true => Encryption::EndToEnd,
                false => Encryption::ServerSide,
            }),
            environments: Some(environments),
        }
    }
}

impl From<ListedApp> for App {
    fn from(app: ListedApp) -> Self {
        Self {
            id: app.id,
            name: app.name,
            encryption: Some(match app.sse_enabled {
                true => Encryption::ServerSide,
                false => Encryption::EndToEnd,
            }),
            environments: None,
        }
    }
}

/// What a word means, and how it was found where that was not by its whole name.
///
/// # Errors
/// `not-found` with the known ones, `ambiguous` with the candidates.
pub(super) fn resolve<'a>(
    known: &'a [Environment],
    word: &Setting,
    app: &str,
) -> Result<(&'a Environment, Option<&'static str>), Error> {
    let given = word.value.to_lowercase();
    let of = |fits: &dyn Fn(&Environment) -> bool| -> Vec<&'a Environment> {
        known.iter().filter(|one| fits(one)).collect()
    };
    if let [exact] = of(&|one| one.name.to_lowercase() == given).as_slice() {
        return Ok((exact, None));
    }
    let kind = match given.as_str() {
        "dev" | "development" => Some("dev"),
        "staging" => Some("staging"),
        "prod" | "production" => Some("prod"),
        _ => None,
    };
    if let Some(kind) = kind
        && let [only] = of(&|one| one.kind == kind).as_slice()
    {
        return Ok((only, Some("the only one of its type")));
    }
    let Setting { value, source } = word.clone();
    match of(&|one| one.name.to_lowercase().starts_with(&given)).as_slice() {
        [only] => Ok((only, Some("the start of its name alone"))),
        [] => {
            let known = known.iter().map(|one| one.name.clone()).collect();
            Err(Error::EnvironmentNotFound {
                environment: value,
                source,
                app: app.to_owned(),
                readable: known,
            })
        }
        several => {
            let candidates = several.iter().map(|one| one.name.clone()).collect();
            Err(Error::AmbiguousEnvironment {
                name: value,
                source,
                candidates,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;

    #[test]
    fn a_word_is_an_environment() {
        let environment = |(name, kind): (&str, &str)| Environment {
            name: name.to_owned(),
            kind: kind.to_owned(),
            key: None,
        };
        let usual = [
            ("Development", "dev"),
            ("Staging", "staging"),
            ("Production", "prod"),
        ];
        let two = [
            ("Production", "prod"),
            ("Live", "prod"),
            ("prod-eu", "custom"),
        ];
        let own = [
            ("Dev", "custom"),
            ("Main", "dev"),
            ("Preview", "custom"),
            ("preprod", "custom"),
        ];
        for (known, word, expected) in [
            (&usual[..], "PRODUCTION", "Production"),
            (&usual[..], "prod", "Production, the only one of its type"),
            (&usual[..], "dev", "Development, the only one of its type"),
            (&usual[..], "stag", "Staging, the start of its name alone"),
            (
                &usual[..],
                "x",
                "shop has no environment x (from --env) that this token can read; it can read Development, Staging, Production",
            ),
            (
                &two[..],
                "prod",
                "prod (from --env) can mean Production or prod-eu",
            ),
            (&two[..], "production", "Production"),
            (&two[..], "l", "Live, the start of its name alone"),
            (&own[..], "dev", "Dev"),
            (&own[..], "development", "Main, the only one of its type"),
            (
                &own[..],
                "pre",
                "pre (from --env) can mean Preview or preprod",
            ),
            (
                &own[..],
                "prod",
                "shop has no environment prod (from --env) that this token can read; it can read Dev, Main, Preview, preprod",
            ),
        ] {
            let known: Vec<Environment> = known.iter().copied().map(environment).collect();
            let word = Setting {
                value: word.to_owned(),
                source: Source::Named("--env"),
            };
            let found = match resolve(&known, &word, "shop") {
                Ok((one, None)) => one.name.clone(),
                Ok((one, Some(by))) => format!("{}, {by}", one.name),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{}", word.value);
        }
    }
}
