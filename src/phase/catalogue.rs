#![forbid(unsafe_code)]
//! What the token can read: names of apps and environments become ids and exact names.
//!
//! A full token has an endpoint that answers all of it at once. A bare bearer asks the REST
//! interface, which some accounts may not: an id and an exact name need no look-up.

use serde::Deserialize;

use super::http::Client;
use super::refusal::{self, Asked};
use crate::config::Sourced;
use crate::error::Error;
use crate::object::Object;

/// An app that the token can read.
pub(super) struct App {
    /// Lower case, with dashes, as the server compares it.
    pub(super) id: String,
    /// For messages.
    pub(super) name: String,
    pub(super) environments: Option<Vec<Environment>>,
}

/// An environment that the token can read, as both lists have it.
#[derive(Debug, Deserialize)]
pub(super) struct Environment {
    pub(super) name: String,
    /// `dev`, `staging`, `prod` or `custom`.
    #[serde(rename = "env_type", alias = "envType")]
    pub(super) kind: String,
}

/// The app's id, if that is what was given: a UUID with dashes, in any case.
pub(super) fn id(text: &str) -> Option<String> {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = text
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (groups == [8, 4, 4, 4, 12] && hex).then(|| text.to_ascii_lowercase())
}

/// Looks up what a request does not need.
pub(super) struct Catalogue<'a> {
    client: &'a Client<'a>,
    full_token: bool,
}

#[derive(Deserialize)]
struct Account {
    apps: Vec<Object<ReadableApp>>,
}

#[derive(Deserialize)]
struct ReadableApp {
    id: String,
    name: String,
    encryption: String,
    environment_keys: Vec<Object<EnvironmentKey>>,
}

#[derive(Deserialize)]
struct EnvironmentKey {
    environment: Object<Environment>,
}

#[derive(Deserialize)]
struct Listing<T> {
    data: Vec<Object<T>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedApp {
    id: String,
    name: String,
    sse_enabled: bool,
}

/// An app of either list.
struct Found {
    app: App,
    end_to_end: bool,
}

impl<'a> Catalogue<'a> {
    pub(super) fn new(client: &'a Client<'a>, full_token: bool) -> Self {
        Self { client, full_token }
    }

    /// The apps' names, for messages.
    pub(super) fn app_names(&self) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = self
            .apps()?
            .into_iter()
            .map(|found| found.app.name)
            .collect();
        names.sort();
        Ok(names)
    }

    /// The app of a name, compared whole and without case.
    ///
    /// # Errors
    /// `not-found`, `ambiguous`, `config` for an end-to-end encrypted one; those of a request.
    pub(super) fn app(&self, given: &Sourced) -> Result<App, Error> {
        let (mut matching, others): (Vec<Found>, Vec<Found>) = self
            .apps()?
            .into_iter()
            .partition(|found| found.app.name.to_lowercase() == given.value.to_lowercase());
        match matching.pop() {
            Some(found) if matching.is_empty() => found.readable(),
            Some(last) => {
                matching.push(last);
                let candidates = matching.into_iter().map(|found| found.app.id).collect();
                Err(Error::AppsAmbiguous {
                    given: given.value.clone(),
                    candidates,
                })
            }
            None => {
                let mut known: Vec<String> =
                    others.into_iter().map(|found| found.app.name).collect();
                known.sort();
                let Sourced { value, source } = given.clone();
                Err(Error::AppNotFound {
                    given: value,
                    source,
                    known,
                })
            }
        }
    }

    /// The app's environments; asked for once.
    pub(super) fn environments<'b>(&self, app: &'b mut App) -> Result<&'b [Environment], Error> {
        let listed = match app.environments.take() {
            Some(known) => known,
            None if self.full_token => {
                let found = self
                    .apps()?
                    .into_iter()
                    .find(|found| found.app.id == app.id);
                let listed = found.map(Found::readable).transpose()?;
                listed
                    .and_then(|listed| listed.environments)
                    .unwrap_or_default()
            }
            None => {
                let query = [("app_id", app.id.as_str())];
                let answer = self
                    .client
                    .get(&self.client.host().rest("v1/environments/"), &query)?;
                let Object(listing) = match answer.status {
                    200 => answer.json::<Object<Listing<Environment>>>("a list of environments")?,
                    _ => return Err(refusal::of(&answer, Asked::Environments { app: &app.name })),
                };
                listing.data.into_iter().map(|Object(one)| one).collect()
            }
        };
        Ok(app.environments.insert(listed))
    }

    fn apps(&self) -> Result<Vec<Found>, Error> {
        let host = self.client.host();
        if self.full_token {
            let answer = self.client.get(&host.tokens(), &[])?;
            let Object(account) = match answer.status {
                200 => answer.json::<Object<Account>>("what a token can read")?,
                _ => return Err(refusal::of(&answer, Asked::Token)),
            };
            return Ok(account
                .apps
                .into_iter()
                .map(|Object(app)| Found::from(app))
                .collect());
        }
        let answer = self.client.get(&host.rest("v1/apps/"), &[])?;
        let Object(listing) = match answer.status {
            200 => answer.json::<Object<Listing<ListedApp>>>("a list of apps")?,
            _ => return Err(refusal::of(&answer, Asked::Apps)),
        };
        Ok(listing
            .data
            .into_iter()
            .map(|Object(app)| Found::from(app))
            .collect())
    }
}

impl Found {
    fn readable(self) -> Result<App, Error> {
        match self.end_to_end {
            true => Err(Error::EndToEnd { app: self.app.name }),
            false => Ok(self.app),
        }
    }
}

impl From<ReadableApp> for Found {
    fn from(app: ReadableApp) -> Self {
        let keys = app.environment_keys.into_iter();
        let mut environments: Vec<Environment> =
            keys.map(|Object(key)| key.environment.0).collect();
        // They come in the order of their keys' ids, which means nothing to anybody.
        environments.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            end_to_end: app.encryption == "E2E",
            app: App {
                id: app.id,
                name: app.name,
                environments: Some(environments),
            },
        }
    }
}

impl From<ListedApp> for Found {
    fn from(app: ListedApp) -> Self {
        Self {
            end_to_end: !app.sse_enabled,
            app: App {
                id: app.id,
                name: app.name,
                environments: None,
            },
        }
    }
}

/// What a word means, and how it was found where that was not by its whole name.
///
/// # Errors
/// `not-found` with the known ones, `ambiguous` with the candidates.
pub(super) fn resolve<'a>(
    known: &'a [Environment],
    word: &Sourced,
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
    let Sourced { value, source } = word.clone();
    match of(&|one| one.name.to_lowercase().starts_with(&given)).as_slice() {
        [only] => Ok((only, Some("the start of its name alone"))),
        [] => {
            let known = known.iter().map(|one| one.name.clone()).collect();
            Err(Error::EnvironmentNotFound {
                given: value,
                source,
                app: app.to_owned(),
                known,
            })
        }
        several => {
            let candidates = several.iter().map(|one| one.name.clone()).collect();
            Err(Error::EnvironmentsAmbiguous {
                given: value,
                source,
                candidates,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn an_id_is_a_uuid_with_dashes() {
        let id_of = "f1300fdf-7b0e-4571-a680-6e10f05d5401";
        assert_eq!(id(&id_of.to_uppercase()).as_deref(), Some(id_of));
        for name in [
            "shop",
            "",
            "f1300fdf7b0e4571a6806e10f05d5401",
            "g1300fdf-7b0e-4571-a680-6e10f05d5401",
        ] {
            assert_eq!(id(name), None, "{name}");
        }
    }

    #[test]
    fn a_word_is_an_environment() {
        let environment = |(name, kind): (&str, &str)| Environment {
            name: name.to_owned(),
            kind: kind.to_owned(),
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
            let word = Sourced {
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
