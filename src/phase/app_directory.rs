#![forbid(unsafe_code)]
//! The apps and environments that the token can read: looks up IDs, exact names and keys.
//!
//! For a token with keys, one endpoint returns all of it. For a bearer token there are two endpoints
//! of the REST interface, which some accounts may not use: an app's ID and an environment's exact
//! name work without them.

use std::cell::OnceCell;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::client::ApiClient;
use super::response::{ApiResponse, Endpoint};
use crate::auth::Credential;
use crate::config::{DecryptionMode, parse_uuid};
use crate::error::{Error, Setting};
use crate::http::{BodyLimit, RequestPolicy};
use crate::json::{JsonObject, LimitedVec, MAX_ITEMS, STRING_INSTEAD, limit_exceeded, strict_bool};

/// Requests for lists of apps and environments. Their names and keys are copied several times, so the limit
/// is lower than for secrets.
const LIST_POLICY: RequestPolicy = RequestPolicy {
    body_limit: BodyLimit {
        bytes: 16 << 20,
        explanation: ", which is the limit for a list of apps and environments",
    },
    ..RequestPolicy::DEFAULT
};

/// An app that the token can read.
#[derive(Clone)]
pub(super) struct App {
    /// In lower case with dashes, as the server compares it.
    pub(super) id: String,
    /// For messages: the app's name, or the ID that the user wrote until the name is known.
    pub(super) name: String,
    /// `None` until it is known.
    pub(super) encryption: Option<Encryption>,
    /// Those that the token can read; `None` until they are requested.
    pub(super) environments: Option<Vec<Environment>>,
}

/// Who can decrypt an app's secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    /// The server and the token's account.
    ServerSide,
    /// Only the token's account.
    EndToEnd,
}

/// An environment that the token can read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Environment {
    pub(super) name: String,
    /// `dev`, `staging`, `prod` or `custom`.
    #[serde(rename = "envType")]
    pub(super) env_type: String,
    /// Only the token endpoint returns keys.
    #[serde(skip)]
    pub(super) key: Option<EnvironmentKey>,
}

/// The encrypted key of an environment, as the server stores it for the token's account.
#[derive(Clone, Debug)]
pub(super) struct EnvironmentKey {
    pub(super) environment_id: String,
    /// The environment's public key, in hex digits. Phase calls it the identity key.
    pub(super) public_key: String,
    /// The seed of the environment's key pair, encrypted for the account's public key.
    pub(super) wrapped_seed: String,
}

/// Requests what the token can read when it is first needed, and remembers it.
pub(super) struct AppDirectory<'a> {
    pub(super) client: ApiClient<'a>,
    credential: &'a Credential,
    mode: DecryptionMode,
    access_list: OnceCell<AccessList>,
}

/// Everything that the token can read.
pub(super) struct AccessList {
    pub(super) apps: Vec<App>,
    /// Key share 1 of the account's private key, wrapped, in hex digits.
    wrapped_key_share: Option<String>,
}

/// The body of `service/secrets/tokens/`.
#[derive(Deserialize)]
struct TokensBody {
    wrapped_key_share: Option<String>,
    #[serde(deserialize_with = "apps_and_environments")]
    apps: Vec<TokensApp>,
}

#[derive(Deserialize)]
struct TokensApp {
    id: String,
    name: String,
    encryption: String,
    environment_keys: LimitedVec<JsonObject<TokensEnvironmentKey>>,
}

#[derive(Deserialize)]
struct TokensEnvironmentKey {
    environment: JsonObject<TokensEnvironment>,
    #[serde(default)]
    identity_key: String,
    #[serde(default)]
    wrapped_seed: String,
}

#[derive(Deserialize)]
struct TokensEnvironment {
    #[serde(default)]
    id: String,
    name: String,
    env_type: String,
}

/// The body of `v1/apps/` and `v1/environments/`.
#[derive(Deserialize)]
struct ListBody<T> {
    data: LimitedVec<JsonObject<T>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedApp {
    id: String,
    name: String,
    #[serde(deserialize_with = "strict_bool")]
    sse_enabled: bool,
}

/// Reads a list of apps that have, with their environments, at most [`MAX_ITEMS`] names.
fn apps_and_environments<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<TokensApp>, D::Error> {
    struct Apps;
    impl<'de> Visitor<'de> for Apps {
        type Value = Vec<TokensApp>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
            Err(E::custom(STRING_INSTEAD))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut apps = Vec::new();
            let mut count = 0;
            while let Some(JsonObject(app)) = list.next_element::<JsonObject<TokensApp>>()? {
                count += 1 + app.environment_keys.0.len();
                if count > MAX_ITEMS {
                    return Err(limit_exceeded("20,000 apps and environments"));
                }
                apps.push(app);
            }
            Ok(apps)
        }
    }
    deserializer.deserialize_any(Apps)
}

impl<'a> AppDirectory<'a> {
    pub(super) fn new(
        client: ApiClient<'a>,
        credential: &'a Credential,
        mode: DecryptionMode,
    ) -> Self {
        Self {
            client,
            credential,
            mode,
            access_list: OnceCell::new(),
        }
    }

    /// Returns the sorted names of all apps, for messages.
    pub(super) fn app_names(&self) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = self.apps()?.iter().map(|app| app.name.clone()).collect();
        names.sort();
        Ok(names)
    }

    /// Whether phase-run has to decrypt the app's secrets, rather than the server. `false` if that is
    /// still unknown.
    pub(super) fn decrypts_locally(&self, app: &App) -> bool {
        self.mode == DecryptionMode::EndToEnd || app.encryption == Some(Encryption::EndToEnd)
    }

    /// Checks that phase-run can decrypt the app's secrets, if it has to.
    ///
    /// # Errors
    /// `config` for `--mode rest` and an end-to-end encrypted app, `token` if the token has no keys.
    pub(super) fn check_can_decrypt(&self, app: &App) -> Result<(), Error> {
        if !self.decrypts_locally(app) {
            return Ok(());
        }
        match self.mode {
            DecryptionMode::Rest => Err(Error::EndToEndEncrypted {
                app: app.name.clone(),
            }),
            _ if self.credential.token.has_keys() => Ok(()),
            _ => Err(Error::BearerForEncryptedApp {
                app: app.name.clone(),
                from: self.credential.token_origin.clone(),
            }),
        }
    }

    /// Finds an app by its ID, or by its full name in any case.
    ///
    /// # Errors
    /// `not-found` if there is none, `ambiguous` if there are several, and those of a request.
    pub(super) fn find_app(&self, setting: &Setting<String>) -> Result<App, Error> {
        let apps = self.apps()?;
        let matches = |app: &&App| match parse_uuid(&setting.value) {
            Some(id) => app.id == id,
            None => app.name.to_lowercase() == setting.value.to_lowercase(),
        };
        let matching: Vec<&App> = apps.iter().filter(matches).collect();
        match matching.as_slice() {
            [app] => Ok((*app).clone()),
            [] => Err(Error::AppNotFound {
                app: setting.value.clone(),
                set_by: setting.set_by.clone(),
                readable: self.app_names()?,
            }),
            several => Err(Error::AmbiguousApp {
                name: setting.value.clone(),
                set_by: setting.set_by.clone(),
                candidates: several.iter().map(|app| app.id.clone()).collect(),
            }),
        }
    }

    /// Returns the app's environments. The first call requests them and stores them in `app`, along
    /// with its encryption.
    ///
    /// # Errors
    /// Those of a request, and those of [`Self::check_can_decrypt`].
    pub(super) fn environments<'b>(&self, app: &'b mut App) -> Result<&'b [Environment], Error> {
        let environments = match app.environments.take() {
            Some(environments) => environments,
            None if self.credential.token.has_keys() => {
                let found = self.apps()?.iter().find(|found| found.id == app.id);
                app.encryption = app.encryption.or(found.and_then(|found| found.encryption));
                self.check_can_decrypt(app)?;
                // An app that the token cannot read has no environments.
                found
                    .and_then(|found| found.environments.clone())
                    .unwrap_or_default()
            }
            None => self.list_environments(app)?,
        };
        Ok(app.environments.insert(environments))
    }

    /// Requests the app's environments from the REST interface.
    fn list_environments(&self, app: &mut App) -> Result<Vec<Environment>, Error> {
        let query = [("app_id", app.id.as_str())];
        let address = self.client.host().rest_url("v1/environments/");
        let response = self.request_list(&address, &query)?;
        if response.status == 403 && response.says_end_to_end_encrypted() {
            app.encryption = Some(Encryption::EndToEnd);
            self.check_can_decrypt(app)?;
        }
        let JsonObject(list): JsonObject<ListBody<Environment>> =
            response.json_if_ok(Endpoint::Environments, "a list of environments")?;
        Ok(list
            .data
            .0
            .into_iter()
            .map(|JsonObject(environment)| environment)
            .collect())
    }

    /// Returns key share 1 of the account's private key, wrapped, in hex digits.
    pub(super) fn wrapped_key_share(&self) -> Result<Option<&str>, Error> {
        Ok(self.access_list()?.wrapped_key_share.as_deref())
    }

    /// Returns all apps that the token can read.
    pub(super) fn apps(&self) -> Result<&[App], Error> {
        Ok(&self.access_list()?.apps)
    }

    /// Returns everything that the token can read. Only the first call sends a request.
    fn access_list(&self) -> Result<&AccessList, Error> {
        if let Some(access_list) = self.access_list.get() {
            return Ok(access_list);
        }
        let access_list = match self.credential.token.has_keys() {
            true => self.request_tokens()?,
            false => self.request_apps()?,
        };
        Ok(self.access_list.get_or_init(|| access_list))
    }

    fn request_list(&self, address: &str, query: &[(&str, &str)]) -> Result<ApiResponse, Error> {
        self.client
            .get_with_policy(address, query, &[], LIST_POLICY)
    }

    /// Requests everything that a token with keys can read.
    fn request_tokens(&self) -> Result<AccessList, Error> {
        let response = self.request_list(&self.client.host().tokens_url(), &[])?;
        AccessList::from_response(&response, self.credential.token.is_legacy_service())
    }

    /// Requests the apps that a bearer token can read.
    fn request_apps(&self) -> Result<AccessList, Error> {
        let address = self.client.host().rest_url("v1/apps/");
        let response = self.request_list(&address, &[])?;
        let JsonObject(list): JsonObject<ListBody<ListedApp>> =
            response.json_if_ok(Endpoint::Apps, "a list of apps")?;
        let apps = list
            .data
            .0
            .into_iter()
            .map(|JsonObject(app)| App::from(app));
        Ok(AccessList {
            apps: apps.collect(),
            wrapped_key_share: None,
        })
    }
}

impl AccessList {
    /// Parses the response of the token endpoint.
    ///
    /// # Errors
    /// Those of [`ApiResponse::json_if_ok`].
    pub(super) fn from_response(
        response: &ApiResponse,
        is_legacy_service: bool,
    ) -> Result<Self, Error> {
        let JsonObject(body): JsonObject<TokensBody> =
            response.json_if_ok(Endpoint::Tokens, "the list of what a token can read")?;
        let mut apps: Vec<App> = body.apps.into_iter().map(App::from).collect();
        if is_legacy_service {
            // For these tokens the server calls every app end-to-end encrypted.
            apps.iter_mut().for_each(|app| app.encryption = None);
        }
        Ok(Self {
            apps,
            wrapped_key_share: body.wrapped_key_share,
        })
    }
}

impl App {
    /// An app of which only the ID is known; messages show it as `written`.
    pub(super) fn from_id(id: String, written: &str) -> Self {
        Self {
            id,
            name: written.to_owned(),
            encryption: None,
            environments: None,
        }
    }
}

impl Environment {
    /// An environment of which only the name is known.
    pub(super) fn from_name(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            env_type: String::new(),
            key: None,
        }
    }
}

impl From<TokensApp> for App {
    fn from(app: TokensApp) -> Self {
        let environment = |JsonObject(key): JsonObject<TokensEnvironmentKey>| {
            let JsonObject(environment) = key.environment;
            Environment {
                name: environment.name,
                env_type: environment.env_type,
                key: Some(EnvironmentKey {
                    environment_id: environment.id,
                    public_key: key.identity_key,
                    wrapped_seed: key.wrapped_seed,
                }),
            }
        };
        let mut environments: Vec<Environment> = app
            .environment_keys
            .0
            .into_iter()
            .map(environment)
            .collect();
        // Messages list them by name; the server sorts them by key ID.
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

/// Finds the environment that `setting` names: by its full name, else by its type, else by an
/// unambiguous prefix of its name, all in any case. The second part of the result is the reason for
/// messages; it is `None` for a full name.
///
/// # Errors
/// `not-found` with the names of all environments, `ambiguous` with those that match the prefix.
pub(super) fn match_environment<'a>(
    environments: &'a [Environment],
    setting: &Setting<String>,
    app_name: &str,
) -> Result<(&'a Environment, Option<&'static str>), Error> {
    let wanted = setting.value.to_lowercase();
    let matching = |matches: &dyn Fn(&Environment) -> bool| -> Vec<&'a Environment> {
        environments
            .iter()
            .filter(|candidate| matches(candidate))
            .collect()
    };
    let names = |environments: &[&Environment]| -> Vec<String> {
        environments
            .iter()
            .map(|listed| listed.name.clone())
            .collect()
    };
    if let [exact] = matching(&|candidate| candidate.name.to_lowercase() == wanted).as_slice() {
        return Ok((exact, None));
    }
    let env_type = match wanted.as_str() {
        "dev" | "development" => Some("dev"),
        "staging" => Some("staging"),
        "prod" | "production" => Some("prod"),
        _ => None,
    };
    if let Some(env_type) = env_type
        && let [only] = matching(&|environment| environment.env_type == env_type).as_slice()
    {
        return Ok((only, Some("the only one of type")));
    }
    match matching(&|candidate| candidate.name.to_lowercase().starts_with(&wanted)).as_slice() {
        [only] => Ok((only, Some("unambiguous prefix"))),
        [] => Err(Error::EnvironmentNotFound {
            environment: setting.value.clone(),
            set_by: setting.set_by.clone(),
            app: app_name.to_owned(),
            readable: names(&matching(&|_| true)),
        }),
        several => Err(Error::AmbiguousEnvironment {
            name: setting.value.clone(),
            set_by: setting.set_by.clone(),
            candidates: names(several),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SetBy;

    #[test]
    fn environment_found_by_name_type_or_prefix() {
        let environment = |(name, env_type): (&str, &str)| Environment {
            name: name.to_owned(),
            env_type: env_type.to_owned(),
            key: None,
        };
        let default = [
            ("Development", "dev"),
            ("Staging", "staging"),
            ("Production", "prod"),
        ];
        let two_of_one_type = [
            ("Production", "prod"),
            ("Live", "prod"),
            ("prod-eu", "custom"),
        ];
        let custom = [
            ("Dev", "custom"),
            ("Main", "dev"),
            ("Preview", "custom"),
            ("preprod", "custom"),
        ];
        for (environments, value, expected) in [
            (&default[..], "PRODUCTION", "Production"),
            (&default[..], "prod", "Production, the only one of type"),
            (&default[..], "dev", "Development, the only one of type"),
            (&default[..], "stag", "Staging, unambiguous prefix"),
            (
                &default[..],
                "x",
                "environment x (from --env) not found in shop; this token can read Development, Staging, Production",
            ),
            (
                &two_of_one_type[..],
                "prod",
                "prod (from --env) matches several environments: Production, prod-eu",
            ),
            (&two_of_one_type[..], "production", "Production"),
            (&two_of_one_type[..], "l", "Live, unambiguous prefix"),
            (&custom[..], "dev", "Dev"),
            (&custom[..], "development", "Main, the only one of type"),
            (
                &custom[..],
                "pre",
                "pre (from --env) matches several environments: Preview, preprod",
            ),
            (
                &custom[..],
                "prod",
                "environment prod (from --env) not found in shop; this token can read Dev, Main, Preview, preprod",
            ),
        ] {
            let environments: Vec<Environment> =
                environments.iter().copied().map(environment).collect();
            let setting = Setting {
                value: value.to_owned(),
                set_by: SetBy::Option("--env"),
            };
            let found = match match_environment(&environments, &setting, "shop") {
                Ok((found, None)) => found.name.clone(),
                Ok((found, Some(reason))) => format!("{}, {reason}", found.name),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{value}");
        }
    }
}
