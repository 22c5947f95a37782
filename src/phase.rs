#![forbid(unsafe_code)]
//! Phase: fetches an environment's secrets, once.
//!
//! An app's id and an environment's exact name cost one request. A name of the app, or a word that
//! is not the environment's name, costs a look-up in what the token can read. [`fetch`] consumes
//! the proof that there is one thread: the HTTP client starts more.

mod catalogue;
mod failure;
mod http;
mod lookup;
mod refusal;
mod rest;

use crate::config::credential::Credential;
use crate::config::{Filter, Request, Sourced};
use crate::error::Error;
use crate::notice::{Notice, Say};
use crate::process::SingleThreaded;
use crate::secret::Secret;
use catalogue::{App, Catalogue, Environment};
use http::Client;
use rest::Answer;

/// What was fetched, and what it is called.
pub(crate) struct Fetched {
    pub(crate) secrets: Vec<Secret>,
    /// Where they are from, as messages name it: `Production of shop`.
    pub(crate) place: String,
}

/// Fetches what the request names; `filter` tells what the server may leave out.
///
/// # Errors
/// Everything from `token` to `protocol`; `config` where the app or the environment is missing,
/// after a look at what the token could read.
pub(crate) fn fetch(
    _alone: SingleThreaded,
    request: &Request,
    credential: &Credential,
    filter: &Filter,
    say: Say<'_>,
) -> Result<Fetched, Error> {
    let client = Client::new(request, credential, say)?;
    let catalogue = Catalogue::new(&client, credential.token.is_full());
    let Some(given) = &request.target.app else {
        let readable = catalogue.app_names().unwrap_or_default();
        return Err(Error::NoApp {
            readable,
            passed_over: request.target.passed_over.clone(),
            misplaced: request.target.misplaced,
        });
    };
    let mut app = match catalogue::id(&given.value) {
        Some(id) => App {
            id,
            name: given.value.clone(),
            environments: None,
        },
        None => catalogue.app(given)?,
    };
    // An environment of `.phase.json` is that of the app whose id stands beside it.
    let target = &request.target;
    let foreign = target
        .only_of
        .as_ref()
        .filter(|(id, _)| !id.eq_ignore_ascii_case(&app.id));
    let Some(word) = target.environment.as_ref().filter(|_| foreign.is_none()) else {
        let listed = catalogue.environments(&mut app);
        let readable = listed.map(|found| found.iter().map(|one| one.name.clone()).collect());
        let readable = readable.unwrap_or_default();
        return Err(Error::NoEnvironment {
            app: app.name,
            readable,
            passed_over: target
                .passed_over
                .clone()
                .or(foreign.map(|(_, path)| path.clone())),
        });
    };
    let mut environment = match &app.environments {
        Some(known) => chosen(catalogue::resolve(known, word, &app.name)?, word, say),
        None => word.value.clone(),
    };
    say(Notice::Fetching {
        app: &app.name,
        app_source: given.source.to_string(),
        environment: &environment,
        environment_source: word.source.to_string(),
        host: request.host.name(),
        token: &credential.from,
    });
    loop {
        let known = app.environments.is_some();
        match rest::secrets(&client, &app, &environment, filter)? {
            Answer::Secrets(secrets) => {
                let place = format!("{environment} of {}", app.name);
                return Ok(Fetched { secrets, place });
            }
            Answer::NoSuchApp => {
                let known = catalogue.app_names().unwrap_or_default();
                let Sourced { value, source } = given.clone();
                return Err(Error::AppNotFound {
                    given: value,
                    source,
                    known,
                });
            }
            // The server compares whole names only: the word may be a type, or the start of one.
            Answer::NoSuchEnvironment if !known => {
                let listed = catalogue.environments(&mut app)?;
                environment = chosen(catalogue::resolve(listed, word, &given.value)?, word, say);
            }
            Answer::NoSuchEnvironment => {
                let Sourced { value, source } = word.clone();
                return Err(Error::EnvironmentNotFound {
                    given: value,
                    source,
                    app: app.name,
                    known: vec![],
                });
            }
        }
    }
}

/// The environment's name; says so where it is not what was given.
fn chosen(found: (&Environment, Option<&'static str>), word: &Sourced, say: Say<'_>) -> String {
    let (environment, by) = found;
    if let Some(by) = by {
        say(Notice::EnvironmentChosen {
            given: &word.value,
            source: word.source.to_string(),
            chosen: &environment.name,
            by,
        });
    }
    environment.name.clone()
}
