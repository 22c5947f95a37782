#![forbid(unsafe_code)]
//! Phase: fetches an environment's secrets, once.
//!
//! An app's id and an environment's exact name cost one request where the server decrypts. A name of
//! the app, a word that is not the environment's name, or decrypting here costs a look-up in what
//! the token can read. [`fetch`] consumes the proof that there is one thread: the HTTP client starts
//! more.

mod client;
mod crypto;
mod directory;
mod e2ee;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lease;
mod login;
pub(crate) mod reference;
mod resolver;
mod response;
mod rest;
mod rows;
mod status;

use crate::auth::Auth;
use crate::config::{DecryptionMode, DynamicSecrets, FetchConfig, SelectionOptions, Setting, uuid};
use crate::error::Error;
use crate::log::{Event, Log};
use crate::process::SingleThreaded;
use crate::secret::Secret;
use client::ApiClient;
use directory::{App, Directory, Encryption, Environment};
use e2ee::Keyring;
pub(crate) use lease::Lease;

use crate::http::HttpClient;
pub(crate) use resolver::References;
use rest::RestOutcome;

/// What was fetched, and what it is called.
pub(crate) struct Fetched<'a> {
    pub(crate) secrets: Vec<Secret>,
    /// Where they are from, as messages name it: `Production of shop`.
    pub(crate) place: String,
    /// Of what was leased, the one that ends first.
    pub(crate) lease: Option<Lease>,
    /// What the secrets' references mean, where it is not the server that resolves them.
    pub(crate) references: References<'a>,
}

/// The filter that the server gets: what it leaves out it never sends. It gets one: of two it could
/// not be told which one selects nothing.
#[derive(Default)]
struct ServerFilter<'f> {
    folder: Option<&'f str>,
    tags: Option<String>,
}

/// Fetches what the request names; `filter` tells what the server may leave out.
///
/// # Errors
/// Everything from `token` to `decrypt`; `config` where the app or the environment is missing, after
/// a look at what the token could read.
pub(crate) fn fetch<'a>(
    _alone: SingleThreaded,
    request: &'a FetchConfig,
    pass: &'a Auth<'_>,
    filter: &SelectionOptions,
    log: &'a dyn Log,
) -> Result<Fetched<'a>, Error> {
    let network = HttpClient::new(&request.http, request.host.name(), log)?;
    let credential = login::authenticate(&network, &request.host, pass)?;
    let client = ApiClient::new(network, &request.host, credential);
    let catalogue = Directory::new(client, credential, request.mode);
    let target = &request.target;
    let Some(given) = &target.app else {
        let readable = catalogue.app_names().unwrap_or_default();
        return Err(Error::NoApp {
            readable,
            ignored_project: target.ignored_project.clone(),
            app_flag_after_command: target.app_flag_after_command,
        });
    };
    let mut app = match (uuid(&given.value), request.mode) {
        (Some(id), DecryptionMode::Auto | DecryptionMode::Rest) => App::from_id(id, &given.value),
        // Without its keys a token could only ask the interface that is not to be asked.
        (_, DecryptionMode::EndToEnd) if !credential.token.is_full() => {
            let from = credential.token_source.clone();
            return Err(Error::TokenWithoutKeys { from });
        }
        _ => catalogue.app(given)?,
    };
    // An environment of `.phase.json` is that of the app whose id stands beside it.
    let foreign = target
        .environment_scope
        .as_ref()
        .filter(|(id, _)| !id.eq_ignore_ascii_case(&app.id));
    let Some(word) = target.environment.as_ref().filter(|_| foreign.is_none()) else {
        let listed = catalogue.environments(&mut app);
        let readable = listed.map(|found| found.iter().map(|one| one.name.clone()).collect());
        let readable = readable.unwrap_or_default();
        return Err(Error::NoEnvironment {
            app: app.name,
            readable,
            ignored_project: target
                .ignored_project
                .clone()
                .or(foreign.map(|(_, path)| path.clone())),
        });
    };
    let mut environment = match &app.environments {
        Some(known) => chosen(directory::resolve(known, word, &app.name)?, word, log),
        None => Environment::from_id(&word.value),
    };
    log.log(Event::Fetching {
        app: &app.name,
        app_source: given.source.to_string(),
        environment: &environment.name,
        environment_source: word.source.to_string(),
        host: request.host.name(),
        token: &credential.token_source,
    });
    if let Some(proxy) = &request.http.proxy {
        log.log(Event::Proxy {
            name: &proxy.name,
            variable: proxy.variable,
        });
    }
    let narrowed = ServerFilter::by(filter);
    loop {
        let known = app.environments.is_some();
        if catalogue.decrypts_locally(&app)? {
            if !known {
                let listed = catalogue.environments(&mut app)?;
                environment = chosen(directory::resolve(listed, word, &given.value)?, word, log);
            }
            let keyring = Keyring::open(catalogue, credential)?;
            return opened(keyring, &app, &environment, &narrowed, request.dynamic);
        }
        let ask = |dynamic| {
            let client = &catalogue.client;
            rest::secrets(client, &app, &environment.name, &narrowed, dynamic)
        };
        let answer = naming_dynamic(request.dynamic, ask, |answer| match answer {
            RestOutcome::Secrets(secrets, _) => secrets.as_slice(),
            _ => &[],
        })?;
        match answer {
            RestOutcome::Secrets(secrets, lease) => {
                return Ok(Fetched {
                    secrets,
                    place: place(&environment.name, &app),
                    lease,
                    references: References::none(),
                });
            }
            RestOutcome::EndToEnd => app.encryption = Some(Encryption::EndToEnd),
            RestOutcome::NoSuchApp => {
                let known = catalogue.app_names().unwrap_or_default();
                let Setting { value, source } = given.clone();
                return Err(Error::AppNotFound {
                    app: value,
                    source,
                    readable: known,
                });
            }
            // The server compares whole names only: the word may be a type, or the start of one.
            RestOutcome::NoSuchEnvironment if !known => {
                let listed = catalogue.environments(&mut app)?;
                environment = chosen(directory::resolve(listed, word, &given.value)?, word, log);
            }
            RestOutcome::NoSuchEnvironment => {
                let Setting { value, source } = word.clone();
                return Err(Error::EnvironmentNotFound {
                    environment: value,
                    source,
                    app: app.name,
                    readable: vec![],
                });
            }
        }
    }
}

/// Fetches and opens the environment, and keeps what its references need.
fn opened<'a>(
    keyring: Keyring<'a>,
    app: &App,
    environment: &Environment,
    narrowed: &ServerFilter<'_>,
    dynamic: DynamicSecrets,
) -> Result<Fetched<'a>, Error> {
    let ask = |dynamic| keyring.fetch(app, environment, narrowed, dynamic);
    let contents = naming_dynamic(dynamic, ask, |contents| &contents.leased)?;
    let references = References::of(keyring, app, environment, &contents)?;
    let rows = contents.rows.into_iter().map(|row| row.secret);
    Ok(Fetched {
        secrets: rows.chain(contents.leased).collect(),
        place: place(&environment.name, app),
        lease: contents.lease,
        references,
    })
}

/// Where the server leases nothing it does not say of what: then asks for the names alone.
fn naming_dynamic<T>(
    dynamic: DynamicSecrets,
    ask: impl Fn(DynamicSecrets) -> Result<T, Error>,
    listed: impl Fn(&T) -> &[Secret],
) -> Result<T, Error> {
    match ask(dynamic) {
        Err(Error::LeaseFailed {
            names,
            scope: place,
            message: server,
        }) if names.is_empty() => {
            let found = ask(DynamicSecrets::List).ok();
            let secrets = found.as_ref().map(listed).unwrap_or_default();
            let dynamic = secrets.iter().filter_map(|secret| secret.dynamic.clone());
            let mut names: Vec<String> = dynamic.collect();
            names.sort();
            names.dedup();
            Err(Error::LeaseFailed {
                names,
                scope: place,
                message: server,
            })
        }
        outcome => outcome,
    }
}

/// What an environment is called in messages.
fn place(environment: &str, app: &App) -> String {
    format!("{environment} of {}", app.name)
}

/// The environment; says so where its name is not what was given.
fn chosen(
    found: (&Environment, Option<&'static str>),
    word: &Setting,
    log: &dyn Log,
) -> Environment {
    let (environment, by) = found;
    if let Some(by) = by {
        log.log(Event::EnvironmentChosen {
            query: &word.value,
            source: word.source.to_string(),
            environment: &environment.name,
            reason: by,
        });
    }
    environment.clone()
}

impl<'f> ServerFilter<'f> {
    fn by(filter: &'f SelectionOptions) -> Self {
        match filter.paths.as_slice() {
            [] if !filter.tags.is_empty() => Self {
                folder: None,
                tags: Some(filter.tags.join(",")),
            },
            [folder] => Self {
                folder: folder.single_folder(),
                tags: None,
            },
            _ => Self::default(),
        }
    }
}
